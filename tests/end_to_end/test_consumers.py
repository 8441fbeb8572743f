"""Exported students in the tools they are for, each in a fresh environment of its own: the vectors are ours.

Takes minutes and the package registries: bash tests/run.sh -m long tests/end_to_end/test_consumers.py
PyTorch (and fairseq, which must be compiled) are lent by the environment of the tests; all else is installed.
"""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from fairseq_distill.export.laser import laser
from fairseq_distill.export.onnx import onnx
from fairseq_distill.export.sentence_transformers import sentence_transformers
from tests.unit.export.export_students import FITTING, LINES, SHAPES, least_cosine, rows_of, train_spm, write_student

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.long

LENT = {"torch": ("torch", "torchgen", "functorch"), "fairseq-fixed": ("fairseq", "fairseq_cli")}
# laser_encoders asks for stock fairseq, which cannot be imported on Python 3.11: it is installed without what it asks for.
LASER = "laser_encoders==0.0.2"
LASER_NEEDS = (
    "numpy sacremoses sentencepiece unicategories requests tqdm bitarray cffi cython hydra-core omegaconf packaging regex sacrebleu "
    "scikit-learn setuptools<81"
).split()

LASER_USER = """
import json, sys
import numpy
from laser_encoders.models import SentenceEncoder
stem, lines, output = sys.argv[1:]
encoder = SentenceEncoder(f"{stem}.pt", spm_vocab=f"{stem}.cvocab", spm_model=f"{stem}.spm", max_tokens=200, cpu=True)
numpy.save(output, encoder(json.load(open(lines, encoding="utf-8"))))
"""
SENTENCE_TRANSFORMERS_USER = """
import json, sys
import numpy
from sentence_transformers import SentenceTransformer
folder, lines, output = sys.argv[1:]
numpy.save(output, SentenceTransformer(folder, device="cpu").encode(json.load(open(lines, encoding="utf-8"))))
"""
ONNX_USER = """
import json, sys
import numpy
folder, lines, output = sys.argv[1:]
sys.path.insert(0, folder)
from encode import Encoder
numpy.save(output, Encoder(folder).encode(json.load(open(lines, encoding="utf-8"))))
"""


def called(*words, **variables):
    """Run a program that must end well; what it printed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env={**kept, **variables}, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def environment(folder, *packages, lent=(), alone=()):
    """The Python of a new environment with packages of the versions in constraints.txt; ``alone`` without what they ask for."""
    venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    shelf = folder / "lent"
    shelf.mkdir()
    for name in lent:
        told = Path(str(importlib.metadata.distribution(name)._path))  # what pip reads
        places = [told, *(Path(importlib.util.find_spec(one).origin).parent for one in LENT[name])]
        for place in places:
            (shelf / place.name).symlink_to(place)
    (site / "lent.pth").write_text(f"{shelf}\n")
    install = [python, "-m", "pip", "install", "--quiet", "-c", REPO / "constraints.txt"]
    try:
        called(*install, *packages)
        if alone:
            called(*install, "--no-deps", *alone)
    except AssertionError as error:
        if "Failed to establish a new connection" in str(error) or "Temporary failure in name resolution" in str(error):
            pytest.skip("no package registry can be reached")
        raise
    return python


@pytest.fixture(scope="module")
def spm():
    return train_spm()


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.json"
    path.write_text(json.dumps(LINES), encoding="utf-8")
    return path


def written(name, spm, folder):
    return write_student(folder / "checkpoint.pt", spm, **SHAPES[name][0])


def check(python, program, export, lines, student, folder):
    """The vectors that a program of a user makes of LINES are those of the student."""
    output = folder / "rows.npy"
    called(python, "-I", "-c", program, export, lines, output)
    found, expected = np.load(output), rows_of(student)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert least_cosine(found, expected) >= 0.99999


@pytest.fixture(scope="module")
def laser_python(tmp_path_factory):
    return environment(
        tmp_path_factory.mktemp("laser") / "venv",
        "torch",
        *LASER_NEEDS,
        lent=("torch", "fairseq-fixed"),
        alone=(LASER,),
    )


@pytest.mark.parametrize("name", FITTING)
def test_laser_encoders(name, laser_python, spm, lines, tmp_path):
    student = written(name, spm, tmp_path)
    laser(student, tmp_path / "out")
    check(laser_python, LASER_USER, tmp_path / "out" / "laser3-swh.v1", lines, student, tmp_path)


@pytest.fixture(scope="module")
def library_python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library") / "venv"
    return environment(folder, "sentence-transformers", "sentencepiece", lent=("torch",))


@pytest.mark.parametrize("name", ["lexical path, as for MiniLM", "laser3 with the norm of MLM", "cls"])
def test_sentence_transformers(name, library_python, spm, lines, tmp_path):
    student = written(name, spm, tmp_path)
    sentence_transformers(student, tmp_path / "out")
    check(library_python, SENTENCE_TRANSFORMERS_USER, tmp_path / "out", lines, student, tmp_path)


@pytest.fixture(scope="module")
def runtime_python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("runtime") / "venv", "onnxruntime", "sentencepiece", "numpy")


@pytest.mark.parametrize("name", ["lexical path, as for MiniLM", "laser3", "cls"])
def test_onnxruntime(name, runtime_python, spm, lines, tmp_path):
    student = written(name, spm, tmp_path)
    onnx(student, tmp_path / "out")
    check(runtime_python, ONNX_USER, tmp_path / "out", lines, student, tmp_path)


def test_mteb(spm, tmp_path):
    """mteb's accuracy is that of our vectors' nearest neighbours, and 1 minus our xsim."""
    python = environment(tmp_path / "venv", "mteb", "sentencepiece", "sacremoses", lent=("torch",))
    student = written("lexical path, as for MiniLM", spm, tmp_path)
    sentence_transformers(student, tmp_path / "out")
    words = "the river rose in night and a goat saw house of our town when rains began to fall".split()
    draw = np.random.default_rng(1)
    sides = {"eng": [list(draw.choice(words, 6)) for _ in range(60)]}
    sides["swa"] = [[*line[:3], *draw.choice(words, 3)] for line in sides["eng"]]
    for lang, text in sides.items():
        (tmp_path / f"dev.{lang}").write_text("".join(" ".join(line) + "\n" for line in text))
    called(
        python, REPO / "recipes" / "mteb_bitext.py", "--quiet", "--student", tmp_path / "out", "--output", tmp_path / "mteb.json",
        "--src", f"swa_Latn={tmp_path / 'dev.swa'}", "--tgt", f"eng_Latn={tmp_path / 'dev.eng'}",
        PYTHONPATH=str(REPO), HF_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    from fairseq_distill.embedding.student import load_student

    encoder = load_student(student, "cpu", "float32")
    rows = [encoder.encode([" ".join(line) for line in sides[lang]]) for lang in ("swa", "eng")]
    src, tgt = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in rows)
    scores = json.loads((tmp_path / "mteb.json").read_text())["scores"]
    for direction, cosines in (("swa_Latn-eng_Latn", src @ tgt.T), ("eng_Latn-swa_Latn", tgt @ src.T)):
        right = (cosines.argmax(1) == np.arange(60)).mean()
        assert 0.05 < right < 0.95 and scores[direction]["accuracy"] == pytest.approx(right)
        assert scores[direction]["xsim"] == pytest.approx(100 * (1 - right))


def test_the_environments_hold_nothing_of_this_project(runtime_python, library_python, laser_python):
    for python in (runtime_python, library_python, laser_python):
        said = called(python, "-I", "-c", "import importlib.util as u; print(u.find_spec('fairseq_distill'))")
        assert said.strip() == "None"
    said = called(runtime_python, "-I", "-c", "import importlib.util as u; print(u.find_spec('torch'))")
    assert said.strip() == "None" and sys.version_info >= (3, 11)
