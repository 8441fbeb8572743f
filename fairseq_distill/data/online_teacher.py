"""The teacher in the training loop: for teachers that change, or data too large for stored embeddings."""

from pathlib import Path
from typing import List, Sequence

import numpy as np

from fairseq_distill.data.parts import cut_words
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.formats.lines import MappedLines


class OnlineTeacher:
    """Embeds the teacher's side of a batch when it is needed.

    Args:
        encoder: the teacher.
        texts: for each corpus, the clean text of the teacher's side.
        increments: parts of the curriculum.
    """

    def __init__(self, encoder: SentenceEncoder, texts: Sequence[Path], increments: int):
        self.encoder, self.increments = encoder, increments
        self.texts: List[MappedLines] = [MappedLines(path) for path in texts]

    def embed(self, corpora: np.ndarray, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
        """float32 [B, E] of the ``part[b]``-th part (from 1) of line ``rows[b]`` of corpus ``corpora[b]``."""
        n = self.increments
        lines = [self.texts[corpus][row] for corpus, row in zip(corpora, rows)]
        return self.encoder.encode([cut_words(line, min(int(each), n), n) for line, each in zip(lines, part)])
