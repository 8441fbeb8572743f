"""Clusters equal slow loops, and do not break on duplicates, zeros and empty ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill import defaults
from fairseq_distill.mining import clusters as module
from fairseq_distill.mining.clusters import (
    assign,
    cluster_count,
    reach_needed,
    shares_visited,
    train_centroids,
    visit_limits,
    visitors,
)
from fairseq_distill.mining.products import Float32Product
from fairseq_distill.mining.rows import UnitRows, Workers

DIM = 16


@pytest.fixture
def product():
    with Workers(1) as workers:
        yield Float32Product(64, 64, DIM, workers)


def unit_rows(rows, product):
    return UnitRows(rows, "rows", None, product.workers)


def bunches(n, kinds, seed, spread=0.1):
    """Rows around ``kinds`` directions, and which of them."""
    random = np.random.default_rng(seed)
    which = random.integers(0, kinds, n)
    centres = random.standard_normal((kinds, DIM))
    return (centres[which] + spread * random.standard_normal((n, DIM))).astype(np.float32), which


def test_planted_bunches_are_never_mixed(product):
    rows, which = bunches(900, 5, 1)
    found = assign(unit_rows(rows, product), train_centroids(unit_rows(rows, product), 30, 1, product), product)
    assert all(len(set(which[found.labels == cluster])) <= 1 for cluster in range(30))
    assert len(set(found.labels)) > 20


def test_rows_are_with_their_nearest_centroid_and_in_order(product, monkeypatch):
    monkeypatch.setattr(module, "_SCORES", 7 * 32)  # several blocks
    rows, _ = bunches(300, 300, 2)
    found = assign(unit_rows(rows, product), train_centroids(unit_rows(rows, product), 7, 1, product), product)
    assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-6)
    assert_array_equal(found.labels, (rows @ found.centroids.T).argmax(axis=1))
    assert found.starts[0] == 0 and found.starts[-1] == 300
    for cluster in range(7):
        assert_array_equal(
            found.order[found.starts[cluster] : found.starts[cluster + 1]], np.flatnonzero(found.labels == cluster)
        )
    assert_array_equal(found.sizes, np.bincount(found.labels, minlength=7))


def test_rounds_bring_rows_nearer_to_their_centroids(product, monkeypatch):
    rows = unit_rows(bunches(2000, 40, 3, spread=0.5)[0], product)
    unit = np.empty((2000, DIM), np.float32)
    rows.load(0, 2000, unit)
    closeness = []
    for rounds in (0, 1, 4, 8):
        monkeypatch.setattr(defaults, "CLUSTER_ROUNDS", rounds)
        closeness.append((unit @ train_centroids(rows, 40, 1, product).T).max(axis=1).mean())
    assert closeness == sorted(closeness) and closeness[-1] > closeness[0] + 0.02


def test_same_seed_same_centroids(product):
    rows = unit_rows(bunches(500, 20, 4)[0], product)
    first, again, other = (train_centroids(rows, 10, seed, product) for seed in (1, 1, 2))
    assert_array_equal(first, again)
    assert (first != other).any()


def test_copies_and_zero_rows_give_centroids_that_are_numbers(product):
    rows = np.tile(bunches(1, 1, 5)[0], (200, 1))
    rows[7] = 0
    found = assign(unit_rows(rows, product), train_centroids(unit_rows(rows, product), 20, 1, product), product)
    assert np.isfinite(found.centroids).all()
    assert found.starts[-1] == 200
    zeros = np.zeros((50, DIM), np.float32)
    assert np.isfinite(train_centroids(unit_rows(zeros, product), 5, 1, product)).all()


@pytest.mark.parametrize("reach", [0.0, 0.2, np.inf])
def test_visits_equal_a_loop(reach, product, monkeypatch):
    monkeypatch.setattr(module, "_SCORES", 9 * 32)
    rows, _ = bunches(130, 130, 6)
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    clusters = assign(unit_rows(rows, product), train_centroids(unit_rows(rows, product), 9, 1, product), product)
    limits = visit_limits(unit, 130, clusters.centroids, reach, product)
    visits = [np.flatnonzero(row) for row in visitors(unit, limits, clusters.centroids, product)]
    scores = unit @ clusters.centroids.T
    compared = 0
    for cluster in range(9):
        wanted = [i for i in range(130) if scores[i].max() - scores[i, cluster] <= np.float32(reach + 1e-6)]
        assert visits[cluster].tolist() == wanted
        compared += len(wanted) * clusters.sizes[cluster]
    shares = shares_visited(unit_rows(rows, product), clusters, np.array([-1.0, reach]), product)
    assert shares.tolist() == pytest.approx([0, compared / 130**2])
    assert (reach != np.inf) == (compared < 130**2)


def test_a_row_that_reaches_as_far_as_needed_visits_the_cluster(product):
    rows, _ = bunches(64, 64, 7)
    unit = unit_rows(rows, product)
    held = product.empty(64)
    product.fill(held, unit, 0, 64)
    centroids = train_centroids(unit, 8, 1, product)
    wanted = np.random.default_rng(1).integers(0, 8, 64)
    needed = reach_needed(unit, centroids, wanted, product)
    assert needed.min() >= 0 and needed.max() > 0.1
    for row in np.flatnonzero(needed > 0):
        enough, too_little = (
            visitors(held, visit_limits(held, 64, centroids, reach, product), centroids, product)
            for reach in (needed[row] + 1e-6, needed[row] - 1e-5)
        )
        assert enough[wanted[row], row] and not too_little[wanted[row], row]


def test_cluster_count_grows_with_the_root():
    assert [cluster_count(m) for m in (1, 7, 20, 400, 1_000_000)] == [1, 1, 2, 40, 2000]
