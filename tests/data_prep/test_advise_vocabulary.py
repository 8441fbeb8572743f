"""The command: table, advice and JSON from text files; a user's errors in one sentence and no file."""

import json
import random

import advise_vocabulary
import pytest

from fairseq_distill.cli.common import run_command
from fairseq_distill.formats.vocabulary import read_vocabulary_report


@pytest.fixture
def texts(tmp_path):
    """``swa.txt`` and ``tir.txt``, made-up lines."""
    for lang, letters, n in (("swa", "abdeghiklmnou", 300), ("tir", "ሀለሐመሠረሰሸቀበተ", 120)):
        rng = random.Random(lang)
        words = ["".join(rng.choices(letters, k=rng.randint(2, 6))) for _ in range(60)]
        lines = [" ".join(rng.choices(words, k=6)) for _ in range(n)]
        (tmp_path / f"{lang}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return tmp_path


def run(*options):
    return run_command(advise_vocabulary.parser(), advise_vocabulary.main, ["--quiet", *map(str, options)])


def both(texts):
    return ["--langs", "swa,tir", "--text", f"swa={texts}/swa.txt", "--text", f"tir={texts}/tir.txt"]


def test_table_advice_and_json(texts, capsys):
    output = texts / "vocabulary.json"
    assert run(*both(texts), "--sizes", "120,60", "--output", output) == 0
    lines = capsys.readouterr().out.splitlines()
    report = read_vocabulary_report(output)
    assert len(report.rows) == 2 * 2 + 2 * 2 and report.heldout == {"swa": "train", "tir": "train"}
    assert lines[0].split()[:2] == ["lang", "vocabulary"] and len(lines) == 1 + len(report.rows) + len(report.advice)
    for row in report.rows:
        assert any(
            line.split()[:4] == [row.lang, row.vocabulary, str(row.size), f"{row.per_unit:.2f}"] for line in lines
        )
    assert all(line.startswith("advice | ") for line in lines[1 + len(report.rows) :])
    assert run(*both(texts), "--sizes", "60,120", "--output", texts / "again.json") == 0
    assert (texts / "again.json").read_bytes() == output.read_bytes()


def test_a_given_model_is_measured_on_held_out_lines(texts, capsys, tmp_path):
    import spm_training

    model = tmp_path / "x.spm"
    model.write_bytes(spm_training.train(texts / "swa.txt", 60, 300)[0])
    heldout = texts / "dev.swa"
    heldout.write_text("".join(line + "\n" for line in (texts / "swa.txt").read_text().splitlines()[:20]))
    options = ["--langs", "swa", "--text", f"swa={texts}/swa.txt", "--heldout", f"swa={heldout}", "--spm", model]
    assert run(*options, "--sizes", "60", "--output", tmp_path / "v.json") == 0
    report = read_vocabulary_report(tmp_path / "v.json")
    assert [(row.vocabulary, row.name, row.sentences) for row in report.rows] == [
        ("given", "x.spm", 20),
        ("dedicated", "", 20),
    ]
    assert report.rows[0].rare_pieces is not None and report.heldout == {"swa": str(heldout)}
    assert "given x.spm" in capsys.readouterr().out
    (tmp_path / "x.cvocab").write_text("a 1\n" * 1 + "b 1\n")
    assert run(*options, "--sizes", "60", "--output", tmp_path / "v.json") == 0
    less = json.loads((tmp_path / "v.json").read_text())["rows"][0]
    assert less["unknown_pieces"] > report.rows[0].unknown_pieces


@pytest.mark.parametrize(
    "options, said",
    [
        (["--langs", "swa"], "No --text for swa"),
        (["--langs", "swa,swa"], "must name each language once"),
        (["--langs", "swa", "--text", "zul={0}/swa.txt"], "zul is not among --langs swa"),
        (["--langs", "swa", "--text", "{0}/swa.txt"], "is not of the form swa=FILE"),
        (["--langs", "swa", "--text", "swa={0}/nowhere"], "nowhere does not exist"),
        (
            ["--langs", "swa", "--text", "swa={0}/swa.txt", "--sizes", "1000,x"],
            "--sizes '1000,x' must be whole numbers",
        ),
        (["--langs", "swa", "--text", "swa={0}/swa.txt", "--sizes", "9"], "give larger --sizes"),
        (["--langs", "swa", "--text", "swa={0}/swa.txt", "--spm-temperature", "0"], "must be a number >= 1"),
        (
            ["--langs", "swa", "--text", "swa={0}/swa.txt", "--spm", "{0}/swa.txt"],
            "swa.txt is not a SentencePiece model",
        ),
        (["--langs", "swa", "--text", "swa={0}/swa.txt", "--heldout", "swa={0}/swa.txt"], "0 are left to train on"),
    ],
)
def test_errors_are_one_sentence_and_leave_no_file(texts, capsys, options, said):
    output = texts / "v.json"
    assert run(*(option.format(texts) for option in options), "--output", output) == 1
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and not output.exists()
