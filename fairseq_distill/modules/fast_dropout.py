"""Dropout whose mask costs little on a CPU, where drawing one float for each element is slower than what it protects."""

import torch
import torch.nn.functional as F
from torch import Tensor

_RANGE = 1 << 16


def dropout(x: Tensor, probability: float, training: bool = True) -> Tensor:
    """``x`` with a share of its elements set to zero and the others scaled up, as ``torch.nn.functional.dropout``.

    On a CPU four elements share one draw of 64 bits from PyTorch's generator, 16 bits each, so the probability is rounded to
    1 / 65,536; the seed decides the mask, as always.

    Args:
        x: of any shape and floating type.
        probability: of zero, in [0, 1).
    """
    if not training or probability <= 0.0:
        return x
    threshold = round(probability * _RANGE)
    if x.device.type != "cpu" or not 0 < threshold < _RANGE:
        return F.dropout(x, probability)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    keep = bits >= threshold - _RANGE // 2
    return x * (keep * (_RANGE / (_RANGE - threshold))).to(x.dtype)
