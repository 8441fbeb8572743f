"""Blocks of cosines of two sets of unit rows, by NumPy's BLAS or by PyTorch, and what they may be off by."""

import copy
import queue
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Tuple, Type, Union

import numpy as np

from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.codes import BFloat16Code, Code, Float32Code
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.topk import GROUP, Bounds

BFLOAT16_ROUNDING = 2.0**-8
_FLOAT32_ROUNDING = 2.0**-24
_SMALLEST = 128  # rows, columns of a block
_AT_ONCE = 1024  # rows that all threads together convert
RELEASED = 4096  # rows that are looked at before memory is
_LANE_WIDTH, _LANE_ROWS = 2048, 128  # columns that a lane multiplies, rows that it reads at a time


class Float32Product:
    """Blocks of cosines by NumPy's BLAS; padding is -inf."""

    name = "float32"
    code: Code = Float32Code()

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        self.dim, self.workers = dim, workers
        self.one, self.two = self.empty(height), self.empty(width)
        self.cosines = np.empty(height * width, np.float32)

    @staticmethod
    def bytes_needed(height: int, width: int, dim: int) -> int:
        """Of the buffers of blocks [height, width] of vectors of width ``dim``."""
        return 4 * (height * dim + width * dim + height * width)

    @staticmethod
    def row_bytes(dim: int) -> int:
        """Of one row in the product's own type."""
        return 4 * dim

    def bounds(self, one: UnitRows, two: UnitRows) -> Bounds:
        """What the values may be off by, for the rows of both sides; comes before the first row is loaded."""
        slack = np.asarray(2 * additions(one.dim))
        return Bounds(slack, slack, 0.0, 1, 8)

    def empty(self, n: int) -> np.ndarray:
        """Room for n rows in the product's own type."""
        return np.empty((n, self.dim), np.float32)

    def fill(self, into: np.ndarray, rows: UnitRows, start: int, stop: int, first: bool = True) -> None:
        """Unit rows start..stop into the first of ``into``, which :meth:`empty` made, as rows (``first``) or as columns."""
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

    def hold(self, unit: np.ndarray, first: bool) -> np.ndarray:
        """Unit rows, float32, in the product's own type, as rows (``first``) or as columns."""
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
    def lanes(self, max_memory: int) -> Iterator["List[Product]"]:
        """Products that may multiply at the same time: itself alone, since its BLAS has threads of its own."""
        yield [self]

    def enter(self) -> None:
        """Called by a thread before its first work with a lane."""

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


class TorchProduct(ABC):
    """A product by PyTorch; the methods are those of :class:`Float32Product`, what :meth:`empty` gives is a tensor."""

    name: str
    code: Code

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        try:
            import torch
        except (ImportError, OSError) as error:
            raise ConfigError(f"Precision {self.name} needs PyTorch, which cannot be loaded here ({error}).") from error
        self.torch, self.dim, self.workers = torch, dim, workers
        self.one_thread = False
        self.two = self.empty(width)
        self._make_room(height, width, _AT_ONCE)

    def _make_room(self, height: int, width: int, at_once: int) -> None:
        """For blocks [height, width], and for ``at_once`` rows while they are converted."""
        self.one = self.empty(height)
        self.cosines = self.torch.empty(height * width, dtype=self.torch.int16)
        self.unit = np.zeros((min(max(height, width), at_once), self.unit_width(self.dim)), np.float32)

    @staticmethod
    @abstractmethod
    def row_bytes(dim: int) -> int: ...

    @staticmethod
    def unit_width(dim: int) -> int:
        """Elements of a row before it is converted."""
        return dim

    @staticmethod
    def room_bytes(height: int, width: int) -> int:
        """Of what :meth:`multiply` needs beside the rows."""
        return 2 * height * width

    @abstractmethod
    def empty(self, n: int) -> Any: ...

    @abstractmethod
    def bounds(self, one: UnitRows, two: UnitRows) -> Bounds: ...

    @abstractmethod
    def hold(self, unit: np.ndarray, first: bool) -> Any: ...

    @abstractmethod
    def scores(self, held: Any, centres: Any) -> np.ndarray: ...

    @abstractmethod
    def within_bound(self, block: np.ndarray) -> bool: ...

    @abstractmethod
    def multiply(self, height: int, width: int, first: int = 0) -> np.ndarray: ...

    @classmethod
    def bytes_needed(cls, height: int, width: int, dim: int) -> int:
        return cls._shared_bytes(height, width, dim) + height * cls.row_bytes(dim) + cls.room_bytes(height, width)

    @property
    def at_once(self) -> int:
        return len(self.cosines) // len(self.one)

    @contextmanager
    def lanes(self, max_memory: int) -> Iterator["List[Product]"]:
        """Products that may multiply at the same time, each in the one thread that calls it; they share the columns loaded.

        So no thread waits for the others after each product, and what is done with a block is done where it was made.
        """
        count = self._lane_count(len(self.one), len(self.two), self.dim, max_memory, self.workers.threads)
        if count == 1:
            yield [self]
            return
        threads = self.torch.get_num_threads()
        try:
            yield [self._lane() for _ in range(count)]
        finally:
            self.torch.set_num_threads(threads)

    def _lane(self) -> "TorchProduct":
        lane = copy.copy(self)
        lane.one_thread, lane.workers = True, Workers(1)
        lane._make_room(len(self.one), min(len(self.two), _LANE_WIDTH), _LANE_ROWS)
        return lane

    @classmethod
    def lane_bytes(cls, height: int, width: int, dim: int, max_memory: int, threads: int) -> int:
        count = cls._lane_count(height, width, dim, max_memory, threads)
        if count == 1:
            return cls.bytes_needed(height, width, dim)
        return cls._shared_bytes(height, width, dim) + count * cls._one_lane_bytes(height, width, dim)

    @classmethod
    def _shared_bytes(cls, height: int, width: int, dim: int) -> int:
        return width * cls.row_bytes(dim) + 4 * min(max(height, width), _AT_ONCE) * cls.unit_width(dim)

    @classmethod
    def _one_lane_bytes(cls, height: int, width: int, dim: int) -> int:
        width = min(width, _LANE_WIDTH)
        converted = 4 * min(max(height, width), _LANE_ROWS) * cls.unit_width(dim)
        return height * cls.row_bytes(dim) + cls.room_bytes(height, width) + converted

    @classmethod
    def _lane_count(cls, height: int, width: int, dim: int, max_memory: int, threads: int) -> int:
        room = max_memory - cls._shared_bytes(height, width, dim)
        return max(1, min(threads, room // cls._one_lane_bytes(height, width, dim)))

    def fill(self, into: Any, rows: UnitRows, start: int, stop: int, first: bool = True) -> None:
        def convert(unit: Any, low: int, high: int) -> None:
            self._convert(unit, into[low - start : high - start], first)

        self._each(convert, rows, start, stop)

    def _each(self, function: Callable[[Any, int, int], None], rows: UnitRows, start: int, stop: int) -> None:
        """Call ``function`` with unit rows, a float32 tensor, and which of ``rows`` they are; pieces go to all threads."""
        size = max(len(self.unit) // self.workers.threads, min(len(self.unit), _LANE_ROWS))
        free: "queue.SimpleQueue[np.ndarray]" = queue.SimpleQueue()
        for low, _ in spans(0, len(self.unit) - size + 1, size):
            free.put(self.unit[low : low + size])

        def piece(span: Tuple[int, int]) -> None:
            unit = free.get()
            try:
                if self.workers.threads > 1:
                    self.torch.set_num_threads(1)  # of the thread that calls
                rows.load(*span, unit[:, : self.dim])
                function(self.torch.from_numpy(unit[: span[1] - span[0]]), *span)
            finally:
                free.put(unit)

        threads = self.torch.get_num_threads()
        try:
            self.workers.each(piece, spans(start, stop, size))
        finally:
            if self.workers.threads > 1:
                self.torch.set_num_threads(threads)

    @abstractmethod
    def _convert(self, unit: Any, into: Any, first: bool) -> None:
        """Unit rows, float32, into ``into`` of the product's own type, as rows (``first``) or as columns."""

    def load(self, rows: UnitRows, start: int, stop: int, first: bool) -> None:
        self.enter()
        into = self.one if first else self.two
        self.fill(into, rows, start, stop, first)
        into[stop - start : padded(stop - start)] = 0

    def enter(self) -> None:
        if self.one_thread:
            self.torch.set_num_threads(1)  # of the thread that calls

    def pick(self, held: Any, ids: np.ndarray) -> None:
        self.torch.index_select(held, 0, self.torch.from_numpy(ids), out=self.one[: len(ids)])
        self.one[len(ids) : padded(len(ids))] = 0


class BFloat16Product(TorchProduct):
    """Blocks of cosines in bfloat16, given out as its bits; padding is 0."""

    name = "bfloat16"
    code = BFloat16Code()

    @staticmethod
    def row_bytes(dim: int) -> int:
        return 2 * dim

    def empty(self, n: int) -> Any:
        return self.torch.empty(n, self.dim, dtype=self.torch.bfloat16)

    def bounds(self, one: UnitRows, two: UnitRows) -> Bounds:
        """With x' = x + d and y' = y + e the rounded unit rows, |x'y' - xy| <= |d| + |e| + |d||e| (Cauchy and Schwarz),
        d and e being known; the product's additions err as in :func:`additions`, its result is rounded once more.
        """
        lost_one, lost_two = self.rounding(one), self.rounding(two)
        forward = 2 * (lost_one + lost_two.max() * (1 + lost_one) + additions(one.dim))
        backward = 2 * (lost_two + lost_one.max() * (1 + lost_two) + additions(one.dim))
        return Bounds(forward, backward, 2.02 * BFLOAT16_ROUNDING, 3, 16)

    def rounding(self, rows: UnitRows) -> np.ndarray:
        """float64 [N]: Euclidean length of what rounding to bfloat16 takes from each unit row."""
        lost = np.empty(rows.n)

        def measure(unit: Any, low: int, high: int) -> None:
            unit -= unit.bfloat16()
            lost[low:high] = unit.norm(dim=1).numpy() * 1.001  # its own rounding

        for low, high in spans(0, rows.n, RELEASED):
            self._each(measure, rows, low, high)
            rows.release_if_large()
        rows.release()
        return lost

    def _convert(self, unit: Any, into: Any, first: bool) -> None:
        into.copy_(unit)

    def hold(self, unit: np.ndarray, first: bool) -> Any:
        return self.torch.from_numpy(unit).bfloat16()

    def scores(self, held: Any, centres: Any) -> np.ndarray:
        return self.torch.mm(held, centres.t()).float().numpy()

    def multiply(self, height: int, width: int, first: int = 0) -> np.ndarray:
        tall, wide = padded(height), padded(width)
        block = self.cosines[: tall * wide].view(tall, wide)
        self.torch.mm(self.one[:tall], self.two[first : first + wide].t(), out=block.view(self.torch.bfloat16))
        entries: np.ndarray = block.numpy()
        entries[:, width:] = self.code.lowest  # the columns beyond need not be padding
        return entries

    def within_bound(self, block: np.ndarray) -> bool:
        """Whether a sample of the block just made keeps the bound on its additions and final rounding."""
        rows, columns = (np.linspace(0, size - 1, 32).astype(int) for size in block.shape)
        exact = self.one[rows].double().numpy() @ self.two[columns].double().numpy().T
        # Bits of negative numbers read as numbers too: the sign bit stays where it is.
        values = self.code.values(block[np.ix_(rows, columns)])
        return bool((np.abs(values - exact) <= additions(exact.shape[1]) + BFLOAT16_ROUNDING * np.abs(exact)).all())


def block_sizes(kind: Type["Product"], dim: int, max_memory: int, height: int, width: int) -> Tuple[int, int]:
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


def additions(dim: int) -> float:
    """Bound on the rounding of ``dim`` products and additions in float32, whatever their order.

    Taken twice, for the product and for the exact cosine; with the rounding of both rows to unit length.
    """
    return 1.05 * (2 * dim + 32) * _FLOAT32_ROUNDING


def padded(n: int) -> int:
    """``n``, rounded up to whole groups."""
    return -(-n // GROUP) * GROUP


Product = Union[Float32Product, TorchProduct]
