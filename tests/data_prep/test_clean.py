import gzip
import subprocess
import sys
from pathlib import Path

import clean
import numpy as np
import plan_file
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fairseq_distill import defaults
from fairseq_distill.errors import DataError
from fairseq_distill.languages import parse_language
from fairseq_distill.text import normalise

LATIN = frozenset({"Latn"})
ETHIOPIC = frozenset({"Ethi"})


def reasons_of(pairs, scripts=(LATIN, LATIN), light=False):
    sides = [[clean.tidy(line) for line in side] for side in zip(*pairs)]
    keys = [clean.line_keys(side) for side in sides]
    return [clean.REASONS[r] for r in clean.judge(sides, keys, list(scripts), light)]


@pytest.mark.parametrize(
    "pair, reason",
    [
        (("Habari ya asubuhi.", "Good morning."), "kept"),
        (("", "Good morning."), "empty"),
        (("  \u200b\t", "Good morning."), "empty"),
        (("neno " * 300, "word " * 300), "too_long"),
        (("Ndiyo.", "I think that this is not what we wanted."), "length_ratio"),
        (("Hapa.", "Over here!"), "kept"),  # short sides are not judged by their ratio
        (("Nairobi, Kenya", "NAIROBI - Kenya!"), "identical"),
        (("2010 - 2012: 34 %", "2010 - 2012: 35 %"), "too_few_letters"),
        (("Привет, как дела", "Hello, how are you"), "wrong_script"),
        (("Ofisi ya Москва", "The Moscow office"), "kept"),
    ],
)
def test_each_reason_for_dropping_a_pair(pair, reason):
    assert reasons_of([pair]) == [reason]


def test_the_script_is_the_languages_own():
    assert reasons_of([("ሰላም ለዓለም ሁሉ", "Peace to all the world")], (ETHIOPIC, LATIN)) == ["kept"]
    assert reasons_of([("Selam lealem hulu", "Peace to all the world")], (ETHIOPIC, LATIN)) == ["wrong_script"]


def test_marks_belong_to_their_letters_and_unknown_scripts_are_no_script():
    # Devanagari vowel signs are marks; without them two thirds of this line would be no letters.
    share, expected = clean.letter_shares(["हिन्दी में लिखा", "", "123", "áé"], frozenset({"Deva"}))
    assert share[0] == 1.0 and expected[0] == 1.0
    assert share[1] == 0.0 and share[2] == 0.0
    assert expected[3] == 0.0


def test_letter_shares_equal_a_loop_over_characters():
    from fairseq_distill.languages import script_of

    lines = ["abc ሀለ 12!", "  ", "漢字 and kana かな", "ⵜⴰⵎ x", "é\u0301 \u3000z", ""]
    share, expected = clean.letter_shares(lines, LATIN)
    for line, got_share, got_expected in zip(lines, share, expected):
        scripts = [script_of(c) for c in line]
        letters = [s for s in scripts if s]
        visible = [c for c in line if not c.isspace()]
        known = [s for s in letters if s != "Zyyy"]
        assert got_share == pytest.approx(len(letters) / max(len(visible), 1))
        assert got_expected == pytest.approx(known.count("Latn") / len(known) if known else 1.0)


def test_evaluation_text_loses_nothing_but_empty_pairs():
    pairs = [("12", "12"), ("Привет", "x" * 2000), ("", "A")]
    assert reasons_of(pairs, light=True) == ["kept", "kept", "empty"]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30))
@example("«Ndiyo» alisema: ‘hapana’… 1 000")
@example("ΟΔΟΣ ΑΘΗΝΑΣ")
@example("İstanbul")
@example("a\u2028b\u0085c")
def test_what_the_student_cannot_tell_apart_has_one_key(line):
    line = clean.tidy(line)
    assume(any(map(str.isalnum, line)))  # a line of punctuation stands for itself
    assert clean.line_keys([line]) == clean.line_keys([normalise(line)])


def test_keys_tell_apart_what_differs_in_marks_digits_or_letters():
    lines = ["ọ̀rọ̀", "orọ", "oro", "oro 1", "oro 2", "---", "--", ""]
    assert len(set(clean.line_keys(lines).tolist())) == len(lines)


def test_tidy_keeps_case_and_punctuation_and_composes():
    assert clean.tidy("  Cafe\u0301\u00a0 «Ñ»\u200b\x00 ") == "Café «Ñ»"


def test_script_of_an_unknown_language_is_the_texts_own(tmp_path):
    text = tmp_path / "x.shi"
    text.write_text("ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ\nabc\n", encoding="utf-8")
    assert not parse_language("shi").scripts
    assert clean.expected_scripts("shi", str(text)) == {"Tfng"}
    assert clean.expected_scripts("shi_Latn", str(text)) == LATIN


def source_of(tmp_path, split="train"):
    return plan_file.Source(
        "c.eng-swa", "distil", split, "swa", str(tmp_path / "c.swa"), "eng", str(tmp_path / "c.eng")
    )


def cleaned(tmp_path, workers, split="train"):
    source = source_of(tmp_path, split)
    outputs = clean.clean_step(source, tmp_path / f"data{workers}").outputs
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
    return clean.clean_corpus(source, outputs, workers), outputs


def test_output_does_not_depend_on_the_number_of_workers(tmp_path, made_up, write, monkeypatch):
    import chunks

    monkeypatch.setattr(chunks, "CHUNK_LINES", 7)
    monkeypatch.setattr(clean, "in_chunks", lambda lines: chunks.in_chunks(lines, 7))
    pairs = made_up(50)
    pairs[11] = ("", "tupu")
    pairs[23] = ("same", "Same!")
    write(tmp_path / "c", pairs)
    one, files_of_one = cleaned(tmp_path, 1)
    three, files_of_three = cleaned(tmp_path, 3)
    assert one == three and one["n_in"] == 50 and one["n_out"] == 48 and one["dropped"] == {"empty": 1, "identical": 1}
    assert [path.read_bytes() for path in files_of_one] == [path.read_bytes() for path in files_of_three]
    dropped = gzip.decompress(files_of_one[2].read_bytes()).decode().splitlines()
    assert dropped == ["12\tempty\ttupu\t", "24\tidentical\tSame!\tsame"]
    keys = np.fromfile(files_of_one[3], "<u8").reshape(-1, clean.KEY_COLUMNS)
    assert len(keys) == 48 and keys[11, 2] == 13  # the line number is that of the raw file


def test_unequal_lengths_name_both_numbers_and_leave_no_file(tmp_path, made_up, write):
    write(tmp_path / "c", made_up(5))
    (tmp_path / "c.eng").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"c\.swa has 5 lines but .*c\.eng has 2"):
        cleaned(tmp_path, 1)
    assert not [path for path in (tmp_path / "data1").rglob("*") if path.is_file()]


def test_invalid_utf8_names_file_and_line_and_leaves_no_file(tmp_path, made_up, write):
    write(tmp_path / "c", made_up(5))
    lines = (tmp_path / "c.swa").read_bytes().split(b"\n")
    lines[3] = b"caf\xe9"
    (tmp_path / "c.swa").write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=r"c\.swa, line 4"):
        cleaned(tmp_path, 1)
    assert not [path for path in (tmp_path / "data1").rglob("*") if path.is_file()]


def test_gzip_and_crlf_and_byte_order_mark(tmp_path):
    (tmp_path / "c.swa.gz").write_bytes(gzip.compress("\ufeffHabari ya leo\r\nNjema sana\r\n".encode()))
    (tmp_path / "c.eng").write_text("News of today\nVery good\n")
    source = source_of(tmp_path)
    source.src += ".gz"
    outputs = clean.clean_step(source, tmp_path / "d").outputs
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
    clean.clean_corpus(source, outputs, 1)
    assert outputs[0].read_text() == "Habari ya leo\nNjema sana\n"


def test_limits_are_the_defaults():
    long_enough = "a" * defaults.MAX_CHARACTERS
    assert reasons_of([(long_enough, "b" * defaults.MAX_CHARACTERS)]) == ["kept"]
    assert reasons_of([(long_enough + "a", "b" * defaults.MAX_CHARACTERS)]) == ["too_long"]


def test_error_on_the_command_line_is_one_sentence(tmp_path):
    script = Path(clean.__file__)
    done = subprocess.run([sys.executable, script, "--data", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "plan.json does not exist" in done.stderr and "Traceback" not in done.stderr
