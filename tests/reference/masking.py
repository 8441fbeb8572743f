"""Masks and blocks, row by row and piece by piece, from the same random numbers as the fast versions."""

import math
from typing import List, Sequence, Tuple

import numpy as np


def announced(maskable: int, probability: float) -> int:
    """How many of ``maskable`` pieces are to be predicted."""
    return min(maskable, max(1, round(maskable * probability)))  # Python rounds halves to even, as NumPy does


def pieces_chosen(row: Sequence[int], probability: float, scores: Sequence[float]) -> List[int]:
    """Positions of the pieces with the lowest scores; ids 0 to 2 are BOS, padding and EOS."""
    may = [position for position, token in enumerate(row) if token not in (0, 1, 2)]
    return sorted(sorted(may, key=lambda position: scores[position])[: announced(len(may), probability)])


def words_of(row: Sequence[int], begins: Sequence[bool]) -> List[List[int]]:
    """The words of a row as lists of positions; a special symbol ends a word."""
    words: List[List[int]] = []
    open_word = False
    for position, token in enumerate(row):
        if token in (0, 1, 2):
            open_word = False
            continue
        if begins[position] or not open_word:
            words.append([])
        words[-1].append(position)
        open_word = True
    return words


def words_chosen(
    row: Sequence[int], begins: Sequence[bool], probability: float, lift: float, scores: Sequence[float]
) -> List[int]:
    """Positions of the pieces of the chosen words: the words of the lowest scores.

    Args:
        lift: in [0, 1), decides whether their number is rounded up.
        scores: one for each word.
    """
    words = words_of(row, begins)
    if not words:
        return []
    n_pieces = sum(len(word) for word in words)
    wanted = math.floor(len(words) * (announced(n_pieces, probability) / n_pieces) + lift)
    ranked = sorted(range(len(words)), key=lambda number: scores[number])
    return sorted(position for number in ranked[:wanted] for position in words[number])


def blocks(lengths: Sequence[int], longest: int) -> List[Tuple[int, int]]:
    """(first sentence, sentences) of each block, filled one sentence at a time."""
    found: List[List[int]] = []
    size = 0
    for number, length in enumerate(lengths):
        if not found or size + length > longest:
            found.append([number, 0])
            size = 0
        found[-1][1] += 1
        size += int(length)
    return [(first, n) for first, n in found]


def pair(src: np.ndarray, tgt: np.ndarray, longest: int) -> List[int]:
    """One TLM row: both sides with their EOS (2), cut to ``longest`` in all by a bound on each side."""
    half = longest // 2
    room = max(longest - len(tgt), half)
    first = list(src) if len(src) <= room else [*src[: room - 1], 2]
    rest = longest - len(first)
    second = list(tgt) if len(tgt) <= rest else [*tgt[: rest - 1], 2]
    return [int(token) for token in first + second]
