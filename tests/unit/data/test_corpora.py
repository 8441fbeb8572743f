"""Collections against loops; the planner's epochs as functions of seed, epoch and options."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairseq_distill.data.corpora import Collection, Part
from fairseq_distill.data.curriculum import Curriculum, cut_words
from fairseq_distill.data.mask_units import MaskText, MonolingualText
from fairseq_distill.data.online_teacher import OnlineTeacher
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.errors import DataError
from fairseq_distill.formats.binarised import Sequences
from fairseq_distill.formats.manifest import Corpus

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


def test_a_planner_that_starts_late_finds_the_same_plan(collection):
    curriculum = Curriculum(3, 25)
    early = planner(collection, curriculum=curriculum)
    plans = [early.plan(epoch) for epoch in (1, 2, 3, 4)]
    late = planner(collection, curriculum=curriculum).plan(3)
    assert_array_equal(late.distil.indices, plans[2].distil.indices)
    update = 0
    for plan in plans:
        assert_array_equal(plan.increment, [curriculum.increment(update + batch) for batch in range(len(plan))])
        update += len(plan)
    assert plans[0].increment[0] == 1 and plans[3].increment[-1] == 3


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
        assert_array_equal(teacher.embed(corpora, rows, share), expected)
    with pytest.raises(DataError, match="does not exist or is empty"):
        OnlineTeacher(Counting(), [tmp_path / "none"], 1)
