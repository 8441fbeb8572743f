"""Scaled dot-product attention, by the way that is fastest where it runs.

PyTorch's fused attention is made for long sequences. On a CPU, sentences are short: there the plain products of a batch are
several times faster forward and backward (docs/performance.md), and their scores fit into the cache.
"""

import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_distill.modules.fast_dropout import dropout

# Above so many scores a layer, on a CPU, the fused kernel: it never writes them out.
_MOST_SCORES = 1 << 24


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor], dropout_p: float = 0.0) -> Tensor:
    """softmax(query key' / sqrt(d)) value for each sentence and head.

    Args:
        query, key, value: [B, H, T, d].
        mask: bool, broadcast to [B, H, T, T], True where a position may be attended to; None: everywhere.
        dropout_p: share of attention weights set to zero, in [0, 1).

    Returns:
        [B, H, T, d], of the type of ``value``.
    """
    scores = query.size(0) * query.size(1) * query.size(2) * key.size(2)
    if query.device.type != "cpu" or scores > _MOST_SCORES:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_p)
    weights = (query @ key.transpose(-1, -2)).float() * (1.0 / math.sqrt(query.size(-1)))
    if mask is not None:
        weights = weights.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(weights, dim=-1).to(value.dtype)
    return dropout(weights, dropout_p) @ value
