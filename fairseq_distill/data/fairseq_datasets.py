"""fairseq's face of a data directory: planned batches, assembled without a Python loop over sentences."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from fairseq.data import FairseqDataset

from fairseq_distill.data.batching import EpochPlan
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.mask_units import MaskText
from fairseq_distill.data.masking import MaskPolicy, mask_tokens, masked_counts
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.formats.dictionary import SPECIALS


class TrainingData(FairseqDataset):
    """The corpora of the training split: what is distilled and what is masked.

    Args:
        apart: whether a batch holds its masked text in a matrix of its own, for text much longer than sentences.
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
    ):
        self.distil, self.mask, self.languages = distil, mask, languages
        self.teacher_dim, self.mask_id, self.policy, self.apart = teacher_dim, mask_id, policy, apart
        self.lang_of_corpus = np.array([languages.index(name) for name in distil.languages()], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.distil.firsts[-1]) + len(self.mask)


class PlannedEpoch(FairseqDataset):
    """One epoch whose items are whole batches: item b is batch b of the plan, ready for the model.

    Args:
        data: the training corpora.
        plan: which sentences form which batch.
        increments: parts of the curriculum.
        seed: with the number of the batch, the only source of randomness of its masks.
    """

    def __init__(self, data: TrainingData, plan: EpochPlan, increments: int, seed: "tuple[int, int]"):
        self.data, self.plan, self.increments, self.seed = data, plan, increments, seed
        self.distil_totals = plan.totals(plan.distil.sizes())
        counts = masked_counts(data.mask.maskable()[plan.mask.indices], data.policy.probability)
        summed = np.concatenate([[0], np.cumsum(counts)])
        self.masked_totals = plan.totals(np.diff(summed[plan.mask.starts]))

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, batch: int) -> Dict[str, Any]:
        data, part = self.data, int(self.plan.increment[batch])
        chosen, masked = self.plan.distil[batch], self.plan.mask[batch]
        lengths = data.distil.lengths(part, self.increments)[chosen]
        masked_lengths = data.mask.lengths()[masked]
        width = int(lengths.max(initial=1))
        masked_width = int(masked_lengths.max(initial=1))
        if not data.apart:
            width = masked_width = max(width, masked_width)
        tokens = data.distil.tokens(chosen, lengths, width)
        net_input: Dict[str, Any] = {"n_distil": len(chosen)}
        positions, targets = np.empty(0, np.int64), np.empty(0, np.int64)
        if len(masked):
            hidden, positions, targets = self._mask(batch, masked, masked_width)
            if data.apart:
                net_input["masked_tokens"] = torch.from_numpy(hidden)
            else:
                positions = positions + tokens.size
                tokens = np.concatenate([tokens, hidden])
        net_input["src_tokens"] = torch.from_numpy(tokens)
        net_input["masked_positions"] = torch.from_numpy(positions)
        return {
            "id": batch,
            "nsentences": len(chosen) + len(masked),
            "ntokens": int(lengths.sum() + masked_lengths.sum()),
            "net_input": net_input,
            "teacher": torch.from_numpy(data.distil.teacher(chosen, part, data.teacher_dim)),
            "language": torch.from_numpy(data.lang_of_corpus[data.distil.corpus_of(chosen)]),
            "mlm_targets": torch.from_numpy(targets),
            "distil_total": float(self.distil_totals[batch]),
            "masked_total": float(self.masked_totals[batch]),
            "increment": part,
        }

    def _mask(self, batch: int, masked: np.ndarray, width: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What :func:`mask_tokens` makes of the batch's masked text."""
        data = self.data
        rng = np.random.default_rng([*self.seed, batch])
        plain = data.mask.tokens(masked, width)
        word_starts = None
        if data.policy.whole_words:
            word_starts = data.distil.word_start[plain] | data.mask.unspaced(masked, width)
        return mask_tokens(plain, data.policy, data.mask_id, len(SPECIALS), rng, word_starts)

    def collater(self, samples: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
        """A batch is an item already."""
        return samples[0] if samples else None


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
