"""Means and intervals equal a loop over sentences; pairing narrows; verdicts follow from intervals."""

import numpy as np
import pytest
from paired_bootstrap import Estimate, common, estimate, verdict

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
    found = estimate(first, {}, samples=4000)
    low, high = interval(as_lists(first), None, 4000, 1)
    assert found.mean == pytest.approx(mean_xsim(as_lists(first)))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.6)
    assert found.low < found.mean < found.high


def test_a_difference_and_its_interval_equal_the_slow_reference():
    first, second = cells(1, 0.4), cells(2, 0.5, seeds=(2, 3, 4))
    found = estimate(first, second, samples=4000)
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
