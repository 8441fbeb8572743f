"""The rows of one side visit clusters of the other: what an approximate search compares."""

import queue
import threading
from typing import Any, Callable, List, Optional, Tuple

import numpy as np

from fairseq_distill.mining.clusters import Clusters, visit_limits, visitors
from fairseq_distill.mining.codes import Code
from fairseq_distill.mining.products import Product, padded
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.screen import empty_neighbours, merge, no_neighbours, offer, settle
from fairseq_distill.mining.topk import Candidates

_LEAST_HELD = 256  # rows that visit at a time, at least
BAND = 256  # clusters whose visitors are found in one go

MakeCandidates = Callable[[np.ndarray, int, int, Code], Candidates]


class Side:
    """One side of a search: its rows, their clusters, and what was found for them.

    Attributes:
        low: what is compared, the rows themselves or in fewer dimensions.
        slack: of the products' values, one for all rows or one for each.
        open: rows whose neighbours are not certain, as they are noted.
        visits: clusters that its rows visited, all together.
    """

    def __init__(self, rows: UnitRows, k: int):
        self.rows, self.low, self.k = rows, rows, k
        self.clusters: Clusters
        self.slack = np.zeros(())
        self.found = no_neighbours(rows.n, k)
        self.open: List[np.ndarray] = [np.empty(0, np.int64)]
        self.visits = 0

    def slack_of(self, rows: Any) -> np.ndarray:
        """The slack of some rows."""
        return self.slack[rows] if self.slack.ndim else self.slack


class Visit:
    """All rows of one side visit the clusters of the other.

    Every thread takes some of the visitors at a time through all clusters with a product of its own. Visitors come in the order of
    their own clusters: neighbours then visit the same clusters, and what is kept of them lies side by side.

    Args:
        candidates: makes the candidates of n rows with a slack and k.
        progress: called with the share of the visitors that are done.
    """

    def __init__(
        self,
        side: Side,
        other: Side,
        reach: float,
        product: Product,
        candidates: MakeCandidates,
        max_memory: int,
        workers: Workers,
        progress: Callable[[float], None],
    ):
        self.side, self.other, self.reach, self.product = side, other, reach, product
        self.candidates, self.max_memory, self.workers, self.progress = candidates, max_memory, workers, progress
        self.going, self.order = side.clusters.order, other.clusters.order
        self.guests, self.low = side.low.subset(self.going), other.low.subset(self.order)
        self.columns = candidates(other.slack_of(self.order), self.low.n, other.k, product.code)
        self.centres = product.hold(other.clusters.centroids, first=False)
        self.held = self._held()
        self.compared = self._done = 0
        self._lock = threading.Lock()

    def run(self) -> int:
        """The number of pairs compared."""
        side, other = self.side, self.other
        guests, full = side.rows.subset(self.going), other.rows.subset(self.order)
        free: "queue.SimpleQueue[Product]" = queue.SimpleQueue()
        with self.product.lanes(self.max_memory) as lanes:
            for lane in lanes:
                if self.held is not None:
                    lane.two = self.held
                elif len(lanes) > 1:
                    lane.two = lane.empty(len(self.product.two))
                free.put(lane)
            outer, inner = (self.workers, Workers(1)) if len(lanes) > 1 else (Workers(1), self.workers)

            def some(span: Tuple[int, int]) -> None:
                low, high = span
                lane = free.get()
                try:
                    lane.enter()
                    rows = self.candidates(side.slack_of(self.going[low:high]), high - low, side.k, lane.code)
                    self._go_round(lane, rows, low, high, inner)
                finally:
                    free.put(lane)
                found = empty_neighbours(high - low, side.k)
                unsure = rows.filled(settle(rows, guests, full, 0, found, inner, self.order, low))
                with self._lock:
                    side.open.append(self.going[low + unsure])
                    merge(side.found, self.going[low:high], found)
                    self._done += high - low
                    self.progress(self._done / side.rows.n)

            outer.each(some, spans(0, side.rows.n, self._at_a_time(len(lanes))))
        found = empty_neighbours(full.n, other.k)
        unsure = self.columns.filled(settle(self.columns, full, guests, 0, found, self.workers, self.going))
        other.open.append(self.order[unsure])
        merge(other.found, self.order, found)
        side.rows.release()
        full.release()
        return self.compared

    def _held(self) -> Optional[Any]:
        """The visited rows in the product's own type, cluster by cluster; None where they take more than max_memory."""
        n = self.low.n + padded(1)  # the last cluster is multiplied as a whole group
        if n * self.product.row_bytes(self.low.dim) > self.max_memory:
            return None
        held = self.product.empty(n)
        self.product.fill(held, self.low, 0, self.low.n, first=False)
        held[self.low.n :] = 0
        return held

    def _at_a_time(self, lanes: int) -> int:
        """Visitors that a lane takes, so that those of all lanes take half of max_memory, and all lanes have work."""
        room = self.max_memory // 2 // lanes // (self.product.row_bytes(self.low.dim) + BAND)
        return max(_LEAST_HELD, min(room, -(-self.side.rows.n // lanes)))

    def _go_round(self, lane: Product, rows: Candidates, low: int, high: int, workers: Workers) -> None:
        """The guests low..high go through all clusters."""
        clusters, n = self.other.clusters, high - low
        held = lane.empty(n)
        lane.fill(held, self.guests, low, high)
        limits = visit_limits(held, n, self.centres, self.reach, lane)
        visits = compared = 0
        for start, stop in spans(0, len(self.centres), BAND):
            for cluster, going in enumerate(visitors(held, limits, self.centres[start:stop], lane), start):
                ids = np.flatnonzero(going)
                if len(ids) and clusters.sizes[cluster]:
                    span = int(clusters.starts[cluster]), int(clusters.starts[cluster + 1])
                    self._meet(lane, span, held, ids, low, rows, workers)
                    visits += len(ids)
                    compared += len(ids) * (span[1] - span[0])
        with self._lock:
            self.side.visits += visits
            self.compared += compared

    def _meet(
        self,
        lane: Product,
        span: Tuple[int, int],
        held: Any,
        visiting: np.ndarray,
        low: int,
        rows: Candidates,
        workers: Workers,
    ) -> None:
        """Compare the visitors, rows of ``held`` (its first is the guest ``low``), with the cluster that is ``span`` of the visited."""
        for left, right in spans(*span, len(self.product.two)):
            first = left
            if self.held is None:
                lane.load(self.low, left, right, first=False)
                first = 0
            for start, stop in spans(0, len(visiting), len(lane.one)):
                ids = visiting[start:stop]
                lane.pick(held, ids)
                block = lane.multiply(len(ids), right - left, first)
                offer(block, rows, ids, self.columns, (left, right), workers, low + ids, left)
