"""Augmented targets of xsim++: near copies of a target sentence that mean something else, each with its error type.

Three files are read, told apart by their content:

- JSON of LASER's xsim++: ``{augmented text: {"src": original text, "errtype": error type}}``
- JSON by original: ``{original text: {error type: [augmented text, …]}}``
- TSV: ``number of the original's line<TAB>error type<TAB>augmented text``, lines counted from 1, no header, no quoting;
  it is what :func:`write_augmented` writes.
"""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import parse_json
from fairseq_distill.formats.lines import iter_lines, require_file, write_lines

Row = Tuple[int, str, str]  # original's line from 0, error type, augmented text


@dataclass(frozen=True)
class Augmented:
    """A augmented targets.

    Attributes:
        texts: the augmented sentences.
        originals: int64 [A], the line (from 0) of the target that each was made from.
        kinds: its error type, as the file names it.
    """

    texts: List[str]
    originals: np.ndarray
    kinds: List[str]

    def __len__(self) -> int:
        return len(self.texts)


def read_augmented(path: PathLike, targets: Sequence[str]) -> Augmented:
    """The augmented targets of a file, in its order.

    Args:
        path: one of the three files above, plain or ``.gz``.
        targets: the lines of the target text. Of equal lines the first is the original.

    Raises:
        DataError: damaged, nothing in it, an original that is not among the targets, an augmented text that is no line of
            text, or one that is equal to a target, which could not be told from a right answer.
    """
    require_file(path)
    lines = list(iter_lines(path))
    first = next((line for line in lines if line.strip()), "").lstrip()
    rows = list(_json_rows(path, lines, targets) if first.startswith("{") else _tsv_rows(path, lines, len(targets)))
    if not rows:
        raise DataError(f"{path} holds no augmented sentence.")
    known = set(targets)
    for line, kind, text in rows:
        if not _is_line(text) or not _is_line(kind):
            raise DataError(
                f"{path}: the {kind!r} of line {line + 1:,} is {text!r}, which holds a line feed or half a character; mend it."
            )
        if text in known:
            raise DataError(
                f"{path}: the {kind} of line {line + 1:,} is equal to a target sentence, {text!r}; leave it out."
            )
    return Augmented([row[2] for row in rows], np.array([row[0] for row in rows], np.int64), [row[1] for row in rows])


def _is_line(text: str) -> bool:
    """Whether it can stand in a line of a text file."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # JSON can spell half of a pair of surrogates
        return False
    return "\n" not in text


def _tsv_rows(path: PathLike, lines: Sequence[str], n: int) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if len(cells) != 3 or not cells[0].isascii() or not cells[0].isdigit() or not cells[1] or not cells[2]:
            raise DataError(f"{path}, line {number:,}: expected line number<TAB>error type<TAB>text, found {line!r}.")
        original = int(cells[0]) if len(cells[0]) < 20 else n + 1
        if not 1 <= original <= n:
            raise DataError(
                f"{path}, line {number:,}: the original is line {cells[0][:40]} of a target text of {n:,} lines."
            )
        yield original - 1, cells[1], cells[2]


def _json_rows(path: PathLike, lines: Sequence[str], targets: Sequence[str]) -> Iterator[Row]:
    place: Dict[str, int] = {}
    for line, text in enumerate(targets):
        place.setdefault(text, line)
    try:
        content = parse_json("\n".join(lines))
    except ValueError as error:
        raise DataError(f"{path} is damaged JSON: {error}.") from error
    for original, kind, text in _triples(path, content):
        if original not in place:
            raise DataError(
                f"{path}: the original {original!r} is not a line of the target text; both must be of one version."
            )
        yield place[original], kind, text


def _triples(path: PathLike, content: Dict[str, Any]) -> Iterator[Tuple[str, str, str]]:
    """(original, error type, augmented text) of both layouts."""
    for key, value in content.items():
        if not isinstance(value, dict):
            raise DataError(f"{path}: the entry of {key!r} is no JSON object.")
        if isinstance(value.get("src"), str) and isinstance(value.get("errtype"), str):
            yield value["src"], value["errtype"], key
            continue
        for kind, texts in value.items():
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise DataError(f"{path}: {kind!r} of {key!r} is no list of sentences.")
            yield from ((key, kind, text) for text in texts)


def write_augmented(path: PathLike, augmented: Augmented) -> None:
    """Write the TSV described above, atomically; no text may hold a tab, as none of evaluation/augment.py does."""
    rows = zip(augmented.originals.tolist(), augmented.kinds, augmented.texts)
    write_lines(path, (f"{original + 1}\t{kind}\t{text}" for original, kind, text in rows))
