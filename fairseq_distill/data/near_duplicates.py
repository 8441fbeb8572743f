"""Near-duplicates between text to train on and text to judge with: which lines say almost the same.

A line is the set of its character n-grams (lower case; letters, marks and digits; other characters part words). Two lines are
alike by the Jaccard index of their sets. MinHash signatures in bands find the pairs that may be alike without comparing
all; each of these is then compared exactly, so that no pair below the threshold is reported, and of those above it few
are missed: with 16 bands of 4, one in 80 of pairs at 0.7, one in 5,000 at 0.8.

Source: Broder (1997), On the Resemblance and Containment of Documents; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3 (banding).
"""

import functools
import logging
import time
import unicodedata
from dataclasses import dataclass, field
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.progress import Progress

logger = logging.getLogger(__name__)

_BANDS, _ROWS = 16, 4
_CHUNK = 20_000  # lines at a time
_TIMED_CHUNK = 1_000  # the same where the time is bounded
_PAIRS = 1 << 20  # candidate pairs at a time, before those of several bands are made one
_SHARED = 1 << 22  # n-grams looked up at a time, to count those that pairs share
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio in 64 bits: odd, without pattern
_SEEDS = np.random.default_rng(20260101).integers(1, 2**63, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)


class _Letters(Dict[int, str]):
    """A table for ``str.translate``: letters, marks and digits stay, all else becomes a space."""

    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if unicodedata.category(chr(code))[0] in "LMN" else " "
        return self[code]


_LETTERS = _Letters()


def comparable(line: str) -> str:
    """What of a line is compared; the line itself where it has no letter or digit."""
    return " ".join(unicodedata.normalize("NFKC", line).lower().translate(_LETTERS).split()) or line.strip()


@dataclass(frozen=True)
class NearDuplicate:
    """A line that is in an evaluation text too, or almost.

    Attributes:
        line, evaluation_line: line numbers, from 1.
        similarity: Jaccard index, in [threshold, 1]; 1 may still differ in case and punctuation.
        text, evaluation_text: the lines.
    """

    line: int
    evaluation_line: int
    similarity: float
    text: str
    evaluation_text: str


@dataclass
class Leakage:
    """How much of an evaluation text is in another text.

    Attributes:
        lines: lines compared; empty ones count.
        identical: of these, lines that an evaluation line equals, but for case, punctuation and spaces.
        near: further lines that are alike to the threshold or more.
        evaluation_lines: lines of the evaluation text.
        evaluation_hit: of these, lines with an identical or near line in the other text.
        threshold: least Jaccard index.
        examples: the first of each kind.
    """

    lines: int
    identical: int
    near: int
    evaluation_lines: int
    evaluation_hit: int
    threshold: float
    examples: List[NearDuplicate] = field(default_factory=list)


class _Grams:
    """The hashed n-grams of some lines: ``hashes[starts[i]:starts[i + 1]]`` are line i's, each once, ascending."""

    def __init__(self, lines: Sequence[str], n: int):
        codes = [np.frombuffer(f" {line} ".encode("utf-32-le"), np.uint32) for line in lines]
        sizes = np.array([len(one) for one in codes], np.int64)
        text = np.concatenate([*codes, np.zeros(n, np.uint32)]).astype(np.uint64)
        total = len(text) - n
        hashes = np.zeros(total, np.uint64)
        for shift in range(n):
            hashes = hashes * _MULTIPLIER + text[shift : shift + total] + np.uint64(1)
        owner = np.repeat(np.arange(len(lines)), sizes)
        begins = np.concatenate([[0], np.cumsum(sizes)])
        left = begins[1:][owner] - np.arange(total)
        # A line shorter than n characters is one n-gram, what follows it left out: its hash is that of the line alone.
        whole = (left >= n) | (np.arange(total) == begins[:-1][owner])
        hashes, owner = hashes[whole], owner[whole]
        for row in np.flatnonzero(sizes < n):
            value = np.uint64(0)
            for code in codes[row].astype(np.uint64):
                value = np.uint64((int(value) * int(_MULTIPLIER) + int(code) + 1) % 2**64)
            hashes[np.searchsorted(owner, row)] = value
        hashes = _mixed(hashes)
        order = np.lexsort((hashes, owner))
        hashes, owner = hashes[order], owner[order]
        new = np.append(True, (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1]))
        self.hashes, self.owner = hashes[new], owner[new]
        self.starts = np.searchsorted(self.owner, np.arange(len(lines) + 1))

    @functools.cached_property
    def ranked(self) -> Tuple[np.ndarray, np.ndarray]:
        """(all hashes, ascending; a sorted number for each (line, hash)): n-grams by rank, so that both fit in one number."""
        vocabulary = np.unique(self.hashes)
        return vocabulary, self.owner * np.int64(len(vocabulary)) + np.searchsorted(vocabulary, self.hashes)

    def bands(self) -> np.ndarray:
        """uint64 [N, bands]: equal where all minima of a band are equal."""
        minima = np.empty((len(self.starts) - 1, _BANDS * _ROWS), np.uint64)
        for column, seed in enumerate(_SEEDS):
            minima[:, column] = np.minimum.reduceat(_mixed(self.hashes * seed), self.starts[:-1])
        keys = np.zeros((len(minima), _BANDS), np.uint64)
        for row in range(_ROWS):
            keys = _mixed(keys * _MULTIPLIER + minima[:, row::_ROWS])
        return keys


def _mixed(values: np.ndarray) -> np.ndarray:
    """The values with every bit spread over all (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


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
            ConfigError: a threshold outside [0.5, 1], below which the bands would miss many pairs, or n below 1.
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
        if len(self.distinct):
            self.grams = _Grams([texts[row] for row in self.distinct], n)
            keys = self.grams.bands()
            self.order = np.argsort(keys, axis=0, kind="stable")
            self.keys = np.take_along_axis(keys, self.order, axis=0)

    def find(self, lines: Sequence[str]) -> Tuple[np.ndarray, np.ndarray]:
        """(float64 [N] similarity, int64 [N] row of the index) of each line's closest; 0 and -1 where none is near."""
        similarity, found = np.zeros(len(lines)), np.full(len(lines), -1, np.int64)
        texts = [comparable(line) for line in lines]
        rest = []
        for row, text in enumerate(texts):
            if text in self.place:
                similarity[row], found[row] = 1.0, self.place[text]
            elif text:
                rest.append(row)
        if not rest or not len(self.distinct):
            return similarity, found
        grams = _Grams([texts[row] for row in rest], self.n)
        for own, other in self._candidates(grams):
            alike = _jaccard(grams, own, self.grams, other)
            good = np.flatnonzero(alike >= self.threshold)
            order = good[np.lexsort((-other[good], alike[good]))]  # best last: the last assignment stays
            rows = np.array(rest)[own[order]]
            better = alike[order] > similarity[rows]
            similarity[rows[better]] = alike[order][better]
            found[rows[better]] = self.distinct[other[order][better]]
        return similarity, found

    def _candidates(self, grams: _Grams) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        """Pairs (line, distinct indexed line) that share a band, each once, a block at a time.

        In text of one template all lines share bands with all: the blocks bound the memory, not the number of pairs.
        """
        bands, sizes, width = grams.bands(), np.diff(grams.starts), np.int64(len(self.distinct))
        edges = [
            [np.searchsorted(self.keys[:, b], bands[:, b], side) for b in range(_BANDS)] for side in ("left", "right")
        ]
        low, counts = np.array(edges[0]), np.array(edges[1]) - np.array(edges[0])  # [bands, N]
        for lines in _parts(counts.sum(axis=0), _PAIRS):
            pieces: List[np.ndarray] = []
            for band in range(_BANDS):
                some = counts[band, lines]
                own = np.repeat(np.arange(lines.start, lines.stop), some)
                offset = np.arange(len(own)) - np.repeat(np.cumsum(some) - some, some)
                pieces.append(own * width + self.order[np.repeat(low[band, lines], some) + offset, band])
            pairs = np.unique(np.concatenate(pieces))
            for part in _parts(sizes[pairs // width], _SHARED):
                yield pairs[part] // width, pairs[part] % width

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
        hit = np.zeros(len(self.lines), bool)
        shown: Dict[bool, List[NearDuplicate]] = {True: [], False: []}
        progress = Progress("audit", total, unit="lines")
        start = time.monotonic()
        for chunk in _chunks(lines, None if seconds is None else _TIMED_CHUNK):
            similarity, found = self.find(chunk)
            for row in np.flatnonzero(found >= 0):
                other = int(found[row])
                same = comparable(chunk[row]) == self.texts[other]
                result.identical, result.near = result.identical + same, result.near + (not same)
                if len(shown[same]) < examples and (same or not hit[other]):
                    place = result.lines + int(row) + 1
                    shown[same].append(
                        NearDuplicate(place, other + 1, float(similarity[row]), chunk[row], self.lines[other])
                    )
                hit[other] = True
            result.lines += len(chunk)
            progress.add(len(chunk))
            if seconds is not None and time.monotonic() - start > seconds:
                break
        progress.line.wipe()
        hit_texts = {self.texts[row] for row in np.flatnonzero(hit)}
        result.evaluation_hit = sum(text in hit_texts for text in self.texts)
        result.examples = shown[True] + shown[False]
        return result


def _jaccard(one: _Grams, rows: np.ndarray, two: _Grams, others: np.ndarray) -> np.ndarray:
    """float64 [P]: shared n-grams over all n-grams of each pair of lines."""
    sizes, other_sizes = np.diff(one.starts)[rows], np.diff(two.starts)[others]
    pair = np.repeat(np.arange(len(rows)), sizes)
    offset = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    hashes = one.hashes[one.starts[rows][pair] + offset]
    vocabulary, keys = two.ranked
    rank = np.minimum(np.searchsorted(vocabulary, hashes), len(vocabulary) - 1)
    known = vocabulary[rank] == hashes
    wanted = others[pair] * np.int64(len(vocabulary)) + rank
    there = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    shared = np.bincount(pair, weights=known & (keys[there] == wanted), minlength=len(rows))
    return shared / (sizes + other_sizes - shared)


def _parts(weights: np.ndarray, budget: int) -> Iterator[slice]:
    """Consecutive parts that weigh about ``budget``; one that weighs more by itself is a part of its own."""
    group = np.cumsum(weights) // budget
    edges = np.flatnonzero(np.diff(group)) + 1
    for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(group)]):
        if start < stop:
            yield slice(start, stop)


def _chunks(lines: Iterable[str], size: Optional[int] = None) -> Iterator[List[str]]:
    chunk: List[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == (size or _CHUNK):
            yield chunk
            chunk = []
    if chunk:
        yield chunk
