"""Scores counted in a stream equal numpy's histogram, and the picture of them adds up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_mining import merge_bins, sample_mined
from fairseq_distill.evaluation.score_histogram import ScoreCounts, count_scores
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs


def slow_histogram(scores, edges):
    """Counts by comparison of whole millionths; the last bin is half open as the others are."""
    micro = [round(float(score) * 1e6) for score in scores]
    bounds = [round(edge * 1e6) for edge in edges]
    return [sum(low <= m < high for m in micro) for low, high in zip(bounds, bounds[1:])]


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=200), st.integers(3, 60))
@settings(deadline=None, max_examples=100)
def test_histogram_equals_slow_reference(scores, most):
    counts = ScoreCounts()
    for start in range(0, len(scores), 17):  # in pieces, as a stream
        counts.add(np.array(scores[start : start + 17]))
    found = counts.histogram(most)
    assert 0 < len(found.counts) <= most and len(found.edges) == len(found.counts) + 1
    assert found.counts == slow_histogram(scores, found.edges)
    assert found.below + sum(found.counts) + found.above == counts.n == len(scores)
    for i in range(len(found.counts)):
        assert found.at_least(i) == sum(round(s * 1e6) >= round(found.edges[i] * 1e6) for s in scores)


def test_histogram_equals_numpy_on_many_scores():
    scores = np.random.default_rng(0).normal(1.02, 0.05, 100_000).round(6)
    counts = ScoreCounts()
    counts.add(scores)
    found = counts.histogram(44)
    assert found.below == found.above == 0
    # Edges a quarter millionth lower: numpy compares binary numbers, of which some lie just below their decimal.
    reference, _ = np.histogram(scores, np.array(found.edges) - 2.5e-7)
    assert found.counts == reference.tolist()


def test_a_decimal_score_falls_into_the_bin_that_begins_with_it():
    counts = ScoreCounts()
    edges = np.arange(-9000, 9000) / 1000  # many of these lie below their decimal as binary numbers
    counts.add(edges)
    assert counts.fine[1000:19000].tolist() == [1] * 18000


def test_outliers_do_not_squeeze_the_picture():
    scores = np.concatenate([np.random.default_rng(1).uniform(1.0, 1.2, 9998), [7.5, -4.0]])
    counts = ScoreCounts()
    counts.add(scores)
    found = counts.histogram(44)
    assert (found.below, found.above) == (1, 1)
    assert found.edges[0] > 0.9 and found.edges[-1] < 1.3
    assert found.at_least(0) == 9999


def test_score_files_as_npy_and_as_text_agree(tmp_path):
    scores = np.random.default_rng(2).normal(1, 0.1, 1000).round(6)
    np.save(tmp_path / "s.npy", scores)
    (tmp_path / "s.txt").write_text("".join(f"{score:.6f}\n" for score in scores))
    first, second = count_scores(tmp_path / "s.npy"), count_scores(tmp_path / "s.txt")
    assert first.n == 1000 and (first.fine == second.fine).all()


@pytest.mark.parametrize(
    "name, content",
    [("s.txt", b"1.0\nabc\n"), ("s.txt", b"1.0\nnan\n"), ("s.npy", b"not numpy"), ("s.txt", b"1.0\t2.0\n")],
)
def test_damaged_score_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        count_scores(tmp_path / name)


def test_score_files_of_a_wrong_shape_are_refused(tmp_path):
    np.save(tmp_path / "s.npy", np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"\(3, 2\)"):
        count_scores(tmp_path / "s.npy")


def test_merged_bins_keep_every_pair():
    edges = [i / 100 for i in range(1, 203)]
    counts = list(range(201))
    merged = merge_bins(edges, counts, 88)
    assert len(merged.counts) <= 88 and sum(merged.counts) == sum(counts)
    assert merged.edges[0] == edges[0] and merged.edges[-1] == edges[-1]
    assert merged.at_least(1) == sum(c for e, c in zip(edges, counts) if e >= merged.edges[1])


def test_samples_equal_a_sort_and_do_not_grow(tmp_path):
    scores = np.random.default_rng(3).normal(1.1, 0.05, 5000).round(6)
    path = tmp_path / "mined.tsv"
    write_mined_pairs(path, [MinedPair(score, f"s{i}", f"t{i}") for i, score in enumerate(scores)])
    sample = sample_mined(path, 1.06, 10)
    assert sample.n == sample.counts.n == 5000
    assert [pair.score for pair in sample.best] == sorted(scores, reverse=True)[:10]
    nearest = sorted(scores, key=lambda score: abs(score - 1.06))[:10]
    assert sorted(pair.score for pair in sample.nearest) == sorted(nearest)
    assert len(sample.drawn) == 10 and sample_mined(path, 1.06, 10).drawn == sample.drawn
    assert len({pair.source for pair in sample.drawn}) == 10
    lowest = sample_mined(path, None, 10).nearest
    assert sorted(pair.score for pair in lowest) == sorted(scores)[:10]


def test_the_drawing_reaches_every_part_of_the_file(tmp_path):
    path = tmp_path / "mined.tsv"
    write_mined_pairs(path, [MinedPair(1.0, f"{i}", "t") for i in range(4000)])
    lines = sorted(int(pair.source) for pair in sample_mined(path, None, 400).drawn)
    quarters = np.histogram(lines, [0, 1000, 2000, 3000, 4000])[0]
    assert quarters.min() > 60, "some 100 of each quarter were expected"
