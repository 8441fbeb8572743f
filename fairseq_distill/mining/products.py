"""Blocks of cosines of two sets of unit rows, by NumPy's BLAS or by PyTorch in bfloat16, and what they may be off by."""

import copy
import importlib.util
import sys
from contextlib import contextmanager
from typing import Any, Iterator, List, Tuple, Type, Union

import numpy as np

from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.topk import GROUP, Bounds

PRECISIONS = ("auto", "float32", "bfloat16")
BFLOAT16_ROUNDING = 2.0**-8
_FLOAT32_ROUNDING = 2.0**-24
_SMALLEST = 128  # rows, columns of a block
_LANE_WIDTH, _LANE_ROWS = 2048, 128  # columns that a lane multiplies, rows that it reads at a time
# PyTorch is imported for the bfloat16 product when it saves more time than the import costs.
_WORTH_IMPORT, _WORTH_TRYING = 6e11, 2e10  # multiplications and additions; PyTorch absent from memory, or there already


class Float32Product:
    """Blocks of cosines by NumPy's BLAS; padding is -inf."""

    dtype = np.dtype(np.float32)
    itemsize = 4

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        self.dim, self.workers = dim, workers
        self.one, self.two = self.empty(height), self.empty(width)
        self.cosines = np.empty(height * width, np.float32)

    @staticmethod
    def bytes_needed(height: int, width: int, dim: int) -> int:
        """Of the buffers of blocks [height, width] of vectors of width ``dim``."""
        return 4 * (height * dim + width * dim + height * width)

    def empty(self, n: int) -> np.ndarray:
        """Room for n rows in the product's own type."""
        return np.empty((n, self.dim), np.float32)

    def fill(self, into: np.ndarray, rows: UnitRows, start: int, stop: int) -> None:
        """Unit rows start..stop into the first of ``into``, which :meth:`empty` made."""
        self.workers.each(lambda s: rows.load(start + s[0], start + s[1], into[s[0] :]), spans(0, stop - start, 256))

    def load(self, rows: UnitRows, start: int, stop: int, first: bool) -> None:
        """Rows start..stop become the rows (``first``) or the columns of the next block."""
        into = self.one if first else self.two
        self.fill(into, rows, start, stop)
        into[stop - start : padded(stop - start)] = 0

    def pick(self, held: np.ndarray, ids: np.ndarray) -> None:
        """Rows ``ids`` of ``held`` become the rows of the next block."""
        np.take(held, ids, axis=0, out=self.one[: len(ids)])
        self.one[len(ids) : padded(len(ids))] = 0

    def hold(self, unit: np.ndarray) -> np.ndarray:
        """Unit rows, float32, in the product's own type."""
        return unit

    def scores(self, held: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """float32 [N, L]: cosines of N rows and of L others, both in the product's own type."""
        return held @ centres.T

    def within_bound(self, block: np.ndarray) -> bool:
        """Always: BLAS keeps float32's bound."""
        return True

    @property
    def at_once(self) -> int:
        """Columns of a block, at most."""
        return len(self.cosines) // len(self.one)

    @contextmanager
    def lanes(self, max_memory: int) -> Iterator["List[Float32Product]"]:
        """Products that may multiply at the same time: itself alone, since its BLAS has threads of its own."""
        yield [self]

    @classmethod
    def lane_bytes(cls, height: int, width: int, dim: int, max_memory: int, threads: int) -> int:
        """Of the buffers of the product and of its lanes together."""
        return cls.bytes_needed(height, width, dim)

    def multiply(self, height: int, width: int, first: int = 0) -> np.ndarray:
        """The block [height, width] of the rows loaded and the columns from ``first`` on, padded to multiples of GROUP."""
        tall, wide = padded(height), padded(width)
        block = self.cosines[: tall * wide].reshape(tall, wide)
        np.matmul(self.one[:tall], self.two[first : first + wide].T, out=block)
        block[height:] = block[:, width:] = -np.inf
        return block


class BFloat16Product:
    """Blocks of cosines by PyTorch in bfloat16, given out as the bits of bfloat16 numbers; padding is 0.

    The methods are those of :class:`Float32Product`; what :meth:`empty` gives is a tensor.
    """

    dtype = np.dtype(np.int16)
    itemsize = 2

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        try:
            import torch
        except (ImportError, OSError) as error:
            raise ConfigError(f"Precision bfloat16 needs PyTorch, which cannot be loaded here ({error}).") from error
        self.torch, self.dim, self.workers = torch, dim, workers
        self.one, self.two = self.empty(height), self.empty(width)
        self.cosines = torch.empty(height * width, dtype=torch.bfloat16)
        self.unit = np.empty((min(max(height, width), 1024), dim), np.float32)
        self.one_thread = False

    @staticmethod
    def bytes_needed(height: int, width: int, dim: int) -> int:
        return 2 * (height * dim + width * dim + height * width) + 4 * min(max(height, width), 1024) * dim

    @property
    def at_once(self) -> int:
        return len(self.cosines) // len(self.one)

    @contextmanager
    def lanes(self, max_memory: int) -> Iterator["List[BFloat16Product]"]:
        """Products that may multiply at the same time, each in the one thread that calls it; they share the columns loaded.

        So no thread waits for the others after each product, and what is done with a block is done where it was made.
        """
        count = _lane_count(len(self.one), len(self.two), self.dim, max_memory, self.workers.threads)
        if count == 1:
            yield [self]
            return
        threads = self.torch.get_num_threads()
        try:
            yield [self._lane() for _ in range(count)]
        finally:
            self.torch.set_num_threads(threads)

    def _lane(self) -> "BFloat16Product":
        lane = copy.copy(self)
        lane.one_thread, lane.workers = True, Workers(1)
        height, width = len(self.one), min(len(self.two), _LANE_WIDTH)
        lane.one = self.empty(height)
        lane.cosines = self.torch.empty(height * width, dtype=self.torch.bfloat16)
        lane.unit = np.empty((min(height, _LANE_ROWS), self.dim), np.float32)
        return lane

    @classmethod
    def lane_bytes(cls, height: int, width: int, dim: int, max_memory: int, threads: int) -> int:
        count = _lane_count(height, width, dim, max_memory, threads)
        if count == 1:
            return cls.bytes_needed(height, width, dim)
        return _shared_bytes(height, width, dim) + count * _lane_bytes(height, width, dim)

    def empty(self, n: int) -> Any:
        return self.torch.empty(n, self.dim, dtype=self.torch.bfloat16)

    def fill(self, into: Any, rows: UnitRows, start: int, stop: int) -> None:
        for low, high in spans(start, stop, len(self.unit)):
            self._load_unit(rows, low, high)
            into[low - start : high - start].copy_(self.torch.from_numpy(self.unit[: high - low]))

    def load(self, rows: UnitRows, start: int, stop: int, first: bool) -> None:
        if self.one_thread:
            self.torch.set_num_threads(1)  # of the thread that calls, before its first work
        into = self.one if first else self.two
        self.fill(into, rows, start, stop)
        into[stop - start : padded(stop - start)] = 0

    def pick(self, held: Any, ids: np.ndarray) -> None:
        self.torch.index_select(held, 0, self.torch.from_numpy(ids), out=self.one[: len(ids)])
        self.one[len(ids) : padded(len(ids))] = 0

    def hold(self, unit: np.ndarray) -> Any:
        return self.torch.from_numpy(unit).bfloat16()

    def scores(self, held: Any, centres: Any) -> np.ndarray:
        return self.torch.mm(held, centres.t()).float().numpy()

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
            rows.release_if_large()
        rows.release()
        return lost

    def multiply(self, height: int, width: int, first: int = 0) -> np.ndarray:
        tall, wide = padded(height), padded(width)
        block = self.cosines[: tall * wide].view(tall, wide)
        self.torch.mm(self.one[:tall], self.two[first : first + wide].t(), out=block)
        return block.view(self.torch.int16).numpy()

    def within_bound(self, block: np.ndarray) -> bool:
        """Whether a sample of the block just made keeps the bound on its additions and final rounding."""
        rows, columns = (np.linspace(0, size - 1, 32).astype(int) for size in block.shape)
        exact = self.one[rows].double().numpy() @ self.two[columns].double().numpy().T
        values = (block[np.ix_(rows, columns)].astype(np.int32) << 16).view(np.float32)
        # Bits of negative numbers read as numbers too: the sign bit stays where it is.
        return bool((np.abs(values - exact) <= additions(exact.shape[1]) + BFLOAT16_ROUNDING * np.abs(exact)).all())


Product = Union[Float32Product, BFloat16Product]


def _shared_bytes(height: int, width: int, dim: int) -> int:
    return 2 * width * dim + 4 * min(max(height, width), 1024) * dim


def _lane_bytes(height: int, width: int, dim: int) -> int:
    return 2 * height * (dim + min(width, _LANE_WIDTH)) + 4 * min(height, _LANE_ROWS) * dim


def _lane_count(height: int, width: int, dim: int, max_memory: int, threads: int) -> int:
    room = max_memory - _shared_bytes(height, width, dim)
    return max(1, min(threads, room // _lane_bytes(height, width, dim)))


def bounds_of(product: Product, one: UnitRows, two: UnitRows) -> Bounds:
    """What the product's values may be off by, for the rows of both sides.

    bfloat16: with x' = x + d and y' = y + e the rounded unit rows, |x'y' - xy| <= |d| + |e| + |d||e| (Cauchy and
    Schwarz), d and e being known; the product's additions err as in :func:`additions`, its result is rounded once more.
    """
    if isinstance(product, Float32Product):
        slack = np.asarray(2 * additions(one.dim))
        return Bounds(slack, slack, 0.0, 1, 8)
    lost_one, lost_two = product.rounding(one), product.rounding(two)
    forward = 2 * (lost_one + lost_two.max() * (1 + lost_one) + additions(one.dim))
    backward = 2 * (lost_two + lost_one.max() * (1 + lost_two) + additions(one.dim))
    return Bounds(forward, backward, 2.02 * BFLOAT16_ROUNDING, 3, 16)


def block_sizes(kind: Type[Product], dim: int, max_memory: int, height: int, width: int) -> Tuple[int, int]:
    """The largest (height, width), at most those given, of a block whose buffers fit into max_memory.

    Raises:
        ConfigError: not even the smallest fits.
    """
    while kind.bytes_needed(height, width, dim) > max_memory:
        if width <= _SMALLEST:
            raise ConfigError(
                f"{max_memory:,} bytes are too little for blocks of vectors of width {dim:,}; "
                f"give --max-memory at least {kind.bytes_needed(height, width, dim):,}."
            )
        height, width = (height, width // 2) if width > height else (height // 2, width // 2)
    return height, width


def bfloat16_pays(n: int, m: int, dim: int) -> bool:
    """Whether an [n, dim] by [m, dim] product is sooner done by PyTorch in bfloat16, its import included."""
    work = 2.0 * n * m * dim
    if work < (_WORTH_TRYING if "torch" in sys.modules else _WORTH_IMPORT) or not fast_bfloat16():
        return False
    return importlib.util.find_spec("torch") is not None


def fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
            flags = next((line for line in stream if line.startswith("flags")), "").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def additions(dim: int) -> float:
    """Bound on the rounding of ``dim`` products and additions in float32, whatever their order.

    Taken twice, for the product and for the exact cosine; with the rounding of both rows to unit length.
    """
    return 1.05 * (2 * dim + 32) * _FLOAT32_ROUNDING


def padded(n: int) -> int:
    """``n``, rounded up to whole groups."""
    return -(-n // GROUP) * GROUP
