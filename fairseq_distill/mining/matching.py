"""From the best candidate of every sentence to mined pairs: forward, backward, intersection, greedy matching."""

from dataclasses import dataclass
from typing import List

import numpy as np

RETRIEVALS = ("fwd", "bwd", "intersect", "max")
_ROUNDS = 64  # of vectorised matching; what is left then (chains in which each pair waits for the next) is done singly


@dataclass(frozen=True)
class ScoredPairs:
    """P pairs, best first; among equal scores by source, then by target.

    Attributes:
        scores: float32 [P].
        src: int64 [P], indices of source sentences.
        tgt: int64 [P], indices of target sentences.
    """

    scores: np.ndarray
    src: np.ndarray
    tgt: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, which: np.ndarray) -> "ScoredPairs":
        """The pairs at ``which``, a mask or indices."""
        return ScoredPairs(self.scores[which], self.src[which], self.tgt[which])

    def best_first(self) -> "ScoredPairs":
        """The same pairs in the order that this class promises."""
        return self.take(np.lexsort((self.tgt, self.src, -self.scores)))


def retrieve(retrieval: str, forward: ScoredPairs, backward: ScoredPairs, threshold: float = -np.inf) -> ScoredPairs:
    """The mined pairs.

    ``fwd`` keeps the best target of each source, ``bwd`` the best source of each target, ``intersect`` what both chose;
    ``max`` goes through both kinds, best first, and keeps a pair when neither of its sentences has been used before.

    Args:
        retrieval: one of RETRIEVALS.
        forward: one pair for each source, in the order of the sources; may be empty for ``bwd``.
        backward: one pair for each target, in the order of the targets; may be empty for ``fwd``.
        threshold: only pairs with a greater score are kept.
    Raises:
        ValueError: unknown retrieval.
    Source: mine_bitexts.py of LASER (where fwd, bwd and intersect ignore the threshold).
    """
    if retrieval == "fwd":
        pairs = forward
    elif retrieval == "bwd":
        pairs = backward
    elif retrieval == "intersect":
        pairs = forward.take(backward.src[forward.tgt] == forward.src)
    elif retrieval == "max":
        # Pairs below the threshold can go first: they come last, and so never take a sentence from a better one.
        both = [side.take(side.scores > threshold) for side in (forward, backward)]
        pairs = greedy_matching(ScoredPairs(*(np.concatenate(field) for field in zip(*map(_fields, both)))))
    else:
        raise ValueError(f"retrieval must be one of {', '.join(RETRIEVALS)}, but is {retrieval!r}")
    return pairs.take(pairs.scores > threshold).best_first()


def greedy_matching(pairs: ScoredPairs) -> ScoredPairs:
    """Best first, each pair whose source and target are both still free; a pair may be listed twice.

    A pair that is the best left for both its sentences is one that the greedy walk takes whatever comes between: all
    such pairs are taken at once, their rivals struck out, and so on. Ranks are distinct, so the result is the walk's.
    """
    pairs = pairs.best_first()
    src, tgt = _renumber(pairs.src), _renumber(pairs.tgt)
    left = np.arange(len(pairs))  # ranks of the pairs still open, ascending
    best_of_src, best_of_tgt = np.empty(len(pairs), np.int64), np.empty(len(pairs), np.int64)
    src_used, tgt_used = np.zeros(len(pairs), bool), np.zeros(len(pairs), bool)
    chosen: List[np.ndarray] = []
    for _ in range(_ROUNDS):
        if not len(left):
            break
        worst_first = left[::-1]
        best_of_src[src[worst_first]] = worst_first  # of several assignments to one place the last one holds
        best_of_tgt[tgt[worst_first]] = worst_first
        taken = left[(best_of_src[src[left]] == left) & (best_of_tgt[tgt[left]] == left)]
        chosen.append(taken)
        src_used[src[taken]] = True
        tgt_used[tgt[taken]] = True
        left = left[~(src_used[src[left]] | tgt_used[tgt[left]])]
    chosen.append(_walk(left, src, tgt))
    return pairs.take(np.sort(np.concatenate(chosen)))


def _walk(ranks: np.ndarray, src: np.ndarray, tgt: np.ndarray) -> np.ndarray:
    used_src, used_tgt, kept = set(), set(), []
    for rank, one, two in zip(ranks.tolist(), src[ranks].tolist(), tgt[ranks].tolist()):
        if one not in used_src and two not in used_tgt:
            used_src.add(one)
            used_tgt.add(two)
            kept.append(rank)
    return np.asarray(kept, np.int64)


def _renumber(ids: np.ndarray) -> np.ndarray:
    """The same ids as 0, 1, ...: int64 [P], below P."""
    return np.unique(ids, return_inverse=True)[1].reshape(ids.shape)


def _fields(pairs: ScoredPairs) -> tuple:
    return pairs.scores, pairs.src, pairs.tgt
