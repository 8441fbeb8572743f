"""Mined bitext: ``score<TAB>source<TAB>target``, best first, no quoting, as LASER writes it."""

from dataclasses import dataclass
from typing import Iterable, Iterator, Optional

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import iter_lines, write_lines


@dataclass
class MinedPair:
    """One mined pair; line numbers count from 1 and are None when the file does not carry them."""

    score: float
    source: str
    target: str
    source_line: Optional[int] = None
    target_line: Optional[int] = None


def write_mined_pairs(path: PathLike, pairs: Iterable[MinedPair], with_ids: bool = False) -> int:
    """Write pairs in the order given; returns how many. A tab inside a sentence becomes a space."""

    def line(pair: MinedPair) -> str:
        fields = [f"{pair.score:.6f}", pair.source.replace("\t", " "), pair.target.replace("\t", " ")]
        if with_ids:
            fields += [str(pair.source_line), str(pair.target_line)]
        return "\t".join(fields)

    return write_lines(path, map(line, pairs))


def read_mined_pairs(path: PathLike) -> Iterator[MinedPair]:
    """The pairs of a file, with or without line numbers.

    Raises:
        DataError: a line has not 3 or 5 fields, or its score is not a number.
    """
    for number, text in enumerate(iter_lines(path), start=1):
        fields = text.split("\t")
        try:
            if len(fields) == 3:
                yield MinedPair(float(fields[0]), fields[1], fields[2])
            elif len(fields) == 5:
                yield MinedPair(float(fields[0]), fields[1], fields[2], int(fields[3]), int(fields[4]))
            else:
                raise DataError(f"{path}, line {number:,}: {len(fields)} fields instead of score, source, target.")
        except ValueError as error:
            raise DataError(f"{path}, line {number:,}: {error}.") from error
