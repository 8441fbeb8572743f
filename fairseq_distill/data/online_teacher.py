"""The teacher in the training loop: for teachers that change, or data too large for stored embeddings."""

from pathlib import Path
from typing import List, Sequence

import numpy as np

from fairseq_distill.data.parts import cut_words
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import DataError


class _Lines:
    """Random access to the lines of a text file: a memory map and where each line begins."""

    def __init__(self, path: Path):
        if not path.is_file() or not path.stat().st_size:
            raise DataError(f"{path} does not exist or is empty; prepare the data again.")
        self.bytes = np.memmap(path, np.uint8, "r")
        ends = np.flatnonzero(self.bytes == ord("\n"))
        self.starts = np.concatenate([[0], ends + 1])

    def __getitem__(self, row: int) -> str:
        return self.bytes[self.starts[row] : self.starts[row + 1] - 1].tobytes().decode("utf-8")


class OnlineTeacher:
    """Embeds the teacher's side of a batch when it is needed.

    Args:
        encoder: the teacher.
        texts: for each corpus, the clean text of the teacher's side.
        increments: parts of the curriculum.
    """

    def __init__(self, encoder: SentenceEncoder, texts: Sequence[Path], increments: int):
        self.encoder, self.increments = encoder, increments
        self.texts: List[_Lines] = [_Lines(path) for path in texts]

    def embed(self, corpora: np.ndarray, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
        """float32 [B, E] of the ``part[b]``-th part (from 1) of line ``rows[b]`` of corpus ``corpora[b]``."""
        n = self.increments
        lines = [self.texts[corpus][row] for corpus, row in zip(corpora, rows)]
        return self.encoder.encode([cut_words(line, min(int(each), n), n) for line, each in zip(lines, part)])
