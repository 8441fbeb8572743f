"""The four retrievals equal the slow walk, with ties and in long chains; swapping the sides swaps the pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fairseq_distill.mining import matching
from fairseq_distill.mining.matching import RETRIEVALS, ScoredPairs, greedy_matching, retrieve
from tests.reference.mining import greedy


def as_list(pairs):
    return list(zip(pairs.scores.tolist(), pairs.src.tolist(), pairs.tgt.tolist()))


@st.composite
def scored_pairs(draw):
    """Pairs of few sentences with few different scores, some of them listed twice."""
    n = draw(st.integers(0, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sides = [random.integers(0, draw(st.integers(1, 30)), n) * 3 for _ in range(2)]
    levels = draw(st.integers(1, 50))
    scores = (random.integers(0, levels, n) / 8).astype(np.float32)
    return ScoredPairs(scores, *sides)


@settings(max_examples=200, deadline=None)
@given(pairs=scored_pairs(), rounds=st.sampled_from([0, 1, 2, 64]))
def test_greedy_matching_equals_the_walk(pairs, rounds):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_ROUNDS", rounds)
        assert as_list(greedy_matching(pairs)) == greedy(as_list(pairs))


def test_chain_in_which_every_pair_waits_for_the_one_before():
    """(0, 0), (1, 0), (1, 1), (2, 1), ...: one round takes one pair, so that the walk must finish the work."""
    n = 500
    src, tgt = (np.arange(2 * n) + 1) // 2, np.arange(2 * n) // 2
    pairs = ScoredPairs(np.linspace(2, 1, 2 * n).astype(np.float32), src, tgt)
    kept = greedy_matching(pairs)
    assert as_list(kept) == greedy(as_list(pairs))
    assert_array_equal(kept.src, np.arange(n))


def directions(n, m, seed):
    random = np.random.default_rng(seed)
    forward = ScoredPairs((random.integers(0, 20, n) / 8).astype(np.float32), np.arange(n), random.integers(0, m, n))
    backward = ScoredPairs((random.integers(0, 20, m) / 8).astype(np.float32), random.integers(0, n, m), np.arange(m))
    return forward, backward


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("threshold", [-np.inf, 1.0, 99.0])
def test_all_retrievals_equal_the_slow_ones_and_keep_the_threshold(retrieval, threshold):
    forward, backward = directions(40, 30, 1)
    target_of, source_of = dict(zip(forward.src, forward.tgt)), dict(zip(backward.tgt, backward.src))
    slow = {
        "fwd": as_list(forward),
        "bwd": as_list(backward),
        "intersect": [(score, i, j) for score, i, j in as_list(forward) if source_of[target_of[i]] == i],
        "max": greedy(as_list(forward) + as_list(backward)),
    }[retrieval]
    slow = sorted((pair for pair in slow if pair[0] > threshold), key=lambda pair: (-pair[0], pair[1:]))
    assert as_list(retrieve(retrieval, forward, backward, threshold)) == slow


@pytest.mark.parametrize("retrieval, mirrored", [("fwd", "bwd"), ("bwd", "fwd"), ("intersect", "intersect")])
def test_swapping_the_sides_swaps_the_pairs(retrieval, mirrored):
    forward, backward = directions(40, 30, 2)
    if retrieval == "intersect":  # a pair has one score, wherever it is seen from
        forward, backward = (
            ScoredPairs(np.float32((side.src * 31 + side.tgt) % 17), side.src, side.tgt) for side in (forward, backward)
        )
    turned = [ScoredPairs(side.scores, side.tgt, side.src) for side in (backward, forward)]
    pairs, swapped = retrieve(retrieval, forward, backward), retrieve(mirrored, *turned)
    assert sorted(as_list(pairs)) == sorted((score, i, j) for score, j, i in as_list(swapped))


def test_max_uses_no_sentence_twice():
    pairs = retrieve("max", *directions(200, 150, 3))
    assert len(set(pairs.src.tolist())) == len(set(pairs.tgt.tolist())) == len(pairs) > 50
    assert (np.diff(pairs.scores) <= 0).all()


def test_unknown_retrieval_is_refused():
    with pytest.raises(ValueError, match="union"):
        retrieve("union", *directions(3, 3, 1))
