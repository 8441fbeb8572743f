"""Approximate k nearest neighbours in both directions, with the recall that a sample of exact searches shows.

Both sides are cut into clusters. Each source visits the clusters of targets whose centroids are nearly as close to it as the
nearest one, all visitors of a cluster at once: their cosines to its rows are one matrix product, which serves the
visitors and the visited alike. Then the targets visit clusters of sources in the same way: a sentence without a
translation is found from its own side sooner than from the other. What was compared is screened and measured as in the exact
search, so the only neighbours that are lost are those that were never compared. How far the rows reach follows
from a sample: rows whose exact neighbours are known say what would have had to be visited, and the cheaper side visits more.
"""

import logging
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple, Type

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.choice import KINDS, kinds_to_try
from fairseq_distill.mining.clusters import Clusters, assign, choose_visits, cluster_count, train_centroids
from fairseq_distill.mining.knn import open_sides, search_again, search_rows
from fairseq_distill.mining.products import Product, block_sizes, padded
from fairseq_distill.mining.reach import Reach, choose_reach
from fairseq_distill.mining.recall import Recall, Sample, measure, sample_size
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.screen import Neighbours, Progress, empty_neighbours, merge, no_neighbours, offer, settle
from fairseq_distill.mining.topk import Bounds, Candidates

logger = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 4096, 2048  # of a block: visitors of a cluster, rows of it
_LEAST_HELD = 256  # rows that visit at a time, at least
_EXACT_SHARE = 0.5  # of the pairs, from which the exact search is no slower
_AGAIN_SHARE = 0.02  # of the work done, that may be spent (in float32) on searching rows again exactly
_AGAIN_FREE = 1 << 26  # pairs that may be compared for it in any case: less than a second


@dataclass(frozen=True)
class ApproximateReport:
    """How an approximate search went.

    Attributes:
        clusters: of the sources and of the targets.
        reach: how much further (in cosine) than the nearest centroid one may be to be visited by a source, by a target;
            None when that side visits nothing.
        probes: clusters that a source and that a target visited on average.
        visited: pairs compared, as a share of all pairs.
        wanted: recall that was asked for.
        recall: what was measured.
        searched_again: rows that were searched again exactly, since their neighbours were not certain or not found.
        missing: rows with fewer than k neighbours all the same.
        seconds: wall time by step.
    """

    clusters: Tuple[int, int]
    reach: Reach
    probes: Tuple[float, float]
    visited: float
    wanted: float
    recall: Recall
    searched_again: int
    missing: int
    seconds: Dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"approximate search | a source visits {self.probes[0]:.1f} of {self.clusters[1]:,} clusters, a target "
            f"{self.probes[1]:.1f} of {self.clusters[0]:,} | {100 * self.visited:.2f} % of the pairs compared | {self.recall}"
        )


def knn_both_approximate(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    recall: float = defaults.RECALL,
    seed: int = defaults.SEARCH_SEED,
    reach: Optional[Reach] = None,
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
        reach: of sources and of targets, see :func:`fairseq_distill.mining.clusters.choose_visits` (infinity: everything is
            compared; None: that side visits nothing); None: as far as the recall wants it.
        max_memory: bytes for work buffers, among them the rows that visit at a time: the more of them, the less often
            the other side is read. Candidates (some 200 to 600 bytes a row) and results come on top.

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
        search = _Approximate(one, two, k, precision, max_memory, workers, progress)
        report = search.run(recall, seed, reach)
        if report is None:
            forward, backward = search_rows(one, two, k, True, precision, max_memory, workers, progress)
            assert backward is not None
            return forward, backward, None
        return search.sides[0].found, search.sides[1].found, report


class _Side:
    """One side of a search: its rows, their clusters, and what was found for them.

    Attributes:
        open: rows whose neighbours are not certain, as they are noted.
    """

    def __init__(self, rows: UnitRows, k: int):
        self.rows, self.k = rows, k
        self.clusters: Clusters
        self.found = no_neighbours(rows.n, k)
        self.open: List[np.ndarray] = [np.empty(0, np.int64)]
        self.visits = 0


class _Approximate:
    """One search: sources visit clusters of targets, targets those of sources."""

    def __init__(
        self,
        one: UnitRows,
        two: UnitRows,
        k: int,
        precision: str,
        max_memory: int,
        workers: Workers,
        progress: Optional[Progress],
    ):
        self.sides = _Side(one, min(k, two.n)), _Side(two, min(k, one.n))
        self.k, self.precision, self.max_memory, self.workers = k, precision, max_memory, workers
        self.progress = progress
        self.seconds: Dict[str, float] = {}
        self.pairs = 0
        self._at = time.monotonic()

    def run(self, recall: float, seed: int, reach: Optional[Reach]) -> Optional[ApproximateReport]:
        """None: to compare all pairs would be no more work."""
        product = self._product()
        for number, side in enumerate(self.sides):
            centroids = train_centroids(side.rows, cluster_count(side.rows.n), seed + number, product)
            side.clusters = assign(side.rows, centroids, product)
        self._lap("clusters")
        samples = self._samples(seed)
        self._lap("sample")
        one, two = self.sides
        if reach is None:
            reach, share = choose_reach(samples, (one.rows, two.rows), (one.clusters, two.clusters), recall, product)
            if share > _EXACT_SHARE:
                logger.info(f"recall {recall:g} takes {100 * share:.0f} % of all pairs: the exact search is used")
                return None
        self._visit_both(reach, product)
        del product
        again = self._again(one, two) + self._again(two, one)
        self._lap("again")
        found = measure(samples, one.found, two.found)
        report = ApproximateReport(
            clusters=(len(one.clusters.centroids), len(two.clusters.centroids)),
            reach=reach,
            probes=(one.visits / one.rows.n, two.visits / two.rows.n),
            visited=self.pairs / (one.rows.n * two.rows.n),
            wanted=recall,
            recall=found,
            searched_again=again,
            missing=sum(int((side.found.indices < 0).any(axis=1).sum()) for side in self.sides),
            seconds=self.seconds,
        )
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
        """The kind that is asked for or pays, where it keeps its bound on the first rows; else float32."""
        one, two = (side.rows for side in self.sides)
        kinds = kinds_to_try(self.precision, one.n, two.n, one.dim)
        for name, following in zip(kinds, [*kinds[1:], ""]):
            try:
                product = self._made(KINDS[name])
            except ConfigError as error:
                if name == self.precision or not following:
                    raise
                logger.info(f"{error} {following} is used")
                continue
            self.bounds = product.bounds(one, two)
            height, width = min(one.n, len(product.one)), min(two.n, len(product.two))
            product.load(one, 0, height, first=True)
            product.load(two, 0, width, first=False)
            if product.within_bound(product.multiply(height, width)):
                break
            logger.warning(f"{name} products err more than they should on this machine; {following} is used")
        return product

    def _made(self, kind: Type[Product]) -> Product:
        dim, most = self.sides[0].rows.dim, max(side.rows.n for side in self.sides)
        height, width = block_sizes(kind, dim, self.max_memory // 2, _HEIGHT, _WIDTH)
        return kind(min(height, padded(most)), min(width, padded(most)), dim, self.workers)

    def _samples(self, seed: int) -> Tuple[Sample, Sample]:
        """Rows of both sides with their exact neighbours."""
        random = np.random.default_rng([seed, 1])
        found = []
        for own, other in (self.sides, self.sides[::-1]):
            ids = np.sort(random.choice(own.rows.n, sample_size(own.rows.n), replace=False))
            part = own.rows.subset(ids)
            exact = search_rows(part, other.rows, self.k, False, self.precision, self.max_memory, self.workers, None)
            found.append(Sample(ids, exact[0]))
            own.rows.release()
        return found[0], found[1]

    def _visit_both(self, reach: Reach, product: Product) -> None:
        one, two = self.sides
        bounds = self.bounds
        turned = Bounds(bounds.backward, bounds.forward, bounds.relative, bounds.per_neighbour, bounds.spare)
        rounds = [
            (visitors, visited, far, own)
            for visitors, visited, far, own in ((one, two, reach[0], bounds), (two, one, reach[1], turned))
            if far is not None
        ]
        for number, (visitors, visited, far, own) in enumerate(rounds):
            self._visit(visitors, visited, far, own, product, number / len(rounds), 1 / len(rounds))
            self._lap("sources" if visitors is one else "targets")

    def _visit(
        self, side: _Side, other: _Side, reach: float, bounds: Bounds, product: Product, done: float, share: float
    ) -> None:
        """All visits of one side, as many visitors at a time as memory holds.

        Args:
            bounds: forward of ``side``, backward of ``other``.
            done, share: of the whole search, before this round and in it.
        """
        one, order = side.rows, other.clusters.order
        base = other.rows.subset(order)
        slack = bounds.backward[order] if bounds.backward.ndim else bounds.backward
        columns = bounds.candidates(slack, base.n, other.k, product.code)
        size = self._visitors_at_a_time(product, len(other.clusters.centroids))
        held = product.empty(min(size, one.n))
        for low, high in spans(0, one.n, size):
            product.fill(held, one, low, high)
            one.release()
            own = bounds.forward[low:high] if bounds.forward.ndim else bounds.forward
            rows = bounds.candidates(own, high - low, side.k, product.code)
            visits = choose_visits(held, high - low, other.clusters.centroids, reach, product)
            side.visits += len(visits.rows)
            pairs = np.diff(visits.starts) * other.clusters.sizes
            compared = 0
            for cluster in np.flatnonzero(pairs):
                span = int(other.clusters.starts[cluster]), int(other.clusters.starts[cluster + 1])
                self._meet(base, span, held, low, visits.of(int(cluster)).astype(np.int64), rows, columns, product)
                compared += int(pairs[cluster])
                if self.progress is not None:
                    part = (low + (high - low) * compared / int(pairs.sum())) / one.n
                    self.progress(int((done + share * part) * one.n * base.n), one.n * base.n)
            self.pairs += compared
            found = empty_neighbours(high - low, side.k)
            side.open.append(low + rows.filled(settle(rows, one, base, 0, found, self.workers, order, low)))
            merge(side.found, slice(low, high), found)
        del held
        found = empty_neighbours(base.n, other.k)
        other.open.append(order[columns.filled(settle(columns, base, one, 0, found, self.workers))])
        merge(other.found, order, found)
        one.release()
        base.release()

    def _meet(
        self,
        base: UnitRows,
        span: Tuple[int, int],
        held: Any,
        low: int,
        visitors: np.ndarray,
        rows: Candidates,
        columns: Candidates,
        product: Product,
    ) -> None:
        """Compare the visitors, rows of ``held`` (its first is row ``low``), with the cluster that is ``span`` of base."""
        for left, right in spans(*span, len(product.two)):
            product.load(base, left, right, first=False)
            for start, stop in spans(0, len(visitors), len(product.one)):
                ids = visitors[start:stop]
                product.pick(held, ids)
                block = product.multiply(len(ids), right - left)
                offer(block, rows, ids, columns, (left, right), self.workers, low + ids, left)
        base.release_if_large()

    def _visitors_at_a_time(self, product: Product, count: int) -> int:
        """Rows that max_memory has room for beside the product's buffers and the centroids."""
        row = product.row_bytes(product.dim)
        taken = product.bytes_needed(len(product.one), len(product.two), product.dim) + count * row
        return max(_LEAST_HELD, (self.max_memory - taken) // row)

    def _again(self, side: _Side, other: _Side) -> int:
        """Search the open rows exactly as far as that is cheap, those with missing neighbours first."""
        ids = np.unique(np.concatenate([*side.open, np.flatnonzero((side.found.indices < 0).any(axis=1))]))
        missing = (side.found.indices[ids] < 0).any(axis=1)
        affordable = max(int(_AGAIN_SHARE * self.pairs), _AGAIN_FREE) // other.rows.n
        wanted = np.sort(np.concatenate([ids[missing], ids[~missing]])[:affordable])
        if len(wanted) < len(ids):
            logger.info(
                f"{len(ids) - len(wanted):,} of {side.rows.n:,} rows of {side.rows.name} keep neighbours that may not be "
                "the nearest ones that were compared: to search them again exactly would cost too much"
            )
        search_again(wanted, side.rows, other.rows, side.found, self.max_memory, self.workers)
        return len(wanted)
