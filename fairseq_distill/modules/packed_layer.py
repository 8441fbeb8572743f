"""The layers of a trained student for packed sentences, their weights converted once into the type in which they multiply.

``int8`` multiplies queries, keys and the feed-forward block in int8, but values and attention's output in bfloat16, or in float32
where that is faster: these two are a quarter of the work, and in int8 would make four fifths of the error (docs/performance.md).
"""

from typing import Callable, NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_distill.modules.int8 import Int8Linear, Product
from fairseq_distill.modules.precision import cpu_multiplies_bfloat16
from fairseq_distill.modules.transformer import ACTIVATIONS, EncoderLayer


class PackedLayer(NamedTuple):
    """The parts of a layer as functions of rows.

    Attributes:
        query_key_value: [T, D] to [T, 2 D] queries and keys, and [T, D] values.
        mixed_dtype: in which ``out`` takes what attention mixed.
        out, feed: [T, D] to [T, D], attention's output and the feed-forward block.
        attention_norm, final_norm: after or before each, float32.
    """

    query_key_value: Callable[[Tensor], Tuple[Tensor, Tensor]]
    mixed_dtype: torch.dtype
    out: Product
    attention_norm: nn.LayerNorm
    feed: Product
    final_norm: nn.LayerNorm


def packed_layer(layer: EncoderLayer, activation: str, precision: str) -> PackedLayer:
    """A layer of a student whose module is on the CPU; its float32 weights are shared, not copied.

    Args:
        activation: one of modules/transformer.py's ACTIVATIONS.
        precision: ``float32``, ``bfloat16`` or ``int8``.
    """
    int8 = precision == "int8"
    dtype = torch.bfloat16 if precision == "bfloat16" or (int8 and cpu_multiplies_bfloat16()) else torch.float32
    return PackedLayer(
        query_key_value=_int8_attention_input(layer, dtype) if int8 else _attention_input(layer, dtype),
        mixed_dtype=dtype,
        out=_product(layer.out_proj, dtype),
        attention_norm=layer.self_attn_layer_norm,
        feed=_int8_feed(layer, activation) if int8 else _feed(layer, activation, dtype),
        final_norm=layer.final_layer_norm,
    )


def _product(linear: nn.Linear, dtype: torch.dtype, outputs: slice = slice(None)) -> Product:
    weight, bias = linear.weight.detach()[outputs].to(dtype), linear.bias.detach()[outputs].to(dtype)
    return lambda x: F.linear(x.to(dtype), weight, bias)


def _int8_product(linear: nn.Linear, outputs: slice = slice(None), signed: bool = True) -> Int8Linear:
    return Int8Linear(linear.weight.detach()[outputs], linear.bias.detach()[outputs], signed)


def _attention_input(layer: EncoderLayer, dtype: torch.dtype) -> Callable[[Tensor], Tuple[Tensor, Tensor]]:
    qkv, width = _product(layer.qkv_proj, dtype), layer.out_proj.in_features

    def multiplied(x: Tensor) -> Tuple[Tensor, Tensor]:
        done = qkv(x)
        return done[:, : 2 * width], done[:, 2 * width :]

    return multiplied


def _int8_attention_input(layer: EncoderLayer, dtype: torch.dtype) -> Callable[[Tensor], Tuple[Tensor, Tensor]]:
    width = layer.out_proj.in_features
    query_key = _int8_product(layer.qkv_proj, slice(2 * width))
    value = _product(layer.qkv_proj, dtype, slice(2 * width, None))
    return lambda x: (query_key(x), value(x))


def _feed(layer: EncoderLayer, activation: str, dtype: torch.dtype) -> Product:
    fc1, act, fc2 = _product(layer.fc1, dtype), ACTIVATIONS[activation], _product(layer.fc2, dtype)
    return lambda x: fc2(act(fc1(x)))


def _int8_feed(layer: EncoderLayer, activation: str) -> Product:
    fc1 = _int8_product(layer.fc1)
    if activation == "relu":
        fc2 = _int8_product(layer.fc2, signed=False)  # takes negative numbers for zero
        return lambda x: fc2(fc1(x))
    act, signed_fc2 = ACTIVATIONS[activation], _int8_product(layer.fc2)
    return lambda x: signed_fc2(act(fc1(x)))
