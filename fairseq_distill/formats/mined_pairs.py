"""Mined bitext: ``score<TAB>source<TAB>target``, best first, no quoting, as LASER writes it."""

import math
from dataclasses import dataclass
from typing import Iterable, Iterator, Optional

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, atomic_path
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
        DataError: a line has not 3 or 5 fields, or not those of the first line, or its score is not a number.
    """
    expected = 0
    for number, text in enumerate(iter_lines(path), start=1):
        fields = text.split("\t")
        if len(fields) not in (3, 5):
            raise DataError(f"{path}, line {number:,}: {len(fields)} fields instead of score, source, target.")
        try:
            pair = MinedPair(float(fields[0]), fields[1], fields[2], *map(int, fields[3:]))
        except ValueError as error:
            raise DataError(f"{path}, line {number:,}: {error}.") from error
        if math.isnan(pair.score):
            raise DataError(f"{path}, line {number:,}: the score {fields[0]!r} is not a number.")
        expected = expected or len(fields)
        if len(fields) != expected:  # a file cut inside a line
            raise DataError(f"{path}, line {number:,}: {len(fields)} fields, but {expected} in line 1; the file is damaged.")
        yield pair


def write_scores(path: PathLike, scores: np.ndarray) -> None:
    """Write margin scores, float32 [P], as a ``.npy`` file, whole or not at all."""
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as stream:
            np.save(stream, np.asarray(scores, np.float32))
