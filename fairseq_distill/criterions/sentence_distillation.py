"""``--criterion sentence_distillation``: cosine distillation and masked language modelling, each a mean over its own items."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple

import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.modules.losses import DISTILLATION_LOSSES, contrastive_loss


@dataclass
class SentenceDistillationCriterionConfig(FairseqDataclass):
    distil_loss: ChoiceEnum(tuple(DISTILLATION_LOSSES)) = field(  # type: ignore[valid-type]
        default="cosine", metadata={"help": "distance between student and teacher embeddings; the paper's is cosine"}
    )
    distil_weight: float = field(default=1.0, metadata={"help": "weight of the distillation loss, >= 0"})
    mlm_weight: float = field(
        default=defaults.MLM_WEIGHT,
        metadata={"help": "weight of the MLM loss beside it, >= 0; without monolingual text it has no effect"},
    )
    contrastive_weight: float = field(
        default=defaults.CONTRASTIVE_WEIGHT,
        metadata={"help": "weight of the in-batch contrastive loss, >= 0; 0 switches it off"},
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

    Every batch knows the totals of its whole update (data/batching.py), so the sums below add up to those means whatever
    the number of processes and micro-batches: fairseq divides the gradient by the sum of ``sample_size``, which is the
    number of distilled sentences (of masked pieces in an update without any sentence to distil).
    """

    def __init__(self, cfg: SentenceDistillationCriterionConfig, task: Any):
        super().__init__(task)
        if min(cfg.distil_weight, cfg.mlm_weight, cfg.contrastive_weight) < 0 or cfg.contrastive_temperature <= 0:
            raise ConfigError("Weights of losses must be 0 or more, and the contrastive temperature above 0.")
        self.cfg = cfg
        self.distance = DISTILLATION_LOSSES[str(cfg.distil_loss)]
        self.languages: List[str] = list(task.languages)

    def forward(self, model: Any, sample: Dict[str, Any], reduce: bool = True) -> Tuple[Tensor, float, Dict[str, Any]]:
        """The summed loss, the sample size, and what is logged; see the class for the normalisation."""
        output = model(**sample["net_input"])
        teacher, language = sample["teacher"], sample["language"]
        n_distil, n_masked = len(teacher), len(sample["mlm_targets"])
        unit = sample["distil_total"] if sample["distil_total"] else sample["masked_total"]

        distil = self.distance(output["embedding"], teacher)  # [B]
        loss = self.cfg.distil_weight * distil.sum()
        contrast = distil.new_zeros(())
        if self.cfg.contrastive_weight and n_distil:
            contrast = contrastive_loss(
                output["embedding"], teacher, self.cfg.contrastive_temperature, self.cfg.contrastive_filter
            ).sum()
            loss = loss + self.cfg.contrastive_weight * contrast
        mlm = distil.new_zeros(())
        if output["mlm_logits"] is not None:
            mlm = F.cross_entropy(output["mlm_logits"].float(), sample["mlm_targets"], reduction="sum")
            loss = loss + self.cfg.mlm_weight * (unit / sample["masked_total"]) * mlm

        sample_size = n_distil if sample["distil_total"] else n_masked
        log = {
            "loss": loss.detach(),
            "sample_size": sample_size,
            "nsentences": sample["nsentences"],
            "ntokens": sample["ntokens"],
            "distil_sum": distil.detach().sum(),
            "n_distil": n_distil,
            "contrastive_sum": contrast.detach(),
            "mlm_sum": mlm.detach(),
            "n_masked": n_masked,
            "increment_sum": sample["increment"] * n_distil,
            "stage_sum": sample["stage"] * n_distil,
        }
        # All languages in every log: processes add their logs up key by key.
        sums = torch.zeros(len(self.languages), device=distil.device).index_add_(0, language, distil.detach())
        counts = torch.bincount(language, minlength=len(self.languages))
        for number, name in enumerate(self.languages):
            log[f"distil_sum_{name}"], log[f"n_distil_{name}"] = sums[number], counts[number]
        return loss, sample_size, log

    @classmethod
    def reduce_metrics(cls, logging_outputs: List[Dict[str, Any]]) -> None:
        """Means over all processes and micro-batches of an update."""

        def total(key: str) -> float:
            return float(sum(utils.item(log.get(key, 0)) for log in logging_outputs))

        n_distil, n_masked, sample_size = total("n_distil"), total("n_masked"), total("sample_size")
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
        if n_masked:
            metrics.log_scalar("mlm_loss", total("mlm_sum") / n_masked, n_masked, round=4)
        for key in logging_outputs[0] if logging_outputs else ():
            if key.startswith("n_distil_") and total(key):
                language = key[len("n_distil_") :]
                metrics.log_scalar(
                    f"distil_loss_{language}", total(f"distil_sum_{language}") / total(key), total(key), round=4
                )

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True
