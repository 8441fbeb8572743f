"""Means and intervals equal a loop over sentences; pairing narrows; verdicts follow from intervals."""

import itertools
import tracemalloc

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation import paired
from fairseq_distill.evaluation.paired import Estimate, common, compare, estimate, randomisation_p_value, verdict
from tests.reference.bootstrap import interval, mean_xsim

SETS = {"horn": {"a": 80, "b": 30}, "uganda": {"c": 50}}


def cells(seed, share, seeds=(1, 2, 3), sets=SETS):
    rng = np.random.default_rng(seed)
    return {
        group: {each: {name: rng.random(n) < share for name, n in sizes.items()} for each in seeds}
        for group, sizes in sets.items()
    }


def as_lists(found):
    return {
        group: {seed: {name: bits.tolist() for name, bits in cell.items()} for seed, cell in of_seed.items()}
        for group, of_seed in found.items()
    }


def test_a_mean_and_its_interval_equal_the_slow_reference():
    first = cells(1, 0.4)
    found = estimate(first, {}, samples=40_000)
    low, high = interval(as_lists(first), None, 4000, 1)
    assert found.mean == pytest.approx(mean_xsim(as_lists(first)))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.6)
    assert found.low < found.mean < found.high


def test_a_difference_and_its_interval_equal_the_slow_reference():
    first, second = cells(1, 0.4), cells(2, 0.5, seeds=(2, 3, 4))
    found = estimate(first, second, samples=40_000)
    low, high = interval(as_lists(first), as_lists(second), 4000, 1)
    assert found.mean == pytest.approx(mean_xsim(as_lists(first), other=as_lists(second)))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.6)


def test_groups_weigh_alike_however_large_they_are():
    large, small = np.zeros(1000, bool), np.ones(10, bool)
    assert estimate({"a": {1: {"x": large}}, "b": {1: {"y": small}}}, {}).mean == 50
    assert estimate({"a": {1: {"x": large, "y": small}}}, {}).mean == 50


def test_nothing_differs_from_itself_and_the_sign_turns_with_the_order():
    first, second = cells(1, 0.4), cells(2, 0.6)
    assert estimate(first, first) == Estimate(0, 0, 0)
    there, back = estimate(first, second), estimate(second, first)
    assert there.mean == pytest.approx(-back.mean) and there.mean < 0
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_pairing_narrows_the_interval():
    """Students that err on the same sentences but for a few: their difference is known better than either rate."""
    first = cells(1, 0.5, seeds=(1,))
    second = {
        group: {1: {name: bits & (np.arange(len(bits)) > 2) for name, bits in cell[1].items()}}
        for group, cell in first.items()
    }
    alone, difference = estimate(first, {}), estimate(second, first)
    assert difference.high - difference.low < (alone.high - alone.low) / 2
    assert difference.mean < 0


def test_seeds_are_drawn():
    """Two seeds far apart: with sentences alone the interval could not reach either."""
    wrong = {"a": {1: {"x": np.zeros(500, bool)}, 2: {"x": np.ones(500, bool)}}}
    assert estimate(wrong, {}).low == 0 and estimate(wrong, {}).high == 100


def test_memory_does_not_grow_with_draws_times_sentences():
    """A thousand draws of each of 300,000 sentences would be 2.4 GB."""
    first, second = (cells(seed, 0.4, (1,), {"horn": {"a": 300_000}}) for seed in (1, 2))
    tracemalloc.start()
    found = estimate(first, second)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    # The standard error of a difference of independent outcomes, 1.96 of them either side.
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 100 * np.sqrt(2 * 0.4 * 0.6 / 300_000), rel=0.15)


def test_many_seeds_are_drawn_in_parts(monkeypatch):
    """Nearly every sentence has outcomes of its own then; parts of the draws are the same draws."""
    first = cells(1, 0.4, seeds=range(9))
    whole = estimate(first, {})
    monkeypatch.setattr(paired, "_BLOCK", 7 * 80)
    assert estimate(first, {}) == pytest.approx(whole)


def test_what_both_have():
    first, second = cells(1, 0.4), cells(2, 0.4, seeds=(3, 4))
    del second["uganda"]
    assert common(first, second) == {"horn": [3]}
    only = estimate(first, second)
    expected = 100 * np.mean([first["horn"][3][name].mean() - second["horn"][3][name].mean() for name in ("a", "b")])
    assert only.mean == pytest.approx(expected)
    with pytest.raises(ValueError, match="no run"):
        estimate(first, cells(1, 0.4, seeds=(9,)))


def test_other_sentences_are_refused():
    with pytest.raises(ValueError, match="same sentences of"):
        estimate(cells(1, 0.4), cells(1, 0.4, sets={**SETS, "uganda": {"c": 51}}))
    with pytest.raises(ValueError, match="same sentences of"):
        estimate(cells(1, 0.4), cells(1, 0.4, sets={**SETS, "uganda": {"c": 50, "d": 4}}))


def test_verdicts():
    assert verdict(Estimate(-3, -5, -1)) == "better"
    assert verdict(Estimate(3, 1, 5)) == "worse"
    assert verdict(Estimate(-1, -3, 0)) == verdict(Estimate(1, 0, 3)) == "no difference"


def swaps(mended, broken):
    """The p-value by all ways to swap the outcomes of the sentences on which the two differ."""
    observed = abs(mended - broken)
    signs = list(itertools.product((-1, 1), repeat=mended + broken))
    return sum(abs(sum(way)) >= observed for way in signs) / len(signs)


@pytest.mark.parametrize("mended, broken", [(0, 0), (1, 0), (3, 3), (8, 2), (2, 9), (0, 12), (5, 4)])
def test_the_p_value_equals_that_of_all_swaps(mended, broken):
    assert randomisation_p_value(mended, broken) == pytest.approx(swaps(mended, broken))


def test_the_p_value_of_many_sentences():
    assert randomisation_p_value(5000, 5000) == 1
    assert 0 < randomisation_p_value(1000, 400) < 1e-50
    # two standard deviations of 10,000 throws
    assert randomisation_p_value(5100, 4900) == pytest.approx(0.0466, abs=0.001)


def test_two_encoders_compared():
    wrong, baseline = np.arange(200) < 20, np.arange(200) % 4 == 0
    found = compare(wrong, baseline)
    assert (found.mended, found.broken) == (45, 15) and found.difference == pytest.approx(-15)
    assert found.low < -15 < found.high < 0 and found.p_value == pytest.approx(randomisation_p_value(45, 15))
    back = compare(baseline, wrong)
    assert (back.difference, back.low, back.high) == pytest.approx((15, -found.high, -found.low))
    assert compare(wrong, wrong) == (0, 0, 0, 1, 0, 0)
    with pytest.raises(DataError, match="200 sentences .* 199 for the baseline"):
        compare(wrong, baseline[1:])
