"""Fewer dimensions are used where they lose next to nothing, and never believed: what is found is measured in all of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill.mining import approximate, reduction
from fairseq_distill.mining.approximate import knn_both_approximate
from fairseq_distill.mining.codes import Float32Code
from fairseq_distill.mining.knn import knn, knn_both, search_rows
from fairseq_distill.mining.recall import Sample
from fairseq_distill.mining.reduction import LooseCandidates, leading_axes, project, reduce_sides
from fairseq_distill.mining.rows import UnitRows, Workers

DIM = 300


@pytest.fixture
def workers():
    with Workers(1) as some:
        yield some


def falling(n, seed, decay=1.0, centres=None):
    """Rows whose components fall off, as those of sentence embeddings do, turned at random; around ``centres`` if given."""
    random = np.random.default_rng(seed)
    scale = (1 + np.arange(DIM)) ** -decay
    rows = random.standard_normal((n, DIM)) * scale
    if centres is not None:
        rows = 0.7 * rows + centres[random.integers(0, len(centres), n)]
    turn = np.linalg.qr(np.random.default_rng(99).standard_normal((DIM, DIM)))[0]
    return (rows @ turn).astype(np.float32)


def partners(n, m, seed):
    """Two sides; half of the smaller one has a partner."""
    centres = np.random.default_rng(seed).standard_normal((30, DIM)) * (1 + np.arange(DIM)) ** -1.0
    src, tgt = falling(n, seed + 1, centres=centres), falling(m, seed + 2, centres=centres)
    half = min(n, m) // 2
    tgt[:half] = src[:half] + 0.4 * falling(half, seed + 3)
    return src, tgt


def unit_rows(rows, workers):
    return UnitRows(rows, "rows", None, workers)


def sampled(src, tgt, k, size=200):
    ids = np.arange(size)
    return Sample(ids, knn(src[:size], tgt, k, precision="float32")), Sample(
        ids, knn(tgt[:size], src, k, precision="float32")
    )


def test_axes_are_orthonormal_and_the_largest_come_first(workers):
    sides = unit_rows(falling(900, 1), workers), unit_rows(falling(700, 2), workers)
    axes = leading_axes(sides)
    assert_allclose(axes.T @ axes, np.eye(DIM), atol=1e-5)
    unit = np.empty((900, DIM), np.float32)
    sides[0].load(0, 900, unit)
    spread = ((unit @ axes) ** 2).mean(axis=0)
    assert spread[:20].min() > spread[50:].max() and spread[:128].sum() > 0.98


@pytest.mark.parametrize("max_memory", [1 << 30, 1000])
def test_rows_in_few_dimensions_keep_their_products_in_memory_and_in_a_file(max_memory, workers):
    flat = falling(400, 3)
    flat = (flat @ np.linalg.svd(flat)[2][:40].T) @ np.linalg.svd(flat)[2][:40]  # of rank 40
    rows = unit_rows(flat, workers)
    low = project(rows, leading_axes((rows, rows))[:, :64], max_memory, workers)
    assert low.dim == 64 and isinstance(low._rows.base, np.memmap) == (max_memory == 1000)
    unit, small = np.empty((400, DIM), np.float32), np.empty((400, 64), np.float32)
    rows.load(0, 400, unit)
    low.load(0, 400, small)
    assert_allclose(small @ small.T, unit @ unit.T, atol=1e-3)


def test_the_least_width_that_keeps_the_neighbours_is_taken(monkeypatch, workers):
    src, tgt = partners(1000, 1200, 4)
    sides, samples = (unit_rows(src, workers), unit_rows(tgt, workers)), sampled(src, tgt, 4)
    monkeypatch.setattr(reduction, "WIDTHS", (2, 100, 150))
    found = reduce_sides(sides, samples, 4, 0.95, 1 << 28, workers)
    assert [side.dim for side in found.sides] == [100, 100] and found.lost <= 0.01 and found.slack >= 0


def test_directions_that_all_count_are_all_kept(workers):
    random = np.random.default_rng(5)
    src, tgt = (random.standard_normal((900, DIM)).astype(np.float32) for _ in range(2))
    sides = unit_rows(src, workers), unit_rows(tgt, workers)
    assert reduce_sides(sides, sampled(src, tgt, 4), 4, 0.95, 1 << 28, workers) is None
    narrow = tuple(unit_rows(rows[:, :255].copy(), workers) for rows in (src, tgt))
    assert reduce_sides(narrow, sampled(src, tgt, 4), 4, 0.95, 1 << 28, workers) is None


def test_what_is_lost_is_what_a_loop_counts(monkeypatch, workers):
    """With a slack of the sample's own, and a budget that a coarse projection does not keep."""
    src, tgt = partners(500, 600, 6)
    sides, samples = (unit_rows(src, workers), unit_rows(tgt, workers)), sampled(src, tgt, 3)
    axes = leading_axes(sides)[:, :6]
    low = tuple(project(side, axes, 1 << 28, workers) for side in sides)
    slack, lost = reduction._cost(low, samples, 3, 0.1, 1 << 28, workers)
    shares = []
    for own, other, sample in zip(low, low[::-1], samples):
        left, right = (np.asarray(rows._rows, np.float32) for rows in (own, other))
        missed = 0
        for row, nearest in zip(sample.ids, sample.exact.indices[:, 0]):
            products = left[row] @ right.T
            best = np.sort(products)[::-1]
            capacity = reduction.capacity_for(3)
            missed += not (
                products[nearest] >= best[2] - slack - 1e-6 and products[nearest] >= best[capacity - 1] - 1e-6
            )
        shares.append(missed / len(sample.ids))
    assert lost == pytest.approx(max(shares), abs=0.006) and lost > 0


def test_a_width_that_is_clearly_too_small_is_tried_with_a_part_of_the_sample(monkeypatch, workers):
    src, tgt = partners(1000, 1200, 4)
    sides, samples = (unit_rows(src, workers), unit_rows(tgt, workers)), sampled(src, tgt, 4)
    searched = []

    def search(own, *rest):
        searched.append((own.n, own.dim))
        return search_rows(own, *rest)

    monkeypatch.setattr(reduction, "WIDTHS", (2, 150))
    monkeypatch.setattr(reduction, "search_rows", search)
    assert reduce_sides(sides, samples, 4, 0.95, 1 << 28, workers).sides[0].dim == 150
    assert searched == [(50, 2), (50, 2), (50, 150), (50, 150), (150, 150), (150, 150)]


def test_a_sample_of_one_row_is_enough(workers):
    src, tgt = partners(40, 30, 4)
    sides = unit_rows(src, workers), unit_rows(tgt, workers)
    assert reduce_sides(sides, sampled(src, tgt, 4, 1), 4, 0.95, 1 << 28, workers) is not None


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("max_memory", [1 << 28, 2_000_000])
def test_recall_is_kept_and_cosines_are_those_of_all_dimensions(precision, max_memory):
    pytest.importorskip("torch")
    src, tgt = partners(2500, 3000, 7)
    exact = knn_both(src, tgt, 4, precision="float32")
    *found, report = knn_both_approximate(src, tgt, 4, recall=0.9, precision=precision, max_memory=max_memory)
    assert report.dimensions == 128 and report.recall.least >= 0.9 and report.visited < 0.6
    for side, right in zip(found, exact):
        assert (side.indices[:, 0] == right.indices[:, 0]).mean() >= 0.88
        where = side.indices == right.indices
        assert_array_equal(side.cosines[where], right.cosines[where])
        assert (side.cosines <= right.cosines).all() and (np.diff(side.cosines, axis=1) <= 0).all()


def test_threads_change_nothing(monkeypatch):
    src, tgt = partners(1500, 1300, 8)
    runs = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        runs.append(knn_both_approximate(src, tgt, 4, recall=0.9, precision="int8"))
    for one, other in zip(runs[0][:2], runs[1][:2]):
        assert (one.indices == other.indices).mean() > 0.99  # a full row's candidates depend on the order of blocks
        assert_array_equal(one.cosines[:, 0], other.cosines[:, 0])


def test_the_slack_is_needed(monkeypatch):
    """Without it, and with room for k alone, nearest neighbours are lost: the tests above can fail."""
    src, tgt = partners(2000, 2000, 9)
    monkeypatch.setattr(reduction, "WIDTHS", (8,))
    monkeypatch.setattr(reduction, "_cost", lambda *_: (0.0, 0.0))
    monkeypatch.setattr(approximate, "capacity_for", lambda k: k)
    *_, report = knn_both_approximate(src, tgt, 4, recall=0.95, precision="float32")
    assert report.recall.least < 0.9


def test_all_within_the_slack_are_measured_and_nothing_is_promised():
    found = LooseCandidates(1, 2, 5, Float32Code(), 0.25)
    values = np.array([[-np.inf, 0.1, 0.5, 0.7, 0.9]], np.float32)
    assert np.isinf(found.ceiling(values, 0, 1)).tolist() == [[True] * 5]
    assert (found.ceiling(values, 0, 1) > 0).tolist() == [[False, False, True, True, True]]
    assert found.settled(0, 1).complete.all()
