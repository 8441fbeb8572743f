"""The converted tokenizer gives the student's own ids, in the ``tokenizers`` package itself."""

import base64
import io
import json
import unicodedata

import numpy as np
import pytest
import sentencepiece
import torch

from fairseq_distill.embedding.student import load_student
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.export import hugging_face_tokenizer
from fairseq_distill.export.hugging_face_tokenizer import tokenizer_files
from fairseq_distill.text import normalise
from tests.unit.export.export_students import LINES, TEXT, WORDS, write_student

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")


def converted(student):
    """Our ids of lines, and those of tokenizer.json with copied rows named as what they copy."""
    content, options, copies = tokenizer_files(student)
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    tokenizer.encode_special_tokens = options["split_special_tokens"]
    tokenizer.enable_truncation(options["model_max_length"])
    rows = np.array([*range(student.model.shape.vocabulary), *copies])
    begin = [0] * student.model.prefix  # the model itself puts BOS before it

    def ours(lines):
        return [begin + row.tolist() for row in student.prepare(lines)]

    return ours, lambda lines: [rows[each.ids].tolist() for each in tokenizer.encode_batch(lines)], tokenizer


def drawn(alphabet, lines, longest, seed=5):
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice(list(alphabet), draw.integers(0, longest))) for _ in range(lines)]


@pytest.mark.parametrize("changed", [{}, {"pooling": "cls"}, {"max_length_pieces": 9}])
def test_same_ids(spm, tmp_path, changed):
    ours, theirs, _ = converted(load_student(write_student(tmp_path / "c.pt", spm, **changed), "cpu"))
    text = LINES + TEXT[:50] + drawn("".join(WORDS) + " .<>s/pad▁", 500, 30) + ["< pad >", "< s > the", "<pad>the</s>"]
    assert theirs(text) == ours(text)


def test_the_whole_normalisation_is_the_same(spm, tmp_path):
    student = load_student(write_student(tmp_path / "c.pt", spm), "cpu")
    normaliser = converted(student)[2].normalizer
    marks = "'`´‘’‚„“”«»\u00a0 .,:;?!()%–—…º°C5nºcm\u200b\u2028\ta\u0301\u0323ሰ\U0001f600\r''\u3000～"
    lines = [
        unicodedata.normalize("NFC", line) for line in drawn(marks, 3000, 20)
    ]  # free marks out of order may differ
    lines += drawn("ab’‘1\u00a0", 2000, 14) + drawn('",. a', 1500, 12)
    lines += drawn("ΑΣσς'. -α1", 1500, 9) + ["ΟΔΟΣ ΟΔΟΣ. İI", "Ο.Δ.Σ.", "fa’a’a’a’ite", "1\u00a02\u00a03\u00a04"]
    lines += ["কো".replace("ো", "ে" + "া"), "가", unicodedata.normalize("NFD", "가각 ệ ﷺ"), "ﾊﾟ", "Å"]
    lines += ["0" + chr(code) + "1" for code in range(0xD800) if code % 7 == 3]
    found = [normaliser.normalize_str(line) for line in lines]
    assert found == [student.tokenizer.spm.normalize(normalise(line)) for line in lines]


def test_pieces_that_the_dictionary_lacks_are_unknown(spm, tmp_path):
    path = write_student(tmp_path / "c.pt", spm)
    content = torch.load(path, weights_only=True)
    state = content["task_state"]["student"]
    lost = [piece for piece in state["symbols"] if len(piece) > 1 and "<" not in piece][:3]
    keep = [number for number, symbol in enumerate(state["symbols"]) if symbol not in lost]
    state["symbols"] = [state["symbols"][number] for number in keep]
    content["model"]["encoder.embed_tokens.weight"] = content["model"]["encoder.embed_tokens.weight"][keep]
    torch.save(content, path)
    student = load_student(path, "cpu")
    assert tokenizer_files(student)[2] == [3, 3, 3]
    ours, theirs, _ = converted(student)
    assert theirs(TEXT) == ours(TEXT) and any(3 in row for row in ours(TEXT))


def model(**options):
    written = io.BytesIO()
    given = {"vocab_size": 48, "hard_vocab_limit": False, "minloglevel": 2, "character_coverage": 1.0, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT), model_writer=written, **given)
    return written.getvalue()


def test_a_model_without_normalisation(tmp_path):
    student = load_student(write_student(tmp_path / "c.pt", model(normalization_rule_name="identity")), "cpu")
    ours, theirs, _ = converted(student)
    assert theirs(LINES + TEXT) == ours(LINES + TEXT)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"model_type": "bpe"}, "kind bpe"),
        ({"user_defined_symbols": ["qq"]}, "1 user-defined symbols"),
        ({"byte_fallback": True, "vocab_size": 320}, "byte fallback"),
        ({"treat_whitespace_as_suffix": True}, "another handling of spaces"),
    ],
)
def test_what_cannot_be_said_is_named(options, words, tmp_path):
    student = load_student(write_student(tmp_path / "c.pt", model(**options)), "cpu")
    with pytest.raises(ConfigError, match=f"{words}.*safetensors or onnx"):
        tokenizer_files(student)


def test_a_new_rule_with_groups_is_refused(spm, tmp_path, monkeypatch):
    student = load_student(write_student(tmp_path / "c.pt", spm), "cpu")
    monkeypatch.setattr(hugging_face_tokenizer, "punctuation_rules", lambda: [("(a)b", r"\g<1>c")])
    with pytest.raises(DataError, match="no counterpart without groups"):
        tokenizer_files(student)


def test_the_table_of_sentencepiece_travels_whole(spm, tmp_path):
    content = tokenizer_files(load_student(write_student(tmp_path / "c.pt", spm), "cpu"))[0]
    tables = [rule for rule in content["normalizer"]["normalizers"] if rule["type"] == "Precompiled"]
    assert base64.b64decode(tables[0]["precompiled_charsmap"]) in spm
