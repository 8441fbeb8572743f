"""Clusters of embeddings by direction (spherical k-means), which say where an approximate search has to look."""

from dataclasses import dataclass
from typing import Any, Iterator, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.mining.products import Product
from fairseq_distill.mining.rows import UnitRows, spans

_BLOCK = 1024  # rows of a step of k-means
_SCORES = 1 << 22  # cosines to centroids that are looked at in one go
_ROUNDING = 1e-6  # a cosine may differ by, in a product of another size


@dataclass(frozen=True)
class Clusters:
    """M rows in L clusters.

    Attributes:
        centroids: float32 [L, E], of unit length.
        order: int64 [M], the rows cluster by cluster, ascending within a cluster.
        starts: int64 [L + 1], where each cluster begins in ``order``.
        labels: int32 [M], the cluster of each row.
    """

    centroids: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    labels: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """int64 [L]."""
        return np.diff(self.starts)


def cluster_count(m: int) -> int:
    """Clusters for m rows.

    With 2 sqrt(m) of them, to find the clusters that a row looks into costs as much as to look into four. Twice as many save a sixth
    of the pairs and take longer all the same: their products are narrow.
    """
    return int(max(1, min(round(2 * m**0.5), m // defaults.CLUSTER_LEAST_ROWS)))


def train_centroids(rows: UnitRows, count: int, seed: int, product: Product) -> np.ndarray:
    """float32 [count, E] of unit length: spherical k-means on a sample of the rows, the same for a seed and a machine.

    The sample is read anew in every round, so that memory does not grow with it. A centroid that no row is nearest to
    moves to a row that is far from its own.

    Source: Dhillon and Modha (2001), Concept Decompositions for Large Sparse Text Data using Clustering.
    """
    random = np.random.default_rng(seed)
    size = min(rows.n, count * defaults.CLUSTER_SAMPLE)
    sample = rows.subset(np.sort(random.choice(rows.n, size, replace=False)))
    start = sample.subset(np.sort(random.choice(size, count, replace=False)))
    centroids = np.empty((count, rows.dim), np.float32)
    start.load(0, count, centroids)
    for _ in range(defaults.CLUSTER_ROUNDS):
        centroids = _round(sample, centroids, random, product)
    rows.release()
    return centroids


def _round(sample: UnitRows, centroids: np.ndarray, random: np.random.Generator, product: Product) -> np.ndarray:
    """New centroids: the direction of the sum of each one's rows."""
    count = len(centroids)
    sums, sizes = np.zeros_like(centroids), np.zeros(count, np.int64)
    closeness = np.empty(sample.n, np.float32)
    centres, block = product.hold(centroids, first=False), min(_BLOCK, _at_once(count))
    unit = np.empty((block, sample.dim), np.float32)
    for low, high in spans(0, sample.n, block):
        here = unit[: high - low]
        sample.load(low, high, here)
        scores = product.scores(product.hold(here, first=True), centres)
        nearest = scores.argmax(axis=1)
        closeness[low:high] = np.take_along_axis(scores, nearest[:, None], axis=1)[:, 0]
        order = np.argsort(nearest, kind="stable")
        found, first = np.unique(nearest[order], return_index=True)
        sums[found] += np.add.reduceat(here[order], first, axis=0)
        sizes += np.bincount(nearest, minlength=count)
        sample.release_if_large()
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        far = np.argsort(closeness, kind="stable")[: 4 * len(empty)]
        chosen = sample.subset(np.sort(random.choice(far, min(len(empty), len(far)), replace=False)))
        rows = np.empty((chosen.n, sample.dim), np.float32)
        chosen.load(0, chosen.n, rows)
        sums[empty[: chosen.n]] = rows
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, lengths, out=centroids.copy(), where=lengths > 0)


def assign(rows: UnitRows, centroids: np.ndarray, product: Product) -> Clusters:
    """Every row in the cluster of its nearest centroid."""
    labels = np.empty(rows.n, np.int32)
    centres, block = product.hold(centroids, first=False), _at_once(len(centroids))
    held = product.empty(block)
    for low, high in spans(0, rows.n, block):
        product.fill(held, rows, low, high)
        labels[low:high] = product.scores(held[: high - low], centres).argmax(axis=1)
        rows.release_if_large()
    rows.release()
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=len(centroids)))])
    return Clusters(centroids, order, starts, labels)


def visit_limits(held: Any, n: int, centres: Any, reach: float, product: Product) -> np.ndarray:
    """float32 [n]: the cosine from which on a row visits a cluster, ``reach`` below the one to its nearest centroid.

    A row between several clusters so visits more of them than one in the middle of its own; on embeddings of news,
    equal recall takes a tenth to a half less work than with a fixed number of clusters.

    Args:
        held: unit rows in the product's own type, the first n of them; centres: the centroids [L] as its columns.
    """
    limits = np.empty(n, np.float32)
    for low, high in spans(0, n, _at_once(len(centres))):
        limits[low:high] = product.scores(held[low:high], centres).max(axis=1)
    return limits - np.float32(min(reach + _ROUNDING, 9.0))


def visitors(held: Any, limits: np.ndarray, centres: Any, product: Product) -> np.ndarray:
    """bool [L, n]: which rows visit which of some clusters, ``centres`` [L]; limits as of :func:`visit_limits`."""
    visits = np.empty((len(centres), len(limits)), bool)
    for low, high in spans(0, len(limits), _at_once(len(centres))):
        scores = product.scores(held[low:high], centres)
        visits[:, low:high] = (scores >= limits[low:high, None]).T
    return visits


def reach_needed(rows: UnitRows, centroids: np.ndarray, clusters: np.ndarray, product: Product) -> np.ndarray:
    """float32 [S]: how far each of S rows has to reach to visit its one of ``clusters`` int [S]."""
    needed = np.empty(rows.n, np.float32)
    for low, high, gaps in _gaps(rows, centroids, product):
        needed[low:high] = gaps[np.arange(high - low), clusters[low:high]]
    return needed


def shares_visited(rows: UnitRows, clusters: Clusters, reaches: np.ndarray, product: Product) -> np.ndarray:
    """float64 [R]: the share of all pairs that is compared when rows such as these reach so far; ``reaches`` ascending."""
    weights = np.zeros(len(reaches) + 1)
    for _, _, gaps in _gaps(rows, clusters.centroids, product):
        first = np.searchsorted(reaches.astype(np.float32), gaps.reshape(-1))  # the first reach that is enough
        sizes = np.broadcast_to(clusters.sizes, gaps.shape).reshape(-1)
        weights += np.bincount(first, weights=sizes, minlength=len(reaches) + 1)
    return np.cumsum(weights)[:-1] / (rows.n * len(clusters.order))


def _gaps(rows: UnitRows, centroids: np.ndarray, product: Product) -> Iterator[Tuple[int, int, np.ndarray]]:
    """(start, stop, float32 [stop - start, L]): how much further than the nearest one each centroid is."""
    centres, block = product.hold(centroids, first=False), min(_BLOCK, _at_once(len(centroids)))
    for low, high in spans(0, rows.n, block):
        unit = np.empty((high - low, rows.dim), np.float32)
        rows.load(low, high, unit)
        scores = product.scores(product.hold(unit, first=True), centres)
        yield low, high, scores.max(axis=1, keepdims=True) - scores


def _at_once(count: int) -> int:
    """Rows whose cosines to all centroids are looked at in one go."""
    return max(32, min(8 * _BLOCK, _SCORES // count))
