"""Parts of a sentence: its first words or pieces, and which parts are long enough to be shown."""

from typing import List

import numpy as np


def cut_words(sentence: str, part: int, parts: int) -> str:
    """The first ceil(part / parts of the words) of a sentence; words are what white space separates.

    A part that holds all words is the sentence itself, untouched, so that the teacher embeds it once.
    """
    words = sentence.split()
    keep = -(-len(words) * part // parts)
    return sentence if keep >= len(words) else " ".join(words[:keep])


def _words_before(word_starts: np.ndarray) -> np.ndarray:
    """int64 [T + 1], words that begin before token t."""
    return np.concatenate([[0], np.cumsum(word_starts, dtype=np.int64)])


def partial_lengths(
    word_starts: np.ndarray, starts: np.ndarray, lengths: np.ndarray, part: int, parts: int, by_pieces: bool = False
) -> np.ndarray:
    """How many pieces of each binarised sentence its first ceil(part / parts of the words) take, EOS not counted.

    Args:
        word_starts: bool [T], True where a piece begins a word (SentencePiece's ``▁``), for the flat token array.
        starts: int64 [N], first token of each sentence.
        lengths: int [N], pieces with EOS.
        part, parts: the fraction, 1 <= part <= parts.
        by_pieces: ceil(part / parts) of the pieces instead, wherever in a word that ends.

    Returns:
        int64 [N], between 0 (an empty sentence) and lengths - 1.
    """
    body = lengths.astype(np.int64) - 1
    if part == parts:
        return body
    if by_pieces:
        return -(-body * part // parts)
    counted = _words_before(word_starts)
    ends = starts + body
    words = counted[ends] - counted[starts]
    keep = -(-words * part // parts)
    # The cut is where word number `keep` (from 0) would begin: the first t with counted[t + 1] == target + 1.
    target = counted[starts] + keep
    cut = np.searchsorted(counted, target + 1, side="left") - 1
    return np.where(keep >= words, body, np.minimum(cut, ends) - starts)


def unit_counts(
    word_starts: np.ndarray, starts: np.ndarray, lengths: np.ndarray, by_pieces: bool = False
) -> np.ndarray:
    """int64 [N], words (or pieces) of each binarised sentence; the arguments are those of :func:`partial_lengths`."""
    body = lengths.astype(np.int64) - 1
    if by_pieces:
        return body
    counted = _words_before(word_starts)
    return counted[starts + body] - counted[starts]


def least_parts(units: np.ndarray, parts: int, min_units: int) -> np.ndarray:
    """The smallest part of each sentence that may be shown: the first one of at least ``min_units`` words (or pieces).

    A sentence of no more than so many is shown whole only. Otherwise a single word of a short sentence would stand beside
    a half of its translation, and a name or an article beside whatever the other language begins with.

    Args:
        units: int [N], words or pieces of each sentence.
        parts: number of parts of the curriculum, n.
        min_units: >= 1.

    Returns:
        int64 [N], from 1 to ``parts``: the least j with ceil(units * j / n) >= min_units.
    """
    units = np.maximum(units.astype(np.int64), 1)
    # ceil(u j / n) >= m  <=>  u j > (m - 1) n  <=>  j > (m - 1) n / u
    return np.where(units <= min_units, parts, (min_units - 1) * parts // units + 1)


def part_files(path: str, parts: int) -> List[str]:
    """Where the teacher embeddings of the growing parts lie: ``X.part1of4.npy`` … and ``X.npy`` for the whole."""
    stem = path[: -len(".npy")] if path.endswith(".npy") else path
    return [f"{stem}.part{part}of{parts}.npy" for part in range(1, parts)] + [path]
