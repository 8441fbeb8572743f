"""The text path: LASER's normalisation, and ids that equal binarising the pieces with ``dict.txt``."""

import io
import random
import unicodedata

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from fairseq_distill.errors import DataError
from fairseq_distill.formats.dictionary import BOS, EOS, PAD, SPECIALS, UNK, Dictionary, parse_dictionary
from fairseq_distill.text import StudentTokenizer, normalise, strip_controls

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    "line, expected",
    [
        ("Habari YA Asubuhi", "habari ya asubuhi"),
        ("  a \t b\u00a0\u2003c  ", "a b c"),
        ("a\u200bb\u00adc\x00d", "a b c d"),  # category C: format, soft hyphen, control
        ("a\u2028b\x85c", "a b c"),
        ("\ufeffa", "a"),
        ("“Ndiyo”, alisema.", '"ndiyo," alisema.'),
        ("‘a’ ‚b‛", '"a" "b‛'),  # as the Perl script, where sacremoses alone differs
        ("can’t", "can't"),
        ("«a»", '"a"'),
        ("a – b — c…", "a - b - c..."),
        ("50 % ( a ) !", "50% (a)!"),
        ("İSTANBUL", "i̇stanbul"),
        ("ሰላም፣ ዓለም።", "ሰላም፣ ዓለም።"),
        ("ⵜⴰⵎⴰⵣⵉⵖⵜ", "ⵜⴰⵎⴰⵣⵉⵖⵜ"),
        ("&amp; <b>", "&amp; <b>"),  # LASER does not unescape
        ("", ""),
        (" \u200b ", ""),
    ],
)
def test_normalise(line, expected):
    assert normalise(line) == expected


@given(TEXT)
def test_a_normalised_line_is_one_clean_lower_case_line(line):
    result = normalise(line)
    assert not any(unicodedata.category(character) == "Cc" or character in "\u2028\u2029" for character in result)
    assert result == " ".join(result.split()) == result.lower()


@given(TEXT)
def test_stripping_controls_keeps_everything_else(line):
    result = strip_controls(line)
    assert not any(unicodedata.category(character).startswith("C") for character in result)
    kept = [c for c in line if not unicodedata.category(c).startswith("C") and not c.isspace()]
    assert [c for c in result if c != " "] == kept


def test_case_and_marks_stay_when_controls_go():
    assert strip_controls("  Ó\u200d“A”\tb ") == "Ó “A” b"


# --- the tokeniser

SYLLABLES = ["ha", "ba", "ri", "ya", "a", "su", "bu", "hi", "m", "zee", "ni", "ku", "wa", "ka", "ti"]


def invented_lines(n, seed=1):
    rng = random.Random(seed)
    word = lambda: "".join(rng.choices(SYLLABLES, k=rng.randint(1, 4)))  # noqa: E731
    return [" ".join(word() for _ in range(rng.randint(1, 12))) for _ in range(n)]


@pytest.fixture(scope="module")
def model():
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(invented_lines(500)),
        model_writer=proto,
        vocab_size=60,
        minloglevel=2,
        num_threads=1,
    )
    return proto.getvalue()


@pytest.fixture(scope="module")
def dictionary(model):
    spm = sentencepiece.SentencePieceProcessor(model_proto=model)
    return parse_dictionary([f"{spm.id_to_piece(i)} 1" for i in range(3, spm.get_piece_size())], "dict.txt")


@pytest.fixture(scope="module")
def tokenizer(model, dictionary):
    return StudentTokenizer(model, dictionary)


ODD = ["", " ", "HABARI “ya”", "ሰላም", "habari ሰላም ya", "</s> <s> <unk> <pad>", "a\u2028b", "a" * 300, "1 ▁ 2"]


def test_ids_equal_looking_each_piece_up(tokenizer, dictionary):
    lines = invented_lines(50, seed=2) + ODD
    slow = [[dictionary.index.get(piece, UNK) for piece in pieces] + [EOS] for pieces in tokenizer.pieces(lines)]
    assert [ids.tolist() for ids in tokenizer.encode(lines)] == slow
    assert all(ids.dtype == np.int64 for ids in tokenizer.encode(lines))


def test_an_id_is_the_models_plus_one(model, tokenizer):
    spm = sentencepiece.SentencePieceProcessor(model_proto=model)
    for line in invented_lines(20, seed=3):
        assert tokenizer.encode([line])[0].tolist() == [i + 1 for i in spm.encode(line)] + [EOS]


@given(TEXT)
def test_no_text_makes_a_special_id_but_the_eos_at_the_end(tokenizer, line):
    ids = tokenizer.encode([line])[0].tolist()
    assert ids[-1] == EOS
    assert not {BOS, PAD, EOS} & set(ids[:-1])


def test_an_empty_line_is_eos_alone_and_the_unknown_is_unk(tokenizer):
    assert [ids.tolist() for ids in tokenizer.encode(["", " \u200b "])] == [[EOS], [EOS]]
    assert UNK in tokenizer.encode(["ሰላም"])[0]


def test_a_line_is_the_same_alone_and_among_others(tokenizer):
    lines = invented_lines(30, seed=4) + ODD
    together = [ids.tolist() for ids in tokenizer.encode(lines)]
    assert together == [tokenizer.encode([line])[0].tolist() for line in lines]


@pytest.mark.parametrize("longest", [1, 2, 5, 1000])
def test_a_long_line_keeps_its_first_pieces_and_its_eos(tokenizer, longest):
    lines = invented_lines(20, seed=5)
    for cut, whole in zip(tokenizer.encode(lines, longest), tokenizer.encode(lines)):
        expected = whole.tolist() if len(whole) <= longest else whole.tolist()[: longest - 1] + [EOS]
        assert cut.tolist() == expected and len(cut) <= longest


def test_pieces_that_the_dictionary_lacks_are_unknown(model, dictionary):
    fewer = Dictionary([*SPECIALS, *dictionary.symbols[6:]])  # without the first two pieces
    lines = invented_lines(10, seed=6)
    whole, cut = (StudentTokenizer(model, known).encode(lines) for known in (dictionary, fewer))
    assert [ids.tolist() for ids in cut] == [[i if i < 4 else UNK if i < 6 else i - 2 for i in ids] for ids in whole]
    assert any(UNK in ids for ids in cut)


@pytest.mark.parametrize("pieces", [[], ["▁x1", "▁x2"], ["a", "b", "k", "▁x1"]])
def test_a_dictionary_of_another_student_is_refused(model, pieces):
    known = len({"a", "b", "k"} & set(pieces))
    with pytest.raises(DataError, match=f"holds {known} of the SentencePiece model's 57 pieces: they belong to diff"):
        StudentTokenizer(model, Dictionary([*SPECIALS, *pieces]))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x0a\x00" * 50])
def test_what_is_no_model_is_refused(dictionary, content):
    with pytest.raises(DataError, match="The SentencePiece model cannot be read"):
        StudentTokenizer(content, dictionary)
