"""The settings of a SentencePiece model, read from its bytes."""

import io

import pytest
import sentencepiece

from fairseq_distill.errors import DataError
from fairseq_distill.formats.spm_model import SpmSettings, read_spm_settings

TEXT = ["the river rose in the night", "a goat saw the house", "rains began to fall on our town"] * 30


def train(**options):
    model = io.BytesIO()
    given = {"vocab_size": 45, "hard_vocab_limit": False, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT), model_writer=model, **given)
    return model.getvalue()


def test_defaults_of_a_trained_model():
    found = read_spm_settings(train())
    assert found._replace(charsmap=b"") == SpmSettings("unigram", b"", True, True, True, False, False, 0)
    assert len(found.charsmap) > 100_000  # nmt_nfkc


@pytest.mark.parametrize(
    "options, field, value",
    [
        ({"model_type": "bpe"}, "kind", "bpe"),
        ({"model_type": "char"}, "kind", "char"),
        ({"normalization_rule_name": "identity"}, "charsmap", b""),
        ({"add_dummy_prefix": False}, "dummy_prefix", False),
        ({"remove_extra_whitespaces": False}, "fold_spaces", False),
        ({"treat_whitespace_as_suffix": True}, "space_after", True),
        ({"byte_fallback": True, "vocab_size": 320}, "byte_fallback", True),
        ({"user_defined_symbols": ["<a>", "<b>"]}, "fixed_pieces", 2),
    ],
)
def test_each_setting_is_found(options, field, value):
    assert getattr(read_spm_settings(train(**options)), field) == value


def test_damage_is_one_sentence():
    whole = train()
    for broken in (whole[:-50], b"\xff" * 20, b"text that is no model"):
        with pytest.raises(DataError, match="SentencePiece model cannot be read"):
            read_spm_settings(broken)
