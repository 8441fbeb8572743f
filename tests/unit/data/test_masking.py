"""Masks: equal to loops, never a special symbol, 80/10/10, whole words, and a function of the generator alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fairseq_distill.data.masking import MaskPolicy, mask_tokens, masked_counts
from tests.reference import masking as reference

BOS, PAD, EOS, UNK, MASK, FIRST = 0, 1, 2, 3, 1000, 4
WORD_START = np.random.default_rng(9).random(MASK + 1) < 0.4
WORD_START[:FIRST] = False


def batch(lengths, seed=0):
    rng = np.random.default_rng(seed)
    tokens = np.full((len(lengths), max(lengths)), PAD, dtype=np.int64)
    for row, length in enumerate(lengths):
        tokens[row, : length - 1] = rng.integers(FIRST, MASK, length - 1)
        tokens[row, length - 1] = EOS
    return tokens, np.array(lengths, dtype=np.int64)


ROWS = st.integers(1, 30).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([BOS, PAD, EOS, UNK, 4, 5, 6, 500, 999]), min_size=width, max_size=width),
        min_size=1,
        max_size=8,
    )
)


@given(ROWS, st.floats(0.05, 0.9), st.integers(0, 99))
def test_pieces_equal_a_loop_and_spare_specials_wherever_they_stand(rows, probability, seed):
    tokens = np.array(rows, dtype=np.int64)
    before = tokens.copy()
    masked, positions, targets = mask_tokens(tokens, MaskPolicy(probability), MASK, FIRST, np.random.default_rng(seed))
    scores = np.random.default_rng(seed).random(tokens.shape)
    expected = [
        row * tokens.shape[1] + position
        for row, line in enumerate(rows)
        for position in reference.pieces_chosen(line, probability, scores[row])
    ]
    assert_array_equal(tokens, before)
    assert positions.tolist() == expected
    assert_array_equal(targets, tokens.reshape(-1)[positions])
    assert not np.isin(targets, (BOS, PAD, EOS)).any()
    maskable = np.isin(tokens, (BOS, PAD, EOS), invert=True).sum(axis=1)
    assert_array_equal(
        np.bincount(positions // tokens.shape[1], minlength=len(rows)), masked_counts(maskable, probability)
    )
    untouched = np.ones(tokens.size, dtype=bool)
    untouched[positions] = False
    assert_array_equal(masked.reshape(-1)[untouched], tokens.reshape(-1)[untouched])


@given(ROWS, st.floats(0.05, 0.9), st.integers(0, 99))
def test_whole_words_equal_a_loop(rows, probability, seed):
    tokens = np.array(rows, dtype=np.int64)
    starts = WORD_START[tokens]
    policy = MaskPolicy(probability, whole_words=True)
    _, positions, targets = mask_tokens(tokens, policy, MASK, FIRST, np.random.default_rng(seed), starts)
    words = [reference.words_of(line, starts[row]) for row, line in enumerate(rows)]
    rng = np.random.default_rng(seed)
    lifts = rng.random(len(rows)) if any(words) else np.zeros(len(rows))
    scores = rng.random(sum(map(len, words)))
    firsts = np.cumsum([0, *map(len, words)])
    expected = [
        row * tokens.shape[1] + position
        for row, line in enumerate(rows)
        for position in reference.words_chosen(line, starts[row], probability, lifts[row], scores[firsts[row] :])
    ]
    assert positions.tolist() == expected
    chosen = set(positions.tolist())
    for row, of_row in enumerate(words):
        for word in of_row:
            inside = {row * tokens.shape[1] + position for position in word}
            assert inside <= chosen or not inside & chosen, "a word is masked in part"
    assert_array_equal(targets, tokens.reshape(-1)[positions])


def test_whole_words_mask_as_many_pieces_and_none_more_often():
    """Long and short words alike: a piece is chosen with the probability that it has without whole words."""
    starts = np.zeros((20_000, 21), dtype=bool)
    starts[:, [0, 1, 9, 11, 12, 18]] = True  # words of 1, 8, 2, 1, 6 and 2 pieces
    tokens = np.tile(batch([21])[0], (20_000, 1))
    for probability in (0.15, 0.5):
        policy = MaskPolicy(probability, whole_words=True)
        _, positions, _ = mask_tokens(tokens, policy, MASK, FIRST, np.random.default_rng(2), starts)
        share = np.bincount(positions % 21, minlength=21)[:20] / len(tokens)
        assert abs(share - probability).max() < 0.015


def test_unspaced_text_is_masked_by_piece():
    """Each piece a word: exactly as many as without the option."""
    tokens, sizes = batch([41] * 3000)
    starts = np.ones_like(tokens, dtype=bool)
    policy = MaskPolicy(0.15, whole_words=True)
    _, positions, _ = mask_tokens(tokens, policy, MASK, FIRST, np.random.default_rng(2), starts)
    assert_array_equal(np.bincount(positions // 41), masked_counts(sizes - 1, 0.15))


@pytest.mark.parametrize("whole_words", [False, True])
def test_eighty_ten_ten(whole_words):
    tokens, _ = batch([400] * 200)
    policy = MaskPolicy(whole_words=whole_words)
    masked, positions, targets = mask_tokens(
        tokens, policy, MASK, FIRST, np.random.default_rng(3), WORD_START[tokens] if whole_words else None
    )
    now = masked.reshape(-1)[positions]
    assert abs((now == MASK).mean() - 0.8) < 0.01
    assert abs((now == targets).mean() - 0.1) < 0.01  # a random piece is the old one once in a thousand
    assert abs(((now != MASK) & (now != targets)).mean() - 0.1) < 0.01
    assert now.min() == FIRST and now.max() == MASK and (now == MASK - 1).any(), "random pieces are all real pieces"
    assert abs(len(positions) / (200 * 399) - 0.15) < 0.005


def test_masks_are_uniform_over_positions():
    tokens, _ = batch([11] * 5000)
    _, positions, _ = mask_tokens(tokens, MaskPolicy(0.2), MASK, FIRST, np.random.default_rng(4))
    share = np.bincount(positions % 11, minlength=11)[:10] / 5000
    assert abs(share - 0.2).max() < 0.025


@pytest.mark.parametrize("whole_words", [False, True])
def test_masks_follow_the_generator(whole_words):
    tokens, _ = batch([30] * 20)
    policy = MaskPolicy(whole_words=whole_words)
    starts = WORD_START[tokens]
    runs = [mask_tokens(tokens, policy, MASK, FIRST, np.random.default_rng(seed), starts)[0] for seed in (1, 1, 2)]
    assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("shares", [(0.0, 0.1, 0.1), (1.0, 0.1, 0.1), (0.15, 0.6, 0.6), (0.15, -0.1, 0.1)])
def test_impossible_policies_are_refused(shares):
    with pytest.raises(ValueError, match="mask policy"):
        MaskPolicy(*shares)
