"""The sentence-transformers folder gives the student's vectors in sentence-transformers itself, without code of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill.embedding.student import load_student
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.export.hugging_face_encoder import fsmt
from fairseq_distill.export.laser import laser
from fairseq_distill.export.sentence_transformers import sentence_transformers
from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher, write_manifest
from fairseq_distill.formats.results import Results, XsimEntry, write_results
from tests.unit.export.export_students import LINES, SHAPES, least_cosine, rows_of, write_student
from tests.unit.export.test_hugging_face_tokenizer import model as train_model

STOCK = [name for name in SHAPES if name != "lexical path, cls, projection"]


@pytest.fixture
def library():
    return pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("student", STOCK, indirect=True)
def test_it_gives_our_vectors(student, tmp_path, library):
    sentence_transformers(student, tmp_path / "out")
    model = library.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    found, expected = model.encode(LINES, batch_size=4), rows_of(student)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert least_cosine(found, expected) >= 0.99999
    assert model.get_embedding_dimension() == expected.shape[1]
    model.save(str(tmp_path / "again"))
    again = library.SentenceTransformer(str(tmp_path / "again"), device="cpu")
    np.testing.assert_array_equal(again.encode(LINES, batch_size=4), found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lexical path, as for MiniLM", "cls", "laser3"])
def test_long_lines_are_cut_alike(name, spm, tmp_path, library):
    student = write_student(tmp_path / "c.pt", spm, max_length_pieces=9, **SHAPES[name][0])
    sentence_transformers(student, tmp_path / "out")
    model = library.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert least_cosine(model.encode(LINES), rows_of(student)) >= 0.99999


@pytest.mark.slow
@pytest.mark.parametrize("student", ["laser3 with the norm of MLM", "cls"], indirect=True)
def test_a_laser3_file_becomes_one_too(student, tmp_path, library):
    laser(student, tmp_path / "laser")
    sentence_transformers(tmp_path / "laser" / "laser3-swh.v1.pt", tmp_path / "out")
    model = library.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert least_cosine(model.encode(LINES), rows_of(student)) >= 0.99999


# What a user runs, in a process of its own in which nothing of this project can be imported.
_USER = """
import sys, numpy, json
for name in ("fairseq_distill", "fairseq", "sacremoses", "sentencepiece"):
    sys.modules[name] = None
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1])
lines = json.loads(sys.argv[3])
numpy.save(sys.argv[2], model.encode(lines))
numpy.testing.assert_allclose(model.encode(lines[:1], prompt="the "), model.encode(["the " + lines[0]]), atol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("student", ["lexical path, as for MiniLM", "laser3"], indirect=True)
def test_it_needs_sentence_transformers_alone_and_says_nothing(student, tmp_path, library):
    sentence_transformers(student, tmp_path / "out")
    arguments = [str(tmp_path / "out"), str(tmp_path / "rows.npy"), json.dumps(LINES)]
    ran = subprocess.run(
        [sys.executable, "-c", _USER, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert "MISSING" not in ran.stderr and "UNEXPECTED" not in ran.stderr and "arn" not in ran.stderr, ran.stderr
    assert least_cosine(np.load(tmp_path / "rows.npy"), rows_of(student)) >= 0.99999


@pytest.mark.parametrize("student", STOCK, indirect=True)
def test_the_folder_holds_no_code_and_only_stock_classes(student, tmp_path):
    names = sentence_transformers(student, tmp_path / "out")
    assert not [name for name in names if name.rpartition(".")[2] not in ("json", "safetensors", "md")]
    modules = json.loads((tmp_path / "out" / "modules.json").read_text())
    assert all(module["type"].startswith("sentence_transformers.") for module in modules)
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(names)
    sentence_transformers(student, tmp_path / "out", force=True)


@pytest.mark.parametrize("student", ["lexical path, cls, projection"], indirect=True)
def test_what_no_stock_class_says_is_refused(student, tmp_path):
    with pytest.raises(ConfigError, match="lexical path and pools at BOS.*safetensors or onnx"):
        sentence_transformers(student, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_kind_of_vocabulary_is_refused(tmp_path):
    student = write_student(tmp_path / "c.pt", train_model(model_type="bpe"))
    with pytest.raises(ConfigError, match="kind bpe"):
        sentence_transformers(student, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def run_of(tmp_path, space="space:1"):
    """A work directory with results, a manifest and licences."""
    work = tmp_path / "work"
    (work / "data").mkdir(parents=True)
    row = XsimEntry("student", "mafand.eng-swa", "swa", "eng", "ratio", 4, 1000, 35, 3.5, 2.4, 4.7)
    write_results(work, Results(xsim=[row]))
    teacher = Teacher("sbert:a-teacher", space, 16, "mean", "eng")
    corpora = [
        Corpus("mafand.eng-swa", "distil", "train", "swa", 28_000, "a", "a", "eng", "b", ["t"]),
        Corpus("news", "mask", "train", "swa", 5, "a", "a"),
        Corpus("mafand.eng-swa", "distil", "valid", "swa", 1_000, "a", "a", "eng", "b", ["t"]),
    ]
    write_manifest(work / "data", Manifest(["swa"], teacher, "laser-1", "spm.model", "dict.txt", corpora))
    rows = "corpus\tpair\ttrain\tdev\tlicence\tuse\nmafand\teng-swa\t28000\t1000\tcc-by-nc-4.0\tused\n"
    (work / "corpora.tsv").write_text(rows)
    return work


def test_the_model_card_says_what_the_run_knows(student, tmp_path):
    sentence_transformers(student, tmp_path / "out", work=run_of(tmp_path), data_note="For research.", licence="mit")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| mafand.eng-swa, swa to eng | 1,000 | this student | ratio | 3.50 | 2.40 to 4.70 |" in card
    assert "| mafand.eng-swa | swa | bitext | 28,000 | cc-by-nc-4.0 |" in card
    assert "| news | swa | monolingual | 5 | not noted |" in card and card.count("| mafand.eng-swa |") == 1
    assert card.startswith("---\nlanguage:\n- swh\n- eng\n") and "license: mit" in card
    assert "For research." in card and "sbert:a-teacher" in card


def test_the_best_checkpoint_of_a_run_finds_it(spm, tmp_path):
    work = run_of(tmp_path)
    (work / "checkpoints").mkdir()
    for name, known in (("checkpoint_best.pt", True), ("checkpoint_last.pt", False)):
        path = write_student(work / "checkpoints" / name, spm)
        sentence_transformers(path, tmp_path / name)
        card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        assert ("| 3.50 |" in card) is known and ("28,000" in card) is known
    (work / "results.json").write_text(
        "{"
    )  # numbers that cannot be read do not stop an export that did not ask for them
    sentence_transformers(work / "checkpoints" / "checkpoint_best.pt", tmp_path / "again")
    assert "Not given." in (tmp_path / "again" / "README.md").read_text(encoding="utf-8")


def test_a_model_card_without_a_run(student, tmp_path):
    sentence_transformers(student, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Not given." in card and "Not noted by who exported it." in card and "license:" not in card


def test_a_work_directory_of_another_run_is_refused(student, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no results.json and no data/manifest.json"):
        sentence_transformers(student, tmp_path / "out", work=tmp_path / "empty")
    with pytest.raises(DataError, match="teacher space space:2, but this one's is space:1"):
        sentence_transformers(student, tmp_path / "out", work=run_of(tmp_path, "space:2"))
    assert not (tmp_path / "out").exists()


def test_a_second_norm_is_a_layer_that_only_normalises(spm, tmp_path):
    student = load_student(write_student(tmp_path / "c.pt", spm, final_norm=True), "cpu")
    config, weights = fsmt(student.model, [])
    assert config["encoder_layers"] == student.model.shape.layers + 1
    assert not weights["encoder.layers.2.fc1.weight"].any()
