"""A trained student without padding, for embedding on a CPU: its weights, a packed forward pass.

The module of modules/transformer.py trains and serves GPUs. Here matrix products see real pieces only and run in the wanted
type, into which their weights are converted once; residual sums and layer norms stay in float32 (docs/performance.md).
"""

from typing import List

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_distill.formats.dictionary import BOS
from fairseq_distill.modules.lexical import RATE
from fairseq_distill.modules.packed import attend_apart, pool_packed, positions, runs_of_equal_length
from fairseq_distill.modules.packed_layer import packed_layer
from fairseq_distill.modules.transformer import EncoderLayer, StudentEncoder


class PackedStudent:
    """The embeddings of packed sentences.

    Args:
        model: a student in evaluation mode on the CPU. float32 weights are shared with it, not copied.
        precision: of the layers' matrix products, ``float32``, ``bfloat16`` or ``int8``. The rest is float32.
    """

    def __init__(self, model: StudentEncoder, precision: str):
        self.model = model
        layers = [layer for layer in model.layers if isinstance(layer, EncoderLayer)]
        self.layers = [packed_layer(layer, model.shape.activation, precision) for layer in layers]

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
            query_key, value = layer.query_key_value(layer.attention_norm(x) if shape.pre_norm else x)
            x += layer.out(attend_apart(query_key, value, runs, shape.heads, layer.mixed_dtype))
            if shape.pre_norm:
                x += layer.feed(layer.final_norm(x))
            else:
                x = layer.attention_norm(x)
                x = layer.final_norm(x.add_(layer.feed(x)))
        return pool_packed(x if model.layer_norm is None else model.layer_norm(x), runs, shape.pooling)


def _bag(table: Tensor, tokens: Tensor, lengths: np.ndarray) -> Tensor:
    """float32 [B, E]: what the lexical path adds, see :class:`fairseq_distill.modules.lexical.LexicalPath`."""
    sizes = torch.from_numpy(lengths)
    sums = F.embedding_bag(tokens, table, sizes.cumsum(0) - sizes, mode="sum")
    return sums * (RATE * sizes.rsqrt()).unsqueeze(1)
