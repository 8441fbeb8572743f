"""Matrix products in int8, for embedding on a CPU: twice the rate of bfloat16 where the processor has VNNI instructions.

Weights are scaled row by row once, inputs row by row as they come, both symmetrically to -127 ... 127; sums are int32 and
exact. What it does to the vectors is measured in docs/performance.md.
"""

import torch
from torch import Tensor

from fairseq_distill.errors import ConfigError

TOKENS = 2048  # of a batch, at most: with more, what is added up between the products leaves the cache
_LARGEST = 127.0
_SMALLEST = 1e-30  # a scale; rows of zeros stay zero
_ROWS = 256  # multiplied at a time: their int32 sums stay in the cache


def require_int8(device: torch.device) -> None:
    """Raise a ConfigError where this PyTorch has no int8 product for the device."""
    if device.type != "cpu":
        raise ConfigError(f"--precision int8 is for a CPU, but the device is {device}; use bfloat16.")
    product = getattr(torch, "_int_mm", None)
    one = torch.ones(1, 8, dtype=torch.int8)
    try:
        right = product is not None and product(one, one.t()).item() == 8
    except RuntimeError:
        right = False
    if not right:
        raise ConfigError(
            f"PyTorch {torch.__version__} multiplies no int8 on this machine; leave --precision out, or install 2.11 or later."
        )


class Int8Linear:
    """``x`` [T, D] to float32 ``x W' + b`` [T, F].

    Args:
        weight: W, [F, D].
        bias: b, [F].
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        quantised, scale = quantise(weight.float())
        self.weight, self.scale, self.bias = quantised.t(), scale.t(), bias.float()

    def __call__(self, x: Tensor) -> Tensor:
        out = torch.empty(x.size(0), self.weight.size(1))
        sums = torch.empty(min(_ROWS, x.size(0)), self.weight.size(1), dtype=torch.int32)
        for start in range(0, x.size(0), _ROWS):
            rows, scale = quantise(x[start : start + _ROWS])
            some = sums[: rows.size(0)]
            torch._int_mm(rows, self.weight, out=some)
            torch.addcmul(self.bias, some.float(), scale * self.scale, out=out[start : start + _ROWS])
        return out


def quantise(x: Tensor) -> "tuple[Tensor, Tensor]":
    """int8 [N, D] and float32 [N, 1], whose product is nearest to ``x`` [N, D], float32 or bfloat16."""
    scale = (x.abs().amax(dim=1, keepdim=True).float() / _LARGEST).clamp_min(_SMALLEST)
    return (x / scale).round_().to(torch.int8), scale
