"""The corpora of a data directory, opened: sentences, lengths and teacher embeddings by index, without a Python loop."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from fairseq_distill.data.online_teacher import OnlineTeacher
from fairseq_distill.data.parts import least_parts, partial_lengths, unit_counts
from fairseq_distill.errors import DataError
from fairseq_distill.formats.binarised import Sequences, open_binarised
from fairseq_distill.formats.dictionary import EOS, PAD
from fairseq_distill.formats.embeddings import open_embeddings, read_info
from fairseq_distill.formats.lines import MappedLines
from fairseq_distill.formats.manifest import Corpus
from fairseq_distill.languages import parse_language

_PORTION = 1 << 16  # sentences whose pieces are looked at together


@dataclass
class Part:
    """One corpus, opened: its sentences and, for each part of the curriculum, its teacher embeddings.

    Attributes:
        target: for TLM, the teacher's side in the student's vocabulary; None where the data was not prepared for it.
    """

    corpus: Corpus
    sequences: Sequences
    teacher: List[np.ndarray]
    target: Optional[Sequences] = None


def open_part(directory: Path, corpus: Corpus, teacher_dim: int, increments: int, space: str = "") -> Part:
    """A corpus of a data directory, with every count checked.

    Args:
        space: fingerprint of the teacher space that the rows must be of; not checked when empty.

    Raises:
        DataError: a file is missing or damaged, rows and sentences differ, the curriculum's parts are not there, or the rows
            are of another teacher space.
    """
    sequences = _open_side(directory / corpus.src, corpus.n)
    teacher: List[np.ndarray] = []
    if corpus.kind != "mask":
        if increments not in (1, len(corpus.teacher)):
            raise DataError(
                f"corpus {corpus.id!r} has teacher embeddings for {len(corpus.teacher)} parts of a sentence, the curriculum wants {increments}; "
                f"prepare the data with --increments {increments}."
            )
        names = corpus.teacher[-increments:]
        teacher = [open_embeddings(directory / name, dim=teacher_dim) for name in names]
        for name, rows in zip(names, teacher):
            info = read_info(directory / name)
            if space and info and info.space != space:
                raise DataError(
                    f"{directory / name} is in the teacher space {info.space}, but the manifest says {space}; prepare the data again."
                )
            if len(rows) != corpus.n:
                raise DataError(
                    f"{directory / name} has {len(rows):,} rows for {corpus.n:,} sentences; embed the teacher's side again."
                )
    return Part(corpus, sequences, teacher, _open_side(directory / corpus.tgt, corpus.n) if corpus.tgt else None)


def _open_side(prefix: Path, n: int) -> Sequences:
    sequences = open_binarised(prefix)
    if len(sequences) != n or not n:
        raise DataError(
            f"{prefix}.idx holds {len(sequences):,} sentences, the manifest says {n:,}; prepare the data again."
        )
    return sequences


class Collection:
    """Several corpora under one numbering: sentence i of corpus c has the index ``firsts[c] + i``.

    Args:
        parts: the corpora.
        max_length_pieces: longer sentences are cut to so many pieces, EOS included.
        word_start: bool [V], the pieces that begin a word.
        by_pieces: whether parts of sentences are cut at pieces; languages without spaces always are.
    """

    def __init__(self, parts: List[Part], max_length_pieces: int, word_start: np.ndarray, by_pieces: bool = False):
        self.parts, self.limit, self.word_start, self.by_pieces = parts, max_length_pieces, word_start, by_pieces
        self.sizes = [len(part.sequences) for part in parts]
        self.firsts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self.online: Optional[OnlineTeacher] = None
        self._least: Dict[Tuple[int, int], np.ndarray] = {}

    def lengths(self, part: int = 1, parts: int = 1) -> np.ndarray:
        """int64 [all sentences], pieces with EOS of the first part / parts of the words, cut at the longest allowed."""
        every = np.arange(int(self.firsts[-1]))
        return self.shown_lengths(every, np.full(len(every), part, dtype=np.int16), parts)

    def least_parts(self, parts: int, min_units: int, indices: Optional[np.ndarray] = None) -> np.ndarray:
        """int16 [B], the smallest part that may be shown of some sentences; see :func:`~.parts.least_parts`.

        Args:
            indices: int64 [B]; all sentences if not given, whose parts are then kept.
        """
        if indices is None:
            if (parts, min_units) not in self._least:
                self._least[parts, min_units] = self.least_parts(parts, min_units, np.arange(int(self.firsts[-1])))
            return self._least[parts, min_units]
        found = np.empty(len(indices), dtype=np.int16)
        for opened, at, rows in self._by_corpus(indices):
            units = unit_counts(*self._words(opened, rows), self._cut_by_pieces(opened))
            found[at] = least_parts(units, parts, min_units)
        return found

    def shown_lengths(self, indices: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
        """int64 [B], pieces with EOS of the ``part[b]``-th part of sentence ``indices[b]``."""
        found = np.empty(len(indices), dtype=np.int64)
        for opened, at, rows in self._by_corpus(indices):
            shown = np.minimum(opened.sequences.lengths[rows], self.limit).astype(np.int64)
            wanted = part[at]
            for number in np.unique(wanted[wanted < parts]):
                cut = np.flatnonzero(wanted == number)
                words, by_pieces = self._words(opened, rows[cut]), self._cut_by_pieces(opened)
                body = partial_lengths(*words, int(number), parts, by_pieces)
                shown[cut] = np.minimum(body, self.limit - 1) + 1
            found[at] = shown
        return found

    def _by_corpus(self, indices: np.ndarray) -> Iterator[Tuple[Part, np.ndarray, np.ndarray]]:
        """The corpora of some indices in bounded portions: a corpus, which of ``indices`` are of it, and its rows."""
        corpora = self.corpus_of(indices)
        for number in np.unique(corpora):
            chosen = np.flatnonzero(corpora == number)
            for first in range(0, len(chosen), _PORTION):
                at = chosen[first : first + _PORTION]
                yield self.parts[number], at, indices[at] - self.firsts[number]

    def _cut_by_pieces(self, opened: Part) -> bool:
        return self.by_pieces or parse_language(opened.corpus.lang).unspaced

    def _words(self, opened: Part, rows: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which pieces of some sentences begin a word, one sentence after the other; where each begins; its length."""
        sequences = opened.sequences
        lengths = sequences.lengths[rows].astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        tokens = sequences.tokens[np.repeat(sequences.starts[rows] - starts, lengths) + np.arange(int(lengths.sum()))]
        return self.word_start[tokens], starts, lengths

    def languages(self) -> List[str]:
        """The language of each corpus."""
        return [part.corpus.lang for part in self.parts]

    def corpus_of(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B], the corpus of each index."""
        return np.searchsorted(self.firsts, indices, side="right") - 1

    def tokens(self, indices: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
        """int64 [B, width], right-padded; a sentence cut short gets EOS at its end."""
        rows = np.full((len(indices), width), PAD, dtype=np.int64)
        column = np.arange(width)
        corpora = self.corpus_of(indices)
        for number in np.unique(corpora):
            chosen = np.flatnonzero(corpora == number)
            sequences, inside = self.parts[number].sequences, column[None, :] < lengths[chosen][:, None]
            source = sequences.starts[indices[chosen] - self.firsts[number]][:, None] + np.where(
                inside, column[None, :], 0
            )
            rows[chosen] = np.where(inside, sequences.tokens[source], PAD)
        rows[np.arange(len(indices)), lengths - 1] = EOS
        return rows

    def flat(self, indices: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """int64 pieces of the sentences one after the other, EOS included, and int64 [B] their lengths."""
        lengths = self.shown_lengths(indices, np.ones(len(indices), dtype=np.int16), 1)
        pieces = [np.empty(0, np.int64)]
        for first in range(0, len(indices), 1 << 14):
            span = slice(first, first + (1 << 14))
            width = int(lengths[span].max())
            rows = self.tokens(indices[span], lengths[span], width)
            pieces.append(rows[np.arange(width)[None, :] < lengths[span][:, None]])
        return np.concatenate(pieces), lengths

    def teacher(self, indices: np.ndarray, part: Union[int, np.ndarray], dim: int) -> np.ndarray:
        """float32 [B, dim], the teacher's embeddings of the ``part``-th part (from 1), one for all or int [B]."""
        corpora = self.corpus_of(indices)
        wanted = np.broadcast_to(np.asarray(part, dtype=np.int64), indices.shape)
        if self.online is not None:
            return self.online.embed(corpora, indices - self.firsts[corpora], wanted)
        rows = np.empty((len(indices), dim), dtype=np.float32)
        stored_parts = np.array([len(opened.teacher) for opened in self.parts])
        file = np.minimum(wanted, stored_parts[corpora]) - 1
        for number in np.unique(corpora):
            for each in np.unique(file[corpora == number]):
                chosen = np.flatnonzero((corpora == number) & (file == each))
                rows[chosen] = self.parts[number].teacher[each][indices[chosen] - self.firsts[number]]
        return rows

    def teacher_lines(self, directory: Path, indices: np.ndarray) -> Iterator[str]:
        """The text of the teacher's side, a line for each index; every corpus must have one."""
        texts = [MappedLines(directory / str(part.corpus.tgt_text)) for part in self.parts]
        for corpus, index in zip(self.corpus_of(indices), indices):
            yield texts[corpus][index - self.firsts[corpus]]
