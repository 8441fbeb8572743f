"""The progressive curriculum, word by word and update by update, in exact fractions."""

import math
from fractions import Fraction
from typing import List, Optional, Sequence


def part_shown(update: int, increments: int, updates: int, pacing: str) -> int:
    """The part that an update shows: the last one whose turn has come."""
    if increments == 1 or update >= updates:
        return increments
    if pacing == "step":
        return 1
    shown = 1
    for part in range(2, increments):
        # Part j of n begins when (j - 1) / (n - 1) of the way (of its square root, for "root") lies behind.
        share = Fraction(part - 1, increments - 1)
        begins = share if pacing == "linear" else share * share
        if Fraction(update, updates) >= begins:
            shown = part
    return shown


def next_change(update: int, increments: int, updates: int, pacing: str) -> Optional[int]:
    """The first later update that shows another part, by trying each."""
    now = part_shown(update, increments, updates, pacing)
    for later in range(update + 1, updates + 1):
        if part_shown(later, increments, updates, pacing) != now:
            return later
    return None


def cut_words(sentence: str, part: int, parts: int) -> str:
    """The first ceil(part / parts * words) words; the line as it is where that is all of them."""
    words = sentence.split()
    keep = math.ceil(Fraction(part * len(words), parts))
    return sentence if keep == len(words) else " ".join(words[:keep])


def plateau_part(update: int, increments: int, updates: int, changes: Sequence[int]) -> int:
    """The part of an update: the first one, one more for each stage that has begun, the whole from ``updates`` on."""
    shown = 1
    for change in changes:
        if change <= update:
            shown += 1
    if updates > 0 and update >= updates:
        shown = increments
    return min(shown, increments)


def least_part(units: int, parts: int, min_units: int) -> int:
    """The first part that is long enough, by trying each; the whole of a short sentence."""
    if units > min_units:
        for part in range(1, parts):
            if math.ceil(Fraction(part * units, parts)) >= min_units:
                return part
    return parts


def partial_length(begins_word: Sequence[bool], part: int, parts: int, unspaced: bool = False) -> int:
    """How many pieces of one sentence (EOS left out) its first words take.

    Args:
        begins_word: for each piece whether it begins a word.
    """
    if part == parts:
        return len(begins_word)
    if unspaced:
        return math.ceil(Fraction(part * len(begins_word), parts))
    words: List[List[int]] = []
    before_the_first: List[int] = []
    for position, begins in enumerate(begins_word):
        if begins:
            words.append([])
        (words[-1] if words else before_the_first).append(position)
    keep = math.ceil(Fraction(part * len(words), parts))
    if keep >= len(words):
        return len(begins_word)
    return len(before_the_first) + sum(len(word) for word in words[:keep])
