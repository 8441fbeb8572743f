"""Sentences one after the other in one matrix, without padding: linear layers see T rows of real pieces and no more.

Only attention and pooling need to know where a sentence ends. Sentences sorted by length form runs of equal length, and
a run of B sentences of L pieces is a plain [B, L] block, so attention needs no mask either.
"""

from typing import List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_distill.modules.attention import attention

Runs = List[Tuple[int, int]]  # (sentences, pieces of each), in the order in which they are packed


def runs_of_equal_length(lengths: np.ndarray) -> Runs:
    """The runs of sorted lengths.

    Args:
        lengths: int [B], at least 1, equal ones side by side.
    """
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(lengths)) + 1, [len(lengths)]])
    return [(int(end - start), int(lengths[start])) for start, end in zip(bounds[:-1], bounds[1:])]


def pack(tokens: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The tokens of chosen sentences, one after the other.

    Args:
        tokens: [*], all sentences in one flat array.
        starts, lengths: int64 [B], where the chosen ones lie in it.

    Returns:
        [T], T the sum of ``lengths``.
    """
    ends = np.cumsum(lengths)
    return tokens[np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1])]


def positions(runs: Runs) -> Tensor:
    """int64 [T], from 0 in each sentence."""
    return torch.cat([torch.arange(length).repeat(sentences) for sentences, length in runs])


def attend(qkv: Tensor, runs: Runs, heads: int) -> Tensor:
    """Self-attention within each sentence.

    Args:
        qkv: [T, 3 D], queries, keys and values side by side.
        runs: how T divides into sentences.
        heads: divides D.

    Returns:
        [T, D], of the type of ``qkv``.
    """
    width = qkv.size(1) // 3
    mixed = torch.empty(qkv.size(0), width, dtype=qkv.dtype, device=qkv.device)
    start = 0
    for sentences, length in runs:
        end = start + sentences * length
        block = qkv[start:end].view(sentences, length, 3, heads, width // heads)
        query, key, value = block.permute(2, 0, 3, 1, 4)  # each [B, H, L, D/H]
        result = F.scaled_dot_product_attention(query, key, value)
        mixed[start:end].view(sentences, length, heads, width // heads).copy_(result.transpose(1, 2))
        start = end
    return mixed


def attend_apart(query_key: Tensor, value: Tensor, runs: Runs, heads: int, dtype: torch.dtype) -> Tensor:
    """:func:`attend` of queries and keys apart from values, computed in float32.

    Args:
        query_key: [T, 2 D], queries and keys side by side.
        value: [T, D].
        runs: how T divides into sentences.
        heads: divides D.
        dtype: of the result.

    Returns:
        [T, D].
    """
    # Plain products are up to twice as fast as the fused kernel, but their last bits depend on the number of sentences.
    attended = F.scaled_dot_product_attention if dtype == torch.float32 else _plain_attention
    mixed = torch.empty(value.shape, dtype=dtype, device=value.device)
    width = value.size(1) // heads
    start = 0
    for sentences, length in runs:
        rows = slice(start, start + sentences * length)
        query, key = query_key[rows].view(sentences, length, 2, heads, width).permute(2, 0, 3, 1, 4)
        values = value[rows].view(sentences, length, heads, width).transpose(1, 2)
        result = attended(query, key, values)  # [B, H, L, D/H]
        mixed[rows].view(sentences, length, heads, width).copy_(result.transpose(1, 2))
        start = rows.stop
    return mixed


def _plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """In float32 and side by side in memory: short products in bfloat16 would have a kernel made for each length."""
    alone = [x.to(torch.float32, memory_format=torch.contiguous_format) for x in (query, key, value)]
    return attention(alone[0], alone[1], alone[2], None)


def pool_packed(hidden: Tensor, runs: Runs, pooling: str) -> Tensor:
    """One vector for each sentence, float32 [B, D]; see :func:`fairseq_distill.modules.pooling.pool`.

    Args:
        hidden: [T, D].
        pooling: ``mean``, ``max`` or ``cls`` (the first position).

    Raises:
        ValueError: unknown pooling.
    """
    pooled, start = [], 0
    for sentences, length in runs:
        end = start + sentences * length
        block = hidden[start:end].view(sentences, length, -1).float()
        if pooling == "mean":
            pooled.append(block.mean(dim=1))
        elif pooling == "max":
            pooled.append(block.amax(dim=1))
        elif pooling == "cls":
            pooled.append(block[:, 0])
        else:
            raise ValueError(f"pooling {pooling!r} is none of mean, max, cls")
        start = end
    return torch.cat(pooled)
