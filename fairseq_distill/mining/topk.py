"""The best columns of every row, and the best rows of every column, of a matrix that is shown block by block.

Almost all entries of a block are not among the best. Maxima over groups of entries, compared with what each row already
has, say where to look; only there are single entries read. So a block is read once for its rows and once for its
columns, in long vector operations, and the matrix product that made it remains the only real work.
"""

import threading
from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

import numpy as np

from fairseq_distill.mining.codes import Code

SUBGROUP = 8  # entries below one maximum of the first level
GROUP = 32  # entries below one maximum of the second level; sides of a block are multiples of this
EMPTY = np.iinfo(np.int64).min
_COLUMN_MASK = (1 << 32) - 1
_FIRST = np.zeros(1, np.int64)
_PIECE = 1 << 15  # groups looked into at a time: bounds memory when very many entries are equal
_TABLE = 1 << 20  # entries of a table that is sorted at a time
_STRIPE = 1 << 10  # rows that one lock keeps


def pack(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """int64 keys that sort by value, and among equal values the lower column last (that is, as the better one).

    Args:
        values: float32.
        columns: integers below 2^32.
    """
    bits = values.view(np.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)  # negative numbers sort by magnitude reversed
    return (ordered << 32) | (_COLUMN_MASK - columns)


def packed_values(keys: np.ndarray) -> np.ndarray:
    """float32 values of keys; -inf where a key is EMPTY."""
    ordered = (keys >> 32).astype(np.int32)
    values = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(np.float32)
    return np.where(keys == EMPTY, np.float32(-np.inf), values)


def packed_columns(keys: np.ndarray) -> np.ndarray:
    """int64 columns of keys."""
    return _COLUMN_MASK - (keys & _COLUMN_MASK)


class Candidates:
    """For each of N rows the columns that may be among its k best, when every value may be off by a known amount.

    Kept is what lies above ``floor = v * (1 - relative) - slack``, v being the row's k-th best value so far, and of
    that at most ``capacity``. What was dropped lies at or below the final floor, unless :meth:`complete` denies it.

    Args:
        n, k: rows, and how many best ones matter.
        capacity: columns kept for a row, at least k.
        code: what entries stand for.
        slack: float64 [N] or a number, at least 0.
        relative: at least 0.
    """

    def __init__(
        self, n: int, k: int, capacity: int, code: Code, slack: Union[np.ndarray, float], relative: float = 0.0
    ):
        self.k, self.capacity, self.code, self.relative = k, max(k, capacity), code, relative
        self.slack = np.broadcast_to(np.asarray(slack, np.float64), (n,))
        self.keys = np.full((n, self.capacity), EMPTY)  # ascending
        self.threshold = np.full(n, code.lowest, code.dtype)  # entries must be greater
        self._locks = [threading.Lock() for _ in range(-(-n // _STRIPE))]

    def floor(self, start: int = 0, stop: Optional[int] = None) -> np.ndarray:
        """float32 [stop - start]: the value at or below which nothing can be among the k best; -inf if unknown."""
        return self._floor(packed_values(self.keys[start:stop, self.capacity - self.k]), self.slack[start:stop])

    def ceiling(self, values: np.ndarray, start: int, stop: int) -> np.ndarray:
        """float64 [stop - start, ...]: what the true values behind positive ``values`` of these rows cannot exceed."""
        return values * (1.0 + 0.5 * self.relative) + 0.5 * self.slack[start:stop, None]

    def complete(self, start: int = 0, stop: Optional[int] = None) -> np.ndarray:
        """bool [stop - start]: whether nothing above a row's floor was dropped."""
        floor = self.floor(start, stop)
        return (floor > self.code.least) & (packed_values(self.keys[start:stop, 0]) <= floor)

    def filled(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that have k candidates at least: the others lack them, whatever was dropped."""
        return rows[self.keys[rows, self.capacity - self.k] != EMPTY]

    def offer_rows(self, block: np.ndarray, first_column: int, rows: np.ndarray) -> None:
        """Show columns first_column... of ``rows`` int64 [R], all different.

        ``block`` [R, M] is contiguous and M a multiple of GROUP.
        """
        height, width = block.shape
        # Strided groups (column q + i * width / 8 is in group q): their maxima are long vector operations.
        first = block.reshape(height, SUBGROUP, width // SUBGROUP).max(axis=1)
        second = first.reshape(height, GROUP // SUBGROUP, width // GROUP).max(axis=1)
        limit = self._limits(first, second, rows)
        found = np.flatnonzero(second > limit[:, None])
        for part in _pieces(found // (width // GROUP)):
            owner, group = np.divmod(found[part], width // GROUP)
            base = owner * (width // SUBGROUP) + group
            owner, at = _look_into(first, base, width // GROUP, GROUP // SUBGROUP, owner, limit)
            base = owner * width + at % (width // SUBGROUP)
            owner, at = _look_into(block, base, width // SUBGROUP, SUBGROUP, owner, limit)
            self._keep(rows[owner], pack(self.code.values(block.reshape(-1)[at]), at % width + first_column))

    def offer_columns(
        self, block: np.ndarray, maxima: "RowGroups", names: np.ndarray, low: int, high: int, start: int
    ) -> None:
        """Show a block whose columns are this object's rows: columns low..high are rows start...

        ``block`` [R, M] is contiguous and R a multiple of GROUP; ``maxima`` are its own; ``names`` int64 [at most R]
        is what its rows are called here, the rest being padding. Several threads may show blocks to the same rows at
        once where all of them cut these rows alike.
        """
        width = block.shape[1]
        second = np.ascontiguousarray(maxima.second[:, low:high].T)  # [high - low, groups]
        limit = self._limits(second, second, np.arange(start, start + high - low))
        found = np.flatnonzero(second > limit[:, None])
        for part in _pieces(found // second.shape[1]):
            owner, group = np.divmod(found[part], second.shape[1])
            base = group * (GROUP // SUBGROUP * width) + (owner + low)
            owner, at = _look_into(maxima.first, base, width, GROUP // SUBGROUP, owner, limit)
            base = at // width * (SUBGROUP * width) + (owner + low)
            owner, at = _look_into(block, base, width, SUBGROUP, owner, limit)
            keys = pack(self.code.values(block.reshape(-1)[at]), names[at // width])
            with self._locks[start // _STRIPE]:
                self._keep(owner + start, keys)

    def _floor(self, kth: np.ndarray, slack: np.ndarray) -> np.ndarray:
        return (kth * (1.0 - np.sign(kth) * self.relative) - slack).astype(np.float32)

    def _limits(self, first: np.ndarray, second: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What entries must exceed: the rows' thresholds, or for rows still without one the k-th best group maximum."""
        limit = self.threshold[rows]
        maxima = second if second.shape[1] >= 2 * self.k else first
        fresh = np.flatnonzero(limit == self.code.lowest)
        if not len(fresh) or maxima.shape[1] < self.k:
            return limit
        maxima = maxima[fresh]
        kth = np.partition(maxima, maxima.shape[1] - self.k, axis=1)[:, maxima.shape[1] - self.k]
        kth = self.code.values(np.maximum(kth, kth.dtype.type(self.code.lowest)))
        limit[fresh] = self.code.limit(self._floor(kth, self.slack[rows[fresh]]))
        return limit

    def _keep(self, owner: np.ndarray, keys: np.ndarray) -> None:
        """Merge new keys into the rows ``owner`` (sorted) and raise those rows' thresholds."""
        if not len(owner):
            return
        starts = np.concatenate([_FIRST, np.flatnonzero(owner[1:] != owner[:-1]) + 1])
        counts = np.concatenate([starts[1:], [len(owner)]]) - starts
        widest = self.capacity + int(counts.max())
        if len(starts) > 1 and len(starts) * widest > _TABLE:
            middle = starts[len(starts) // 2]
            self._keep(owner[:middle], keys[:middle])
            self._keep(owner[middle:], keys[middle:])
            return
        rows = owner[starts]
        table = np.empty((len(rows), widest), np.int64)
        table[:, : self.capacity] = self.keys[rows]
        table[:, self.capacity :] = EMPTY
        place = np.arange(len(owner)) + np.repeat(np.arange(len(rows)) * widest + self.capacity - starts, counts)
        table.reshape(-1)[place] = keys
        table.sort(axis=1)
        best = table[:, widest - self.capacity :]
        self.keys[rows] = best
        floor = self._floor(packed_values(best[:, self.capacity - self.k]), self.slack[rows])
        # A full row needs nothing at or below its worst one either: blocks come in order, so an equal one is later.
        floor = np.maximum(floor, packed_values(best[:, 0]))
        self.threshold[rows] = self.code.limit(floor)


@dataclass(frozen=True)
class Bounds:
    """What the values of a product may be off by, and how many candidates that makes.

    Attributes:
        forward, backward: float64, a number or one for each row: twice the error of a value.
        relative: twice the relative error of a value.
        per_neighbour, spare: capacity for k neighbours is per_neighbour * k + spare.
    """

    forward: np.ndarray
    backward: np.ndarray
    relative: float
    per_neighbour: int
    spare: int

    def candidates(self, slack: np.ndarray, n: int, k: int, code: Code) -> Candidates:
        """Empty candidates of n rows with this ``slack``, a part of ``forward`` or ``backward``."""
        return Candidates(n, k, self.per_neighbour * k + self.spare, code, slack, self.relative)


class RowGroups:
    """Maxima over groups of 8 and of 32 consecutive rows of a block [R, M], filled panel by panel.

    Attributes:
        first: [R / 8, M].
        second: [R / 32, M].
    """

    def __init__(self, block: np.ndarray):
        height, width = block.shape
        self.first = np.empty((height // SUBGROUP, width), block.dtype)
        self.second = np.empty((height // GROUP, width), block.dtype)

    def fill(self, block: np.ndarray, start: int, stop: int) -> None:
        """Take rows start..stop, both multiples of GROUP, while they are in the cache."""
        width = block.shape[1]
        first, second = self.first[start // SUBGROUP : stop // SUBGROUP], self.second[start // GROUP : stop // GROUP]
        block[start:stop].reshape(-1, SUBGROUP, width).max(axis=1, out=first)
        first.reshape(-1, GROUP // SUBGROUP, width).max(axis=1, out=second)


def _pieces(owner: np.ndarray) -> List[slice]:
    """Cuts of a sorted array into slices of some _PIECE entries, never between two equal ones."""
    cuts: List[int] = [0]
    while cuts[-1] < len(owner):
        end = cuts[-1] + _PIECE
        cuts.append(int(np.searchsorted(owner, owner[end], side="right")) if end < len(owner) else len(owner))
    return [slice(low, high) for low, high in zip(cuts, cuts[1:])]


def _look_into(
    values: np.ndarray, base: np.ndarray, step: int, count: int, owner: np.ndarray, limit: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Owners and flat positions of the entries base, base + step, ... (count of them) above their owner's limit."""
    at = base[:, None] + np.arange(count) * step
    found = np.flatnonzero(values.reshape(-1).take(at) > limit[owner][:, None])
    return owner[found // count], at.reshape(-1)[found]
