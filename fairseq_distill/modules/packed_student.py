"""A trained student without padding, for embedding on a CPU: its weights, a packed forward pass.

The module of modules/transformer.py trains and serves GPUs. Here matrix products see real pieces only and run in the wanted
type, into which their weights are converted once; residual sums and layer norms stay in float32 (docs/performance.md).
"""

from typing import Callable, List, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_distill.formats.dictionary import BOS
from fairseq_distill.modules.int8 import Int8Linear
from fairseq_distill.modules.lexical import RATE
from fairseq_distill.modules.packed import attend, pool_packed, positions, runs_of_equal_length
from fairseq_distill.modules.transformer import ACTIVATIONS, EncoderLayer, StudentEncoder

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.bfloat16}  # and type of the attention
Product = Callable[[Tensor], Tensor]


class _Layer(NamedTuple):
    qkv: Product
    out: Product
    attention_norm: nn.LayerNorm
    fc1: Product
    fc2: Product
    final_norm: nn.LayerNorm


class PackedStudent:
    """The embeddings of packed sentences.

    Args:
        model: a student in evaluation mode on the CPU. float32 weights are shared with it, not copied.
        precision: of the layers' matrix products, one of PRECISIONS; with int8 attention is in bfloat16. The rest is float32.
    """

    def __init__(self, model: StudentEncoder, precision: str):
        self.model, self.precision, self.dtype = model, precision, PRECISIONS[precision]
        self.activation = ACTIVATIONS[model.shape.activation]
        self.layers = [self._layer(layer) for layer in model.layers if isinstance(layer, EncoderLayer)]

    def _product(self, linear: nn.Linear) -> Product:
        weight, bias = linear.weight.detach(), linear.bias.detach()
        if self.precision == "int8":
            return Int8Linear(weight, bias)
        weight, bias = weight.to(self.dtype), bias.to(self.dtype)
        return lambda x: F.linear(x.to(self.dtype), weight, bias)

    def _layer(self, layer: EncoderLayer) -> _Layer:
        return _Layer(
            qkv=self._product(layer.qkv_proj),
            out=self._product(layer.out_proj),
            attention_norm=layer.self_attn_layer_norm,
            fc1=self._product(layer.fc1),
            fc2=self._product(layer.fc2),
            final_norm=layer.final_layer_norm,
        )

    def __call__(self, sentences: List[np.ndarray]) -> Tensor:
        """float32 [B, E], as of :meth:`fairseq_distill.modules.transformer.StudentEncoder.forward`.

        Args:
            sentences: ids of B sentences, at least one each and EOS last, those of equal length side by side.
        """
        model, shape = self.model, self.model.shape
        lengths = np.array([len(ids) for ids in sentences], dtype=np.int64)
        tokens = torch.from_numpy(np.concatenate(sentences).astype(np.int64, copy=False))
        bag = None if model.lexical is None else _bag(model.lexical.table.weight, tokens, lengths)
        if model.prefix:
            tokens = torch.from_numpy(np.concatenate([np.insert(ids, 0, BOS) for ids in sentences]).astype(np.int64))
            lengths = lengths + model.prefix
        pooled = self._pooled(tokens, lengths)
        embedding = pooled if model.projection is None else model.projection(pooled)
        return embedding if bag is None else embedding / shape.dim + bag

    def _pooled(self, tokens: Tensor, lengths: np.ndarray) -> Tensor:
        """float32 [B, D] of int64 [T]."""
        model, shape = self.model, self.model.shape
        runs = runs_of_equal_length(lengths)
        x = model.embed_scale * model.embed_tokens(tokens) + model.positions[shape.padding + 1 + positions(runs)]
        for layer in self.layers:
            seen = layer.attention_norm(x) if shape.pre_norm else x
            x += layer.out(attend(layer.qkv(seen).to(self.dtype), runs, shape.heads))
            if not shape.pre_norm:
                x = layer.attention_norm(x)
            seen = layer.final_norm(x) if shape.pre_norm else x
            x += layer.fc2(self.activation(layer.fc1(seen)))
            if not shape.pre_norm:
                x = layer.final_norm(x)
        return pool_packed(x if model.layer_norm is None else model.layer_norm(x), runs, shape.pooling)


def _bag(table: Tensor, tokens: Tensor, lengths: np.ndarray) -> Tensor:
    """float32 [B, E]: what the lexical path adds, see :class:`fairseq_distill.modules.lexical.LexicalPath`."""
    sizes = torch.from_numpy(lengths)
    sums = F.embedding_bag(tokens, table, sizes.cumsum(0) - sizes, mode="sum")
    return sums * (RATE * sizes.rsqrt()).unsqueeze(1)
