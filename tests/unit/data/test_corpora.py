"""Collections against loops; the planner's epochs as functions of seed, epoch and options."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairseq_distill.data.corpora import Collection, Part
from fairseq_distill.data.curriculum import Curriculum
from fairseq_distill.data.mask_units import MaskText, MonolingualText
from fairseq_distill.data.online_teacher import OnlineTeacher
from fairseq_distill.data.parts import cut_words
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.errors import CheckpointError, DataError
from fairseq_distill.formats.binarised import Sequences
from fairseq_distill.formats.manifest import Corpus
from tests.reference import curriculum as slow

STARTS = np.zeros(50, dtype=bool)
STARTS[4:20] = True  # ids 4 to 19 begin a word


def part(lang, n, seed, dim=3, increments=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 15, n).astype(np.int32)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    tokens = rng.integers(4, 50, int(lengths.sum())).astype(np.uint16)
    tokens[starts] = np.where(lengths > 1, 5, 2)
    tokens[starts + lengths - 1] = 2
    teacher = [rng.normal(size=(n, dim)).astype(np.float16) for _ in range(increments)]
    corpus = Corpus(f"c{seed}", "distil", "train", lang, n, "x", "x.txt", "eng", "y.txt", ["t.npy"])
    return Part(corpus, Sequences(tokens, starts, lengths), teacher)


@pytest.fixture
def collection():
    return Collection(
        [part("aaa", 20, 1, increments=3), part("bbb", 1, 2, increments=3), part("tha", 9, 3, increments=3)], 10, STARTS
    )


def sentence(collection, index):
    number = int(np.searchsorted(collection.firsts, index, side="right") - 1)
    return collection.parts[number], index - int(collection.firsts[number])


@pytest.mark.parametrize("share", [1, 2, 3])
def test_lengths_tokens_and_teacher_equal_loops(collection, share):
    indices = np.array([0, 29, 20, 5, 21, 5])
    lengths = collection.lengths(share, 3)[indices]
    tokens = collection.tokens(indices, lengths, int(lengths.max()))
    teacher = collection.teacher(indices, share, 3)
    for row, index in enumerate(indices):
        opened, inside = sentence(collection, index)
        body = opened.sequences[inside][:-1].tolist()
        if opened.corpus.lang == "tha":  # written without spaces: cut by pieces
            keep = -(-len(body) * share // 3)
        else:
            words = np.flatnonzero(STARTS[body]).tolist() + [len(body)]
            wanted = -(-(len(words) - 1) * share // 3)
            keep = words[wanted] if body else 0
        expected = (body[:keep] if share < 3 else body)[:9] + [2]
        assert lengths[row] == len(expected)
        assert tokens[row].tolist() == expected + [1] * (tokens.shape[1] - len(expected))
        assert_array_equal(teacher[row], opened.teacher[share - 1][inside].astype(np.float32))


def test_each_sentence_of_a_batch_has_a_part_of_its_own(collection):
    indices, parts = np.array([0, 29, 20, 5, 21, 5]), np.array([3, 1, 2, 2, 3, 1])
    teacher, shown = collection.teacher(indices, parts, 3), collection.shown_lengths(indices, parts, 3)
    for row, (index, each) in enumerate(zip(indices, parts)):
        opened, inside = sentence(collection, index)
        assert_array_equal(teacher[row], opened.teacher[each - 1][inside].astype(np.float32))
        assert shown[row] == collection.lengths(int(each), 3)[index]
    assert_array_equal(collection.teacher(indices, 1 << 30, 3), collection.teacher(indices, 3, 3))


def test_flat_is_every_sentence_with_its_end(collection):
    indices = np.arange(30)
    tokens, lengths = collection.flat(indices)
    assert_array_equal(lengths, collection.lengths())
    assert_array_equal(
        np.split(tokens, np.cumsum(lengths)[:-1])[7], collection.tokens(indices[7:8], lengths[7:8], int(lengths[7]))[0]
    )


def planner(collection, **options):
    empty = MaskText(MonolingualText([], 10, STARTS))
    settings = dict(
        mask=empty, curriculum=Curriculum(), temperature=1.0, mask_share=0.25, seed=3, processes=1, update_freq=[1]
    )
    return EpochPlanner(collection, **{**settings, "max_tokens": 30, "max_sentences": 100, **options})


def parts_shown(plan, index):
    """The parts that a plan shows of one sentence, in the order of the plan."""
    return plan.distil_part[plan.distil.indices == index].tolist()


def assert_same_plan(first, second):
    assert_array_equal(first.distil.indices, second.distil.indices)
    assert_array_equal(first.distil.starts, second.distil.starts)
    assert_array_equal(first.distil_part, second.distil_part)
    assert_array_equal(first.mask.indices, second.mask.indices)
    assert_array_equal(first.mask_part, second.mask_part)
    assert_array_equal(first.stage, second.stage)


@pytest.mark.parametrize("pacing", ["linear", "root", "step", "epoch", "mixed"])
def test_a_planner_that_starts_late_finds_the_same_plan(collection, pacing):
    curriculum = Curriculum(3, 25, pacing, min_units=2, full_share=0.3, mask=True)
    mono = MaskText(MonolingualText([part("aaa", 12, 9)], 10, STARTS))
    early = planner(collection, curriculum=curriculum, mask=mono)
    plans = [early.plan(epoch) for epoch in (1, 2, 3, 4)]
    assert_same_plan(planner(collection, curriculum=curriculum, mask=mono).plan(3), plans[2])
    resumed = planner(collection, curriculum=curriculum, mask=mono)
    resumed.load_state_dict(early.state_dict(3))
    assert_same_plan(resumed.plan(3), plans[2])
    update = 0
    for plan in plans:
        assert_array_equal(plan.stage, [curriculum.stage(update + batch) for batch in range(len(plan))])
        update += len(plan)
    assert plans[0].stage[0] == 1 and plans[3].stage[-1] == 3


def test_a_short_sentence_is_shown_whole_and_the_others_from_their_least_part_on(collection):
    plan = planner(collection, curriculum=Curriculum(3, 1000, "step", min_units=3)).plan(1)
    seen = set()
    for index in range(30):
        opened, inside = sentence(collection, index)
        body = opened.sequences[inside][:-1]
        units = len(body) if opened.corpus.lang == "tha" else int(STARTS[body].sum())
        expected = slow.least_part(units, 3, 3)
        assert parts_shown(plan, index) == [expected]
        seen.add(expected)
    assert seen == {1, 2, 3}


def test_by_pieces_cuts_inside_words(collection):
    whole = Collection(collection.parts, 10, STARTS, by_pieces=True)
    for index in range(30):
        opened, inside = sentence(collection, index)
        body = len(opened.sequences[inside]) - 1
        assert whole.lengths(1, 3)[index] == min(-(-body // 3), 9) + 1
        assert whole.least_parts(3, 4)[index] == slow.least_part(body, 3, 4)


@pytest.mark.parametrize("pacing", ["epoch", "mixed"])
def test_an_epoch_visits_each_pair_as_each_of_its_parts(collection, pacing):
    curriculum = Curriculum(3, 0, pacing, min_units=2)
    plan = planner(collection, curriculum=curriculum).plan(1)
    for index, least in enumerate(collection.least_parts(3, 2)):
        assert sorted(parts_shown(plan, index)) == list(range(least, 4))
    in_order = (np.diff(plan.distil_part) >= 0).all()
    assert in_order == (pacing == "epoch")
    # From its last update on, each pair comes once, whole.
    late = planner(collection, curriculum=Curriculum(3, 1, pacing)).plan(2)
    assert [parts_shown(late, index) for index in range(30)] == [[3]] * 30


def test_a_share_of_the_draws_is_whole_from_the_start(collection):
    many = Collection([part("aaa", 4000, 5, increments=3)], 40, STARTS)
    plan = planner(many, curriculum=Curriculum(3, 10**6, "step", full_share=0.3), max_tokens=500).plan(1)
    long = many.least_parts(3, 1)[plan.distil.indices] == 1
    shown = plan.distil_part[long]
    assert set(shown.tolist()) == {1, 3} and abs((shown == 3).mean() - 0.3) < 0.03


@pytest.mark.parametrize("staged", [False, True])
def test_monolingual_sentences_are_cut_with_the_pairs_if_asked(collection, staged):
    mono = MaskText(MonolingualText([part("aaa", 200, 9)], 10, STARTS))
    curriculum = Curriculum(3, 10**6, "step", min_units=2, mask=staged)
    plan = planner(collection, curriculum=curriculum, mask=mono, mask_share=0.5).plan(1)
    least = mono.mono.text.least_parts(3, 2)[plan.mask.indices]
    assert_array_equal(plan.mask_part, least if staged else 3)
    shown = mono.shown_lengths(plan.mask.indices, plan.mask_part, 3)
    for index, each, length in zip(plan.mask.indices, plan.mask_part, shown):
        assert length == mono.mono.text.lengths(int(each), 3)[index]
    assert (shown < mono.lengths(plan.mask.indices)).any() == staged
    tokens = mono.tokens(plan.mask.indices, int(shown.max()), shown)
    assert_array_equal((tokens == 2).argmax(axis=1), shown - 1)  # EOS right behind what is shown
    assert_array_equal(mono.ends(plan.mask.indices), 1)


def test_plateau_changes_the_next_epoch_and_no_other(collection):
    policy = Curriculum(3, 0, "plateau")
    first = planner(collection, curriculum=policy)
    plans = {1: first.plan(1), 2: first.plan(2)}
    begins = first.first_update(3)
    assert begins == len(plans[1]) + len(plans[2])
    first.plateau.changes.append(begins)
    plans[3] = first.plan(3)
    assert {epoch: set(plan.stage.tolist()) for epoch, plan in plans.items()} == {1: {1}, 2: {1}, 3: {2}}
    state = first.state_dict(3)
    resumed = planner(collection, curriculum=policy)
    resumed.plan(3)  # fairseq asks for the epoch before it hands the state back
    resumed.load_state_dict(state)
    known = {3: begins, 4: begins + len(plans[3])}  # without planning any earlier epoch again
    assert known.items() <= resumed._first_updates.items()
    assert_same_plan(resumed.plan(3), plans[3])
    assert resumed.first_update(4) == first.first_update(4) == begins + len(plans[3])
    # From the list alone, without the numbers of updates, the same plans come again.
    again = planner(collection, curriculum=policy)
    again.plateau.changes.append(begins)
    for epoch in (3, 2, 1):
        assert_same_plan(again.plan(epoch), plans[epoch])


def test_another_curriculum_cannot_go_on(collection):
    state = planner(collection, curriculum=Curriculum(3, 25)).state_dict(1)
    with pytest.raises(CheckpointError, match="pacing linear there, root here.*--reset-dataloader"):
        planner(collection, curriculum=Curriculum(3, 25, "root")).load_state_dict(state)
    with pytest.raises(CheckpointError, match="updates 25 there, 50 here"):
        planner(collection, curriculum=Curriculum(3, 50)).load_state_dict(state)
    derived = planner(collection, curriculum=Curriculum(3, 50), free_updates=True)
    derived.load_state_dict(state)
    assert derived.curriculum.updates == derived.plateau.curriculum.updates == 25


def test_temperature_lifts_the_small_language(collection):
    counts = np.bincount(collection.corpus_of(planner(collection, temperature=1e9).plan(1).distil.indices), minlength=3)
    assert_array_equal(counts, [10, 10, 10])
    assert planner(collection).plan(1).distil.sizes().sum() == 30


def test_scarce_monolingual_text_is_not_repeated_without_end(collection):
    mono = MaskText(MonolingualText([part("aaa", 1, 9)], 10, STARTS))
    plan = planner(collection, mask=mono, mask_share=0.5).plan(1)
    assert 1 <= len(plan.mask.indices) <= 4


class Counting:
    """Embeds a sentence as its number of words and characters."""

    def encode(self, sentences):
        return np.array([[len(line.split()), len(line)] for line in sentences], dtype=np.float32)


def test_the_online_teacher_embeds_the_shown_part_of_each_line(tmp_path):
    texts = [["one two three four", "ünï\u2028code"], ["a b"]]
    for number, lines in enumerate(texts):
        (tmp_path / f"{number}.eng").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    teacher = OnlineTeacher(Counting(), [tmp_path / "0.eng", tmp_path / "1.eng"], 2)
    corpora, rows = np.array([0, 1, 0]), np.array([1, 0, 0])
    for share in (1, 2):
        expected = Counting().encode([cut_words(texts[c][r], share, 2) for c, r in zip(corpora, rows)])
        assert_array_equal(teacher.embed(corpora, rows, np.full(3, share)), expected)
    mixed = Counting().encode([texts[0][1], "a", "one two"])
    assert_array_equal(teacher.embed(corpora, rows, np.array([2, 1, 1])), mixed)
    with pytest.raises(DataError, match="does not exist or is empty"):
        OnlineTeacher(Counting(), [tmp_path / "none"], 1)
