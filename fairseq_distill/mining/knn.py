"""Exact k nearest neighbours by cosine between two sets of embeddings, in both directions from one matrix product.

The product is made block by block (NumPy's BLAS, or PyTorch in int8 or bfloat16 where the processor is fast at it) and
only says which pairs can be among the k best, within a bound on its rounding. These few are then measured one by one in
float32, always by the same additions, and sorted by cosine and then by index. Hence the results do not depend on the
blocks, the number of threads or the precision of the product. (int8's bound holds with a probability, see
:mod:`fairseq_distill.mining.int8_product`.)
"""

import logging
import queue
import threading
from typing import Optional, Sequence, Tuple, Type

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.mining.choice import KINDS, PRECISIONS, kinds_to_try
from fairseq_distill.mining.products import Product, block_sizes, padded
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.screen import Neighbours, Progress, empty_neighbours, offer, settle
from fairseq_distill.mining.topk import GROUP, Bounds

__all__ = ["PRECISIONS", "Neighbours", "Progress", "knn", "knn_both"]

logger = logging.getLogger(__name__)

# Blocks are wide, so that maxima over a row's groups run over long vectors, and rows are read seldom.
_HEIGHT, _WIDTH = 1024, 16384
_TOO_MANY_OPEN = 0.1  # share of rows that a product could not decide, above which float32 does all the work


def knn(queries: np.ndarray, keys: np.ndarray, k: int, **options) -> Neighbours:
    """The k nearest ``keys`` [M, E] of each of ``queries`` [N, E]; options and errors as in :func:`knn_both`."""
    return _search(queries, keys, k, both=False, **options)[0]


def knn_both(src: np.ndarray, tgt: np.ndarray, k: int, **options) -> Tuple[Neighbours, Neighbours]:
    """The k nearest neighbours of each source row among the targets, and of each target row among the sources.

    Args:
        src: float32 or float16 [N, E], an array or a memory map; need not be of unit length and is not changed.
        tgt: float32 or float16 [M, E].
        k: neighbours wanted; a side with fewer rows gives as many as it has.
        precision: of the product that screens, "float32", "bfloat16", "int8" or "auto"; the results are the same.
        max_memory: bytes for work buffers; results and candidates (some 200 to 600 bytes a row) come on top.
        names: what to call the two sides in errors.
        index: (rows of src that count, rows of tgt that count), each ascending int64 or None for all; the indices
            returned count within these.
        progress: called as progress(done, total) now and then.

    Returns:
        (forward [N, min(k, M)], backward [M, min(k, N)]).

    Raises:
        DataError: widths differ, a side is empty or of another type, NaN or infinity in a row (file and row named).
        ConfigError: k, precision or max_memory out of range.
    """
    forward, backward = _search(src, tgt, k, both=True, **options)
    assert backward is not None
    return forward, backward


def _search(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    both: bool,
    precision: str = "auto",
    max_memory: int = defaults.MAX_MEMORY,
    names: Tuple[str, str] = ("source embeddings", "target embeddings"),
    index: Tuple[Optional[np.ndarray], Optional[np.ndarray]] = (None, None),
    progress: Optional[Progress] = None,
) -> Tuple[Neighbours, Optional[Neighbours]]:
    with Workers() as workers:
        one, two = open_sides(src, tgt, k, precision, names, index, workers)
        return search_rows(one, two, k, both, precision, max_memory, workers, progress)


def open_sides(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    precision: str,
    names: Tuple[str, str],
    index: Tuple[Optional[np.ndarray], Optional[np.ndarray]],
    workers: Workers,
) -> Tuple[UnitRows, UnitRows]:
    """Both sides as unit rows; options and errors as in :func:`knn_both`."""
    if k < 1:
        raise ConfigError(f"k is {k}, but must be at least 1.")
    if precision not in PRECISIONS:
        raise ConfigError(f"{precision!r} is no precision; use one of {', '.join(PRECISIONS)}.")
    one, two = UnitRows(src, names[0], index[0], workers), UnitRows(tgt, names[1], index[1], workers)
    if one.dim != two.dim:
        raise DataError(
            f"{names[0]} holds vectors of width {one.dim:,} but {names[1]} of width {two.dim:,}; "
            "embed both with encoders of one teacher (for raw files check --dim and --dtype)."
        )
    return one, two


def search_rows(
    one: UnitRows,
    two: UnitRows,
    k: int,
    both: bool,
    precision: str,
    max_memory: int,
    workers: Workers,
    progress: Optional[Progress],
) -> Tuple[Neighbours, Optional[Neighbours]]:
    """(forward, backward) as :func:`knn_both` gives them; no backward unless ``both``."""
    search = _Search(one, two, k, both, max_memory, workers, progress)
    kinds = kinds_to_try(precision, one.n, two.n, one.dim)
    for name, following in zip(kinds, [*kinds[1:], ""]):
        try:
            if search.run(name):
                break
        except ConfigError as error:
            if name == precision or not following:
                raise
            logger.info(str(error))
        logger.info(f"{following} is used")
    return search.results()


class _Search:
    """One search: the two sides, what was found, and the ways to find it."""

    def __init__(
        self,
        one: UnitRows,
        two: UnitRows,
        k: int,
        both: bool,
        max_memory: int,
        workers: Workers,
        progress: Optional[Progress],
    ):
        self.one, self.two, self.workers, self.progress = one, two, workers, progress
        self.max_memory, self.k_forward, self.k_backward = max_memory, min(k, two.n), min(k, one.n)
        self.forward = empty_neighbours(one.n, self.k_forward)
        self.backward = empty_neighbours(two.n, self.k_backward) if both else None
        self.open_forward = self.open_backward = np.empty(0, np.int64)  # rows that a scan could not decide
        self._lock, self._done = threading.Lock(), 0

    def results(self) -> Tuple[Neighbours, Optional[Neighbours]]:
        return self.forward, self.backward

    def run(self, name: str) -> bool:
        """By products of this name, and by float32 for the rows that these cannot decide; False: not possible here.

        float32 decides all: ties beyond the few spare candidates are broken by the product's own values.
        """
        self._done = 0
        product = self._product(KINDS[name])
        bounds = product.bounds(self.one, self.two)
        if name == "float32":
            return self._scan(product, bounds, check=False)
        if not self._scan(product, bounds, check=True):
            return False
        del product  # makes room for the buffers of float32
        search_again(self.open_forward, self.one, self.two, self.forward, self.max_memory, self.workers)
        if self.backward is not None:
            search_again(self.open_backward, self.two, self.one, self.backward, self.max_memory, self.workers)
        return True

    def _product(self, kind: Type[Product]) -> Product:
        height, width = block_sizes(kind, self.one.dim, self.max_memory, _HEIGHT, _WIDTH)
        height = min(height, padded(-(-self.one.n // (2 * self.workers.threads))))  # some for each thread
        width = min(width, padded(self.two.n))
        return kind(height, width, self.one.dim, self.workers)

    def _scan(self, product: Product, bounds: Bounds, check: bool) -> bool:
        """All blocks; with ``check`` the undecided rows are noted, and False comes back when too many are."""
        with product.lanes(self.max_memory) as lanes:
            try:
                return self._scan_in(lanes, product, bounds, check)
            except _Inaccurate:
                logger.warning(f"{product.name} products err more than they should on this machine")
                return False

    def _scan_in(self, lanes: Sequence[Product], product: Product, bounds: Bounds, check: bool) -> bool:
        one, two = self.one, self.two
        rows = bounds.candidates(bounds.forward, one.n, self.k_forward, product.code)
        columns, open_columns = None, [np.empty(0, np.int64)]
        free: "queue.SimpleQueue[Product]" = queue.SimpleQueue()
        for lane in lanes:
            free.put(lane)
        # Either every lane looks at its own blocks, or all threads together at the block of the only one.
        outer, inner = (self.workers, Workers(1)) if len(lanes) > 1 else (Workers(1), self.workers)

        def show(rows_of_block: Tuple[int, int]) -> None:
            top, bottom = rows_of_block
            lane = free.get()
            try:
                lane.load(one, top, bottom, first=True)
                for low, high in spans(0, right - left, lane.at_once):
                    block = lane.multiply(bottom - top, high - low, low)
                    if check and top == left == low == 0 and not lane.within_bound(block):
                        raise _Inaccurate
                    span = (left + low, left + high)
                    offer(block, rows, np.arange(top, bottom), columns, span, inner, first=low)
            finally:
                free.put(lane)
            one.release_if_large()
            with self._lock:
                self._done += (bottom - top) * (right - left)
                if self.progress is not None:
                    self.progress(self._done, one.n * two.n)

        for left, right in spans(0, two.n, len(product.two)):
            product.load(two, left, right, first=False)
            if self.backward is not None:
                slack = bounds.backward[left:right] if bounds.backward.ndim else bounds.backward
                columns = bounds.candidates(slack, right - left, self.k_backward, product.code)
            outer.each(show, spans(0, one.n, len(product.one)))
            one.release()
            if columns is not None and self.backward is not None:
                open_columns.append(left + settle(columns, two, one, left, self.backward, self.workers))
                if check and left == 0 and len(open_columns[-1]) > max(_TOO_MANY_OPEN * right, GROUP):
                    logger.info(f"{product.name} leaves {len(open_columns[-1]):,} of {right:,} rows undecided")
                    return False
            two.release()
        self.open_forward = settle(rows, one, two, 0, self.forward, self.workers)
        self.open_backward = np.concatenate(open_columns)
        one.release()
        two.release()
        return True


class _Inaccurate(Exception):
    """A product errs more than its bound."""


def search_again(
    ids: np.ndarray, own: UnitRows, other: UnitRows, into: Neighbours, max_memory: int, workers: Workers
) -> None:
    """Put the exact neighbours, by float32 products, of the rows ``ids`` of ``own`` in the place of those in ``into``."""
    if not len(ids):
        return
    logger.info(f"{len(ids):,} of {own.n:,} rows of {own.name} are searched again in float32")
    for low, high in spans(0, len(ids), max(1024, max_memory // (16 * own.dim))):
        part = own.copied(ids[low:high])
        again = _Search(part, other, into.indices.shape[1], False, max_memory, workers, None)
        again.run("float32")
        into.cosines[ids[low:high]], into.indices[ids[low:high]] = again.forward.cosines, again.forward.indices
