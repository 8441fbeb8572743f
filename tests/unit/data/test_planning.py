"""What an epoch is made of: pairs, the teacher's own language, monolingual text and pairs for TLM in their shares."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairseq_distill.data.corpora import Collection, Part
from fairseq_distill.data.curriculum import Curriculum
from fairseq_distill.data.mask_units import MaskText, MonolingualText, PairedText
from fairseq_distill.data.planning import EpochPlanner, sentences_to_fit
from fairseq_distill.data.sampling import draw_epoch, draw_span, scattered
from fairseq_distill.formats.binarised import Sequences
from fairseq_distill.formats.manifest import Corpus

STARTS = np.zeros(50, dtype=bool)


def part(kind, lang, n, seed):
    rng = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        lengths = rng.integers(2, 15, n).astype(np.int32)
        ends = np.cumsum(lengths, dtype=np.int64)
        tokens = rng.integers(4, 50, int(lengths.sum())).astype(np.uint16)
        tokens[ends - 1] = 2
        sides.append(Sequences(tokens, ends - lengths, lengths))
    corpus = Corpus(f"c{seed}", kind, "train", lang, n, "x", "x.txt", "eng", "y.txt", ["t.npy"])
    return Part(corpus, sides[0], [np.zeros((n, 3), np.float16)], sides[1] if kind == "distil" else None)


PAIRS = [part("distil", "aaa", 3000, 1), part("distil", "bbb", 1000, 2)]
OWN = [part("self", "eng", 20_000, 3), part("self", "eng", 5000, 4)]
MONO = [part("mask", "aaa", 9000, 5)]


def planner(parts, mono=(), pairs=(), block=None, **options):
    paired = PairedText(list(pairs), 60, STARTS) if pairs else None
    text = MaskText(MonolingualText(list(mono), 60, STARTS, block), paired)
    settings = dict(temperature=1.0, mask_share=0.25, seed=3, processes=1, update_freq=[1], max_tokens=600)
    settings |= dict(max_sentences=10_000, curriculum=Curriculum())
    return EpochPlanner(Collection(parts, 60, STARTS), text, **{**settings, **options})


def counts(made, plan):
    return np.bincount(made.distil.corpus_of(plan.distil.indices), minlength=len(made.distil.parts))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_the_teachers_own_language_has_its_share_beside_one_visit_of_the_pairs(share):
    made = planner([PAIRS[0], OWN[0], PAIRS[1], OWN[1]], self_share=share)
    first, own, second, more = counts(made, made.plan(1))
    assert (first, second) == (3000, 1000)
    assert (own + more) / (4000 + own + more) == pytest.approx(share, abs=1e-3)
    assert own == pytest.approx(4 * more, abs=5)


def test_temperature_is_over_the_students_languages_not_the_teachers():
    made = planner([*PAIRS, *OWN], self_share=0.2, temperature=1e9)
    first, second, own, more = counts(made, made.plan(1))
    assert first == second == 2000 and own + more == 1000


def test_scarce_text_of_the_teachers_language_is_not_repeated_without_end():
    made = planner([PAIRS[0], part("self", "eng", 10, 7)], self_share=0.5)
    assert counts(made, made.plan(1)).tolist() == [3000, 40]


def test_the_teachers_language_alone_is_visited_once():
    made = planner(OWN, self_share=0.2)
    assert counts(made, made.plan(1)).tolist() == [20_000, 5000]


@pytest.mark.parametrize("mono, tlm", [(0.0, 0.2), (0.25, 0.15), (0.25, 0.0)])
@pytest.mark.parametrize("block", [None, 40])
def test_shares_of_pieces_are_kept(mono, tlm, block):
    made = planner(PAIRS, MONO, PAIRS if tlm else (), block, mask_share=mono, tlm_share=tlm)
    plan = made.plan(1)
    distilled = made.distil.lengths()[plan.distil.indices].sum()
    lengths, paired = made.mask.lengths(plan.mask.indices), plan.mask.indices >= made.mask.n_mono
    total = distilled + lengths.sum()
    assert lengths[~paired].sum() / total == pytest.approx(mono, abs=0.005)
    assert lengths[paired].sum() / total == pytest.approx(tlm, abs=0.005)


def test_scarce_monolingual_text_leaves_pairs_their_share():
    made = planner(PAIRS, [part("mask", "aaa", 20, 8)], PAIRS, mask_share=0.25, tlm_share=0.15)
    plan = made.plan(1)
    lengths, paired = made.mask.lengths(plan.mask.indices), plan.mask.indices >= made.mask.n_mono
    distilled = made.distil.lengths()[plan.distil.indices].sum()
    assert 60 <= (~paired).sum() <= 100, "each at most four times"
    assert lengths[paired].sum() / (distilled + lengths.sum()) == pytest.approx(0.15, abs=0.005)


def test_blocks_and_pairs_are_planned_from_the_seed_and_the_epoch_alone():
    options = dict(mask_share=0.2, tlm_share=0.2, self_share=0.3)
    early = planner([*PAIRS, *OWN], MONO, PAIRS, 40, **options)
    plans = [early.plan(epoch) for epoch in (1, 2, 3)]
    late = planner([*PAIRS, *OWN], MONO, PAIRS, 40, **options).plan(3)
    for name in ("distil", "mask"):
        assert_array_equal(getattr(late, name).indices, getattr(plans[2], name).indices)
        assert_array_equal(getattr(late, name).starts, getattr(plans[2], name).starts)
        assert not np.array_equal(getattr(plans[0], name).indices, getattr(plans[1], name).indices)


def test_the_fit_sees_the_teachers_language_in_its_share_and_the_pairs_first():
    collection = Collection([*PAIRS, *OWN], 60, STARTS)
    rng = lambda: np.random.default_rng(1)  # noqa: E731
    for most, share in ((1 << 30, 0.2), (1000, 0.2), (1 << 30, 0.0)):
        chosen = sentences_to_fit(collection, most, share, rng())
        assert (np.diff(chosen) > 0).all() and len(chosen) <= most
        own = (collection.corpus_of(chosen) >= 2).sum()
        assert own / len(chosen) == pytest.approx(share, abs=2e-3)
        assert len(chosen) - own == min(4000, round(most * (1 - share)))
    alone = Collection(PAIRS, 60, STARTS)
    assert_array_equal(sentences_to_fit(alone, 100, 0.2, rng()), np.sort(rng().permutation(4000)[:100]))


# --- memory

N = 60_000


def test_an_epoch_is_planned_within_a_few_bytes_a_sentence(monkeypatch):
    """The numbers of the sentences, drawn and planned: 10 bytes each; beside them windows of fixed length."""
    monkeypatch.setattr("fairseq_distill.data.batching.WINDOW", 1000)
    made = planner([part("distil", "aaa", N, 1)], mask_share=0.0)
    tracemalloc.start()
    plan = made.plan(1)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.distil.indices) == N
    assert now / N < 16  # with the lengths, 4
    assert peak / N < 44


def test_an_epoch_of_a_larger_corpus_takes_no_more_memory(monkeypatch):
    """The whole of planning: what grows is nothing."""
    monkeypatch.setattr("fairseq_distill.data.batching.WINDOW", 1000)
    peaks = []
    for n in (N, 8 * N):
        made = planner([part("distil", "aaa", n, 1)], mask_share=0.0, epoch_sentences=5000)
        tracemalloc.start()
        assert len(made.plan(3).distil.indices) == 5000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0] and peaks[1] < 2**20


def test_a_large_corpus_is_gone_through_once_before_any_sentence_comes_again():
    made = planner(PAIRS, epoch_sentences=900, mask_share=0.0)
    seen = np.zeros(4000, dtype=np.int64)
    for epoch in range(1, 11):
        plan = made.plan(epoch)
        assert len(plan.distil.indices) == 900
        seen += np.bincount(plan.distil.indices, minlength=4000)
        for part_seen in (seen[:3000], seen[3000:]):
            assert part_seen.max() - part_seen.min() <= 1
    assert seen.sum() == 9000
    again = planner(PAIRS, epoch_sentences=900, mask_share=0.0).plan(10)  # as a resumed run plans it
    assert_array_equal(again.distil.indices, plan.distil.indices)


@pytest.mark.parametrize("total", [1, 999, 1000, 1001, 2500])
def test_spans_follow_one_another_whatever_their_length(total):
    """Against the whole order of each round through the corpus, written one after the other."""
    sizes, weights, epochs = [1000, 0, 37], np.array([0.8, 0.0, 0.2]), 5
    for corpus, first, size, weight in ((0, 0, 1000, 0.8), (2, 1000, 37, 0.2)):
        count = round(total * weight)
        rounds = [scattered(np.arange(size), size, (7, corpus, r)) for r in range(epochs * count // size + 1)]
        order = np.concatenate(rounds)
        for epoch in range(1, epochs + 1):
            drawn = draw_span(sizes, weights, total, 7, epoch, np.random.default_rng(epoch))
            of_corpus = drawn[(drawn >= first) & (drawn < first + size)] - first
            assert sorted(of_corpus) == sorted(order[(epoch - 1) * count : epoch * count])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63, 64, 65, 1000, 4097])
def test_a_scattered_order_holds_every_number_once(size):
    orders = [scattered(np.arange(size), size, (1, key)) for key in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(size))
    if size > 60:
        assert not np.array_equal(orders[0], orders[1])
        some = np.random.default_rng(0).integers(0, size, 50)
        assert_array_equal(scattered(some, size, (1, 2)), orders[2][some])  # looked up place by place


def test_a_scattered_order_looks_random():
    n = 40_000
    order = scattered(np.arange(n), n, (3, 0, 0))
    uniform = (np.arange(n) + 0.5) / n
    assert abs(np.corrcoef(uniform, order)[0, 1]) < 0.02
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    counts = np.histogram2d(np.arange(n), order, bins=20)[0]  # 100 expected in each
    assert 300 < ((counts - 100) ** 2 / 100).sum() < 500
    assert 0.9 < np.mean(np.abs(np.diff(order)) / (n / 3)) < 1.1  # two numbers drawn at random lie n / 3 apart


@pytest.mark.parametrize(
    "most, share, pairs, own", [(500, 0.2, 400, 100), (500, 0.0, 500, 0), (10**6, 0.5, 4000, 4000)]
)
def test_the_fit_to_a_huge_corpus_draws_without_an_array_of_its_length(monkeypatch, most, share, pairs, own):
    monkeypatch.setattr("fairseq_distill.data.planning._PERMUTED", 1000)
    collection = Collection([PAIRS[0], OWN[0], PAIRS[1], OWN[1]], 60, STARTS)
    chosen = sentences_to_fit(collection, most, share, np.random.default_rng(1))
    assert (np.diff(chosen) > 0).all()
    assert np.isin(collection.corpus_of(chosen), [1, 3]).sum() == own and len(chosen) == pairs + own
    assert len(set(collection.corpus_of(chosen).tolist())) == (4 if own else 2)


def test_draws_of_an_epoch_equal_those_made_with_an_array_for_each_step():
    sizes, weights = [700, 0, 30, 200], np.array([0.5, 0.0, 0.3, 0.2])
    for total in (3, 100, 930, 5000):
        rng, parts = np.random.default_rng(total), []
        for first, size, weight in zip([0, 700, 700, 730], sizes, weights):
            if size and (wanted := round(total * weight)):
                parts.append(np.tile(np.arange(size), wanted // size) + first)
                parts.append(rng.choice(size, wanted % size, replace=False) + first)
        expected = rng.permutation(np.concatenate(parts))
        drawn = draw_epoch(sizes, weights, total, np.random.default_rng(total))
        assert drawn.dtype == np.int64
        assert drawn.tolist() == expected.tolist()


def test_a_part_longer_than_the_longest_sentence_is_cut_to_it():
    made = Collection([PAIRS[0]], 5, STARTS, by_pieces=True)
    pieces = PAIRS[0].sequences.lengths.astype(int) - 1
    shown = made.shown_lengths(np.arange(3000), np.full(3000, 3, np.int16), 4)
    assert_array_equal(shown, np.minimum(-(-pieces * 3 // 4), 4) + 1)
    assert (shown == 5).sum() > 1000


def test_a_smaller_last_update_is_an_update_too():
    made = planner([PAIRS[0]], processes=2, update_freq=[2])
    plan = made.plan(1)
    assert len(plan) == 42 and plan.updates == 11
