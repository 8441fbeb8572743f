"""The loop of recipes/iterate.sh and the judging of recipes/nmt on a small invented language, run once and run again."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from fairseq_distill.formats.provenance import read_provenance
from tests.end_to_end.test_pipeline import pairs

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

TINY = """
SPM_SIZE=120
ARCHITECTURE=(--arch transformer --encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 32 --decoder-embed-dim 32
  --encoder-ffn-embed-dim 64 --decoder-ffn-embed-dim 64 --encoder-attention-heads 2 --decoder-attention-heads 2 --share-all-embeddings)
OPTIMISATION=(--optimizer adam --lr 5e-3 --lr-scheduler inverse_sqrt --warmup-updates 10 --criterion label_smoothed_cross_entropy
  --label-smoothing 0.1 --max-tokens 1000)
LENGTH=(--max-update 24)
VALIDATE_EVERY=12
BEAM=2
"""


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_pairs(prefix, part):
    for lang, side in zip(("eng", "qaa"), zip(*part)):
        write(prefix.with_name(f"{prefix.name}.{lang}"), side)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Bitext, valid and test pairs, and two monolingual texts that are partly translations, with a valid pair in them."""
    folder = tmp_path_factory.mktemp("texts with a space")
    every = pairs(760, 5)
    cuts = {"train": every[:380], "dev": every[380:420], "test": every[420:460], "true": every[460:660]}
    for name, part in cuts.items():
        write_pairs(folder / name, part)
    mono = {"eng": [pair[0] for pair in every[460:710]], "qaa": [pair[1] for pair in every[460:660] + every[710:]]}
    for seed, (lang, place) in enumerate((("eng", 0), ("qaa", 1))):
        lines = [*mono[lang], every[380][place]]
        random.Random(seed).shuffle(lines)
        write(folder / f"crawl.{lang}", lines)
    return folder


def command(*words):
    return {"args": ["bash", *map(str, words)], "cwd": "/", "env": {**os.environ, "PYTHONPATH": str(REPO)}}


def run(*words):
    done = subprocess.run(**command(*words), capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def iterate(texts, work):
    return run(
        REPO / "recipes/iterate.sh", "--work", work, "--lang", "qaa", "--bitext", texts / "train", "--valid", texts / "dev",
        "--exclude", texts / "test.eng", "--exclude", texts / "test.qaa", "--src-text", texts / "crawl.qaa",
        "--tgt-text", texts / "crawl.eng", "--hide", "40", "--alone", "20", "--max-rounds", "2", "--min-new-share", "0",
        "--", "--spm-size", "150", "--arch", "student_encoder_tiny", "--max-update", "60",
    )  # fmt: skip


@pytest.fixture(scope="module")
def loop(texts, tmp_path_factory):
    work = tmp_path_factory.mktemp("loop") / "work"
    return work, iterate(texts, work)


def test_the_loop_mines_translations_and_says_where_they_are(texts, loop):
    work, done = loop
    state = json.loads((work / "iterate.json").read_text())
    assert state["stopped"].startswith("stop: ") and state["stopped"] in done.stdout
    truth = dict(zip(*((texts / f"true.{lang}").read_text().splitlines() for lang in ("qaa", "eng"))))
    crawl = {lang: (texts / f"crawl.{lang}").read_text().splitlines() for lang in ("qaa", "eng")}
    evaluation = {
        line
        for name in ("dev", "test")
        for lang in ("qaa", "eng")
        for line in (texts / f"{name}.{lang}").read_text().splitlines()
    }
    aside = {line for lang in ("qaa", "eng") for line in (work / f"text/hidden.{lang}").read_text().splitlines()}
    for number in range(1, len(state["rounds"]) + 1):
        found = list(read_provenance(work / f"round-{number}" / "mined.tsv"))
        assert len(found) == state["rounds"][number - 1]["kept"] > 50
        assert sum(truth.get(pair.source) == pair.target for pair in found) > 0.6 * len(found)
        for pair in found:
            assert (
                crawl["qaa"][pair.source_line - 1] == pair.source and crawl["eng"][pair.target_line - 1] == pair.target
            )
            assert not {pair.source, pair.target} & (evaluation | aside)
    assert "Calibration" in (work / "round-1/student/report.html").read_text()


def test_a_second_run_of_the_loop_changes_nothing(texts, loop):
    work, _ = loop
    watched = [
        path for path in work.rglob("*") if path.name in ("checkpoint_best.pt", "mined.tsv", "all.tsv", "mono.eng.npy")
    ]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in watched}
    state = (work / "iterate.json").read_bytes()
    done = iterate(texts, work)
    assert done.stderr.count("unchanged: trained") == len(json.loads(state)["rounds"])
    assert (work / "iterate.json").read_bytes() == state
    assert {path: path.read_bytes() for path in watched} == {path: content for path, (_, content) in before.items()}
    trained = [path for path in watched if path.name == "checkpoint_best.pt"]
    assert trained and all(path.stat().st_mtime_ns == before[path][0] for path in trained)


def judging(texts, loop, work, *options):
    """The words of recipes/nmt/run.sh."""
    threshold = json.loads((loop[0] / "iterate.json").read_text())["rounds"][0]["threshold"]
    leak = "\t".join((texts / f"dev.{lang}").read_text().splitlines()[0] for lang in ("qaa", "eng"))
    mined = (loop[0] / "round-1/all.tsv").read_text()
    (texts / "mined.tsv").write_text(f"9.0\t{leak}\t1\t1\n{mined}")  # a valid pair, mined with the best score
    size = texts / "tiny.sh"
    size.write_text(TINY)
    return (
        REPO / "recipes/nmt/run.sh", "--work", work, "--pair", "qaa-eng", "--bitext", texts / "train", "--mined",
        texts / "mined.tsv", "--threshold", str(threshold), "--hidden", loop[0] / "text/hidden.qaa",
        "--system", f"truth={texts / 'true'}", "--valid", texts / "dev", "--test", texts / "test", "--size", size,
        "--mono", texts / "crawl.eng", *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def judged(texts, loop, tmp_path_factory):
    """The work directory of recipes/nmt/run.sh, and what it said."""
    work = tmp_path_factory.mktemp("judged") / "nmt work"
    return work, run(*judging(texts, loop, work))


def test_translation_with_and_without_mined_pairs(texts, loop, judged):
    work, done = judged
    results = json.loads((work / "results.json").read_text())
    names = [system["name"] for system in results["systems"]]
    assert names == ["bitext", "mined", "truth"]
    bitext, mined, truth = results["systems"]
    assert bitext["pairs"] == 380 and truth["pairs"] == 580 and bitext["pairs"] < mined["pairs"]
    assert {system["updates"] for system in results["systems"]} == {24}
    assert mined["added"]["dropped"]["in_evaluation_set"] == 1
    valid = {line for lang in ("qaa", "eng") for line in (texts / f"dev.{lang}").read_text().splitlines()}
    for name in names:
        for lang in ("qaa", "eng"):
            trained = (work / f"bin/{name}/text/train.{lang}").read_text().splitlines()
            assert len(trained) == results["systems"][names.index(name)]["pairs"] and not valid & set(trained)
    for system in (mined, truth):
        assert 0 <= system["scores"]["BLEU"]["p_value"] <= 1 and system["scores"]["chrF"]["score"] > 0
    assert "tok:13a" in done.stdout and "bs:1000" in results["signatures"]["chrF"]
    for name in names:
        assert len((work / f"translations/{name}.eng").read_text().splitlines()) == 40
    again = run(*judging(texts, loop, work, "--jobs", "2"))
    for name in names:
        assert f"unchanged: train.{name}" in again.stderr and f"unchanged: translate.{name}" in again.stderr
    assert json.loads((work / "results.json").read_text())["systems"] == results["systems"]


def test_judging_killed_again_and_again_ends_as_an_unbroken_one(texts, loop, judged):
    """One system is made anew; SIGKILL while it is binarised, trained and translated."""
    work, _ = judged
    results, made = json.loads((work / "results.json").read_text()), (work / "translations/mined.eng").read_bytes()
    for path in (*work.glob("done/*.mined"), work / "translations/mined.eng", work / "results.json"):
        path.unlink()
    for folder in ("bin/mined", "checkpoints/mined"):
        shutil.rmtree(work / folder)
    words = command(*judging(texts, loop, work))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for seconds in (3, 6, 9):
        with subprocess.Popen(**words, **quiet, start_new_session=True) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    run(*words["args"][1:])
    assert (work / "translations/mined.eng").read_bytes() == made
    assert json.loads((work / "results.json").read_text())["systems"] == results["systems"]
    assert not list(work.rglob("*.tmp"))
