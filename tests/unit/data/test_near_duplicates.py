"""Planted near-duplicates are found, exactly as likely as a slow comparison of all pairs says, and nothing else."""

import tracemalloc

import numpy as np
import pytest

from fairseq_distill.data import near_duplicates
from fairseq_distill.data.near_duplicates import NearDuplicateIndex, comparable
from fairseq_distill.errors import ConfigError


def grams(text, n=5):
    padded = f" {comparable(text)} "
    return {padded[i : i + n] for i in range(max(1, len(padded) - n + 1))}


def jaccard(one, two):
    return len(grams(one) & grams(two)) / len(grams(one) | grams(two))


def sentences(n, seed, words=14):
    random = np.random.default_rng(seed)
    vocabulary = ["".join(random.choice(list("abcdefgh"), random.integers(3, 9))) for _ in range(300)]
    return [" ".join(random.choice(vocabulary, words)) for _ in range(n)]


def planted(lines, seed=3):
    """Each line with one to six of its words replaced."""
    random = np.random.default_rng(seed)
    found = []
    for line in lines:
        words = line.split()
        for place in random.choice(len(words), random.integers(1, 7), replace=False):
            words[place] = "zzz" + str(random.integers(1000))
        found.append(" ".join(words))
    return found


def test_planted_lines_are_found_and_equal_a_comparison_of_all():
    evaluation = sentences(150, 1)
    text = sentences(200, 2) + planted(evaluation) + evaluation[:7]
    similarity, found = NearDuplicateIndex(evaluation).find(text)
    missed = 0
    for row, line in enumerate(text):
        all_of = [jaccard(line, other) for other in evaluation]
        if max(all_of) >= 0.7:
            missed += found[row] < 0
        else:
            assert found[row] == -1 and similarity[row] == 0
        if found[row] >= 0:
            assert similarity[row] == pytest.approx(all_of[found[row]])
    assert (found[:200] == -1).all() and (found[-7:] == np.arange(7)).all()
    assert 30 < (found[200:350] >= 0).sum() < 140 and missed <= 2


def test_counts_and_examples():
    evaluation = [
        "The president visited the city of Nairobi on Monday morning.",
        "Short",
        "",
        "Another line that nobody knows.",
    ] * 2
    text = [
        "the president visited the city of nairobi on monday morning",
        "Nothing of the kind is written here at all.",
        "The president visited the city of Nairobi on Monday evening.",
        "",
        "SHORT!",
    ]
    found = NearDuplicateIndex(evaluation).audit(text)
    assert (found.lines, found.identical, found.near) == (5, 2, 1)
    assert (found.evaluation_lines, found.evaluation_hit) == (8, 4)
    assert [(one.line, one.evaluation_line) for one in found.examples] == [(1, 1), (5, 2)]  # line 1 is known as leaked
    near = NearDuplicateIndex(evaluation).audit(text[2:])
    assert near.examples[-1].text == text[2] and 0.7 <= near.examples[-1].similarity < 1


def test_chunks_change_nothing(monkeypatch):
    evaluation = sentences(60, 1)
    text = planted(evaluation) + evaluation + sentences(33, 5)
    index = NearDuplicateIndex(evaluation)
    whole = index.audit(text)
    monkeypatch.setattr(near_duplicates, "_CHUNK", 7)
    monkeypatch.setattr(near_duplicates, "_PAIRS", 3)
    monkeypatch.setattr(near_duplicates, "_SHARED", 90)
    assert index.audit(iter(text)) == whole and whole.near > 5


def test_text_of_one_template_is_compared_in_bounded_memory(monkeypatch):
    """All lines share bands with all: 600 x 600 pairs in 16 bands are 46 MB of pairs alone."""
    lines = [
        f"The mean temperature of station number {n} in the month of January was {n % 40} degrees." for n in range(1200)
    ]
    index = NearDuplicateIndex(lines[::2])
    monkeypatch.setattr(near_duplicates, "_PAIRS", 1 << 15)
    monkeypatch.setattr(near_duplicates, "_SHARED", 1 << 16)
    tracemalloc.start()
    similarity, found = index.find(lines[1::2])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6
    assert (found >= 0).all() and similarity[7] == pytest.approx(max(jaccard(lines[15], other) for other in lines[::2]))


@pytest.mark.parametrize("line", ["a", "ab", "abc", "…", "你好", "x" * 3000])
def test_short_and_odd_lines(line):
    index = NearDuplicateIndex([line, "something else entirely"])
    assert index.find([line])[1].tolist() == [0]
    assert index.find(["unrelated words", "", "q"])[1].tolist() == [-1, -1, -1]


def test_nothing_to_compare_with():
    for lines in ([], ["", "  "]):
        found = NearDuplicateIndex(lines).audit(["some text", ""])
        assert (found.lines, found.identical, found.near, found.evaluation_hit) == (2, 0, 0, 0)
    assert NearDuplicateIndex(["some text"]).audit([]).lines == 0


@pytest.mark.parametrize("threshold", [0.4, 1.1])
def test_a_threshold_that_bands_cannot_serve_is_refused(threshold):
    with pytest.raises(ConfigError, match="in \\[0.5, 1\\]"):
        NearDuplicateIndex(["x"], threshold)
