"""python:FILE.py:NAME: an object with one method is a teacher."""

import numpy as np
import pytest

from fairseq_distill.cli.teach import cli_main
from fairseq_distill.embedding.registry import open_encoder, parse_spec
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.embeddings import read_info

OWN = """
import numpy as np
import helper_beside_it

class Lengths:
    def __init__(self, width="3"):
        self.width = int(width)

    def encode(self, sentences):
        return [[helper_beside_it.measure(s)] * self.width for s in sentences]

class Stated(Lengths):
    pooling, normaliser, space = "max", "mine-1", "shared"
    fingerprint = "weights-7"

def tensors():
    import torch
    class Encoder:
        def encode(self, sentences):
            return torch.ones(len(sentences), 2, requires_grad=True)
    return Encoder()

ready = Lengths()
flat = type("Flat", (), {"encode": lambda self, sentences: [1.0 for _ in sentences]})
odd = type("Odd", (), {"pooling": "median", "encode": lambda self, sentences: [[1.0]] * len(sentences)})
def broken():
    raise OSError("weights are missing")
mute = object()
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "helper_beside_it.py").write_text("def measure(s):\n    return float(len(s))\n")
    return tmp_path / "own.py"


def test_a_class_a_function_or_an_object(own):
    for name in ("Lengths", "ready"):
        encoder = open_encoder(f"python:{own}:{name}")
        np.testing.assert_array_equal(encoder.encode(["ab", ""]), np.array([[2] * 3, [0] * 3], np.float32))
        assert (encoder.pooling, encoder.normaliser, encoder.dim) == ("mean", "none", 3)
        assert encoder.space == encoder.name and encoder.name.startswith("python:")
    assert open_encoder(f"python:{own}:tensors").encode(["a"]).dtype == np.float32
    assert open_encoder(f"python:{own}:Lengths?width=5").dim == 5
    assert parse_spec(f"python:{own}:Lengths?width=5").options == {"width": "5"}


def test_fingerprints(own):
    def name(what):
        return open_encoder(f"python:{own}:{what}").name

    first = name("Lengths")
    assert first == name("Lengths") and len({first, name("ready"), name("Lengths?width=3")}) == 3
    stated = open_encoder(f"python:{own}:Stated")
    assert (stated.space, stated.pooling, stated.normaliser) == ("shared", "max", "mine-1")
    own.write_text(OWN + "# another line\n")
    assert name("Lengths") != first  # the file decides, unless the object states a fingerprint
    assert name("Stated") == stated.name


@pytest.mark.parametrize(
    "what, message",
    [
        ("Nothing", "has no Nothing, or it gave nothing. It has: .*Lengths"),
        ("broken", "broken fails with OSError: weights are missing"),
        ("mute", "gives a object without a method encode"),
        ("odd", "pooling 'median' is none of"),
        ("flat", r"shape \(1,\) for 1 sentences"),
        ("ready?a=1", "is an object already"),
        ("Lengths?wide=1", "fails with TypeError"),
    ],
)
def test_what_is_wrong_is_one_sentence(own, what, message):
    with pytest.raises((ConfigError, DataError), match=message):
        open_encoder(f"python:{own}:{what}")


def test_names_without_a_file(own):
    for spec, message in (
        ("python:nowhere.py:X", "nowhere.py does not exist"),
        (f"python:{own}", "must name a file and what is in it|does not exist"),
        ("python:X", "must name a file and what is in it"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_encoder(spec)
    own.write_text("def (")
    with pytest.raises(ConfigError, match="fails with SyntaxError"):
        open_encoder(f"python:{own}:X")


def test_code_is_run_only_where_a_command_line_names_it(own):
    with pytest.raises(ConfigError, match="run only where a command line names it"):
        open_encoder(f"python:{own}:Lengths", own_code=False)


def test_fairseq_teach_takes_it(own, tmp_path):
    (tmp_path / "t").write_text("a\nbb\na\n")
    spec, output = f"python:{own}:Lengths", tmp_path / "t.npy"
    assert cli_main(["--teacher", spec, "--input", str(tmp_path / "t"), "--output", str(output)]) == 0
    np.testing.assert_array_equal(np.load(output)[:, 0], [1, 2, 1])
    assert read_info(output).space == open_encoder(spec).space
