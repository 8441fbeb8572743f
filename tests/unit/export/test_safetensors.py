"""A student without pickle: the same vectors and fingerprint, every fault one sentence."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fairseq_distill.embedding.registry import open_encoder, parse_spec
from fairseq_distill.errors import CheckpointError, ConfigError
from fairseq_distill.export.laser import laser
from fairseq_distill.export.safetensors import safetensors
from tests.unit.export.export_students import LINES, SHAPES, rows_of


@pytest.mark.parametrize("student", SHAPES, indirect=True)
def test_same_vectors_and_fingerprint(student, tmp_path):
    out = tmp_path / "out"
    assert safetensors(student, out) == ["config.json", "dict.txt", "model.safetensors", "spm.model"]
    assert parse_spec(str(out)).kind == "fairseq"
    found, expected = open_encoder(f"fairseq:{out}", "cpu", "float32"), open_encoder(str(student), "cpu", "float32")
    np.testing.assert_array_equal(found.encode(LINES), rows_of(student))
    assert (found.name, found.space, found.dim) == (expected.name, expected.space, expected.dim)
    assert found.state == expected.state


@pytest.mark.parametrize("student", ["laser3", "cls"], indirect=True)
def test_a_laser3_file_keeps_its_fingerprint_too(student, tmp_path):
    laser(student, tmp_path / "laser")
    file = tmp_path / "laser" / "laser3-swh.v1.pt"
    safetensors(file, tmp_path / "out")
    found = open_encoder(str(tmp_path / "out"), "cpu")
    assert found.name == open_encoder(str(file), "cpu").name and found.name.startswith("laser3-")
    np.testing.assert_allclose(found.encode(LINES), rows_of(student), atol=1e-5)


def test_faults_are_one_sentence(student, tmp_path):
    out = tmp_path / "out"
    safetensors(student, out)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}

    def attempt(sentence, **files):
        for name, content in {**whole, **files}.items():
            (out / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=sentence):
            open_encoder(f"fairseq:{out}", "cpu")

    config = json.loads(whole["config.json"])

    def changed(**parts):
        return json.dumps({**config, **parts}).encode()

    attempt("holds a damaged student", **{"model.safetensors": whole["model.safetensors"][:500]})
    attempt("fingerprint .* a file was changed", **{"config.json": changed(fingerprint="student:0")})
    attempt("fingerprint .* a file was changed", **{"spm.model": whole["spm.model"] + b"\n"})
    attempt("has format .* 2, this version reads .* 1", **{"config.json": changed(format_version=2)})
    attempt("normaliser other-9; this version has", **{"config.json": changed(normaliser="other-9")})
    attempt("do not fit", **{"config.json": changed(shape={**config["shape"], "layers": 3})})
    attempt("damaged student", **{"config.json": changed(shape={**config["shape"], "wheels": 3})})
    attempt("damaged student", **{"config.json": changed(teacher={})})
    attempt("dictionary of [0-9]+ symbols", **{"dict.txt": whole["dict.txt"].split(b"\n", 1)[1]})
    tensors = load_file(out / "model.safetensors")
    tensors["layers.0.fc1.bias"] += 1
    save_file(tensors, tmp_path / "other")
    attempt("fingerprint", **{"model.safetensors": (tmp_path / "other").read_bytes()})
    (out / "config.json").write_bytes(whole["config.json"])
    (out / "spm.model").unlink()
    with pytest.raises(CheckpointError, match="spm.model is missing"):
        open_encoder(str(out))


def test_an_exported_student_carries_its_vocabulary(student, tmp_path):
    safetensors(student, tmp_path / "out")
    with pytest.raises(ConfigError, match="carries its own vocabulary"):
        open_encoder(str(tmp_path / "out"), spm="x.spm")


# Whoever will not load a pickle: no fairseq, and every way to one ends in an error.
_USER = """
import json, pickle, sys
for name in ("fairseq", "omegaconf", "hydra"):
    sys.modules[name] = None
import numpy, torch
from fairseq_distill.embedding.registry import open_encoder

def refuse(*_args, **_kwargs):
    raise AssertionError("a pickle was opened")

torch.load = pickle.load = pickle.loads = refuse
numpy.save(sys.argv[2], open_encoder(sys.argv[1], "cpu", "float32").encode(json.loads(sys.argv[3])), allow_pickle=False)
assert not [name for name in sys.modules if name.startswith("fairseq.")]
"""


@pytest.mark.parametrize("student", ["laser3", "lexical path, as for MiniLM"], indirect=True)
def test_a_folder_loads_without_fairseq_and_without_pickle(student, tmp_path):
    safetensors(student, tmp_path / "out")
    arguments = [str(tmp_path / "out"), str(tmp_path / "rows.npy"), json.dumps(LINES)]
    ran = subprocess.run([sys.executable, "-c", _USER, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows_of(student))
    arguments[0] = str(student)  # the checkpoint itself is one
    ran = subprocess.run([sys.executable, "-c", _USER, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode != 0 and "a pickle was opened" in ran.stderr
