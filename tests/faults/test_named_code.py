"""Code that a file names: a teacher of one's own, a class of a model's folder, options of a training; nothing of it runs unasked."""

import dataclasses
import json

import pytest

from fairseq_distill.cli.common import run_command
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats import manifest
from tests.faults.tools import own_teacher
from tests.unit.export.export_students import train_spm, write_student


def code_that_leaves_a_mark(folder):
    """``python:…`` of a teacher whose file makes ``folder/mark`` when it is run."""
    return own_teacher(folder, f"import pathlib\npathlib.Path({str(folder / 'mark')!r}).touch()\n")


def test_a_teacher_named_by_a_checkpoint_or_manifest_is_not_run(tmp_path):
    with pytest.raises(ConfigError, match="a command line names it"):
        open_encoder(code_that_leaves_a_mark(tmp_path), own_code=False)
    assert not (tmp_path / "mark").exists()


def judged_run(folder, spec):
    """A work directory whose manifest names the teacher; returns the program and words that judge it."""
    import write_results

    teacher = manifest.Teacher(spec, "space", 8, "mean", "eng")
    corpus = manifest.Corpus("a", "distil", "valid", "swa", 1, "bin/x", "text", "eng", "text", ["t.npy"])
    for name in ("data", "checkpoints"):
        (folder / name).mkdir()
    found = manifest.Manifest(["swa"], teacher, "laser-1", "spm.model", "dict.txt", [corpus])
    manifest.write_manifest(folder / "data", found)
    write_student(folder / "checkpoints" / "checkpoint_best.pt", train_spm())
    return write_results.parser(), write_results.main, ["--work", str(folder)]


def planned_data(folder, spec):
    """A data directory whose plan names the teacher; returns the program and words that embed its side."""
    import embed_teacher
    from plan_file import Plan, Source
    from stamps import Stamps, Step

    source = Source("a", "distil", "valid", "swa", "x.swa", "eng", "x.eng")
    plan = Plan(["swa"], spec, "eng", 8, 1, [source])
    (folder / "plan.json").write_text(json.dumps(dataclasses.asdict(plan)))
    (folder / "clean").mkdir()
    (folder / "clean" / "valid.a.eng").write_text("a line\n")
    Stamps(folder).record(Step("deduplicate", [], []), [])
    return embed_teacher.parser(), embed_teacher.main, ["--data", str(folder)]


@pytest.mark.parametrize("place", [judged_run, planned_data])
def test_a_teacher_named_by_a_work_directory_is_run_only_where_the_command_line_names_it(place, tmp_path, capsys):
    spec = code_that_leaves_a_mark(tmp_path)
    program, main, words = place(tmp_path, spec)
    for named in ([], ["--teacher", "sbert:another"]):
        assert run_command(program, main, ["--quiet", *words, *named]) == 1
        assert "own_teacher.py:Teacher is code, which is run only where" in capsys.readouterr().err
        assert not (tmp_path / "mark").exists()
    run_command(program, main, ["--quiet", *words, "--teacher", spec])
    assert (tmp_path / "mark").exists()  # so it would have been seen


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("arch", "student_encoder\n--user-dir=/evil", "is no name of an architecture"),
        ("lr", "0.001\n--user-dir=/evil", "lr must be a number, but is text"),
        ("seed", None, "seed must be a whole number"),
        ("evil", 1, "unknown field 'evil'"),
    ],
)
def test_a_plan_of_a_training_adds_no_words_to_its_command(name, value, said, tmp_path, capsys, monkeypatch):
    import plan_training

    words = [
        "plan_training.py",
        "--quiet",
        "--work",
        str(tmp_path),
        "--max-update",
        "40",
        "--arch",
        "student_encoder_tiny",
    ]
    monkeypatch.setattr("sys.argv", words)
    assert plan_training.cli_main() == 0
    assert capsys.readouterr().out.startswith("fairseq-train\n")
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps({**plan, name: value}))
    assert plan_training.cli_main() == 1
    out, err = capsys.readouterr()
    assert out == "" and said in err and "remove it" in err


# --- folders of sentence-transformers that name code of their own


def module_list(kind, path=""):
    return [{"idx": 0, "name": "0", "path": path, "type": kind}]


STOCK = "sentence_transformers.models.Transformer"
MODELS = {
    "a file of the folder": {"modules.json": module_list("evil.Module")},
    "another package": {"modules.json": module_list("os.path.Module")},
    "a name that begins alike": {"modules.json": module_list("sentence_transformers_evil.Module")},
    "an activation": {"modules.json": module_list(STOCK, "1_Dense"), "1_Dense/config.json": {"activation_function": "evil.F"}},
    "a route": {"modules.json": module_list(STOCK), "router_config.json": {"types": {"query": "evil.Module"}}},
    "a tokenizer": {"modules.json": module_list(STOCK, "../out"), "../out/x_config.json": {"tokenizer_class": "evil.T"}},
    "no list": {"modules.json": {"type": STOCK}},
    "no type": {"modules.json": [{"path": ""}]},
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_names_code_of_its_own_is_not_loaded(name, tmp_path, monkeypatch):
    library = pytest.importorskip("sentence_transformers")
    monkeypatch.setattr(library, "SentenceTransformer", lambda *a, **k: pytest.fail("it was to be loaded"))
    folder = tmp_path / "model"
    for file, content in MODELS[name].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(json.dumps(content))
    (folder / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'mark')!r}).touch()\nclass Module: pass\n"
    )
    monkeypatch.setattr("fairseq_distill.teachers.sbert.downloaded", lambda name, file: folder / file)
    for spec in (f"sbert:{folder}", "sbert:of-somebody/on-the-hub"):
        with pytest.raises(DataError, match="is no list of modules|is none of sentence-transformers' or PyTorch's own"):
            open_encoder(spec, "cpu")
    assert not (tmp_path / "mark").exists()
