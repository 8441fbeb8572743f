"""The curriculum equals a slow version in exact fractions, and cutting words equals cutting their pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_distill.data.curriculum import PACINGS, Curriculum, cut_words, part_files, partial_lengths
from tests.reference import curriculum as slow


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize(
    "increments, updates", [(1, 0), (2, 1), (2, 7), (3, 10), (4, 3), (4, 100), (7, 50), (101, 100)]
)
def test_every_update_shows_the_part_of_the_slow_version(pacing, increments, updates):
    curriculum = Curriculum(increments, updates, pacing)
    for update in range(updates + 5):
        assert curriculum.increment(update) == slow.part_shown(update, increments, updates, pacing), update


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize("increments, updates", [(1, 0), (2, 5), (4, 30), (6, 4), (5, 41)])
def test_next_change_equals_trying_each_update(pacing, increments, updates):
    curriculum = Curriculum(increments, updates, pacing)
    for update in range(updates + 3):
        assert curriculum.next_change(update) == slow.next_change(update, increments, updates, pacing), update


@given(st.integers(1, 12), st.integers(1, 10**9), st.sampled_from(PACINGS), st.integers(0, 10**9))
def test_parts_never_shrink_and_end_with_the_whole(increments, updates, pacing, update):
    curriculum = Curriculum(increments, updates, pacing)
    assert 1 <= curriculum.increment(update) <= curriculum.increment(update + 1) <= increments
    assert curriculum.increment(updates) == increments
    change = curriculum.next_change(update)
    if change is not None:
        assert curriculum.increment(change - 1) == curriculum.increment(update) < curriculum.increment(change)


def test_linear_pacing_gives_each_part_equally_many_updates():
    shown = [Curriculum(5, 400, "linear").increment(update) for update in range(400)]
    assert {part: shown.count(part) for part in set(shown)} == {1: 100, 2: 100, 3: 100, 4: 100}


def test_root_pacing_leaves_the_short_parts_sooner():
    shown = [Curriculum(4, 900, "root").increment(update) for update in range(900)]
    assert [shown.count(part) for part in (1, 2, 3)] == [100, 300, 500]


@pytest.mark.parametrize("arguments", [(0, 10), (3, 0), (-1, 5), (2, 10, "sudden")])
def test_no_curriculum_is_refused(arguments):
    with pytest.raises(ValueError):
        Curriculum(*arguments)


@pytest.mark.parametrize(
    "sentence, part, parts, expected",
    [
        ("a b c d", 1, 4, "a"),
        ("a b c d", 2, 4, "a b"),
        ("a b c d", 4, 4, "a b c d"),
        ("a b c", 1, 2, "a b"),  # a half of three words is rounded up
        ("one", 1, 4, "one"),
        ("", 1, 4, ""),
        ("  two   words ", 1, 2, "two"),
        ("a\u2028b\u00a0c", 1, 3, "a"),
    ],
)
def test_cut_words(sentence, part, parts, expected):
    assert cut_words(sentence, part, parts) == expected


@given(st.text(alphabet="ab \t\u00a0", max_size=30), st.integers(1, 6), st.integers(0, 5))
def test_cut_words_equals_the_slow_version(sentence, parts, less):
    part = max(1, parts - less)
    assert cut_words(sentence, part, parts) == slow.cut_words(sentence, part, parts)


SENTENCES = st.lists(st.lists(st.booleans(), max_size=12), min_size=1, max_size=20)


@settings(max_examples=200)
@given(SENTENCES, st.integers(1, 5), st.integers(0, 4), st.booleans())
def test_partial_lengths_equal_the_slow_version(sentences, parts, less, unspaced):
    part = max(1, parts - less)
    flat = np.array([begins for sentence in sentences for begins in [*sentence, False]], dtype=bool)  # False: EOS
    lengths = np.array([len(sentence) + 1 for sentence in sentences], dtype=np.int32)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    fast = partial_lengths(flat, starts, lengths, part, parts, unspaced)
    assert fast.dtype == np.int64
    assert fast.tolist() == [slow.partial_length(sentence, part, parts, unspaced) for sentence in sentences]


def test_partial_lengths_of_a_selection_in_any_order():
    sentences = [[True, False, True], [True], [], [True, True, False, True, False]]
    flat = np.array([begins for sentence in sentences for begins in [*sentence, False]], dtype=bool)
    lengths = np.array([4, 2, 1, 6], dtype=np.int32)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    chosen = np.array([3, 0, 3, 2])
    assert partial_lengths(flat, starts[chosen], lengths[chosen], 1, 3).tolist() == [1, 2, 1, 0]


def test_pieces_of_a_part_are_the_pieces_of_its_words():
    words = [["▁ha", "ba", "ri"], ["▁ya"], ["▁asu", "bu", "hi"], ["▁m", "zee"], ["▁!"]]
    pieces = [piece for word in words for piece in word]
    starts_word = np.array([piece.startswith("▁") for piece in pieces] + [False])
    for part in range(1, 6):
        length = partial_lengths(starts_word, np.array([0]), np.array([len(pieces) + 1]), part, 5)[0]
        text = "".join(pieces[:length]).replace("▁", " ").strip()
        whole = "".join(pieces).replace("▁", " ").strip()
        assert text == cut_words(whole, part, 5)


def test_part_files():
    assert part_files("teacher/train.npy", 1) == ["teacher/train.npy"]
    assert part_files("x.npy", 3) == ["x.part1of3.npy", "x.part2of3.npy", "x.npy"]
