"""run.sh at its tiny size on an invented language: runs, lines, table; killed and run again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes" / "ablation"))

from run_records import read_records  # noqa: E402

from tests.end_to_end.test_pipeline import pairs  # noqa: E402

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Swahili's place taken by an invented language."""
    folder = tmp_path_factory.mktemp("root")
    corpus = folder / "bitext" / "mafand" / "eng-swa"
    corpus.mkdir(parents=True)
    every = pairs(460, 1)
    for part, some in (("train", every[:400]), ("dev", every[400:])):
        for lang, side in zip(("eng", "swa"), zip(*some)):
            (corpus / f"{part}.{lang}").write_text("".join(line + "\n" for line in side), encoding="utf-8")
    return folder


def command(root, folder, *options):
    words = ["bash", REPO / "recipes/ablation/run.sh", "--data-root", root, "--groups", "swahili", "--size", "tiny"]
    words += ["--work", folder / "work", "--results", folder / "results.jsonl", *options]
    return [str(word) for word in words]


def run(words):
    return subprocess.run(words, capture_output=True, text=True, timeout=900, cwd="/")


@pytest.mark.slow
def test_runs_are_made_once_and_the_table_is_written(root, tmp_path):
    words = command(root, tmp_path, "--claim", "a,b,c", "--seeds", "1", "--jobs", "2")
    done = run(words)
    assert done.returncode == 0, done.stderr[-3000:]
    records = {record.variant: record for record in read_records(tmp_path / "results.jsonl")}
    expected = {"base", "max", "cls", "mlm", "mlm-light"}
    expected |= {"base-max-teacher", "mean-max-teacher", "cls-max-teacher", "teacher-spm"}
    assert set(records) == expected
    sets = {name: n for name, n, _ in records["base"].sets}
    assert sets == {"mafand.eng-swa": 60} and records["base"].cpu_seconds > 0
    assert records["base"].sets[0][2]["distance"] < 54  # of 60: it has learned something in 100 updates
    page = (tmp_path / "results.md").read_text()
    assert "| + MLM |" in page and "9 runs" in page
    assert len({record.wrong for record in records.values()}) > 4, "the variants are one student"
    assert not list((tmp_path / "work" / "runs").glob("*/checkpoints"))

    before = (tmp_path / "results.jsonl").read_bytes()
    again = run(words)
    assert again.returncode == 0 and "9 runs planned, 9 are there" in again.stderr
    assert (tmp_path / "results.jsonl").read_bytes() == before

    third = run([*words, "--again", "1"])
    assert third.returncode == 0 and ": 0 of 60 sentences judged otherwise" in third.stdout, third.stderr[-2000:]
    assert (tmp_path / "results.jsonl").read_bytes() == before


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_sitting_goes_on_without_a_double_line_and_to_the_same_numbers(root, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    options = ("--claim", "d", "--seeds", "1")
    assert run(command(root, whole, *options)).returncode == 0
    for seconds in (12, 25):
        process = subprocess.Popen(
            command(root, killed, *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run(command(root, killed, *options)).returncode == 0
    expected, found = (
        {json.loads(line)["key"]: json.loads(line)["wrong"] for line in (folder / "results.jsonl").open()}
        for folder in (whole, killed)
    )
    assert len(expected) == 2 and found == expected
    assert len((killed / "results.jsonl").read_text().splitlines()) == 2


@pytest.mark.long
@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_are_made(root, tmp_path):
    """The teacher of an unreadable text: every run with it fails, with the reason; the MiniLM ones do not."""
    broken = tmp_path / "root"
    (broken / "bitext" / "mafand").mkdir(parents=True)
    (broken / "bitext" / "mafand" / "eng-swa").symlink_to(root / "bitext" / "mafand" / "eng-swa")
    other = broken / "bitext" / "mafand" / "eng-zul"
    other.mkdir()
    (other / "train.eng").write_bytes(b"not \xff UTF-8\n")
    (other / "train.zul").write_bytes(b"a line of Zulu\n")
    done = run(command(broken, tmp_path, "--claim", "a", "--seeds", "1"))
    assert done.returncode == 1 and "3 of 6 runs failed; the first: swahili base-max-teacher seed 1" in done.stderr
    assert "is not valid UTF-8" in done.stderr
    assert {record.variant for record in read_records(tmp_path / "results.jsonl")} == {"base", "max", "cls"}
