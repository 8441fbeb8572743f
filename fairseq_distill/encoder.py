"""What every encoder offers, teacher or student, and how sentences are put into batches for one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional, Protocol, Sequence, Union, runtime_checkable

import numpy as np

from fairseq_distill.errors import DataError


class SentenceEncoder(Protocol):
    """A frozen encoder of sentences. One method; a user's own class needs no more than that (docs/teachers.md).

    Attributes:
        name: fingerprint of this encoder, ``kind:hash`` (``student:1f3a09…``, ``sbert:…``).
        space: fingerprint of the teacher space it embeds into; a teacher's own name.
        dim: width E of an embedding.
        pooling: ``mean``, ``max`` or ``cls``.
        normaliser: version of the text normalisation it applies itself.
    """

    name: str
    space: str
    dim: int
    pooling: str
    normaliser: str

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """float32 [N, E], row i for sentence i; an empty sentence gets a vector too. Not scaled to unit length."""
        ...


def batches_by_length(
    lengths: Union[Sequence[int], np.ndarray], max_tokens: int, max_sentences: int = 4096
) -> Iterator[np.ndarray]:
    """Indices of sentences of similar length whose padded size keeps within a budget; longest first.

    The order is a function of the lengths alone (stable sort), so an embedding run is repeatable.

    Args:
        lengths: tokens of each sentence.
        max_tokens: bound on rows times longest row; a longer sentence forms a batch of its own.
        max_sentences: bound on rows.

    Yields:
        int64 [B], each index once.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(sizes[order[start]]), 1)
        size = max(1, min(max_tokens // longest, max_sentences))
        yield order[start : start + size]
        start += size


@runtime_checkable
class PreparingEncoder(Protocol):
    """What an encoder offers beside ``encode`` when its text work can run while it computes.

    ``encode(sentences)`` is ``encode_prepared(prepare(sentences))``.
    """

    def prepare(self, sentences: Sequence[str]) -> Any:
        """Whatever ``encode_prepared`` wants, ids for instance; called from another thread."""
        ...

    def encode_prepared(self, prepared: Any) -> np.ndarray:
        """float32 [N, E], as ``encode`` of the sentences that were prepared."""
        ...


class _Buffer(NamedTuple):
    prepared: Any  # of the distinct sentences
    distinct: int  # how many those are
    position: Optional[np.ndarray]  # int64 [N], where each sentence's vector is; None when all differ


def _prepare(encoder: SentenceEncoder, sentences: Sequence[str]) -> _Buffer:
    first: Dict[str, int] = {}
    position = [first.setdefault(sentence, len(first)) for sentence in sentences]
    distinct = list(first)
    prepared = encoder.prepare(distinct) if isinstance(encoder, PreparingEncoder) else distinct
    return _Buffer(prepared, len(distinct), None if len(distinct) == len(position) else np.asarray(position))


def _encode(encoder: SentenceEncoder, buffer: _Buffer) -> np.ndarray:
    encode = encoder.encode_prepared if isinstance(encoder, PreparingEncoder) else encoder.encode
    rows = encode(buffer.prepared)
    if rows.shape != (buffer.distinct, encoder.dim):
        raise DataError(
            f"The encoder {encoder.name} returned an array of shape {rows.shape} for {buffer.distinct:,} sentences "
            f"of width {encoder.dim:,}; encode() must return one row for each sentence, in their order."
        )
    return rows if buffer.position is None else rows[buffer.position]


def encode_in_order(encoder: SentenceEncoder, sentences: Sequence[str]) -> np.ndarray:
    """``encoder.encode``, but each distinct sentence is embedded once; float32 [N, E] in the order given."""
    if not len(sentences):
        return np.empty((0, encoder.dim), np.float32)
    return _encode(encoder, _prepare(encoder, sentences))


def encode_stream(encoder: SentenceEncoder, buffers: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
    """:func:`encode_in_order` of each buffer; the next one is read and tokenised in a thread meanwhile.

    Args:
        buffers: sentences; none of them empty. Two buffers are held at a time.

    Yields:
        float32 [N, E] for each buffer.
    """
    source = iter(buffers)

    def prepare_next() -> Optional[_Buffer]:
        sentences = next(source, None)
        return None if sentences is None else _prepare(encoder, sentences)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenise") as pool:
        waiting = pool.submit(prepare_next)
        while (buffer := waiting.result()) is not None:
            waiting = pool.submit(prepare_next)
            yield _encode(encoder, buffer)
