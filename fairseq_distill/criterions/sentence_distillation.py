"""``--criterion sentence_distillation``: cosine distillation and masked language modelling, each a mean over its own items."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.modules.gradients import ObjectiveGradients
from fairseq_distill.modules.losses import DISTILLATION_LOSSES, contrastive_loss


@dataclass
class SentenceDistillationCriterionConfig(FairseqDataclass):
    distil_loss: ChoiceEnum(tuple(DISTILLATION_LOSSES)) = field(  # type: ignore[valid-type]
        default="cosine",
        metadata={
            "help": "distance between student and teacher embeddings: cosine (the paper's), mse, or smooth_l1, which far-off components do not dominate"
        },
    )
    distil_weight: float = field(
        default=defaults.DISTIL_WEIGHT, metadata={"help": "weight of the distillation loss, >= 0"}
    )
    mlm_weight: float = field(
        default=defaults.MLM_WEIGHT,
        metadata={"help": "weight of the MLM loss beside it, >= 0; without monolingual text it has no effect"},
    )
    contrastive_weight: float = field(
        default=defaults.CONTRASTIVE_WEIGHT,
        metadata={
            "help": "weight of the contrastive loss, >= 0; 0 switches it off; its negatives are the batch's, or those of --contrastive-queue"
        },
    )
    contrastive_temperature: float = field(
        default=defaults.CONTRASTIVE_TEMPERATURE, metadata={"help": "temperature of its softmax, > 0"}
    )
    contrastive_filter: float = field(
        default=defaults.CONTRASTIVE_FILTER,
        metadata={
            "help": "teacher embeddings with at least this cosine to a sentence's own are no negatives for it, in (-1, 1]"
        },
    )


@register_criterion("sentence_distillation", dataclass=SentenceDistillationCriterionConfig)
class SentenceDistillationCriterion(FairseqCriterion):
    """The loss of an update is (mean over its distilled sentences) + weight x (mean over its masked pieces).

    The masked pieces are those of monolingual text and, with ``--tlm-share``, of sentence pairs: one mean, logged as two.

    With ``--corpus-weights`` each is a weighted mean, sum of weight x loss over sum of weights, as is that of the
    contrastive loss.

    Every batch knows the totals of its whole update (data/batching.py), so the sums below add up to those means whatever
    the number of processes and micro-batches: fairseq divides the gradient by the sum of ``sample_size``, which is the
    number of distilled sentences, each times its corpus's weight (of masked pieces, likewise, in an update without any sentence to distil).
    """

    def __init__(self, cfg: SentenceDistillationCriterionConfig, task: Any):
        super().__init__(task)
        if min(cfg.distil_weight, cfg.mlm_weight, cfg.contrastive_weight) < 0 or cfg.contrastive_temperature <= 0:
            raise ConfigError("Weights of losses must be 0 or more, and the contrastive temperature above 0.")
        if task.cfg.contrastive_queue and not cfg.contrastive_weight:
            raise ConfigError(f"--contrastive-queue {task.cfg.contrastive_queue} needs --contrastive-weight above 0.")
        self.cfg = cfg
        self.distance = DISTILLATION_LOSSES[str(cfg.distil_loss)]
        self.languages: List[str] = list(task.languages)
        self.tlm = task.cfg.tlm_share > 0
        own = task.own_language
        self.own_language = None if own is None else self.languages.index(own)
        # Set by the task for the updates in which each objective's gradient is measured.
        self.gradients: Optional[ObjectiveGradients] = None

    def forward(self, model: Any, sample: Dict[str, Any], reduce: bool = True) -> Tuple[Tensor, float, Dict[str, Any]]:
        """The summed loss, the sample size, and what is logged; see the class for the normalisation."""
        output = model(**sample["net_input"])
        teacher, language, weight = sample["teacher"], sample["language"], sample["weight"]
        of_piece, paired = sample.get("mlm_weight"), sample["mlm_paired"]  # None: all weigh 1
        n_distil, n_masked = sample["distil_weight"], len(paired) if of_piece is None else float(of_piece.sum())
        n_tlm = (paired if of_piece is None else of_piece * paired).sum() if self.tlm else 0
        unit = sample["update_total"]

        distil = self.distance(output["embedding"], teacher)  # [B]
        terms = {"distil": self.cfg.distil_weight * (distil * weight).sum()}
        contrast = mlm = tlm = distil.new_zeros(())
        if self.cfg.contrastive_weight and len(teacher):
            contrast = self._contrastive(output["embedding"], sample)
            terms["contrastive"] = self.cfg.contrastive_weight * contrast
        if output["mlm_logits"] is not None:
            weighted = self.cfg.mlm_weight * (unit / sample["masked_total"])
            mlm, tlm = self._masked(output["mlm_logits"].float(), sample["mlm_targets"], paired, of_piece)
            terms["mlm"] = weighted * mlm
            if self.tlm:
                terms["tlm"] = weighted * tlm
        if self.gradients is not None:
            measured = {name: term for name, term in terms.items() if name in self.weights()}
            if self.own_language is not None:  # a part of the distillation term
                own = language == self.own_language
                measured["self"] = self.cfg.distil_weight * (distil[own] * weight[own]).sum()
            self.gradients.add(measured)
        loss = sum(terms.values(), start=distil.new_zeros(()))

        sample_size = n_distil if sample["distil_total"] else n_masked
        log = {
            "loss": loss.detach(),
            "sample_size": sample_size,
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "distil_sum": (distil.detach() * weight).sum(),
            "n_distil": n_distil,
            "contrastive_sum": contrast.detach(),
            "mlm_sum": mlm.detach(),
            "n_mlm": n_masked - n_tlm,
            "tlm_sum": tlm.detach(),
            "n_tlm": n_tlm,
            "increment_sum": sample["increment"] * n_distil,
            "stage_sum": sample["stage"] * n_distil,
        }
        # All languages in every log: processes add their logs up key by key.
        sums = torch.zeros(len(self.languages), device=distil.device).index_add_(0, language, distil.detach())
        counts = torch.bincount(language, minlength=len(self.languages))
        for number, name in enumerate(self.languages):
            log[f"distil_sum_{name}"], log[f"n_distil_{name}"] = sums[number], counts[number]
        return loss, sample_size, log

    def weights(self) -> Dict[str, float]:
        """The objectives that any batch may have, and their weights."""
        objectives = {"distil": self.cfg.distil_weight, "contrastive": self.cfg.contrastive_weight}
        objectives["mlm"] = self.cfg.mlm_weight
        if self.tlm:
            objectives["tlm"] = self.cfg.mlm_weight
        if self.own_language is not None:
            objectives["self"] = self.cfg.distil_weight
        return {name: weight for name, weight in objectives.items() if weight or name == "distil"}

    def _masked(
        self, logits: Tensor, targets: Tensor, paired: Tensor, weight: Optional[Tensor]
    ) -> Tuple[Tensor, Tensor]:
        """The summed loss, each times its weight, of the pieces of monolingual text, and of those of sentence pairs."""
        if not self.tlm and weight is None:
            return F.cross_entropy(logits, targets, reduction="sum"), logits.new_zeros(())
        losses = F.cross_entropy(logits, targets, reduction="none")
        if weight is not None:
            losses = losses * weight
        return losses[~paired].sum(), losses[paired].sum()

    def _contrastive(self, student: Tensor, sample: Dict[str, Any]) -> Tensor:
        """The summed contrastive loss of a batch: against its teacher queue if it brings one, else within itself."""
        losses = contrastive_loss(
            student,
            sample["teacher"],
            self.cfg.contrastive_temperature,
            self.cfg.contrastive_filter,
            sample.get("queue"),
        )
        return (losses * sample["weight"]).sum()

    @classmethod
    def reduce_metrics(cls, logging_outputs: List[Dict[str, Any]]) -> None:
        """Means over all processes and micro-batches of an update."""

        def total(key: str) -> float:
            return float(sum(utils.item(log.get(key, 0)) for log in logging_outputs))

        n_distil, sample_size = total("n_distil"), total("sample_size")
        loss = total("loss") / max(sample_size, 1.0)
        if loss != loss:
            raise DataError(
                "The loss is not a number: lower --lr or raise --warmup-updates, and check the teacher's embeddings."
            )
        metrics.log_scalar("loss", loss, sample_size, round=4)
        if n_distil:
            metrics.log_scalar("distil_loss", total("distil_sum") / n_distil, n_distil, round=4)
            metrics.log_scalar("increment", total("increment_sum") / n_distil, n_distil, round=2)
            metrics.log_scalar("stage", total("stage_sum") / n_distil, n_distil, round=2)
        if total("contrastive_sum"):
            metrics.log_scalar("contrastive_loss", total("contrastive_sum") / n_distil, n_distil, round=4)
        for name in ("mlm", "tlm"):
            if n := total(f"n_{name}"):
                metrics.log_scalar(f"{name}_loss", total(f"{name}_sum") / n, n, round=4)
        for key in logging_outputs[0] if logging_outputs else ():
            if key.startswith("n_distil_") and total(key):
                language = key[len("n_distil_") :]
                metrics.log_scalar(
                    f"distil_loss_{language}", total(f"distil_sum_{language}") / total(key), total(key), round=4
                )

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True
