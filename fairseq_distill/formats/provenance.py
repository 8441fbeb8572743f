"""Where each mined pair comes from: a TSV with a header, so that a mined corpus can be judged, filtered and made again.

=============== ============================================================
column          is
=============== ============================================================
round           first round of recipes/iterate.sh in which the pair was mined
score           margin score in the round of this file
cosine          cosine of the two vectors in the round of this file
source_file     file of the source line, as it was given
source_line     its line number there, from 1
target_file     file of the target line
target_line     its line number there, from 1
checkpoint      first 16 hexadecimal digits of the SHA-256 of the student's checkpoint
source          the source sentence, tidied as in the bitext
target          the target sentence
=============== ============================================================
"""

from dataclasses import astuple, dataclass, fields
from typing import Iterable, Iterator, List, Tuple

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import iter_lines, write_lines
from fairseq_distill.formats.numbers import finite, whole


@dataclass(frozen=True)
class Provenance:
    """One mined pair; see the table above."""

    round: int
    score: float
    cosine: float
    source_file: str
    source_line: int
    target_file: str
    target_line: int
    checkpoint: str
    source: str
    target: str

    @property
    def place(self) -> "tuple[str, int, str, int]":
        """The two lines, by which pairs of two rounds are compared."""
        return self.source_file, self.source_line, self.target_file, self.target_line


COLUMNS = tuple(field.name for field in fields(Provenance))


def write_provenance(path: PathLike, pairs: Iterable[Provenance]) -> int:
    """Write a header and the pairs in the order given; returns how many. A tab inside a field becomes a space."""

    def lines() -> Iterator[str]:
        yield "\t".join(COLUMNS)
        for pair in pairs:
            cells = (f"{cell:.6f}" if isinstance(cell, float) else str(cell) for cell in astuple(pair))
            yield "\t".join(cell.replace("\t", " ") for cell in cells)

    return write_lines(path, lines()) - 1


def read_provenance(path: PathLike) -> Iterator[Provenance]:
    """The pairs of a file.

    Raises:
        DataError: another header, a line with another number of fields, or something that is not a number.
    """
    stream = iter_lines(path)
    header = tuple(next(stream, "").split("\t"))
    if header != COLUMNS:
        raise DataError(f"{path} begins with {' '.join(header)!r} instead of the columns {' '.join(COLUMNS)!r}.")
    for number, line in enumerate(stream, start=2):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise DataError(f"{path}, line {number:,}: {len(cells)} fields instead of {len(COLUMNS)}.")
        try:
            pair = Provenance(
                whole(cells[0], 1), finite(cells[1]), finite(cells[2]), cells[3], whole(cells[4], 1), cells[5],
                whole(cells[6], 1), *cells[7:],
            )  # fmt: skip
        except ValueError as error:
            raise DataError(f"{path}, line {number:,}: {error}.") from error
        yield pair


def read_origins(path: PathLike) -> List[Tuple[str, int]]:
    """The origin of each line of a text that data_prep/hide_pairs.py made: file, and line number there from 1.

    Raises:
        DataError: missing, or a line that is not of that form.
    """
    found = []
    for number, line in enumerate(iter_lines(path), start=1):
        file, tab, place = line.rpartition("\t")
        try:
            if not tab:
                raise ValueError("file<TAB>line number is wanted")
            found.append((file, whole(place, 1)))
        except ValueError as error:
            raise DataError(f"{path}, line {number:,}: {error}; run data_prep/hide_pairs.py again.") from error
    return found


def read_mined_lines(path: PathLike) -> Tuple[List[float], np.ndarray]:
    """The scores, and int64 [P, 2] line numbers from 1, of pairs that data_prep/filter_pairs.py kept.

    Raises:
        DataError: missing, or a line that is not score, line number, line number.
    """
    scores, lines = [], []
    for number, line in enumerate(iter_lines(path), start=1):
        cells = line.split("\t")
        try:
            if len(cells) != 3:
                raise ValueError(f"{len(cells)} fields instead of 3")
            scores.append(finite(cells[0]))
            lines.append((whole(cells[1], 1), whole(cells[2], 1)))
        except ValueError as error:
            raise DataError(f"{path}, line {number:,}: {error}; run data_prep/filter_pairs.py again.") from error
    return scores, np.array(lines, np.int64).reshape(-1, 2)
