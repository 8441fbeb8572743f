"""SIGKILL at each step of each command: the next run ends with the bytes of a run that nobody killed, and leaves nothing else.

A copy of this process (fork) runs the command and kills itself at its n-th change of the disk: opening a file to write,
flushing it, renaming or removing it. So every such moment can be met, which a clock would miss.
"""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from fairseq_distill.cli.embed import cli_main as embed
from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.evaluation.report import report
from fairseq_distill.export.laser import laser
from fairseq_distill.export.onnx import onnx
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.export.sentence_transformers import sentence_transformers
from fairseq_distill.formats import results
from fairseq_distill.formats.binarised import write_binarised
from fairseq_distill.formats.embeddings import EmbeddingInfo, write_info
from tests.faults.tools import content, own_rows, own_teacher
from tests.unit.export.export_students import train_spm, write_student

REPO = Path(__file__).parents[2]
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


def do_mine(folder, given):
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
    run(mine, "--quiet", *sides, "--output", folder / "o.tsv.gz", "--scores", folder / "s.npy", "--threshold", 0)


def do_clean(folder, given):
    from clean import clean_corpus
    from plan import Source
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


STAGES = {
    "teach": (do_teach, 16), "embed": (do_embed, 10), "shards": (do_shards, 16), "ready rows": (do_ready, 6), "mine": (do_mine, 8),
    "clean": (do_clean, 12), "vocabulary": (do_pieces, 8), "binarise": (do_binarise, 6), "results": (do_results, 2),
    "safetensors": (do_safetensors, 12), "laser": (do_laser, 6), "taught shards": (do_taught_shards, 16), "onnx": (do_onnx, 6),
    "sentence-transformers": (do_sentence_transformers, 6),
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
    return folder


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_moment(name, given, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPO / "data_prep"))
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
        moment += 1 if at_least < 16 else 2  # long stages: every other moment
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
