"""Mined bitext: ``score<TAB>source<TAB>target``, best first, no quoting, as LASER writes it.

Two columns may follow, the line numbers; and after these three more that say where a pair comes from:

=========== =======================================================================
column      is
=========== =======================================================================
score       margin score
source      the source sentence, a tab in it written as a space
target      the target sentence, likewise
source_line line number of the source in its file, from 1
target_line line number of the target
cosine      cosine of the two vectors
source_hash 64 bits of BLAKE2b of the source line as it stands in its file, in hexadecimal
target_hash the same of the target line
=========== =======================================================================
"""

import hashlib
import math
import re
from dataclasses import dataclass, fields
from typing import Iterable, Iterator, List, Optional

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, atomic_path
from fairseq_distill.formats.lines import iter_lines, write_lines
from fairseq_distill.formats.numbers import whole

HASH = "BLAKE2b, 64 bits, of the line's UTF-8 bytes without its line end"


@dataclass
class MinedPair:
    """One mined pair, see the table above; what the file does not carry is None."""

    score: float
    source: str
    target: str
    source_line: Optional[int] = None
    target_line: Optional[int] = None
    cosine: Optional[float] = None
    source_hash: Optional[str] = None
    target_hash: Optional[str] = None


COLUMNS = tuple(field.name for field in fields(MinedPair))
_WIDTHS = (3, 5, len(COLUMNS))  # columns of a plain file, with line numbers, with all


def line_hash(line: str) -> str:
    """16 hexadecimal digits by which a line is known again; see HASH."""
    return hashlib.blake2b(line.encode("utf-8"), digest_size=8).hexdigest()


def _hash(cell: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", cell):
        raise ValueError(f"{cell[:40]!r} is not the hash of a line")
    return cell


def write_mined_pairs(
    path: PathLike, pairs: Iterable[MinedPair], with_ids: bool = False, provenance: bool = False
) -> int:
    """Write pairs in the order given; returns how many. A tab inside a sentence becomes a space.

    Args:
        with_ids: add the line numbers.
        provenance: add the line numbers, the cosine and the hash of each line, which is made here.
    """

    def line(pair: MinedPair) -> str:
        cells = [f"{pair.score:.6f}", pair.source.replace("\t", " "), pair.target.replace("\t", " ")]
        if with_ids or provenance:
            cells += [str(pair.source_line), str(pair.target_line)]
        if provenance:
            cells += [f"{pair.cosine:.6f}", line_hash(pair.source), line_hash(pair.target)]
        return "\t".join(cells)

    return write_lines(path, map(line, pairs))


def read_mined_pairs(path: PathLike) -> Iterator[MinedPair]:
    """The pairs of a file, with or without line numbers and the columns after them.

    Raises:
        DataError: a line has not 3, 5 or 8 fields, or not those of the first line, or a number in it is none of its kind.
    """
    expected = 0
    for number, text in enumerate(iter_lines(path), start=1):
        cells = text.split("\t")
        if len(cells) not in _WIDTHS:
            raise DataError(f"{path}, line {number:,}: {len(cells)} fields instead of score, source, target.")
        try:
            lines: List[Optional[int]] = [whole(cell, 1) for cell in cells[3:5]] or [None, None]
            pair = MinedPair(float(cells[0]), cells[1], cells[2], lines[0], lines[1])
            if len(cells) == len(COLUMNS):
                pair.cosine, pair.source_hash, pair.target_hash = float(cells[5]), *map(_hash, cells[6:])
        except ValueError as error:
            raise DataError(f"{path}, line {number:,}: {error}.") from error
        for name, value, cell in (("score", pair.score, 0), ("cosine", pair.cosine or 0.0, 5)):
            if math.isnan(value):
                raise DataError(f"{path}, line {number:,}: the {name} {cells[cell]!r} is not a number.")
        expected = expected or len(cells)
        if len(cells) != expected:  # a file cut inside a line
            raise DataError(
                f"{path}, line {number:,}: {len(cells)} fields, but {expected} in line 1; the file is damaged."
            )
        yield pair


def write_scores(path: PathLike, scores: np.ndarray) -> None:
    """Write margin scores, float32 [P], as a ``.npy`` file, whole or not at all."""
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as stream:
            np.save(stream, np.asarray(scores, np.float32))
