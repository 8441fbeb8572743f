"""``fairseq-embed`` from its command line."""

import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill.cli.embed import cli_main
from fairseq_distill.formats.embeddings import open_embeddings
from tests.reference.encoders import HashEncoder

LINES = ["one", "", "two", "one", "three"]


@pytest.fixture
def text(tmp_path, monkeypatch):
    """A text; any --path opens an encoder without a model."""
    (tmp_path / "t").write_text("".join(f"{line}\n" for line in LINES))
    monkeypatch.setattr("fairseq_distill.embedding.registry.open_encoder", lambda *_: HashEncoder())
    return str(tmp_path / "t")


def test_embeds_a_text(text, tmp_path, capsys):
    output = str(tmp_path / "o.npy")
    assert cli_main(["--path", "x.pt", "--input", text, "--output", output]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    np.testing.assert_array_equal(open_embeddings(output), HashEncoder().vectors(LINES))


def test_embeds_shards_and_joins_them(text, tmp_path):
    output = str(tmp_path / "o.emb")
    command = ["--path", "x.pt", "--input", text, "--output", output, "--raw", "--dtype", "float16"]
    for shard in ("1/2", "2/2"):
        assert cli_main([*command, "--shard", shard]) == 0
    assert cli_main([*command, "--join-shards", "2"]) == 0
    expected = HashEncoder().vectors(LINES).astype(np.float16)
    np.testing.assert_array_equal(open_embeddings(output, 6, "float16"), expected)


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "either a data directory (DATA) or a text"),
        (["DATA", "--input", "t", "--output", "o.npy"], "either a data directory (DATA) or a text"),
        (["DATA"], "--results-path DIR is missing"),
        (["DATA", "--results-path", "r", "--shard", "1/2"], "go with --input"),
        (["--input", "t"], "--output OUT is missing"),
        (["--input", "t", "--output", "o.bin"], "must end with .npy"),
        (["--input", "t", "--output", "o.npy", "--shard", "3/2"], "is not I/N"),
        (["--input", "t", "--output", "o.npy", "--join-shards", "0"], "1 or more shards"),
        (["--input", "no-such-file", "--output", "o.npy"], "no-such-file does not exist"),
        (["no-such-folder", "--results-path", "r"], "is not a data directory"),
    ],
)
def test_errors_are_one_sentence(text, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert cli_main(["--path", "x.pt", *words]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fairseq-embed: error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_help_needs_no_library():
    script = (
        "import sys\n"
        "from fairseq_distill.cli.embed import make_embed_parser\n"
        "print(make_embed_parser().format_help())\n"
        "assert not {'torch', 'fairseq', 'sentence_transformers'} & set(sys.modules), 'a library was loaded'\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for word in ("--path", "--gen-subset", "--results-path", "--shard", "example:"):
        assert word in shown
