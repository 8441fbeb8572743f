"""The tokenizer of a sentence-transformers teacher is found without its weights."""

import pytest

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("torch")

from fairseq_distill.teachers.sbert_tokenizer import load_tokenizer  # noqa: E402


def folder_with(tmp_path, place, tokenizer):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding()
    tokenizer.save(str(tmp_path / place / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("place", [".", "0_Transformer"])
def test_a_folder(tmp_path, place):
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer, unknown = load_tokenizer(str(folder_with(tmp_path, place, made)))
    assert unknown == 2
    # What the teacher cuts off or pads is no matter of its vocabulary.
    assert [row.ids for row in tokenizer.encode_batch(["a b c a", "b"])] == [[0, 1, 2, 0], [1]]


def test_the_unknown_token_of_a_unigram_model_is_a_position(tmp_path):
    made = tokenizers.Tokenizer(tokenizers.models.Unigram([("<s>", 0.0), ("<unk>", 0.0), ("a", -1.0)], unk_id=1))
    assert load_tokenizer(str(folder_with(tmp_path, ".", made)))[1] == 1


def test_a_tokenizer_that_knows_every_byte_has_none(tmp_path):
    made = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0}, []))
    assert load_tokenizer(str(folder_with(tmp_path, ".", made)))[1] is None


def test_no_tokenizer_file(tmp_path):
    assert load_tokenizer(str(tmp_path)) is None
    for name in ("no-such-model-anywhere", "no/name of/the hub"):
        assert load_tokenizer(name) is None
