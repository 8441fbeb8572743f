"""``OUTPUT.json`` beside mined pairs: from which files, by which encoders and with which options they were mined."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from fairseq_distill import __version__
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, sha256_file, write_text
from fairseq_distill.formats.embeddings import read_info
from fairseq_distill.formats.json_file import from_json, load_json
from fairseq_distill.formats.mined_pairs import COLUMNS, HASH

FORMAT_VERSION = 1


@dataclass
class SideRecord:
    """One side: its two files with their SHA-256, and who embedded it (None where the embeddings do not say).

    Attributes:
        lines, searched: lines of the text; those that took part.
        encoder, space, normaliser: see :class:`fairseq_distill.formats.embeddings.EmbeddingInfo`.
    """

    text: str
    text_sha256: str
    embeddings: str
    embeddings_sha256: str
    lines: int
    searched: int
    encoder: Optional[str] = None
    space: Optional[str] = None
    normaliser: Optional[str] = None


@dataclass
class MiningRecord:
    """What was mined, of what, and how.

    Attributes:
        output_sha256: of the mined pairs, by which a record is known to belong to them.
        result: what ``fairseq-mine --json`` prints: margin, k, threshold, the search and its recall, counts.
        options: what else decides on the pairs.
        columns, hash: what the columns of the output are, and how a line is hashed.
    """

    output: str
    output_sha256: str
    src: SideRecord
    tgt: SideRecord
    result: Dict[str, Any]
    options: Dict[str, Any] = field(default_factory=dict)
    columns: List[str] = field(default_factory=lambda: list(COLUMNS))
    hash: str = HASH
    version: str = __version__
    format: int = FORMAT_VERSION


def record_path(output: PathLike) -> Path:
    """Where the record of mined pairs lies: beside them, ``.json`` appended."""
    return Path(f"{output}.json")


def describe_side(text: PathLike, embeddings: PathLike, lines: int, searched: int) -> SideRecord:
    """One side of a record; reads both files for their SHA-256."""
    info = read_info(embeddings)
    made_by = {} if info is None else {"encoder": info.encoder, "space": info.space, "normaliser": info.normaliser}
    sums = sha256_file(text), sha256_file(embeddings)
    return SideRecord(str(text), sums[0], str(embeddings), sums[1], lines, searched, **made_by)


def write_record(record: MiningRecord) -> Path:
    """Write a record beside its output; returns its path."""
    path = record_path(record.output)
    write_text(path, json.dumps(asdict(record), indent=1) + "\n")
    return path


def read_record(output: PathLike) -> Optional[MiningRecord]:
    """The record of mined pairs, None when there is none.

    Raises:
        DataError: it is damaged.
    """
    path = record_path(output)
    if not path.is_file():
        return None
    try:
        return from_json(MiningRecord, load_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is not a valid record of mined pairs: {error}.") from error
