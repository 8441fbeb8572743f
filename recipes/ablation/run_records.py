"""The results file: one JSON object a line and a run, numbers only, small enough to be kept beside the documentation.

    {"key": "3f0c…", "variant": "mlm", "group": "horn", "lang": null, "seed": 1, "size": "cpu", "updates": 800,
     "sets": [["hornmt.eng-amh", 200, {"absolute": 31, "distance": 22, "ratio": 22}], …],
     "wrong": "eJxz…", "cpu_seconds": 131.4, …}

``sets`` holds for each development set its sentences and how many were wrong, by margin. ``wrong`` holds which: one bit a
sentence, the sets one after the other, for the distance margin; then where the other margins differ from it; packed.
"""

import base64
import contextlib
import fcntl
import json
import os
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import write_text
from fairseq_distill.formats.json_file import parse_json
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.numbers import finite, whole
from fairseq_distill.mining.margin import MARGINS

REFERENCE = "distance"
OTHERS = tuple(margin for margin in MARGINS if margin != REFERENCE)

Wrong = Dict[str, Dict[str, np.ndarray]]  # development set -> margin -> bool [N], whether a sentence was wrong


@dataclass
class Record:
    """One line.

    Attributes:
        key: what decided the numbers, as a hash; see make_runs.py.
        variant, group, lang, seed, size, updates: of the run.
        sets: (development set, sentences, wrong ones by margin).
        wrong: which were wrong, packed by :func:`pack_wrong`.
        parameters: of the student.
        cpu_seconds: of training; a machine that is busy with other work does not change them much.
        versions: what it ran with.
        created: when it ended, UTC.
    """

    key: str
    variant: str
    group: str
    lang: Optional[str]
    seed: int
    size: str
    updates: int
    sets: List[Tuple[str, int, Dict[str, int]]]
    wrong: str
    parameters: int = 0
    cpu_seconds: float = 0.0
    versions: Dict[str, str] = field(default_factory=dict)
    created: str = ""

    def wrong_sentences(self) -> Wrong:
        """Which sentences of each development set were wrong.

        Raises:
            DataError: the bits do not fit the counts beside them.
        """
        return unpack_wrong(self.sets, self.wrong)


def judged_otherwise(record: Record, other: Record) -> int:
    """Sentences that are wrong in one of two records and right in the other, by the reference margin.

    Raises:
        DataError: they were judged on other development sets.
    """
    ours, theirs = record.wrong_sentences(), other.wrong_sentences()
    if [(name, n) for name, n, _ in record.sets] != [(name, n) for name, n, _ in other.sets]:
        raise DataError(f"{record.key} has {len(ours)} development sets, {other.key} {len(theirs)}, or of other sizes.")
    return sum(int((ours[name][REFERENCE] ^ theirs[name][REFERENCE]).sum()) for name in ours)


def pack_wrong(wrong: Wrong) -> str:
    """The bits of all sets as text, see above."""
    rows = {margin: np.concatenate([sets[margin] for sets in wrong.values()]) for margin in MARGINS}
    bits = [rows[REFERENCE], *(rows[margin] ^ rows[REFERENCE] for margin in OTHERS)]
    return base64.b64encode(zlib.compress(np.packbits(np.concatenate(bits)).tobytes(), 9)).decode("ascii")


def unpack_wrong(sets: List[Tuple[str, int, Dict[str, int]]], packed: str) -> Wrong:
    """What :func:`pack_wrong` was given, checked against the counts.

    Raises:
        DataError: they differ.
    """
    n = sum(size for _, size, _ in sets)
    try:
        raw = np.frombuffer(zlib.decompress(base64.b64decode(packed, validate=True)), np.uint8)
    except (ValueError, zlib.error) as error:
        raise DataError(f"the bits of its sentences are damaged ({error})") from error
    if len(raw) != -(-3 * n // 8):
        raise DataError(f"it holds {len(raw):,} bytes of bits where {n:,} sentences take {-(-3 * n // 8):,}")
    reference, *others = np.unpackbits(raw, count=3 * n).astype(bool).reshape(3, n)
    rows = {REFERENCE: reference, **{margin: reference ^ other for margin, other in zip(OTHERS, others)}}
    found, start = {}, 0
    for name, size, errors in sets:
        found[name] = {margin: rows[margin][start : start + size] for margin in MARGINS}
        counted = {margin: int(found[name][margin].sum()) for margin in MARGINS}
        if counted != errors:
            raise DataError(f"{name} has {errors} wrong sentences, but its bits say {counted}")
        start += size
    return found


def sets_of(wrong: Wrong) -> List[Tuple[str, int, Dict[str, int]]]:
    """The counts of a record."""
    return [
        (name, len(rows[REFERENCE]), {margin: int(rows[margin].sum()) for margin in MARGINS})
        for name, rows in wrong.items()
    ]


def _check(record: Record) -> None:
    """Raise a ValueError when a value is not of its field's type, or a number is not finite."""
    for name in ("key", "variant", "group", "size", "wrong", "created"):
        if not isinstance(getattr(record, name), str):
            raise ValueError(f"{name} must be text")
    if not isinstance(record.lang, (str, type(None))):
        raise ValueError("lang must be text or null")
    for number in (record.seed, record.updates, record.parameters):
        if not isinstance(number, int):
            raise ValueError("seed, updates and parameters must be whole numbers")
        whole(number)
    finite(record.cpu_seconds)


def read_records(path: Path) -> List[Record]:
    """All lines of a results file; none when there is no file.

    Raises:
        DataError: a line is no record, or a key stands twice.
    """
    if not path.is_file():
        return []
    records: Dict[str, Record] = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            raw: Dict[str, Any] = parse_json(line)
            record = Record(**{**raw, "sets": [(name, n, errors) for name, n, errors in raw["sets"]]})
            _check(record)
            record.wrong_sentences()
        except (ValueError, TypeError, KeyError, DataError) as error:
            raise DataError(f"{path}, line {number:,} is no result of a run: {error}; remove the line.") from error
        if record.key in records:
            raise DataError(
                f"{path}, line {number:,}: the run {record.key} stands there twice; remove one of the lines."
            )
        records[record.key] = record
    return list(records.values())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone with a folder; the lock goes with the process, however it ends, and leaves no file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def append_record(path: Path, record: Record) -> None:
    """Add a line, unless its key is there: the file is written anew under another name and renamed, so it is always whole.

    Raises:
        DataError: the file there is damaged, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if any(each.key == record.key for each in read_records(path)):
            return
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if before and not before.endswith("\n"):
            before += "\n"
        write_text(path, before + json.dumps(asdict(record), separators=(",", ":")) + "\n")
