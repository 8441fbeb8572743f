"""Which sentences form which update of an epoch: planned ahead, as a function of the seed, the epoch and its first update.

A plan is made of whole batches. Each holds sentences to distil and, when there is monolingual text, sentences to mask,
in fixed proportion; sentences of one batch are of similar length, so that little is padded. Because the plan is known
ahead, every batch knows the denominators of its whole update (all processes, all ``--update-freq`` micro-batches), and
the loss of an update is the mean over its own items however the batches are spread.
"""

from dataclasses import dataclass
from typing import Callable, List, Sequence, Tuple

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
class EpochPlan:
    """All batches of one epoch, in the order in which updates use them.

    Attributes:
        distil: batch b distils the sentences ``distil[b]``.
        mask: batch b masks the sentences ``mask[b]``.
        increment: int64 [batches], the curriculum's part that batch b shows.
        group: number of consecutive batches that form one update over all processes.
    """

    distil: Grouping
    mask: Grouping
    increment: np.ndarray
    group: int

    def __len__(self) -> int:
        return len(self.distil)

    def totals(self, counts: np.ndarray) -> np.ndarray:
        """The sum of per-batch ``counts`` over each batch's update; same shape as ``counts``, [batches]."""
        update = np.arange(len(counts)) // self.group
        return np.bincount(update, weights=counts, minlength=1)[update] if len(counts) else counts.astype(np.float64)


def plan_epoch(
    draws: np.ndarray,
    lengths_of_increment: Callable[[int], np.ndarray],
    schedule: Callable[[int], Tuple[int, "int | None"]],
    first_update: int,
    group: int,
    max_tokens: int,
    max_sentences: int,
    rng: np.random.Generator,
    mask_draws: Callable[[int], np.ndarray] = lambda pieces: np.empty(0, np.int64),
    mask_lengths: np.ndarray = np.empty(0, np.int64),
    mask_share: float = 0.0,
) -> EpochPlan:
    """The batches of one epoch.

    Args:
        draws: int64 [N], the sentences to distil in this epoch, repetitions included, in random order.
        lengths_of_increment: for a part j of the curriculum, int [all sentences] pieces shown, with EOS.
        schedule: for an update, the part it shows and the first update that shows another (None: never).
        first_update: updates done before this epoch.
        group: batches of one update over all processes (processes x update frequency).
        max_tokens: bound on the padded pieces of a batch, masked sentences included.
        max_sentences: bound on sentences to distil in a batch.
        rng: the only source of randomness.
        mask_draws: for a number of pieces, the monolingual sentences to mask, about so many pieces in all.
        mask_lengths: int [all monolingual sentences], pieces with EOS.
        mask_share: share of a batch's pieces that is masked text, in [0, 1).
    """
    distil_tokens = max(1, int(max_tokens * (1.0 - mask_share)))
    distil: List[Grouping] = []
    mask: List[Grouping] = []
    increments: List[np.ndarray] = []
    done, remaining = 0, draws
    while len(remaining):
        part, change = schedule(first_update + done // group)
        lengths = lengths_of_increment(part)
        window, rest = remaining[:WINDOW], remaining[WINDOW:]
        batches = cut_by_length(window, lengths[window], distil_tokens, max_sentences)
        order = rng.permutation(len(batches))
        room = len(batches) if change is None else (change - first_update) * group - done
        if room < len(batches):
            # The part grows inside this window: what is left over is planned again at its new lengths.
            order, left = order[:room], order[room:]
            rest = np.concatenate([rng.permutation(batches.reordered(np.sort(left)).indices), rest])
        chosen = batches.reordered(order)
        distil.append(chosen)
        increments.append(np.full(len(chosen), part, dtype=np.int64))
        mask.append(_masked_beside(chosen, lengths, mask_draws, mask_lengths, mask_share))
        done += len(chosen)
        remaining = rest
    return EpochPlan(
        concatenated(distil), concatenated(mask), np.concatenate(increments or [np.empty(0, np.int64)]), group
    )


def _masked_beside(
    distil: Grouping,
    lengths: np.ndarray,
    mask_draws: Callable[[int], np.ndarray],
    mask_lengths: np.ndarray,
    mask_share: float,
) -> Grouping:
    """Monolingual sentences for each batch: the longest beside the longest, so that one padded matrix fits both."""
    n = len(distil)
    if mask_share <= 0 or not len(mask_lengths):
        return Grouping(np.empty(0, np.int64), np.zeros(n + 1, np.int64))
    pieces = int(lengths[distil.indices].sum() * mask_share / (1.0 - mask_share))
    drawn = mask_draws(pieces)
    groups = split_evenly(drawn, mask_lengths[drawn], n)
    longest = np.maximum.reduceat(lengths[distil.indices], distil.starts[:-1])
    place = np.empty(n, dtype=np.int64)
    place[np.argsort(-longest, kind="stable")] = np.arange(n)  # batch b is the place[b]-th longest
    return groups.reordered(place)
