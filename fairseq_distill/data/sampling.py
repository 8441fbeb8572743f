"""How often each corpus is drawn: temperature up-sampling, and the draws of one epoch."""

from typing import Sequence, Union

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
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    wanted = [int(round(total * float(weight))) if size else 0 for size, weight in zip(sizes, weights)]
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
