"""Embeddings in fewer dimensions, for an approximate search: the directions in which they differ most.

What sentences mean takes few of the dimensions that their vectors have. Rows projected on the leading eigenvectors of their
second moments keep most of every cosine, and comparing them costs a fraction. Whether that loses nearest neighbours is not
assumed: for rows whose exact neighbours are known it is counted how far behind the best of all these fall.
"""

import logging
import tempfile
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill.mining.knn import search_rows
from fairseq_distill.mining.recall import Sample
from fairseq_distill.mining.rows import UnitRows, Workers, exact_cosines, spans
from fairseq_distill.mining.topk import Candidates, Settled

logger = logging.getLogger(__name__)

WIDTHS = (128, 192, 256)  # tried in turn, where the rows are at least twice as wide
_SAMPLE = 8192  # rows of each side that say which directions count
_SPENT = 0.2  # share of the neighbours that may be lost, that fewer dimensions may lose
_ROWS = 1024  # projected at a time
_FEW = 4  # a width is tried with one in so many of the sample first
_Z = 3.0  # and not with the rest where it loses more than allowed by so many standard errors


@dataclass(frozen=True)
class Reduction:
    """Both sides in fewer dimensions.

    Attributes:
        sides: rows as they are, not of unit length.
        slack: how far behind the k-th best product of a row its nearest neighbours' may be.
        lost: share of the sample whose nearest neighbour is further behind, or not among the best ``capacity``.
    """

    sides: Tuple[UnitRows, UnitRows]
    slack: float
    lost: float


class LooseCandidates(Candidates):
    """Candidates by products in fewer dimensions: what lies within the slack is measured, and nothing else is promised."""

    def settled(self, start: int, stop: int) -> Settled:
        found = super().settled(start, stop)
        return found._replace(complete=np.ones(stop - start, bool))

    def ceiling(self, values: np.ndarray, start: int, stop: int) -> np.ndarray:
        floor = self._floor(values[:, -self.k], self.slack[start:stop])
        return np.where(values >= floor[:, None], np.inf, -np.inf)


def capacity_for(k: int) -> int:
    """Candidates of a row, by products in fewer dimensions, that are measured."""
    return 4 * k + 8


def widest(dim: int) -> int:
    """The largest of WIDTHS that is tried for rows of this width; 0: none."""
    return max((width for width in WIDTHS if 2 * width <= dim), default=0)


def reduce_sides(
    sides: Tuple[UnitRows, UnitRows],
    samples: Tuple[Sample, Sample],
    k: int,
    recall: float,
    max_memory: int,
    workers: Workers,
) -> Optional[Reduction]:
    """The least of WIDTHS that keeps nearly all nearest neighbours of the samples among the candidates; None: none does.

    Args:
        sides: sources and targets; samples: rows of them with their exact neighbours.
        recall: wanted of the search; of what it may lose a part is spent here.
    """
    widths = [width for width in WIDTHS if 2 * width <= sides[0].dim]
    if not widths:
        return None
    axes = leading_axes(sides)[:, : widths[-1]]
    widest = [project(rows, axes, max_memory, workers) for rows in sides]
    for width in widths:
        low = narrow(widest[0], width, max_memory, workers), narrow(widest[1], width, max_memory, workers)
        slack, lost = _cost(low, samples, k, _SPENT * (1 - recall), max_memory, workers)
        logger.info(
            f"{width} of {sides[0].dim:,} dimensions lose {100 * lost:.2f} % of the sample's nearest neighbours"
        )
        if lost <= _SPENT * (1 - recall):
            return Reduction(low, slack, lost)
    return None


def leading_axes(sides: Sequence[UnitRows], seed: int = 1) -> np.ndarray:
    """float32 [E, E]: eigenvectors of the second moments of samples of all sides together, the largest first."""
    random = np.random.default_rng(seed)
    moments = np.zeros((sides[0].dim, sides[0].dim))
    for rows in sides:
        size = min(rows.n, _SAMPLE)
        part = rows.subset(np.sort(random.choice(rows.n, size, replace=False)))
        unit = np.empty((size, rows.dim), np.float32)
        part.load(0, size, unit)
        moments += unit.T @ unit / size
        rows.release()
    return np.ascontiguousarray(np.linalg.eigh(moments)[1][:, ::-1], np.float32)


def project(rows: UnitRows, axes: np.ndarray, max_memory: int, workers: Workers) -> UnitRows:
    """``rows`` on ``axes`` float32 [E, D], as float16: in memory, or where they take more than max_memory in a file without name."""
    low = _room(rows.n, axes.shape[1], max_memory)
    unit = np.empty((min(rows.n, _ROWS), rows.dim), np.float32)
    for start, stop in spans(0, rows.n, len(unit)):
        here = unit[: stop - start]
        workers.each(lambda s: rows.load(start + s[0], start + s[1], here[s[0] :]), spans(0, stop - start, 128))
        low[start:stop] = here @ axes
        rows.release_if_large()
    rows.release()
    return UnitRows.plain(low, rows.name, workers)


def narrow(rows: UnitRows, width: int, max_memory: int, workers: Workers) -> UnitRows:
    """The first ``width`` elements of plain rows, which lie side by side again: NumPy would copy all for every look at some."""
    if width == rows.dim:
        return rows
    low, part = _room(rows.n, width, max_memory), np.empty((_ROWS, rows.dim), np.float32)
    for start, stop in spans(0, rows.n, _ROWS):
        rows.load(start, stop, part)
        low[start:stop] = part[: stop - start, :width]
    return UnitRows.plain(low, rows.name, workers)


def _room(n: int, width: int, max_memory: int) -> np.ndarray:
    """float16 [n, width], in memory or in a file without name."""
    if 2 * n * width <= max_memory:
        return np.empty((n, width), np.float16)
    file = tempfile.TemporaryFile(prefix="fairseq_distill.")
    return np.memmap(file, np.float16, "w+", shape=(n, width))


@dataclass(frozen=True)
class _Trial:
    """What a width does to S rows of one side: float32, bool [S].

    Attributes:
        behind: how far the nearest neighbour's product is behind the k-th best.
        among: whether the nearest neighbour is among the best ``capacity``.
    """

    behind: np.ndarray
    among: np.ndarray

    def lost(self, slack: float) -> float:
        """Share of the rows whose nearest neighbour is not found with this slack."""
        return float((~self.among | (self.behind > slack)).mean())


def _cost(
    low: Tuple[UnitRows, UnitRows],
    samples: Tuple[Sample, Sample],
    k: int,
    budget: float,
    max_memory: int,
    workers: Workers,
) -> Tuple[float, float]:
    """(slack, share lost) as in :class:`Reduction`, the slack so that no more than ``budget`` is lost by it.

    Of a width at which a part of the sample loses far more than that, the numbers are those of the part.
    """
    trials: Tuple[List[_Trial], List[_Trial]] = ([], [])
    for first in (True, False):
        for own, other, sample, known in zip(low, low[::-1], samples, trials):
            chosen = (np.arange(len(sample.ids)) % _FEW == 0) == first
            if chosen.any():
                known.append(_try(own, other, sample, chosen, k, max_memory, workers))
        sides = [
            _Trial(np.concatenate([t.behind for t in known]), np.concatenate([t.among for t in known]))
            for known in trials
        ]
        slack = max(0.0, *(float(np.quantile(side.behind, 1 - budget / 2, method="higher")) for side in sides))
        lost = max(side.lost(slack) for side in sides)
        if lost > budget + _Z * (budget / min(len(side.behind) for side in sides)) ** 0.5:
            break
    return slack, lost


def _try(
    own: UnitRows, other: UnitRows, sample: Sample, chosen: np.ndarray, k: int, max_memory: int, workers: Workers
) -> _Trial:
    """With the ``chosen``, bool [S], of a sample's rows; at least one."""
    part, capacity = own.subset(sample.ids[chosen]), min(capacity_for(k), other.n)
    # In float32: the bounds of other products are wide for so many candidates in so few dimensions.
    found = search_rows(part, other, capacity, False, "float32", max_memory, workers, None)[0]
    nearest, product = sample.exact.indices[chosen, 0], np.empty(part.n, np.float32)
    exact_cosines(part, np.arange(part.n), other, nearest, workers, product)
    among = (found.indices == nearest[:, None]).any(axis=1) | (product >= found.cosines[:, -1])
    return _Trial(found.cosines[:, min(k, capacity) - 1] - product, among)
