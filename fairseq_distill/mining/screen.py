"""From blocks of a product to exact neighbours: candidates are collected, and what is collected is measured one by one."""

from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple, Union

import numpy as np

from fairseq_distill.mining.rows import UnitRows, Workers, exact_cosines, spans
from fairseq_distill.mining.topk import EMPTY, GROUP, Candidates, pack, packed_columns, packed_values

Progress = Callable[[int, int], None]

_PANEL, _COLUMNS = 1 << 21, 2048  # entries, columns of a block that one thread looks at in one go
_TABLE = 1 << 18  # candidates that are measured in one go


@dataclass(frozen=True)
class Neighbours:
    """The K nearest rows of the other side for each of N rows, best first; equal cosines by ascending index.

    Attributes:
        cosines: float32 [N, K], descending; 0 with a zero row.
        indices: int64 [N, K].

    A neighbour that an approximate search did not find has index -1 and cosine -inf; an exact one finds all.
    """

    cosines: np.ndarray
    indices: np.ndarray


def empty_neighbours(n: int, k: int) -> Neighbours:
    """Room for the k neighbours of n rows."""
    return Neighbours(np.empty((n, k), np.float32), np.empty((n, k), np.int64))


def no_neighbours(n: int, k: int) -> Neighbours:
    """Of n rows, none of whose k neighbours has been found yet."""
    return Neighbours(np.full((n, k), -np.inf, np.float32), np.full((n, k), -1, np.int64))


def merge(into: Neighbours, rows: Union[slice, np.ndarray], found: Neighbours) -> None:
    """Put the best of what is known and of what was found into ``rows`` of ``into``; both may hold the same neighbour.

    Exact cosines have the same bits wherever they were measured, so that a neighbour is known again.
    """
    k = into.indices.shape[1]
    known = Neighbours(into.cosines[rows], into.indices[rows])
    table = np.concatenate([keys_of(known), keys_of(found)], axis=1)
    table.sort(axis=1)
    table[:, 1:][table[:, 1:] == table[:, :-1]] = EMPTY
    table.sort(axis=1)
    best = neighbours_of(table[:, : -k - 1 : -1])
    into.cosines[rows], into.indices[rows] = best.cosines, best.indices


def keys_of(found: Neighbours) -> np.ndarray:
    """int64 [N, K]: neighbours as :func:`.topk.pack` has them, EMPTY where none was found."""
    return np.where(found.indices < 0, EMPTY, pack(found.cosines, found.indices))


def neighbours_of(keys: np.ndarray) -> Neighbours:
    """What keys [N, K] stand for."""
    return Neighbours(packed_values(keys), np.where(keys == EMPTY, -1, packed_columns(keys)))


def offer(
    block: np.ndarray,
    rows: Candidates,
    row_ids: np.ndarray,
    columns: Optional[Candidates],
    column_span: Tuple[int, int],
    workers: Workers,
    names: Optional[np.ndarray] = None,
    first: int = 0,
) -> None:
    """Show a block to the candidates of its rows and of its columns, in pieces that stay in a core's cache.

    Args:
        block: padded on both sides to a multiple of GROUP, see :mod:`fairseq_distill.mining.products`.
        rows: candidates of rows; the block's belong to ``row_ids``, int64 [H], all different.
        columns: its rows from ``first`` on are the block's columns; None when nobody asks for them.
        column_span: what the columns are called in ``rows``.
        names: int64 [H], what the rows are called in ``columns``; ``row_ids`` when None.
    """
    left, right = column_span
    height = len(row_ids)

    def panel(span: Tuple[int, int]) -> None:
        start, stop = span[0], min(span[1], height)
        rows.offer_rows(block[start:stop], left, row_ids[start:stop])

    workers.each(panel, spans(0, len(block), max(GROUP, _PANEL // block.shape[1] // GROUP * GROUP)))
    if columns is None:
        return
    kept, called = columns, row_ids if names is None else names
    workers.each(
        lambda span: kept.offer_columns(block, called, span[0], span[1], first + span[0]),
        spans(0, right - left, _COLUMNS),
    )


def settle(
    found: Candidates,
    own: UnitRows,
    other: UnitRows,
    first: int,
    into: Neighbours,
    workers: Workers,
    names: Optional[np.ndarray] = None,
    low: Optional[int] = None,
) -> np.ndarray:
    """Measure the candidates exactly and write the k best into rows first... of ``into``.

    Args:
        found: its rows are rows low... of ``own`` (first... when None), its columns rows of ``other``.
        names: int64, what the rows of ``other`` are called in the result; their numbers when None.

    Returns:
        int64, ascending: the rows of ``found`` whose candidates may not be all. Where there were fewer than k of them, the
        rest has the index -1 and the cosine -inf.
    """
    low = first if low is None else low
    undecided: List[np.ndarray] = [np.empty(0, np.int64)]
    k, spare = found.k, found.capacity - found.k
    for start, stop in spans(0, len(found.keys), max(1, _TABLE // found.capacity)):
        keys, complete = found.settled(start, stop)
        table = np.full(keys.shape, EMPTY)

        def measure(wanted: np.ndarray) -> None:
            row, columns = np.nonzero(wanted)[0], packed_columns(keys[wanted])
            cosines = np.empty(len(row), np.float32)
            exact_cosines(own, row + low + start, other, columns, workers, cosines)
            table[wanted] = pack(cosines, columns if names is None else names[columns])

        likely = np.zeros(keys.shape, bool)
        likely[:, spare:] = keys[:, spare:] != EMPTY
        measure(likely)
        # The others matter where their bound reaches the worst of the k that are known exactly now.
        known = packed_values(table[:, spare:].min(axis=1))[:, None]
        measure(~likely & (keys != EMPTY) & (found.ceiling(packed_values(keys), start, stop) >= known))
        table.sort(axis=1)
        best = neighbours_of(table[:, : -k - 1 : -1])
        into.cosines[first + start : first + stop] = best.cosines
        into.indices[first + start : first + stop] = best.indices
        undecided.append(start + np.flatnonzero(~complete))
        own.release()
        other.release_if_large()
    return np.concatenate(undecided)
