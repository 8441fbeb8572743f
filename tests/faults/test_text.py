"""Odd text through every way that text takes: row i stays line i, every line counts once, and bad bytes are named."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.cli.xsim import cli_main as xsim
from fairseq_distill.errors import DataError
from fairseq_distill.formats.dictionary import EOS, read_dictionary, write_dictionary
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.lines import count_lines, read_lines
from fairseq_distill.formats.mined_pairs import read_mined_pairs
from fairseq_distill.text import StudentTokenizer, normalise
from tests.faults.tools import own_rows, own_teacher, refused
from tests.unit.export.export_students import train_spm

REPO = Path(__file__).parents[2]
# name -> (bytes of the file, its lines)
ODD = {
    "empty lines": (b"one\n\n\ntwo\n\n", ["one", "", "", "two", ""]),
    "100,000 characters": (b"a word " * 14_286 + b"\nshort\n", ["a word " * 14_286, "short"]),
    "one word of 100,000 letters": (b"x" * 100_000 + b"\nshort\n", ["x" * 100_000, "short"]),
    "mixed line ends": (b"one\r\ntwo\nthree\r\nfour", ["one", "two", "three", "four"]),
    "a carriage return inside": (b"one\rtwo\nthree\n", ["one\rtwo", "three"]),
    "byte-order mark": (b"\xef\xbb\xbfone\ntwo\n", ["one", "two"]),
    "U+2028, U+2029, U+0085, form feed": (
        "one\u2028two\u2029three\u0085four\x0cfive\x1csix\nseven\n".encode(),
        ["one\u2028two\u2029three\u0085four\x0cfive\x1csix", "seven"],
    ),
    "right to left": ("السلام عليكم\n\u202eשלום\u202c abc\n".encode(), ["السلام عليكم", "\u202eשלום\u202c abc"]),
    "unspaced": ("สวัสดีชาวโลก\n今日は良い天気です\n".encode(), ["สวัสดีชาวโลก", "今日は良い天気です"]),
    "no last line feed": (b"one\ntwo", ["one", "two"]),
    "one sentence": (b"alone\n", ["alone"]),
    "NUL and controls": (b"a\x00b\x01c\ttab\n\x7f\n", ["a\x00b\x01c\ttab", "\x7f"]),
    "only spaces": ("one\n   \u3000\u00a0\n\t\n".encode(), ["one", "   \u3000\u00a0", "\t"]),
    "emoji and joiners": ("👨‍👩‍👧 🇹🇿 ok\ncafe\u0301\n".encode(), ["👨‍👩‍👧 🇹🇿 ok", "cafe\u0301"]),
    "a thousand marks": (("a" + "\u0301" * 1000 + "\nb\n").encode(), ["a" + "\u0301" * 1000, "b"]),
    "non-characters": (
        "\ufffe\uffff\U0010ffff x\n\ufeffinside\n".encode(),
        ["\ufffe\uffff\U0010ffff x", "\ufeffinside"],
    ),
    "special symbols": (b"</s> <s> <pad> <mask>\n<unk>\n", ["</s> <s> <pad> <mask>", "<unk>"]),
    "quotes and tabs": (b"\"a\tb\" 'c'\n#comment\n", ["\"a\tb\" 'c'", "#comment"]),
    "a surrogate pair of JSON": (b'\\ud800 \\n {"a": 1}\nx\n', ['\\ud800 \\n {"a": 1}', "x"]),
}
BROKEN = {
    "invalid UTF-8": (b"good\nb\xffd\n", r"line 2: byte 2 is not valid UTF-8"),
    "an encoded surrogate": (b"\xed\xa0\x80\n", r"line 1: byte 1 is not valid UTF-8"),
    "latin-1": ("fran\u00e7ais\n".encode("latin-1"), r"line 1: byte 5 is not valid UTF-8"),
    "UTF-16": ("one\n".encode("utf-16"), r"line 1: byte 1 is not valid UTF-8"),
    "cut inside a character": ("one\nna\u00efve".encode()[:-3], r"line 2: byte 3 is not valid UTF-8"),
}
odd = pytest.mark.parametrize("name", ODD)
broken = pytest.mark.parametrize("name", BROKEN)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spm")
    spm = train_spm()
    pieces = sentencepiece.SentencePieceProcessor(model_proto=spm)
    write_dictionary(folder / "dict.txt", [pieces.id_to_piece(i) for i in range(3, len(pieces))])
    return StudentTokenizer(spm, read_dictionary(folder / "dict.txt"))


@odd
def test_lines_are_read_and_counted_alike(name, tmp_path):
    raw, lines = ODD[name]
    (tmp_path / "text").write_bytes(raw)
    assert read_lines(tmp_path / "text") == lines
    assert count_lines(tmp_path / "text") == len(lines)


@odd
def test_every_line_is_taught_its_row(name, tmp_path):
    raw, lines = ODD[name]
    (tmp_path / "text").write_bytes(raw)
    spec = own_teacher(tmp_path)
    words = [
        "--quiet",
        "--teacher",
        spec,
        "--input",
        tmp_path / "text",
        "--output",
        tmp_path / "o.npy",
        "--dtype",
        "float32",
    ]
    assert teach(list(map(str, words))) == 0
    np.testing.assert_array_equal(open_embeddings(tmp_path / "o.npy"), own_rows(lines))


@odd
def test_a_text_mined_against_itself_finds_itself(name, tmp_path):
    raw, lines = ODD[name]
    for side in ("a", "b"):
        (tmp_path / side).write_bytes(raw)
    spec = own_teacher(tmp_path)
    outputs = [tmp_path / "a.npy", tmp_path / "b.npy"]
    assert (
        teach(
            [
                "--quiet",
                "--teacher",
                spec,
                "--input",
                *map(str, (tmp_path / "a", tmp_path / "b")),
                "--output",
                *map(str, outputs),
            ]
        )
        == 0
    )
    words = [
        "--quiet",
        "--src-text",
        tmp_path / "a",
        "--tgt-text",
        tmp_path / "b",
        "--src-emb",
        outputs[0],
        "--tgt-emb",
        outputs[1],
    ]
    words += [
        "--output",
        tmp_path / "mined.tsv",
        "--with-ids",
        "--margin",
        "absolute",
        "--threshold",
        "0.999",
        "-k",
        "1000000",
    ]
    assert mine(list(map(str, words))) == 0  # k is larger than any of these texts
    pairs = list(read_mined_pairs(tmp_path / "mined.tsv"))
    wanted = {line.replace("\t", " ") for line in lines if line and not line.isspace()}
    assert len(pairs) == len(wanted) and {pair.source for pair in pairs} == wanted
    assert all(pair.source == pair.target and pair.source_line == pair.target_line for pair in pairs)
    assert all(lines[pair.source_line - 1].replace("\t", " ") == pair.source for pair in pairs)


@odd
@pytest.mark.parametrize("light", [False, True], ids=["train", "valid"])
def test_cleaning_keeps_or_drops_every_line_once(name, light, tmp_path, monkeypatch):
    raw, lines = ODD[name]
    monkeypatch.syspath_prepend(str(REPO / "data_prep"))
    from clean import clean_corpus
    from plan_file import Source

    for side in ("swa", "eng"):
        (tmp_path / side).write_bytes(raw if side == "swa" else b"An English sentence of some length\n" * len(lines))
    source = Source(
        "x", "distil", "valid" if light else "train", "swa", str(tmp_path / "swa"), "eng", str(tmp_path / "eng")
    )
    outputs = [tmp_path / name for name in ("out.swa", "out.eng", "dropped.gz", "keys")[: 3 if light else 4]]
    count = clean_corpus(source, outputs, workers=1)
    kept = read_lines(tmp_path / "out.swa")
    dropped = [row.split("\t") for row in read_lines(tmp_path / "dropped.gz")]
    assert count["n_in"] == len(lines) == len(kept) + len(dropped) and count["n_out"] == len(kept)
    assert sum(count["dropped"].values()) == len(dropped) and all(len(row) == 4 for row in dropped)
    assert len(read_lines(tmp_path / "out.eng")) == len(kept)
    assert all(line == line.strip() and "\n" not in line for line in kept)


@odd
def test_every_line_becomes_ids_that_end(name, tokenizer):
    lines = ODD[name][1]
    rows = tokenizer.encode(lines, max_length_pieces=64)
    assert len(rows) == len(lines)
    for line, row in zip(lines, rows):
        assert 1 <= len(row) <= 64 and row[-1] == EOS and EOS not in row[:-1]
        assert normalise(normalise(line)) == normalise(line)


@broken
@pytest.mark.parametrize("command", ["teach", "mine", "xsim", "clean"])
def test_bytes_that_are_no_text_are_named(name, command, tmp_path, capsys, monkeypatch):
    raw, said = BROKEN[name]
    text, good = tmp_path / "text", tmp_path / "good"
    text.write_bytes(raw)
    n = count_lines(text)
    good.write_text("fine\n" * n)
    np.save(tmp_path / "e.npy", np.eye(n, 4, dtype=np.float32) + 1)
    said = rf"{text}, {said}"
    if command == "teach":
        refused(
            capsys,
            teach,
            ["--teacher", own_teacher(tmp_path), "--input", text, "--output", tmp_path / "o.npy"],
            said,
            tmp_path,
        )
    elif command == "mine":
        rows = tmp_path / "e.npy"
        words = [
            "--src-text",
            text,
            "--tgt-text",
            good,
            "--src-emb",
            rows,
            "--tgt-emb",
            rows,
            "--output",
            tmp_path / "o.tsv",
        ]
        refused(capsys, mine, words, said, tmp_path)
    elif command == "xsim":
        words = ["--src", tmp_path / "e.npy", "--tgt", tmp_path / "e.npy", "--tgt-text", text]
        refused(capsys, xsim, words, said, tmp_path)
    else:
        monkeypatch.syspath_prepend(str(REPO / "data_prep"))
        from clean import clean_corpus
        from plan_file import Source

        source = Source("x", "mask", "train", "swa", str(text))
        with pytest.raises(DataError, match=said):
            clean_corpus(source, [tmp_path / "o", tmp_path / "d", tmp_path / "k"], workers=1)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["e.npy", "good", "text"]
