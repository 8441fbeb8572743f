"""The packed forward pass of a student gives the vectors of its module."""

import numpy as np
import pytest
import torch

from fairseq_distill.embedding.student import _padded
from fairseq_distill.formats.dictionary import EOS
from fairseq_distill.modules import packed_layer
from fairseq_distill.modules.packed_student import PackedStudent
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder

SHAPES = {
    "laser3": EncoderShape(40, 16, 32, 2, 2, 16),
    "laser3 with MLM": EncoderShape(40, 16, 32, 2, 2, 16, final_norm=True),
    "pre-norm, mean, projected": EncoderShape(40, 16, 24, 3, 4, 12, "mean", pre_norm=True, activation="gelu"),
    "lexical": EncoderShape(40, 16, 24, 1, 4, 12, "mean", pre_norm=True, lexical=True),
    "lexical, cls": EncoderShape(40, 16, 24, 2, 1, 16, "cls", lexical=True),
    "cls": EncoderShape(40, 16, 24, 2, 1, 16, "cls"),
}


def drawn(shape: EncoderShape) -> StudentEncoder:
    torch.manual_seed(3)
    model = StudentEncoder(shape).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def sentences(*lengths: int) -> "list[np.ndarray]":
    random = np.random.default_rng(5)
    return [np.append(random.integers(4, 40, length - 1), EOS) for length in lengths]


@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_it_gives_what_the_module_gives_each_sentence_alone(name):
    model, given = drawn(SHAPES[name]), sentences(9, 9, 5, 3, 3, 3, 1)
    found = PackedStudent(model, "float32")(given)
    expected = torch.cat([model(torch.from_numpy(ids)[None]) for ids in given])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(_padded(given)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision, least", [("bfloat16", 0.999), ("int8", 0.99)])
@pytest.mark.parametrize("name", SHAPES)
@torch.inference_mode()
def test_lower_precisions_stay_close(name, precision, least):
    model, given = drawn(SHAPES[name]), sentences(12, 12, 7, 2)
    found, exact = PackedStudent(model, precision)(given), PackedStudent(model, "float32")(given)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    assert torch.cosine_similarity(found, exact).min() > least


@pytest.mark.parametrize("fast_bfloat16", [True, False])
@torch.inference_mode()
def test_int8_keeps_to_float32_and_to_the_sentence(fast_bfloat16, monkeypatch):
    """The cosine that docs/performance.md states; whatever the sentences beside one."""
    monkeypatch.setattr(packed_layer, "cpu_multiplies_bfloat16", lambda: fast_bfloat16)
    torch.manual_seed(4)
    model = StudentEncoder(EncoderShape(400, 512, 1024, 3, 4, 512)).eval()
    random = np.random.default_rng(6)
    given = [
        np.append(random.integers(4, 400, length - 1), EOS) for length in sorted([40, 40, 23, 23, 9, 5, 3, 2, 1])[::-1]
    ]
    found, exact = PackedStudent(model, "int8")(given), PackedStudent(model, "float32")(given)
    assert torch.cosine_similarity(found, exact).min() > 0.9999
    alone = torch.cat([PackedStudent(model, "int8")([ids]) for ids in given])
    assert torch.cosine_similarity(found, alone).min() > 0.99999


def test_float32_weights_are_not_copied():
    model = drawn(SHAPES["laser3"])
    packed = PackedStudent(model, "float32")
    with torch.inference_mode():
        first = packed(sentences(4))
        for parameter in model.layers.parameters():
            parameter.zero_()
        assert not torch.equal(packed(sentences(4)), first)
