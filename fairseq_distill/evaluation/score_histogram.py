"""Margin scores counted in a stream: memory does not grow with the number of pairs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Iterator, List

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.embeddings import map_array
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.progress import Progress

_FINE_PER_UNIT = 1000  # fine bins are 0.001 wide, so that a threshold of three decimals lies on an edge
_LIMIT = 10  # scores beyond +-10 are counted in the outermost bins; margins lie near 1 (ratio) or 0 (the others)
_N_FINE = 2 * _LIMIT * _FINE_PER_UNIT
_CHUNK = 1 << 16


@dataclass
class Histogram:
    """Counts between rising edges (one more than counts), and the scores below and above them that are left out."""

    edges: List[float]
    counts: List[int]
    below: int = 0
    above: int = 0

    def at_least(self, index: int) -> int:
        """How many scores are at or above ``edges[index]``."""
        return sum(self.counts[index:]) + self.above


@dataclass
class ScoreCounts:
    """How many scores lie in each fine bin; int64 [20000], bin i is [i / 1000 - 10, (i + 1) / 1000 - 10)."""

    fine: np.ndarray = field(default_factory=lambda: np.zeros(_N_FINE, np.int64))

    @property
    def n(self) -> int:
        """Number of scores counted."""
        return int(self.fine.sum())

    def add(self, scores: np.ndarray) -> None:
        """Count scores, float [N].

        A score is taken at six decimals, as it stands in a mined file; so the decimal 1.06 falls into the bin that
        begins at 1.06, although the binary number nearest to it lies below.

        Raises:
            ValueError: a score is not finite.
        """
        if not np.isfinite(scores).all():
            raise ValueError("a score is not finite")
        micro = np.rint(np.clip(scores.astype(np.float64), -_LIMIT, _LIMIT) * 1e6).astype(np.int64)
        index = (micro + _LIMIT * 1_000_000) // (1_000_000 // _FINE_PER_UNIT)
        self.fine += np.bincount(np.minimum(index, _N_FINE - 1), minlength=_N_FINE)

    def histogram(self, most: int) -> "Histogram":
        """At most ``most`` bins of a round width (1, 2 or 5 times a power of ten) over where the scores lie.

        Outliers, up to one score in a thousand, are left out where they would squeeze the rest.
        """
        total = self.n
        if total == 0:
            return Histogram([0.0, 1.0], [0])
        filled = np.flatnonzero(self.fine)
        low, high = int(filled[0]), int(filled[-1])
        cumulated = np.cumsum(self.fine)
        inner_low = int(np.searchsorted(cumulated, total * 0.0005, side="right"))
        inner_high = int(np.searchsorted(cumulated, total * 0.9995))
        if high - low > 1.5 * (inner_high - inner_low + 1):
            low, high = inner_low, inner_high
        widths = (factor * 10**power for power in range(6) for factor in (1, 2, 5))
        zero = _LIMIT * _FINE_PER_UNIT  # edges are multiples of the width, counted from score 0
        for width in widths:
            first, last = (low - zero) // width, (high - zero) // width
            if last - first < most:
                break
        edges = [i * width for i in range(first, last + 2)]
        bounds = np.clip(np.asarray(edges) + zero, 0, _N_FINE)
        up_to = np.concatenate([[0], cumulated])[bounds]  # scores below each edge
        return Histogram(
            [edge / _FINE_PER_UNIT for edge in edges], np.diff(up_to).tolist(), int(up_to[0]), total - int(up_to[-1])
        )


def count_scores(path: PathLike) -> ScoreCounts:
    """The counts of a score file: ``.npy`` of one dimension, or text with one number a line (also ``.gz``).

    Raises:
        DataError: missing or damaged file, wrong shape, not a number, or not finite.
    """
    counts = ScoreCounts()
    try:
        progress = Progress(f"report | scores in {Path(path).name}", None, unit="scores")
        for chunk in _chunks(path):
            counts.add(chunk)
            progress.add(len(chunk))
        progress.line.wipe()
    except ValueError as error:
        raise DataError(f"{path} is not a file of scores: {error}.") from error
    return counts


def _chunks(path: PathLike) -> Iterator[np.ndarray]:
    """The scores of a file, some 65,000 at a time."""
    if str(path).endswith(".npy"):
        scores = map_array(path)
        if scores.ndim != 1 or scores.dtype.kind not in "fiu":
            raise ValueError(f"an array of shape {scores.shape} and type {scores.dtype} instead of one row of numbers")
        for start in range(0, len(scores), _CHUNK):
            yield np.asarray(scores[start : start + _CHUNK])
        return
    for lines in batched(iter_lines(path), _CHUNK):
        yield np.asarray(lines, dtype=np.float64)


def batched(items: "Iterable[str]", size: int) -> "Iterator[List[str]]":
    """Lists of ``size`` items, the last one shorter."""
    batch: List[str] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
