"""``leakage.json``: how much of the evaluation text is in the training text of a run, with examples.

A list with an object for each side of each valid set, as :class:`SetLeakage` has it. recipes/write_results.py writes it before
it judges the student; the report shows it.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.json_file import from_json, load_json

NAME = "leakage.json"


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
    """One side of an evaluation set against the training text of its language.

    Attributes:
        valid_set, lang: which side.
        training_lines: of that language; ``found.lines`` of them were looked at.
        found: what was found; its examples count the lines that were looked at.
    """

    valid_set: str
    lang: str
    training_lines: int
    found: Leakage


def write_leakage(path: PathLike, entries: Sequence[SetLeakage]) -> None:
    """Write the counts with examples, atomically.

    Raises:
        DataError: the disk is full.
    """
    write_text(path, json.dumps([asdict(one) for one in entries], indent=1, ensure_ascii=False) + "\n")


def read_leakage(work_dir: PathLike) -> Optional[List[SetLeakage]]:
    """What the audit of a work directory found, or None where there was none.

    Raises:
        DataError: the file is damaged, or its counts contradict each other.
    """
    path = Path(work_dir) / NAME
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
        raise DataError(f"{path} is not a leakage audit: {error}; run recipes/student.sh again.") from error
    return entries


def _check(entry: SetLeakage) -> None:
    """Raise a ValueError when the counts contradict each other."""
    found = entry.found
    for part, whole, words in (
        (found.identical + found.near, found.lines, "training lines found among those looked at"),
        (found.lines, entry.training_lines, "training lines looked at"),
        (found.evaluation_hit, found.evaluation_lines, "evaluation lines found"),
    ):
        if not 0 <= part <= whole:
            raise ValueError(f"{entry.valid_set}, {entry.lang}: {part:,} of {whole:,} {words}")
    if min(found.identical, found.near) < 0 or not 0 <= found.threshold <= 1:
        raise ValueError(f"{entry.valid_set}, {entry.lang}: a count or the threshold is out of range")
