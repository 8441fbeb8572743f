"""Embeddings of a wrong type, width, length or with values that are no numbers; one sentence; more neighbours than sentences."""

import json

import numpy as np
import pytest

from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.cli.xsim import cli_main as xsim
from fairseq_distill.formats.embeddings import EmbeddingInfo, write_info
from fairseq_distill.formats.mined_pairs import read_mined_pairs
from tests.faults.tools import own_rows, refused

LINES = [f"sentence {i}" for i in range(5)]


def rows(n=5, dim=8, dtype=np.float32):
    return own_rows(LINES * 3)[:n, :dim].astype(dtype)


def with_value(value, dtype=np.float32):
    made = rows(dtype=dtype)
    made[3, 2] = value
    return made


# what is wrong -> (the array, what is said)
WRONG = {
    "float64": (rows(dtype=np.float64), "holds float64 of shape"),
    "int64": (rows(dtype=np.int64), "holds int64 of shape"),
    "bool": (rows() > 0, "holds bool of shape"),
    "complex": (rows().astype(np.complex64), "holds complex64 of shape"),
    "big-endian": (rows().astype(">f4"), "other byte order"),
    "one dimension": (rows()[0], r"of shape \(8,\)"),
    "three dimensions": (rows()[None], r"of shape \(1, 5, 8\)"),
    "column by column": (np.asfortranarray(rows()), "row-major"),
    "records": (np.zeros((5, 8), [("a", "f4")]), "embeddings are float32 or float16"),
    "objects": (np.array([[object()] * 8] * 5), "is not a whole .npy file"),
    "text": (np.array([["a"] * 8] * 5), "embeddings are float32 or float16"),
    "NaN": (with_value(np.nan), r"row 3 \(line 4\) holds NaN or infinity|row 4: its embedding holds NaN"),
    "infinity": (with_value(np.inf), r"row 3 \(line 4\) holds NaN or infinity|row 4: its embedding holds NaN"),
    "-infinity, float16": (
        with_value(-np.inf, np.float16),
        r"row 3 \(line 4\) holds NaN or infinity|row 4: its embedding",
    ),
    "one row less": (rows(4), r"has [45] (lines|rows|vectors) but .* has [45]\b"),
    "one row more": (rows(6), r"5.* 6|6.* 5"),
    "no rows": (rows(0), r"0 vectors|has 0|5.* 0"),
    "no width": (np.zeros((5, 0), np.float32), r"width 0|\(5, 0\)"),
}
SIDES = pytest.mark.parametrize("side", ["src", "tgt"])


@pytest.fixture
def good(tmp_path):
    (tmp_path / "text").write_text("".join(line + "\n" for line in LINES))
    np.save(tmp_path / "good.npy", rows())
    return tmp_path


def mine_words(folder, **files):
    names = {
        "src_text": "text",
        "tgt_text": "text",
        "src_emb": "good.npy",
        "tgt_emb": "good.npy",
        "output": "o.tsv",
        **files,
    }
    return [word for name, file in names.items() for word in (f"--{name.replace('_', '-')}", folder / file)]


def xsim_words(folder, **files):
    names = {"src": "good.npy", "tgt": "good.npy", **files}
    return [word for name, file in names.items() for word in (f"--{name}", folder / file)]


@SIDES
@pytest.mark.parametrize("name", WRONG)
def test_mining_refuses(name, side, good, capsys):
    array, said = WRONG[name]
    np.save(good / "bad.npy", array, allow_pickle=True)
    refused(capsys, mine, mine_words(good, **{f"{side}_emb": "bad.npy"}), rf"bad\.npy.*({said})|({said}).*", good)


@SIDES
@pytest.mark.parametrize("name", WRONG)
def test_xsim_refuses(name, side, good, capsys):
    array, said = WRONG[name]
    np.save(good / "bad.npy", array, allow_pickle=True)
    refused(capsys, xsim, xsim_words(good, **{side: "bad.npy"}), rf"bad\.npy.*({said})|({said}).*", good)


@pytest.mark.parametrize("name", WRONG)
def test_a_teacher_of_ready_rows_refuses(name, good, capsys):
    array, said = WRONG[name]
    np.save(good / "bad.npy", array, allow_pickle=True)
    words = ["--teacher", f"file:{good / 'bad.npy'}", "--input", good / "text", "--output", good / "o.npy"]
    refused(capsys, teach, words, said, good)


@SIDES
def test_two_widths_are_named(side, good, capsys):
    np.save(good / "bad.npy", rows(dim=6))
    for command, words in (
        (mine, mine_words(good, **{f"{side}_emb": "bad.npy"})),
        (xsim, xsim_words(good, **{side: "bad.npy"})),
    ):
        sentence = refused(capsys, command, words, "width", good)
        assert "6" in sentence and "8" in sentence


@pytest.mark.parametrize("options, said", [
    ([], r"raw has no header; give the width .* with --dim"),
    (["--dim", 7], r"160 bytes, which is no whole number of 7-wide float32 vectors \(28 bytes each\)"),
    (["--dim", 4], r"5 lines .* 10 vectors|10 vectors"),
    (["--dim", 8, "--dtype", "float16"], r"10 vectors"),
    (["--dim", -8], "width"),
    (["--dim", 0], "width"),
])  # fmt: skip
def test_headerless_files_that_do_not_divide(options, said, good, capsys):
    rows().tofile(good / "raw")
    refused(capsys, mine, [*mine_words(good, src_emb="raw", tgt_emb="raw"), *options], said, good)


@pytest.mark.parametrize("option, value", [("-k", "0"), ("-k", "-3")])
def test_numbers_out_of_range(option, value, good, capsys):
    refused(capsys, mine, [*mine_words(good), option, value], f"k is {value}", good)
    refused(capsys, xsim, [*xsim_words(good), option, value], f"k is {value}|k .*{value}", good)


@pytest.mark.parametrize("n, k", [(1, 1), (1, 4), (1, 10**6), (2, 3), (5, 5), (5, 6), (5, 10**9)])
@pytest.mark.parametrize("retrieval", ["fwd", "bwd", "intersect", "max"])
def test_more_neighbours_than_sentences(n, k, retrieval, good):
    (good / "text").write_text("".join(line + "\n" for line in LINES[:n]))
    np.save(good / "good.npy", rows(n))
    words = [
        *mine_words(good),
        "-k",
        k,
        "--retrieval",
        retrieval,
        "--margin",
        "absolute",
        "--threshold",
        "-2",
        "--quiet",
    ]
    assert mine([str(word) for word in words]) == 0
    pairs = list(read_mined_pairs(good / "o.tsv"))
    assert len(pairs) == n and all(pair.source == pair.target for pair in pairs)


@pytest.mark.parametrize("margin", ["ratio", "distance", "absolute"])
def test_a_language_of_one_sentence_has_an_error_rate(margin, good, capsys):
    np.save(good / "good.npy", rows(1))
    assert xsim([*map(str, xsim_words(good)), "--margin", margin, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    (entry,) = found if isinstance(found, list) else [found] if "errors" in found else found["results"]
    assert (entry["errors"], entry["n"]) == (0, 1)


def test_rows_of_zeros_are_nobodys_neighbours(good):
    array = rows()
    array[1] = 0
    np.save(good / "good.npy", array)
    assert mine([*map(str, mine_words(good)), "--margin", "absolute", "--threshold", "0.5", "--quiet"]) == 0
    assert {pair.source for pair in read_mined_pairs(good / "o.tsv")} == {LINES[i] for i in (0, 2, 3, 4)}


def test_two_spaces_and_another_text_are_refused(good, capsys):
    np.save(good / "other.npy", rows())
    write_info(good / "good.npy", EmbeddingInfo("a", "space:a", "none"))
    write_info(good / "other.npy", EmbeddingInfo("b", "space:b", "none"))
    sentence = refused(capsys, mine, mine_words(good, tgt_emb="other.npy"), "teacher space", good)
    assert "space:a" in sentence and "space:b" in sentence
    refused(capsys, xsim, xsim_words(good, tgt="other.npy"), "teacher space", good)
    write_info(good / "good.npy", EmbeddingInfo("a", "space:a", "none", text_sha256="0" * 64))
    refused(capsys, mine, mine_words(good), "another text", good)
