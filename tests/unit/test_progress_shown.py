"""Work that takes long on large files says how far it is, with a total, and so with the time left."""

import contextlib
import threading

import numpy as np
import pytest

from fairseq_distill.cli.xsim import cli_main as xsim_command
from fairseq_distill.data.near_duplicates import NearDuplicateIndex
from fairseq_distill.embedding.export import embed, join_shards, parse_shard
from fairseq_distill.evaluation.bucc import bucc_f1
from fairseq_distill.evaluation.report import report
from fairseq_distill.evaluation.report_paired import judge
from fairseq_distill.evaluation.report_runs import read_run
from fairseq_distill.export.folder import new_folder
from fairseq_distill.export.laser import laser
from fairseq_distill.export.onnx import onnx
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.export.sentence_transformers import sentence_transformers
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.bucc import BuccSet
from fairseq_distill.mining.job import distinct_lines, pair_cosines
from fairseq_distill.progress import Steps
from fairseq_distill.teachers.store import teach
from tests.reference.encoders import HashEncoder
from tests.seen_progress import ends, seen_progress
from tests.unit.evaluation.report_example import make_run
from tests.unit.export.export_students import train_spm, write_student


@pytest.fixture
def seen(monkeypatch, caplog):
    return lambda work: seen_progress(monkeypatch, caplog, work)


def test_what_mining_reads(tmp_path, seen, monkeypatch):
    monkeypatch.setattr("fairseq_distill.mining.job._LINES_AT_A_TIME", 40)
    (tmp_path / "t").write_text("".join(f"{i}\n" for i in range(100)))
    shown = seen(lambda: distinct_lines(tmp_path / "t", 100))["compare lines of t"]
    assert [one["done"] for one in shown] == [40, 80, 100] and {one["total"] for one in shown} == {100}
    (shown,) = seen(lambda: sha256_file(tmp_path / "t"))["SHA-256 of t"]
    assert (shown["unit"], shown["done"], shown["total"]) == ("MB", pytest.approx(290e-6), pytest.approx(290e-6))
    rows, ids = np.ones((9, 4), np.float32), np.arange(9)
    assert ends(seen(lambda: pair_cosines(rows, rows, ids, ids, what="cosines"))) == {"cosines": (9, 9)}


def test_both_searches_of_xsim(tmp_path, seen, monkeypatch):
    monkeypatch.setattr("logging.captureWarnings", lambda on: None)  # would stay
    random = np.random.default_rng(1)
    for name, n in (("src", 40), ("tgt", 40), ("near", 10)):
        np.save(tmp_path / f"{name}.npy", random.standard_normal((n, 8)).astype(np.float32))
    (tmp_path / "tgt").write_text("".join(f"line {i}\n" for i in range(40)))
    (tmp_path / "near.tsv").write_text("".join(f"{i + 1}\tnegation\tnear {i}\n" for i in range(10)))
    words = ["--src", str(tmp_path / "src.npy"), "--tgt", str(tmp_path / "tgt.npy"), "--margin", "ratio"]
    words += ["--log-format", "json"]
    shown = ends(seen(lambda: xsim_command([*words, "--baseline", str(tmp_path / "tgt.npy")])))
    assert set(shown) == {"xsim", "xsim of the baseline"} and all(done == total for done, total in shown.values())
    near = ["--augmented", str(tmp_path / "near.tsv"), "--augmented-emb", str(tmp_path / "near.npy")]
    assert set(seen(lambda: xsim_command([*words, "--tgt-text", str(tmp_path / "tgt"), *near]))) == {"xsim++ ratio"}


def test_both_halves_of_bucc_and_the_audit(seen):
    rows = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
    lines, gold = [f"line {i}" for i in range(40)], np.stack([np.arange(30)] * 2, axis=1)
    assert set(seen(lambda: bucc_f1(rows, rows, BuccSet(lines, lines, gold), samples=10))) == {
        "bucc threshold",
        "bucc test",
    }
    assert ends(seen(lambda: NearDuplicateIndex(lines).audit(iter(lines), total=40))) == {"audit": (40, 40)}


def test_the_report_and_what_it_compares(tmp_path, seen):
    work = make_run(tmp_path / "run", ["swa"], n_updates=20, n_mined=20)
    shown = ends(seen(lambda: report(work)))
    assert shown["report | read"][0] == shown["report | read"][1] > 0
    assert any(what.startswith("report | neighbours in ") for what in shown)
    assert any(what.startswith("report | scores in ") for what in shown)
    assert any(what.startswith("report | xsim of ") for what in seen(lambda: judge(read_run(work), "ratio")))


def test_an_export_says_how_much_it_has_written_or_how_long_it_takes(tmp_path, seen):
    def work():
        with new_folder(tmp_path / "out", False, Steps("export", 2), total=4_000_000) as folder:
            ended.wait(0.1)
            (folder / "f").write_bytes(b"x" * 1_000_000)
            ended.wait(0.1)
            (folder / "g").write_bytes(b"x" * 3_000_000)
            ended.wait(0.1)

    ended = threading.Event()
    shown = seen(work)["export | 1 of 2 | write out"]
    assert (tmp_path / "out" / "f").is_file()
    assert shown[0]["unit"] == shown[-1]["unit"] == "s", "before the first byte, and where more come than were expected"
    part = [one for one in shown if one["unit"] == "MB"]
    assert {one["total"] for one in part} == {4.0} and 1.0 in {one["done"] for one in part}
    assert all(one["eta"] == pytest.approx((4 - one["done"]) / one["rate"], abs=0.06) for one in part)


@pytest.mark.parametrize(
    "write, steps",
    [
        (safetensors, ["read", "write out", "flush to the disk"]),
        (laser, ["read", "convert", "write out", "flush to the disk"]),
        (sentence_transformers, ["read", "convert", "write out", "flush to the disk"]),
        (onnx, ["read", "trace and write out", "flush to the disk"]),
    ],
)
def test_every_format_counts_its_steps(write, steps, tmp_path, monkeypatch):
    if write is onnx:
        pytest.importorskip("onnx")
    begun = []

    @contextlib.contextmanager
    def note(what, written=None, total=0):
        begun.append(what)
        yield
        if written is not None:
            assert 0.8 * written() < total < 1.2 * written(), "the bytes that were said beforehand"

    monkeypatch.setattr("fairseq_distill.progress.elapsing", note)
    write(write_student(tmp_path / "student.pt", train_spm(), dim=128, ffn_dim=512, output_dim=128), tmp_path / "out")
    assert begun == [f"export | {i} of {len(steps)} | {name}" for i, name in enumerate(steps, start=1)]


def test_writing_of_vectors_that_are_there(tmp_path, seen):
    (tmp_path / "t").write_text("a\nb\nc\na\n")
    for shard in ("1/2", "2/2"):
        embed(HashEncoder(), tmp_path / "t", tmp_path / "o.npy", shard=parse_shard(shard))
    assert ends(seen(lambda: join_shards(tmp_path / "o.npy", 2))) == {"write o.npy": (4, 4)}
    shown = ends(seen(lambda: teach(HashEncoder(), [tmp_path / "t"], [tmp_path / "p.npy"])))
    assert shown["teach"] == (3, 3) and shown["write p.npy"] == (4, 4)
