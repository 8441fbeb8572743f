"""Files made to do harm: whatever opens a checkpoint, an array or a configuration runs nothing of it and writes nowhere else."""

import ast
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from fairseq_distill.cli.embed import cli_main as embed
from fairseq_distill.cli.export import cli_main as export
from fairseq_distill.cli.mine import cli_main as mine
from fairseq_distill.cli.teach import cli_main as teach
from fairseq_distill.cli.xsim import cli_main as xsim
from fairseq_distill.embedding.export import embed_subset
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import DataError, DistillError
from fairseq_distill.evaluation.score_histogram import count_scores
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.formats import manifest
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.nllb_config import read_nllb_config
from fairseq_distill.modules.checkpoint_file import load_checkpoint
from tests.faults.tools import own_rows, refused
from tests.unit.export.export_students import train_spm, write_student

REPO = Path(__file__).parents[2]
MARK = "FAIRSEQ_DISTILL_HARM"


class Harm:
    """Unpickled, it would leave a mark in the environment."""

    def __init__(self, call=os.putenv):
        self.call = call

    def __reduce__(self):
        return exec, (f"import os; os.environ[{MARK!r}] = 'done'",)


class Build:
    """The same through __setstate__ of a class that a naive allow-list may let through."""

    def __reduce__(self):
        return getattr, (Harm(), "call")


def zip_of(payload):
    def write(path):
        torch.save(
            {"model": payload, "cfg": {}, "params": payload, "dictionary": {}, "task_state": {"student": {}}}, path
        )

    return write


def legacy_of(payload):
    def write(path):
        torch.save({"model": payload, "params": payload, "dictionary": {}}, path, _use_new_zipfile_serialization=False)

    return write


def pickle_of(protocol):
    def write(path):
        path.write_bytes(pickle.dumps({"model": Harm(), "cfg": {}}, protocol=protocol))

    return write


def array_of(path):
    with open(path, "wb") as stream:
        np.save(stream, np.array([Harm(), Harm()], dtype=object), allow_pickle=True)


def archive_of(path):
    with open(path, "wb") as stream:
        np.savez(stream, rows=np.array([Harm()], dtype=object))


def slipping(path):
    """A zip archive whose members would lie elsewhere."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../harm/data.pkl", pickle.dumps(Harm()))
        archive.writestr("/tmp/fairseq_distill_harm", "x")
        archive.writestr("archive/data.pkl", pickle.dumps(Harm()))


HOSTILE = {
    "checkpoint": zip_of(Harm()),
    "checkpoint, nested": zip_of({"a": [Harm()]}),
    "checkpoint, getattr": zip_of(Build()),
    "old checkpoint": legacy_of(Harm()),
    "bare pickle 2": pickle_of(2),
    "bare pickle 4": pickle_of(4),
    "bare pickle 0": pickle_of(0),
    "array": array_of,
    "arrays": archive_of,
    "zip that slips out": slipping,
}
PLACES = {
    "fairseq:": lambda path: open_encoder(f"fairseq:{path}", "cpu"),
    "laser2:": lambda path: open_encoder(f"laser2:{path}", "cpu"),
    "bare path": lambda path: open_encoder(str(path), "cpu"),
    "checkpoint_file": load_checkpoint,
    "file:": lambda path: open_encoder(f"file:{path}", "cpu"),
    "embeddings": lambda path: open_embeddings(path),
    "scores": lambda path: count_scores(path),
    "export": lambda path: safetensors(path, path.parent / "out"),
}


@pytest.fixture(autouse=True)
def no_mark(monkeypatch):
    monkeypatch.delenv(MARK, raising=False)
    yield
    assert MARK not in os.environ, "something was executed"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_executed_and_nothing_written(place, name, tmp_path):
    path = tmp_path / ("x.npy" if place in ("file:", "embeddings", "scores") else "x.pt")
    HOSTILE[name](path)
    (tmp_path / "x.spm").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DistillError):
        PLACES[place](path)
    assert sorted(tmp_path.rglob("*")) == before and not Path("/tmp/fairseq_distill_harm").exists()


def test_the_harm_would_work():
    """Else the tests above would prove nothing; unpickled here, as no reader of ours may."""
    pickle.loads(pickle.dumps(Harm()))
    assert os.environ.pop(MARK) == "done"


@pytest.mark.parametrize("name", ["array", "arrays", "bare pickle 4"])
@pytest.mark.parametrize("command", ["mine src", "mine tgt", "xsim src", "xsim tgt", "teach"])
def test_commands_that_read_arrays(command, name, tmp_path, capsys):
    (tmp_path / "text").write_text("a\nb\n")
    np.save(tmp_path / "good.npy", own_rows(["a", "b"]))
    HOSTILE[name](tmp_path / "bad.npy")
    good, bad = tmp_path / "good.npy", tmp_path / "bad.npy"
    what, _, side = command.partition(" ")
    src, tgt = (bad, good) if side == "src" else (good, bad)
    if what == "mine":
        words = ["--src-text", tmp_path / "text", "--tgt-text", tmp_path / "text", "--src-emb", src, "--tgt-emb", tgt]
        refused(capsys, mine, [*words, "--output", tmp_path / "o.tsv"], "bad.npy", tmp_path)
    elif what == "xsim":
        refused(capsys, xsim, ["--src", src, "--tgt", tgt], "bad.npy", tmp_path)
    else:
        words = ["--teacher", f"file:{bad}", "--input", tmp_path / "text", "--output", tmp_path / "o.npy"]
        refused(capsys, teach, words, "bad.npy", tmp_path)


@pytest.mark.parametrize("name", ["checkpoint", "old checkpoint", "bare pickle 4"])
@pytest.mark.parametrize("command", ["embed", "export", "teach"])
def test_commands_that_read_checkpoints(command, name, tmp_path, capsys):
    HOSTILE[name](tmp_path / "x.pt")
    (tmp_path / "text").write_text("a\n")
    if command == "export":
        words = ["--path", tmp_path / "x.pt", "--format", "safetensors", "--output", tmp_path / "o"]
        refused(capsys, export, words, "x.pt", tmp_path)
    elif command == "embed":
        refused(
            capsys,
            embed,
            ["--path", tmp_path / "x.pt", "--input", tmp_path / "text", "--output", tmp_path / "o.npy"],
            "x.pt",
            tmp_path,
        )
    else:
        words = [
            "--teacher",
            f"fairseq:{tmp_path / 'x.pt'}",
            "--input",
            tmp_path / "text",
            "--output",
            tmp_path / "o.npy",
        ]
        refused(capsys, teach, words, "x.pt", tmp_path)


@pytest.mark.parametrize("name", ["checkpoint", "old checkpoint", "bare pickle 4", "array"])
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "spm.model", "dict.txt"])
def test_a_folder_of_an_export(file, name, tmp_path):
    write_student(tmp_path / "s.pt", train_spm())
    safetensors(tmp_path / "s.pt", tmp_path / "folder")
    HOSTILE[name](tmp_path / "folder" / file)
    with pytest.raises(DistillError):
        open_encoder(f"fairseq:{tmp_path / 'folder'}", "cpu")


@pytest.mark.parametrize("file", ["checkpoint_last.pt", "checkpoint_best.pt", "checkpoint_1_100.pt"])
def test_mending_a_folder_of_checkpoints_removes_them(file, tmp_path):
    from mend_checkpoints import mend

    HOSTILE["checkpoint"](tmp_path / file)
    mend(tmp_path)
    assert not list(tmp_path.iterdir())


# --- names that lead elsewhere


@pytest.mark.parametrize("name", ["../out", "a/b", "/etc/x", "..", "", "a b", "a\nb", "$(touch x)", "a\x00b"])
@pytest.mark.parametrize("place", ["id", "lang"])
def test_a_manifest_cannot_name_a_file_elsewhere(place, name, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    teacher = manifest.Teacher("sbert:x", "space", 8, "mean", "eng")
    corpus = manifest.Corpus("a", "distil", "valid", "swa", 1, "bin/x", "text", "eng", "text", ["t.npy"])
    setattr(corpus, place, name)
    manifest.write_manifest(data, manifest.Manifest(["swa"], teacher, "laser-1", "spm.model", "dict.txt", [corpus]))
    (data / "text").write_text("a\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="no plain name"):
        embed_subset(None, data, "valid", tmp_path / "results")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "$(x)"])
def test_an_nllb_configuration_cannot_either(name, tmp_path):
    entry = {"id": name, "src": "d/amh-eng/train.amh", "tgt": "d/amh-eng/train.eng"}
    (tmp_path / "c.json").write_text(json.dumps({"src_vocab": "a", "tgt_vocab": "b", "train": [entry]}))
    with pytest.raises(DataError, match="becomes a file name"):
        read_nllb_config(tmp_path / "c.json")


# --- the sources


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


SOURCES = sorted(
    path
    for folder in ("fairseq_distill", "data_prep", "recipes", "benchmarks")
    for path in (REPO / folder).rglob("*.py")
)


def faults(path):
    """Calls that could run what is in a file, or write where an archive says."""
    for line, name, words in calls(path):
        last = name.rpartition(".")[2]
        unsafe = (
            name in ("eval", "exec", "os.system", "os.popen", "__import__")
            or name
            in (
                "pickle.load",
                "pickle.loads",
                "pickle.Unpickler",
                "marshal.loads",
                "marshal.load",
                "shelve.open",
                "joblib.load",
            )
            or name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")
            or last in ("extractall", "unpack_archive")
            or name == "torch.load"
            and words.get("weights_only") != "True"
            or words.get("allow_pickle") == "True"
            or words.get("shell") == "True"
            or words.get("trust_remote_code") == "True"
        )
        if unsafe:
            yield f"{path.relative_to(REPO) if path.is_relative_to(REPO) else path.name}:{line} {name}"


def test_no_source_runs_what_is_in_a_file():
    assert [fault for path in SOURCES for fault in faults(path)] == []


def test_an_unsafe_call_is_found(tmp_path):
    (tmp_path / "x.py").write_text(
        "torch.load(f)\ntorch.load(f, weights_only=True)\nnp.load(f, allow_pickle=True)\nnp.load(f)\n"
        "yaml.load(f)\nyaml.safe_load(f)\ntar.extractall(d)\nsubprocess.run(c, shell=True)\nmodel.eval()\neval(x)\n"
    )
    assert [fault.split(":")[1] for fault in faults(tmp_path / "x.py")] == [
        "1 torch.load", "3 np.load", "5 yaml.load", "7 tar.extractall", "8 subprocess.run", "10 eval",
    ]  # fmt: skip
