"""``leakage.json``: how much of the evaluation text is in the training text of a run, with examples; ``mining/leakage.json``:
how much of it is in what the run has mined.

A list with an object for each side of each valid set, as :class:`SetLeakage` has it. recipes/write_results.py writes the one before
it judges the student, recipes/add_mining.py the other; the report shows both.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.json_file import from_json, load_json

NAME = "leakage.json"
MINED = "mining/leakage.json"
TRAINING_TEXT, MINED_TEXT = "training", "mined"
_WRITERS = {NAME: "recipes/student.sh", MINED: "recipes/add_mining.py"}


@dataclass(frozen=True)
class NearDuplicate:
    """A line that is in an evaluation text too, or almost.

    Attributes:
        line, evaluation_line: line numbers, from 1.
        similarity: Jaccard index, in [threshold, 1]; 1 may still differ in case and punctuation.
        text, evaluation_text: the lines.
    """

    line: int
    evaluation_line: int
    similarity: float
    text: str
    evaluation_text: str


@dataclass
class Leakage:
    """How much of an evaluation text is in another text.

    Attributes:
        lines: lines compared; empty ones count.
        identical: of these, lines that an evaluation line equals, but for case, punctuation and spaces.
        near: further lines that are alike to the threshold or more.
        evaluation_lines: lines of the evaluation text.
        evaluation_hit: of these, lines with an identical or near line in the other text.
        threshold: least Jaccard index.
        examples: the first of each kind.
    """

    lines: int
    identical: int
    near: int
    evaluation_lines: int
    evaluation_hit: int
    threshold: float
    examples: List[NearDuplicate] = field(default_factory=list)


@dataclass
class SetLeakage:
    """One side of an evaluation set against other text of its language.

    Attributes:
        valid_set, lang: which side.
        text_lines: of the other text in that language; ``found.lines`` of them were looked at.
        found: what was found; its examples count the lines that were looked at.
        text: TRAINING_TEXT or MINED_TEXT, the other text.
    """

    valid_set: str
    lang: str
    text_lines: int
    found: Leakage
    text: str = TRAINING_TEXT


def write_leakage(path: PathLike, entries: Sequence[SetLeakage]) -> None:
    """Write the counts with examples, atomically.

    Raises:
        DataError: the disk is full.
    """
    write_text(path, json.dumps([asdict(one) for one in entries], indent=1, ensure_ascii=False) + "\n")


def read_leakage(work_dir: PathLike, name: str = NAME) -> Optional[List[SetLeakage]]:
    """What the audit of a work directory found, or None where there was none; ``name`` is NAME or MINED.

    Raises:
        DataError: the file is damaged, or its counts contradict each other.
    """
    path = Path(work_dir) / name
    if not path.is_file():
        return None
    try:
        raw = load_json(path)
        if not isinstance(raw, list):
            raise ValueError("it is not a JSON list")
        entries = [from_json(SetLeakage, one) for one in raw]
        for one in entries:
            _check(one)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a leakage audit: {error}; remove it and run {_WRITERS[name]} again.") from error
    return entries


def _check(entry: SetLeakage) -> None:
    """Raise a ValueError when the counts contradict each other."""
    found = entry.found
    for part, whole, words in (
        (found.identical + found.near, found.lines, "lines found among those looked at"),
        (found.lines, entry.text_lines, f"{entry.text} lines looked at"),
        (found.evaluation_hit, found.evaluation_lines, "evaluation lines found"),
    ):
        if not 0 <= part <= whole:
            raise ValueError(f"{entry.valid_set}, {entry.lang}: {part:,} of {whole:,} {words}")
    if min(found.identical, found.near) < 0 or not 0 <= found.threshold <= 1:
        raise ValueError(f"{entry.valid_set}, {entry.lang}: a count or the threshold is out of range")
    if entry.text not in (TRAINING_TEXT, MINED_TEXT):
        raise ValueError(f"{entry.text[:40]!r} is neither {TRAINING_TEXT!r} nor {MINED_TEXT!r}")
