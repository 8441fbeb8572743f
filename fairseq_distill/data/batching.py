"""Which sentences form which update of an epoch: planned ahead, as a function of the seed, the epoch and its first update.

A plan is made of whole batches. Each holds sentences to distil and, when there is monolingual text, sentences to mask,
in fixed proportion; sentences of one batch are of similar length, so that little is padded. Because the plan is known
ahead, every batch knows the denominators of its whole update (all processes, all ``--update-freq`` micro-batches), and
the loss of an update is the mean over its own items however the batches are spread.
"""

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

# Sentences are sorted by length within windows of so many, which bounds memory and keeps an epoch's order random.
WINDOW = 1 << 20


@dataclass
class Grouping:
    """Indices cut into consecutive groups: group g holds ``indices[starts[g] : starts[g + 1]]``.

    Attributes:
        indices: int64 [N].
        starts: int64 [G + 1], ascending, from 0 to N.
    """

    indices: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, group: int) -> np.ndarray:
        return self.indices[self.starts[group] : self.starts[group + 1]]

    def sizes(self) -> np.ndarray:
        """int64 [G], number of indices of each group."""
        return np.diff(self.starts)

    def reordered(self, order: np.ndarray) -> "Grouping":
        """The groups in another order."""
        sizes = self.sizes()[order]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        # Position p of the result comes from the old start of its group plus its offset in the group.
        source = np.repeat(self.starts[:-1][order] - starts[:-1], sizes) + np.arange(starts[-1])
        return Grouping(self.indices[source], starts)


def concatenated(groupings: Sequence[Grouping]) -> Grouping:
    """One grouping after the other."""
    sizes = np.concatenate([np.empty(0, np.int64)] + [grouping.sizes() for grouping in groupings])
    indices = np.concatenate([np.empty(0, np.int64)] + [grouping.indices for grouping in groupings])
    return Grouping(indices, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def cut_by_length(order: np.ndarray, lengths: np.ndarray, max_tokens: int, max_sentences: int) -> Grouping:
    """Batches of sentences of similar length, longest first.

    Args:
        order: int64 [N], indices in the random order that breaks ties of length.
        lengths: int [N], pieces of each sentence, in the order of ``order``.
        max_tokens: bound on sentences times the longest of them; a longer sentence forms a batch of its own.
        max_sentences: bound on sentences.
    """
    by_length = np.argsort(-lengths.astype(np.int64), kind="stable")
    order, lengths = order[by_length], lengths[by_length]
    starts: List[int] = [0]
    while starts[-1] < len(order):
        longest = max(int(lengths[starts[-1]]), 1)
        starts.append(min(len(order), starts[-1] + max(1, min(max_tokens // longest, max_sentences))))
    return Grouping(order, np.asarray(starts, dtype=np.int64))


def split_evenly(order: np.ndarray, lengths: np.ndarray, groups: int) -> Grouping:
    """``groups`` consecutive groups of about equally many pieces, longest sentences first; some may be empty.

    Args:
        order: int64 [N], indices in random order.
        lengths: int [N], pieces of each, in the order of ``order``.
    """
    by_length = np.argsort(-lengths.astype(np.int64), kind="stable")
    order, total = order[by_length], np.cumsum(lengths[by_length], dtype=np.int64)
    share = total[-1] / groups if len(total) else 0
    inner = np.searchsorted(total, share * np.arange(1, groups) + 0.5)
    return Grouping(order, np.concatenate([[0], inner, [len(order)]]).astype(np.int64))


@dataclass
class Visits:
    """Sentences to be shown, in random order.

    Attributes:
        indices: int64 [N], which sentences, repetitions included.
        least: int16 [N], the part of the curriculum that a visit shows at least: it shows this one or the stage's.
    """

    indices: np.ndarray
    least: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, chosen: "slice | np.ndarray") -> "Visits":
        return Visits(self.indices[chosen], self.least[chosen])

    def __add__(self, other: "Visits") -> "Visits":
        return Visits(np.concatenate([self.indices, other.indices]), np.concatenate([self.least, other.least]))


@dataclass
class MaskedText:
    """Monolingual text to be masked beside the pairs.

    Attributes:
        share: of a batch's pieces, in (0, 1).
        draw: for a number of pieces and a stage, the sentences to mask, about so many pieces in all; ``least`` is the
            part that is shown.
        lengths: for indices [K] and their parts [K], int [K] pieces shown, with EOS.
    """

    share: float
    draw: Callable[[int, int], Visits]
    lengths: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class EpochPlan:
    """All batches of one epoch, in the order in which updates use them.

    Attributes:
        distil: batch b distils the sentences ``distil[b]``.
        distil_part: int16, the part shown of each sentence in ``distil.indices``.
        mask: batch b masks the sentences ``mask[b]``.
        mask_part: the same for ``mask.indices``.
        stage: int64 [batches], the curriculum's stage in batch b.
        group: number of consecutive batches that form one update over all processes.
    """

    distil: Grouping
    distil_part: np.ndarray
    mask: Grouping
    mask_part: np.ndarray
    stage: np.ndarray
    group: int

    def __len__(self) -> int:
        return len(self.distil)

    @property
    def updates(self) -> int:
        """Updates of the epoch; the last may be a smaller one."""
        return -(-len(self) // self.group)

    def totals(self, counts: np.ndarray) -> np.ndarray:
        """The sum of per-batch ``counts`` over each batch's update; same shape as ``counts``, [batches]."""
        update = np.arange(len(counts)) // self.group
        return np.bincount(update, weights=counts, minlength=1)[update] if len(counts) else counts.astype(np.float64)


def plan_epoch(
    visits: Sequence[Visits],
    lengths: Callable[[np.ndarray, np.ndarray], np.ndarray],
    schedule: Callable[[int], Tuple[int, Optional[int]]],
    first_update: int,
    group: int,
    max_tokens: int,
    max_sentences: int,
    rng: np.random.Generator,
    masked: Optional[MaskedText] = None,
) -> EpochPlan:
    """The batches of one epoch.

    Args:
        visits: the sentences to distil in this epoch, repetitions included; one lot is done before the next begins.
        lengths: for indices [K] and their parts [K], int [K] pieces shown, with EOS.
        schedule: for an update, its stage and the first update with another one (None: never).
        first_update: updates done before this epoch.
        group: batches of one update over all processes (processes x update frequency).
        max_tokens: bound on the padded pieces of a batch, masked sentences included.
        max_sentences: bound on sentences to distil in a batch.
        rng: the only source of randomness.
        masked: monolingual text to be masked beside them.
    """
    distil_tokens = max(1, int(max_tokens * (1.0 - (masked.share if masked else 0.0))))
    plans: List[EpochPlan] = []
    done, lots = 0, [lot[first : first + WINDOW] for lot in visits for first in range(0, len(lot), WINDOW)]
    while lots:
        lot = lots.pop(0)
        stage, change = schedule(first_update + done // group)
        part = np.maximum(lot.least, stage)
        shown = lengths(lot.indices, part)
        batches = cut_by_length(np.arange(len(lot)), shown, distil_tokens, max_sentences)
        order = rng.permutation(len(batches))
        room = len(batches) if change is None else (change - first_update) * group - done
        if room < len(batches):
            # The part grows inside this lot: what is left over is planned again at its new lengths.
            order, left = order[:room], order[room:]
            lots.insert(0, lot[rng.permutation(batches.reordered(np.sort(left)).indices)])
        chosen = batches.reordered(order)
        plans.append(_planned(lot, part, shown, chosen, stage, group, masked))
        done += len(chosen)
    return _joined(plans, group)


def _planned(
    lot: Visits,
    part: np.ndarray,
    shown: np.ndarray,
    chosen: Grouping,
    stage: int,
    group: int,
    masked: Optional[MaskedText],
) -> EpochPlan:
    """The plan of some batches of one lot; ``chosen`` holds positions in the lot."""
    mask, mask_part = Grouping(np.empty(0, np.int64), np.zeros(len(chosen) + 1, np.int64)), np.empty(0, np.int16)
    if masked is not None and len(chosen):
        mask, mask_part = _masked_beside(chosen, shown, stage, masked)
    distil = Grouping(lot.indices[chosen.indices], chosen.starts)
    stages = np.full(len(chosen), stage, dtype=np.int64)
    return EpochPlan(distil, part[chosen.indices].astype(np.int16), mask, mask_part, stages, group)


def _joined(plans: List[EpochPlan], group: int) -> EpochPlan:
    """One plan after the other."""
    none = [np.empty(0, np.int16)]
    return EpochPlan(
        concatenated([plan.distil for plan in plans]),
        np.concatenate(none + [plan.distil_part for plan in plans]),
        concatenated([plan.mask for plan in plans]),
        np.concatenate(none + [plan.mask_part for plan in plans]),
        np.concatenate([np.empty(0, np.int64)] + [plan.stage for plan in plans]),
        group,
    )


def _masked_beside(
    distil: Grouping, lengths: np.ndarray, stage: int, masked: MaskedText
) -> Tuple[Grouping, np.ndarray]:
    """Monolingual sentences for each batch, and their parts: the longest beside the longest, so that one padded matrix fits both."""
    n = len(distil)
    pieces = int(lengths[distil.indices].sum() * masked.share / (1.0 - masked.share))
    drawn = masked.draw(pieces, stage)
    shown = masked.lengths(drawn.indices, drawn.least)
    groups = split_evenly(np.arange(len(drawn)), shown, n)
    longest = np.maximum.reduceat(lengths[distil.indices], distil.starts[:-1])
    place = np.empty(n, dtype=np.int64)
    place[np.argsort(-longest, kind="stable")] = np.arange(n)  # batch b is the place[b]-th longest
    groups = groups.reordered(place)
    return Grouping(drawn.indices[groups.indices], groups.starts), drawn.least[groups.indices]
