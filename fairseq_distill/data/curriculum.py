"""Progressive distillation: which part of a sentence pair is shown at which update.

The LASER3 paper (Heffernan et al. 2022, section on progressive distillation) sends incremental versions of a sentence
pair to teacher and student, but gives neither the unit nor the schedule. Here both sides are cut to the same fraction
of their words, and the fraction is a pure function of the update number.
"""

import math
from dataclasses import dataclass
from typing import List

import numpy as np

CURRICULA = ("none", "progressive")
PACINGS = ("linear", "root", "step")


@dataclass(frozen=True)
class Curriculum:
    """A schedule of growing parts.

    Attributes:
        increments: number n of parts; part j of n shows ceil(j / n of the words). 1 means whole sentences throughout.
        updates: the update from which on whole sentences are shown, > 0 when increments > 1.
        pacing: ``linear`` gives every part equally many updates; ``root`` leaves the short ones sooner (the part is
            the square root of the progress, Platanios et al. 2019); ``step`` shows the shortest part, then the whole.
    """

    increments: int = 1
    updates: int = 0
    pacing: str = "linear"

    def __post_init__(self) -> None:
        if self.increments < 1 or (self.increments > 1 and self.updates < 1):
            raise ValueError(f"{self.increments} increments over {self.updates} updates are no curriculum")
        if self.pacing not in PACINGS:
            raise ValueError(f"pacing {self.pacing!r} is none of {', '.join(PACINGS)}")

    def increment(self, update: int) -> int:
        """The part j, from 1 to ``increments``, that update number ``update`` (from 0) shows."""
        if self.increments == 1 or update >= self.updates:
            return self.increments
        if self.pacing == "step":
            return 1
        # Parts 1 to n - 1 share the time before `updates`. Whole numbers: 29 / 100 * 100 is below 29 in floats.
        bands = self.increments - 1
        if self.pacing == "root":  # floor(bands * sqrt(update / updates))
            return 1 + math.isqrt(update * bands * bands // self.updates)
        return 1 + update * bands // self.updates

    def next_change(self, update: int) -> "int | None":
        """The first update after ``update`` that shows another part; None when there is none."""
        current = self.increment(update)
        if current == self.increments:
            return None
        low, high = update, self.updates  # increment() never falls, so the change can be halved towards
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.increment(middle) == current else (low, middle)
        return high


def cut_words(sentence: str, part: int, parts: int) -> str:
    """The first ceil(part / parts of the words) of a sentence; words are what spaces separate."""
    words = sentence.split()
    return " ".join(words[: -(-len(words) * part // parts)])


def partial_lengths(
    word_starts: np.ndarray, starts: np.ndarray, lengths: np.ndarray, part: int, parts: int, unspaced: bool = False
) -> np.ndarray:
    """How many pieces of each binarised sentence its first ceil(part / parts of the words) take, EOS not counted.

    Args:
        word_starts: bool [T], True where a piece begins a word (SentencePiece's ``▁``), for the flat token array.
        starts: int64 [N], first token of each sentence.
        lengths: int [N], pieces with EOS.
        part, parts: the fraction, 1 <= part <= parts.
        unspaced: cut by pieces, for languages without spaces between words.

    Returns:
        int64 [N], between 0 (an empty sentence) and lengths - 1.
    """
    body = lengths.astype(np.int64) - 1
    if part == parts:
        return body
    if unspaced:
        return -(-body * part // parts)
    counted = np.concatenate([[0], np.cumsum(word_starts, dtype=np.int64)])  # words that begin before token t
    ends = starts + body
    words = counted[ends] - counted[starts]
    keep = -(-words * part // parts)
    # The cut is where word number `keep` (from 0) would begin: the first t with counted[t + 1] == target + 1.
    target = counted[starts] + keep
    cut = np.searchsorted(counted, target + 1, side="left") - 1
    return np.where(keep >= words, body, np.minimum(cut, ends) - starts)


def part_files(path: str, parts: int) -> List[str]:
    """Where the teacher embeddings of the growing parts lie: ``X.part1of4.npy`` … and ``X.npy`` for the whole."""
    stem = path[: -len(".npy")] if path.endswith(".npy") else path
    return [f"{stem}.part{part}of{parts}.npy" for part in range(1, parts)] + [path]
