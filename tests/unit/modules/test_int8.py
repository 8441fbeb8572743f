"""int8 products: exact sums of what was rounded, and rounding within half a step."""

import pytest
import torch

from fairseq_distill.errors import ConfigError
from fairseq_distill.modules.int8 import Int8Linear, quantise, require_int8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_within_half_a_step(dtype):
    x = torch.randn(7, 33, generator=torch.Generator().manual_seed(1)).to(dtype) * torch.logspace(-6, 6, 7)[:, None]
    x = x.to(dtype)
    x[3] = 0
    whole, scale = quantise(x)
    assert whole.dtype == torch.int8 and scale.shape == (7, 1)
    assert whole.abs().amax(dim=1).tolist() == [127, 127, 127, 0, 127, 127, 127]
    assert (
        (whole * scale - x.float()).abs() <= 0.502 * scale + 0.004 * x.float().abs() * (dtype != torch.float32)
    ).all()


@pytest.mark.parametrize("rows", [1, 5, 1024, 2500])
def test_the_product_is_that_of_the_rounded_factors(rows):
    generator = torch.Generator().manual_seed(2)
    x, weight, bias = (torch.randn(*size, generator=generator) for size in ((rows, 48), (40, 48), (40,)))
    (left, left_scale), (right, right_scale) = quantise(x), quantise(weight)
    expected = (left * left_scale).double() @ (right * right_scale).double().t() + bias
    torch.testing.assert_close(Int8Linear(weight, bias)(x).double(), expected, atol=1e-5, rtol=1e-5)


def test_a_device_without_it_is_refused(monkeypatch):
    require_int8(torch.device("cpu"))
    with pytest.raises(ConfigError, match="is for a CPU, but the device is cuda:0"):
        require_int8(torch.device("cuda:0"))
    monkeypatch.delattr(torch, "_int_mm")
    with pytest.raises(ConfigError, match="multiplies no int8"):
        require_int8(torch.device("cpu"))
