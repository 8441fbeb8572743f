"""Masks: exactly the announced number, never a special symbol, 80/10/10, and a function of the generator alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fairseq_distill.data.masking import MaskPolicy, mask_tokens, masked_counts

EOS, PAD, MASK, FIRST = 2, 1, 1000, 4


def batch(lengths, seed=0):
    rng = np.random.default_rng(seed)
    tokens = np.full((len(lengths), max(lengths)), PAD, dtype=np.int64)
    for row, length in enumerate(lengths):
        tokens[row, : length - 1] = rng.integers(FIRST, MASK, length - 1)
        tokens[row, length - 1] = EOS
    return tokens, np.array(lengths, dtype=np.int64)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.floats(0.05, 0.9))
def test_masks_equal_their_announced_number_and_spare_specials(lengths, probability):
    tokens, sizes = batch(lengths)
    before = tokens.copy()
    masked, positions, targets = mask_tokens(
        tokens, sizes, MaskPolicy(probability), MASK, FIRST, np.random.default_rng(1)
    )
    assert_array_equal(tokens, before)
    assert_array_equal(targets, tokens.reshape(-1)[positions])
    assert (targets >= FIRST).all() and (np.diff(positions) > 0).all()
    rows = np.bincount(positions // tokens.shape[1], minlength=len(lengths))
    assert_array_equal(rows, masked_counts(sizes, probability))
    assert_array_equal(rows, [0 if n == 1 else min(n - 1, max(1, round((n - 1) * probability))) for n in lengths])
    untouched = np.ones(tokens.size, dtype=bool)
    untouched[positions] = False
    assert_array_equal(masked.reshape(-1)[untouched], tokens.reshape(-1)[untouched])


def test_eighty_ten_ten():
    tokens, sizes = batch([400] * 200)
    masked, positions, targets = mask_tokens(tokens, sizes, MaskPolicy(), MASK, FIRST, np.random.default_rng(3))
    now = masked.reshape(-1)[positions]
    assert abs((now == MASK).mean() - 0.8) < 0.01
    assert abs((now == targets).mean() - 0.1) < 0.01  # a random piece is the old one once in a thousand
    assert ((now >= FIRST) & (now <= MASK)).all()


def test_masks_are_uniform_over_positions():
    tokens, sizes = batch([11] * 5000)
    _, positions, _ = mask_tokens(tokens, sizes, MaskPolicy(0.2), MASK, FIRST, np.random.default_rng(4))
    share = np.bincount(positions % 11, minlength=11)[:10] / 5000
    assert abs(share - 0.2).max() < 0.025


def test_masks_follow_the_generator():
    tokens, sizes = batch([30] * 20)
    runs = [mask_tokens(tokens, sizes, MaskPolicy(), MASK, FIRST, np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("shares", [(0.0, 0.1, 0.1), (1.0, 0.1, 0.1), (0.15, 0.6, 0.6), (0.15, -0.1, 0.1)])
def test_impossible_policies_are_refused(shares):
    with pytest.raises(ValueError, match="mask policy"):
        MaskPolicy(*shares)
