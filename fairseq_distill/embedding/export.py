"""Text to embeddings: row i for line i, in constant memory, saved as it goes, whole or not at all."""

import itertools
import logging
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike, make_folder, require_own_names, sha256_file
from fairseq_distill.formats.embeddings import (
    EmbeddingInfo,
    EmbeddingWriter,
    checked_dtype,
    iter_blocks,
    open_embeddings,
    read_info,
    sidecar_path,
    write_info,
)
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file
from fairseq_distill.formats.manifest import SPLITS, Manifest, read_manifest
from fairseq_distill.formats.partial import PartialRows, is_current, sweep_partial
from fairseq_distill.formats.shards import Shard, parse_shard, shards_to_join
from fairseq_distill.progress import Progress
from fairseq_distill.teachers.stream import append_encoded, chunks, describe, settings_of

logger = logging.getLogger(__name__)

__all__ = ["Shard", "embed", "embed_subset", "join_shards", "parse_shard"]


def embed(
    encoder: SentenceEncoder,
    text: PathLike,
    output: PathLike,
    dtype: str = defaults.EMBED_DTYPE,
    raw: bool = False,
    unit_length: bool = False,
    shard: Optional[Shard] = None,
    spec: str = "",
    chunk: int = defaults.EMBED_CHUNK,
) -> Path:
    """Embed a text file; an output that is up to date is left alone.

    While it runs, ``.NAME.partial`` beside the output keeps the rows; a run that was killed goes on after its last whole
    chunk and ends with the same bytes (not from standard input, which cannot be read again).

    Args:
        encoder: a student or a teacher.
        text: one sentence a line, plain or ``.gz``; ``-`` is standard input.
        output: a ``.npy`` file, or any name when ``raw``.
        dtype: ``float32`` or ``float16``.
        raw: LASER's headerless layout.
        unit_length: scale each row to Euclidean length 1.
        shard: embed only these lines, into ``shard.file(output)``; see :func:`join_shards`.
        spec: how the user named the encoder, for the sidecar.
        chunk: lines between two savings; within them each distinct sentence is embedded once.

    Returns:
        the file that was written.

    Raises:
        DataError: the text is missing, empty or not UTF-8, an embedding is not finite, the disk is full, or another
            process is making the same file.
    """
    start = time.monotonic()
    checked_dtype(dtype)
    stream = str(text) == "-"
    if stream and shard:
        raise ConfigError("--shard needs a file: standard input can be read only once.")
    digest = None if stream else sha256_file(require_file(text))
    n = None if stream else count_lines(text)
    wanted = shard.lines(n) if shard and n is not None else None
    file = shard.file(output) if shard else Path(output)
    if wanted is not None:
        n = len(wanted)
    extra: Dict[str, Any] = {} if shard is None else {"shard": [shard.index, shard.count]}
    info = describe(encoder, spec, digest, unit_length, extra)
    if n is not None and is_current(file, info, n, encoder.dim, dtype, raw):
        sweep_partial(file)
        logger.info(f"embed | {file} is up to date")
        return file
    require_own_names([] if stream else [text], [file])
    make_folder(file.parent)
    # Standard input cannot be gone on with, so its key fits no earlier run.
    identity = time.time_ns() if stream else [digest, n, extra]
    key = {**settings_of(encoder), "unit_length": unit_length, "chunk": chunk, "text": identity}
    with PartialRows(file, key, encoder.dim, dtype, raw) as partial:
        _embed_lines(encoder, text, wanted, n, partial, unit_length, chunk)
        rows = partial.n
        if rows == 0 and shard is None:
            raise DataError(f"{'Standard input' if stream else text} holds no line to embed.")
        partial.finish(info)
    logger.info(f"embed | {file} | {rows:,} rows x {encoder.dim} {dtype} | {time.monotonic() - start:,.0f} s")
    return file


def _embed_lines(
    encoder: SentenceEncoder,
    text: PathLike,
    wanted: Optional[range],
    n: Optional[int],
    partial: PartialRows,
    unit_length: bool,
    chunk: int,
) -> None:
    if partial.n:
        logger.info(f"embed | going on after {partial.n:,} lines")
    first, end = (wanted.start, wanted.stop) if wanted is not None else (0, None)
    lines: Iterator[str] = itertools.islice(iter_lines(text), first + partial.n, end)
    name = "standard input" if str(text) == "-" else text

    def place(row: int) -> str:
        return f"{name}, line {first + row + 1:,}"

    append_encoded(encoder, chunks(lines, chunk), partial, unit_length, place, Progress("embed", n, partial.n))
    if n is not None and partial.n != n:
        raise DataError(f"{name} has {n:,} lines but {partial.n:,} were read: it changed meanwhile; embed it again.")


def join_shards(output: PathLike, count: int, raw: bool = False, dim: int = 0, dtype: str = "float32") -> Path:
    """Put the files of all shards of ``output`` into one, in order, and remove them.

    Args:
        output: as given to :func:`embed`.
        count: number of shards.
        raw, dim, dtype: of headerless shards.

    Raises:
        DataError: a shard is missing, or two were made by different encoders or from different texts.
    """
    shards = shards_to_join(output, count)
    files = [shard.file(output) for shard in shards]
    if _removed_in_part(output, shards):
        return Path(output)
    parts = [open_embeddings(file, dim or None, dtype if raw else None) for file in files]
    infos = [_shard_info(file, shard) for file, shard in zip(files, shards)]
    for file, part, info in zip(files, parts, infos):
        if (part.shape[1], part.dtype, info) != (parts[0].shape[1], parts[0].dtype, infos[0]):
            raise DataError(f"{file} was made by another encoder or from another text than {files[0]}; embed it again.")
    n = sum(len(part) for part in parts)
    sidecar_path(output).unlink(missing_ok=True)
    with EmbeddingWriter(output, n, parts[0].shape[1], parts[0].dtype.name, raw) as writer:
        for part in parts:
            for _, block in iter_blocks(part, defaults.EMBED_CHUNK):
                writer.write(np.asarray(block))
    write_info(output, infos[0])
    for file in files:
        file.unlink()
        sidecar_path(file).unlink(missing_ok=True)
    logger.info(f"embed | {output} | {n:,} rows of {count} shards")
    return Path(output)


def _removed_in_part(output: PathLike, shards: List[Shard]) -> bool:
    """Remove what a run that was killed in the middle of removing the shards has left; whether there was something."""
    described = [shard for shard in shards if sidecar_path(shard.file(output)).is_file()]
    left = [shard for shard in shards if shard in described or shard.file(output).is_file()]
    whole = read_info(output) if Path(output).is_file() else None
    if whole is None or not left or all(shard.file(output).is_file() for shard in shards):
        return False
    if any(_shard_info(shard.file(output), shard) != whole for shard in described):
        return False
    for shard in left:
        shard.file(output).unlink(missing_ok=True)
        sidecar_path(shard.file(output)).unlink(missing_ok=True)
    logger.info(f"embed | {output} was joined already")
    return True


def _shard_info(file: Path, shard: Shard) -> EmbeddingInfo:
    info = read_info(file)
    if info is None or info.extra.get("shard") != [shard.index, shard.count]:
        raise DataError(f"{file} has no description as shard {shard.index} of {shard.count}; embed it with --shard.")
    del info.extra["shard"]
    return info


def embed_subset(
    encoder: SentenceEncoder,
    data: PathLike,
    split: str,
    results_path: PathLike,
    **options: Any,
) -> List[Path]:
    """Embed the student side of every corpus of one split of a data directory.

    Args:
        encoder: a student.
        data: a data directory (see :mod:`fairseq_distill.formats.manifest`); its clean text is what is embedded.
        split: ``train`` or ``valid``.
        results_path: where ``SPLIT.ID.LANG.npy`` is written for each corpus.
        options: ``dtype``, ``raw``, ``unit_length``, ``spec``, ``chunk`` of :func:`embed`.

    Returns:
        the files, in the manifest's order.

    Raises:
        ConfigError: unknown split.
        DataError: no such corpus, or a text is missing or has another number of lines than the manifest says.
    """
    if split not in SPLITS:
        raise ConfigError(f"--gen-subset {split}: a data directory has the subsets {' and '.join(SPLITS)}.")
    manifest: Manifest = read_manifest(data)
    corpora = manifest.select(split)
    if not corpora:
        raise DataError(f"{data} has no corpus in its {split} subset.")
    files: List[Path] = []
    suffix = "raw" if options.get("raw") else "npy"
    for corpus in corpora:
        text = Path(data) / corpus.src_text
        lines = count_lines(require_file(text))
        if lines != corpus.n:
            raise DataError(f"{text} has {lines:,} lines, but the manifest says {corpus.n:,}; prepare the data again.")
        file = Path(results_path) / f"{split}.{corpus.id}.{corpus.lang}.{suffix}"
        files.append(embed(encoder, text, file, **options))
    return files
