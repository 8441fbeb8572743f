"""LASER3 files in every layout give the vectors of fairseq's own encoder."""

import numpy as np
import pytest
import torch
from laser3_files import LINES, train_spm, write_laser3

from fairseq_distill.cli.embed import cli_main as embed_main
from fairseq_distill.cli.teach import cli_main as teach_main
from fairseq_distill.cli.xsim import cli_main as xsim_main
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import CheckpointError, ConfigError
from fairseq_distill.formats.embeddings import read_info
from fairseq_distill.modules.checkpoint_file import load_checkpoint


@pytest.fixture(scope="module")
def spm():
    return train_spm()


CASES = {
    "published": {},
    "published with MLM": {"mlm": True},
    "cls": {"sentemb_criterion": "cls", "prepend_bos": True},
    "cls with MLM, right padding": {
        "sentemb_criterion": "cls", "prepend_bos": True, "mlm": True, "left_pad_source": False,
    },
    "maximum with BOS": {"prepend_bos": True},
    "training checkpoint": {"layout": "training"},
    "training checkpoint with MLM heads": {"layout": "training", "mlm": True},
    "encoder alone with its prefix": {"layout": "prefixed", "mlm": True},
    "unflagged dictionary": {"style": "spm+1", "mlm": True},
    "options as a dict": {"held": "dict", "layout": "training"},
    "options as args": {"held": "args", "layout": "training"},
    "nested options": {"held": "nested", "activation_fn": "gelu", "encoder_normalize_before": True},
    "half the precision": {"dtype": torch.float16, "mlm": True},
    "bfloat16": {"dtype": torch.bfloat16, "layout": "training"},
    "more positions than we make": {"max_source_positions": 1 << 17},
    "no buffers": {"buffers": False, "mlm": True},
    "mask row without MLM norm": {"mask_row": True},
    "pre-norm": {"encoder_normalize_before": True},
    "pre-norm with MLM": {"encoder_normalize_before": True, "mlm": True},
    "gelu, unscaled embeddings": {"activation_fn": "gelu", "no_scale_embedding": True},
    "half the options missing": {
        "encoder_layers": 6, "encoder_ffn_embed_dim": 2048, "encoder_attention_heads": None, "dropout": None,
        "encoder_normalize_before": None, "max_source_positions": None, "mlm": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_equals_fairseqs_encoder(case, spm, tmp_path):
    expected = write_laser3(tmp_path, "laser3-amh_Ethi.v1", spm, **CASES[case])
    encoder = open_encoder(str(tmp_path / "laser3-amh_Ethi.v1.pt"), device="cpu")
    found = encoder.encode(LINES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert encoder.dim == 16 and encoder.state.languages == ["amh_Ethi"]
    # Alone, in the other order and in small batches a sentence has the same vector.
    small = open_encoder(f"fairseq:{tmp_path}/laser3-amh_Ethi.v1.pt", device="cpu", max_tokens=30)
    np.testing.assert_allclose(small.encode(LINES[::-1])[::-1], expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(LINES[2:3])[0], expected[2], atol=1e-5)


def test_the_head_norm_and_bos_matter(spm, tmp_path):
    """The cases above tell apart what they should: each trap gives other vectors."""
    plain = write_laser3(tmp_path, "a", spm, prepend_bos=True)
    for changed in ({"mlm": True, "prepend_bos": True}, {}, {"prepend_bos": True, "sentemb_criterion": "cls"}):
        assert np.abs(write_laser3(tmp_path, "b", spm, **changed) - plain).max() > 0.01


def test_vocabulary_of_its_name_else_laser2s_else_as_given(spm, tmp_path):
    expected = write_laser3(tmp_path, "laser2", spm)
    (tmp_path / "laser2.pt").rename(tmp_path / "laser3-swh.v1.pt")
    path = tmp_path / "laser3-swh.v1.pt"
    np.testing.assert_allclose(open_encoder(str(path), device="cpu").encode(LINES), expected, atol=1e-5)
    (tmp_path / "v").mkdir()
    for name in ("laser2.spm", "laser2.cvocab"):
        (tmp_path / name).rename(tmp_path / "v" / name)
    with pytest.raises(ConfigError, match="laser3-swh.v1.spm nor .*laser2.spm does not exist; .* --spm"):
        open_encoder(str(path))
    model, listed = tmp_path / "v/laser2.spm", tmp_path / "v/laser2.cvocab"
    for encoder in (
        open_encoder(f"{path}?spm={model}", device="cpu"),
        open_encoder(f"fairseq:{path}?spm={model},cvocab={listed},space=laser2", device="cpu"),
        open_encoder(str(path), device="cpu", spm=str(model)),
    ):
        np.testing.assert_allclose(encoder.encode(LINES), expected, atol=1e-5)
    assert encoder.name.startswith("laser3-max:")
    listed.unlink()
    with pytest.raises(ConfigError, match="laser2.cvocab does not exist.*--cvocab"):
        open_encoder(str(path), spm=str(model))
    with pytest.raises(ConfigError, match="--spm belong to LASER's files"):
        open_encoder("sbert:x", spm=str(model))


def test_an_own_spm_is_not_mixed_with_laser2s_dictionary(spm, tmp_path):
    write_laser3(tmp_path, "laser2", spm)
    write_laser3(tmp_path, "own", spm)
    (tmp_path / "own.cvocab").unlink()
    with pytest.raises(ConfigError, match="own.cvocab does not exist"):
        open_encoder(str(tmp_path / "own.pt"))


def change(path, **parts):
    content = torch.load(path, weights_only=True)
    for name, part in parts.items():
        content[name] = {**content[name], **part} if isinstance(part, dict) else part
    torch.save(content, path)


WRONG = [
    ({"sentemb_criterion": "cls"}, r"pools at BOS .*\(prepend_bos false\)"),
    ({"sentemb_criterion": "meanpool"}, "pools by 'meanpool'"),
    ({"layernorm_embedding": True}, "layer norm after the embeddings"),
    ({"encoder_learned_pos": True}, "learned positions"),
    ({"no_token_positional_embeddings": True}, "no positions"),
]


@pytest.mark.parametrize("changed, sentence", WRONG)
def test_other_encoders_are_one_sentence(changed, sentence, spm, tmp_path):
    if "cls" in changed.values():
        write_laser3(tmp_path, "x", spm)
        content = load_checkpoint(tmp_path / "x.pt")
        content["cfg"]["model"].sentemb_criterion = "cls"
        torch.save(content, tmp_path / "x.pt")
    else:
        write_laser3(tmp_path, "x", spm, **changed)
    with pytest.raises(CheckpointError, match=sentence):
        open_encoder(str(tmp_path / "x.pt"))


def test_damage_is_one_sentence(spm, tmp_path):
    path = tmp_path / "x.pt"
    write_laser3(tmp_path, "x", spm, held="dict")
    whole = torch.load(path, weights_only=True)

    def attempt(sentence, model=None, options=None, **parts):
        content = {
            "cfg": {"model": {**whole["cfg"]["model"], **(options or {})}},
            "model": {**whole["model"], **(model or {})},
        }
        content["model"] = {key: value for key, value in content["model"].items() if value is not None}
        torch.save({**content, **parts}, path)
        with pytest.raises(CheckpointError, match=sentence):
            open_encoder(f"fairseq:{path}")

    attempt("says encoder_layers 3, but its tensors say 2", options={"encoder_layers": 3})
    attempt("says encoder_ffn_embed_dim 25, but its tensors say 24", options={"encoder_ffn_embed_dim": 25})
    attempt("16 must be even and divisible by 3 heads", options={"encoder_attention_heads": 3})
    attempt("tanh", options={"activation_fn": "tanh"})
    attempt("without its configuration", cfg=None)
    attempt("lacks layers.1.self_attn.k_proj.bias", model={"layers.1.self_attn.k_proj.bias": None})
    attempt("tensors do not fit", model={"layers.1.fc2.weight": torch.zeros(3, 3)})
    attempt("tensors do not fit", model={"layers.1.w_resid": torch.zeros(3)})
    attempt("no tensor", model={"layers.1.fc2.weight": "text"})
    attempt(
        "has 90 rows of embeddings, but .*x.cvocab makes 52 symbols", model={"embed_tokens.weight": torch.zeros(90, 16)}
    )
    attempt(
        "row for <mask>: of its 52 rows 51 are",
        model={"layer_norm.weight": torch.ones(16), "layer_norm.bias": torch.ones(16)},
    )
    attempt("no LASER3 file", model={"layers.0.self_attn.q_proj.weight": None})


def test_commands_take_it_as_encoder_and_as_teacher(spm, tmp_path, capsys):
    expected = write_laser3(tmp_path, "x", spm, mlm=True, layout="training")
    (tmp_path / "t").write_text("\n".join(line.replace("\u2028", " ") for line in LINES) + "\n")
    spec = f"fairseq:{tmp_path}/x.pt"
    common = ["--input", str(tmp_path / "t"), "--dtype", "float32"]
    assert embed_main(["--path", str(tmp_path / "x.pt"), "--output", str(tmp_path / "e.npy"), *common]) == 0
    assert teach_main(["--teacher", spec, "--output", str(tmp_path / "f.npy"), *common]) == 0
    for name in ("e.npy", "f.npy"):
        np.testing.assert_allclose(np.load(tmp_path / name), expected, atol=1e-5)
    assert read_info(tmp_path / "e.npy").space == read_info(tmp_path / "f.npy").space
    (tmp_path / "u").write_text("the river\na goat saw\nour town ሰላም\nbegan to fall\nዛሬ ቤት\n")
    both = ["--src-text", str(tmp_path / "u"), "--tgt-text", str(tmp_path / "u"), "-k", "2", "--margin", "absolute"]
    assert xsim_main([*both, "--src-encoder", spec, "--tgt-encoder", str(tmp_path / "x.pt")]) == 0
    assert "= 0.00" in capsys.readouterr().out


def test_its_space_is_laser2s_when_that_lies_beside_it(spm, tmp_path):
    write_laser3(tmp_path, "laser3-amh.v1", spm)
    write_laser3(tmp_path, "laser3-tir.v1", spm, seed=4)
    first, second = (str(tmp_path / f"laser3-{lang}.v1.pt") for lang in ("amh", "tir"))
    assert open_encoder(first).space != open_encoder(second).space  # nothing says that they share one
    (tmp_path / "laser2.pt").write_bytes(b"anything")
    (tmp_path / "laser2.spm").write_bytes(spm)
    assert open_encoder(first).space == open_encoder(second).space != open_encoder(first).name
    assert open_encoder(f"{first}?space=mine").space == "mine"
