"""``dict.txt`` and ``.cvocab`` files are read as fairseq reads them, and what is written can be read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_distill.errors import CheckpointError, DataError
from fairseq_distill.formats.dictionary import (
    BOS,
    EOS,
    PAD,
    SPECIALS,
    UNK,
    Dictionary,
    fit_to_rows,
    laser_dictionary,
    parse_dictionary,
    read_dictionary,
    write_cvocab,
    write_dictionary,
)

OVERWRITE = "#fairseq:overwrite"
PIECE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8)
PIECES = st.lists(PIECE.filter(lambda piece: piece not in SPECIALS), unique=True)


def test_pieces_follow_the_four_specials(tmp_path):
    path = tmp_path / "dict.txt"
    write_dictionary(path, ["▁a", "b", "▁"])
    assert path.read_text(encoding="utf-8") == "▁a 1\nb 1\n▁ 1\n"
    dictionary = read_dictionary(path)
    assert dictionary.symbols == ["<s>", "<pad>", "</s>", "<unk>", "▁a", "b", "▁"]
    assert [dictionary.id(symbol) for symbol in dictionary.symbols] == [0, 1, 2, 3, 4, 5, 6]
    assert (BOS, PAD, EOS, UNK) == (0, 1, 2, 3) and len(dictionary) == 7
    assert dictionary.id("nowhere") == UNK


@given(PIECES)
def test_text_of_a_dictionary_gives_it_again(pieces):
    dictionary = Dictionary([*SPECIALS, *pieces])
    again = parse_dictionary(dictionary.text.split("\n")[:-1], "dict.txt")
    assert again.symbols == dictionary.symbols and again.index == dictionary.index


@given(st.lists(PIECE | st.sampled_from(SPECIALS), max_size=12))
def test_text_with_repeated_symbols_gives_it_again(pieces):
    dictionary = Dictionary([*SPECIALS, *pieces, *pieces[:2]])
    again = parse_dictionary(dictionary.text.split("\n")[:-1], "dict.txt")
    assert again.symbols == dictionary.symbols and again.index == dictionary.index


def test_flagged_lines_take_new_rows_as_laser2_needs():
    # The published vocabulary: 50,000 lines, of which three repeat specials under the flag; the model has 50,004 rows.
    flagged = [f"{special} 1 {OVERWRITE}" for special in ("<unk>", "<s>", "</s>")]
    dictionary = parse_dictionary(flagged + [f"p{i} 1" for i in range(49_997)], "laser2.cvocab")
    assert len(dictionary) == 50_004
    assert [dictionary.id(special) for special in SPECIALS] == [0, 1, 2, 3]
    assert dictionary.id("p0") == 7 and dictionary.id("p49996") == 50_003


def test_of_a_repeated_piece_the_last_row_counts():
    dictionary = parse_dictionary(["a 5", "b 4", f"a 3 {OVERWRITE}"], "dict.txt")
    assert dictionary.symbols[4:] == ["a", "b", "a"]
    assert dictionary.id("a") == 6


@pytest.mark.parametrize("piece", ["a", "</s>", "<pad>"])
def test_a_repeated_piece_without_the_flag_is_refused(piece):
    with pytest.raises(DataError, match=f"dict.txt, line 3: '{piece}' stands twice; flag it #fairseq:overwrite"):
        parse_dictionary(["a 1", "b 1", f"{piece} 1"], "dict.txt")


@pytest.mark.parametrize("line", ["", "a", "a ", " 1", "a x", "a 1.5", "a 1 #fairseq:other", OVERWRITE])
def test_a_line_that_is_not_piece_and_count_is_named(line):
    with pytest.raises(DataError, match="dict.txt, line 2: .* is not 'piece count'"):
        parse_dictionary(["a 1", line], "dict.txt")


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "dict.txt"
    path.write_bytes("\ufeff▁a 10\r\nb 2\r\n".encode("utf-8"))
    assert read_dictionary(path).symbols[4:] == ["▁a", "b"]


def test_pieces_that_look_like_something_else(tmp_path):
    pieces = ["\u2028", "1", "#", "a\u00a0b", OVERWRITE, "\ufeffx"]
    path = tmp_path / "dict.txt"
    write_dictionary(path, pieces)
    assert read_dictionary(path).symbols[4:] == pieces


@pytest.mark.parametrize("pieces", [["a", "b", "a"], ["a", "<unk>"]])
def test_a_dictionary_that_could_not_be_read_again_is_not_written(tmp_path, pieces):
    with pytest.raises(ValueError, match="stands twice"):
        write_dictionary(tmp_path / "dict.txt", pieces)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_and_a_missing_file(tmp_path):
    (tmp_path / "dict.txt").touch()
    assert read_dictionary(tmp_path / "dict.txt").symbols == list(SPECIALS)
    with pytest.raises(DataError, match="nothing.txt does not exist"):
        read_dictionary(tmp_path / "nothing.txt")


SPM_PIECES = ["<unk>", "<s>", "</s>", "▁", "▁the", "a"]  # in SentencePiece's order


@pytest.mark.parametrize("style, offset, rows", [("spm+1", 1, 7), ("spm+4", 4, 10)])
def test_cvocab_of_a_sentencepiece_model_in_both_styles(tmp_path, style, offset, rows):
    written = write_cvocab(tmp_path / "x.cvocab", SPM_PIECES, style)
    dictionary = read_dictionary(tmp_path / "x.cvocab")
    assert dictionary.symbols == written.symbols == laser_dictionary(SPM_PIECES, style).symbols
    assert len(dictionary) == rows and dictionary.style == style
    for spm_id, piece in enumerate(SPM_PIECES[3:], start=3):
        assert dictionary.id(piece) == spm_id + offset
    assert [dictionary.id(special) for special in SPECIALS] == [0, 1, 2, 3]


def test_cvocab_flags_the_specials_and_nothing_else(tmp_path):
    write_cvocab(tmp_path / "x.cvocab", SPM_PIECES, "spm+4")
    lines = (tmp_path / "x.cvocab").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == [f"{piece} 1 {OVERWRITE}" for piece in SPM_PIECES[:3]] and lines[3:] == ["▁ 1", "▁the 1", "a 1"]
    with pytest.raises(ValueError, match="none of the styles"):
        write_cvocab(tmp_path / "y.cvocab", SPM_PIECES, "spm+3")


def test_a_dictionary_fits_its_rows_or_one_more_for_mask():
    dictionary = laser_dictionary(SPM_PIECES, "spm+4")
    assert fit_to_rows(dictionary, 10, "x.cvocab", "x.pt") is dictionary
    assert fit_to_rows(dictionary, 11, "x.cvocab", "x.pt").symbols == [*dictionary.symbols, "<mask>"]
    masked = Dictionary([*dictionary.symbols, "<mask>"])
    for wrong, rows in ((dictionary, 9), (dictionary, 12), (masked, 12)):
        with pytest.raises(CheckpointError, match=f"x.pt has {rows} rows of embeddings, but x.cvocab makes"):
            fit_to_rows(wrong, rows, "x.cvocab", "x.pt")
