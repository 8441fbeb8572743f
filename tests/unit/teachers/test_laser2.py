"""LASER2's file, in a small file of the same layout; with the published one where its path is given."""

import argparse
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch

from fairseq_distill.embedding.registry import open_encoder, parse_spec
from fairseq_distill.errors import CheckpointError, ConfigError
from fairseq_distill.formats.dictionary import write_cvocab
from fairseq_distill.modules.lstm import LstmEncoder, LstmShape
from fairseq_distill.teachers.laser2 import Laser2Teacher
from fairseq_distill.text import normalise
from tests.reference.networks import lstm_embedding

GOLDEN = Path(__file__).parents[2] / "golden" / "laser2_cosines.json"
WORDS = "the river rose in night and a goat saw house of our town when rains began to fall".split()
TEXT = [" ".join(np.random.default_rng(i).choice(WORDS, 8)) for i in range(200)]
LINES = [
    "The river rose",
    "",
    "a goat saw the house!",
    "ξένη λέξη",
    "the rains began to fall " * 20,
    "A  goat\u2028saw",
    "the",
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with laser2.pt and laser2.spm as LASER publishes them, but small."""
    folder = tmp_path_factory.mktemp("laser2")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=35, character_coverage=1.0, minloglevel=2
    )
    (folder / "laser2.spm").write_bytes(model.getvalue())
    spm = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    # id = SentencePiece's id + 4; the specials of SentencePiece take rows 4 to 6, and the file's table names those.
    ids = {"<s>": 5, "<pad>": 1, "</s>": 6, "<unk>": 4}
    ids.update({spm.id_to_piece(i): i + 4 for i in range(3, len(spm))})
    torch.manual_seed(5)
    shape = LstmShape(vocabulary=len(spm) + 4, embed_dim=8, hidden=7, layers=2)
    params = {
        "num_embeddings": shape.vocabulary,
        "padding_idx": 1,
        "embed_dim": 8,
        "hidden_size": 7,
        "num_layers": 2,
        "bidirectional": True,
        "left_pad": True,
        "padding_value": 0.0,
    }
    torch.save({"params": params, "model": LstmEncoder(shape).state_dict(), "dictionary": ids}, folder / "laser2.pt")
    return folder


def change(published, tmp_path, **parts):
    content = torch.load(published / "laser2.pt", weights_only=True)
    (tmp_path / "laser2.spm").write_bytes((published / "laser2.spm").read_bytes())
    torch.save({**content, **parts}, tmp_path / "laser2.pt")
    return tmp_path / "laser2.pt"


@pytest.mark.parametrize("max_tokens", [1, 40, 8192])
def test_equals_the_slow_reference(published, max_tokens):
    content = torch.load(published / "laser2.pt", weights_only=True)
    tensors = {name: tensor.double().numpy() for name, tensor in content["model"].items()}
    spm = sentencepiece.SentencePieceProcessor(model_file=str(published / "laser2.spm"))
    expected = []
    for line in LINES:
        pieces = spm.encode(normalise(line), out_type=str)
        # No BOS; unknown pieces are 3; EOS is 2, not the row that the file's table names.
        ids = [content["dictionary"].get(piece, 3) for piece in pieces] + [2]
        expected.append(lstm_embedding(np.array(ids), tensors, layers=2))
    teacher = Laser2Teacher(published / "laser2.pt", device="cpu", max_tokens=max_tokens)
    np.testing.assert_allclose(teacher.encode(LINES), np.stack(expected), atol=1e-6)
    assert teacher.dim == 14 and teacher.pooling == "max" and teacher.name == teacher.space


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_the_precision(published, tmp_path, dtype):
    model = torch.load(published / "laser2.pt", weights_only=True)["model"]
    rounded = {name: tensor.to(dtype) for name, tensor in model.items()}
    expected = Laser2Teacher(
        change(published, tmp_path, model={k: v.float() for k, v in rounded.items()}), device="cpu"
    )
    expected = expected.encode(LINES)
    found = Laser2Teacher(change(published, tmp_path, model=rounded), device="cpu").encode(LINES)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found - Laser2Teacher(published, device="cpu").encode(LINES)).max() < 0.01


def test_what_params_leave_out(published, tmp_path):
    """Layers and directions have defaults, which are those of LASER's code; sizes that differ from the tensors' are refused."""
    shape = LstmShape(vocabulary=39, embed_dim=8, hidden=7, layers=1, bidirectional=False)
    torch.manual_seed(2)
    params = {"num_embeddings": 39, "padding_idx": 1, "embed_dim": 8, "hidden_size": 7}
    file = change(published, tmp_path, params=params, model=LstmEncoder(shape).state_dict())
    teacher = Laser2Teacher(file, device="cpu")
    whole = {**params, "num_layers": 1, "bidirectional": False}
    full = Laser2Teacher(change(published, tmp_path, params=whole, model=teacher.encoder.state_dict()), device="cpu")
    assert teacher.dim == 7
    np.testing.assert_array_equal(teacher.encode(LINES), full.encode(LINES))
    with pytest.raises(CheckpointError, match="embed_dim is 320, but the tensors have 8"):
        Laser2Teacher(change(published, tmp_path, params={"num_embeddings": 39, "padding_idx": 1}))


def test_two_pieces_on_one_row(published, tmp_path):
    """Both are read: the table maps pieces to rows, and need not be one to one."""
    ids = torch.load(published / "laser2.pt", weights_only=True)["dictionary"]
    pieces = [piece for piece in ids if piece.startswith("▁")][:2]
    shared = {**ids, pieces[0]: ids[pieces[1]]}
    teacher = Laser2Teacher(change(published, tmp_path, dictionary=shared), device="cpu")
    spm = teacher.tokenizer.spm
    assert [teacher.tokenizer.ids[spm.piece_to_id(piece)] for piece in pieces] == [ids[pieces[1]]] * 2


def test_an_unknown_piece_is_not_the_dead_row(published):
    teacher = Laser2Teacher(published, device="cpu")
    assert [ids.tolist() for ids in teacher.prepare([""])] == [[2]]
    assert 3 in teacher.prepare(["ξένη"])[0] and 4 not in teacher.prepare(["ξένη"])[0]


def test_the_fingerprint_follows_both_files(published, tmp_path):
    name = Laser2Teacher(published).name
    assert name == Laser2Teacher(published / "laser2.pt").name
    content = torch.load(published / "laser2.pt", weights_only=True)
    content["model"]["embed_tokens.weight"][9] += 1
    assert Laser2Teacher(change(published, tmp_path, model=content["model"])).name != name


def test_files_that_do_not_fit_are_refused(published, tmp_path):
    with pytest.raises(ConfigError, match="laser2.pt does not exist"):
        Laser2Teacher(tmp_path)
    file = change(published, tmp_path)
    (tmp_path / "laser2.spm").unlink()
    with pytest.raises(ConfigError, match="laser2.spm does not exist"):
        Laser2Teacher(file)
    with pytest.raises(ConfigError, match="float32 only"):
        Laser2Teacher(published, precision="bfloat16")
    params = torch.load(published / "laser2.pt", weights_only=True)["params"]
    for wrong in ({"num_layers": 3}, {"hidden_size": 9}, {"num_embeddings": 10}, {"bidirectional": False}):
        with pytest.raises(CheckpointError, match="tensors do not fit"):
            Laser2Teacher(change(published, tmp_path, params={**params, **wrong}))
    with pytest.raises(CheckpointError, match="names id 5,000, but there are"):
        ids = torch.load(published / "laser2.pt", weights_only=True)["dictionary"]
        Laser2Teacher(change(published, tmp_path, dictionary={**ids, "▁the": 5000}))


def test_other_files_are_refused(published, tmp_path):
    (tmp_path / "laser2.spm").write_bytes((published / "laser2.spm").read_bytes())
    torch.save({"args": None, "model": {}}, tmp_path / "laser2.pt")
    with pytest.raises(CheckpointError, match="layout .* but args, model; .* fairseq:"):
        Laser2Teacher(tmp_path)
    for damaged in (b"", b"hello", (published / "laser2.pt").read_bytes()[:2000]):
        (tmp_path / "laser2.pt").write_bytes(damaged)
        with pytest.raises(CheckpointError, match="cannot be read"):
            Laser2Teacher(tmp_path)


def trained(published, folder, style="spm+4"):
    """The same network as fairseq's training of LASER leaves it: prefixes, a decoder, options, no dictionary."""
    model = torch.load(published / "laser2.pt", weights_only=True)["model"]
    spm = sentencepiece.SentencePieceProcessor(model_file=str(published / "laser2.spm"))
    write_cvocab(folder / "checkpoint_last.cvocab", [spm.id_to_piece(i) for i in range(len(spm))], style)
    (folder / "checkpoint_last.spm").write_bytes((published / "laser2.spm").read_bytes())
    state = {f"encoder.{name}": tensor for name, tensor in model.items()}
    state |= {"decoder.embed_tokens.weight": torch.zeros(3, 4), "decoder.layers.0.weight_ih": torch.zeros(8, 4)}
    torch.save({"args": argparse.Namespace(arch="laser_lstm"), "model": state}, folder / "checkpoint_last.pt")
    return folder / "checkpoint_last.pt"


def test_a_checkpoint_of_fairseqs_training_gives_the_same_vectors(published, tmp_path):
    path = trained(published, tmp_path)
    assert parse_spec(str(path)).kind == "laser2"
    expected = Laser2Teacher(published, device="cpu").encode(LINES)
    teacher = Laser2Teacher(path, device="cpu")
    np.testing.assert_allclose(teacher.encode(LINES), expected, atol=1e-6)
    assert teacher.space == teacher.name == open_encoder(str(path)).space != Laser2Teacher(published).name
    with pytest.raises(CheckpointError, match="it is LASER2's: name it laser2:"):
        open_encoder(f"fairseq:{path}")


def test_a_checkpoint_of_fairseqs_training_needs_its_own_dictionary(published, tmp_path):
    path = trained(published, tmp_path, "spm+1")
    with pytest.raises(CheckpointError, match="has 39 rows of embeddings, but .* makes 36 symbols"):
        Laser2Teacher(path)
    (tmp_path / "checkpoint_last.cvocab").unlink()
    with pytest.raises(ConfigError, match="checkpoint_last.cvocab does not exist; .*--cvocab"):
        Laser2Teacher(path)
    (tmp_path / "checkpoint_last.spm").unlink()
    with pytest.raises(ConfigError, match="checkpoint_last.spm nor .*laser2.spm does not exist; .*--spm"):
        Laser2Teacher(path)
    with pytest.raises(ConfigError, match="holds its own dictionary"):
        Laser2Teacher(published, cvocab=path)


@pytest.mark.skipif("LASER2" not in os.environ, reason="LASER2 names no laser2.pt (laser2.spm beside it)")
def test_the_published_model_gives_its_published_cosines():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    rows = Laser2Teacher(os.environ["LASER2"]).encode(golden["sentences"])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    upper = np.triu_indices(len(rows), 1)
    np.testing.assert_allclose((rows @ rows.T)[upper], golden["cosines"], atol=golden["tolerance"])
