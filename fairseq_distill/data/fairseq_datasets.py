"""fairseq's face of a data directory: planned batches, assembled without a Python loop over sentences."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from fairseq.data import FairseqDataset

from fairseq_distill.data.batching import EpochPlan
from fairseq_distill.data.curriculum import partial_lengths
from fairseq_distill.data.masking import MaskPolicy, mask_tokens, masked_counts
from fairseq_distill.data.online_teacher import OnlineTeacher
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.errors import DataError
from fairseq_distill.formats.binarised import Sequences, open_binarised
from fairseq_distill.formats.dictionary import EOS, PAD, SPECIALS
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.manifest import Corpus
from fairseq_distill.languages import parse_language


@dataclass
class Part:
    """One corpus, opened: its sentences and, for each part of the curriculum, its teacher embeddings."""

    corpus: Corpus
    sequences: Sequences
    teacher: List[np.ndarray]


def open_part(directory: Path, corpus: Corpus, teacher_dim: int, increments: int) -> Part:
    """A corpus of a data directory, with every count checked.

    Raises:
        DataError: a file is missing or damaged, rows and sentences differ, or the curriculum's parts are not there.
    """
    sequences = open_binarised(directory / corpus.src)
    if len(sequences) != corpus.n or not corpus.n:
        raise DataError(
            f"{directory / corpus.src}.idx holds {len(sequences):,} sentences, the manifest says {corpus.n:,}; prepare the data again."
        )
    teacher: List[np.ndarray] = []
    if corpus.kind != "mask":
        if increments not in (1, len(corpus.teacher)):
            raise DataError(
                f"corpus {corpus.id!r} has teacher embeddings for {len(corpus.teacher)} parts of a sentence, the curriculum wants {increments}; "
                f"prepare the data with --increments {increments}."
            )
        names = corpus.teacher[-increments:]
        teacher = [open_embeddings(directory / name, dim=teacher_dim) for name in names]
        for name, rows in zip(names, teacher):
            if len(rows) != corpus.n:
                raise DataError(
                    f"{directory / name} has {len(rows):,} rows for {corpus.n:,} sentences; embed the teacher's side again."
                )
    return Part(corpus, sequences, teacher)


class Collection:
    """Several corpora under one numbering: sentence i of corpus c has the index ``firsts[c] + i``."""

    def __init__(self, parts: List[Part], max_length_pieces: int, word_start: np.ndarray):
        self.parts, self.limit, self.word_start = parts, max_length_pieces, word_start
        self.sizes = [len(part.sequences) for part in parts]
        self.firsts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self.online: Optional[OnlineTeacher] = None
        self._lengths: Dict["tuple[int, int]", np.ndarray] = {}

    def lengths(self, part: int = 1, parts: int = 1) -> np.ndarray:
        """int64 [all sentences], pieces with EOS of the first part / parts of the words, cut at the longest allowed."""
        key = (part, parts)
        if key not in self._lengths:
            self._lengths = {key: self._measure(part, parts)}  # one at a time: an epoch shows few parts
        return self._lengths[key]

    def _measure(self, part: int, parts: int) -> np.ndarray:
        measured = [np.empty(0, np.int64)]
        for opened in self.parts:
            sequences = opened.sequences
            if part == parts:
                body = sequences.lengths.astype(np.int64) - 1
            else:
                starts_word = self.word_start[np.asarray(sequences.tokens)]
                unspaced = parse_language(opened.corpus.lang).unspaced
                body = partial_lengths(starts_word, sequences.starts, sequences.lengths, part, parts, unspaced)
            measured.append(np.minimum(body, self.limit - 1) + 1)
        return np.concatenate(measured)

    def corpus_of(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], the corpus of each index."""
        return np.searchsorted(self.firsts, indices, side="right") - 1

    def tokens(self, indices: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
        """int64 [B, width], right-padded; a sentence cut short gets EOS at its end."""
        rows = np.full((len(indices), width), PAD, dtype=np.int64)
        column = np.arange(width)
        corpora = self.corpus_of(indices)
        for number in np.unique(corpora):
            chosen = np.flatnonzero(corpora == number)
            sequences, inside = self.parts[number].sequences, column[None, :] < lengths[chosen][:, None]
            source = sequences.starts[indices[chosen] - self.firsts[number]][:, None] + np.where(
                inside, column[None, :], 0
            )
            rows[chosen] = np.where(inside, sequences.tokens[source], PAD)
        rows[np.arange(len(indices)), lengths - 1] = EOS
        return rows

    def flat(self, indices: np.ndarray) -> "tuple[np.ndarray, np.ndarray]":
        """int64 pieces of the sentences one after the other, EOS included, and int64 [B] their lengths."""
        lengths = self.lengths()[indices]
        pieces = [np.empty(0, np.int64)]
        for first in range(0, len(indices), 1 << 14):
            span = slice(first, first + (1 << 14))
            width = int(lengths[span].max())
            rows = self.tokens(indices[span], lengths[span], width)
            pieces.append(rows[np.arange(width)[None, :] < lengths[span][:, None]])
        return np.concatenate(pieces), lengths

    def teacher(self, indices: np.ndarray, part: int, dim: int) -> np.ndarray:
        """float32 [B, dim], the teacher's embeddings of the ``part``-th part (from 1)."""
        corpora = self.corpus_of(indices)
        if self.online is not None:
            return self.online.embed(corpora, indices - self.firsts[corpora], part)
        rows = np.empty((len(indices), dim), dtype=np.float32)
        for number in np.unique(corpora):
            chosen = np.flatnonzero(corpora == number)
            stored = self.parts[number].teacher
            rows[chosen] = stored[min(part, len(stored)) - 1][indices[chosen] - self.firsts[number]]
        return rows


class TrainingData(FairseqDataset):
    """The corpora of the training split: what is distilled and what is masked."""

    def __init__(
        self,
        distil: Collection,
        mask: Collection,
        languages: List[str],
        teacher_dim: int,
        mask_id: int,
        policy: MaskPolicy,
    ):
        self.distil, self.mask, self.languages = distil, mask, languages
        self.teacher_dim, self.mask_id, self.policy = teacher_dim, mask_id, policy
        self.lang_of_corpus = np.array([languages.index(part.corpus.lang) for part in distil.parts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.distil.firsts[-1] + self.mask.firsts[-1])


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
        counts = masked_counts(data.mask.lengths()[plan.mask.indices], data.policy.probability)
        summed = np.concatenate([[0], np.cumsum(counts)])
        self.masked_totals = plan.totals(np.diff(summed[plan.mask.starts]))

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, batch: int) -> Dict[str, Any]:
        data, part = self.data, int(self.plan.increment[batch])
        chosen, masked = self.plan.distil[batch], self.plan.mask[batch]
        lengths = data.distil.lengths(part, self.increments)[chosen]
        masked_lengths = data.mask.lengths()[masked]
        width = int(max(lengths.max(initial=1), masked_lengths.max(initial=1)))
        tokens = data.distil.tokens(chosen, lengths, width)
        positions, targets = np.empty(0, np.int64), np.empty(0, np.int64)
        if len(masked):
            rng = np.random.default_rng([*self.seed, batch])
            plain = data.mask.tokens(masked, masked_lengths, width)
            hidden, positions, targets = mask_tokens(
                plain, masked_lengths, data.policy, data.mask_id, len(SPECIALS), rng
            )
            positions = positions + tokens.size
            tokens = np.concatenate([tokens, hidden])
        return {
            "id": batch,
            "nsentences": len(chosen) + len(masked),
            "ntokens": int(lengths.sum() + masked_lengths.sum()),
            "net_input": {
                "src_tokens": torch.from_numpy(tokens),
                "n_distil": len(chosen),
                "masked_positions": torch.from_numpy(positions),
            },
            "teacher": torch.from_numpy(data.distil.teacher(chosen, part, data.teacher_dim)),
            "language": torch.from_numpy(data.lang_of_corpus[data.distil.corpus_of(chosen)]),
            "mlm_targets": torch.from_numpy(targets),
            "distil_total": float(self.distil_totals[batch]),
            "masked_total": float(self.masked_totals[batch]),
            "increment": part,
        }

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
