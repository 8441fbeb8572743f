"""prepare.sh as a user runs it: all stages on some 50 made-up lines a language, changed inputs, kills, user's errors."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fairseq_distill import defaults
from fairseq_distill.data.parts import cut_words
from fairseq_distill.formats.binarised import open_binarised
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import read_manifest
from fairseq_distill.text import StudentTokenizer

ROOT = Path(__file__).resolve().parents[2]
DIM = 12
ODD = [
    ("A line separator, well inside", "mstari\u2028katikati\u0085hapa\u3000pia"),
    ("Laughing faces for everyone", "nyuso 😀😀 zinazocheka 👨‍👩‍👧"),
    ("Peace be upon the world", "السلام على العالم"),
    ("The end of a sentence", "mwisho </s> <s> <pad> <unk> <mask>"),
    ("Letters it never saw before", "እናት </s> ለሁሉም"),
    ("A very long sentence", "neno " * 700),
    ("Nothing but a point", "…"),
]


def environment():
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "FAIRSEQ_DISTILL_VENV": "none", "OMP_NUM_THREADS": "1"}


def prepare(options, **more):
    command = ["bash", str(ROOT / "data_prep" / "prepare.sh"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), **more)


def unchanged(done):
    return set(re.findall(r"unchanged: (\S+)", done.stderr))


def content(data):
    """Every file that matters, by name; stamps and logs hold times."""
    files = [path for path in data.rglob("*") if path.is_file()]
    kept = [path for path in files if path.relative_to(data).parts[0] not in ("stamps", "logs", ".lock")]
    return {str(path.relative_to(data)): path.read_bytes() for path in kept}


def write_teacher(folder, lines, parts):
    """Random rows for each line and its growing parts, as a teacher made elsewhere."""
    sentences = sorted({cut_words(line, part, parts) for line in lines for part in range(1, parts + 1)} | set(lines))
    (folder / "known.txt").write_text("".join(line + "\n" for line in sentences), encoding="utf-8")
    rows = np.random.default_rng(0).standard_normal((len(sentences), DIM)).astype(np.float32)
    np.save(folder / "known.npy", rows)
    return f"file:{folder}/known.npy?text={folder}/known.txt,space=made-up,pooling=max", sentences, rows


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, made_up, write):
    """A prepared data directory, the options that made it, and what it says."""
    folder = tmp_path_factory.mktemp("it's a folder")
    swahili, zulu = (
        made_up(60, seed=1),
        made_up(40, seed=2, language="aba bhe khu nge lwa pho qha sis".split()),
    )
    valid = made_up(10, seed=3) + ODD
    held = swahili[7]
    write(folder / "news" / "train", swahili)
    write(folder / "my own" / "train", [*zulu, zulu[0], (zulu[1][0], "")], ("eng", "zul"))
    write(folder / "news" / "dev", [*valid, held, ("", "tupu")])
    (folder / "zul.txt").write_text("".join(f"{other} futhi.\n" for _, other in zulu))
    teacher, sentences, rows = write_teacher(folder, [english for english, _ in swahili + zulu + valid], 2)
    options = [
        "--data", folder / "data", "--langs", "swa,zul", "--teacher", teacher, "--spm-size=90", "--increments=2",
        "--bitext", f"eng-swa={folder}/news/train", "--bitext", f"zul-eng={folder}/my own/train",
        "--mono", f"zul={folder}/zul.txt", "--valid", f"eng-swa={folder}/news/dev",
    ]  # fmt: skip
    done = prepare(options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, options, done, dict(zip(sentences, rows))


@pytest.mark.slow
def test_manifest_describes_what_lies_there(prepared):
    folder, _, done, rows = prepared
    data = folder / "data"
    manifest = read_manifest(data)
    assert [(c.split, c.id, c.kind, c.n) for c in manifest.corpora] == [
        ("train", "news.eng-swa", "distil", 59),
        ("train", "my_own.eng-zul", "distil", 40),
        ("train", manifest.corpora[2].id, "mask", 40),
        ("valid", "news.eng-swa", "distil", 18),
    ]
    assert (manifest.teacher.dim, manifest.teacher.pooling, manifest.teacher.space) == (DIM, "max", "made-up")
    dropped = {(count.step, count.corpus): count.dropped for count in manifest.counts}
    assert dropped[("deduplicate", "train.news.eng-swa")] == {"in_evaluation_set": 1}
    assert dropped[("deduplicate", "train.my_own.eng-zul")] == {"duplicate": 1}
    assert dropped[("clean", "train.my_own.eng-zul")] == {"empty": 1}
    assert dropped[("clean", "valid.news.eng-swa")] == {"empty": 1}
    assert (
        "no --valid for zul" in done.stderr
        and "advice | " in done.stderr
        and "--spm-size auto does that" in done.stderr
    )
    for corpus in manifest.corpora:
        assert len(read_lines(data / corpus.src_text)) == corpus.n
        for part, name in enumerate(corpus.teacher, start=1):
            expected = [
                rows[cut_words(line, part, 2) if part < 2 else line] for line in read_lines(data / corpus.tgt_text)
            ]
            np.testing.assert_allclose(open_embeddings(data / name), np.stack(expected), rtol=2e-3)
    assert set(manifest.checksums) <= set(content(data))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 3])
def test_binarised_ids_are_the_tokenizers_on_odd_lines(prepared, workers, tmp_path):
    folder, options, _, _ = prepared
    data = folder / "data"
    if workers:  # fairseq-preprocess cuts the file at byte offsets
        shutil.copytree(data, tmp_path / "data")
        data = tmp_path / "data"
        shutil.rmtree(data / "bin")
        stages = ["--data", data, "--stage", 4, "--stop-stage", 4, "--workers", workers]
        assert prepare([*options, *stages]).returncode == 0
        assert {p.name: p.read_bytes() for p in (data / "bin").iterdir()} == {
            p.name: p.read_bytes() for p in (folder / "data" / "bin").iterdir()
        }
    tokenizer = StudentTokenizer((data / "spm.model").read_bytes(), read_dictionary(data / "dict.txt"))
    for path in (data / "bin").glob("*.idx"):
        lines = read_lines(data / "clean" / path.stem)
        sentences = open_binarised(data / "bin" / path.stem)
        expected = tokenizer.encode(lines, defaults.MAX_LENGTH_PIECES)
        assert len(sentences) == len(expected)
        assert all(np.array_equal(ids, wanted) for ids, wanted in zip(sentences, expected))


@pytest.mark.slow
def test_a_second_run_does_nothing(prepared):
    folder, options, _, _ = prepared
    before = {
        path: path.stat().st_mtime_ns for path in (folder / "data").rglob("*") if path.parent.name in ("bin", "clean")
    }
    start = time.monotonic()
    done = prepare(options, cwd=folder)
    assert done.returncode == 0 and "fairseq-teach" not in done.stderr
    assert len(unchanged(done)) == 4 + 1 + 2 + 4 + 4 + 3
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert time.monotonic() - start < 30


@pytest.mark.slow
def test_only_what_depends_on_a_changed_input_is_made_again(prepared, tmp_path):
    folder, options, _, _ = prepared
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    teacher = options[5]  # it stays where it is
    options = [str(o).replace(str(folder), str(copy)) if o is not teacher else o for o in options]
    lines = (copy / "news" / "dev.swa").read_text().split("\n")
    lines[2] = "Kufi moso tene kabisa."
    (copy / "news" / "dev.swa").write_text("\n".join(lines))
    done = prepare(options, cwd=copy)
    assert done.returncode == 0, done.stderr
    kept = unchanged(done)
    # The evaluation set decides what is left of the training text, but nothing of it has changed.
    assert not kept & {
        "clean.valid.news.eng-swa",
        "deduplicate",
        "encode.valid.news.eng-swa",
        "binarise.valid.news.eng-swa",
    }
    assert {"clean.train.news.eng-swa", "train_spm", "encode.train.news.eng-swa", "binarise.train.news.eng-swa"} <= kept
    assert {"teach.train.news.eng-swa", "teach.valid.news.eng-swa"} <= kept
    assert read_manifest(copy / "data").select("valid")[0].n == 18
    done = prepare([*options, "--spm-size", 80, "--stop-stage", 2], cwd=copy)
    assert "train_spm" not in unchanged(done) and "deduplicate" in unchanged(done)
    assert not (copy / "data" / "manifest.json").exists()  # it no longer describes what lies there
    shutil.rmtree(copy / "data" / "filtered")
    kept = unchanged(prepare([*options, "--stop-stage", 1], cwd=copy))
    assert "clean.train.news.eng-swa" not in kept and "deduplicate" in kept  # what was lost came out the same again


@pytest.mark.slow
def test_what_a_run_killed_after_its_last_step_left_is_removed(prepared, tmp_path):
    # The corpora have been adopted and stamped, but the kill came before the folder was removed.
    folder, options, _, _ = prepared
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "data" / "bin.tmp").mkdir()
    (copy / "data" / "bin.tmp" / "preprocess.log").write_text("half of it\n")
    done = prepare([str(o).replace(str(folder), str(copy)) if o is not options[5] else o for o in options], cwd=copy)
    assert done.returncode == 0, done.stderr
    assert any(step.startswith("binarise.") for step in unchanged(done))
    assert not (copy / "data" / "bin.tmp").exists()


@pytest.mark.slow
def test_killed_runs_end_with_the_same_files(prepared, tmp_path):
    folder, options, _, _ = prepared
    data = tmp_path / "data"
    options = [*options, "--data", data]
    rng = random.Random(5)
    for _ in range(3):
        command = ["bash", str(ROOT / "data_prep" / "prepare.sh"), *map(str, options)]
        run = subprocess.Popen(command, env=environment(), start_new_session=True, stdout=-3, stderr=-3)
        try:
            run.wait(timeout=rng.uniform(1.0, 9.0))
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    done = prepare(options)
    assert done.returncode == 0, done.stderr
    got, expected = content(data), content(folder / "data")
    assert set(got) == set(expected)
    differing = {name for name in got if got[name] != expected[name]}
    assert not differing


@pytest.mark.slow
def test_users_errors_are_one_sentence_and_leave_no_manifest(tmp_path, made_up, write):
    pairs = made_up(8)
    good, short = write(tmp_path / "good" / "train", pairs), write(tmp_path / "short" / "train", pairs)
    foreign = write(tmp_path / "foreign" / "train", [(english, "Привет всем вам") for english, _ in pairs])
    (tmp_path / "short" / "train.swa").write_text("moja\nmbili\n")
    base = ["--data", tmp_path / "data", "--langs", "swa", "--teacher", "file:x.npy"]
    for options, message in [
        ([*base, "--bitext", f"eng-swa={short}"], r"train\.swa has 2 lines but \S+train\.eng has 8"),
        (
            [*base, "--bitext", f"eng-swa={foreign}"],
            r"No training pair of swa is left of 8 \(wrong_script 8\).*swa_Latn",
        ),
        ([*base, "--bitext", f"eng-swa={good}", "--valid", f"eng-swa={good}"], r"left of 8 \(in_evaluation_set 8\)"),
        ([*base, "--bitext", f"swa-fra={good}"], "neither side is eng"),
        ([*base, "--bitext", f"eng-swa={good}", "--teacher", "bert:x"], "'bert' is no kind of encoder"),
        ([*base, "--bitext", f"eng-swa={good}", "--stage", "x"], "x is not a whole number"),
        ([*base, "--speed", "3"], "unknown option --speed"),
        ([*base, "--bitext", f"eng-swa={good}", "--stage", "3"], "earlier --stage"),
        ([*base, "--bitext"], "--bitext needs a value"),
    ]:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        done = prepare(options, cwd=tmp_path)
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        assert done.returncode == 1 and len(errors) == 1, done.stderr
        assert re.search(message, errors[0]) and "Traceback" not in done.stderr
        assert not list(tmp_path.glob("data/manifest.json")) and not list(tmp_path.glob("data/**/*.tmp"))


@pytest.mark.slow
def test_lost_binarised_line_is_found(prepared, tmp_path):
    import binarised

    from fairseq_distill.errors import DataError

    data = prepared[0] / "data"
    result = json.loads((data / "stamps" / "encode.train.news.eng-swa.json").read_text())["result"]
    prefix = data / "bin" / "train.news.eng-swa.swa"
    binarised.check(prefix, "x", result["lines"], result["pieces"])
    for n_lines, n_pieces in ((result["lines"] + 1, result["pieces"]), (result["lines"], result["pieces"] + 1)):
        with pytest.raises(DataError, match="--workers 1"):
            binarised.check(prefix, "x", n_lines, n_pieces)
