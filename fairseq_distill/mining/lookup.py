"""New sentences and their nearest neighbours in a text that has its vectors already."""

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.encoder import SentenceEncoder, encode_in_order
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.embeddings import read_info
from fairseq_distill.mining.job import lines_at, open_side
from fairseq_distill.mining.knn import search_rows
from fairseq_distill.mining.rows import UnitRows, Workers


class Found(NamedTuple):
    """A neighbour: its cosine, its line number in the text from 1, and the line."""

    cosine: float
    line: int
    text: str


class Lookup:
    """A text and its vectors, in which new sentences find their neighbours; a context manager.

    Args:
        encoder: embeds the sentences; of the teacher space of the vectors.
        text, embeddings: line i belongs to row i; ``.npy``, or LASER's raw files in the encoder's width.
        force: go on although the vectors' sidecar says that their space is another, or that they are of another text.
        dtype: of raw vectors.
        max_memory: bytes for work buffers.

    Raises:
        DataError: the vectors are of another teacher space, width or text than they should be, or a file is damaged.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        text: PathLike,
        embeddings: PathLike,
        force: bool = False,
        dtype: Optional[str] = None,
        max_memory: int = defaults.MAX_MEMORY,
    ):
        info = read_info(embeddings)
        if info is not None and info.space != encoder.space and not force:
            raise DataError(
                f"{embeddings} is in the teacher space {info.space} but {encoder.name} embeds into {encoder.space}: their "
                "cosines mean nothing. Look sentences up with an encoder of that teacher, or insist with --force."
            )
        self._encoder, self._max_memory = encoder, max_memory
        self._side = open_side(text, embeddings, True, force, encoder.dim, dtype)
        self._workers = Workers()
        self._keys = UnitRows(self._side.rows, str(embeddings), self._side.index, self._workers)

    def find(self, sentences: Sequence[str], k: int = defaults.LOOKED_UP) -> List[List[Found]]:
        """The ``k`` nearest distinct lines of each sentence, nearest first; none for a blank one.

        Raises:
            DataError: the encoder gives NaN or infinity.
        """
        answers: List[List[Found]] = [[] for _ in sentences]
        filled = [place for place, sentence in enumerate(sentences) if sentence.strip()]
        if not filled:
            return answers
        vectors = encode_in_order(self._encoder, [sentences[place] for place in filled])
        queries = UnitRows(vectors, "the sentences", None, self._workers)
        found, _ = search_rows(queries, self._keys, k, False, "float32", self._max_memory, self._workers, None)
        ids = self._side.line_ids(found.indices)
        lines, at = lines_at(self._side.text, ids.reshape(-1))
        for place, cosines, numbers, texts in zip(filled, found.cosines, ids + 1, np.reshape(at, ids.shape)):
            rows = zip(cosines.tolist(), numbers.tolist(), texts.tolist())
            answers[place] = [Found(cosine, number, lines[one]) for cosine, number, one in rows]
        return answers

    def __enter__(self) -> "Lookup":
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)
