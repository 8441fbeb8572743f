"""What every encoder offers, teacher or student, and how sentences are put into batches for one."""

from typing import Iterator, List, Protocol, Sequence

import numpy as np


class SentenceEncoder(Protocol):
    """A frozen encoder of sentences.

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


def batches_by_length(lengths: Sequence[int], max_tokens: int, max_sentences: int = 4096) -> Iterator[np.ndarray]:
    """Indices of sentences of similar length whose padded size keeps within a budget; longest first.

    The order is a function of the lengths alone (stable sort), so an embedding run is repeatable.

    Args:
        lengths: tokens of each sentence.
        max_tokens: bound on rows times longest row; a longer sentence forms a batch of its own.
        max_sentences: bound on rows.

    Yields:
        int64 [B], each index once.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(1, min(max_tokens // longest, max_sentences))
        yield order[start : start + size]
        start += size


def encode_in_order(encoder: SentenceEncoder, sentences: Sequence[str]) -> np.ndarray:
    """``encoder.encode``, but each distinct sentence is embedded once; float32 [N, E] in the order given."""
    first: dict = {}
    position: List[int] = [first.setdefault(sentence, len(first)) for sentence in sentences]
    if not first:
        return np.empty((0, encoder.dim), np.float32)
    rows = encoder.encode(list(first))
    return rows if len(first) == len(sentences) else rows[np.asarray(position)]
