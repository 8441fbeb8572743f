"""Sentences to rows on the disk, chunk by chunk: what ``fairseq-teach`` and ``fairseq-embed`` do alike."""

import logging
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np

from fairseq_distill.encoder import SentenceEncoder, encode_stream
from fairseq_distill.errors import DataError
from fairseq_distill.formats.embeddings import EmbeddingInfo
from fairseq_distill.formats.partial import PartialRows
from fairseq_distill.progress import Progress

logger = logging.getLogger(__name__)


def chunks(sentences: Iterator[str], size: int) -> Iterator[List[str]]:
    """Lists of ``size`` sentences; the last may be shorter, none is empty."""
    chunk: List[str] = []
    for sentence in sentences:
        chunk.append(sentence)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def stored_rows(rows: np.ndarray, dtype: str, unit_length: bool, place: Callable[[int], str]) -> np.ndarray:
    """Rows as the file holds them.

    Args:
        rows: float [N, E].
        dtype: ``float32`` or ``float16``.
        unit_length: scale each row to Euclidean length 1.
        place: for a row, where its sentence stands, for the error.

    Raises:
        DataError: a row that holds NaN or infinity, also when float16 cannot hold it or it has no length to scale.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of it is refused below
        if unit_length:
            rows = rows / np.linalg.norm(rows.astype(np.float32, copy=False), axis=1, keepdims=True)
        stored = np.ascontiguousarray(rows, dtype=dtype)
    finite = np.isfinite(stored).all(axis=1)
    if not finite.all():
        bad = int(np.argmin(finite))
        reason = "NaN or infinity; look at that line and at the encoder"
        if np.isfinite(rows[bad]).all():
            reason = f"values beyond what {dtype} holds; use --dtype float32"
        raise DataError(f"{place(bad)}: its embedding holds {reason}.")
    return stored


def append_encoded(
    encoder: SentenceEncoder,
    sentences: Iterator[List[str]],
    partial: PartialRows,
    unit_length: bool,
    place: Callable[[int], str],
    progress: Progress,
) -> None:
    """Embed chunk after chunk and save each before the next is begun.

    Args:
        sentences: the chunks that are not in ``partial`` yet.
        place: for a row of the whole matrix, where its sentence stands, for the error.
    """
    for rows in encode_stream(encoder, sentences):
        first = partial.n
        partial.append(stored_rows(rows, partial.dtype.name, unit_length, lambda row: place(first + row)))
        progress.add(len(rows))


def settings_of(encoder: SentenceEncoder) -> Dict[str, Any]:
    """What decides an encoder's vectors to the last bit: a run that goes on must not mix two of them."""
    settings = {"encoder": encoder.name, "space": encoder.space, "normaliser": encoder.normaliser}
    # An encoder need not have these, but those it has round differently from value to value.
    chosen = ("way", "precision", "device", "max_tokens", "rows_sha256")
    return {**settings, **{name: str(getattr(encoder, name)) for name in chosen if hasattr(encoder, name)}}


def describe(
    encoder: SentenceEncoder, spec: str, text_sha256: Optional[str], unit_length: bool, extra: Dict[str, Any]
) -> EmbeddingInfo:
    """A sidecar; its ``extra`` also says what data_prep and the task want to know without loading the encoder.

    int8 stands in it, so that rows of that precision are made again when another is asked for; the others hardly differ.
    """
    extra = {"spec": spec, "dim": encoder.dim, "pooling": encoder.pooling, **extra}
    if getattr(encoder, "precision", None) == "int8":
        extra["precision"] = "int8"
    return EmbeddingInfo(encoder.name, encoder.space, encoder.normaliser, text_sha256, unit_length, extra=extra)
