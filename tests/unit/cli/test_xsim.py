"""``fairseq-xsim`` from its command line."""

import json
import sys
import types

import numpy as np
import pytest

from fairseq_distill.cli.xsim import cli_main
from fairseq_distill.evaluation.paired import compare
from fairseq_distill.evaluation.xsim import wrong_sentences, xsim_margins
from fairseq_distill.formats.embeddings import EmbeddingInfo, write_info
from fairseq_distill.mining.margin import MARGINS


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(1)
    src = random.standard_normal((40, 8)).astype(np.float32)
    tgt = (src + 1.2 * random.standard_normal((40, 8))).astype(np.float32)
    np.save(tmp_path / "dev.swa.npy", src)
    np.save(tmp_path / "dev.eng.npy", tgt)
    return src, tgt, ["--src", str(tmp_path / "dev.swa.npy"), "--tgt", str(tmp_path / "dev.eng.npy")]


def test_all_margins(files, capsys):
    src, tgt, words = files
    assert cli_main([*words, "--margin", "all", "--pair", "swa-eng", "--test", "dev"]) == 0
    lines = capsys.readouterr().out.splitlines()
    results = xsim_margins(src, tgt, about={"test": "dev", "pair": "swa-eng"})
    assert len(lines) == 3
    for margin, line in zip(MARGINS, lines):
        assert line.startswith(f"{results[margin]}  ({results[margin].errors} of 40 wrong; 95 %: ")


def test_json(files, capsys):
    src, tgt, words = files
    assert cli_main([*words, "--margin", "ratio", "-k", "2", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    result = xsim_margins(src, tgt, ("ratio",), 2)["ratio"]
    assert (row["errors"], row["percent"], row["n"], row["k"]) == (result.errors, result.percent, 40, 2)
    assert row["low"] < row["percent"] < row["high"]
    assert row["signature"].startswith("xsim|test:dev.swa.npy|margin:ratio|k:2|n:40|")


def test_target_text_makes_copies_right(tmp_path, capsys):
    rows = np.random.default_rng(1).standard_normal((10, 8)).astype(np.float32)
    rows[7] = rows[2]
    np.save(tmp_path / "a.npy", rows)
    (tmp_path / "text").write_text("".join(f"line {2 if i == 7 else i}\n" for i in range(10)))
    words = ["--src", str(tmp_path / "a.npy"), "--tgt", str(tmp_path / "a.npy")]
    text = ["--tgt-text", str(tmp_path / "text")]
    percents = []
    for more in ([], text, [*text, "--by-index"]):
        assert cli_main([*words, *more, "--json"]) == 0
        percents.append(json.loads(capsys.readouterr().out)["results"][0]["percent"])
    assert percents == [10, 0, 10]


def test_raw_files(files, tmp_path, capsys):
    src, tgt, words = files
    src.tofile(tmp_path / "src.raw")
    tgt.tofile(tmp_path / "tgt.raw")
    raw = ["--src", str(tmp_path / "src.raw"), "--tgt", str(tmp_path / "tgt.raw")]
    assert cli_main([*words, "--json", "--test", "dev"]) == 0
    expected = capsys.readouterr().out
    assert cli_main([*raw, "--json", "--test", "dev", "--dim", "8"]) == 0
    assert capsys.readouterr().out == expected
    assert cli_main([*raw, "--dim", "9"]) == 1
    assert "no whole number of 9-wide" in capsys.readouterr().err
    assert cli_main(raw) == 1
    assert "--dim" in capsys.readouterr().err


def test_other_spaces_and_lengths_are_refused(files, tmp_path, capsys):
    src, _, words = files
    for path, space in ((words[1], "sbert:a"), (words[3], "sbert:b")):
        write_info(path, EmbeddingInfo("student:1", space, "laser-1"))
    assert cli_main(words) == 1
    assert "teacher space sbert:a but" in capsys.readouterr().err
    assert cli_main([*words, "--force"]) == 0
    np.save(tmp_path / "short.npy", src[:-1])
    assert cli_main([*words[:2], "--tgt", str(tmp_path / "short.npy")]) == 1
    assert "has 40 rows but" in capsys.readouterr().err
    (tmp_path / "short.txt").write_text("one\n")
    assert cli_main([*words, "--force", "--tgt-text", str(tmp_path / "short.txt")]) == 1
    assert "has 1 lines but" in capsys.readouterr().err


class Encoder:
    """Counts letters."""

    dim = 26

    def __init__(self, name):
        self.name, self.space = name, "letters" if name != "other" else "digits"

    def encode(self, sentences):
        return np.array([[s.count(chr(97 + i)) for i in range(26)] for s in sentences], np.float32)


def test_texts_and_encoders(tmp_path, monkeypatch, capsys):
    registry = types.ModuleType("fairseq_distill.embedding.registry")
    registry.open_encoder = Encoder
    monkeypatch.setitem(sys.modules, "fairseq_distill.embedding.registry", registry)
    sentences = ["ab", "cc", "xyz", "hello"]
    (tmp_path / "src").write_text("".join(f"{s}\n" for s in sentences))
    (tmp_path / "tgt").write_text("".join(f"{s[::-1]}\n" for s in sentences))
    text = ["--src-text", str(tmp_path / "src"), "--tgt-text", str(tmp_path / "tgt")]
    encoders = ["--src-encoder", "student:x", "--tgt-encoder", "sbert:y"]
    assert cli_main([*text, *encoders]) == 0
    assert "|teacher:letters|by:text|" in (out := capsys.readouterr().out) and " = 0.00 " in out
    assert cli_main([*text, "--src-encoder", "student:x", "--tgt-encoder", "other"]) == 1
    assert "letters but the target side in digits" in capsys.readouterr().err
    assert cli_main([*text, "--src-encoder", "student:x"]) == 1
    assert "--tgt-encoder" in capsys.readouterr().err
    assert cli_main(["--src-encoder", "student:x", "--tgt", str(tmp_path / "x.npy")]) == 1
    assert "--src-encoder needs --src-text" in capsys.readouterr().err


def test_a_baseline_on_the_same_sentences(files, tmp_path, capsys):
    src, tgt, words = files
    other = (src + 0.5 * np.random.default_rng(5).standard_normal(src.shape)).astype(np.float32)
    np.save(tmp_path / "other.npy", other)
    assert cli_main([*words, "--margin", "all", "--baseline", str(tmp_path / "other.npy"), "--json"]) == 0
    for row in json.loads(capsys.readouterr().out)["results"]:
        first = wrong_sentences(src, tgt, (row["margin"],))[row["margin"]]
        second = wrong_sentences(other, tgt, (row["margin"],))[row["margin"]]
        expected = compare(first, second)
        assert row["errors"] == first.sum() and row["baseline"]["errors"] == second.sum() != first.sum()
        assert {name: row["baseline"][name] for name in expected._fields} == expected._asdict()
    assert cli_main([*words, "--baseline", words[1]]) == 0
    assert "difference +0.00 (95 %: +0.00 to +0.00), p = 1.0000; paired-bootstrap:1000|" in capsys.readouterr().out
    own = ["--baseline", str(tmp_path / "other.npy"), "--baseline-tgt", str(tmp_path / "other.npy")]
    assert cli_main([*words, *own, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["baseline"]["percent"] == 0
    assert cli_main([*words, *own[2:]]) == 1
    assert "belongs to --baseline" in capsys.readouterr().err


def test_near_copies(files, tmp_path, capsys):
    src, tgt, words = files
    (tmp_path / "dev.eng").write_text("".join(f"line {i}\n" for i in range(40)))
    (tmp_path / "near.tsv").write_text("".join(f"{i + 1}\tnumber\tcopy {i}\n" for i in range(40)))
    np.save(tmp_path / "near.npy", src)  # nearer than the targets
    near = ["--augmented", str(tmp_path / "near.tsv")]
    text = ["--tgt-text", str(tmp_path / "dev.eng")]
    assert cli_main([*words, *text, *near, "--augmented-emb", str(tmp_path / "near.npy"), "--margin", "absolute"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("xsim++|test:dev.swa.npy|margin:absolute|k:4|n:40|by:text|augmented:40|")
    assert " = 100.00  (40 of 40" in out and "errors: number 40, misaligned 0" in out
    for more, said in (
        ([*text, *near], "--augmented-emb"),
        (near, "needs --tgt-text"),
        ([*near[:0], "--augmented-emb", "x"], "needs --augmented"),
    ):
        assert cli_main([*words, *more]) == 1
        assert said in capsys.readouterr().err
