"""Matrix products in int8, for embedding on a CPU: twice the rate of bfloat16 where the processor has VNNI instructions.

Weights are scaled row by row once, symmetrically to -127 ... 127; inputs row by row as they come, to 0 ... 255, where 128
stands for zero, or 0 does if none is negative. Sums are int32 and exact. What it does to the vectors is measured in
docs/performance.md.
"""

import logging
from functools import lru_cache
from typing import Callable

import torch
from torch import Tensor

from fairseq_distill.errors import ConfigError

logger = logging.getLogger(__name__)

_ZERO = 128  # of signed inputs
_SMALLEST = 1e-30  # a scale; rows of zeros stay zero
_UNIT = float(1 << 23)  # float32 from here on are the whole numbers; the lowest byte of 2^23 + n is n's

Product = Callable[[Tensor], Tensor]


def require_int8(device: torch.device) -> None:
    """Raise a ConfigError where the device is no CPU; say so where int8 would be no faster."""
    if device.type != "cpu":
        raise ConfigError(f"--precision int8 is for a CPU, but the device is {device}; use bfloat16.")
    if not cpu_multiplies_int8():
        logger.warning(
            f"PyTorch {torch.__version__} has no exact int8 product for this processor: --precision int8 gives the same "
            "vectors, but by float32 products of rounded numbers. Leave it out to have float32's vectors as fast."
        )


class Int8Linear:
    """``x`` [T, D] to float32 ``x W' + b`` [T, F].

    Args:
        weight: W, [F, D].
        bias: b, [F].
        signed: whether ``x`` has negative numbers; without them it is rounded to twice as many steps.
    """

    def __init__(self, weight: Tensor, bias: Tensor, signed: bool = True):
        weight = weight.float()
        scale = weight.abs().amax(dim=1).clamp_min(_SMALLEST) / 127.0
        rounded = (weight / scale.unsqueeze(1)).round().to(torch.int8)
        self.signed, self.bias = signed, bias.float()
        make = _onednn_product if cpu_multiplies_int8() else _float32_product
        self.product = make(rounded, scale, _ZERO if signed else 0)

    def __call__(self, x: Tensor) -> Tensor:
        rows, scale = quantise(x, self.signed)
        sums = self.product(rows)
        return torch.addcmul(self.bias, sums, scale, out=sums)


def quantise(x: Tensor, signed: bool = True) -> "tuple[Tensor, Tensor]":
    """uint8 [N, D] and float32 [N, 1]: (the first - 128) times the second is nearest to ``x``, float32 [N, D].

    Without ``signed``, negative numbers count as zero and 128 is not subtracted.
    """
    # Four passes, each of them vectorised by PyTorch; abs, vector_norm, aminmax and float32 to uint8 are many times slower.
    scale = x.amax(dim=1, keepdim=True)
    if signed:
        scale = torch.maximum(scale, -x.amin(dim=1, keepdim=True))
    scale = scale.clamp_min_(_SMALLEST) / (127.0 if signed else 255.0)
    # Adding 2^23 rounds to a whole number and leaves it in the lowest byte.
    moved = torch.addcmul(_offset(x.size(1), signed), x, scale.reciprocal())
    if not signed:
        moved.clamp_min_(_UNIT)
    return moved.view(torch.int32).to(torch.uint8), scale


@lru_cache(maxsize=16)
def _offset(width: int, signed: bool) -> Tensor:
    """float32 [width]; a row is added as fast as a number would be, and several times faster than a single element."""
    return torch.full((width,), _UNIT + (_ZERO if signed else 0))


@lru_cache(maxsize=None)
def cpu_multiplies_int8() -> bool:
    """Whether this PyTorch multiplies uint8 by int8 exactly on this CPU.

    Without VNNI instructions sums of two products are cut off at 16 bits: the largest factors show it.
    """
    if not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        return False
    largest = torch.full((2, 64), 255, dtype=torch.uint8)
    try:
        product = _onednn_product(torch.full((16, 64), 127, dtype=torch.int8), torch.ones(16), 0)
        return bool((product(largest) == 255.0 * 127 * 64).all())
    except (RuntimeError, TypeError):
        return False


def _onednn_product(weight: Tensor, scale: Tensor, zero: int) -> Product:
    """uint8 [T, D] to float32 [T, F], ``(x - zero) W'`` with each column times its scale.

    The operation is the one to which PyTorch's compiler brings quantised models; its weights are laid out in advance.
    """
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    zeros = torch.zeros(weight.size(0), dtype=torch.int32)

    def product(x: Tensor) -> Tensor:
        done: Tensor = torch.ops.onednn.qlinear_pointwise(
            x, 1.0, zero, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return done

    return product


def _float32_product(weight: Tensor, scale: Tensor, zero: int) -> Product:
    """The same in float32."""
    scaled = weight.float().t() * scale
    return lambda x: (x.float() - zero) @ scaled
