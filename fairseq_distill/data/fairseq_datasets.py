"""fairseq's face of a data directory: planned batches, assembled without a Python loop over sentences."""

import logging
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from fairseq.data import FairseqDataset, iterators

from fairseq_distill.data.batching import EpochPlan
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.mask_units import MaskText
from fairseq_distill.data.masking import MaskPolicy, mask_tokens, masked_counts
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.data.queueing import TeacherQueue
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.formats.dictionary import SPECIALS

logger = logging.getLogger(__name__)


class TrainingData(FairseqDataset):
    """The corpora of the training split: what is distilled and what is masked.

    Args:
        apart: whether a batch holds its masked text in a matrix of its own, for text much longer than sentences.
        corpus_weights: of the losses of a corpus's sentences or masked pieces, by its id; 1 where there is none.
    """

    def __init__(
        self,
        distil: Collection,
        mask: MaskText,
        languages: List[str],
        teacher_dim: int,
        mask_id: int,
        policy: MaskPolicy,
        apart: bool = False,
        corpus_weights: Optional[Mapping[str, float]] = None,
    ):
        self.distil, self.mask, self.languages = distil, mask, languages
        self.teacher_dim, self.mask_id, self.policy, self.apart = teacher_dim, mask_id, policy, apart
        self.lang_of_corpus = np.array([languages.index(name) for name in distil.languages()], dtype=np.int64)
        weights = corpus_weights or {}
        self.weight_of_corpus = np.array([weights.get(part.corpus.id, 1.0) for part in distil.parts], dtype=np.float64)
        self.mask_weight_of_corpus = np.array([weights.get(name, 1.0) for name in mask.corpus_ids()], dtype=np.float64)
        self.weighted_masks = bool((self.mask_weight_of_corpus != 1.0).any())

    def __len__(self) -> int:
        return int(self.distil.firsts[-1]) + len(self.mask)


class PlannedEpoch(FairseqDataset):
    """One epoch whose items are whole batches: item b is batch b of the plan, ready for the model.

    Args:
        data: the training corpora.
        plan: which sentences form which batch.
        increments: parts of the curriculum.
        seed: with the number of the batch, the only source of randomness of its masks.
        processes: how many share the epoch. Their number of batches is made equal by fillers, which count for nothing:
            with fairseq's own, a process loses the sample size and the log of its whole last update.
        queue: the teacher queue of the contrastive loss.
    """

    def __init__(
        self,
        data: TrainingData,
        plan: EpochPlan,
        increments: int,
        seed: "tuple[int, int]",
        processes: int = 1,
        queue: Optional[TeacherQueue] = None,
    ):
        self.data, self.plan, self.increments, self.seed = data, plan, increments, seed
        self.processes, self.queue = processes, queue
        weights = plan.distil.sizes().astype(np.float64)
        if (data.weight_of_corpus != 1.0).any():  # else a plan of any size needs no array of its length
            summed = np.cumsum(data.weight_of_corpus[data.distil.corpus_of(plan.distil.indices)])
            weights = np.diff(np.concatenate([[0.0], summed])[plan.distil.starts])
        self.distil_totals = plan.totals(weights)
        shown = data.mask.shown_lengths(plan.mask.indices, plan.mask_part, increments)
        counts = masked_counts(shown - data.mask.ends(plan.mask.indices), data.policy.probability)
        if data.weighted_masks:
            counts = counts * data.mask_weight_of_corpus[data.mask.corpus_of(plan.mask.indices)]
        summed = np.concatenate([[0], np.cumsum(counts)])
        self.masked_totals = plan.totals(np.diff(summed[plan.mask.starts]))

    def __len__(self) -> int:
        return -(-len(self.plan) // self.processes) * self.processes

    def __getitem__(self, batch: int) -> Dict[str, Any]:
        if batch >= len(self.plan):
            return {**self[0], "filler": True, "update_total": self._update_total(len(self.plan) - 1)}
        data, plan, n = self.data, self.plan, self.increments
        chosen, masked = plan.distil[batch], plan.mask[batch]
        part = plan.distil_part[plan.distil.starts[batch] : plan.distil.starts[batch + 1]]
        masked_part = plan.mask_part[plan.mask.starts[batch] : plan.mask.starts[batch + 1]]
        lengths = data.distil.shown_lengths(chosen, part, n)
        masked_lengths = data.mask.shown_lengths(masked, masked_part, n)
        width = int(lengths.max(initial=1))
        masked_width = int(masked_lengths.max(initial=1))
        if not data.apart:
            width = masked_width = max(width, masked_width)
        tokens = data.distil.tokens(chosen, lengths, width)
        net_input: Dict[str, Any] = {"n_distil": len(chosen)}
        positions, targets = np.empty(0, np.int64), np.empty(0, np.int64)
        paired, of_piece = (
            np.empty(0, bool),
            np.empty(0, np.int64),
        )  # of each masked piece: whether of a pair; which unit
        if len(masked):
            hidden, positions, targets = self._mask(batch, masked, masked_lengths, masked_width)
            of_piece = positions // masked_width
            paired = masked[of_piece] >= data.mask.n_mono
            if data.apart:
                net_input["masked_tokens"] = torch.from_numpy(hidden)
            else:
                positions = positions + tokens.size
                tokens = np.concatenate([tokens, hidden])
        net_input["src_tokens"] = torch.from_numpy(tokens)
        net_input["masked_positions"] = torch.from_numpy(positions)
        corpora = data.distil.corpus_of(chosen)
        weights = data.weight_of_corpus[corpora]
        sample = {
            "id": batch,
            "filler": False,
            "nsentences": len(chosen) + len(masked),
            "ntokens": int(lengths.sum() + masked_lengths.sum()),
            "net_input": net_input,
            "teacher": torch.from_numpy(data.distil.teacher(chosen, part, data.teacher_dim)),
            "language": torch.from_numpy(data.lang_of_corpus[corpora]),
            "weight": torch.from_numpy(weights.astype(np.float32)),
            "distil_weight": float(weights.sum()),
            "mlm_targets": torch.from_numpy(targets),
            "mlm_paired": torch.from_numpy(paired),
            "distil_total": float(self.distil_totals[batch]),
            "masked_total": float(self.masked_totals[batch]),
            "update_total": self._update_total(batch),
            "increment": float(part.mean()) if len(part) else 0.0,
            "stage": int(plan.stage[batch]),
        }
        if data.weighted_masks:
            of_unit = data.mask_weight_of_corpus[data.mask.corpus_of(masked)].astype(np.float32)
            sample["mlm_weight"] = torch.from_numpy(of_unit[of_piece])
        if self.queue is not None:
            sample["queue"] = torch.from_numpy(self.queue.rows(batch))
        return sample

    def _update_total(self, batch: int) -> float:
        """What the gradient of the batch's update is divided by: its sentences, or its masked pieces if it has none."""
        return float(self.distil_totals[batch] or self.masked_totals[batch])

    def _mask(
        self, batch: int, masked: np.ndarray, lengths: np.ndarray, width: int
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What :func:`mask_tokens` makes of the batch's masked text."""
        data = self.data
        rng = np.random.default_rng([*self.seed, batch])
        plain = data.mask.tokens(masked, width, lengths)
        word_starts = None
        if data.policy.whole_words:
            word_starts = data.distil.word_start[plain] | data.mask.unspaced(masked, width)
        return mask_tokens(plain, data.policy, data.mask_id, len(SPECIALS), rng, word_starts)

    def collater(self, samples: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
        """A batch is an item already."""
        return samples[0] if samples else None


class PlannedBatches(iterators.EpochBatchIterator):
    """fairseq's iterator over a planned epoch.

    The state of the curriculum travels in this iterator's own: it is the one state that fairseq hands back before the
    first batch of a resumed run is fetched. A task's state comes after that.

    Args:
        data: the training corpora.
        planner: plans the epoch, and holds the curriculum's state.
        epoch: from 1.
        options: of fairseq's iterator.
    """

    def __init__(self, data: TrainingData, planner: EpochPlanner, epoch: int, **options: Any):
        self.data, self.planner = data, planner
        planned = self._planned(epoch)
        super().__init__(
            planned, planned.collater, _one_by_one(planned), epoch=epoch, disable_shuffling=True, **options
        )  # the plan's order is the order

    def _planned(self, epoch: int) -> PlannedEpoch:
        plan, policy = self.planner.plan(epoch), self.planner.curriculum
        if policy.increments > 1:
            begins = f"epoch {epoch} from update {self.planner.first_update(epoch):,}"
            changes = np.flatnonzero(np.diff(plan.stage)) + 1
            stages = [f"stage {plan.stage[0]} of {policy.increments}"]
            stages += [f"stage {plan.stage[b]} {b // plan.group:,} updates later" for b in changes]
            logger.info(f"curriculum | {policy.pacing} | {begins} | {', '.join(stages)}")
        queue = self._queue(plan, epoch) if self.planner.queue else None
        seed = (self.planner.seed, epoch)
        return PlannedEpoch(self.data, plan, policy.increments, seed, self.planner.processes, queue)

    def _queue(self, plan: EpochPlan, epoch: int) -> TeacherQueue:
        data, before = self.data, self.planner.distilled_before(epoch)
        return TeacherQueue(
            self.planner.queue,
            plan,
            before,
            lambda visits: data.distil.teacher(visits.indices, visits.least, data.teacher_dim),
        )

    def updates_done(self) -> int:
        """Updates that the plans up to here asked for; those that fairseq skipped for an overflow are counted."""
        batches = self.iterations_in_epoch * self.num_shards
        return self.planner.first_update(self.epoch) + -(-batches // self.dataset.plan.group)

    def observe(self, xsim: float) -> None:
        """Tell the curriculum of a validation; ``plateau`` may then go on to its next stage with the next epoch."""
        plateau, next_epoch = self.planner.plateau, self.planner.first_update(self.epoch + 1)
        if plateau.observe(xsim, self.updates_done(), next_epoch):
            stage = self.planner.curriculum.stage(next_epoch, plateau.changes)
            logger.info(
                f"curriculum | plateau | xsim {xsim:g} % after {self.updates_done():,} updates, best {plateau.best:g} %: "
                f"stage {stage} of {self.planner.curriculum.increments} from update {next_epoch:,}, the next epoch"
            )

    def state_dict(self) -> Dict[str, Any]:
        """fairseq's state and the curriculum's."""
        state = super().state_dict()
        return {**state, "curriculum": self.planner.state_dict(state["epoch"])}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave, and plan the epoch by it.

        Raises:
            CheckpointError: it was trained with another curriculum.
        """
        if "curriculum" in state_dict:
            self.planner.load_state_dict(state_dict["curriculum"])
            self.dataset = self._planned(state_dict["epoch"])
            self._frozen_batches = tuple(_one_by_one(self.dataset))
        super().load_state_dict(state_dict)


def _one_by_one(items: FairseqDataset) -> List[List[int]]:
    """Each item is a batch of its own."""
    return [[number] for number in range(len(items))]


class ValidationSets(FairseqDataset):
    """The valid sets: item v is one whole set, in batches of similar length."""

    def __init__(self, collection: Collection, labels: List[np.ndarray], teacher_dim: int, max_tokens: int):
        self.collection, self.labels, self.teacher_dim, self.max_tokens = collection, labels, teacher_dim, max_tokens

    def __len__(self) -> int:
        return len(self.collection.parts)

    def __getitem__(self, number: int) -> Dict[str, Any]:
        first, last = self.collection.firsts[number], self.collection.firsts[number + 1]
        lengths = self.collection.lengths()[first:last]
        batches = []
        for rows in batches_by_length(lengths, self.max_tokens):
            width = int(lengths[rows].max())
            tokens = self.collection.tokens(rows + first, lengths[rows], width)
            batches.append({"rows": torch.from_numpy(rows), "src_tokens": torch.from_numpy(tokens)})
        teacher = self.collection.teacher(np.arange(first, last), 1 << 30, self.teacher_dim)
        return {
            "id": number,
            "valid_set": number,
            "nsentences": int(last - first),
            "ntokens": int(lengths.sum()),
            "batches": batches,
            "teacher": torch.from_numpy(teacher),
            "labels": torch.from_numpy(self.labels[number]),
        }

    def collater(self, samples: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
        """A set is an item already."""
        return samples[0] if samples else None
