"""SIGKILL at each step of each command: the next run ends with the bytes of a run that nobody killed, and leaves nothing else.

A copy of this process (fork) runs the command and kills itself at its n-th change of the disk: opening a file to write,
flushing it, renaming or removing it. So every such moment can be met, which a clock would miss.
"""

import contextlib
import json
import os
import shutil
import signal
from unittest import mock

import numpy as np
import pytest
import torch

from fairseq_distill.cli.common import run_command
from fairseq_distill.cli.embed import cli_main as embed
from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.evaluation.report import report
from fairseq_distill.export.laser import laser
from fairseq_distill.export.onnx import onnx
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.export.sentence_transformers import sentence_transformers
from fairseq_distill.formats import calibration, results
from fairseq_distill.formats.binarised import write_binarised
from fairseq_distill.formats.embeddings import EmbeddingInfo, write_info
from tests.faults.formats import PROGRAMS, SUMMARY
from tests.faults.tools import content, own_rows, own_teacher, write_nllb
from tests.unit.export.export_students import train_spm, write_student

LINES = [f"sentence {i % 7} of {i}" for i in range(12)]


@pytest.fixture(autouse=True)
def one_thread():
    """In a copy of a process OpenMP waits for threads that were not copied; with one thread it asks for none."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def killed_at(moment, action):
    """Run ``action`` in a copy of this process that kills itself before its ``moment``-th change of the disk.

    Returns:
        whether it came to that; False when the action had ended before.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the action failed by itself"
        return os.WIFSIGNALED(status)
    try:
        left = [moment]

        def counted(function, writes=lambda *a, **k: True):
            def call(*args, **kwargs):
                if writes(*args, **kwargs):
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        import builtins

        builtins.open = counted(open, lambda file, mode="r", *a, **k: any(sign in mode for sign in "wax+"))
        for name in ("replace", "fsync", "unlink", "mkdir", "rmdir", "rename"):
            setattr(os, name, counted(getattr(os, name)))
        os.open = counted(os.open, lambda path, flags, *a, **k: bool(flags & (os.O_WRONLY | os.O_RDWR)))
        action()
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(3)


def run(main, *words):
    assert main([str(word) for word in words]) == 0


def do_teach(folder, given):
    texts, outputs = [given / "a", given / "b"], [folder / "a.npy", folder / "b.npy"]
    run(teach, "--quiet", "--teacher", own_teacher(given), "--input", *texts, "--output", *outputs, "--increments", 2)


def do_embed(folder, given):
    run(embed, "--quiet", "--path", own_teacher(given), "--input", given / "a", "--output", folder / "a.npy")


def in_shards(command, encoder_flag, folder, given):
    words = ["--quiet", encoder_flag, own_teacher(given), "--input", given / "a", "--output", folder / "a.npy"]
    joined = (folder / "a.npy.json").exists()
    for number in () if joined else (1, 2):
        run(command, *words, "--shard", f"{number}/2")
    if list(folder.glob("a.shard?of2.npy*")):
        run(command, *words, "--join-shards", 2)


def do_shards(folder, given):
    in_shards(embed, "--path", folder, given)


def do_taught_shards(folder, given):
    in_shards(teach, "--teacher", folder, given)


def do_ready(folder, given):
    run(teach, "--quiet", "--teacher", f"file:{given / 'a.npy'}", "--input", given / "a", "--output", folder / "a.npy")


def mining(given):
    """One text against itself."""
    sides = [
        "--src-text",
        given / "a",
        "--tgt-text",
        given / "a",
        "--src-emb",
        given / "a.npy",
        "--tgt-emb",
        given / "a.npy",
    ]
    return ["--quiet", "--threshold", 0, *sides]


def do_mine(folder, given):
    run(mine, *mining(given), "--output", folder / "o.tsv.gz", "--scores", folder / "s.npy")


def do_mine_shards(folder, given):
    words = [*mining(given), "--output", folder / "o.tsv", "-k", 2]
    for index in (1, 2):
        run(mine, *words, "--shard", f"{index}/2")
    run(mine, *words, "--join-shards", 2)


def do_clean(folder, given):
    from clean import clean_corpus
    from plan_file import Source
    from stamps import Stamps, Step

    outputs = [folder / name for name in ("out", "dropped.gz", "keys")]
    stamps = Stamps(folder)
    step = Step("clean", [given / "a"], outputs)
    stamps.run(step, lambda: clean_corpus(Source("x", "mask", "train", "swa", str(given / "a")), outputs, workers=1))
    (folder / "stamps" / "checksums.json").unlink(missing_ok=True)  # a cache, which holds times


def do_pieces(folder, given):
    from train_spm import dictionary_of, write_vocabulary

    model = (given / "spm.model").read_bytes()
    write_vocabulary(model, folder, dictionary_of(model, "spm+1"))


def do_binarise(folder, given):
    write_binarised(folder / "ids", np.arange(30) % 9 + 1, np.full(6, 5))


def do_results(folder, given):
    entry = results.XsimEntry("student", "v", "swa", "eng", "ratio", 4, 100, 5, 5.0)
    results.write_results(folder, results.Results([entry]))


def do_safetensors(folder, given):
    safetensors(given / "student.pt", folder / "student", force=True)


def do_laser(folder, given):
    laser(given / "student.pt", folder / "student", force=True)


def do_onnx(folder, given):
    pytest.importorskip("onnx", reason="onnx is not installed")
    onnx(given / "student.pt", folder / "student", force=True)


def do_sentence_transformers(folder, given):
    sentence_transformers(given / "student.pt", folder / "student", force=True)


def do_report(folder, given):
    do_results(folder, given)
    report(folder, folder / "report.html")


# --- the programs of data_prep/ and recipes/


def program(module, words):
    words = ["--quiet", *map(str, words)]
    if hasattr(module, "cli_main"):
        with mock.patch("sys.argv", [module.__name__, *words]):
            assert module.cli_main() == 0
    else:
        assert run_command(module._parser(), module.main, words) == 0


def do_hide(folder, given):
    import hide_pairs

    words = [
        "--pair",
        "swa-eng",
        "--input",
        given / "news",
        "--hide",
        4,
        "--alone",
        2,
        "--mono",
        f"swa={given / 'news.swa'}",
    ]
    program(hide_pairs, [*words, "--output", folder / "hidden"])


def do_filter(folder, given):
    import filter_pairs

    words = ["--pair", "swa-eng", "--mined", given / "mined.tsv", "--threshold", "1", "--known", given / "known"]
    program(filter_pairs, [*words, "--output", folder / "mined"])


def do_calibrate(folder, given):
    import calibrate_mining

    words = ["--pair", "swa-eng", "--known", given / "hidden", "-k", "2", "--output", folder]
    for side, lang in (("src", "swa"), ("tgt", "eng")):
        words += [f"--{side}-emb", given / f"mono.{lang}.npy"]
    program(calibrate_mining, words)


def do_evaluate(folder, given):
    import evaluate_sets

    sets, near = f"news={given / 'news'}", given / "near.tsv"
    words = [
        "--encoder",
        f"own={own_teacher(given)}",
        "--set",
        sets,
        "--augmented",
        near,
        "--train",
        given / "a",
        "--work",
        "work",
    ]
    with contextlib.chdir(folder):  # the table names its folder
        program(evaluate_sets, words)


def do_iterate(folder, given):
    import iterate_round

    def link(source, target):
        if not os.path.exists(target):
            os.link(source, target)

    shutil.copytree(given / "iterate", folder, copy_function=link, dirs_exist_ok=True)
    program(iterate_round, ["finish", "--work", folder, "--round", 1, "--pair", "swa-eng"])


def do_split(folder, given):
    import split_heldout

    words = [
        "--pair",
        "eng-swa",
        "--input",
        given / "news",
        "--train",
        folder / "train",
        "--heldout",
        f"{folder / 'dev'}=3",
    ]
    program(split_heldout, words)


def do_nllb(folder, given):
    import from_nllb

    words = ["--config", given / "nllb.json", "--data", "data", "--teacher", own_teacher(given)]
    with contextlib.chdir(folder):
        assert from_nllb.cli(["--quiet", *map(str, words)]) == 0


def do_augment(folder, given):
    import augment_targets

    program(augment_targets, ["--input", given / "news.eng", "--output", folder / "near.tsv.gz"])


def do_add_mining(folder, given):
    import add_mining

    do_results(folder, given)
    words = [
        "--summary",
        given / "mine.json",
        "--scores",
        folder / "scores.npy",
        "--src-lang",
        "swa",
        "--tgt-lang",
        "eng",
    ]
    program(add_mining, ["--work", folder, *words])


def do_fetch(folder, given):
    import fetch_corpora
    from family_config import FamilyConfig, ListedCorpus

    def fetch(name, pair, partial, log, patience):
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "train-parts").mkdir(parents=True)
        for lang in ("eng", "swa"):
            os.link(given / f"news.{lang}", partial / "train-parts" / f"{name}.{lang}")
        return 1

    corpus = ListedCorpus("swa", "Made-news-1-eng-swa", "CC-BY-4.0")
    config = FamilyConfig(given, "f", ("swa",), (), (corpus,), 8, 1.0, "none", 1, ())
    words = ["--output", str(folder), "--max-pairs", "9", "--lock", str(given / "no.lock.tsv")]
    args = fetch_corpora.parser().parse_args(words)
    with mock.patch.multiple(fetch_corpora, fetch=fetch, version=lambda: "mtdata"):
        assert fetch_corpora.fetch_one(config, corpus, folder, args) == ""


STAGES = {
    "teach": (do_teach, 16), "embed": (do_embed, 10), "shards": (do_shards, 16), "ready rows": (do_ready, 6), "mine": (do_mine, 8),
    "clean": (do_clean, 12), "vocabulary": (do_pieces, 8), "binarise": (do_binarise, 6), "results": (do_results, 2),
    "safetensors": (do_safetensors, 12), "laser": (do_laser, 6), "taught shards": (do_taught_shards, 16), "onnx": (do_onnx, 6),
    "sentence-transformers": (do_sentence_transformers, 6), "hide_pairs": (do_hide, 32), "filter_pairs": (do_filter, 10),
    "calibrate": (do_calibrate, 4), "evaluate": (do_evaluate, 32), "iterate": (do_iterate, 6), "fetch": (do_fetch, 12),
    "split_heldout": (do_split, 8), "from_nllb": (do_nllb, 32), "augment": (do_augment, 2), "add_mining": (do_add_mining, 4),
    "mining shards": (do_mine_shards, 12),
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    for name, lines in (("a", LINES), ("b", LINES[::-1])):
        (folder / name).write_text("".join(line + "\n" for line in lines))
    np.save(folder / "a.npy", own_rows(LINES))
    write_info(folder / "a.npy", EmbeddingInfo("x", "space", "none"))
    spm = train_spm()
    (folder / "spm.model").write_bytes(spm)
    write_student(folder / "student.pt", spm)
    with pytest.MonkeyPatch.context() as patch:
        for place in PROGRAMS:
            patch.syspath_prepend(place)
        _write_bitext(folder)
    write_nllb(folder, spm, LINES)
    (folder / "mine.json").write_text(json.dumps(SUMMARY))
    _write_round(folder / "iterate")
    return folder


def _write_bitext(folder):
    """A bitext, near copies of its English side, mined pairs of it, and pairs hidden to calibrate with their vectors."""
    for lang, word in (("swa", "neno"), ("eng", "word")):
        lines = [f"the {word} number {i} is in this line" for i in range(12)]
        (folder / f"news.{lang}").write_text("".join(line + "\n" for line in lines))
        (folder / f"known.{lang}").write_text(lines[3] + "\n")
    (folder / "near.tsv").write_text("1\tnumber\tthe word number 99 is in this line\n")
    sides = [(folder / f"news.{lang}").read_text().splitlines() for lang in ("swa", "eng")]
    pairs = [f"1.{90 - i}\t{one}\t{two} or another\t{i + 1}\t{i + 1}" for i, (one, two) in enumerate(zip(*sides))]
    (folder / "mined.tsv").write_text("\n".join(pairs) + "\n")
    do_hide(folder, folder)
    for lang in ("swa", "eng"):
        np.save(folder / f"mono.{lang}.npy", own_rows((folder / "hidden" / f"mono.{lang}").read_text().splitlines()))


def _write_round(folder):
    """What a round of iterate.sh leaves for its end."""
    inner = folder / "round-1"
    for name in ("student/checkpoints", "calibration"):
        (inner / name).mkdir(parents=True)
    (folder / "text").mkdir()
    (inner / "student" / "checkpoints" / "checkpoint_best.pt").write_bytes(b"weights")
    results.write_results(
        inner / "student",
        results.Results([results.XsimEntry("student", "v", "swa", "eng", "distance", 4, 100, 5, 5.0)]),
    )
    setting = calibration.Setting("ratio", 4, calibration.Cut(1.06, 10, 8.0, 7, 0.9, 0.8, 0.85))
    found = calibration.Calibration("swa-eng", 10, 3, [5, 6], "max", 0.9, [setting])
    calibration.write_calibration(inner / "calibration" / "calibration.json", found)
    for lang in ("swa", "eng"):
        np.save(inner / "calibration" / f"mono.{lang}.npy", own_rows(LINES[:3]))
        (folder / "text" / f"mono.{lang}.origin.tsv").write_text("".join(f"crawl.{lang}\t{i}\n" for i in (4, 5, 6)))
        (inner / f"mined.{lang}").write_text("a line\nanother\n")
    (inner / "mined.lines.tsv").write_text("1.250000\t1\t2\n1.125000\t3\t1\n")
    (inner / "mined.counts.json").write_text(json.dumps({"in": 2, "kept": 2, "dropped": {}}))


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_moment(name, given, tmp_path):
    stage, at_least = STAGES[name]
    (tmp_path / "unbroken").mkdir()
    stage(tmp_path / "unbroken", given)
    expected = content(tmp_path / "unbroken")
    moment = 1
    while True:
        folder = tmp_path / f"killed{moment}"
        folder.mkdir()
        killed = killed_at(moment, lambda: stage(folder, given))
        for path in folder.rglob("*"):  # what bears a final name is whole
            relative = str(path.relative_to(folder))
            if relative in expected and path.is_file() and path.suffix != ".json":
                assert path.read_bytes() == expected[relative], f"killed at {moment}: half of {relative}"
        stage(folder, given)
        assert content(folder) == expected, f"killed at {moment}: {sorted(set(content(folder)) ^ set(expected))}"
        if not killed:
            break
        moment += 1 if at_least < 16 else 2 if at_least < 32 else 5  # long stages: some of the moments
    assert moment > at_least, f"only {moment - 1} moments"


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 8])
def test_a_report_killed_and_made_again(moment, given, tmp_path):
    for name in ("killed", "unbroken"):
        (tmp_path / name).mkdir()
    killed_at(moment, lambda: do_report(tmp_path / "killed", given))
    for name in ("killed", "unbroken"):
        do_report(tmp_path / name, given)
        assert sorted(content(tmp_path / name)) == ["report.html", "results.json"]


@pytest.mark.parametrize("name", ["embed", "teach", "mine", "results"])
def test_killed_again_and_again(name, given, tmp_path):
    stage = STAGES[name][0]
    for folder in ("unbroken", "broken"):
        (tmp_path / folder).mkdir()
    stage(tmp_path / "unbroken", given)
    for moment in (7, 1, 5, 2, 6, 3, 4):
        killed_at(moment, lambda: stage(tmp_path / "broken", given))
    stage(tmp_path / "broken", given)
    assert content(tmp_path / "broken") == content(tmp_path / "unbroken")
