"""Folders and files with spaces, quotes, dollars, leading hyphens, other scripts and bytes that are no UTF-8."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fairseq_distill.cli.embed import cli_main as embed
from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.cli.xsim import cli_main as xsim
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.embeddings import open_embeddings, read_info
from fairseq_distill.formats.evaluation_sets import find_sets
from fairseq_distill.formats.mined_pairs import read_mined_pairs
from tests.faults.tools import own_rows, own_teacher

REPO = Path(__file__).parents[2]
LINES = ["one", "two", "three"]
NAMES = {
    "spaces": "two  words ",
    "quotes": 'it\'s a "name"',
    "dollars": "$HOME `id` $(id)",
    "stars": "a*b?[c]",
    "backslash": "a\\b\\n",
    "semicolon": "a; b & c | d > e",
    "other scripts": "ተማሪ-שלום",
    "percent and braces": "100% {x} %s",
    "a line feed": "a\nb",
    "equals and hash": "#a=b,c",
    "no UTF-8": os.fsdecode(b"caf\xe9"),
}
# What pytest captures must be UTF-8: that name is tried in a process of its own.
names = pytest.mark.parametrize("name", [name for name in NAMES if name != "no UTF-8"])


@names
def test_commands_take_any_name(name, tmp_path, capsys):
    folder = tmp_path / NAMES[name]
    folder.mkdir()
    text, rows = folder / NAMES[name], folder / f"{NAMES[name]}.npy"
    text.write_text("".join(line + "\n" for line in LINES))
    spec = own_teacher(tmp_path)
    assert embed(["--path", spec, f"--input={text}", f"--output={rows}", "--quiet"]) == 0
    np.testing.assert_array_equal(open_embeddings(rows), own_rows(LINES))
    assert read_info(rows).space == "hash:space"
    assert teach(["--teacher", f"file:{rows}", f"--input={text}", f"--output={folder / 'again.npy'}", "--quiet"]) == 0
    assert xsim([f"--src={rows}", f"--tgt={rows}", "--quiet"]) == 0
    sides = [f"--src-text={text}", f"--tgt-text={text}", f"--src-emb={rows}", f"--tgt-emb={rows}", "--threshold=0"]
    output = folder / f"{NAMES[name]}.tsv.gz"
    assert mine([*sides, f"--output={output}", f"--scores={folder / 's.npy'}", "--quiet"]) == 0
    assert {pair.source for pair in read_mined_pairs(output)} == set(LINES)
    assert capsys.readouterr().err == ""


@names
def test_errors_name_such_files_too(name, tmp_path, capsys):
    missing = tmp_path / NAMES[name]
    assert xsim([f"--src={missing}.npy", f"--tgt={missing}.npy"]) == 1
    said = capsys.readouterr().err
    assert "does not exist" in said and "Traceback" not in said


def test_a_name_that_is_no_utf8(tmp_path):
    folder = tmp_path / NAMES["no UTF-8"]
    folder.mkdir()
    (folder / "text").write_text("".join(line + "\n" for line in LINES))
    words = ["--path", own_teacher(folder), "--input", folder / "text", "--output", folder / "o.npy"]
    program = [sys.executable, "-m", "fairseq_distill.cli.embed", *map(str, words)]
    done = subprocess.run(program, capture_output=True, check=False, cwd=REPO, env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert os.fsdecode(done.stdout.strip()) == str(folder / "o.npy")
    assert read_info(folder / "o.npy").extra["spec"] == words[1]


# --- the shell scripts, with a Python and a fairseq-train that only write down what they were called with

STUB = """#!/bin/bash
printf '%s\\0' "${0##*/}" "$@" >>"$STUB_LOG"
printf '\\n\\0' >>"$STUB_LOG"
case "$1" in
  */plan.py) mkdir -p "$STUB_WORK/data"; printf '{}' >"$STUB_WORK/data/manifest.json" ;;
  */plan_training.py) printf '{}' >"$STUB_WORK/plan.json"; printf '%s\\n' fairseq-train "$STUB_WORK/data" --save-dir "$STUB_WORK/checkpoints" ;;
esac
"""


@pytest.fixture
def stubs(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "fairseq-train", "fairseq-preprocess"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    return folder


def calls(script, options, stubs, work):
    """What each program was called with by a script, as a list of words."""
    log = stubs.parent / "log"
    environment = {
        **os.environ, "PATH": f"{stubs}:{os.environ['PATH']}", "FAIRSEQ_DISTILL_VENV": "none", "STUB_LOG": str(log), "STUB_WORK": str(work),
    }  # fmt: skip
    command = ["bash", str(REPO / script), *map(str, options)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, cwd=stubs.parent)
    assert done.returncode == 0, os.fsdecode(done.stderr)
    words = log.read_bytes().split(b"\0")
    found, one = [], []
    for word in words:
        if word == b"\n":
            found.append(one)
            one = []
        else:
            one.append(os.fsdecode(word))
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a line feed"])  # refused: below
def test_student_sh_hands_every_path_on_whole(name, stubs, tmp_path):
    folder = tmp_path / NAMES[name]
    (folder / "work").mkdir(parents=True)
    work, prefix = folder / "work", folder / "train"
    options = ["--work", work, "--langs", "swa", "--teacher", f"file:{folder}/t.npy", "--bitext", f"eng-swa={prefix}"]
    options += [
        "--valid",
        f"eng-swa={prefix}",
        "--mono",
        f"swa={folder}/mono",
        "--exclude",
        folder / "x",
        "--max-update",
        3,
    ]
    made = calls("recipes/student.sh", [*options, "--", "--user-note", NAMES[name]], stubs, work)
    by_script = {Path(words[1]).name: words for words in made if len(words) > 1}
    plan = by_script["plan.py"]
    for wanted in (
        f"--data={work}/data",
        f"--teacher=file:{folder}/t.npy",
        f"--bitext=eng-swa={prefix}",
        f"--mono=swa={folder}/mono",
        f"--exclude={folder}/x",
    ):
        assert wanted in plan
    assert by_script["clean.py"][2:4] == ["--data", f"{work}/data"]
    training = by_script["plan_training.py"]
    assert training[training.index("--work") + 1] == str(work) and training[-2:] == ["--user-note", NAMES[name]]
    assert ["fairseq-train", f"{work}/data", "--save-dir", f"{work}/checkpoints"] in made
    assert str(work) in by_script["write_results.py"]
    for script in ("write_results.py", "embed_teacher.py"):
        assert f"--teacher=file:{folder}/t.npy" in by_script[script]
    assert any(words[1:3] == ["-m", "fairseq_distill.cli.report"] and str(work) in words for words in made)
    assert not (tmp_path / "id").exists()


@pytest.mark.parametrize("name", NAMES)
def test_prepare_sh_hands_every_path_on_whole(name, stubs, tmp_path):
    folder = tmp_path / NAMES[name]
    (folder / "data").mkdir(parents=True)
    options = [
        "--data",
        folder / "data",
        "--langs",
        "swa",
        "--teacher",
        "file:x.npy",
        "--bitext",
        f"eng-swa={folder}/train",
    ]
    made = calls("data_prep/prepare.sh", options, stubs, folder)
    steps = {Path(words[1]).name: words for words in made if len(words) > 1 and words[1].endswith(".py")}
    assert set(steps) >= {
        "plan.py",
        "clean.py",
        "deduplicate.py",
        "train_spm.py",
        "encode_spm.py",
        "embed_teacher.py",
        "write_manifest.py",
    }
    for step, words in steps.items():
        assert f"--data={folder}/data" in words or str(folder / "data") in words, step


def bash(script, cwd, **environment):
    """What a piece of shell says and answers; standard input is a pipe that nothing comes through."""
    command = ["bash", "-c", f"source '{REPO}/recipes/common.sh'; {script}"]
    variables = {**os.environ, "FAIRSEQ_DISTILL_VENV": "none", **environment}
    return subprocess.run(
        command, capture_output=True, text=True, env=variables, check=False, cwd=cwd, input="", timeout=60
    )


@names
def test_lines_are_counted_under_any_name(name, tmp_path):
    (tmp_path / "lr=1").mkdir()
    place = Path("lr=1") / NAMES[name]
    (tmp_path / place).write_text("one\ntwo\nthree")
    done = bash('count_lines "$FILE"', tmp_path, FILE=str(place))
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize(
    "script, option",
    [
        ("bash '{repo}/recipes/student.sh' --work $'a\\nb' --langs swa", "--work"),
        ("bash '{repo}/recipes/student.sh' --work $'a\\n' --langs swa", "--work"),
        ("bash '{repo}/recipes/student.sh' --work b --langs swa", "--work"),
        ("bash '{repo}/recipes/iterate.sh' --work $'a\\nb' --lang swa", "--work"),
        ("bash '{repo}/recipes/nguni/run.sh' --work $'a\\nb'", "--work"),
        ("bash '{repo}/recipes/nguni/run.sh' --work w --corpora $'c\\nd' --dry-run", "--corpora"),
        ("DATA_ROOT=$'/c\\nd' bash '{repo}/recipes/nguni/run.sh' --work w --dry-run", "DATA_ROOT"),
    ],
)
def test_a_folder_with_a_line_feed_is_refused_before_anything_is_done(script, option, stubs, tmp_path):
    here = tmp_path / ("here\nit is" if " b " in script else "here")
    here.mkdir()
    done = bash(script.format(repo=REPO), here, PATH=f"{stubs}:{os.environ['PATH']}", STUB_LOG=str(tmp_path / "log"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert f"error: {option} " in done.stderr and "holds a line feed" in done.stderr
    assert not list(here.iterdir()) and not (tmp_path / "log").exists()


def test_words_with_a_line_feed_are_not_printed_as_two(capsys):
    sys.path.insert(0, str(REPO / "recipes"))
    from shell_words import print_words

    print_words(["--data", "a b"])
    assert capsys.readouterr().out == "--data\na b\n"
    with pytest.raises(ConfigError, match=r"'a\\nb' holds a line feed"):
        print_words(["--data", "a\nb"])
    assert capsys.readouterr().out == ""


@names
def test_an_evaluation_set_is_found_under_any_prefix(name, tmp_path):
    for lang in ("eng", "swa"):
        (tmp_path / f"{NAMES[name]}.{lang}").write_text("one\n")
    (found,) = find_sets(tmp_path / NAMES[name])
    assert sorted(found.files) == ["eng", "swa"]


@pytest.mark.parametrize("made, option, expected", [
    ("runs=1/flores", "runs=1/flores", (None, "runs=1/flores")),
    ("runs=1/dev.swa", "runs=1/dev", (None, "runs=1/dev")),
    ("flores/devtest", "runs=flores", ("runs", "flores")),
    ("flores/devtest", "runs=1/flores", ("runs", "1/flores")),
    ("a=b[1].swa", "a=b[1]", (None, "a=b[1]")),
    ("lr=1/best.pt", "lr=1/best.pt", (None, "lr=1/best.pt")),
])  # fmt: skip
def test_a_path_with_an_equals_sign_is_no_name(made, option, expected, tmp_path, monkeypatch):
    sys.path.insert(0, str(REPO / "recipes"))
    from evaluate_sets import named

    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_text("")
    monkeypatch.chdir(tmp_path)
    assert named(option) == expected


@pytest.mark.slow
def test_prepare_sh_makes_a_data_directory_there(tmp_path):
    folder = tmp_path / 'it\'s a "$HOME" of  spaces'
    folder.mkdir()
    words = "lala kufi moso tene wiru basha dogo nyumba kitu samaki jua mvua".split()
    pairs = [(f"number {i} is written here", " ".join(np.random.default_rng(i).choice(words, 6))) for i in range(60)]
    for lang, side in zip(("eng", "swa"), zip(*pairs)):
        (folder / f"train.{lang}").write_text("".join(line + "\n" for line in side))
    spec = own_teacher(folder)
    command = [
        "bash",
        REPO / "data_prep" / "prepare.sh",
        "--data",
        folder / "data",
        "--langs",
        "swa",
        "--teacher",
        spec,
        "--spm-size",
        "60",
    ]
    command += ["--bitext", f"eng-swa={folder}/train", "--workers", "1"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FAIRSEQ_DISTILL_VENV": "none",
    }
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "data" / "manifest.json").is_file() and sorted(tmp_path.iterdir()) == [folder]


def test_a_file_cannot_write_on_the_terminal(tmp_path, capsys):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00\x40\x00" + b"\x1b[2J\x1b[31m\n" * 8)
    (tmp_path / "x.npy.json").write_text('{"\\u001b[2J\\n%s": 1}' % ("long" * 9999))
    for name in ("x.npy", "y.npy"):
        assert xsim([f"--src={tmp_path / name}", f"--tgt={tmp_path / name}", "--quiet"]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and said.strip().isprintable() and len(said) < 2100
