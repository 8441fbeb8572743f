"""Exact k nearest neighbours by cosine between two sets of embeddings, in both directions from one matrix product.

The product is made block by block (NumPy's BLAS, or PyTorch in bfloat16 where the processor is fast at it) and only
says which pairs can be among the k best, within a bound on its rounding. These few are then measured one by one in
float32, always by the same additions, and sorted by cosine and then by index. Hence the results do not depend on the
blocks, the number of threads or the precision of the product.
"""

import importlib.util
import logging
import sys
from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple, Union

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.mining.rows import UnitRows, Workers, exact_cosines, spans
from fairseq_distill.mining.topk import EMPTY, GROUP, Bounds, Candidates, RowGroups, pack, packed_columns, packed_values

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "float32", "bfloat16")
Progress = Callable[[int, int], None]

_FLOAT32_ROUNDING = 2.0**-24
_BFLOAT16_ROUNDING = 2.0**-8
# Blocks are wide, so that maxima over a row's groups run over long vectors, and stay in the cache of the last level.
_HEIGHT, _WIDTH, _SMALLEST = 1024, 8192, 128
_PANEL, _COLUMNS = 1 << 19, 1024  # entries, columns of a block that one thread looks at in one go
_TABLE = 1 << 18  # candidates that are measured in one go
_TOO_MANY_OPEN = 0.1  # share of rows that bfloat16 could not decide, above which float32 does all the work
# PyTorch is imported for the bfloat16 product when it saves more time than the import costs.
_WORTH_IMPORT, _WORTH_TRYING = 6e11, 2e10  # multiplications and additions; PyTorch absent from memory, or there already


@dataclass(frozen=True)
class Neighbours:
    """The K nearest rows of the other side for each of N rows, best first; equal cosines by ascending index.

    Attributes:
        cosines: float32 [N, K], descending; 0 with a zero row.
        indices: int64 [N, K].
    """

    cosines: np.ndarray
    indices: np.ndarray


def knn(queries: np.ndarray, keys: np.ndarray, k: int, **options) -> Neighbours:
    """The k nearest ``keys`` [M, E] of each of ``queries`` [N, E]; options and errors as in :func:`knn_both`."""
    return _search(queries, keys, k, both=False, **options)[0]


def knn_both(src: np.ndarray, tgt: np.ndarray, k: int, **options) -> Tuple[Neighbours, Neighbours]:
    """The k nearest neighbours of each source row among the targets, and of each target row among the sources.

    Args:
        src: float32 or float16 [N, E], an array or a memory map; need not be of unit length and is not changed.
        tgt: float32 or float16 [M, E].
        k: neighbours wanted; a side with fewer rows gives as many as it has.
        precision: "float32", "bfloat16" (of the product that screens; the results are the same) or "auto".
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
    if k < 1:
        raise ConfigError(f"k is {k}, but must be at least 1.")
    if precision not in PRECISIONS:
        raise ConfigError(f"{precision!r} is no precision; use one of {', '.join(PRECISIONS)}.")
    with Workers() as workers:
        one, two = UnitRows(src, names[0], index[0], workers), UnitRows(tgt, names[1], index[1], workers)
        if one.dim != two.dim:
            raise DataError(
                f"{names[0]} holds vectors of width {one.dim:,} but {names[1]} of width {two.dim:,}; "
                "embed both with encoders of one teacher (for raw files check --dim and --dtype)."
            )
        search = _Search(one, two, k, both, max_memory, workers, progress)
        if precision == "bfloat16" or (precision == "auto" and bfloat16_pays(one.n, two.n, one.dim)):
            try:
                if search.run_bfloat16():
                    return search.results()
            except ConfigError as error:
                if precision == "bfloat16":
                    raise
                logger.info(f"{error} float32 is used")
        search.run_float32()
        return search.results()


def bfloat16_pays(n: int, m: int, dim: int) -> bool:
    """Whether an [n, dim] by [m, dim] product is sooner done by PyTorch in bfloat16, its import included."""
    work = 2.0 * n * m * dim
    if work < (_WORTH_TRYING if "torch" in sys.modules else _WORTH_IMPORT) or not _fast_bfloat16():
        return False
    return importlib.util.find_spec("torch") is not None


def _fast_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
            flags = next((line for line in stream if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


class _Float32Product:
    """Blocks of cosines by NumPy's BLAS; padding is -inf."""

    dtype = np.dtype(np.float32)

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        self.one, self.two = np.empty((height, dim), np.float32), np.empty((width, dim), np.float32)
        self.cosines = np.empty(height * width, np.float32)
        self.workers = workers

    @staticmethod
    def bytes_needed(height: int, width: int, dim: int) -> int:
        return 4 * (height * dim + width * dim + height * width)

    def load(self, rows: UnitRows, start: int, stop: int, first: bool) -> None:
        into = self.one if first else self.two
        self.workers.each(lambda s: rows.load(start + s[0], start + s[1], into[s[0] :]), spans(0, stop - start, 256))
        into[stop - start : _padded(stop - start)] = 0

    def within_bound(self, block: np.ndarray) -> bool:
        return True

    def multiply(self, height: int, width: int) -> np.ndarray:
        tall, wide = _padded(height), _padded(width)
        block = self.cosines[: tall * wide].reshape(tall, wide)
        np.matmul(self.one[:tall], self.two[:wide].T, out=block)
        block[height:] = block[:, width:] = -np.inf
        return block


class _BFloat16Product:
    """Blocks of cosines by PyTorch in bfloat16, given out as the bits of bfloat16 numbers; padding is 0."""

    dtype = np.dtype(np.int16)

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        import torch

        self.torch = torch
        self.one = torch.empty(height, dim, dtype=torch.bfloat16)
        self.two = torch.empty(width, dim, dtype=torch.bfloat16)
        self.cosines = torch.empty(height * width, dtype=torch.bfloat16)
        self.unit = np.empty((min(max(height, width), 1024), dim), np.float32)
        self.workers = workers

    @staticmethod
    def bytes_needed(height: int, width: int, dim: int) -> int:
        return 2 * (height * dim + width * dim + height * width) + 4 * min(max(height, width), 1024) * dim

    def load(self, rows: UnitRows, start: int, stop: int, first: bool) -> None:
        into = self.one if first else self.two
        for low, high in spans(start, stop, len(self.unit)):
            self._load_unit(rows, low, high)
            into[low - start : high - start].copy_(self.torch.from_numpy(self.unit[: high - low]))
        into[stop - start : _padded(stop - start)] = 0

    def _load_unit(self, rows: UnitRows, low: int, high: int) -> None:
        self.workers.each(lambda s: rows.load(low + s[0], low + s[1], self.unit[s[0] :]), spans(0, high - low, 128))

    def rounding(self, rows: UnitRows) -> np.ndarray:
        """float64 [N]: Euclidean length of what rounding to bfloat16 takes from each unit row."""
        lost = np.empty(rows.n)
        for low, high in spans(0, rows.n, len(self.unit)):
            self._load_unit(rows, low, high)
            unit = self.torch.from_numpy(self.unit[: high - low])
            unit -= unit.bfloat16()
            lost[low:high] = unit.norm(dim=1).numpy() * 1.001  # its own rounding
        rows.release()
        return lost

    def multiply(self, height: int, width: int) -> np.ndarray:
        tall, wide = _padded(height), _padded(width)
        block = self.cosines[: tall * wide].view(tall, wide)
        self.torch.mm(self.one[:tall], self.two[:wide].t(), out=block)
        return block.view(self.torch.int16).numpy()

    def within_bound(self, block: np.ndarray) -> bool:
        """Whether a sample of the block just made keeps the bound on its additions and final rounding."""
        rows, columns = (np.linspace(0, size - 1, 32).astype(int) for size in block.shape)
        exact = self.one[rows].double().numpy() @ self.two[columns].double().numpy().T
        values = (block[np.ix_(rows, columns)].astype(np.int32) << 16).view(np.float32)
        # Bits of negative numbers read as numbers too: the sign bit stays where it is.
        return bool((np.abs(values - exact) <= _additions(exact.shape[1]) + _BFLOAT16_ROUNDING * np.abs(exact)).all())


Product = Union[_Float32Product, _BFloat16Product]


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
        self.forward = _empty_results(one.n, self.k_forward)
        self.backward = _empty_results(two.n, self.k_backward) if both else None
        self.open_forward = self.open_backward = np.empty(0, np.int64)  # rows that a scan could not decide

    def results(self) -> Tuple[Neighbours, Optional[Neighbours]]:
        return self.forward, self.backward

    def run_float32(self) -> None:
        """By float32 products; ties beyond the few spare candidates are broken by the product's own values."""
        dim = self.one.dim
        product = _Float32Product(*self._block_sizes(_Float32Product), dim, self.workers)
        slack = np.asarray(2 * _additions(dim))
        self._scan(product, Bounds(slack, slack, 0.0, 1, 8), check=False)

    def run_bfloat16(self) -> bool:
        """By bfloat16 products, and by float32 for the rows that these cannot decide; False: not possible here.

        With x' = x + d and y' = y + e the rounded unit rows, |x'y' - xy| <= |d| + |e| + |d||e| (Cauchy and Schwarz),
        d and e being known; the product's additions err as in :func:`_additions`, its result is rounded once more.
        """
        dim = self.one.dim
        try:
            product = _BFloat16Product(*self._block_sizes(_BFloat16Product), dim, self.workers)
        except (ImportError, OSError) as error:
            raise ConfigError(f"Precision bfloat16 needs PyTorch, which cannot be loaded here ({error}).") from error
        lost_one, lost_two = product.rounding(self.one), product.rounding(self.two)
        forward = 2 * (lost_one + lost_two.max() * (1 + lost_one) + _additions(dim))
        backward = 2 * (lost_two + lost_one.max() * (1 + lost_two) + _additions(dim))
        if not self._scan(product, Bounds(forward, backward, 2.02 * _BFLOAT16_ROUNDING, 3, 16), check=True):
            return False
        del product  # makes room for the buffers of float32
        self._search_again(self.open_forward, self.one, self.two, self.forward)
        if self.backward is not None:
            self._search_again(self.open_backward, self.two, self.one, self.backward)
        return True

    def _scan(self, product: Product, bounds: Bounds, check: bool) -> bool:
        """All blocks; with ``check`` the undecided rows are noted, and False comes back when too many are."""
        one, two = self.one, self.two
        rows = bounds.candidates(bounds.forward, one.n, self.k_forward, product.dtype)
        columns, open_columns = None, [np.empty(0, np.int64)]
        for left, right in spans(0, two.n, len(product.two)):
            product.load(two, left, right, first=False)
            if self.backward is not None:
                slack = bounds.backward[left:right] if bounds.backward.ndim else bounds.backward
                columns = bounds.candidates(slack, right - left, self.k_backward, product.dtype)
            for top, bottom in spans(0, one.n, len(product.one)):
                product.load(one, top, bottom, first=True)
                block = product.multiply(bottom - top, right - left)
                if check and top == left == 0 and not product.within_bound(block):
                    logger.warning("bfloat16 products err more than they should on this machine; float32 is used")
                    return False
                self._offer(block, rows, columns, (top, bottom), (left, right))
                if self.progress is not None:
                    self.progress(left * one.n + bottom * (right - left), one.n * two.n)
            one.release()
            if columns is not None and self.backward is not None:
                open_columns.append(left + self._settle(columns, two, one, left, self.backward, check))
                if check and left == 0 and len(open_columns[-1]) > max(_TOO_MANY_OPEN * right, GROUP):
                    logger.info(
                        f"bfloat16 leaves {len(open_columns[-1]):,} of {right:,} rows undecided; float32 is used"
                    )
                    return False
            two.release()
        self.open_forward = self._settle(rows, one, two, 0, self.forward, check)
        self.open_backward = np.concatenate(open_columns)
        one.release()
        two.release()
        return True

    def _offer(
        self,
        block: np.ndarray,
        rows: Candidates,
        columns: Optional[Candidates],
        row_span: Tuple[int, int],
        column_span: Tuple[int, int],
    ) -> None:
        """Show a block to the candidates of its rows and of its columns, in pieces that stay in a core's cache."""
        (top, bottom), (left, right) = row_span, column_span
        maxima = RowGroups(block) if columns is not None else None

        def panel(span: Tuple[int, int]) -> None:
            start, stop = span[0], min(span[1], bottom - top)
            rows.offer_rows(block[start:stop], left, top + start, top + stop)
            if maxima is not None:
                maxima.fill(block, *span)

        self.workers.each(panel, spans(0, len(block), max(GROUP, _PANEL // block.shape[1] // GROUP * GROUP)))
        if columns is None or maxima is None:
            return
        kept, groups = columns, maxima
        self.workers.each(
            lambda span: kept.offer_columns(block, groups, top, span[0], span[1], span[0]),
            spans(0, right - left, _COLUMNS),
        )

    def _settle(
        self, found: Candidates, own: UnitRows, other: UnitRows, first: int, into: Neighbours, check: bool
    ) -> np.ndarray:
        """Measure the candidates exactly and write the k best rows first... of ``into``; returns the undecided rows."""
        undecided: List[np.ndarray] = [np.empty(0, np.int64)]
        k, spare = found.k, found.capacity - found.k
        for start, stop in spans(0, len(found.keys), max(1, _TABLE // found.capacity)):
            keys = found.keys[start:stop]
            table = np.full(keys.shape, EMPTY)
            likely = np.zeros(keys.shape, bool)
            likely[:, spare:] = keys[:, spare:] != EMPTY
            self._measure(keys, likely, own, other, first + start, table)
            # The others matter where their bound reaches the worst of the k that are known exactly now.
            known = packed_values(table[:, spare:].min(axis=1))[:, None]
            rest = ~likely & (keys != EMPTY) & (found.ceiling(packed_values(keys), start, stop) >= known)
            self._measure(keys, rest, own, other, first + start, table)
            table.sort(axis=1)
            best = table[:, : -k - 1 : -1]
            into.cosines[first + start : first + stop] = packed_values(best)
            into.indices[first + start : first + stop] = packed_columns(best)
            if check:
                undecided.append(start + np.flatnonzero(~found.complete(start, stop)))
            own.release()
        return np.concatenate(undecided)

    def _measure(
        self, keys: np.ndarray, wanted: np.ndarray, own: UnitRows, other: UnitRows, first: int, table: np.ndarray
    ) -> None:
        """Put the exact cosines of the wanted candidates into the table of keys."""
        row, columns = np.nonzero(wanted)[0], packed_columns(keys[wanted])
        cosines = np.empty(len(row), np.float32)
        exact_cosines(own, row + first, other, columns, self.workers, cosines)
        table[wanted] = pack(cosines, columns)

    def _search_again(self, ids: np.ndarray, own: UnitRows, other: UnitRows, into: Neighbours) -> None:
        if not len(ids):
            return
        logger.info(f"{len(ids):,} of {own.n:,} rows of {own.name} are searched again in float32")
        k = into.indices.shape[1]
        again = _Search(own.subset(ids), other, k, False, self.max_memory, self.workers, None)
        again.run_float32()
        into.cosines[ids], into.indices[ids] = again.forward.cosines, again.forward.indices

    def _block_sizes(self, kind: "type[_Float32Product] | type[_BFloat16Product]") -> Tuple[int, int]:
        """The largest (height, width) of a block whose buffers fit into max_memory."""
        dim, height, width = self.one.dim, _HEIGHT, _WIDTH
        while kind.bytes_needed(height, width, dim) > self.max_memory:
            if width <= _SMALLEST:
                raise ConfigError(
                    f"{self.max_memory:,} bytes are too little for blocks of vectors of width {dim:,}; "
                    f"give --max-memory at least {kind.bytes_needed(height, width, dim):,}."
                )
            height, width = (height, width // 2) if width > height else (height // 2, width // 2)
        return min(height, _padded(self.one.n)), min(width, _padded(self.two.n))


def _additions(dim: int) -> float:
    """Bound on the rounding of ``dim`` products and additions in float32, whatever their order.

    Taken twice, for the product and for the exact cosine; with the rounding of both rows to unit length.
    """
    return 1.05 * (2 * dim + 32) * _FLOAT32_ROUNDING


def _padded(n: int) -> int:
    return -(-n // GROUP) * GROUP


def _empty_results(n: int, k: int) -> Neighbours:
    return Neighbours(np.empty((n, k), np.float32), np.empty((n, k), np.int64))
