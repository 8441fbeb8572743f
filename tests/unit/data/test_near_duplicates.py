"""What is found equals a slow comparison of all pairs, on planted near-duplicates and on text of few templates."""

import tracemalloc

import numpy as np
import pytest

from fairseq_distill.data import gram_sets, near_duplicates
from fairseq_distill.data.near_duplicates import NearDuplicateIndex
from fairseq_distill.errors import ConfigError
from tests.reference.near_duplicates import closest, hit, jaccard


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


def messages(n, seed):
    """Software messages of a few templates, with one or two words that change, some of which share most words with another's."""
    random = np.random.default_rng(seed)
    templates = [
        "Could not open the file {} for reading: no such file or directory",
        "Could not open the file {} for writing: permission denied by {}",
        "The mean temperature of station number {} in the month of {} was measured",
        "The mean temperature of the station in the month of {} was not measured",
        "{} and {} again",
    ]
    words = ["".join(random.choice(list("abcdef"), random.integers(2, 9))) for _ in range(60)] + [
        str(i) for i in range(60)
    ]
    return [str(random.choice(templates)).format(*random.choice(words, 2)) for _ in range(n)]


def compared(index, lines):
    return list(zip(*(values.tolist() for values in index.find(lines))))


def test_planted_lines_are_found_and_equal_a_comparison_of_all():
    evaluation = sentences(150, 1)
    text = sentences(200, 2) + planted(evaluation) + evaluation[:7]
    found = compared(NearDuplicateIndex(evaluation), text)
    assert found == closest(text, evaluation, 0.7)
    assert all(row == -1 for _, row in found[:200]) and [row for _, row in found[-7:]] == list(range(7))
    assert 30 < sum(row >= 0 for _, row in found[200:350]) < 140


@pytest.mark.parametrize(
    "scanned, compared_at_once, dense", [(1 << 20, 1 << 20, 4), (40, 7, 4), (500, 100, 0), (1 << 20, 50, 1 << 20)]
)
@pytest.mark.parametrize("threshold, n", [(0.7, 5), (0.5, 3), (0.85, 5), (1.0, 2)])
def test_text_of_few_templates_equals_a_comparison_of_all(threshold, n, scanned, compared_at_once, dense, monkeypatch):
    monkeypatch.setattr(gram_sets, "_SCANNED", scanned)
    monkeypatch.setattr(gram_sets, "_COMPARED", compared_at_once)
    monkeypatch.setattr(gram_sets, "_DENSE", dense)
    evaluation = [*messages(70, 1), "", "a", "…", "no template at all"]
    text = [*messages(110, 2), "", "a", "A", "!!", "other words", *evaluation[3:6]]
    index = NearDuplicateIndex(evaluation, threshold, n)
    expected = closest(text, evaluation, threshold, n)
    assert compared(index, text) == expected and sum(row >= 0 for _, row in expected) > 3
    hits = np.zeros(len(index.distinct), bool)
    assert list(zip(*(values.tolist() for values in index.find(text, hits)))) == expected
    assert hits.tolist() == hit(text, [evaluation[row] for row in index.distinct], threshold, n)
    assert index.audit(text).evaluation_hit == sum(hit(text, evaluation, threshold, n))


@pytest.mark.parametrize("seed", range(3))
def test_of_equally_near_lines_the_first_is_found(seed):
    """Words of one letter: few different similarities, many ties, bounds that are reached and bounds that are not."""
    random = np.random.default_rng(seed)
    evaluation, text = (
        [" ".join(random.choice(list("abcdefg"), random.integers(3, 9))) for _ in range(120)] for _ in range(2)
    )
    assert compared(NearDuplicateIndex(evaluation, 0.5, 3), text) == closest(text, evaluation, 0.5, 3)


def test_a_line_is_compared_with_few_where_all_are_alike(monkeypatch):
    """600 x 600 lines of one template share most of their n-grams; bounds leave few of the 360,000 pairs to compare."""
    lines = [
        f"The mean temperature of station number {n} in the month of January was {n % 40} degrees." for n in range(1200)
    ]
    counted, compare = [], gram_sets.GramIndex._compare
    monkeypatch.setattr(
        gram_sets.GramIndex,
        "_compare",
        lambda index, weighed, pairs, result: counted.append(len(pairs.line)) or compare(index, weighed, pairs, result),
    )
    index = NearDuplicateIndex(lines[::2])
    assert len(index.index.counts) < 0.7 * len(index.index.vocabulary), "n-grams of the template are one group"
    index.find(lines[1::2])
    assert 600 <= sum(counted) < 3000


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
    monkeypatch.setattr(gram_sets, "_SCANNED", 90)
    monkeypatch.setattr(gram_sets, "_COMPARED", 3)
    assert index.audit(iter(text)) == whole and whole.near > 5


def test_text_of_one_template_is_compared_in_bounded_memory(monkeypatch):
    """All lines share n-grams with all: 600 x 600 pairs in two groups are 17 MB of pairs alone."""
    lines = [
        f"The mean temperature of station number {n} in the month of January was {n % 40} degrees." for n in range(1200)
    ]
    index = NearDuplicateIndex(lines[::2])
    monkeypatch.setattr(gram_sets, "_SCANNED", 1 << 15)
    monkeypatch.setattr(gram_sets, "_COMPARED", 1 << 16)
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
def test_a_threshold_of_lines_that_are_not_alike_is_refused(threshold):
    with pytest.raises(ConfigError, match="in \\[0.5, 1\\]"):
        NearDuplicateIndex(["x"], threshold)


def test_long_lines_are_looked_at_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_CHUNK_CHARACTERS", 25)
    assert [len(chunk) for chunk in near_duplicates._chunks(["a" * 10] * 7)] == [3, 3, 1]
    assert [len(chunk) for chunk in near_duplicates._chunks(["a" * 90, "b", "c"])] == [1, 2]
