"""The curriculum equals a slow version in exact fractions, and cutting words equals cutting their pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_distill.data.curriculum import BY_UPDATE, Curriculum, Plateau
from fairseq_distill.data.parts import cut_words, least_parts, part_files, partial_lengths, unit_counts
from fairseq_distill.errors import ConfigError
from tests.reference import curriculum as slow


@pytest.mark.parametrize("pacing", BY_UPDATE)
@pytest.mark.parametrize(
    "increments, updates", [(1, 0), (2, 1), (2, 7), (3, 10), (4, 3), (4, 100), (7, 50), (101, 100)]
)
def test_every_update_shows_the_part_of_the_slow_version(pacing, increments, updates):
    curriculum = Curriculum(increments, updates, pacing)
    for update in range(updates + 5):
        assert curriculum.stage(update) == slow.part_shown(update, increments, updates, pacing), update


@pytest.mark.parametrize("pacing", BY_UPDATE)
@pytest.mark.parametrize("increments, updates", [(1, 0), (2, 5), (4, 30), (6, 4), (5, 41)])
def test_next_change_equals_trying_each_update(pacing, increments, updates):
    curriculum = Curriculum(increments, updates, pacing)
    for update in range(updates + 3):
        assert curriculum.next_change(update) == slow.next_change(update, increments, updates, pacing), update


@given(st.integers(1, 12), st.integers(1, 10**9), st.sampled_from(BY_UPDATE), st.integers(0, 10**9))
def test_parts_never_shrink_and_end_with_the_whole(increments, updates, pacing, update):
    curriculum = Curriculum(increments, updates, pacing)
    assert 1 <= curriculum.stage(update) <= curriculum.stage(update + 1) <= increments
    assert curriculum.stage(updates) == increments
    change = curriculum.next_change(update)
    if change is not None:
        assert curriculum.stage(change - 1) == curriculum.stage(update) < curriculum.stage(change)


def test_linear_pacing_gives_each_part_equally_many_updates():
    shown = [Curriculum(5, 400, "linear").stage(update) for update in range(400)]
    assert {part: shown.count(part) for part in set(shown)} == {1: 100, 2: 100, 3: 100, 4: 100}


def test_root_pacing_leaves_the_short_parts_sooner():
    shown = [Curriculum(4, 900, "root").stage(update) for update in range(900)]
    assert [shown.count(part) for part in (1, 2, 3)] == [100, 300, 500]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"increments": 0, "updates": 10}, "0 increments over 10"),
        ({"increments": 3}, "3 increments over 0"),
        ({"increments": 3, "pacing": "epoch", "updates": -1}, "over -1"),
        ({"pacing": "sudden"}, "'sudden' is none of linear"),
        ({"unit": "letters"}, "'letters' is none of words"),
        ({"full_share": 1.0}, r"\(1\) in"),
        ({"min_units": 0}, r"\(0\) and its patience"),
        ({"patience": 0}, r"patience \(0\)"),
    ],
)
def test_no_curriculum_is_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        Curriculum(**arguments)


@pytest.mark.parametrize("pacing", ["epoch", "mixed"])
@pytest.mark.parametrize("updates", [0, 6])
def test_pacing_within_epochs_has_one_stage_until_its_last_update(pacing, updates):
    curriculum = Curriculum(3, updates, pacing)
    shown = [curriculum.stage(update) for update in range(9)]
    assert shown == ([1] * 6 + [3] * 3 if updates else [1] * 9)
    assert curriculum.next_change(0) == (6 if updates else None)


CHANGES = st.lists(st.integers(0, 60), max_size=5).map(sorted)


@given(st.integers(2, 5), st.integers(0, 50), CHANGES)
def test_plateau_equals_the_slow_version(increments, updates, changes):
    curriculum = Curriculum(increments, updates, "plateau")
    shown = [slow.plateau_part(update, increments, updates, changes) for update in range(70)]
    assert [curriculum.stage(update, changes) for update in range(70)] == shown
    for update in range(69):
        change = curriculum.next_change(update, changes)
        later = next((u for u in range(update + 1, 70) if shown[u] != shown[update]), None)
        # What it names is the next change, or one more end of a stage that has the same effect; never a later one.
        assert later is None or (change is not None and update < change <= later)


def watched(xsims, patience, increments=3, updates=0, every=10, epoch=25):
    """A plateau that has seen a validation every ``every`` updates, in epochs of ``epoch`` updates."""
    plateau = Plateau(Curriculum(increments, updates, "plateau", patience=patience))
    ended = []
    for number, xsim in enumerate(xsims, start=1):
        update = number * every
        if plateau.observe(xsim, update, -(-update // epoch) * epoch):
            ended.append(update)
    return plateau, ended


def test_a_stage_ends_after_patience_and_the_next_begins_with_the_next_epoch():
    #   updates 10, 20, 30, 40 (not better: two in a row), 50 = end of the epoch, then 60, 70 in stage 2
    plateau, ended = watched([50, 40, 45, 40, 60, 39, 41, 42], 2)
    assert ended == [40, 80] and plateau.changes == [50, 100] and plateau.best == 39
    assert [plateau.curriculum.stage(update, plateau.changes) for update in (0, 49, 50, 99, 100)] == [1, 1, 2, 2, 3]


def test_validations_of_a_stage_that_is_already_over_do_not_end_the_next_one():
    plateau, ended = watched([50] * 9, 1, every=5, epoch=50)
    # At 10 the stage is over; 15 to 45 and the validation at the very end of the epoch are its own still.
    assert ended == [10] and plateau.changes == [50] and plateau.waited == 0
    assert not plateau.observe(50, 50, 50)
    assert plateau.observe(50, 55, 100) and plateau.changes == [50, 100]


def test_the_last_stage_does_not_end():
    plateau, ended = watched([50] * 12, 1, increments=2)
    assert plateau.changes == [25] and ended == [20]
    capped, ended = watched([50] * 12, 3, increments=9, updates=30)
    assert capped.changes == [] and ended == []


def test_a_plateau_goes_on_from_its_state():
    xsims = [50, 49, 49, 48, 48, 48, 47, 47, 47, 47, 47, 47]
    whole, _ = watched(xsims, 2, increments=4)
    for stop in range(len(xsims)):
        first, _ = watched(xsims[:stop], 2, increments=4)
        second = Plateau(first.curriculum)
        second.load_state_dict(first.state_dict())
        for number, xsim in enumerate(xsims[stop:], start=stop + 1):
            second.observe(xsim, number * 10, -(-number * 10 // 25) * 25)
        assert second == whole


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
        ("  two   words ", 2, 2, "  two   words "),  # the whole is the line itself
        ("  a  b ", 2, 3, "  a  b "),
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


@settings(max_examples=200)
@given(SENTENCES, st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_least_parts_equal_the_slow_version(sentences, parts, min_units, by_pieces):
    flat = np.array([begins for sentence in sentences for begins in [*sentence, False]], dtype=bool)
    lengths = np.array([len(sentence) + 1 for sentence in sentences], dtype=np.int32)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    counts = unit_counts(flat, starts, lengths, by_pieces)
    assert counts.tolist() == [len(sentence) if by_pieces else sum(sentence) for sentence in sentences]
    assert least_parts(counts, parts, min_units).tolist() == [
        slow.least_part(int(count), parts, min_units) for count in counts
    ]


def test_part_files():
    assert part_files("teacher/train.npy", 1) == ["teacher/train.npy"]
    assert part_files("x.npy", 3) == ["x.part1of3.npy", "x.part2of3.npy", "x.npy"]
