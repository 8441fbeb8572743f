"""Sentences, blocks and pairs for MLM against loops, and under one numbering."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fairseq_distill.data.corpora import Part
from fairseq_distill.data.mask_units import MaskText, MonolingualText, PairedText, block_firsts
from fairseq_distill.formats.binarised import Sequences
from fairseq_distill.formats.manifest import Corpus
from tests.reference import masking as reference

EOS, PAD = 2, 1
STARTS = np.zeros(60, dtype=bool)
STARTS[4:30] = True
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=120)


def sentences(lengths, seed):
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths, dtype=np.int32)
    tokens = rng.integers(4, 60, int(lengths.sum())).astype(np.uint16)
    ends = np.cumsum(lengths, dtype=np.int64)
    tokens[ends - 1] = EOS
    return Sequences(tokens, ends - lengths, lengths)


def part(lengths, seed=1, lang="swa", tgt=None, tgt_lang="eng"):
    kind = "mask" if tgt is None else "distil"
    corpus = Corpus(f"c{seed}", kind, "train", lang, len(lengths), "x", "x.txt", tgt_lang if tgt else None)
    return Part(corpus, sentences(lengths, seed), [], sentences(tgt, seed + 100) if tgt else None)


@given(LENGTHS, st.integers(2, 50))
def test_blocks_are_filled_one_sentence_at_a_time(lengths, longest):
    firsts = block_firsts(np.array(lengths, dtype=np.int32), longest)
    assert list(zip(firsts[:-1].tolist(), np.diff(firsts).tolist())) == reference.blocks(lengths, longest)


def test_no_sentence_gives_no_block():
    assert block_firsts(np.empty(0, np.int32), 10).tolist() == [0]


@given(LENGTHS, LENGTHS, st.integers(2, 30))
def test_blocks_hold_every_piece_once_and_stay_within_one_corpus(first, second, longest):
    parts = [part(first, 1), part(second, 2)]
    text = MonolingualText(parts, 30, STARTS, longest)
    n = int(sum(text.sizes))
    lengths = text.lengths(np.arange(n))
    assert text.pieces() == lengths.sum()
    assert (lengths <= 30).all()
    rows = text.tokens(np.arange(n), int(lengths.max()))
    unit = 0
    for whole in parts:
        for begin, count in reference.blocks(whole.sequences.lengths.tolist(), longest):
            joined = np.concatenate([whole.sequences[begin + k] for k in range(count)]).tolist()
            expected = joined if len(joined) <= 30 else [*joined[:29], EOS]
            assert rows[unit].tolist() == expected + [PAD] * (rows.shape[1] - len(expected))
            assert text.maskable(np.array([unit]))[0] == sum(token > EOS for token in expected)
            unit += 1
    assert unit == n


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=30), st.integers(2, 40))
def test_pairs_equal_a_loop(lengths, longest):
    src, tgt = [list(side) for side in zip(*lengths)]
    one = part(src, tgt=tgt)
    pairs = PairedText([one], longest, STARTS)
    order = np.random.default_rng(0).permutation(len(src))
    width = int(pairs.lengths(order).max()) + 1
    rows = pairs.tokens(order, width)
    for row, index in zip(rows, order):
        expected = reference.pair(one.sequences[index], one.target[index], longest)
        assert row.tolist() == expected + [PAD] * (width - len(expected))
        assert pairs.lengths(np.array([index]))[0] == len(expected) <= longest
        assert pairs.maskable(np.array([index]))[0] == sum(token > EOS for token in expected)


def test_one_numbering_over_monolingual_text_and_pairs():
    mono = MonolingualText([part([5, 3], 1), part([4], 2, lang="tha")], 20, STARTS)
    pairs = PairedText([part([4, 6], 3, tgt=[3, 9]), part([2], 4, tgt=[2], lang="tha")], 20, STARTS)
    text = MaskText(mono, pairs)
    assert len(text) == 6 and text.n_mono == 3
    assert text.lengths(np.arange(6)).tolist() == [5, 3, 4, 7, 15, 4]
    assert text.maskable(np.arange(6)).tolist() == [4, 2, 3, 5, 13, 2]
    order = np.array([4, 0, 5, 2])
    rows = text.tokens(order, 15)
    assert_array_equal(rows[1:2], mono.tokens(np.array([0]), 15))
    assert_array_equal(rows[3:4], mono.tokens(np.array([2]), 15))
    assert_array_equal(rows[[0, 2]], pairs.tokens(np.array([1, 2]), 15))


def test_pieces_are_words_in_languages_without_spaces_only():
    mono = MonolingualText([part([5], 1), part([4], 2, lang="tha")], 20, STARTS)
    pairs = PairedText([part([3], 3, tgt=[4], lang="tha")], 20, STARTS)  # Thai, then English
    flags = MaskText(mono, pairs).unspaced(np.array([0, 1, 2]), 7)
    assert not flags[0].any() and flags[1].all()
    assert flags[2].tolist() == [True] * 3 + [False] * 4


@pytest.mark.parametrize("block", [None, 10])
def test_no_monolingual_text_at_all(block):
    text = MaskText(MonolingualText([], 20, STARTS, block))
    assert len(text) == 0 and text.maskable(np.empty(0, np.int64)).tolist() == []
