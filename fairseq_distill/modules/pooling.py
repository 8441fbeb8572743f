"""From one vector a piece to one vector a sentence."""

import torch
from torch import Tensor

POOLINGS = ("max", "mean", "cls")


def pool(hidden: Tensor, padding: Tensor, pooling: str) -> Tensor:
    """One vector for each sentence.

    Args:
        hidden: [B, T, D], the encoder's output.
        padding: bool [B, T], True at padding; each row has at least one other position (EOS).
        pooling: ``max`` or ``mean`` over all positions that are not padding, special symbols included (as LASER3
            does), or ``cls``: the first position, which is BOS (modules/transformer.py puts it there).

    Returns:
        [B, D], of the type of ``hidden``; ``mean`` sums in float32.

    Raises:
        ValueError: unknown pooling.

    Source: Heffernan et al. (2022), section on pooling: max over the outputs beat a [CLS]-type token.
    """
    if pooling == "max":
        # -inf, not 0: true values can all be negative, and then padding would win the maximum.
        return hidden.masked_fill(padding.unsqueeze(-1), float("-inf")).amax(dim=1)
    if pooling == "mean":
        weight = (~padding).to(torch.float32)  # [B, T]
        summed = torch.bmm(weight.unsqueeze(1).to(hidden.dtype), hidden).squeeze(1)  # accumulated in float32 by GEMM
        return (summed.float() / weight.sum(dim=1, keepdim=True)).to(hidden.dtype)
    if pooling == "cls":
        return hidden[:, 0]
    raise ValueError(f"pooling {pooling!r} is none of {', '.join(POOLINGS)}")
