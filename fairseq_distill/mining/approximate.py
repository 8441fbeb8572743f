"""Approximate k nearest neighbours in both directions, with the recall that a sample of exact searches shows.

The vectors are compared in fewer dimensions where a sample shows that this loses next to nothing
(:mod:`fairseq_distill.mining.reduction`). Both sides are cut into clusters. Each source visits the clusters of targets whose
centroids are nearly as close to it as the nearest one, all visitors of a cluster at once: their cosines to its rows are one
matrix product, which serves the visitors and the visited alike (:mod:`fairseq_distill.mining.visits`). Then the targets visit
clusters of sources in the same way: a sentence without a translation is found from its own side sooner than from the other.
What was compared is screened, and candidates are measured as in the exact search. How far the rows reach follows from the
sample: rows whose exact neighbours are known say what would have had to be visited, and the cheaper side visits more.
"""

import logging
import time
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple, Type

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.choice import KINDS, kinds_to_try
from fairseq_distill.mining.clusters import assign, cluster_count, train_centroids
from fairseq_distill.mining.codes import Code
from fairseq_distill.mining.knn import open_sides, search_again, search_rows
from fairseq_distill.mining.products import Product, block_sizes, padded
from fairseq_distill.mining.reach import Reach, choose_reach
from fairseq_distill.mining.recall import Recall, Sample, measure, sample_size
from fairseq_distill.mining.reduction import LooseCandidates, Reduction, capacity_for, reduce_sides
from fairseq_distill.mining.rows import UnitRows, Workers
from fairseq_distill.mining.screen import Neighbours, Progress
from fairseq_distill.mining.topk import Candidates
from fairseq_distill.mining.visits import Side, Visit

logger = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 4096, 2048  # of a block: visitors of a cluster, rows of it
_EXACT_SHARE = 0.5  # of the pairs, from which the exact search is no slower
_AGAIN_SHARE = 0.02  # of the work done, that may be spent (in float32) on searching rows again exactly
_AGAIN_FREE = 1 << 26  # pairs that may be compared for it in any case: less than a second
_NOISE_SHARE = (
    0.25  # of a product's bound, which hardly any value uses up, that candidates in fewer dimensions are allowed
)


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
        dimensions: in which rows were compared before candidates were measured in all.
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
    dimensions: int
    seconds: Dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"approximate search | a source visits {self.probes[0]:.1f} of {self.clusters[1]:,} clusters, a target "
            f"{self.probes[1]:.1f} of {self.clusters[0]:,} | {100 * self.visited:.2f} % of the pairs compared in {self.dimensions:,} dimensions | {self.recall}"
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
        reach: of sources and of targets, see :func:`fairseq_distill.mining.reach.choose_reach` (infinity: everything is
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
        self.sides = Side(one, min(k, two.n)), Side(two, min(k, one.n))
        self.k, self.precision, self.max_memory, self.workers = k, precision, max_memory, workers
        self.progress = progress
        self.reduction: Optional[Reduction] = None
        self.seconds: Dict[str, float] = {}
        self.pairs = 0
        self._at = time.monotonic()

    def run(self, recall: float, seed: int, reach: Optional[Reach]) -> Optional[ApproximateReport]:
        """None: to compare all pairs would be no more work."""
        one, two = self.sides
        samples = self._samples(seed)
        self._lap("sample")
        if reach is None:
            self._reduce(samples, recall)
            self._lap("reduction")
        product = self._product()
        for number, side in enumerate(self.sides):
            centroids = train_centroids(side.low, cluster_count(side.low.n), seed + number, product)
            side.clusters = assign(side.low, centroids, product)
        self._lap("clusters")
        if reach is None:
            wanted = min(1.0, recall + (0.0 if self.reduction is None else self.reduction.lost))
            reach, share = choose_reach(samples, (one.low, two.low), (one.clusters, two.clusters), wanted, product)
            if share > _EXACT_SHARE:
                logger.info(f"recall {recall:g} takes {100 * share:.0f} % of all pairs: the exact search is used")
                return None
        self._visit_both(reach, product)
        del product
        again = self._again(one, two) + self._again(two, one)
        self._lap("again")
        return self._report(samples, recall, reach, again)

    def _report(self, samples: Tuple[Sample, Sample], recall: float, reach: Reach, again: int) -> ApproximateReport:
        one, two = self.sides
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
            dimensions=one.low.dim,
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

    def _reduce(self, samples: Tuple[Sample, Sample], recall: float) -> None:
        one, two = self.sides
        self.reduction = reduce_sides((one.rows, two.rows), samples, self.k, recall, self.max_memory, self.workers)
        if self.reduction is not None:
            one.low, two.low = self.reduction.sides

    def _product(self) -> Product:
        """The kind that is asked for or pays, where it keeps its bound on the first rows; else float32."""
        one, two = (side.low for side in self.sides)
        kinds = kinds_to_try(self.precision, one.n, two.n, one.dim)
        for name, following in zip(kinds, [*kinds[1:], ""]):
            try:
                product = self._made(KINDS[name])
            except ConfigError as error:
                if name == self.precision or not following:
                    raise
                logger.info(f"{error} {following} is used")
                continue
            self.bounds = bounds = product.bounds(one, two)
            self.sides[0].slack, self.sides[1].slack = bounds.forward, bounds.backward
            height, width = min(one.n, len(product.one)), min(two.n, len(product.two))
            product.load(one, 0, height, first=True)
            product.load(two, 0, width, first=False)
            if product.within_bound(product.multiply(height, width)):
                break
            logger.warning(f"{name} products err more than they should on this machine; {following} is used")
        return product

    def _made(self, kind: Type[Product]) -> Product:
        dim, most = self.sides[0].low.dim, max(side.rows.n for side in self.sides)
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

    def _candidates(self, slack: np.ndarray, n: int, k: int, code: Code) -> Candidates:
        """Of n rows; ``slack``, their part of the bounds, counts where all that is above it can be kept."""
        if self.reduction is None:
            return self.bounds.candidates(slack, n, k, code)
        noise = _NOISE_SHARE * float(np.max(slack))
        return LooseCandidates(n, k, capacity_for(k), code, np.asarray(self.reduction.slack + noise))

    def _visit_both(self, reach: Reach, product: Product) -> None:
        one, two = self.sides
        rounds = [
            (side, other, far) for side, other, far in ((one, two, reach[0]), (two, one, reach[1])) if far is not None
        ]
        total = one.rows.n * two.rows.n
        for number, (side, other, far) in enumerate(rounds):

            def show(share: float, before: int = number) -> None:
                if self.progress is not None:
                    self.progress(int((before + share) / len(rounds) * total), total)

            visit = Visit(side, other, far, product, self._candidates, self.max_memory, self.workers, show)
            self.pairs += visit.run()
            self._lap("sources" if side is one else "targets")

    def _again(self, side: Side, other: Side) -> int:
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
