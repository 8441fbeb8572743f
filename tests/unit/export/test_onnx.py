"""The ONNX folder gives the student's vectors in onnxruntime, by the file of code that lies in it."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill.embedding.student import load_student
from fairseq_distill.errors import ConfigError
from fairseq_distill.export.onnx import onnx
from fairseq_distill.export.onnx_encode import Encoder
from fairseq_distill.text import normalise
from tests.unit.export.export_students import LINES, SHAPES, TEXT, least_cosine, rows_of, write_student


@pytest.fixture
def runtime():
    pytest.importorskip("onnx", reason="onnx is not installed")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("student", SHAPES, indirect=True)
def test_onnxruntime_gives_our_vectors(student, tmp_path, runtime):
    assert onnx(student, tmp_path / "out") == ["config.json", "encode.py", "model.onnx", "spm.model"]
    encoder, expected = Encoder(tmp_path / "out"), rows_of(student)
    found = encoder.encode(LINES, batch_size=4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert least_cosine(found, expected) >= 0.99999
    for width in (1, 3, 200):  # the axes are dynamic: other numbers of sentences and pieces than the traced ones
        np.testing.assert_allclose(encoder.encode(LINES, batch_size=width), expected, atol=1e-4)


@pytest.mark.parametrize("student", ["lexical path, as for MiniLM"], indirect=True)
def test_inputs_and_outputs_are_named_and_dynamic(student, tmp_path, runtime):
    onnx(student, tmp_path / "out")
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("input_ids", "tensor(int64)", ["batch", "pieces"])
    assert (wanted.name, wanted.type, wanted.shape[0]) == ("embedding", "tensor(float)", "batch")


# What a user runs, in a process of its own in which only three packages can be imported.
_USER = """
import sys, json
for name in ("fairseq_distill", "fairseq", "sacremoses", "torch", "transformers", "tokenizers"):
    sys.modules[name] = None
import numpy
sys.path.insert(0, sys.argv[1])
from encode import Encoder
numpy.save(sys.argv[2], Encoder(sys.argv[1]).encode(json.loads(sys.argv[3])))
"""


def test_the_folder_needs_three_packages(student, tmp_path, runtime):
    onnx(student, tmp_path / "out")
    arguments = [str(tmp_path / "out"), str(tmp_path / "rows.npy"), json.dumps(LINES)]
    ran = subprocess.run([sys.executable, "-c", _USER, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), rows_of(student), atol=1e-4)


@pytest.mark.parametrize("changed", [{}, {"max_length_pieces": 9}])
def test_the_reader_makes_the_same_ids(spm, tmp_path, changed, monkeypatch):
    monkeypatch.setattr("fairseq_distill.export.onnx.write_model", lambda _student, path: path.write_bytes(b""))
    monkeypatch.setattr("fairseq_distill.export.onnx.importlib.util.find_spec", lambda _name: True)
    path = write_student(tmp_path / "c.pt", spm, **changed)
    onnx(path, tmp_path / "out")
    reader = Encoder.__new__(Encoder)
    reader.read_text_path(tmp_path / "out")
    student = load_student(path, "cpu")
    assert [row.tolist() for row in reader.ids(LINES + TEXT)] == [row.tolist() for row in student.prepare(LINES + TEXT)]
    marks = "'`´‘’‚„“”«»\u00a0 .,:;?!()%–—…ºC5nºcm\u200b\u2028\tİΣaሰ\U0001f600\r''"
    draw = np.random.default_rng(5)
    lines = ["".join(draw.choice(list(marks), draw.integers(0, 20))) for _ in range(3000)]
    assert [reader.normalise(line) for line in lines] == [normalise(line) for line in lines]


def test_without_onnx_the_command_that_installs_it_is_named(student, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else real(name, *rest))
    with pytest.raises(ConfigError, match="pip install onnx onnxruntime"):
        onnx(student, tmp_path / "out")
    assert not (tmp_path / "out").exists()
