"""How often each corpus is drawn: temperature up-sampling, and the draws of one epoch."""

from typing import List, Sequence, Tuple, Union

import numpy as np


def temperature_weights(sizes: Union[Sequence[int], np.ndarray], temperature: float) -> np.ndarray:
    """Shares proportional to size^(1 / temperature): 1 keeps the sizes' own shares, infinity makes all equal.

    Args:
        sizes: number of sentences of each language or corpus, >= 0; what is empty gets no share.
        temperature: >= 1.

    Returns:
        float64 [len(sizes)], adding up to 1.

    Raises:
        ValueError: temperature below 1, or nothing to draw from.

    Source: the usual exponent, e.g. Conneau et al. (2020), XLM-R, with alpha = 1 / temperature.
    """
    counts = np.asarray(sizes, dtype=np.float64)
    if temperature < 1:
        raise ValueError(f"temperature {temperature} is below 1")
    if not len(counts) or counts.min() < 0 or counts.sum() == 0:
        raise ValueError(f"sizes {list(sizes)} give nothing to draw from")
    weights = np.where(counts > 0, counts, 1.0) ** (1.0 / temperature) * (counts > 0)
    return weights / weights.sum()


def corpus_weights(sizes: Union[Sequence[int], np.ndarray], languages: Sequence[str], temperature: float) -> np.ndarray:
    """Shares of corpora: temperature over the languages' sizes, the corpora of one language by their own sizes.

    Args:
        sizes: number of sentences of each corpus.
        languages: language of each corpus.
        temperature: >= 1, see :func:`temperature_weights`.

    Returns:
        float64 [corpora], adding up to 1.
    """
    counts = np.asarray(sizes, dtype=np.float64)
    names = sorted(set(languages))
    member = np.array([names.index(language) for language in languages])
    totals = np.bincount(member, weights=counts, minlength=len(names))
    shares = temperature_weights(totals.astype(np.int64), temperature)
    return shares[member] * counts / np.maximum(totals[member], 1)


def draw_epoch(sizes: Sequence[int], weights: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """The sentences of one epoch in random order; each sentence of a corpus comes equally often, give or take one.

    Args:
        sizes: number of sentences of each corpus; corpus c holds the indices from sum(sizes[:c]) on.
        weights: float64 [corpora], shares of the draws.
        total: number of draws.
        rng: the only source of randomness.

    Returns:
        int64 [about total], indices over all corpora.
    """
    firsts, wanted = _firsts_and_counts(sizes, weights, total)
    # In place from here on: at tens of millions of sentences each further array of this length counts.
    drawn = np.empty(sum(wanted), dtype=np.int64)
    end = 0
    for first, size, count in zip(firsts, sizes, wanted):
        if not count:
            continue
        whole, rest = divmod(count, int(size))
        for _ in range(whole):
            drawn[end : end + size] = np.arange(first, first + size)
            end += int(size)
        drawn[end : end + rest] = rng.choice(int(size), rest, replace=False)
        drawn[end : end + rest] += first
        end += rest
    rng.shuffle(drawn)
    return drawn


def draw_span(
    sizes: Sequence[int], weights: np.ndarray, total: int, seed: int, epoch: int, rng: np.random.Generator
) -> np.ndarray:
    """The sentences of one of many epochs that go through large corpora together, without an array of a corpus's length.

    Each corpus is gone through in an order that is a function of the seed and of how often it was gone through before;
    epoch e takes the e-th stretch of it. So each sentence of a corpus comes equally often, give or take one, after any
    number of epochs.

    Args:
        sizes, weights, total: as of :func:`draw_epoch`.
        seed: of the orders.
        epoch: from 1.
        rng: of the order in which the drawn sentences come.

    Returns:
        int64 [about total], indices over all corpora.
    """
    firsts, wanted = _firsts_and_counts(sizes, weights, total)
    drawn = np.empty(sum(wanted), dtype=np.int64)
    end = 0
    for corpus, (first, size, count) in enumerate(zip(firsts, sizes, wanted)):
        place = (epoch - 1) * count
        while place < epoch * count:  # a round through the corpus at a time
            done, at = divmod(place, int(size))
            taken = min(int(size) - at, epoch * count - place)
            for begin in range(at, at + taken, _PORTION):
                places = np.arange(begin, min(begin + _PORTION, at + taken))
                drawn[end : end + len(places)] = scattered(places, int(size), (seed, corpus, done)) + first
                end += len(places)
            place += taken
    rng.shuffle(drawn)
    return drawn


def _firsts_and_counts(sizes: Sequence[int], weights: np.ndarray, total: int) -> Tuple[np.ndarray, List[int]]:
    """The first index of each corpus, and how many of its sentences are drawn."""
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    return firsts, [int(round(total * float(weight))) if size else 0 for size, weight in zip(sizes, weights)]


_ROUNDS = 6
_PORTION = 1 << 16  # numbers that fit into a core's cache: four times as fast as all at once


def scattered(places: np.ndarray, size: int, key: Sequence[int]) -> np.ndarray:
    """A pseudo-random order of the numbers below ``size``, looked up place by place: another number for each place.

    Args:
        places: int64 [N], each in [0, size).
        size: how many numbers there are.
        key: whole numbers >= 0; another key gives another order.

    Returns:
        int64 [N], each in [0, size).

    Source: a Feistel network (Luby and Rackoff 1988) over the least square of a power of two that holds ``size`` numbers;
    what falls outside is sent through again until it is inside (Black and Rogaway 2002, cycle walking).
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = np.random.SeedSequence(list(key)).generate_state(_ROUNDS, np.uint64)
    found = places.astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        left, right = found[outside] >> np.uint64(half), found[outside] & mask
        for each in keys:
            left, right = right, left ^ (_mixed(right + each) & mask)
        found[outside] = (left << np.uint64(half)) | right
        outside = outside[found[outside] >= size]
    return found.astype(np.int64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """uint64 of the same shape: every bit of the result depends on every bit of the value (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
