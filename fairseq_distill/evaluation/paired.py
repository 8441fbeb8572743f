"""Two encoders on the same sentences: paired bootstrap intervals over sentences and seeds, and a randomisation test.

What :func:`estimate` averages: the percentage of wrong sentences of each development set, then the sets of a group, then seeds, then
groups, each weighing the same. What is drawn with replacement, 1,000 times: the seeds of each group, and the sentences of
each development set; both students of a difference get the same draws, as they were judged on the same sentences and
started from the same seeds. Groups are not drawn: the interval speaks of these languages.
"""

from typing import Dict, List, NamedTuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import DataError

_BLOCK = 1 << 20  # counts drawn at a time

Cell = Dict[str, np.ndarray]  # development set -> bool [N], whether a sentence was wrong
Cells = Dict[str, Dict[int, Cell]]  # group -> seed -> what one variant got wrong


class Estimate(NamedTuple):
    """A mean in percentage points, with the interval in which it lies in 95% of the resamplings."""

    mean: float
    low: float
    high: float


def common(first: Cells, second: Cells) -> Dict[str, List[int]]:
    """Group -> the seeds that both have; groups without one are left out."""
    found = {group: sorted(set(first[group]) & set(second[group])) for group in first if group in second}
    return {group: seeds for group, seeds in found.items() if seeds}


def estimate(first: Cells, second: Cells, samples: int = defaults.BOOTSTRAP_SAMPLES, seed: int = 1) -> Estimate:
    """Mean xsim of ``first`` minus that of ``second``, over what both have; ``second`` may be empty: the mean of ``first``.

    Raises:
        ValueError: nothing is in both, or they were judged on different sentences.
    """
    seeds = common(first, second) if second else {group: sorted(cells) for group, cells in first.items() if cells}
    if not seeds:
        raise ValueError("no run of the one has a partner of the other")
    rng = np.random.default_rng(seed)
    means, draws = [], []
    for group in sorted(seeds):
        sets = sorted(first[group][seeds[group][0]])
        weights = rng.multinomial(
            len(seeds[group]), np.full(len(seeds[group]), 1 / len(seeds[group])), samples
        )  # [R, S]
        total, drawn = 0.0, np.zeros(samples)
        for name in sets:
            wrong = np.stack([_difference(first, second, group, each, name) for each in seeds[group]])  # [S, N]
            rates = _resampled_rates(wrong, samples, rng)  # [R, S]
            drawn += (rates * weights).sum(axis=1) / len(seeds[group])
            total += float(wrong.mean())
        means.append(100 * total / len(sets))
        draws.append(100 * drawn / len(sets))
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    return Estimate(float(np.mean(means)), float(low), float(high))


def _resampled_rates(wrong: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """float64 [R, S]: mean of each row of ``wrong`` [S, N] when its N sentences are drawn with replacement, R times.

    Sentences with the same outcome for every seed are one kind, and how often a kind is drawn is multinomial too: so memory
    grows with the kinds, three for one seed, and not with draws times sentences.
    """
    kind = np.zeros(wrong.shape[1], np.int64)
    for row in wrong:
        kind = np.unique(kind * 3 + row + 1, return_inverse=True)[1]
    _, place, count = np.unique(kind, return_index=True, return_counts=True)
    order = np.argsort(place)  # kinds as they come up, so that both signs of a difference get the same draws
    outcomes, share = wrong[:, place[order]].astype(np.float64), count[order] / wrong.shape[1]
    step = max(1, _BLOCK // len(share))
    sizes = [min(step, samples - start) for start in range(0, samples, step)]
    drawn = [rng.multinomial(wrong.shape[1], share, size) @ outcomes.T for size in sizes]
    return np.concatenate(drawn) / wrong.shape[1]


def _difference(first: Cells, second: Cells, group: str, seed: int, name: str) -> np.ndarray:
    """int8 [N]: wrong in the first minus wrong in the second."""
    wrong = first[group][seed][name].astype(np.int8)
    if not second:
        return wrong
    other = second[group][seed]
    if name not in other or len(other[name]) != len(wrong) or set(other) != set(first[group][seed]):
        raise ValueError(f"{group}, seed {seed}: the two were not judged on the same sentences of {name}")
    return wrong - other[name].astype(np.int8)


def verdict(difference: Estimate) -> str:
    """``better``, ``worse`` or ``no difference`` at 95%; lower xsim is better."""
    if difference.high < 0:
        return "better"
    return "worse" if difference.low > 0 else "no difference"


class Comparison(NamedTuple):
    """An encoder beside a baseline on the same sentences.

    Attributes:
        difference: of the error rates in percentage points, encoder minus baseline; below 0 the encoder is better.
        low, high: the interval of the difference, 95% of the paired resamplings.
        p_value: two-sided, see :func:`randomisation_p_value`.
        mended: sentences that the baseline alone gets wrong.
        broken: sentences that the encoder alone gets wrong.
    """

    difference: float
    low: float
    high: float
    p_value: float
    mended: int
    broken: int


def compare(
    wrong: np.ndarray, baseline: np.ndarray, samples: int = defaults.BOOTSTRAP_SAMPLES, seed: int = 1
) -> Comparison:
    """The difference of two error rates on the same sentences, with its interval and its p-value.

    Args:
        wrong, baseline: bool [N], which sentences each gets wrong.

    Raises:
        DataError: no sentences, or other numbers of them.
    """
    if len(wrong) != len(baseline) or not len(wrong):
        raise DataError(
            f"{len(wrong):,} sentences were judged for the encoder but {len(baseline):,} for the baseline; "
            "a paired test needs the same sentences for both."
        )
    found = estimate({"": {0: {"": wrong}}}, {"": {0: {"": baseline}}}, samples, seed)
    mended, broken = int((baseline & ~wrong).sum()), int((wrong & ~baseline).sum())
    return Comparison(*found, randomisation_p_value(mended, broken), mended, broken)


def randomisation_p_value(mended: int, broken: int) -> float:
    """How often a difference as large as this one comes up when each sentence's two outcomes are swapped by a coin.

    Approximate randomisation draws such swaps. Where an outcome is right or wrong, only the sentences that one of the two
    gets wrong matter, and their sum follows the binomial distribution: this is the p-value of infinitely many draws.

    Returns:
        in (0, 1], two-sided; 1 where nothing differs.
    Source: Noreen (1989), Computer-Intensive Methods for Testing Hypotheses; McNemar's test in its exact form.
    """
    swapped, fewer = mended + broken, min(mended, broken)
    steps = np.arange(1, fewer + 1, dtype=np.float64)
    log_ways = np.concatenate([[0.0], np.cumsum(np.log(swapped - steps + 1) - np.log(steps))]) - swapped * np.log(2)
    return float(min(1.0, 2 * np.exp(log_ways).sum()))
