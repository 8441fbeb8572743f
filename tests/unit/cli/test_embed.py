"""``fairseq-embed`` from its command line."""

import contextlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fairseq_distill.cli.embed import cli_main
from fairseq_distill.formats.embeddings import open_embeddings, read_info, write_info
from tests.reference import mining as reference
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


@pytest.fixture
def embedded(text, tmp_path):
    """The text and its vectors, as the words of the option."""
    assert cli_main(["--path", "x.pt", "--input", text, "--output", str(tmp_path / "o.npy")]) == 0
    return ["--path", "x.pt", "--neighbours", text, str(tmp_path / "o.npy")]


def test_neighbours_of_the_sentences_of_a_file(embedded, tmp_path, capsys):
    capsys.readouterr()
    (tmp_path / "q").write_text("three\n \nnew\n")
    assert cli_main([*embedded, "-k", "2", "--input", str(tmp_path / "q")]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    cosine = {
        (asked, line): reference.cosine(HashEncoder().vector(asked), HashEncoder().vector(line))
        for asked in ("three", "new") for line in ("one", "two", "three")
    }  # fmt: skip
    for block, asked in ((blocks[0], "three"), (blocks[1].lstrip("\n"), "new")):
        best = sorted(("one", "two", "three"), key=lambda line: -cosine[asked, line])[:2]
        rows = [row.split("\t") for row in block.split("\n")]
        assert [row[1:] for row in rows] == [[str(LINES.index(line) + 1), line] for line in best]
        assert [float(row[0]) for row in rows] == pytest.approx([cosine[asked, line] for line in best], abs=2e-6)
    assert (
        blocks[0].startswith("1.000000\t5\tthree\n")
        and len(blocks) == 3
        and blocks[1].startswith("\n")
        and blocks[2] == ""
    )


def test_typed_sentences_are_answered_one_by_one(embedded, monkeypatch, capsys):
    capsys.readouterr()
    answers = []

    def typed():
        yield b"two\n"
        answers.append(capsys.readouterr().out)
        yield b"\n"
        yield b"one\n"

    class Keyboard:
        buffer = property(lambda self: contextlib.nullcontext(typed()))

        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard())
    assert cli_main([*embedded, "-k", "1"]) == 0
    shown = capsys.readouterr()
    assert answers == ["1.000000\t3\ttwo\n\n"], "before the next one is typed"
    assert shown.out == "1.000000\t1\tone\n\n" and shown.err.count("sentence (end: Ctrl-D)> ") == 2


def test_vectors_of_another_space_or_text_are_refused_unless_forced(embedded, tmp_path, capsys):
    info = read_info(tmp_path / "o.npy")
    (tmp_path / "q").write_text("three\n")
    other_space = "in the teacher space other but hash:1 embeds into hash:space"
    for changed, said in (({"space": "other"}, other_space), ({"text_sha256": "0"}, "another text")):
        write_info(tmp_path / "o.npy", replace(info, **changed))
        assert cli_main([*embedded, "--input", str(tmp_path / "q")]) == 1
        assert said in capsys.readouterr().err
        assert cli_main([*embedded, "--input", str(tmp_path / "q"), "--force"]) == 0
    np.save(tmp_path / "o.npy", np.ones((5, 4), np.float32))
    assert cli_main([*embedded, "--input", str(tmp_path / "q"), "--force"]) == 1
    assert "width 4, but 6 is wanted" in capsys.readouterr().err


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
        (["--neighbours", "t", "t.npy", "--output", "o.npy"], "--neighbours writes no vectors"),
        (["--neighbours", "t", "t.npy"], "t.npy does not exist"),
        (["--neighbours", "t", "t", "-k", "0"], "k is 0"),
        (["--neighbours", "t", "t", "--input", "no-such-file"], "no-such-file does not exist"),
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
