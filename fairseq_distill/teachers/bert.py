"""BERT and RoBERTa encoders of Hugging Face without padding: their weights, our packed forward pass.

On a CPU the library's own forward spends much of its time on padding, masks and float32 products. Here sentences are
packed, and matrix products run in bfloat16 where that is wanted; residual sums and layer norms stay in float32, which
keeps the vectors' cosine to float32's above 0.9999 where a wholly converted model falls below it.
"""

from typing import Any, Dict, List, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_distill.modules.packed import Runs, attend, positions

# Model types whose tensors have BERT's names, and whether positions count from after the padding id.
_OFFSET_POSITIONS = {"bert": False, "roberta": True, "xlm-roberta": True, "camembert": True}


class _Affine(NamedTuple):
    weight: Tensor
    bias: Tensor


class _Layer(NamedTuple):
    qkv: _Affine
    attention_output: _Affine
    attention_norm: _Affine
    inner: _Affine
    outer: _Affine
    output_norm: _Affine


class PackedBert:
    """The encoder's hidden states for packed sentences.

    Args:
        state: the model's tensors, by Hugging Face's names.
        config: the model's configuration.
        dtype: type of the matrix products; everything else is float32.
    """

    def __init__(self, state: Dict[str, Tensor], config: Any, dtype: torch.dtype):
        self.heads, self.eps, self.dtype = config.num_attention_heads, config.layer_norm_eps, dtype
        self.first_position = config.pad_token_id + 1 if _OFFSET_POSITIONS[config.model_type] else 0
        self.words = state["embeddings.word_embeddings.weight"].float()
        # One sentence at a time has token type 0 throughout, so its vector is part of every position's.
        types = state["embeddings.token_type_embeddings.weight"]
        self.places = (state["embeddings.position_embeddings.weight"] + types[0]).float()
        self.norm = self._norm(state, "embeddings.LayerNorm")
        self.layers = [self._layer(state, f"encoder.layer.{index}.") for index in range(config.num_hidden_layers)]

    @staticmethod
    def _norm(state: Dict[str, Tensor], name: str) -> _Affine:
        return _Affine(state[f"{name}.weight"].float(), state[f"{name}.bias"].float())

    def _linear(self, state: Dict[str, Tensor], *names: str) -> _Affine:
        weight = torch.cat([state[f"{name}.weight"] for name in names])
        bias = torch.cat([state[f"{name}.bias"] for name in names])
        return _Affine(weight.to(self.dtype), bias.to(self.dtype))

    def _layer(self, state: Dict[str, Tensor], prefix: str) -> _Layer:
        own: List[str] = [f"{prefix}attention.self.{name}" for name in ("query", "key", "value")]
        return _Layer(
            qkv=self._linear(state, *own),
            attention_output=self._linear(state, f"{prefix}attention.output.dense"),
            attention_norm=self._norm(state, f"{prefix}attention.output.LayerNorm"),
            inner=self._linear(state, f"{prefix}intermediate.dense"),
            outer=self._linear(state, f"{prefix}output.dense"),
            output_norm=self._norm(state, f"{prefix}output.LayerNorm"),
        )

    def __call__(self, tokens: Tensor, runs: Runs) -> Tensor:
        """float32 [T, D], hidden states of the last layer.

        Args:
            tokens: int64 [T], sentences one after the other, special symbols included.
            runs: how T divides into sentences.
        """
        width = [self.words.size(1)]
        x = self.words[tokens] + self.places[self.first_position + positions(runs)]
        x = F.layer_norm(x, width, *self.norm, self.eps)
        for layer in self.layers:
            mixed = attend(F.linear(x.to(self.dtype), *layer.qkv), runs, self.heads)
            x = F.layer_norm(x + F.linear(mixed, *layer.attention_output), width, *layer.attention_norm, self.eps)
            inner = F.gelu(F.linear(x.to(self.dtype), *layer.inner))
            x = F.layer_norm(x + F.linear(inner, *layer.outer), width, *layer.output_norm, self.eps)
        return x


def packed_bert(model: torch.nn.Module, dtype: torch.dtype) -> Optional[PackedBert]:
    """A packed forward for a Hugging Face model on the CPU, or None when it is not of BERT's kind."""
    config = getattr(model, "config", None)
    if (
        getattr(config, "model_type", None) not in _OFFSET_POSITIONS
        or getattr(config, "hidden_act", None) != "gelu"
        or getattr(config, "position_embedding_type", "absolute") not in (None, "absolute")
        or getattr(config, "is_decoder", False)
    ):
        return None
    try:
        return PackedBert({name: tensor.detach() for name, tensor in model.state_dict().items()}, config, dtype)
    except KeyError:
        return None
