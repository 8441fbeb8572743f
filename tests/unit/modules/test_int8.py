"""int8 products: exact sums of what was rounded, and rounding within half a step."""

import os
import subprocess
import sys

import pytest
import torch

from fairseq_distill.errors import ConfigError
from fairseq_distill.modules import int8
from fairseq_distill.modules.int8 import Int8Linear, quantise, require_int8


def drawn(*sizes: "tuple[int, int]") -> "list[torch.Tensor]":
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(*size, generator=generator) for size in sizes]


@pytest.mark.parametrize("signed, largest", [(True, 127), (False, 255)])
def test_rounding_is_within_half_a_step(signed, largest):
    x = drawn((7, 33))[0] * torch.logspace(-6, 6, 7)[:, None]
    x[3], x[5, :32] = 0, -x[5, 32].abs()
    whole, scale = quantise(x, signed)
    assert whole.dtype == torch.uint8 and scale.shape == (7, 1)
    steps = whole.float() - (128 if signed else 0)
    expected = x if signed else x.relu()
    assert steps.abs().amax(dim=1).tolist() == [largest if row.any() else 0 for row in expected]
    assert ((steps * scale - expected).abs() <= 0.501 * scale).all()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 1024, 2500])
def test_the_product_is_that_of_the_rounded_factors(rows, signed):
    x, weight, bias = drawn((rows, 48), (40, 48), (1, 40))
    left, left_scale = quantise(x, signed)
    right_scale = weight.abs().amax(dim=1) / 127
    right = (weight / right_scale[:, None]).round()
    steps = left.double() - (128 if signed else 0)
    expected = (steps @ right.double().t()) * left_scale * right_scale + bias[0]
    torch.testing.assert_close(Int8Linear(weight, bias[0], signed)(x).double(), expected, atol=1e-5, rtol=1e-5)


def test_without_exact_products_float32_gives_the_same(monkeypatch, caplog):
    x, weight, bias = drawn((9, 48), (40, 48), (1, 40))
    expected = Int8Linear(weight, bias[0])(x)
    monkeypatch.setattr(int8, "cpu_multiplies_int8", lambda: False)
    torch.testing.assert_close(Int8Linear(weight, bias[0])(x), expected, atol=1e-5, rtol=1e-5)
    require_int8(torch.device("cpu"))
    assert "no exact int8 product" in caplog.text


def test_products_cut_off_at_16_bits_are_noticed():
    code = "from fairseq_distill.modules.int8 import cpu_multiplies_int8; print(cpu_multiplies_int8())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}  # no VNNI
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_another_device_is_refused():
    with pytest.raises(ConfigError, match="is for a CPU, but the device is cuda:0"):
        require_int8(torch.device("cuda:0"))
