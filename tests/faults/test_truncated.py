"""A truncated file of every format: one sentence that names it, whichever part is missing."""

import base64
import struct

import pytest
import torch

from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import CheckpointError, DataError, DistillError
from fairseq_distill.evaluation.score_histogram import count_scores
from fairseq_distill.evaluation.training_log import read_training_log
from fairseq_distill.formats.embeddings import open_embeddings
from tests.faults.formats import FORMATS, PROGRAM_FORMATS

ALL = {**FORMATS, **PROGRAM_FORMATS}
CASES = [pytest.param(name, cut, id=f"{name}-{cut}") for name, (_, cuts, _) in ALL.items() for cut in cuts]


@pytest.mark.parametrize("name, cut", CASES)
def test_a_truncated_file_is_named(name, cut, made):
    file, _, read = ALL[name]
    path = made / file
    whole = path.read_bytes()
    read(path)  # whole, it is read
    keep = cut if cut == 0 or cut > 1 else len(whole) + cut if cut < 0 else int(cut * len(whole))
    try:
        path.write_bytes(whole[:keep])
        with pytest.raises(DistillError) as caught:
            read(path)
    finally:
        path.write_bytes(whole)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 700
    assert path.name in said or path.with_suffix("").name in said or path.parent.name in said, said
    read(path)


def test_a_truncated_log_is_read_as_far_as_it_goes(tmp_path):
    line = '{"epoch": 1, "update": 0.5, "loss": "2.5", "num_updates": "%d"}'
    text = "".join(f"2026-11-23 | INFO | train_inner | {line % n}\n" for n in (10, 20, 30))
    for keep in range(len(text)):
        (tmp_path / "log").write_text(text[:keep])
        log = read_training_log(tmp_path / "log")
        assert log.n_broken <= 1 and len(log.curve("train_inner", "loss")) in (
            text[:keep].count("}"),
            text[:keep].count("}") - 1,
        )


BY_HAND = {
    "checksums of corpora": [f"a\tb\t{'0' * 64}\t²\tx\n", f"a\tb\t{'0' * 64}\t{'9' * 5000}\tx\n"],
    "licences": ["a\tb\n", "# nothing but words\n"],
    "languages": ["# nothing but words\n"],
    "runs of the ablation": ["[" * 5000, "\udcff", '{"sets": [], "wrong": "eJwDAAAAAAE=", "key": []}'],
    "configuration of a family": ["exit 0\n", "echo told\n", "exit 3\n", "LANGS=(\n"],
}


@pytest.mark.parametrize("name, text", [(name, text) for name, texts in BY_HAND.items() for text in texts])
def test_what_is_edited_by_hand_is_refused_in_one_sentence(name, text, made):
    file, _, read = ALL[name]
    path, whole = made / file, (made / file).read_bytes()
    try:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(DistillError, match=path.name.replace(".", r"\.")) as caught:
            read(path)
    finally:
        path.write_bytes(whole)
    assert "\n" not in str(caught.value)


# --- the same bytes with other values: what is declared must fit what is there


def change(state, *keys, to):
    for key in keys[:-1]:
        state = state[key]
    state[keys[-1]] = to


HUGE = 10**15
STUDENT = {
    "layers": (("cfg", "model", "encoder_layers"), HUGE, rf"layers .*{HUGE}"),
    "width": (("cfg", "model", "encoder_embed_dim"), 10**6, "dim is 1,000,000, but the weights have 16"),
    "inner width": (("cfg", "model", "encoder_ffn_embed_dim"), 10**9, "ffn_dim is 1,000,000,000, but the weights have 24"),
    "no heads": (("cfg", "model", "encoder_attention_heads"), 0, "heads must be a whole number from 1"),
    "a sentence of 10^9 pieces": (("task_state", "student", "max_length_pieces"), 10**9, "max_positions 1,000,000,000 is more than"),
    "teacher's width": (("task_state", "student", "teacher", "dim"), 10**9, "output_dim is 1,000,000,000, but the weights have 16"),
    "text for a number": (("task_state", "student", "teacher", "dim"), "16", "dim must be a whole number, but is text"),
    "a list for a tensor": (("model", "encoder.layers.0.fc1.weight"), [1], "is damaged, or of another program"),
    "no options": (("cfg",), {}, "is damaged, or of another program"),
    "options that are a number": (("cfg", "model"), 3, "is damaged, or of another program"),
    "no tensors": (("model",), {}, "0 rows of embeddings"),
    "a number for the student": (("task_state", "student"), 3, "format None"),
    "state that is a number": (("task_state",), 3.5, "is not a student"),
    "symbols that are numbers": (("task_state", "student", "symbols"), [1, 2], "2 symbols"),
    "spm that is no base64": (("task_state", "student", "spm_base64"), "?", "damaged"),
    "spm of random bytes": (("task_state", "student", "spm_base64"), base64.b64encode(b"x" * 99).decode(), r"model of .*x\.pt cannot be read"),
    "another normaliser": (("task_state", "student", "normaliser"), "laser-9", "laser-9"),
    "a normaliser that is a tensor": (("task_state", "student", "normaliser"), torch.zeros(3, 3), r"text is wanted, but it holds Tensor"),
    "languages that are numbers": (("task_state", "student", "languages"), [1], r"text is wanted, but it holds int"),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDENT)
def test_a_student_that_declares_what_it_does_not_hold(name, made, tmp_path):
    keys, value, said = STUDENT[name]
    state = torch.load(made / "student.pt", weights_only=True)
    change(state, *keys, to=value)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises((CheckpointError, DataError), match=said):
        open_encoder(f"fairseq:{tmp_path / 'x.pt'}", "cpu", "float32")


LASER2 = {
    "an id beyond the rows": (("dictionary", "▁the"), HUGE, rf"id {HUGE:,}, but there are 60 rows"),
    "a negative id": (("dictionary", "▁the"), -1, "id -1, but there are 60 rows"),
    "layers": (("params", "num_layers"), HUGE, rf"layers is {HUGE:,}, but the tensors have 2"),
    "width": (("params", "hidden_size"), HUGE, rf"hidden is {HUGE:,}, but the tensors have 6"),
    "rows": (("params", "num_embeddings"), HUGE, rf"vocabulary is {HUGE:,}, but the tensors have 60"),
    "a dictionary that is a number": (("dictionary",), 7, "is damaged, or of another program"),
    "padding beyond the rows": (("params", "padding_idx"), 10**9, "padding has id 1,000,000,000 instead of 1"),
}


@pytest.mark.parametrize("name", LASER2)
def test_a_laser2_that_declares_what_it_does_not_hold(name, made, tmp_path):
    keys, value, said = LASER2[name]
    state = torch.load(made / "laser2" / "laser2.pt", weights_only=True)
    change(state, *keys, to=value)
    torch.save(state, tmp_path / "laser2.pt")
    (tmp_path / "laser2.spm").write_bytes((made / "laser2" / "laser2.spm").read_bytes())
    with pytest.raises(CheckpointError, match=said):
        open_encoder(f"laser2:{tmp_path / 'laser2.pt'}", "cpu", "float32")


@pytest.mark.parametrize("shape", [(10**15, 4), (10**9, 10**9), (-1, 4), (2**63, 2**63), (5, -4)])
@pytest.mark.parametrize("read", [open_embeddings, lambda path: count_scores(path)], ids=["rows", "scores"])
def test_an_array_that_declares_what_it_does_not_hold(shape, read, tmp_path):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    (tmp_path / "x.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(80)
    )
    with pytest.raises(DataError, match=r"x\.npy"):
        read(tmp_path / "x.npy")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"files": 3}', '{"files": {"a": 1}}', "[" * 5000, "\x00"])
def test_small_records_of_our_own(text, tmp_path):
    from stamps import Stamps, Step

    from fairseq_distill.formats.json_file import read_object

    (tmp_path / "plan.json").write_text(text)
    if not text.startswith('{"'):
        with pytest.raises(DataError, match=r"plan\.json is missing or damaged: .*; remove it"):
            read_object(tmp_path / "plan.json", "remove it")
    stamps = Stamps(tmp_path)
    step = Step("step", [], [tmp_path / "out"])
    stamps.run(step, lambda: (tmp_path / "out").write_text("made"))
    (tmp_path / "stamps" / "step.json").write_text(text)
    (tmp_path / "stamps" / "checksums.json").write_text(text)
    (tmp_path / "out").unlink()
    Stamps(tmp_path).run(step, lambda: (tmp_path / "out").write_text("made"))  # a damaged stamp is none
    assert (tmp_path / "out").read_text() == "made"
