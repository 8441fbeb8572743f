"""A student's weights in an architecture of transformers that computes the same.

- Pre-norm students are a MegatronBERT: the one BERT there without a layer norm over its embeddings and with one at the end.
- Post-norm students are the encoder of FSMT, which is fairseq's own translation transformer; its decoder has no layers. A
  second norm at the end (``post_final``) becomes one more layer, whose attention and feed-forward are zero.

Source: huggingface/transformers, ``modeling_megatron_bert.py`` and ``modeling_fsmt.py``.
"""

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.embedding.student import Student
from fairseq_distill.formats.dictionary import BOS, EOS, PAD
from fairseq_distill.modules.transformer import StudentEncoder, sinusoidal_positions

Json = Dict[str, Any]
Weights = Dict[str, Tensor]

_EPSILON = 1e-5  # PyTorch's of a layer norm, which the student has


def encoder_files(student: Student, copies: List[int]) -> Tuple[Json, Weights, Json]:
    """``config.json``, the tensors of ``model.safetensors``, and sentence-transformers' own settings.

    Args:
        student: the student, on the CPU.
        copies: rows to be appended to the table of pieces, see
            :func:`fairseq_distill.export.hugging_face_tokenizer.tokenizer_files`.
    """
    if student.model.shape.pre_norm:
        return *megatron_bert(student.model, copies), {}
    config, weights = fsmt(student.model, copies)
    # The encoder's states are not FSMT's first output.
    output = {"text": {"method": "forward", "method_output_name": "encoder_last_hidden_state"}}
    return config, weights, {"modality_config": output, "module_output_name": "token_embeddings"}


def with_copies(table: Tensor, copies: List[int]) -> Tensor:
    """[V + C, ...]: a table of pieces and copies of some of its rows."""
    return torch.cat([table, table[copies]]) if copies else table


def megatron_bert(model: StudentEncoder, copies: List[int]) -> Tuple[Json, Weights]:
    """Configuration and tensors of a ``MegatronBertModel`` for a pre-norm student."""
    shape, state = model.shape, model.state_dict()
    longest = model.prefix + shape.max_positions
    # fairseq numbers positions from padding + 1, and scales the embeddings.
    positions = sinusoidal_positions(shape.padding + 1 + longest, shape.dim)[shape.padding + 1 :]
    weights: Weights = {
        "embeddings.word_embeddings.weight": model.embed_scale * with_copies(state["embed_tokens.weight"], copies),
        "embeddings.position_embeddings.weight": positions,
        "embeddings.token_type_embeddings.weight": torch.zeros(1, shape.dim),
        "pooler.dense.weight": torch.zeros(shape.dim, shape.dim),  # nobody asks it; without it there is a warning
        "pooler.dense.bias": torch.zeros(shape.dim),
    }
    names = {
        "out_proj": "attention.output.dense",
        "self_attn_layer_norm": "attention.ln",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
        "final_layer_norm": "ln",
    }
    for part in ("weight", "bias"):
        weights[f"encoder.ln.{part}"] = state[f"layer_norm.{part}"]
        for number in range(shape.layers):
            for ours, theirs in names.items():
                weights[f"encoder.layer.{number}.{theirs}.{part}"] = state[f"layers.{number}.{ours}.{part}"]
            for name, tensor in zip(("query", "key", "value"), state[f"layers.{number}.qkv_proj.{part}"].chunk(3)):
                weights[f"encoder.layer.{number}.attention.self.{name}.{part}"] = tensor
    config = {
        "architectures": ["MegatronBertModel"],
        "model_type": "megatron-bert",
        "vocab_size": shape.vocabulary + len(copies),
        "hidden_size": shape.dim,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn_dim,
        "hidden_act": shape.activation,
        "hidden_dropout_prob": defaults.DROPOUT,
        "attention_probs_dropout_prob": defaults.DROPOUT,
        "max_position_embeddings": longest,
        "type_vocab_size": 1,
        "layer_norm_eps": _EPSILON,
        "pad_token_id": PAD,
    }
    return config, weights


def fsmt(model: StudentEncoder, copies: List[int]) -> Tuple[Json, Weights]:
    """Configuration and tensors of an ``FSMTModel`` for a post-norm student."""
    shape, state = model.shape, model.state_dict()
    layers = [{name: state[f"layers.{number}.{name}"] for name in _LAYER} for number in range(shape.layers)]
    if model.layer_norm is not None:
        layers.append(_second_norm(model))
    # Encoder and decoder share one table, which is stored under the decoder's name.
    weights: Weights = {"decoder.embed_tokens.weight": with_copies(state["embed_tokens.weight"], copies)}
    longest = model.prefix + shape.max_positions
    positions = sinusoidal_positions(
        shape.padding + 1 + longest, shape.dim
    )  # transformers makes the same, with a warning
    positions[shape.padding] = 0
    weights.update({f"{side}.embed_positions.weight": positions for side in ("encoder", "decoder")})
    for number, layer in enumerate(layers):
        for name, tensor in layer.items():
            start = f"encoder.layers.{number}."
            if name.startswith("qkv_proj."):
                for letter, part in zip("qkv", tensor.chunk(3)):
                    weights[start + name.replace("qkv_proj", f"self_attn.{letter}_proj")] = part
            else:
                weights[start + name.replace("out_proj", "self_attn.out_proj")] = tensor
    pieces = shape.vocabulary + len(copies)
    config = {
        "architectures": ["FSMTModel"],
        "model_type": "fsmt",
        "langs": ["src", "tgt"],
        "src_vocab_size": pieces,
        "tgt_vocab_size": pieces,
        "d_model": shape.dim,
        "encoder_layers": len(layers),
        "encoder_attention_heads": shape.heads,
        "encoder_ffn_dim": shape.ffn_dim,
        "decoder_layers": 0,
        "decoder_attention_heads": 1,
        "decoder_ffn_dim": 1,
        "activation_function": shape.activation,
        "dropout": defaults.DROPOUT,
        "max_position_embeddings": longest,
        "scale_embedding": True,
        "tie_word_embeddings": True,
        "use_cache": False,
        "bos_token_id": BOS,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "decoder_start_token_id": EOS,
    }
    return config, weights


_LAYER = [
    f"{name}.{part}"
    for name in ("qkv_proj", "out_proj", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm")
    for part in ("weight", "bias")
]


def _second_norm(model: StudentEncoder) -> Weights:
    """A post-norm layer that only normalises: plainly first, then once more, which changes nothing, with the student's scale."""
    dim, inner = model.shape.dim, model.shape.ffn_dim
    sizes = {"qkv_proj": (3 * dim, dim), "out_proj": (dim, dim), "fc1": (inner, dim), "fc2": (dim, inner)}
    layer = {f"{name}.weight": torch.zeros(size) for name, size in sizes.items()}
    layer.update({f"{name}.bias": torch.zeros(size[0]) for name, size in sizes.items()})
    layer.update({"self_attn_layer_norm.weight": torch.ones(dim), "self_attn_layer_norm.bias": torch.zeros(dim)})
    state = model.state_dict()
    layer.update({f"final_layer_norm.{part}": state[f"layer_norm.{part}"] for part in ("weight", "bias")})
    return layer
