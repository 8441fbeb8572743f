"""Near-duplicates between text to train on and text to judge with: which lines say almost the same.

A line is the set of its character n-grams (lower case; letters, marks and digits; other characters part words). Two lines are
alike by the Jaccard index of their sets (Broder 1997, On the Resemblance and Containment of Documents). What is found is what a
comparison of all pairs would find (gram_sets.py).
"""

import logging
import time
import unicodedata
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.data.gram_sets import GramIndex, Grams
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.leakage import Leakage, NearDuplicate
from fairseq_distill.progress import Progress

logger = logging.getLogger(__name__)

_CHUNK, _CHUNK_CHARACTERS = 5_000, 2_000_000  # lines at a time, fewer where they are long


class _Letters(Dict[int, str]):
    """A table for ``str.translate``: letters, marks and digits stay, all else becomes a space."""

    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if unicodedata.category(chr(code))[0] in "LMN" else " "
        return self[code]


_LETTERS = _Letters()


def comparable(line: str) -> str:
    """What of a line is compared; the line itself where it has no letter or digit."""
    return " ".join(unicodedata.normalize("NFKC", line).lower().translate(_LETTERS).split()) or line.strip()


class NearDuplicateIndex:
    """An evaluation text, ready to be looked for in others."""

    def __init__(
        self,
        lines: Sequence[str],
        threshold: float = defaults.NEAR_DUPLICATE,
        n: int = defaults.NEAR_DUPLICATE_CHARACTERS,
    ):
        """Index the lines.

        Raises:
            ConfigError: a threshold outside [0.5, 1], below which lines count that have little in common, or n below 1.
        """
        if not 0.5 <= threshold <= 1 or n < 1:
            raise ConfigError(
                f"Near-duplicates at {threshold:g} of {n}-grams: give a threshold in [0.5, 1] and n >= 1."
            )
        self.threshold, self.n, self.lines = threshold, n, list(lines)
        texts = [comparable(line) for line in self.lines]
        self.rows = np.array([row for row, text in enumerate(texts) if text], np.int64)
        self.place: Dict[str, int] = {}
        for row in self.rows.tolist():
            self.place.setdefault(texts[row], row)
        self.texts = texts
        # Equal lines are compared once.
        self.distinct = np.array(list(self.place.values()), np.int64)
        self.index = GramIndex(Grams([texts[row] for row in self.distinct], n))

    def find(self, lines: Sequence[str], hit: Optional[np.ndarray] = None) -> Tuple[np.ndarray, np.ndarray]:
        """(float64 [N] similarity, int64 [N] row of the index) of each line's closest; 0 and -1 where none is near.

        Args:
            hit: bool, one for each line of ``distinct``; becomes true for those that any line is near to, closest or not.
        """
        similarity, found = np.zeros(len(lines)), np.full(len(lines), -1, np.int64)
        texts = [comparable(line) for line in lines]
        known = np.array([self.place.get(text, -1) for text in texts], np.int64)
        # A line that is there as it is has its closest, but may be near to others too.
        rest = [row for row, text in enumerate(texts) if text and (known[row] < 0 or hit is not None)]
        if rest and len(self.distinct):
            alike, other = self.index.closest(Grams([texts[row] for row in rest], self.n), self.threshold, hit)
            near = np.flatnonzero(other >= 0)
            rows = np.array(rest)[near]
            similarity[rows], found[rows] = alike[near], self.distinct[other[near]]
        similarity[known >= 0], found[known >= 0] = 1.0, known[known >= 0]
        return similarity, found

    def audit(
        self,
        lines: Iterable[str],
        examples: int = defaults.LEAKAGE_EXAMPLES,
        total: Optional[int] = None,
        seconds: Optional[float] = None,
    ) -> Leakage:
        """Look for the evaluation text in other text, which is read once, a chunk at a time.

        Args:
            lines: the other text.
            examples: how many to keep of identical and of near lines; of the near ones, different evaluation lines.
            total: how many lines there are, for the progress.
            seconds: after which no further chunk is read; ``lines`` of what comes back says how many were.
        """
        result = Leakage(0, 0, 0, len(self.lines), 0, self.threshold)
        hit = np.zeros(len(self.distinct), bool)
        exemplified = set()
        shown: Dict[bool, List[NearDuplicate]] = {True: [], False: []}
        progress = Progress("audit", total, unit="lines")
        start = time.monotonic()
        for chunk in _chunks(lines):
            similarity, found = self.find(chunk, hit)
            for row in np.flatnonzero(found >= 0):
                other = int(found[row])
                same = comparable(chunk[row]) == self.texts[other]
                result.identical, result.near = result.identical + same, result.near + (not same)
                if len(shown[same]) < examples and (same or other not in exemplified):
                    place = result.lines + int(row) + 1
                    shown[same].append(
                        NearDuplicate(place, other + 1, float(similarity[row]), chunk[row], self.lines[other])
                    )
                exemplified.add(other)
            result.lines += len(chunk)
            progress.add(len(chunk))
            if seconds is not None and time.monotonic() - start > seconds:
                break
        progress.line.wipe()
        hit_texts = {self.texts[row] for row in self.distinct[hit]}
        result.evaluation_hit = sum(text in hit_texts for text in self.texts)
        result.examples = shown[True] + shown[False]
        return result


def _chunks(lines: Iterable[str]) -> Iterator[List[str]]:
    chunk: List[str] = []
    characters = 0
    for line in lines:
        chunk.append(line)
        characters += len(line)
        if len(chunk) == _CHUNK or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
