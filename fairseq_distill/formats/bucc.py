"""BUCC's three files: two texts with an id before each sentence, and which ids are translations of each other.

``PREFIX.fra`` and ``PREFIX.eng`` hold ``id<TAB>sentence``, ``PREFIX.gold`` holds ``source id<TAB>target id``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import iter_lines, require_file


@dataclass(frozen=True)
class BuccSet:
    """Two monolingual texts with known pairs.

    Attributes:
        src, tgt: sentences, N and M of them.
        gold: int64 [G, 2], rows of src and tgt; each row of either side at most once.
    """

    src: List[str]
    tgt: List[str]
    gold: np.ndarray


def read_bucc(prefix: PathLike, src_lang: str, tgt_lang: str) -> BuccSet:
    """The set of a prefix.

    Raises:
        DataError: a missing file, a line without id, an id twice, or a gold pair whose id is unknown or used before.
    """
    sides = [_read_side(Path(f"{prefix}.{lang}")) for lang in (src_lang, tgt_lang)]
    path = require_file(f"{prefix}.gold")
    rows: List[Tuple[int, int]] = []
    used: Tuple[Dict[str, int], Dict[str, int]] = ({}, {})
    for number, line in enumerate(iter_lines(path), start=1):
        ids = line.split("\t")
        if len(ids) != 2:
            raise DataError(f"{path}, line {number:,}: expected source id<TAB>target id, found {line!r}.")
        for one, (places, _), seen, lang in zip(ids, sides, used, (src_lang, tgt_lang)):
            if one not in places:
                raise DataError(f"{path}, line {number:,}: {one!r} is no id of {prefix}.{lang}.")
            if seen.setdefault(one, number) != number:
                raise DataError(
                    f"{path}, line {number:,}: {one!r} is in the pair of line {seen[one]:,} too; keep one of the two."
                )
        rows.append((sides[0][0][ids[0]], sides[1][0][ids[1]]))
    if len(rows) < 2:
        raise DataError(f"{path} has {len(rows)} pairs; two halves need two or more.")
    return BuccSet(sides[0][1], sides[1][1], np.array(rows, np.int64))


def _read_side(path: Path) -> Tuple[Dict[str, int], List[str]]:
    places: Dict[str, int] = {}
    sentences: List[str] = []
    for number, line in enumerate(iter_lines(require_file(path)), start=1):
        name, tab, sentence = line.partition("\t")
        if not tab or not name:
            raise DataError(f"{path}, line {number:,}: expected id<TAB>sentence, found {line!r}.")
        if places.setdefault(name, number - 1) != number - 1:
            raise DataError(f"{path}, line {number:,}: the id {name!r} stands in line {places[name] + 1:,} too.")
        sentences.append(sentence)
    return places, sentences
