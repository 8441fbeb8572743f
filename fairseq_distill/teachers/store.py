"""Teacher embeddings on disk: several texts at once, whole and in parts, each distinct sentence embedded once."""

import hashlib
import itertools
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.data.parts import cut_words, part_files
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import PathLike, make_folder, require_own_names, sha256_file
from fairseq_distill.formats.embeddings import (
    EmbeddingInfo,
    EmbeddingWriter,
    checked_dtype,
    iter_blocks,
    sidecar_path,
    write_info,
)
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file
from fairseq_distill.formats.partial import PartialRows, is_current, read_partial_key, sweep_partial
from fairseq_distill.progress import Progress, counted
from fairseq_distill.teachers.stream import append_encoded, chunks, describe, settings_of

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 16  # two different sentences among 10^9 share a digest with probability below 10^-20


@dataclass(frozen=True)
class Source:
    """One output to be made: a text, or the first ``part`` / ``parts`` of the words of each of its lines."""

    text: Path
    output: Path
    part: int
    parts: int
    text_sha256: str
    n: int

    def sentences(self) -> Iterator[str]:
        """What is embedded for each line; the whole is the line itself, untouched."""
        if self.part == self.parts:
            return iter_lines(self.text)
        return (cut_words(line, self.part, self.parts) for line in iter_lines(self.text))

    def identity(self) -> List[Any]:
        """What decides its rows, as JSON holds it."""
        return [self.text_sha256, self.n, self.part, self.parts]

    def info(self, encoder: SentenceEncoder, spec: str, unit_length: bool) -> EmbeddingInfo:
        """Its sidecar."""
        extra = {"n": self.n, "part": self.part, "parts": self.parts}
        return describe(encoder, spec, self.text_sha256, unit_length, extra)


@dataclass
class Distinct:
    """Which sentences of several sources, one after the other, are the same.

    Attributes:
        n: number of distinct sentences.
        is_first: bool [N], True where a sentence comes for the first time.
        position: int64 [N], number of its distinct sentence, in order of first occurrence.
    """

    n: int
    is_first: np.ndarray
    position: np.ndarray


def find_distinct(sentences: Iterator[str], n: int) -> Distinct:
    """Compare sentences by digest: 16 bytes a sentence, whatever its length.

    Args:
        n: how many sentences will come.
    """
    read = counted(sentences, Progress("teach | compare", n))
    digests = (hashlib.blake2b(sentence.encode("utf-8"), digest_size=_DIGEST_BYTES).digest() for sentence in read)
    halves = np.fromiter(digests, dtype=f"S{_DIGEST_BYTES}", count=n).view(np.uint64).reshape(n, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: the first occurrence leads its group
    halves = halves[order]
    leads = np.ones(n, dtype=bool)
    leads[1:] = (halves[1:] != halves[:-1]).any(axis=1)
    first = order[leads]  # int64 [distinct], by digest
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    position = np.empty(n, dtype=np.int64)
    position[order] = rank[np.cumsum(leads) - 1]
    is_first = np.zeros(n, dtype=bool)
    is_first[first] = True
    return Distinct(len(first), is_first, position)


def teach(
    encoder: SentenceEncoder,
    inputs: Sequence[PathLike],
    outputs: Sequence[PathLike],
    dtype: str = defaults.TEACHER_DTYPE,
    increments: int = 1,
    unit_length: bool = False,
    raw: bool = False,
    spec: str = "",
    chunk: int = defaults.EMBED_CHUNK,
) -> List[Path]:
    """Embed texts with a teacher; outputs that are up to date are left alone.

    While it runs, ``.NAME.partial`` beside the first output keeps the distinct sentences' rows; a run that was killed
    goes on after its last whole chunk and ends with the same bytes.

    Args:
        encoder: the teacher.
        inputs: text files, one sentence a line.
        outputs: as many ``.npy`` files; row i is line i.
        dtype: ``float16`` or ``float32`` of the rows.
        increments: n > 1 also embeds the first 1/n, 2/n, … of each line's words, into ``NAME.part1ofn.npy`` ….
        unit_length: scale each row to Euclidean length 1.
        raw: LASER's headerless layout.
        spec: how the user named the teacher, for the sidecars.
        chunk: distinct sentences between two savings.

    Returns:
        the files, each input's parts before its whole.

    Raises:
        ConfigError: the numbers of inputs and outputs differ, or an output is named twice.
        DataError: a text is missing, empty or not UTF-8, an embedding is not finite, the disk is full, or another
            process is making the same files.
    """
    start = time.monotonic()
    sources = sources_of(inputs, outputs, dtype, increments)
    infos = {source: source.info(encoder, spec, unit_length) for source in sources}

    def current(source: Source) -> bool:
        return is_current(source.output, infos[source], source.n, encoder.dim, dtype, raw)

    pending = [source for source in sources if not current(source)]
    files = [source.output for source in sources]
    if len(pending) < len(sources):
        logger.info(f"teach | {len(sources) - len(pending)} of {len(sources)} files are up to date")
    if not pending:
        sweep_partial(files[0])
        return files
    settings = {**settings_of(encoder), "unit_length": unit_length, "chunk": chunk}
    together = _unfinished(sources, pending, files[0], settings)
    n = sum(source.n for source in together)
    distinct = find_distinct(all_sentences(together), n)
    key = {**settings, "sources": [source.identity() for source in together]}
    with PartialRows(files[0], key, encoder.dim, dtype, raw) as partial:
        _embed_distinct(encoder, together, distinct, partial, unit_length, chunk)
        rows, first = partial.array(), 0
        for source in together:
            if source in pending:
                write_rows(source, rows, distinct.position[first : first + source.n], infos[source], raw)
            first += source.n
        del rows
        partial.discard()
    logger.info(
        f"teach | {len(pending)} files, {n:,} sentences, {distinct.n:,} distinct | {encoder.name} {dtype} | "
        f"{time.monotonic() - start:,.0f} s"
    )
    return files


def sources_of(inputs: Sequence[PathLike], outputs: Sequence[PathLike], dtype: str, increments: int) -> List[Source]:
    """What :func:`teach` is to make, each input's parts before its whole; its errors, before anything is embedded."""
    checked_dtype(dtype)
    if len(inputs) != len(outputs) or not inputs:
        raise ConfigError(f"{len(inputs):,} inputs but {len(outputs):,} outputs; name one output for each input.")
    if increments < 1:
        raise ConfigError(f"{increments} increments; give 1 (whole sentences only) or more.")
    require_own_names(inputs, outputs)
    sources = []
    for text, output in zip(inputs, outputs):
        require_file(text)
        digest, n = sha256_file(text), count_lines(text)
        make_folder(Path(output).parent)
        for part, file in enumerate(part_files(str(output), increments), start=1):
            sources.append(Source(Path(text), Path(file), part, increments, digest, n))
    return sources


def _unfinished(sources: List[Source], pending: List[Source], output: Path, settings: Dict[str, Any]) -> List[Source]:
    """The sources that a killed run embedded together, if they fit; else those that are to be made.

    A run may have been killed after it had written some of its outputs. To end with the same bytes, the batches must be
    the same, so those outputs' sentences stay among the distinct ones.
    """
    key = read_partial_key(output) or {}
    wanted = key.get("sources", [])
    again = [source for source in sources if source.identity() in wanted]
    same_settings = all(key.get(name) == value for name, value in settings.items())
    fits = [source.identity() for source in again] == wanted and all(source in again for source in pending)
    return again if fits and same_settings else pending


def all_sentences(sources: Sequence[Source]) -> Iterator[str]:
    """Those of every source, one source after the other."""
    return itertools.chain.from_iterable(source.sentences() for source in sources)


def place_of(row: int, sources: Sequence[Source], distinct: Distinct) -> str:
    """File and line in which a distinct sentence comes first, for an error."""
    line = int(np.flatnonzero(distinct.is_first)[row])
    for source in sources:
        if line < source.n:
            break
        line -= source.n
    return f"{source.text}, line {line + 1:,}"


def _embed_distinct(
    encoder: SentenceEncoder,
    sources: List[Source],
    distinct: Distinct,
    partial: PartialRows,
    unit_length: bool,
    chunk: int,
) -> None:
    if partial.n:
        logger.info(f"teach | going on after {partial.n:,} of {distinct.n:,} distinct sentences")
    new = itertools.islice(itertools.compress(all_sentences(sources), distinct.is_first), partial.n, None)

    def place(row: int) -> str:
        return place_of(row, sources, distinct)

    append_encoded(encoder, chunks(new, chunk), partial, unit_length, place, Progress("teach", distinct.n, partial.n))
    assert partial.n == distinct.n, f"{partial.n} of {distinct.n} distinct sentences were embedded"


def write_rows(source: Source, rows: Any, position: np.ndarray, info: EmbeddingInfo, raw: bool) -> None:
    """Write one output and its sidecar.

    Args:
        rows: [distinct, E], indexed by arrays of numbers.
        position: int64 [n], the row of each line.
    """
    sidecar_path(source.output).unlink(missing_ok=True)  # it described what lay here before
    with EmbeddingWriter(source.output, source.n, rows.shape[1], rows.dtype.name, raw) as writer:
        for _, block in iter_blocks(position, defaults.EMBED_CHUNK):
            writer.write(rows[block])
    write_info(source.output, info)
