"""Lines as sets of character n-grams, and the most alike indexed line by the Jaccard index: exactly that, without comparing all.

Four things save the comparisons, and none of them loses a pair.

- A line x can reach the threshold t only with lines that share one of its first |x| - ceil(t |x|) + 1 n-grams, whatever their
  order; with the rarest first these are few (prefix filter). N-grams that no indexed line has come before all others.
- N-grams that stand in the same indexed lines are one group with a weight. In text of one template these are most of them, and
  they are what makes it slow: each leads to the same lines.
- What a pair shares of the prefix is counted; the rest of x bounds what more it can share, and so its Jaccard index.
- Only the best line is wanted: each line's candidate with the highest bound is compared first, and then those whose bound is
  not below what that one has reached. Lines of a template share the frequent n-grams, so that their bounds are tight.

Source: Chaudhuri, Ganti and Kaushik (2006), A Primitive Operator for Similarity Joins in Data Cleaning (prefix filter); Xiao,
Wang, Lin and Yu (2008), Efficient Similarity Joins for Near Duplicate Detection (bounds).
"""

from dataclasses import dataclass
from typing import Iterator, Optional, Sequence, Tuple

import numpy as np

_SCANNED = 1 << 20  # entries of posting lists read at a time
_COMPARED = 1 << 20  # n-grams looked up at a time, to compare pairs
_DENSE = 4  # a table of all pairs that has less cells than so many times the entries is quicker than a sort
_WEIGHT_BITS = (
    20  # of a line's n-grams in one group; a line of a million n-grams has more than its file's other lines together
)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio in 64 bits: odd, without pattern
_ROUNDING = 1e-9  # t |x| that is whole may come out a little above


class Grams:
    """The n-grams of some lines, each once in a line.

    Attributes:
        vocabulary: uint64, hashes of the different n-grams, ascending.
        line, rank: int64, a pair for each n-gram of each line: number of the line, place in ``vocabulary``; ascending.
        starts: int64 [N + 1]; the pairs of line i are ``starts[i]:starts[i + 1]``.
        sizes: int64 [N], different n-grams of each line.
    """

    def __init__(self, lines: Sequence[str], n: int):
        """Take lines apart; a line shorter than ``n`` characters with its two spaces around is one n-gram."""
        hashes, owner = _hashes([f" {line} " for line in lines], n)
        order = np.argsort(hashes)
        hashes = hashes[order]
        new = _new(hashes)
        self.vocabulary = hashes[new]
        width = np.int64(max(len(self.vocabulary), 1))
        keys = np.sort(owner[order] * width + (np.cumsum(new) - 1))
        keys = keys[_new(keys)]
        self.line, self.rank = keys // width, keys % width
        self.starts = np.searchsorted(self.line, np.arange(len(lines) + 1))
        self.sizes = np.diff(self.starts)


def _hashes(lines: Sequence[str], n: int) -> Tuple[np.ndarray, np.ndarray]:
    """(uint64 hash, int64 line) of each n-gram, as they come."""
    codes = [np.frombuffer(line.encode("utf-32-le"), np.uint32) for line in lines]
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
        value = 0
        for code in codes[row].tolist():
            value = (value * int(_MULTIPLIER) + code + 1) % 2**64
        hashes[np.searchsorted(owner, row)] = value
    return _mixed(hashes), owner


@dataclass
class _Weighed:
    """Lines as groups with weights, the rarest group first.

    Attributes:
        line, group, weight: int64, an entry for each group of each line: how many n-grams of it the line has.
        first, middle: int64 [N + 1], [N]; the entries of line i are ``first[i]:first[i + 1]``, its prefix ends at ``middle[i]``.
        rest: int64 [N], n-grams of the entries after the prefix.
        sizes: int64 [N], all n-grams of a line, those in no group too.
        cost: int64 [N], indexed lines that the groups of the prefix lead to.
    """

    line: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    first: np.ndarray
    middle: np.ndarray
    rest: np.ndarray
    sizes: np.ndarray
    cost: np.ndarray


@dataclass
class _Pairs:
    """Pairs of a line and an indexed line, by line and indexed line: the n-grams that their prefix shares, and the
    bound of their Jaccard index."""

    line: np.ndarray
    other: np.ndarray
    shared: np.ndarray
    bound: np.ndarray

    def at(self, chosen: np.ndarray) -> "_Pairs":
        """Some of the pairs."""
        return _Pairs(self.line[chosen], self.other[chosen], self.shared[chosen], self.bound[chosen])


@dataclass
class _Result:
    """What was found: best Jaccard index and indexed line of each line, and the indexed lines that any line is alike to."""

    threshold: float
    best: np.ndarray
    found: np.ndarray
    hit: np.ndarray


class GramIndex:
    """Lines to find the most alike of, by groups of n-grams that stand in the same lines."""

    def __init__(self, grams: Grams):
        self.sizes, self.vocabulary = grams.sizes, grams.vocabulary
        self.n = np.int64(max(len(self.sizes), 1))
        order = np.argsort(grams.rank, kind="stable")
        lines = grams.line[order]  # the lines of each n-gram, one after the other
        counts = np.bincount(grams.rank, minlength=len(self.vocabulary))
        begins = np.cumsum(counts) - counts
        # Two n-grams stand in the same lines when as many lines have the same sum of hashes.
        sums = np.add.reduceat(_mixed(lines.astype(np.uint64) + np.uint64(1)), begins) if len(lines) else begins
        by_rarity = np.lexsort((sums, counts))
        new = _new(counts[by_rarity], sums[by_rarity])
        self.group = np.empty(len(counts), np.int64)
        self.group[by_rarity] = np.cumsum(new) - 1
        one_of_each = by_rarity[new]
        self.counts = counts[one_of_each]
        self.starts = np.cumsum(self.counts) - self.counts
        group, places = _spread(begins[one_of_each], self.counts)
        self.lines = lines[places]
        self.keys = group * self.n + self.lines  # ascending

    def closest(
        self, grams: Grams, threshold: float, hit: Optional[np.ndarray] = None
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(float64 [N] Jaccard index, int64 [N] indexed line) of each line's most alike, the first of equals; 0 and -1 where
        none reaches the threshold, in (0, 1].

        Args:
            hit: bool, one for each indexed line; becomes true for those that any line is alike to, most alike or not.
        """
        best, found = np.zeros(len(grams.sizes)), np.full(len(grams.sizes), -1, np.int64)
        lines = self._weigh(grams, threshold)
        open_ones = np.flatnonzero(lines.cost)
        result = _Result(threshold, best, found, np.zeros(int(self.n), bool) if hit is None else hit)
        for part in parts(lines.cost[open_ones], _SCANNED):
            pairs = self._candidates(lines, open_ones[part], threshold)
            self._compare(lines, pairs.at(_highest(pairs.line, pairs.bound)), result)
            line_best = best[pairs.line]  # what can be better, or as good and before, is compared
            first = (pairs.bound == line_best) & (pairs.other < found[pairs.line])
            self._compare(lines, pairs.at(np.flatnonzero((pairs.bound > line_best) | first)), result)
            if hit is None:
                continue
            for only_highest in (True, False):
                left = np.flatnonzero(~hit[pairs.other])
                left = left[np.argsort(pairs.other[left], kind="stable")]
                if only_highest:
                    left = left[_highest(pairs.other[left], pairs.bound[left])]
                self._compare(lines, pairs.at(left), result)
        return best, found

    def _weigh(self, grams: Grams, threshold: float) -> _Weighed:
        """Lines as groups, and their prefixes."""
        n, width = len(grams.sizes), np.int64(max(len(self.counts), 1))
        group = np.full(len(grams.vocabulary), -1, np.int64)
        if len(self.vocabulary):
            place = np.minimum(np.searchsorted(self.vocabulary, grams.vocabulary), len(self.vocabulary) - 1)
            group = np.where(self.vocabulary[place] == grams.vocabulary, self.group[place], -1)
        of_each = group[grams.rank]
        known = of_each >= 0
        keys = np.sort(grams.line[known] * width + of_each[known])
        new = np.flatnonzero(_new(keys))
        keys, weight = keys[new], np.diff(np.append(new, len(keys)))
        line, group = keys // width, keys % width
        first = np.searchsorted(line, np.arange(n + 1))
        summed = np.concatenate([[0], np.cumsum(weight)])
        unknown = grams.sizes - (summed[first[1:]] - summed[first[:-1]])
        prefix = grams.sizes - np.ceil(threshold * grams.sizes - _ROUNDING).astype(np.int64) + 1
        inside = summed[:-1] + (unknown - summed[first[:-1]] - prefix)[line] < 0  # the rarest of its n-grams are
        middle = first[:-1] + np.bincount(line[inside], minlength=n)
        cost = np.bincount(line[inside], weights=self.counts[group[inside]], minlength=n).astype(np.int64)
        rest = summed[first[1:]] - summed[middle]
        return _Weighed(line, group, weight, first, middle, rest, grams.sizes, cost)

    def _candidates(self, lines: _Weighed, some: np.ndarray, threshold: float) -> _Pairs:
        """The pairs of some lines that share of the prefix and may reach the threshold."""
        own, entry = _spread(lines.first[some], lines.middle[some] - lines.first[some])
        of_entry, place = _spread(self.starts[lines.group[entry]], self.counts[lines.group[entry]])
        keys = own[of_entry] * self.n + self.lines[place]
        weights = lines.weight[entry][of_entry]
        if len(some) * int(self.n) <= _DENSE * len(keys):
            table = np.bincount(keys, weights=weights, minlength=len(some) * int(self.n))
            keys = np.flatnonzero(table)
            shared = table[keys].astype(np.int64)
        else:
            packed = np.sort(keys << _WEIGHT_BITS | weights)  # of both together: half the time of an argsort
            keys, weights = packed >> _WEIGHT_BITS, packed & ((1 << _WEIGHT_BITS) - 1)
            new = np.flatnonzero(_new(keys))
            keys, shared = keys[new], np.add.reduceat(weights, new)
        line, other = some[keys // self.n], keys % self.n
        most = np.minimum(shared + lines.rest[line], self.sizes[other])
        pairs = _Pairs(line, other, shared, most / (lines.sizes[line] + self.sizes[other] - most))
        return pairs.at(np.flatnonzero(pairs.bound >= threshold))

    def _compare(self, lines: _Weighed, pairs: _Pairs, result: "_Result") -> None:
        """Compare all n-grams of the pairs, and put what is better than before into the result."""
        best, found = result.best, result.found
        lengths = lines.first[pairs.line + 1] - lines.middle[pairs.line]
        for part in parts(lengths + 1, _COMPARED):
            line, other = pairs.line[part], pairs.other[part]
            of_entry, entry = _spread(lines.middle[line], lengths[part])
            wanted = lines.group[entry] * self.n + other[of_entry]
            there = self.keys[np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)] == wanted
            more = np.bincount(of_entry, weights=lines.weight[entry] * there, minlength=len(line))
            shared = pairs.shared[part] + more
            alike = shared / (lines.sizes[line] + self.sizes[other] - shared)
            good = np.flatnonzero(alike >= result.threshold)
            result.hit[other[good]] = True
            order = good[np.lexsort((-other[good], alike[good]))]  # best last: the last assignment stays
            line, other, alike = line[order], other[order], alike[order]
            better = (alike > best[line]) | ((alike == best[line]) & (other < found[line]))
            best[line[better]], found[line[better]] = alike[better], other[better]


def _highest(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where the highest value of each group is, the first of equals; a group's values stand together."""
    if not len(group):
        return np.zeros(0, np.int64)
    begins = np.flatnonzero(_new(group))
    highest = np.repeat(np.maximum.reduceat(values, begins), np.diff(np.append(begins, len(group))))
    at = np.flatnonzero(values == highest)
    return at[_new(group[at])]


def _mixed(values: np.ndarray) -> np.ndarray:
    """The values with every bit spread over all (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _new(*columns: np.ndarray) -> np.ndarray:
    """bool [N]: where a row differs from the one before; the first does."""
    found = np.zeros(len(columns[0]), bool)
    found[:1] = True
    for values in columns:
        found[1:] |= values[1:] != values[:-1]
    return found


def _spread(starts: np.ndarray, counts: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The numbers from each start on, ``counts`` of them, one range after the other: (which range, number)."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - starts, counts)


def parts(weights: np.ndarray, budget: int) -> Iterator[slice]:
    """Consecutive parts that weigh about ``budget``; one that weighs more by itself is a part of its own."""
    group = np.cumsum(weights) // budget
    edges = np.flatnonzero(np.diff(group)) + 1
    for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(group)]):
        if start < stop:
            yield slice(start, stop)
