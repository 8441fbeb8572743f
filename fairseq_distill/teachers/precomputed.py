"""Embeddings that were made elsewhere, with any model in any framework, as a teacher.

Row i belongs to line i of the text that it is used for; or, when the text it was made from is given too, to every line
that equals line i of that text, so that corpora that were filtered and shuffled since then still find their rows.
"""

import hashlib
import logging
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike, make_folder, sha256_file
from fairseq_distill.formats.embeddings import (
    EmbeddingWriter,
    iter_blocks,
    open_embeddings,
    read_info,
    sidecar_path,
    write_info,
)
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file, require_same_length
from fairseq_distill.formats.partial import is_current
from fairseq_distill.modules.pooling import POOLINGS
from fairseq_distill.teachers.stream import describe, stored_rows

logger = logging.getLogger(__name__)


class PrecomputedTeacher:
    """An embedding file as a teacher.

    Args:
        path: a ``.npy`` file or a headerless one.
        dim, dtype: width and type of a headerless file.
        space: the name of the teacher space; otherwise what the file's sidecar says, else a hash of the file. Give the
            same name to all files of one model.
        pooling: how the model that made it pools, a student's default; otherwise what the sidecar says, else ``mean``.
        text: the text it was made from; needed by ``encode``.

    Raises:
        ConfigError: unknown pooling.
        DataError: the file is missing or damaged, or ``text`` has another number of lines.
    """

    def __init__(
        self,
        path: PathLike,
        dim: Optional[int] = None,
        dtype: Optional[str] = None,
        space: Optional[str] = None,
        pooling: Optional[str] = None,
        text: Optional[PathLike] = None,
    ):
        self.path, self.rows = Path(path), open_embeddings(path, dim, dtype)
        self.dim = int(self.rows.shape[1])
        info = read_info(path)
        self.rows_sha256 = sha256_file(path)
        own = f"file:{self.rows_sha256[:16]}"
        self.name = info.encoder if info else own
        self.space = space or (info.space if info else own)
        self.normaliser = info.normaliser if info else "unknown"
        self.pooling = pooling or (info.extra.get("pooling") if info else None) or "mean"
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling {self.pooling!r} is none of {', '.join(POOLINGS)}.")
        self._row_of = _rows_of_sentences(Path(text), self.path, len(self.rows)) if text else None

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        if self._row_of is None:
            raise ConfigError(
                f"{self.path} holds ready embeddings, which belong to the lines of one text; to look sentences up, say "
                f"which text it was made from: file:{self.path}?text=FILE."
            )
        found = np.fromiter(
            (self._row_of.get(_digest(sentence), -1) for sentence in sentences), np.int64, len(sentences)
        )
        if (found < 0).any():
            first = sentences[int(np.argmin(found))]
            raise DataError(
                f"{int((found < 0).sum()):,} of {len(sentences):,} sentences have no row in {self.path}, the first is "
                f"{first[:80]!r}; embed them too. (Growing parts of sentences need a teacher that can run.)"
            )
        return self.rows[found].astype(np.float32)


def _digest(sentence: str) -> bytes:
    return hashlib.blake2b(sentence.encode("utf-8"), digest_size=16).digest()


def _rows_of_sentences(text: Path, path: Path, n: int) -> Dict[bytes, int]:
    require_same_length(text, count_lines(text), path, n)
    row_of: Dict[bytes, int] = {}
    for row, line in enumerate(iter_lines(text)):
        row_of.setdefault(_digest(line), row)
    return row_of


def teach_precomputed(
    teacher: PrecomputedTeacher,
    text: PathLike,
    output: PathLike,
    dtype: str = defaults.TEACHER_DTYPE,
    unit_length: bool = False,
    raw: bool = False,
    spec: str = "",
) -> List[Path]:
    """Take ready embeddings over for a text: check, convert, describe. Constant memory.

    Args:
        teacher: the file; its row i must belong to line i of ``text``.
        text: one sentence a line.
        output, dtype, unit_length, raw, spec: as in :func:`fairseq_distill.teachers.store.teach`.

    Raises:
        DataError: the number of rows is not that of the lines, a row is not finite, or the disk is full.
    """
    n = count_lines(require_file(text))
    require_same_length(text, n, teacher.path, len(teacher.rows))
    file = Path(output)
    if file.resolve() == teacher.path.resolve():
        raise ConfigError(f"--output {file} is the teacher's own file; name another.")
    extra = {"n": n, "part": 1, "parts": 1}
    info = describe(teacher, spec, sha256_file(text), unit_length, {**extra, "rows_sha256": teacher.rows_sha256})
    if is_current(file, info, n, teacher.dim, dtype, raw):
        logger.info(f"teach | {file} is up to date")
        return [file]
    make_folder(file.parent)
    sidecar_path(file).unlink(missing_ok=True)
    with EmbeddingWriter(file, n, teacher.dim, dtype, raw) as writer:
        for start, block in iter_blocks(teacher.rows, defaults.EMBED_CHUNK):
            writer.write(stored_rows(block, dtype, unit_length, lambda row: f"{teacher.path}, row {start + row + 1:,}"))
    write_info(file, info)
    logger.info(f"teach | {n:,} rows of {teacher.path} taken over | {teacher.space} {dtype}")
    return [file]
