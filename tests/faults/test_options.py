"""Options that cannot be meant, and a machine that gives no more memory: one line, before anything is written."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.cli.embed import cli_main as embed
from fairseq_distill.cli.export import cli_main as export
from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.cli.xsim import cli_main as xsim
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import ConfigError
from tests.faults.tools import own_rows, own_teacher, refused

REPO = Path(__file__).parents[2]


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "a").write_text("one line\nanother\na third\n")
    np.save(tmp_path / "a.npy", own_rows(["one line", "another", "a third"]))
    return tmp_path


def mining(folder):
    words = ["--src-text", "a", "--tgt-text", "a", "--src-emb", "a.npy", "--tgt-emb", "a.npy"]
    return [word if word.startswith("--") else folder / word for word in words] + ["--output", folder / "o.tsv"]


# --- memory

MEMORY = {
    "a processor's": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried …"
    ),
    "a GPU's": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "a map's": RuntimeError("unable to mmap 99 bytes from file <x>: Cannot allocate memory (12)"),
    "NumPy's": MemoryError("Unable to allocate 99 GiB"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_too_little_memory_is_one_sentence(name, capsys):
    def main(args):
        raise MEMORY[name]

    assert run_command(make_parser("some.py", "d", "e"), main, ["--quiet"]) == 1
    assert capsys.readouterr().err.startswith("some.py: error: There is not enough memory; give smaller files")


def test_pytorchs_own_words_are_known(capsys):
    assert run_command(make_parser("some.py", "d", "e"), lambda args: torch.empty(1 << 60), ["--quiet"]) == 1
    assert "There is not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), RecursionError("deep"), NotImplementedError("x")])
def test_other_errors_of_that_class_keep_their_traceback(error):
    def main(args):
        raise error

    with pytest.raises(type(error)):
        run_command(make_parser("some.py", "d", "e"), main, ["--quiet"])


# --- options that argparse refuses


def one_line(capsys, code, prog):
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and err.count("\n") == 1 and len(err) < 2200, err
    assert err.startswith(f"{prog}: error: ") and err.endswith(f"(see {prog} --help)\n")
    return err


def parsers():
    import augment_targets
    import calibrate_mining
    import hide_pairs

    return {
        "fairseq-mine": mine, "fairseq-xsim": xsim, "augment_targets.py": augment_targets.cli_main, "calibrate_mining.py": calibrate_mining.cli_main,
        "hide_pairs.py": lambda words: run_command(hide_pairs._parser(), hide_pairs.main, words),
    }  # fmt: skip


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "", str(2**31), "9" * 5000, "٣"], ids=lambda value: value[:9])
@pytest.mark.parametrize(
    "prog", ["fairseq-mine", "fairseq-xsim", "hide_pairs.py", "augment_targets.py", "calibrate_mining.py"]
)
def test_seeds_that_are_none(prog, value, capsys, monkeypatch):
    main = parsers()[prog]
    words = ["--seed", value]
    monkeypatch.setattr("sys.argv", [prog, *words])
    with pytest.raises(SystemExit) as stop:
        main(words) if prog in ("fairseq-mine", "fairseq-xsim", "hide_pairs.py") else main()
    assert "is no whole number from 0 to 2,147,483,647" in one_line(capsys, stop.value.code, prog)


@pytest.mark.parametrize(
    "words", [["--no-such"], ["--k", "x"], ["-k", "9" * 5000], ["--margin", "a\nb\x1b[2J"], ["--max-memory", "-1"]]
)
def test_options_that_are_none(words, capsys):
    with pytest.raises(SystemExit) as stop:
        mine(words)
    assert one_line(capsys, stop.value.code, "fairseq-mine").strip().isprintable()


# --- options that only the command can refuse


def test_a_threshold_that_is_no_number(texts, capsys):
    refused(capsys, mine, [*mining(texts), "--threshold", "nan"], "is not a number", texts)
    import filter_pairs

    (texts / "m.tsv").write_text("1.0\ta\tb\n")
    words = ["--pair", "swa-eng", "--mined", texts / "m.tsv", "--output", texts / "o", "--threshold", "nan"]
    filtering = lambda words: run_command(filter_pairs._parser(), filter_pairs.main, words)  # noqa: E731
    refused(capsys, filtering, words, "is not a number", texts)


@pytest.mark.parametrize("name", ["a\nb", os.fsdecode(b"a\xff")], ids=["a line feed", "no UTF-8"])
@pytest.mark.parametrize("option", ["--input", "--mono"])
def test_hidden_pairs_of_a_file_whose_name_no_line_can_hold(option, name, tmp_path, capsys):
    import hide_pairs

    for code in ("swa", "eng"):
        for file in ("good", name):
            (tmp_path / f"{file}.{code}").write_text("".join(f"line {i} in {code}\n" for i in range(9)))
    given = {"--input": tmp_path / "good", "--mono": f"swa={tmp_path / 'good.swa'}"}
    given[option] = tmp_path / name if option == "--input" else f"swa={tmp_path / name}.swa"
    words = [
        "--pair",
        "swa-eng",
        "--hide",
        "3",
        "--output",
        tmp_path / "out",
        *(word for pair in given.items() for word in pair),
    ]
    hiding = lambda words: run_command(hide_pairs._parser(), hide_pairs.main, words)  # noqa: E731
    refused(capsys, hiding, words, f"{option} .*the origins name this file", tmp_path)


@pytest.mark.parametrize("command", ["embed", "teach", "mine", "student.sh"])
def test_a_pipe_in_place_of_a_file(command, texts, capsys):
    os.mkfifo(texts / "pipe")
    spec, pipe, out = own_teacher(texts), texts / "pipe", texts / "o.npy"
    before = content_of_files(texts)
    if command == "student.sh":
        program = f". '{REPO}/recipes/common.sh'; require_file {pipe}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "is no regular file" in done.stderr and done.stderr.count("\n") == 1
        return
    words = {
        "embed": (embed, ["--path", spec, "--input", pipe, "--output", out]),
        "teach": (teach, ["--teacher", spec, "--input", pipe, "--output", out]),
        "mine": (mine, [pipe if word == texts / "a" else word for word in mining(texts)]),
    }[command]
    refused(capsys, *words, "pipe is no regular file.*. Write the text to a file first")
    assert content_of_files(texts) == before


def content_of_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_a_precision_that_an_encoder_has_not(precision, made, tmp_path):
    with pytest.raises(ConfigError, match=f"LASER2 runs in float32 only, not in {precision}"):
        open_encoder(f"laser2:{made / 'laser2'}", "cpu", precision)
    np.save(tmp_path / "a.npy", np.ones((2, 8), np.float32))
    for spec in (own_teacher(tmp_path), f"file:{tmp_path / 'a.npy'}"):
        with pytest.raises(ConfigError, match=f"--precision {precision} is not for"):
            open_encoder(spec, "cpu", precision)


@pytest.mark.parametrize("command, option", [(embed, "--path"), (teach, "--teacher")], ids=["embed", "teach"])
def test_a_thousand_million_shards_are_not_looked_for(command, option, texts, capsys, monkeypatch):
    words = [option, own_teacher(texts), "--input", texts / "a", "--output", texts / "o.npy", "--join-shards", 10**9]
    monkeypatch.setattr("fairseq_distill.formats.shards.range", lambda *a: pytest.fail("all were named"), raising=False)
    refused(capsys, command, words, r"o\.shard1of1000000000\.npy does not exist", texts)


def test_a_shard_of_more_digits_than_python_reads():
    from fairseq_distill.formats.shards import parse_shard

    with pytest.raises(ConfigError, match="is not I/N"):
        parse_shard("1/" + "9" * 5000)


def test_a_folder_of_a_run_gets_a_calibration_whole(tmp_path):
    """calibrate.sh --run copies under temporary names: no command of it writes onto the final ones."""
    lines = (REPO / "recipes" / "calibrate.sh").read_text().splitlines()
    copies = [line.split() for line in lines if line.strip().startswith("cp ")]
    assert copies and all(words[-1].endswith('.tmp"') for words in copies)


@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_said_to_be_missing(made, texts, capsys):
    made(texts / "x.npy")
    refused(capsys, xsim, ["--src", texts / "x.npy", "--tgt", texts / "x.npy"], "x.npy is no regular file")
    made(texts / "x.pt")
    words = ["--path", texts / "x.pt", "--format", "laser", "--output", texts / "o"]
    refused(capsys, export, words, "x.pt is no regular file|is not")
