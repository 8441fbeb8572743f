"""Margin scores: how much closer a candidate is than the neighbourhoods of the two sentences."""

import logging
from typing import Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.mining.knn import Neighbours

logger = logging.getLogger(__name__)

MARGINS = ("absolute", "distance", "ratio")


def margin_scores(
    cosines: np.ndarray, src_mean: np.ndarray, tgt_mean: np.ndarray, margin: str = defaults.MARGIN
) -> np.ndarray:
    """Score each source sentence against each of its K nearest target sentences.

    With a = cos(x, y) and b = (mean(x) + mean(y)) / 2: ratio a / b, distance a - b, absolute a. The ratio divides by
    max(b, defaults.RATIO_FLOOR): a neighbourhood whose mean is zero or negative (a handful of unrelated sentences, zero
    vectors) would otherwise turn the order round or give scores without bounds. Where b is at least the floor, which is
    so in any corpus, nothing changes. A high ratio is no proof where b is small: look at the cosine too.

    Args:
        cosines: float32 [N, K], cosine of sentence n to its k-th neighbour, in [-1, 1].
        src_mean: float32 [N], mean cosine of sentence n to its K neighbours.
        tgt_mean: float32 [N, K], the same mean for each neighbour, seen from the target side.
        margin: "ratio", "distance" or "absolute".
    Returns:
        float32 [N, K]; a ratio near 1 means "no closer than the neighbourhood"; at most 1 / RATIO_FLOOR in size.
    Raises:
        ValueError: unknown margin, or shapes that do not fit.
    Source: Artetxe and Schwenk (2019), https://aclanthology.org/P19-1309, margin-based scoring.
    """
    if margin not in MARGINS:
        raise ValueError(f"margin must be one of {', '.join(MARGINS)}, but is {margin!r}")
    if cosines.ndim != 2 or src_mean.shape != cosines.shape[:1] or tgt_mean.shape != cosines.shape:
        raise ValueError(f"cosines {cosines.shape}, src_mean {src_mean.shape} and tgt_mean {tgt_mean.shape} do not fit")
    cosines = cosines.astype(np.float32, copy=False)
    if margin == "absolute":
        return cosines
    around = (src_mean[:, None].astype(np.float32) + tgt_mean.astype(np.float32)) / np.float32(2)
    if margin == "distance":
        return cosines - around
    return cosines / np.maximum(around, np.float32(defaults.RATIO_FLOOR))


def neighbourhood_means(neighbours: Neighbours) -> np.ndarray:
    """float32 [N]: mean cosine of each sentence to its K neighbours, those that were found; 0 where none was."""
    found = neighbours.indices >= 0
    if found.all():
        return neighbours.cosines.mean(axis=1, dtype=np.float64).astype(np.float32)
    sums = np.where(found, neighbours.cosines, 0).sum(axis=1, dtype=np.float64)
    return (sums / np.maximum(found.sum(axis=1), 1)).astype(np.float32)


def best_candidates(
    own: Neighbours, own_mean: np.ndarray, other_mean: np.ndarray, margin: str
) -> Tuple[np.ndarray, np.ndarray]:
    """The best-scored of each sentence's K neighbours.

    Args:
        own: neighbours of N sentences among M of the other side.
        own_mean: float32 [N], see :func:`neighbourhood_means`.
        other_mean: float32 [M], the other side's.
    Returns:
        (float32 [N] scores, int64 [N] indices into the other side); of equal scores the nearer, then the lower index.
        A sentence for which no neighbour was found has the score -inf and the index -1.
    """
    # Index -1 reads the last mean; but with the cosine -inf every margin is -inf, whatever the means.
    scores = margin_scores(own.cosines, own_mean, other_mean[own.indices], margin)
    best = scores.argmax(axis=1)[:, None]
    return np.take_along_axis(scores, best, axis=1)[:, 0], np.take_along_axis(own.indices, best, axis=1)[:, 0]


def warn_of_weak_neighbourhoods(margin: str, means: np.ndarray) -> None:
    """Say how many of ``means``, see :func:`neighbourhood_means`, are too small to divide by."""
    weak = int((means < defaults.RATIO_FLOOR).sum())
    if margin == "ratio" and weak:
        logger.warning(
            f"{weak:,} of {len(means):,} sentences have neighbours of a mean cosine below {defaults.RATIO_FLOOR:g}: "
            "their ratios say little; is the corpus very small, or is it the wrong encoder?"
        )
