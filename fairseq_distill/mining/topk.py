"""The best columns of every row, and the best rows of every column, of a matrix that is shown block by block.

Almost all entries of a block are not among the best. They are compared with what each row and each column already has, once
for the rows and once for the columns, in long vector operations; only what is above is read. It is put where there is room,
and sorted when there is none left. So the matrix product that made the block remains the only real work.
"""

import threading
from dataclasses import dataclass
from typing import List, NamedTuple, Union

import numpy as np

from fairseq_distill.mining.codes import Code

GROUP = 32  # sides of a block are multiples of this
_SUBGROUP = 8  # entries below one maximum, where maxima of GROUP entries are too few
EMPTY = np.iinfo(np.int64).min
_COLUMN_MASK = (1 << 32) - 1
_FIRST = np.zeros(1, np.int64)
_PIECE = 1 << 18  # entries kept at a time: bounds memory when very many entries are equal
_TABLE = 1 << 20  # entries of a table that is sorted at a time
_STRIPE = 1 << 10  # rows that one lock keeps
_scratch = (
    threading.local()
)  # of each thread: memory that is mapped anew for every block costs as much as the comparison


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


class Settled(NamedTuple):
    """What a search has left of N rows.

    Attributes:
        keys: int64 [N, capacity], ascending; EMPTY where there are fewer.
        complete: bool [N], whether nothing above a row's final floor was dropped.
    """

    keys: np.ndarray
    complete: np.ndarray


class Candidates:
    """For each of N rows the columns that may be among its k best, when every value may be off by a known amount.

    Kept is what lies above ``floor = v * (1 - relative) - slack``, v being the row's k-th best value so far, and of
    that at most ``capacity``. What was dropped lies at or below the final floor, unless :meth:`settled` denies it.

    Args:
        n, k: rows, and how many best ones matter.
        capacity: columns kept for a row, at least k.
        code: what entries stand for.
        slack: float64 [N] or a number, at least 0.
        relative: at least 0.

    Attributes:
        keys: int64 [N, room_for(capacity)]; the first ``held`` of a row are in use, in no order.
        held: int32 [N].
        dropped: float32 [N], nothing above it was dropped beside what was at or below the floor.
        threshold: [N], in the code's type: entries must be greater.
    """

    def __init__(
        self, n: int, k: int, capacity: int, code: Code, slack: Union[np.ndarray, float], relative: float = 0.0
    ):
        self.k, self.capacity, self.code, self.relative = k, max(k, capacity), code, relative
        self.slack = np.broadcast_to(np.asarray(slack, np.float64), (n,))
        self.keys = np.full((n, room_for(self.capacity)), EMPTY)
        self.held = np.zeros(n, np.int32)
        self.dropped = np.full(n, -np.inf, np.float32)
        self.threshold = np.full(n, code.lowest, code.dtype)
        self._locks = [threading.Lock() for _ in range(-(-n // _STRIPE))]

    def settled(self, start: int, stop: int) -> Settled:
        """The candidates of rows start..stop."""
        keys = np.sort(self.keys[start:stop], axis=1)
        dropped = np.maximum(self.dropped[start:stop], packed_values(keys[:, -self.capacity - 1]))
        floor = self._floor(packed_values(keys[:, -self.k]), self.slack[start:stop])
        return Settled(keys[:, -self.capacity :], (floor > self.code.least) & (dropped <= floor))

    def ceiling(self, values: np.ndarray, start: int, stop: int) -> np.ndarray:
        """float64 [stop - start, ...]: what the true values behind positive ``values`` of these rows cannot exceed."""
        return values * (1.0 + 0.5 * self.relative) + 0.5 * self.slack[start:stop, None]

    def filled(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that have k candidates at least: the others lack them, whatever was dropped."""
        return rows[self.held[rows] >= self.k]

    def offer_rows(self, block: np.ndarray, first_column: int, rows: np.ndarray) -> None:
        """Show columns first_column... of ``rows`` int64 [R], all different.

        ``block`` [R, M] is contiguous and M a multiple of GROUP.
        """
        width = block.shape[1]
        limit = self.threshold[rows]
        fresh = np.flatnonzero(limit == self.code.lowest)
        if len(fresh):
            # Strided groups (column q + i * width / size is in group q): their maxima are long vector operations.
            size = self._group(width)
            maxima = block.reshape(len(rows), size, width // size).max(axis=1)
            limit[fresh] = self._first_limits(maxima[fresh], rows[fresh])
        found = _above(block, limit[:, None])
        for part in _pieces(found // width):
            at = found[part]
            owner = at // width
            keys = pack(self.code.values(block.reshape(-1)[at]), at - owner * width + first_column)
            self._keep(rows[owner], keys)

    def offer_columns(self, block: np.ndarray, names: np.ndarray, low: int, high: int, start: int) -> None:
        """Show a block whose columns are this object's rows: columns low..high are rows start...

        ``block`` [R, M] is contiguous and R a multiple of GROUP; ``names`` int64 [at most R] is what its rows are called
        here, the rest being padding. Several threads may show blocks to the same rows at once where all of them cut these
        rows alike.
        """
        columns = block[:, low:high]
        limit = self.threshold[start : start + high - low].copy()
        fresh = np.flatnonzero(limit == self.code.lowest)
        if len(fresh):
            size = self._group(len(block))
            maxima = columns.reshape(len(block) // size, size, high - low).max(axis=1)
            limit[fresh] = self._first_limits(maxima.T[fresh], fresh + start)
        found = _above(columns, limit)
        row = found // (high - low)
        owner = found - row * (high - low)
        order = np.argsort(
            owner.astype(np.uint16) if high - low <= 1 << 16 else owner, kind="stable"
        )  # 16 bits: by radix
        row, owner = row[order], owner[order]
        for part in _pieces(owner):
            keys = pack(self.code.values(columns[row[part], owner[part]]), names[row[part]])
            with self._locks[start // _STRIPE]:
                self._keep(owner[part] + start, keys)

    def _floor(self, kth: np.ndarray, slack: np.ndarray) -> np.ndarray:
        return (kth * (1.0 - np.sign(kth) * self.relative) - slack).astype(np.float32)

    def _group(self, entries: int) -> int:
        """How many of ``entries`` share a maximum, so that there are twice as many maxima as neighbours wanted, if possible."""
        return GROUP if entries // GROUP >= 2 * self.k else _SUBGROUP

    def _first_limits(self, maxima: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What entries of ``rows`` without a threshold must exceed: the floor of the k-th best of their ``maxima`` [R, G]."""
        at = maxima.shape[1] - self.k
        if at < 0:
            return np.full(len(rows), self.code.lowest, self.code.dtype)
        kth = np.partition(maxima, at, axis=1)[:, at]
        kth = self.code.values(np.maximum(kth, kth.dtype.type(self.code.lowest)))
        limits: np.ndarray = self.code.limit(self._floor(kth, self.slack[rows]))
        return limits

    def _keep(self, owner: np.ndarray, keys: np.ndarray) -> None:
        """Put new keys to those of the rows ``owner`` (sorted)."""
        if not len(owner):
            return
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        counts = np.diff(starts, append=len(owner))
        rows = owner[starts]
        held, room = self.held[rows], self.keys.shape[1]
        # Also those without a threshold, which gives them one.
        full = (held + counts > room) | (self.threshold[rows] == self.code.lowest)
        place = np.arange(len(owner)) + np.repeat(rows * room + held - starts, counts)
        if full.any():
            new = np.repeat(full, counts)
            self._sort(rows[full], counts[full], keys[new])
            keys, place, rows, counts = keys[~new], place[~new], rows[~full], counts[~full]
        self.keys.reshape(-1)[place] = keys
        self.held[rows] += counts.astype(np.int32)

    def _sort(self, rows: np.ndarray, counts: np.ndarray, keys: np.ndarray) -> None:
        """Put ``counts`` new keys to each of ``rows``, keep the best ones and raise the rows' thresholds."""
        room = self.keys.shape[1]
        widest = room + int(counts.max())
        if len(rows) > 1 and len(rows) * widest > _TABLE:
            half = len(rows) // 2
            cut = int(counts[:half].sum())
            self._sort(rows[:half], counts[:half], keys[:cut])
            self._sort(rows[half:], counts[half:], keys[cut:])
            return
        table = np.empty((len(rows), widest), np.int64)
        table[:, :room] = self.keys[rows]
        table[:, room:] = EMPTY
        table.reshape(-1)[
            np.arange(len(keys)) + np.repeat(np.arange(len(rows)) * widest + room - np.cumsum(counts) + counts, counts)
        ] = keys
        table.sort(axis=1)
        best = table[:, widest - self.capacity :]
        floor = self._floor(packed_values(best[:, self.capacity - self.k]), self.slack[rows])
        worst = packed_values(best[:, 0])
        self.dropped[rows] = np.where(worst > floor, worst, self.dropped[rows])
        # A full row needs nothing at or below its worst one either: blocks come in order, so an equal one is later.
        self.threshold[rows] = self.code.limit(np.maximum(floor, worst))
        best[packed_values(best) < floor[:, None]] = EMPTY
        self.keys[rows, : self.capacity] = best[:, ::-1]
        self.keys[rows, self.capacity :] = EMPTY
        self.held[rows] = (best != EMPTY).sum(axis=1)


def room_for(capacity: int) -> int:
    """Keys that a row has room for between two sorts."""
    return capacity + max(capacity // 2, min(capacity, 24), 8)


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


def _above(block: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """int64: the flat positions of entries of ``block`` [R, M] above ``limit``, which is broadcast."""
    room: np.ndarray = getattr(_scratch, "room", np.empty(0, bool))
    if room.size < block.size:
        room = _scratch.room = np.empty(block.size, bool)
    above = room[: block.size]
    np.greater(block, limit, out=above.reshape(block.shape))
    return np.flatnonzero(above)


def _pieces(owner: np.ndarray) -> List[slice]:
    """Cuts of a sorted array into slices of some _PIECE entries, never between two equal ones."""
    cuts: List[int] = [0]
    while cuts[-1] < len(owner):
        end = cuts[-1] + _PIECE
        cuts.append(int(np.searchsorted(owner, owner[end], side="right")) if end < len(owner) else len(owner))
    return [slice(low, high) for low, high in zip(cuts, cuts[1:])]
