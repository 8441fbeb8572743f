"""Approximate k nearest neighbours in both directions, with the recall that a sample of exact searches shows.

The larger side is cut into clusters. Each row of the other side visits the clusters whose centroids are nearly as close to it
as the nearest one, all visitors of a cluster at once: their cosines to its rows are one matrix product, which serves the
visitors and the visited alike. What was compared is screened and measured as in the exact search, so the only
neighbours that are lost are those that were never compared. How far a row reaches follows from a sample: rows
whose exact neighbours are known say what they would have had to visit.
"""

import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Optional, Tuple, Type

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.clusters import (
    Clusters,
    assign,
    choose_visits,
    cluster_count,
    reach_needed,
    share_visited,
    train_centroids,
)
from fairseq_distill.mining.knn import open_sides, search_again, search_rows
from fairseq_distill.mining.products import (
    BFloat16Product,
    Float32Product,
    Product,
    bfloat16_pays,
    block_sizes,
    bounds_of,
    padded,
)
from fairseq_distill.mining.recall import Recall, Sample, measure, sample_size
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.screen import Neighbours, Progress, empty_neighbours, offer, settle

logger = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 4096, 2048  # of a block: visitors of a cluster, rows of it
_LEAST_HELD = 256  # rows that visit at a time, at least
_EXACT_SHARE = 0.5  # of the pairs, from which the exact search is no slower
_AGAIN_SHARE = 0.25  # of the work done, that may be spent on searching rows again exactly
_AGAIN_FREE = 1 << 26  # pairs that may be compared for it in any case: less than a second


@dataclass(frozen=True)
class ApproximateReport:
    """How an approximate search went.

    Attributes:
        clusters: of the larger side.
        reach: how much further (in cosine) than the nearest centroid one may be to be visited.
        probes: clusters that a row visited on average.
        visited: share of all pairs that was compared.
        wanted: recall that was asked for.
        recall: what was measured.
        searched_again: rows that were searched again exactly, since their neighbours were not certain or not found.
        missing: rows with fewer than k neighbours all the same.
        seconds: wall time by step.
    """

    clusters: int
    reach: float
    probes: float
    visited: float
    wanted: float
    recall: Recall
    searched_again: int
    missing: int
    seconds: Dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"approximate search | {self.clusters:,} clusters, {self.probes:.1f} visited, "
            f"{100 * self.visited:.2f} % of the pairs compared | {self.recall}"
        )


def knn_both_approximate(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    recall: float = defaults.RECALL,
    seed: int = defaults.SEARCH_SEED,
    clusters: Optional[int] = None,
    reach: Optional[float] = None,
    precision: str = "auto",
    max_memory: int = defaults.MAX_MEMORY,
    names: Tuple[str, str] = ("source embeddings", "target embeddings"),
    index: Tuple[Optional[np.ndarray], Optional[np.ndarray]] = (None, None),
    progress: Optional[Progress] = None,
) -> Tuple[Neighbours, Neighbours, Optional[ApproximateReport]]:
    """Nearly the k nearest neighbours of each source row among the targets, and of each target row among the sources.

    Args:
        src, tgt, k, precision, names, index, progress: see :func:`fairseq_distill.mining.knn.knn_both`.
        recall: wanted share, in (0, 1], of rows whose nearest neighbour is found, in both directions.
        seed: of the rows that clusters are trained on and that recall is measured with.
        clusters: how many; None: about 4 sqrt(rows) of the larger side.
        reach: see :func:`fairseq_distill.mining.clusters.choose_visits`; None: as far as the recall wants it, infinity:
            everything is compared.
        max_memory: bytes for work buffers, among them the rows that visit at a time: the more of them, the less often
            the larger side is read. Candidates (some 200 to 600 bytes a row) and results come on top.

    Returns:
        (forward, backward, report). A neighbour that was not found has index -1 and cosine -inf. The report is None
        when an exact search was no slower, and so was done.

    Raises:
        DataError, ConfigError: as :func:`fairseq_distill.mining.knn.knn_both`; recall out of range.
    """
    if not 0 < recall <= 1:
        raise ConfigError(f"recall is {recall:g}, but must be above 0 and at most 1.")
    with Workers() as workers:
        one, two = open_sides(src, tgt, k, precision, names, index, workers)
        turned = one.n > two.n
        search = _Approximate(*((two, one) if turned else (one, two)), k, precision, max_memory, workers)
        report = search.run(recall, seed, clusters, reach, progress)
        if report is None:
            forward, backward = search_rows(one, two, k, True, precision, max_memory, workers, progress)
            assert backward is not None
            return forward, backward, None
        forward, backward = (search.backward, search.forward) if turned else (search.forward, search.backward)
        return forward, backward, replace(report, recall=report.recall.turned()) if turned else report


class _Approximate:
    """One search: rows of ``one`` visit clusters of ``two``."""

    def __init__(self, one: UnitRows, two: UnitRows, k: int, precision: str, max_memory: int, workers: Workers):
        self.one, self.two, self.k = one, two, k
        self.precision, self.max_memory, self.workers = precision, max_memory, workers
        self.forward, self.backward = empty_neighbours(one.n, min(k, two.n)), empty_neighbours(two.n, min(k, one.n))
        self.seconds: Dict[str, float] = {}
        self.pairs = self.visits = 0
        self._at = time.monotonic()

    def run(
        self, recall: float, seed: int, count: Optional[int], reach: Optional[float], progress: Optional[Progress]
    ) -> Optional[ApproximateReport]:
        """None: to compare all pairs would be no more work."""
        product = self._product()
        count = min(count or cluster_count(self.two.n), self.two.n)
        clusters = assign(self.two, train_centroids(self.two, count, seed, product), product)
        self._lap("clusters")
        samples = self._samples(seed)
        self._lap("sample")
        if reach is None:
            reach, share = self._plan(samples, clusters, recall, product)
            if share > _EXACT_SHARE:
                logger.info(f"recall {recall:g} takes {100 * share:.0f} % of all pairs: the exact search is used")
                return None
        open_forward, open_backward = self._scan(clusters, reach, product, progress)
        del product
        self._lap("search")
        again = self._again(open_forward, self.one, self.two, self.forward)
        again += self._again(open_backward, self.two, self.one, self.backward)
        self._lap("again")
        found = measure(samples, self.forward, self.backward)
        missing = sum(int((side.indices < 0).any(axis=1).sum()) for side in (self.forward, self.backward))
        share, probes = self.pairs / (self.one.n * self.two.n), self.visits / self.one.n
        report = ApproximateReport(count, reach, probes, share, recall, found, again, missing, self.seconds)
        logger.info(str(report))
        if found.least < recall:
            logger.warning(
                f"recall is {found.least:.4f} on the sample, below the {recall:g} wanted: ask for a higher --recall, "
                "or for --search exact"
            )
        return report

    def _lap(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step], self._at = round(now - self._at, 3), now

    def _product(self) -> Product:
        """Of bfloat16 where it is asked for or pays, and keeps its bound on the first rows; else of float32."""
        wanted = self.precision
        if wanted == "auto":
            wanted = "bfloat16" if bfloat16_pays(self.one.n, self.two.n, self.one.dim) else "float32"
        if wanted == "bfloat16":
            try:
                product = self._made(BFloat16Product)
            except ConfigError as error:
                if self.precision == "bfloat16":
                    raise
                logger.info(f"{error} float32 is used")
                return self._made(Float32Product)
            height, width = min(self.one.n, len(product.one)), min(self.two.n, len(product.two))
            product.load(self.one, 0, height, first=True)
            product.load(self.two, 0, width, first=False)
            if product.within_bound(product.multiply(height, width)):
                return product
            logger.warning("bfloat16 products err more than they should on this machine; float32 is used")
        return self._made(Float32Product)

    def _made(self, kind: Type[Product]) -> Product:
        dim = self.one.dim
        height, width = block_sizes(kind, dim, self.max_memory // 2, _HEIGHT, _WIDTH)
        return kind(min(height, padded(self.one.n)), min(width, padded(self.two.n)), dim, self.workers)

    def _samples(self, seed: int) -> Tuple[Sample, Sample]:
        """Rows of both sides with their exact neighbours."""
        random = np.random.default_rng([seed, 1])
        found = []
        for own, other in ((self.one, self.two), (self.two, self.one)):
            ids = np.sort(random.choice(own.n, sample_size(own.n), replace=False))
            exact = search_rows(
                own.subset(ids), other, self.k, False, self.precision, self.max_memory, self.workers, None
            )
            found.append(Sample(ids, exact[0]))
            own.release()
        return found[0], found[1]

    def _plan(
        self, samples: Tuple[Sample, Sample], clusters: Clusters, recall: float, product: Product
    ) -> Tuple[float, float]:
        """(the least reach with which both samples find enough nearest neighbours, the share of pairs it compares)."""
        forward, backward = samples
        visitors = self.one.subset(forward.ids)
        needed = [reach_needed(visitors, clusters.centroids, clusters.labels[forward.exact.indices[:, 0]], product)]
        found_by = self.one.subset(backward.exact.indices[:, 0])  # those who must visit the sampled rows' clusters
        needed.append(reach_needed(found_by, clusters.centroids, clusters.labels[backward.ids], product))
        reach = max(float(np.quantile(side, recall, method="higher")) for side in needed)
        self.one.release()
        share = share_visited(visitors, clusters, reach, product)
        logger.info(
            f"{len(clusters.centroids):,} clusters; recall {recall:g} needs a reach of {reach:.4f}, that is "
            f"{100 * share:.2f} % of all pairs"
        )
        return reach, share

    def _scan(
        self, clusters: Clusters, reach: float, product: Product, progress: Optional[Progress]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """All visits, as many visitors at a time as memory holds; returns the rows of both sides that are not certain."""
        one, base = self.one, self.two.subset(clusters.order)
        bounds = bounds_of(product, one, self.two)
        slack = bounds.backward[clusters.order] if bounds.backward.ndim else bounds.backward
        columns = bounds.candidates(slack, base.n, self.backward.indices.shape[1], product.dtype)
        size = self._visitors_at_a_time(product, len(clusters.centroids))
        held, undecided = product.empty(min(size, one.n)), [np.empty(0, np.int64)]
        for low, high in spans(0, one.n, size):
            product.fill(held, one, low, high)
            one.release()
            visits = choose_visits(held, high - low, clusters.centroids, reach, product)
            self.visits += len(visits.rows)
            own = bounds.forward[low:high] if bounds.forward.ndim else bounds.forward
            rows = bounds.candidates(own, high - low, self.forward.indices.shape[1], product.dtype)
            done, total = 0, int(np.diff(visits.starts) @ clusters.sizes)
            for cluster in np.flatnonzero((np.diff(visits.starts) > 0) & (clusters.sizes > 0)):
                visitors = visits.of(int(cluster)).astype(np.int64)
                for left, right in spans(clusters.starts[cluster], clusters.starts[cluster + 1], len(product.two)):
                    product.load(base, left, right, first=False)
                    for start, stop in spans(0, len(visitors), len(product.one)):
                        ids = visitors[start:stop]
                        product.pick(held, ids)
                        block = product.multiply(len(ids), right - left)
                        offer(block, rows, ids, columns, (left, right), self.workers, low + ids, left)
                done += len(visitors) * int(clusters.sizes[cluster])
                base.release_if_large()
                if progress is not None:
                    progress(int((low + (high - low) * done / total) * base.n), one.n * base.n)
            self.pairs += done
            undecided.append(low + settle(rows, one, base, low, self.forward, self.workers, clusters.order))
        del held
        return np.concatenate(undecided), self._settle_base(columns, base, clusters.order)

    def _settle_base(self, columns: Any, base: UnitRows, order: np.ndarray) -> np.ndarray:
        found = empty_neighbours(*self.backward.indices.shape)
        undecided = settle(columns, base, self.one, 0, found, self.workers)
        self.backward.cosines[order], self.backward.indices[order] = found.cosines, found.indices
        self.one.release()
        base.release()
        return np.sort(order[undecided])

    def _visitors_at_a_time(self, product: Product, count: int) -> int:
        """Rows that max_memory has room for beside the product's buffers and the centroids."""
        dim = self.one.dim
        taken = product.bytes_needed(len(product.one), len(product.two), dim) + product.itemsize * count * dim
        return max(_LEAST_HELD, (self.max_memory - taken) // (product.itemsize * dim))

    def _again(self, ids: np.ndarray, own: UnitRows, other: UnitRows, into: Neighbours) -> int:
        """Search the rows ``ids`` exactly as far as that is cheap, those with missing neighbours first."""
        missing = (into.cosines[ids] == -np.inf).any(axis=1)
        into.indices[into.cosines == -np.inf] = -1
        affordable = max(int(_AGAIN_SHARE * self.pairs), _AGAIN_FREE) // other.n
        wanted = np.sort(np.concatenate([ids[missing], ids[~missing]])[:affordable])
        if len(wanted) < len(ids):
            logger.info(
                f"{len(ids) - len(wanted):,} of {own.n:,} rows of {own.name} keep neighbours that may not be the nearest "
                "ones that were compared: to search them again exactly would cost too much"
            )
        search_again(wanted, own, other, into, self.max_memory, self.workers)
        return len(wanted)
