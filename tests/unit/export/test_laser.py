"""A LASER3 export gives the student's vectors, by our reader and by LASER's own package."""

import numpy as np
import pytest
import torch

from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import ConfigError
from fairseq_distill.export.laser import laser
from fairseq_distill.formats.dictionary import read_dictionary
from tests.unit.export.export_students import FITTING, LINES, SHAPES, least_cosine, rows_of, write_student


@pytest.mark.parametrize("student", FITTING, indirect=True)
def test_our_laser3_reader_gives_the_same_vectors(student, tmp_path):
    names = laser(student, tmp_path / "out")
    assert sorted(names) == sorted(path.name for path in (tmp_path / "out").iterdir())
    encoder = open_encoder(str(tmp_path / "out" / "laser3-swh.v1.pt"), device="cpu")
    np.testing.assert_allclose(encoder.encode(LINES), rows_of(student), atol=1e-5)
    assert encoder.space == "space:1" and encoder.state.languages == ["swh"]


@pytest.mark.parametrize("student", FITTING, indirect=True)
def test_lasers_own_package_gives_the_same_vectors(student, tmp_path):
    models = pytest.importorskip("laser_encoders.models", reason="laser_encoders is not installed")
    laser(student, tmp_path / "out")
    stem = str(tmp_path / "out" / "laser3-swh.v1")
    encoder = models.SentenceEncoder(
        f"{stem}.pt", spm_vocab=f"{stem}.cvocab", spm_model=f"{stem}.spm", max_tokens=200, cpu=True
    )
    # Lines longer than max_length_pieces are cut by us and not by LASER; none of LINES is.
    assert least_cosine(encoder(LINES), rows_of(student)) >= 0.99999


@pytest.mark.parametrize("student", FITTING, indirect=True)
def test_layout(student, tmp_path):
    laser(student, tmp_path / "out")
    content = torch.load(tmp_path / "out" / "laser3-swh.v1.pt", weights_only=True)  # PyTorch's default since 2.6
    model, cfg = content["model"], content["cfg"]["model"]
    symbols = len(read_dictionary(tmp_path / "out" / "laser3-swh.v1.cvocab"))
    # LASER adds <mask> if and only if there is a final layer norm.
    assert model["embed_tokens.weight"].size(0) == symbols + ("layer_norm.weight" in model)
    assert cfg.encoder_embed_dim == cfg["encoder_embed_dim"] == 16 and cfg.left_pad_source is False
    assert {"version", "embed_positions._float_tensor", "layers.1.self_attn.v_proj.bias"} <= set(model)
    assert not [name for name in model if "qkv" in name or name.startswith("encoder.")]


@pytest.mark.parametrize("student", [name for name in SHAPES if name not in FITTING], indirect=True)
def test_what_does_not_fit_is_named_with_the_options_that_do(student, tmp_path, request):
    with pytest.raises(ConfigError) as caught:
        laser(student, tmp_path / "out")
    text = str(caught.value)
    assert "--lexical-path none --pooling max --layer-norm post" in text
    name = request.node.callspec.params["student"]
    for word, sentence in (("lexical", "lexical path ("), ("mean", "mean pooling"), ("proj", "from its width 16 ")):
        if word in name and not ("proj" == word and "lexical" in name):
            assert sentence in text
    assert not (tmp_path / "out").exists()


def test_several_languages_have_a_neutral_name(spm, tmp_path):
    path = write_student(tmp_path / "c.pt", spm, languages=["zul", "xho"])
    assert laser(path, tmp_path / "out")[0] == "laser3-student.v1.pt"


def test_nothing_is_overwritten_without_force_and_nothing_foreign_with_it(student, tmp_path):
    out = tmp_path / "out"
    laser(student, out)
    with pytest.raises(ConfigError, match="out is there already.*--force"):
        laser(student, out)
    laser(student, out, force=True)
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds other things"):
        laser(student, out, force=True)
    assert (out / "thesis.tex").read_text() == "years of work"
    with pytest.raises(ConfigError, match="there is no folder"):
        laser(student, tmp_path / "a" / "b")


def test_a_failed_export_leaves_nothing(student, tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fairseq_distill.export.laser.write_text", full)
    with pytest.raises(Exception, match="disk is full"):
        laser(student, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
