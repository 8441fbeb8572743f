"""The approximate search equals the exact one when it compares all, keeps its recall, and tells the truth about it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.mining import approximate as module
from fairseq_distill.mining import visits
from fairseq_distill.mining.approximate import knn_both_approximate
from fairseq_distill.mining.knn import Neighbours, knn_both
from fairseq_distill.mining.margin import best_candidates, neighbourhood_means
from fairseq_distill.mining.pairs import mine_embeddings
from fairseq_distill.mining.recall import wilson_low
from tests.reference import mining as reference

DIM = 32


def topics(n, m, seed, kinds=40, dtype=np.float32):
    """Two sides around the same directions; half of the smaller one has a partner, and some rows are copies or zero."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((kinds, DIM))
    src, tgt = (centres[random.integers(0, kinds, size)] + random.standard_normal((size, DIM)) for size in (n, m))
    half = min(n, m) // 2
    tgt[:half] = src[:half] + 0.4 * random.standard_normal((half, DIM))
    tgt[half + 1] = tgt[half + 2] = tgt[half + 3]
    src[-1] = 0
    return src.astype(dtype), tgt.astype(dtype)


def assert_same(first: Neighbours, second: Neighbours):
    assert_array_equal(first.indices, second.indices)
    assert_array_equal(first.cosines, second.cosines)


@pytest.mark.parametrize("n, m", [(300, 500), (500, 300), (9, 700), (1, 1), (3, 2)])
@pytest.mark.parametrize(
    "precision, reach",
    [("float32", (np.inf, None)), ("bfloat16", (None, np.inf)), ("bfloat16", (np.inf, 0.1)), ("int8", (np.inf, 0.1))],
)
def test_equals_exact_when_all_clusters_are_visited(n, m, precision, reach, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(visits, "_LEAST_HELD", 100)  # several rounds of visitors
    monkeypatch.setattr(module, "_HEIGHT", 64)
    monkeypatch.setattr(module, "_WIDTH", 32)
    src, tgt = topics(n, m, 1) if n > 9 else (rows[:size] for rows, size in zip(topics(20, 900, 1), (n, m)))
    for k in (1, 16):
        exact = knn_both(src, tgt, k, precision="float32")
        forward, backward, report = knn_both_approximate(
            src, tgt, k, reach=reach, precision=precision, max_memory=200_000
        )
        assert_same(forward, exact[0])
        assert_same(backward, exact[1])
        assert report.visited >= 1 and report.recall.least == 1 and report.missing == 0


def test_equals_exact_with_index_float16_and_memory_maps(tmp_path):
    src, tgt = topics(300, 400, 2, dtype=np.float16)
    for name, rows in (("src", src), ("tgt", tgt)):
        np.save(tmp_path / f"{name}.npy", rows)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("src", "tgt")]
    index = np.arange(0, 300, 2), np.flatnonzero(np.arange(400) % 3)
    forward, backward, _ = knn_both_approximate(*mapped, 4, reach=(np.inf, None), index=index)
    exact = knn_both(src, tgt, 4, index=index)
    assert_same(forward, exact[0])
    assert_same(backward, exact[1])


@pytest.mark.parametrize("wanted", [0.8, 0.95])
def test_recall_is_kept_on_all_rows_and_what_is_found_is_exact(wanted):
    src, tgt = topics(3000, 4000, 3)
    exact = knn_both(src, tgt, 4, precision="float32")
    *found, report = knn_both_approximate(src, tgt, 4, recall=wanted, precision="float32")
    assert report.recall.least >= wanted > report.recall.low > wanted - 0.06
    assert report.visited < 0.3
    for side, right, measured, at_k in zip(
        found,
        exact,
        (report.recall.forward, report.recall.backward),
        (report.recall.forward_k, report.recall.backward_k),
    ):
        assert (side.indices[:, 0] == right.indices[:, 0]).mean() == pytest.approx(measured, abs=0.03)
        assert (side.cosines >= right.cosines[:, -1:]).mean() == pytest.approx(at_k, abs=0.03)
        assert (np.diff(side.cosines, axis=1) <= 0).all()
        assert (side.cosines <= right.cosines).all()
        where = side.indices == right.indices
        assert_array_equal(side.cosines[where], right.cosines[where])
    shares = [probes / clusters for probes, clusters in zip(report.probes, report.clusters[::-1])]
    assert report.visited == pytest.approx(sum(shares), rel=0.6)


def test_neither_memory_nor_blocks_change_the_neighbours(monkeypatch):
    src, tgt = topics(1500, 2000, 4)
    first = knn_both_approximate(src, tgt, 4, precision="float32")
    monkeypatch.setattr(module, "_HEIGHT", 64)
    monkeypatch.setattr(module, "_WIDTH", 32)
    again = knn_both_approximate(src, tgt, 4, precision="float32", max_memory=150_000)
    for found, right in zip(again[:2], first[:2]):
        assert_same(found, right)


def test_same_seed_same_neighbours():
    src, tgt = topics(1500, 2000, 5)
    runs = [knn_both_approximate(src, tgt, 4, seed=seed) for seed in (1, 1, 2)]
    for found, right in zip(runs[1][:2], runs[0][:2]):
        assert_same(found, right)
    assert (runs[2][0].indices != runs[0][0].indices).any()


def test_either_side_finds_what_the_other_would_not(monkeypatch):
    """Sources alone, targets alone, both: each neighbour once, and nothing that one round found is lost in the other."""
    monkeypatch.setattr(module, "_AGAIN_SHARE", 0.0)
    monkeypatch.setattr(module, "_AGAIN_FREE", 0)
    src, tgt = topics(800, 900, 6)
    rounds = [knn_both_approximate(src, tgt, 4, reach=reach)[:2] for reach in ((0.1, None), (None, 0.1), (0.1, 0.1))]
    for one, two, both in zip(*rounds):
        assert (both.cosines >= np.maximum(one.cosines, two.cosines)).all()
        assert (both.cosines > one.cosines).any() and (both.cosines > two.cosines).any()
        for first, second, row in zip(one.indices, two.indices, both.indices):
            there = row[row >= 0].tolist()
            assert len(set(there)) == len(there) and set(there) <= {*first.tolist(), *second.tolist()}


def lonely(seed):
    """300 sources in one place; half of 1,000 targets is there too, the others are where no source goes."""
    random = np.random.default_rng(seed)
    src, tgt = (0.1 * random.standard_normal((size, DIM)).astype(np.float32) for size in (300, 1000))
    src[:, 0] += 1
    tgt[:500, 0] += 1
    tgt[500:, 1] += 1
    return src, tgt


def test_neighbours_that_nobody_compared_are_missing_and_never_mined(monkeypatch):
    monkeypatch.setattr(module, "_AGAIN_SHARE", 0.0)
    monkeypatch.setattr(module, "_AGAIN_FREE", 0)
    src, tgt = lonely(6)
    forward, backward, report = knn_both_approximate(src, tgt, 4, reach=(0.05, None), recall=0.5)
    alone = backward.indices[:, 0] == -1
    assert alone[500:].all() and not alone[:500].all() and (backward.cosines[alone] == -np.inf).all()
    assert report.missing >= 500
    means = neighbourhood_means(backward)
    assert (means[alone] == 0).all()
    few = np.flatnonzero((backward.indices == -1).any(axis=1) & ~alone)
    for row in few:
        there = backward.indices[row] >= 0
        assert means[row] == pytest.approx(backward.cosines[row][there].mean(), rel=1e-6)
    score, best = best_candidates(backward, means, neighbourhood_means(forward), "ratio")
    assert (score[alone] == -np.inf).all() and (best[alone] == -1).all() and (best[~alone] >= 0).all()
    for retrieval in ("fwd", "bwd", "intersect", "max"):
        pairs, scores = mine_embeddings(src, tgt, search="approximate", recall=0.5, retrieval=retrieval)
        assert (pairs.src >= 0).all() and (pairs.tgt >= 0).all() and np.isfinite(scores).all()


def test_rows_without_neighbours_are_searched_again_while_that_is_cheap(monkeypatch):
    monkeypatch.setattr(module, "_AGAIN_SHARE", 100.0)
    src, tgt = lonely(7)
    _, backward, report = knn_both_approximate(src, tgt, 4, reach=(0.05, None), recall=0.5)
    assert report.missing == 0 and report.searched_again >= 500
    assert_same(Neighbours(backward.cosines[500:], backward.indices[500:]), knn_both(src, tgt[500:], 4)[1])


def test_too_little_reach_is_measured_and_told(caplog):
    src, tgt = topics(2000, 3000, 8)
    _, _, report = knn_both_approximate(src, tgt, 4, reach=(0.0, None), recall=0.99)
    assert report.recall.least < 0.9
    assert "below the 0.99 wanted" in caplog.text


def test_where_approximate_does_not_pay_the_search_is_exact(caplog):
    random = np.random.default_rng(9)
    src, tgt = (random.standard_normal((size, DIM)).astype(np.float32) for size in (400, 500))
    caplog.set_level("INFO")
    *found, report = knn_both_approximate(src, tgt, 4, recall=1.0)
    assert report is None and "the exact search is used" in caplog.text
    for side, right in zip(found, knn_both(src, tgt, 4)):
        assert_same(side, right)


def test_copies_and_zeros_alone():
    src = np.zeros((200, DIM), np.float32)
    src[50:] = topics(1, 4, 1)[1][0]
    forward, backward, _ = knn_both_approximate(src, np.concatenate([src, src]), 4, recall=0.9, precision="float32")
    assert_allclose(forward.cosines[50:], 1, atol=3e-7)
    assert (forward.cosines[:50] == 0).all() and (backward.cosines[:50] == 0).all()


def test_nearest_pairs_equal_the_slow_reference_when_recall_is_one(monkeypatch):
    """The sample holds every row, so a recall of 1 is one of all rows."""
    monkeypatch.setattr(module, "_EXACT_SHARE", 1.1)
    src, tgt = topics(60, 80, 10, kinds=3)
    pairs, _ = mine_embeddings(src, tgt, search="approximate", recall=1.0, margin="absolute", k=1)
    slow = reference.mine(src, tgt, 1, "absolute", "max", -np.inf)
    assert list(zip(pairs.src.tolist(), pairs.tgt.tolist())) == [(i, j) for _, i, j in slow]


def test_what_cannot_be_is_refused():
    src, tgt = topics(30, 40, 1)
    for recall in (0.0, 1.1, -1.0):
        with pytest.raises(ConfigError, match="recall is"):
            knn_both_approximate(src, tgt, 4, recall=recall)
    with pytest.raises(ConfigError, match="at least"):
        knn_both_approximate(src, tgt, 4, max_memory=1000)
    with pytest.raises(ConfigError, match="'ivf' is no search"):
        mine_embeddings(src, tgt, search="ivf")
    tgt[5, 2] = np.nan
    with pytest.raises(DataError, match="row 5 "):
        knn_both_approximate(src, tgt, 4)


def test_progress_rises_to_the_total():
    seen = []
    src, tgt = topics(500, 600, 11)
    knn_both_approximate(src, tgt, 4, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (300_000, 300_000)


def test_interval_of_wilson():
    # 81 of 263: the example of Newcombe (1998), Statistics in Medicine 17, table I: 0.2553 to 0.3662
    assert wilson_low(81 / 263, 263) == pytest.approx(0.2553, abs=5e-5)
    assert wilson_low(0.0, 20) == pytest.approx(0, abs=1e-12)
