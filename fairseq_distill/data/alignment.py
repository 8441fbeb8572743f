"""Which words of the other side a student's pieces go with: counts from a word alignment of the training pairs.

IBM model 1 (Brown et al. 1993) in both directions, made to agree by multiplying their posteriors (Liang et al. 2006, "Alignment
by Agreement"), with a preference for words at the same relative place. Fitting the lexical path starts from these counts.
"""

import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Tuple

import numpy as np

from fairseq_distill import defaults

_SENTENCES, _PORTION = 1 << 10, 1 << 18  # looked at, cells added up at a time: bounds memory
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Sequences:
    """Sentences one after the other: int64 ``items`` [sum of lengths], and int64 ``lengths`` [N], each >= 0."""

    items: np.ndarray
    lengths: np.ndarray

    def take(self, chosen: np.ndarray) -> "Sequences":
        """The chosen sentences, in that order."""
        starts, lengths = np.cumsum(self.lengths) - self.lengths, self.lengths[chosen]
        return Sequences(self.items[np.repeat(starts[chosen], lengths) + _places(lengths)], lengths)

    def head(self, n: int) -> "Sequences":
        """The first n sentences."""
        return Sequences(self.items[: int(self.lengths[:n].sum())], self.lengths[:n])


@dataclass(frozen=True)
class Counts:
    """How often, in expectation, a piece goes with a word: parallel arrays with one entry for each pair that occurs together.

    Attributes:
        pieces, words: int64 [M], sorted by piece, then by word.
        counts: float32 [M], >= 0. Of one piece they sum to at most its number of occurrences.
        occurrences: int64 [V], of each piece in the sentences that were aligned.
    """

    pieces: np.ndarray
    words: np.ndarray
    counts: np.ndarray
    occurrences: np.ndarray


def number_words(lines: Iterable[str]) -> Tuple[Sequences, int]:
    """Lower-cased words and punctuation marks of each line as numbers from 0 in order of appearance, and how many there are."""
    numbers: Dict[str, int] = {}
    items: List[int] = []
    lengths: List[int] = []
    for line in lines:
        words = _WORD.findall(line.lower())
        items.extend(numbers.setdefault(word, len(numbers)) for word in words)
        lengths.append(len(words))
    return Sequences(np.array(items, dtype=np.int64), np.array(lengths, dtype=np.int64)), len(numbers)


def sentences_within(pieces: Sequences, words: Sequences, cells: int) -> int:
    """How many of the first sentence pairs fit in a bound on piece-word cells, which bounds memory and time."""
    sizes = np.minimum(pieces.lengths, defaults.ALIGNMENT_LENGTH) * np.minimum(words.lengths, defaults.ALIGNMENT_LENGTH)
    return int(np.searchsorted(np.cumsum(sizes), cells, side="right"))


def align(
    pieces: Sequences,
    words: Sequences,
    n_pieces: int,
    n_words: int,
    iterations: int = defaults.ALIGNMENT_ITERATIONS,
    diagonal: float = defaults.ALIGNMENT_DIAGONAL,
) -> Counts:
    """Expected counts of piece and word together, by expectation maximisation.

    A sentence longer than ``defaults.ALIGNMENT_LENGTH`` takes part with its beginning, on both sides.

    Args:
        pieces, words: the two sides, line for line.
        n_pieces, n_words: V and the number of distinct words.
        iterations: of expectation and maximisation, >= 1.
        diagonal: weight of the distance between the relative places of piece and word, >= 0; 0 is plain model 1.

    Raises:
        ValueError: the sides differ in their number of sentences.
    """
    if len(pieces.lengths) != len(words.lengths):
        raise ValueError(f"{len(pieces.lengths):,} sentences on one side, {len(words.lengths):,} on the other")
    pieces, words = _cut(pieces, defaults.ALIGNMENT_LENGTH), _cut(words, defaults.ALIGNMENT_LENGTH)
    piece_at, word_at, nearness = _cells(pieces.lengths, words.lengths, diagonal)
    # One entry for each distinct (piece, word); `entry` leads from a cell to it.
    keys, entry = _distinct(pieces.items[piece_at] * n_words + words.items[word_at])
    of_piece, of_word = keys // n_words, keys % n_words
    occurrences = np.bincount(pieces.items, minlength=n_pieces)
    # A word may come from no piece, and a piece from no word: then it is drawn by its share of the text.
    no_piece = defaults.ALIGNMENT_NULL * _cells_of(word_at, words) * _share(words.items, n_words)[words.items]
    no_word = defaults.ALIGNMENT_NULL * _cells_of(piece_at, pieces) * _share(pieces.items, n_pieces)[pieces.items]
    word_given_piece = np.ones(len(keys), dtype=np.float32)
    piece_given_word = np.ones(len(keys), dtype=np.float32)
    counts: np.ndarray = np.zeros(len(keys))
    for step in range(iterations):
        posterior = _posterior(word_given_piece[entry] * nearness, word_at, no_piece * bool(step))
        posterior *= _posterior(piece_given_word[entry] * nearness, piece_at, no_word * bool(step))
        counts = _sums(entry, posterior, len(keys))
        word_given_piece = _shares_within(counts, of_piece, n_pieces)
        piece_given_word = _shares_within(counts, of_word, n_words)
    return Counts(of_piece, of_word, counts.astype(np.float32), occurrences)


def _cut(side: Sequences, limit: int) -> Sequences:
    place = _places(side.lengths)
    return Sequences(side.items[place < limit], np.minimum(side.lengths, limit))


def _places(lengths: np.ndarray) -> np.ndarray:
    """int64 [sum of lengths], from 0 in each run."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)


def _cells(pieces: np.ndarray, words: np.ndarray, diagonal: float) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every (piece, word) of every pair: int32 index of the piece, of the word, and float32 exp(-diagonal x distance)."""
    sizes = pieces * words
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    piece_at, word_at = np.empty(total, np.int32), np.empty(total, np.int32)
    nearness = np.empty(total, np.float32)
    first_piece, first_word = np.cumsum(pieces) - pieces, np.cumsum(words) - words
    for low in range(0, len(sizes), _SENTENCES):
        some = slice(low, low + _SENTENCES)
        cells = slice(int(ends[low] - sizes[low]), int(ends[some][-1]))
        place, width = _places(sizes[some]), np.repeat(words[some], sizes[some])
        row, column = np.divmod(place, width)
        distance = np.abs(row / np.repeat(pieces[some], sizes[some]) - column / width)
        piece_at[cells] = np.repeat(first_piece[some], sizes[some]) + row
        word_at[cells] = np.repeat(first_word[some], sizes[some]) + column
        nearness[cells] = np.exp(-diagonal * distance)
    return piece_at, word_at, nearness


def _distinct(keys: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The distinct ones of int64 ``keys`` [N], ascending, and int32 [N], which of them each is; ``numpy.unique`` needs twice the memory."""
    order = np.argsort(keys)
    ordered = keys[order]
    del keys
    fresh = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    distinct = ordered[fresh]
    del ordered
    entry = np.empty(len(order), np.int32)
    entry[order] = np.cumsum(fresh, dtype=np.int32) - 1
    return distinct, entry


def _sums(at: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """float64 [n]: the sum of the ``weights`` of each item; ``numpy.bincount`` would copy all of both."""
    total = np.zeros(n)
    for low in range(0, len(at), _PORTION):
        part = slice(low, low + _PORTION)
        np.add.at(total, at[part].astype(np.intp), weights[part].astype(np.float64))
    return total


def _cells_of(at: np.ndarray, side: Sequences) -> np.ndarray:
    return np.bincount(at, minlength=len(side.items))


def _share(items: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(items, minlength=n) / max(len(items), 1)


def _posterior(weights: np.ndarray, at: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """Weights divided by the sum over the cells of the same item, and its chance of going with nothing."""
    total = _sums(at, weights, len(nothing)) + nothing
    return weights / np.maximum(total, 1e-30).astype(np.float32)[at]


def _shares_within(counts: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    total = np.bincount(group, counts, minlength=n)
    return (counts / np.maximum(total[group], 1e-30)).astype(np.float32)
