"""Packed sentences: attention and pooling see one sentence at a time, whatever stands beside it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairseq_distill.modules.packed import attend, attend_apart, pack, pool_packed, positions, runs_of_equal_length
from tests.reference.networks import attention_one_sentence

LENGTHS = np.array([5, 5, 3, 1, 1, 1])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_runs_cover_the_sentences(lengths):
    runs = runs_of_equal_length(np.array(sorted(lengths)))
    assert [length for sentences, length in runs for _ in range(sentences)] == sorted(lengths)
    assert len({length for _, length in runs}) == len(runs)


def test_positions_start_anew_in_each_sentence():
    assert positions([(2, 3), (1, 1)]).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_pack_takes_the_chosen_sentences():
    tokens = np.arange(100, 112)  # sentences of 3, 4, 5 tokens
    starts, lengths = np.array([0, 3, 7]), np.array([3, 4, 5])
    order = np.array([2, 0, 1])
    assert pack(tokens, starts[order], lengths[order]).tolist() == [
        *range(107, 112),
        *range(100, 103),
        *range(103, 107),
    ]


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_equals_one_sentence_at_a_time(heads):
    qkv = torch.randn(int(LENGTHS.sum()), 24, generator=torch.Generator().manual_seed(1))
    found = attend(qkv, runs_of_equal_length(LENGTHS), heads).numpy()
    sentences = np.split(qkv.double().numpy(), np.cumsum(LENGTHS)[:-1])
    expected = np.concatenate([attention_one_sentence(sentence, heads) for sentence in sentences])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 0.004)):
        apart = attend_apart(qkv[:, :16], qkv[:, 16:], runs_of_equal_length(LENGTHS), heads, dtype)
        assert apart.dtype == dtype
        np.testing.assert_allclose(apart.float().numpy(), expected, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize(
    "pooling, reference",
    [("mean", lambda rows: rows.mean(axis=0)), ("max", lambda rows: rows.max(axis=0)), ("cls", lambda rows: rows[0])],
)
def test_pooling_equals_one_sentence_at_a_time(pooling, reference):
    hidden = -torch.rand(int(LENGTHS.sum()), 8, generator=torch.Generator().manual_seed(2))  # all negative
    found = pool_packed(hidden, runs_of_equal_length(LENGTHS), pooling).numpy()
    expected = [reference(rows) for rows in np.split(hidden.numpy(), np.cumsum(LENGTHS)[:-1])]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-6)


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'median'"):
        pool_packed(torch.zeros(2, 4), [(2, 1)], "median")
