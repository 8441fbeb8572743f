"""Embeddings as rows of unit length, read block by block from an array or a memory map."""

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterable, List, Optional, Tuple, TypeVar

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.embeddings import DTYPES, require_finite

Item = TypeVar("Item")
_NORM_BLOCK = 1 << 20  # elements; a float64 copy of this many is made at a time
_NORM_BLOCKS = 16  # of these between two looks at the memory
_EINSUM_BUFFER = 8192  # elements; NumPy adds longer rows in another order when there are several
_GATHERED = 1 << 19  # elements of gathered rows that are measured in one go: they stay in the cache
_LARGE = 256 << 20  # bytes of a memory map from which its pages are let go often: finding them again costs little
_LARGEST_NORM, _SMALLEST_NORM = 1e15, 1e-15  # beyond these a float32 product of raw rows could overflow or vanish
_SMALLEST_HALF_NORM = 1e-4  # 2^112 over this is a float32 still


def thread_count() -> int:
    """Threads to work with: OMP_NUM_THREADS as BLAS and PyTorch read it, else the processors given to us."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Runs NumPy work on pieces of a block in threads (NumPy lets go of the interpreter lock); a context manager."""

    def __init__(self, threads: Optional[int] = None):
        self.threads = threads or thread_count()
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def each(self, function: Callable[[Item], Any], items: Iterable[Item]) -> None:
        """Call ``function`` on every item; an exception in one of them is raised here."""
        for _ in map(function, items) if self._pool is None else self._pool.map(function, items):
            pass

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)


def spans(start: int, stop: int, size: int) -> List[Tuple[int, int]]:
    """The range cut into (start, stop) pieces of at most ``size``."""
    return [(low, min(low + size, stop)) for low in range(start, stop, size)]


class UnitRows:
    """Rows of unit length over a matrix that may be memory-mapped; a zero row stays zero.

    Args:
        rows: float32 or float16 [N, E]; never written to.
        name: what to call the matrix in an error (its file).
        index: int64, ascending: the rows of ``rows`` that count, all when None.

    Raises:
        DataError: not two-dimensional, of another type, empty, or NaN or infinity in a row.
    """

    def __init__(self, rows: np.ndarray, name: str, index: Optional[np.ndarray], workers: Workers):
        if rows.ndim != 2 or rows.dtype.name not in DTYPES:
            found = f"{rows.dtype.name} of shape {rows.shape}"
            raise DataError(f"{name} is {found}; embeddings are float32 or float16, [N, E].")
        self.name, self.index, self._workers = name, index, workers
        self._map = rows if isinstance(rows, np.memmap) else None
        self._rows = np.asarray(rows)
        self.n, self.dim = len(rows) if index is None else len(index), rows.shape[1]
        if not self.n or not self.dim:
            raise DataError(f"{name} has {self.n:,} vectors of width {self.dim:,}; there is nothing to search.")
        self.norms = np.empty(self.n)
        blocks = spans(0, self.n, max(1, _NORM_BLOCK // self.dim))
        for start in range(0, len(blocks), _NORM_BLOCKS):
            workers.each(self._fill_norms, blocks[start : start + _NORM_BLOCKS])
            self.release_if_large()
        self.release()
        if not np.isfinite(self.norms).all():
            self._refuse(int(np.argmin(np.isfinite(self.norms))))
        present = self.norms > 0
        self.scale = np.divide(1.0, self.norms, out=np.zeros(self.n), where=present)  # float64 [N]
        sizes = self.norms[present]
        least = _SMALLEST_HALF_NORM if rows.dtype == np.float16 else _SMALLEST_NORM
        self._extreme = bool(sizes.size and (sizes.max() > _LARGEST_NORM or sizes.min() < least))

    @classmethod
    def plain(cls, rows: np.ndarray, name: str, workers: Workers) -> "UnitRows":
        """``rows`` [N, E], no longer than 1, as they are: their products, not their cosines, are what a search finds."""
        plain = object.__new__(cls)
        plain.name, plain.index, plain._workers = name, None, workers
        plain._map, plain._rows = None, np.asarray(rows)
        plain.n, plain.dim = rows.shape
        plain.norms = plain.scale = np.ones(len(rows))
        plain._extreme = False
        return plain

    def subset(self, ids: np.ndarray) -> "UnitRows":
        """The rows ``ids`` (ascending) of these, without measuring them again."""
        part = object.__new__(UnitRows)
        part.__dict__.update(self.__dict__)
        part.index = ids if self.index is None else self.index[ids]
        part.n, part.norms, part.scale = len(ids), self.norms[ids], self.scale[ids]
        return part

    def copied(self, ids: np.ndarray) -> "UnitRows":
        """:meth:`subset`, in memory: scattered rows of a memory map would have nearly all of its pages in use."""
        part = self.subset(ids)
        part._rows = self._rows.take(ids if self.index is None else self.index[ids], axis=0)
        part._map = part.index = None
        self.release()
        return part

    def load(self, start: int, stop: int, out: np.ndarray) -> None:
        """Write rows start..stop, scaled to unit length, into ``out`` float32 [>= stop - start, E]."""
        raw, scale = self._raw(start, stop), self.scale[start:stop, None]
        if self._extreme:
            np.multiply(raw.astype(np.float64), scale, out=out[: stop - start], casting="same_kind")
        elif raw.dtype == np.float16:
            _widen(raw, scale, out[: stop - start])
        else:
            np.multiply(raw, scale.astype(np.float32), out=out[: stop - start])

    def gather(self, ids: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(float32 [P, E], float64 [P]): the rows ``ids`` and the factors that bring them to unit length."""
        rows = self._rows.take(ids if self.index is None else self.index[ids], axis=0)
        if self._extreme:
            return (rows * self.scale[ids, None]).astype(np.float32), (self.norms[ids] > 0).astype(np.float64)
        if rows.dtype == np.float16:
            return _widen(rows, np.ones((1, 1)), np.empty(rows.shape, np.float32)), self.scale[ids]
        return rows, self.scale[ids]

    def release(self) -> None:
        """Let the pages of a memory-mapped file go (they stay in the page cache), so that memory stays bounded."""
        pages = getattr(self._map, "_mmap", None)
        if pages is not None and getattr(self._map, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

    def release_if_large(self) -> None:
        """:meth:`release`, for a file of which many pages can gather between two of its calls."""
        if self._map is not None and self._map.nbytes > _LARGE:
            self.release()

    def _raw(self, start: int, stop: int) -> np.ndarray:
        return self._rows[start:stop] if self.index is None else self._rows.take(self.index[start:stop], axis=0)

    def _fill_norms(self, span: Tuple[int, int]) -> None:
        block = self._raw(*span).astype(np.float64)  # squares of float32 cannot overflow here
        np.sqrt(np.einsum("ij,ij->i", block, block), out=self.norms[span[0] : span[1]])

    def _refuse(self, bad: int) -> None:
        line = bad if self.index is None else int(self.index[bad])
        require_finite(self._rows[line : line + 1], self.name, line)
        raise AssertionError(f"row {line} of {self.name} has the norm {self.norms[bad]}")


def _widen(half: np.ndarray, scale: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``half`` [N, E] times ``scale`` [N, 1] into float32 ``out``; three times as fast as NumPy's own conversion.

    The bits of a finite float16, moved to where float32 has them, are its value times 2^-112.
    """
    bits = out.view(np.int32)
    np.copyto(bits, half.view(np.int16))  # the sign fills the upper bits
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, np.int32(-0x70002000), out=bits)  # sign, exponent and mantissa
    return np.multiply(out, (scale * 2.0**112).astype(np.float32), out=out)


def exact_cosines(
    one: UnitRows, one_ids: np.ndarray, two: UnitRows, two_ids: np.ndarray, workers: Workers, out: np.ndarray
) -> None:
    """The cosine of each listed pair into ``out`` float32 [P], always by the same additions; fast where equal ``one_ids`` meet.

    A blocked matrix product may round a pair differently in another block or with another number of threads; this
    does not, so that equal rows have equal cosines and ties can be decided by index.
    """
    starts = np.flatnonzero(np.diff(one_ids, prepend=-1))
    counts = np.diff(starts, append=len(one_ids))
    order = np.argsort(counts, kind="stable")
    edges = np.flatnonzero(np.diff(counts[order], prepend=0, append=0)).tolist()
    size = max(1, _GATHERED // one.dim)
    pieces = [
        (order[low:high], int(counts[order[start]]))
        for start, stop in zip(edges, edges[1:])
        for low, high in spans(start, stop, max(1, size // int(counts[order[start]])))
    ]

    def measure(piece: Tuple[np.ndarray, int]) -> None:
        runs, each = piece
        at = starts[runs][:, None] + np.arange(each)  # [R, each]
        left, left_scale = one.gather(one_ids[at[:, 0]])
        right, right_scale = two.gather(two_ids[at.reshape(-1)])
        products = _products(left, right.reshape(len(runs), each, -1))
        # "+ 0.0" turns -0.0 into 0.0, which would sort below it.
        out[at] = products * (left_scale[:, None] * right_scale.reshape(products.shape)) + 0.0

    workers.each(measure, pieces)


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float32 [R, K] of ``left`` [R, E] with each of its own rows ``right`` [R, K, E]."""
    if right.shape[2] <= _EINSUM_BUFFER:
        return np.einsum("ij,ikj->ik", left, right)
    return np.array(
        [[np.einsum("j,j->", row, other) for other in others] for row, others in zip(left, right)], np.float32
    )
