"""Teacher embeddings made by several processes or machines: each takes whole chunks of the distinct sentences.

Batches never reach over the end of a chunk, so the rows are those of a single run to the last bit, and what
:func:`join_taught_shards` writes has the same bytes as what :func:`fairseq_distill.teachers.store.teach` writes.
"""

import itertools
import logging
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.embeddings import EmbeddingInfo, open_embeddings, read_info, sidecar_path
from fairseq_distill.formats.partial import PartialRows, is_current, sweep_partial
from fairseq_distill.formats.shards import Shard, shards_to_join
from fairseq_distill.progress import Progress
from fairseq_distill.teachers.store import (
    Distinct,
    Source,
    all_sentences,
    find_distinct,
    place_of,
    sources_of,
    write_rows,
)
from fairseq_distill.teachers.stream import append_encoded, chunks, describe, settings_of

logger = logging.getLogger(__name__)


def teach_shard(
    encoder: SentenceEncoder,
    inputs: Sequence[PathLike],
    outputs: Sequence[PathLike],
    shard: Shard,
    dtype: str = defaults.TEACHER_DTYPE,
    increments: int = 1,
    unit_length: bool = False,
    spec: str = "",
    chunk: int = defaults.EMBED_CHUNK,
) -> Path:
    """Embed one shard of what :func:`fairseq_distill.teachers.store.teach` would; goes on after a kill, as that does.

    Args:
        encoder, inputs, outputs, dtype, increments, unit_length, spec, chunk: as of ``teach``, the same for every shard.
        shard: which part of the distinct sentences.

    Returns:
        the shard's file, ``OUT.shard2of8.npy`` for the first output ``OUT.npy``.

    Raises:
        ConfigError, DataError: as ``teach``.
    """
    sources = sources_of(inputs, outputs, dtype, increments)
    distinct = _distinct(sources)
    wanted = _rows_of(shard, distinct.n, chunk)
    settings = {**settings_of(encoder), "unit_length": unit_length, "chunk": chunk}
    if "device" in settings:
        settings["device"] = settings["device"].partition(":")[0]  # which of several equal GPUs is all one
    key = {**settings, "sources": [source.identity() for source in sources], "shard": [shard.index, shard.count]}
    info = describe(encoder, spec, None, unit_length, {"rows": [wanted.start, wanted.stop], "key": key})
    file = shard.file(outputs[0])
    if is_current(file, info, len(wanted), encoder.dim, dtype):
        sweep_partial(file)
        logger.info(f"teach | {file} is up to date")
        return file
    with PartialRows(file, key, encoder.dim, dtype) as partial:
        first = wanted.start + partial.n
        new = itertools.islice(itertools.compress(all_sentences(sources), distinct.is_first), first, wanted.stop)

        def place(row: int) -> str:
            return place_of(wanted.start + row, sources, distinct)

        progress = Progress("teach", len(wanted), partial.n)
        append_encoded(encoder, chunks(new, chunk), partial, unit_length, place, progress)
        assert partial.n == len(wanted), f"{partial.n} of {len(wanted)} sentences were embedded"
        partial.finish(info)
    logger.info(f"teach | {file} | {len(wanted):,} of {distinct.n:,} distinct sentences | {encoder.name} {dtype}")
    return file


def join_taught_shards(
    inputs: Sequence[PathLike],
    outputs: Sequence[PathLike],
    count: int,
    dtype: str = defaults.TEACHER_DTYPE,
    increments: int = 1,
    raw: bool = False,
) -> List[Path]:
    """Make the outputs from the files of all shards, then remove those; needs no teacher.

    Args:
        inputs, outputs, increments, dtype: as given to :func:`teach_shard`.
        count: number of shards.
        raw: write LASER's headerless layout.

    Returns:
        the files, each input's parts before its whole.

    Raises:
        DataError: a shard is missing, or was made by another encoder, with other options or from other texts.
    """
    sources = sources_of(inputs, outputs, dtype, increments)
    shards = shards_to_join(outputs[0], count)
    distinct = _distinct(sources)
    files = [shard.file(outputs[0]) for shard in shards]
    if _removed_in_part(sources, files, shards):
        return [source.output for source in sources]
    infos = [_info_of(file, shard) for file, shard in zip(files, shards)]
    first = infos[0].extra["key"]
    wanted = [source.identity() for source in sources]
    for file, shard, info in zip(files, shards, infos):
        key = info.extra["key"]
        if key != {**first, "shard": [shard.index, count]} or key["sources"] != wanted:
            raise DataError(
                f"{file} was made by another encoder, with other options or from other texts than these; embed it again."
            )
    rows = _Rows([open_embeddings(file) for file in files])
    if rows.n != distinct.n or rows.dtype != np.dtype(dtype):
        raise DataError(f"The shards hold {rows.n:,} rows of {rows.dtype}, but {distinct.n:,} of {dtype} are needed.")
    start = 0
    for source in sources:
        write_rows(source, rows, distinct.position[start : start + source.n], _info_for(source, infos[0]), raw)
        start += source.n
    del rows
    for file in files:
        file.unlink()
        sidecar_path(file).unlink()
    logger.info(f"teach | {len(sources)} files of {count} shards, {distinct.n:,} distinct sentences")
    return [source.output for source in sources]


def _distinct(sources: Sequence[Source]) -> Distinct:
    return find_distinct(all_sentences(sources), sum(source.n for source in sources))


def _rows_of(shard: Shard, n: int, chunk: int) -> range:
    """Its rows of n, whole chunks of them."""
    mine = shard.lines(-(-n // chunk))
    return range(min(mine.start * chunk, n), min(mine.stop * chunk, n))


def _info_of(file: Path, shard: Shard) -> EmbeddingInfo:
    if not file.is_file():
        raise DataError(f"{file} is missing; embed it with --shard {shard.index}/{shard.count}.")
    info = read_info(file)
    if info is None or info.extra.get("key", {}).get("shard") != [shard.index, shard.count]:
        raise DataError(f"{file} has no description as shard {shard.index} of {shard.count}; embed it with --shard.")
    return info


def _removed_in_part(sources: Sequence[Source], files: Sequence[Path], shards: Sequence[Shard]) -> bool:
    """Remove what a run that was killed in the middle of removing the shards has left; whether there was something."""
    left = [(file, shard) for file, shard in zip(files, shards) if sidecar_path(file).is_file()]
    if not left or all(file.is_file() for file in files):
        return False
    made = [read_info(source.output) if source.output.is_file() else None for source in sources]
    for file, shard in left:
        info = read_info(file)
        if info is None or info.extra.get("key", {}).get("shard") != [shard.index, shard.count]:
            return False
        if made != [_info_for(source, info) for source in sources]:
            return False
    for file, _ in left:
        file.unlink(missing_ok=True)
        sidecar_path(file).unlink()
    logger.info(f"teach | {sources[0].output} was joined already")
    return True


def _info_for(source: Source, shard: EmbeddingInfo) -> EmbeddingInfo:
    """An output's sidecar, as ``teach`` writes it."""
    about: Dict[str, Any] = {name: shard.extra[name] for name in ("spec", "dim", "pooling")}
    about |= {"n": source.n, "part": source.part, "parts": source.parts}
    return EmbeddingInfo(
        shard.encoder, shard.space, shard.normaliser, source.text_sha256, shard.unit_length, extra=about
    )


class _Rows:
    """Several matrices under one numbering of rows."""

    def __init__(self, parts: List[np.ndarray]):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.n, self.dtype = int(self.ends[-1]), parts[0].dtype
        self.shape = (self.n, parts[0].shape[1])

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        rows = np.empty((len(numbers), self.shape[1]), self.dtype)
        where = np.searchsorted(self.ends, numbers, side="right")
        for part in np.unique(where):
            chosen = where == part
            rows[chosen] = self.parts[part][numbers[chosen] - (self.ends[part] - len(self.parts[part]))]
        return rows
