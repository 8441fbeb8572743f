"""Margin scores equal the formulas, also where a neighbourhood is worth nothing."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill import defaults
from fairseq_distill.mining.knn import Neighbours, knn_both
from fairseq_distill.mining.margin import MARGINS, best_candidates, margin_scores, neighbourhood_means
from tests.reference import mining as reference


def vectors(n, dim, seed):
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("n, k", [(1, 1), (7, 4), (50, 16)])
def test_scores_equal_double_loop(n, k, margin):
    random = np.random.default_rng(n)
    cosines = random.uniform(-1, 1, (n, k)).astype(np.float32)
    src_mean, tgt_mean = random.uniform(0.1, 1, n).astype(np.float32), random.uniform(0.1, 1, (n, k)).astype(np.float32)
    slow = [
        [reference.margin_score(cosines[i, j], src_mean[i], tgt_mean[i, j], margin) for j in range(k)] for i in range(n)
    ]
    scores = margin_scores(cosines, src_mean, tgt_mean, margin)
    assert scores.dtype == np.float32
    assert_allclose(scores, slow, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("n, m, k", [(1, 1, 4), (20, 13, 4), (40, 60, 16)])
def test_best_candidates_equal_double_loop(n, m, k, margin):
    src, tgt = vectors(n, 5, 1), vectors(m, 5, 2)
    forward, backward = knn_both(src, tgt, k)
    scores, found = best_candidates(forward, neighbourhood_means(forward), neighbourhood_means(backward), margin)
    slow = reference.best(src, tgt, k, margin)
    assert_array_equal(found, [j for _, j in slow])
    assert_allclose(scores, [score for score, _ in slow], rtol=1e-5, atol=1e-6)


def test_a_mean_near_zero_or_below_does_not_explode_or_turn_signs():
    cosines = np.float32([[0.5, -0.5]] * 4)
    around = np.float32([1e-9, -1e-9, 0, -0.7])
    scores = margin_scores(cosines, around, np.repeat(around[:, None], 2, axis=1), "ratio")
    assert_allclose(scores, np.tile([0.5, -0.5], (4, 1)) / defaults.RATIO_FLOOR, rtol=1e-6)


def test_the_floor_changes_nothing_above_it():
    around = np.float32([defaults.RATIO_FLOOR])
    assert margin_scores(np.float32([[0.3]]), around, around[:, None], "ratio") == np.float32(0.3) / around


def test_equal_scores_go_to_the_nearer_candidate():
    forward = Neighbours(np.float32([[0.5, 0.4]]), np.array([[7, 2]]))
    means = np.zeros(8, np.float32)
    means[7], means[2] = 0.3, 0.1  # 0.5 - (0.1 + 0.3) / 2 = 0.4 - (0.1 + 0.1) / 2
    scores, found = best_candidates(forward, np.float32([0.1]), means, "distance")
    assert found == 7 and scores == pytest.approx(0.3)


def test_what_does_not_fit_is_refused():
    cosines, mean = np.zeros((3, 2), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="cosine"):
        margin_scores(cosines, mean, cosines, "cosine")
    with pytest.raises(ValueError, match="do not fit"):
        margin_scores(cosines, mean[:2], cosines, "ratio")
    with pytest.raises(ValueError, match="do not fit"):
        margin_scores(cosines, mean, cosines[:, :1], "ratio")
