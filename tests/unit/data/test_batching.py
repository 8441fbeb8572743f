"""Plans of epochs: every sentence drawn comes once, budgets hold, denominators are those of the whole update."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fairseq_distill.data.batching import Grouping, MaskedText, Visits, cut_by_length, plan_epoch, split_evenly
from fairseq_distill.data.curriculum import Curriculum

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200).map(lambda values: np.array(values, dtype=np.int64))


def cut(lengths, n):
    return lambda indices, part: -(-lengths[indices] * part // n)


def plan(
    lengths, group=1, curriculum=Curriculum(), max_tokens=100, seed=1, first_update=0, mask_lengths=None, mask_share=0.0,
    least=None, lots=1, staged_mask=False,
):  # fmt: skip
    n = curriculum.increments
    rng = np.random.default_rng(seed)
    masked = None
    if mask_lengths is not None:

        def draw(pieces, stage):
            drawn = rng.integers(0, len(mask_lengths), max(1, int(pieces / mask_lengths.mean())))
            return Visits(drawn, np.full(len(drawn), stage if staged_mask else n, dtype=np.int16))

        masked = MaskedText(mask_share, draw, cut(mask_lengths, n))
    order = rng.permutation(len(lengths))
    least = np.ones(len(lengths), dtype=np.int16) if least is None else least
    return plan_epoch(
        [Visits(lot, least[lot]) for lot in np.array_split(order, lots)],
        cut(lengths, n),
        lambda update: (curriculum.stage(update), curriculum.next_change(update)),
        first_update,
        group,
        max_tokens,
        1 << 30,
        rng,
        masked,
    )


@given(LENGTHS, st.integers(1, 300), st.integers(1, 20))
def test_batches_keep_the_budget_and_lose_nothing(lengths, max_tokens, max_sentences):
    order = np.random.default_rng(0).permutation(len(lengths))
    batches = cut_by_length(order, lengths[order], max_tokens, max_sentences)
    assert_array_equal(np.sort(batches.indices), np.arange(len(lengths)))
    for number in range(len(batches)):
        rows = lengths[batches[number]]
        assert 1 <= len(rows) <= max_sentences
        assert len(rows) == 1 or len(rows) * rows.max() <= max_tokens
        if number + 1 < len(batches):  # and no batch could have taken the next sentence as well
            assert len(rows) == max_sentences or (len(rows) + 1) * rows.max() > max_tokens


@given(LENGTHS, st.integers(1, 30))
def test_even_groups_hold_all_and_about_the_same_number_of_pieces(lengths, groups):
    result = split_evenly(np.arange(len(lengths)), lengths, groups)
    assert len(result) == groups
    assert_array_equal(np.sort(result.indices), np.arange(len(lengths)))
    sums = np.array([lengths[result[group]].sum() for group in range(groups)])
    assert sums.max() <= lengths.sum() / groups + 2 * lengths.max()


def test_reordering_groups_equals_a_list():
    groups = [[4, 1], [], [7], [2, 3, 9]]
    grouping = Grouping(np.array(sum(groups, [])), np.array([0, 2, 2, 3, 6]))
    order = np.array([3, 1, 0, 2])
    assert [list(grouping.reordered(order)[g]) for g in range(4)] == [groups[g] for g in order]


@given(LENGTHS, st.integers(1, 5), st.integers(0, 30))
def test_a_plan_draws_each_sentence_once(lengths, group, first_update):
    made = plan(lengths, group, Curriculum(4, 20), first_update=first_update)
    assert_array_equal(np.sort(made.distil.indices), np.arange(len(lengths)))


@given(LENGTHS, st.integers(1, 3), st.integers(0, 25), st.integers(1, 3))
def test_every_batch_shows_the_part_of_its_own_update_or_the_least_of_its_sentences(lengths, group, first_update, lots):
    curriculum = Curriculum(4, 20, "root")
    least = np.random.default_rng(len(lengths)).integers(1, 5, len(lengths)).astype(np.int16)
    made = plan(lengths, group, curriculum, max_tokens=60, first_update=first_update, least=least, lots=lots)
    assert_array_equal(np.sort(made.distil.indices), np.arange(len(lengths)))
    starts = made.distil.starts
    for batch in range(len(made)):
        stage = curriculum.stage(first_update + batch // group)
        part = made.distil_part[starts[batch] : starts[batch + 1]]
        assert made.stage[batch] == stage
        assert_array_equal(part, np.maximum(stage, least[made.distil[batch]]))
        shown = cut(lengths, 4)(made.distil[batch], part)
        assert len(shown) == 1 or len(shown) * shown.max() <= 60


@pytest.mark.parametrize("curriculum", [Curriculum(), Curriculum(3, 5, "step")])
def test_one_lot_is_done_before_the_next_begins(curriculum):
    """Also where the part grows within a lot, and what is left of it is planned again."""
    lengths, n = np.random.default_rng(5).integers(1, 50, 300), 300
    made = plan(lengths, curriculum=curriculum, lots=3)
    expected = np.array_split(np.random.default_rng(1).permutation(n), 3)
    for lot, first in zip(expected, (0, 100, 200)):
        assert_array_equal(np.sort(made.distil.indices[first : first + 100]), np.sort(lot))


@pytest.mark.parametrize("staged", [False, True])
def test_masked_text_is_cut_with_the_pairs_or_stays_whole(staged):
    rng = np.random.default_rng(2)
    lengths, mask_lengths = rng.integers(4, 60, 900), rng.integers(4, 60, 700)
    curriculum = Curriculum(3, 12)
    made = plan(lengths, 1, curriculum, 400, mask_lengths=mask_lengths, mask_share=0.25, staged_mask=staged)
    assert set(made.stage.tolist()) == {1, 2, 3}
    stage = np.repeat(made.stage, made.mask.sizes())
    assert_array_equal(made.mask_part, stage if staged else 3)
    masked = cut(mask_lengths, 3)(made.mask.indices, made.mask_part).sum()
    distilled = cut(lengths, 3)(made.distil.indices, made.distil_part).sum()
    if staged:  # the share holds whatever is shown
        assert abs(masked / (masked + distilled) - 0.25) < 0.12


def test_a_plan_is_a_function_of_its_seed():
    lengths = np.random.default_rng(5).integers(1, 50, 300)
    first, same, other = plan(lengths, seed=3), plan(lengths, seed=3), plan(lengths, seed=4)
    assert_array_equal(first.distil.indices, same.distil.indices)
    assert not np.array_equal(first.distil.indices, other.distil.indices)


@pytest.mark.parametrize("group", [1, 2, 7])
def test_totals_are_sums_over_the_update(group):
    lengths = np.random.default_rng(5).integers(1, 50, 300)
    made = plan(lengths, group)
    counts = made.distil.sizes()
    expected = [counts[b // group * group : b // group * group + group].sum() for b in range(len(made))]
    assert_array_equal(made.totals(counts), expected)


def test_masked_text_keeps_its_share_and_is_as_long_as_its_neighbours():
    rng = np.random.default_rng(2)
    lengths, mask_lengths = rng.integers(2, 60, 4000), rng.integers(2, 60, 3000)
    made = plan(lengths, max_tokens=400, mask_lengths=mask_lengths, mask_share=0.25)
    masked, distilled = mask_lengths[made.mask.indices].sum(), lengths.sum()
    assert abs(masked / (masked + distilled) - 0.25) < 0.01
    longest = np.array(
        [[lengths[made.distil[b]].max(), mask_lengths[made.mask[b]].max(initial=0)] for b in range(len(made))]
    )
    assert np.corrcoef(longest.T)[0, 1] > 0.95
