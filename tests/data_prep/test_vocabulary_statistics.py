"""Counts equal those of a slow count word by word; shares mean what they say; tokenizers of other encoders fit in."""

import io

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from vocabulary_statistics import (
    SpmVocabulary,
    TokenizerVocabulary,
    measure,
    read_spm,
    spm_file,
)

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.dictionary import SPECIALS, Dictionary, laser_dictionary
from fairseq_distill.text import normalise
from tests.reference.vocabulary import count

TEXT = [
    "Habari ya asubuhi, rafiki yangu!",
    "Ninapenda kusoma vitabu vya historia.",
    "ሰላም ለሁሉም ሰው",
    "Bei ya 2,500 imepanda",
]
ODD = [
    "", "   ", "…", "habari ya", "😀😀 habari 😀", "Éàü naïve", "مرحبا بالعالم", "▁ ▁▁ habari", "a\u2028b\u0085c", "ሰ ላ ም", "1 2 3",
    "ya-ya (ya) ya.", "ﷺ ﬁ",
]  # fmt: skip


def spm(size=45, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line.lower() for line in TEXT * 20]), model_writer=model, vocab_size=size,
        character_coverage=options.pop("character_coverage", 1.0), minloglevel=2, num_threads=1, **options,
    )  # fmt: skip
    return model.getvalue()


MODEL = spm()


def frequency_of(vocabulary, lines):
    return vocabulary.frequency([normalise(line) for line in lines])


@pytest.mark.parametrize("without", [0, 12])
def test_counts_equal_a_slow_count(without):
    reference = sentencepiece.SentencePieceProcessor(model_proto=MODEL)
    pieces = [reference.id_to_piece(i) for i in range(reference.get_piece_size())]
    dictionary = laser_dictionary(pieces[: len(pieces) - without], "spm+1")
    vocabulary = SpmVocabulary(MODEL, "x.spm", dictionary)
    frequency = frequency_of(vocabulary, TEXT * 3)
    row = measure(vocabulary, "swa", TEXT + ODD, "given", frequency)
    expected = count(
        reference,
        TEXT + ODD,
        lambda i: not reference.is_unknown(i) and i < len(pieces) - without,
        frequency,
        defaults.RARE_PIECE,
    )
    assert {name: getattr(row, name) for name in expected} == expected
    assert (row.lang, row.vocabulary, row.name, row.size, row.sentences) == (
        "swa",
        "given",
        "x.spm",
        45,
        len(TEXT + ODD),
    )
    assert row.unknown_pieces > 0 and row.whole_words > 0 and row.rare_pieces > 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abhiryz ▁,1😀ሰላ\u200d", max_size=20), max_size=6))
def test_counts_of_any_text(lines):
    vocabulary = SpmVocabulary(MODEL)
    reference = sentencepiece.SentencePieceProcessor(model_proto=MODEL)
    frequency = np.arange(45.0)
    row = measure(vocabulary, "swa", lines, "joint", frequency)
    expected = count(reference, lines, lambda i: not reference.is_unknown(i), frequency, defaults.RARE_PIECE)
    assert {name: getattr(row, name) for name in expected} == expected
    assert row.whole_words <= row.words and row.covered_characters <= row.distinct_characters
    assert row.unknown_characters <= row.characters and row.single_pieces + row.unknown_pieces <= row.pieces


def test_text_in_chunks_gives_the_same(monkeypatch):
    import vocabulary_statistics

    vocabulary = SpmVocabulary(MODEL)
    whole = measure(vocabulary, "swa", TEXT + ODD, "joint", frequency_of(vocabulary, TEXT))
    monkeypatch.setattr(vocabulary_statistics, "_CHUNK", 3)
    assert measure(vocabulary, "swa", TEXT + ODD, "joint", frequency_of(vocabulary, TEXT)) == whole


def test_frequency_is_that_of_the_ids():
    vocabulary = SpmVocabulary(MODEL)
    frequency = vocabulary.frequency(["ya ya", "ya", ""])
    assert frequency.sum() == 3 and frequency[vocabulary.spm.piece_to_id("▁ya")] == 3 and len(frequency) == 45


def test_a_character_of_bytes_counts_once():
    model = spm(299, byte_fallback=True, character_coverage=0.98)
    row = measure(SpmVocabulary(model), "swa", ["ya 😀ሰé"], "given")
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert any(reference.is_byte(i) for i in reference.encode("ya 😀ሰé", out_type=int))
    assert (row.characters, row.unknown_characters, row.unknown_pieces) == (5, 0, 0)


def test_languages_without_spaces_are_counted_in_characters():
    row = measure(SpmVocabulary(MODEL), "tha", ["habari ya"], "joint")
    assert (row.units, row.words, row.whole_share) == (8, 0, None)
    assert row.rare_share is None


def test_shares_of_a_row():
    row = measure(SpmVocabulary(MODEL), "swa", ["ya ya zz"], "joint")
    # "zz": a piece for the space, and one for both unknown letters.
    assert (row.pieces, row.units, row.words, row.whole_words) == (4, 3, 3, 2)
    assert (row.unknown_piece_share, row.unknown_share) == (1 / 4, 2 / 6)
    assert (row.single_share, row.whole_share, row.coverage) == (1 / 4, 2 / 3, 2 / 3)
    assert (row.per_unit, row.per_sentence) == (4 / 3, 4.0)


def test_no_text_gives_shares_of_zero():
    row = measure(SpmVocabulary(MODEL), "swa", [], "joint", np.zeros(45))
    assert (row.per_unit, row.per_sentence, row.unknown_share, row.single_share, row.rare_share) == (0, 0, 0, 0, 0)


def word_piece():
    tokens = ["[UNK]", "habari", "ya", "##ko", ",", "a", "##b"]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return TokenizerVocabulary(tokenizer, 0, "sbert:x")


def test_a_tokenizer_that_gives_up_on_whole_words():
    row = measure(word_piece(), "swa", ["habari yako, ሰላም", "ab b", ""], "teacher")
    assert (row.pieces, row.units, row.characters) == (8, 5, 17)
    assert (row.unknown_pieces, row.unknown_characters) == (2, 4)  # ሰላም; b, which no word begins with
    assert (row.words, row.whole_words) == (5, 1)  # habari; yako and ab are cut
    assert row.single_pieces == 3  # the comma, a, ##b
    assert (row.distinct_characters, row.covered_characters) == (12, 9)


def test_a_tokenizer_of_bytes():
    tokenizer = Tokenizer(
        models.BPE({character: i for i, character in enumerate(pre_tokenizers.ByteLevel.alphabet())}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    row = measure(TokenizerVocabulary(tokenizer, None, "x"), "swa", ["ya ሰላ"], "teacher")
    assert (row.characters, row.unknown_characters, row.words, row.pieces) == (4, 0, 2, 9)
    assert row.coverage == 1.0


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00\x01\x02"])
def test_what_is_no_model_is_said(tmp_path, content):
    (tmp_path / "x.spm").write_bytes(content)
    with pytest.raises(DataError, match="x.spm is (empty|not a SentencePiece model)"):
        read_spm(tmp_path / "x.spm")
    with pytest.raises(DataError, match="nowhere.spm does not exist"):
        spm_file(tmp_path / "nowhere.spm")


def test_spaces_behind_words_are_refused():
    with pytest.raises(ConfigError, match="treat_whitespace_as_suffix"):
        SpmVocabulary(spm(40, treat_whitespace_as_suffix=True), "x.spm")


def test_a_piece_that_the_dictionary_lacks_is_unknown(tmp_path):
    (tmp_path / "x.spm").write_bytes(MODEL)
    assert measure(spm_file(tmp_path / "x.spm"), "swa", ["ya"], "given").unknown_pieces == 0
    assert (
        measure(spm_file(tmp_path / "x.spm", Dictionary([*SPECIALS, "a"])), "swa", ["ya"], "given").unknown_pieces == 1
    )
