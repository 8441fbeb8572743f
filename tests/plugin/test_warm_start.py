"""--init-student-from: what is carried over, what is drawn, what is refused."""

import logging
import shutil

import numpy as np
import pytest
import torch
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from laser3_files import train_spm, write_laser3
from tiny_data import train

from fairseq_distill.embedding.student import load_student
from fairseq_distill.embedding.warm_start import carry_over, require_same_shape, start_from
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.export.safetensors import safetensors
from fairseq_distill.formats.dictionary import write_dictionary
from fairseq_distill.formats.manifest import read_manifest, write_manifest
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder
from fairseq_distill.tasks import sentence_distillation  # noqa: F401  registers the task
from fairseq_distill.tasks.starting import resumed_from


def content(folder):
    return torch.load(folder / "checkpoint_last.pt", map_location="cpu", weights_only=True)


def build(data, save_dir, *extra):
    """The task and the model with which ``fairseq-train`` begins."""
    words = [data, "--task", "sentence_distillation", "--arch", "student_encoder_tiny", "--save-dir", save_dir]
    words += ["--criterion", "sentence_distillation", "--max-tokens", "160", *extra]
    args = options.parse_args_and_arch(options.get_training_parser(), [str(word) for word in words])
    cfg = convert_namespace_to_omegaconf(args)
    task = tasks.setup_task(cfg.task)
    return task, task.build_model(cfg.model)


@pytest.fixture(scope="module")
def sister(data, tmp_path_factory):
    """A trained student: ten updates on the tiny data."""
    folder = tmp_path_factory.mktemp("sister")
    train(data, folder, 10)
    return folder


@pytest.fixture(scope="module")
def other(data, tmp_path_factory):
    """The tiny data with its dictionary turned round and two pieces renamed: the same ids mean other pieces."""
    folder = tmp_path_factory.mktemp("other") / "data"
    shutil.copytree(data, folder)
    lines = (folder / "dict.txt").read_text(encoding="utf-8").splitlines()
    pieces = [line.rsplit(" ", 1)[0] for line in lines][::-1]
    pieces[0], pieces[3] = "neu1", "neu2"
    write_dictionary(folder / "dict.txt", pieces)
    return folder, pieces


@pytest.mark.parametrize("lexical", ["fitted", "unfitted"])
def test_rows_go_by_piece_and_layers_as_they_are(lexical, sister, other, tmp_path, caplog):
    folder, pieces = other
    start = ["--init-student-from", sister / "checkpoint_last.pt", "--lexical-path", lexical]
    with caplog.at_level(logging.INFO):
        task, model = build(folder, tmp_path, *start)
    n = len(pieces) + 5  # four specials and <mask>
    assert f"{n - 2} of {n} rows carried over, 2 new | also layers, projection, lexical path, MLM head" in caplog.text
    old, new = content(sister), model.state_dict()
    where = {symbol: row for row, symbol in enumerate(old["task_state"]["student"]["symbols"])}
    symbols = task.dictionary.symbols
    carried = [row for row, symbol in enumerate(symbols) if symbol in where]
    before = [where[symbols[row]] for row in carried]
    assert len(carried) == n - 2 and carried != before
    for name, tensor in new.items():
        if name == "encoder.lexical.table.weight" and lexical == "fitted":
            assert not torch.equal(tensor[carried], old["model"][name][before])
        elif name in ("encoder.embed_tokens.weight", "encoder.lexical.table.weight", "mlm_head.bias"):
            assert torch.equal(tensor[carried], old["model"][name][before]), name
        else:
            assert torch.equal(tensor, old["model"][name]), name
    table = new["encoder.embed_tokens.weight"]
    drawn = table[[4, 7]]
    assert 0.3 < drawn.std() / table[carried].std() < 3 and not torch.equal(drawn[0], drawn[1])
    assert lexical == "fitted" or (new["encoder.lexical.table.weight"][[4, 7]] == 0).all()


def test_a_training_that_goes_on_is_not_started_again(sister, data, tmp_path, caplog):
    shutil.copy(sister / "checkpoint_last.pt", tmp_path)
    with caplog.at_level(logging.INFO):
        build(data, tmp_path, "--init-student-from", tmp_path / "not there any more.pt")
    assert "start |" not in caplog.text and "lexical path |" not in caplog.text


def test_the_lexical_path_is_fitted_anew_but_for_pieces_that_the_pairs_do_not_show(sister, data, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        build(data, tmp_path, "--lexical-path", "unfitted")
        build(data, tmp_path, "--lexical-path", "unfitted", "--init-student-from", sister / "checkpoint_last.pt")
    assert "lexical path |" not in caplog.text
    name, state = "lexical.table.weight", content(sister)
    old = torch.randn(state["model"][f"encoder.{name}"].shape, generator=torch.Generator().manual_seed(1))
    state["model"][f"encoder.{name}"] = old
    torch.save(state, tmp_path / "start.pt")
    task, scratch = build(data, tmp_path)
    with caplog.at_level(logging.INFO):
        _, model = build(data, tmp_path, "--init-student-from", tmp_path / "start.pt")
    pairs = task.datasets["train"].distil
    occurs = torch.zeros(len(old), dtype=torch.bool)
    occurs[torch.from_numpy(pairs.flat(np.arange(sum(len(part.sequences) for part in pairs.parts)))[0])] = True
    assert 0 < (~occurs).sum() < len(old)
    assert f"lexical path | {int((~occurs).sum()):,} rows as they were" in caplog.text
    expected = torch.where(occurs.unsqueeze(1), scratch.encoder.state_dict()[name], old)
    torch.testing.assert_close(model.encoder.state_dict()[name], expected)


def test_drawn_rows_have_the_mean_and_spread_of_the_carried(sister):
    source = load_student(sister / "checkpoint_last.pt", device="cpu")
    known = source.state.dictionary.symbols
    symbols = [*known, *(f"new{i}" for i in range(3000))]
    shape = EncoderShape(**{**vars(source.model.shape), "vocabulary": len(symbols)})
    encoder = StudentEncoder(shape)
    carried = carry_over(encoder, symbols, source, same_space=True, seed=1)
    assert carried.rows.sum() == len(known) and carried.projection and carried.lexical
    table = encoder.embed_tokens.weight.detach()
    like = table[[i for i in range(len(known)) if i != 1]]
    drawn = table[len(known) :]
    error = like.std(0) / 3000**0.5
    assert ((drawn.mean(0) - like.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(drawn.std(0), like.std(0), rtol=0.1, atol=1e-4)
    again = StudentEncoder(shape)
    carry_over(again, symbols, source, same_space=True, seed=1)
    assert torch.equal(again.embed_tokens.weight, encoder.embed_tokens.weight)
    other_space = StudentEncoder(shape)
    fresh = other_space.projection.weight.detach().clone()
    carried = carry_over(other_space, symbols, source, same_space=False, seed=1)
    assert not carried.projection and not carried.lexical and torch.equal(other_space.projection.weight, fresh)
    assert (other_space.lexical.table.weight == 0).all()
    torch.testing.assert_close(other_space.layers[0].fc1.weight, source.model.layers[0].fc1.weight)


def test_every_number_that_differs_is_named():
    there = EncoderShape(100, 64, 256, 12, 4, 8, activation="gelu")
    here = EncoderShape(90, 32, 128, 6, 2, 8, pre_norm=True)
    with pytest.raises(ConfigError) as caught:
        require_same_shape(here, there, "x.pt")
    for part in (
        "layers 12 there, 6 here (--encoder-layers 12)",
        "dim 64 there, 32 here (--encoder-embed-dim 64)",
        "ffn_dim 256 there, 128 here (--encoder-ffn-embed-dim 256)",
        "heads 4 there, 2 here (--encoder-attention-heads 4)",
        "activation gelu there, relu here (--activation-fn gelu)",
        "layer norm post there, pre here (--layer-norm post)",
    ):
        assert part in str(caught.value)


def test_another_shape_is_one_sentence(sister, data, tmp_path):
    start = ["--init-student-from", sister / "checkpoint_last.pt"]
    done, _, _ = train(data, tmp_path, 1, *start, "--encoder-layers", "3", "--layer-norm", "post", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "layers 1 there, 3 here (--encoder-layers 1); layer norm pre there, post here" in done.stderr


def begin(spec, space="test:space", force=False, **shape):
    """A new student without lexical path, filled from ``spec``; what was carried over, and the student."""
    encoder = StudentEncoder(EncoderShape(**{**vars(EncoderShape(30, 64, 128, 1, 2, 8, pre_norm=True)), **shape}))
    symbols = ["<s>", "<pad>", "</s>", "<unk>", *(f"piece{i}" for i in range(25)), "<mask>"]
    return start_from(str(spec), encoder, None, symbols, space, 1, force), encoder


def test_only_students_and_laser3_files_can_be_started_from():
    with pytest.raises(ConfigError, match="sbert:x is sbert; a student starts from a student or a LASER3 file"):
        begin("sbert:x")


def in_space(data, folder, space):
    """The data directory under another teacher space."""
    shutil.copytree(data, folder)
    manifest = read_manifest(folder)
    manifest.teacher.space = space
    write_manifest(folder, manifest)
    for sidecar in (folder / "teacher").glob("*.json"):
        sidecar.write_text(sidecar.read_text().replace("test:space", space))
    return folder


def test_an_exported_folder_is_a_start_too(sister, data, tmp_path, caplog):
    """All but the MLM head, which it does not hold."""
    safetensors(sister / "checkpoint_last.pt", tmp_path / "folder")
    with caplog.at_level(logging.INFO):
        _, model = build(data, tmp_path, "--lexical-path", "unfitted", "--init-student-from", tmp_path / "folder")
    assert "also layers, projection, lexical path" in caplog.text and "MLM head" not in caplog.text
    assert torch.equal(model.encoder.layers[0].fc1.weight, content(sister)["model"]["encoder.layers.0.fc1.weight"])


def test_another_space_is_refused_unless_forced(sister, data, tmp_path):
    folder = in_space(data, tmp_path / "data", "other:space")
    path = sister / "checkpoint_last.pt"
    with pytest.raises(DataError, match="space test:space, but the data directory is of other:space; .* --init-force"):
        build(folder, tmp_path / "a", "--init-student-from", path)
    carried, encoder = begin(path, "other:space", force=True)
    assert not carried.projection and carried.rows.sum() == 5
    # No piece is shared, so new rows are like the old table's.
    old = load_student(path, device="cpu").model.embed_tokens.weight
    assert abs(encoder.embed_tokens.weight[4:-1].std() / old.std() - 1) < 0.2


def test_going_on_in_another_space_or_with_another_dictionary_is_refused(sister, data, other, tmp_path):
    path = sister / "checkpoint_last.pt"
    folder = in_space(data, tmp_path / "data", "other:space")
    (tmp_path / "ck").mkdir()
    shutil.copy(path, tmp_path / "ck")
    for where, extra in ((tmp_path / "ck", []), (tmp_path / "new", ["--restore-file", path])):
        with pytest.raises(DataError, match="trained in the teacher space test:space, but the data .* other:space"):
            build(folder, where, *extra)
        with pytest.raises(DataError, match="trained with another dictionary .* --init-student-from"):
            build(other[0], where, *extra)
    assert resumed_from(str(tmp_path / "ck"), "checkpoint_last.pt") == tmp_path / "ck" / "checkpoint_last.pt"
    assert resumed_from(str(tmp_path / "new"), "checkpoint_last.pt") is None
    assert resumed_from(str(tmp_path / "new"), str(path)) == path


LASER3 = {
    "stripped": ({}, "post"),
    "training checkpoint with MLM": ({"layout": "training", "mlm": True}, "post_final"),
    "cls, unflagged dictionary": ({"sentemb_criterion": "cls", "prepend_bos": True, "style": "spm+1"}, "post"),
}


@pytest.mark.parametrize("layout", LASER3)
def test_starts_from_laser3_in_every_layout(layout, tmp_path, caplog):
    changed, norm = LASER3[layout]
    write_laser3(tmp_path, "x", train_spm(), **changed)
    numbers = {"dim": 16, "ffn_dim": 24, "layers": 2, "heads": 4, "pre_norm": False, "final_norm": norm == "post_final"}
    with caplog.at_level(logging.INFO):
        carried, encoder = begin(tmp_path / "x.pt", **numbers)
    said = "pooled by cls; this student pools by max" if "prepend_bos" in changed else ""
    assert said in caplog.text and ("pooled by" in caplog.text) == bool(said)
    assert carried.rows.sum() == 4 + ("mlm" in changed)  # specials, and <mask> where there is one
    old = torch.load(tmp_path / "x.pt", weights_only=True)["model"]
    prefix = "encoder." if "decoder.version" in old else ""
    projections = [old[f"{prefix}layers.1.self_attn.{part}_proj.weight"] for part in "qkv"]
    torch.testing.assert_close(encoder.layers[1].qkv_proj.weight.detach(), torch.cat(projections))
    if norm == "post_final":
        torch.testing.assert_close(encoder.layer_norm.weight.detach(), old[f"{prefix}layer_norm.weight"])
    with pytest.raises(ConfigError, match="layer norm " + norm):
        begin(tmp_path / "x.pt", **{**numbers, "pre_norm": True})


def test_a_student_started_from_laser3_can_be_loaded_again(data, tmp_path):
    write_laser3(tmp_path, "x", train_spm(), mlm=True)
    shape = ["--encoder-layers", "2", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24"]
    shape += ["--encoder-attention-heads", "4", "--layer-norm", "post_final", "--lexical-path", "none"]
    train(data, tmp_path / "ck", 1, "--lr", "1e-30", *shape, "--init-student-from", tmp_path / "x.pt")
    student = load_student(tmp_path / "ck" / "checkpoint_last.pt", device="cpu")
    old = torch.load(tmp_path / "x.pt", weights_only=True)["model"]
    torch.testing.assert_close(student.model.layer_norm.weight.detach(), old["layer_norm.weight"])
    assert student.encode(["lala kufi"]).shape == (1, 8)
