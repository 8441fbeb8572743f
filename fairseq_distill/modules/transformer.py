"""The student: a transformer encoder with one vector for each sentence.

Layout and names follow fairseq's ``TransformerEncoder`` where a LASER3 file must fit (post-norm, sinusoidal positions
from ``padding_idx + 1``, ReLU, embeddings scaled by sqrt(D)), but the query, key and value projections are one matrix.
"""

import math
from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_distill.formats.dictionary import BOS
from fairseq_distill.modules.attention import attention
from fairseq_distill.modules.fast_dropout import dropout
from fairseq_distill.modules.lexical import LexicalPath
from fairseq_distill.modules.pooling import POOLINGS, pool

LONGEST_SENTENCE = 1 << 16  # pieces; a table of positions is made for as many, whatever a file asks for
_LARGEST = 1 << 31

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


@dataclass(frozen=True)
class EncoderShape:
    """What decides the tensors of a student.

    Attributes:
        vocabulary: V, rows of the embedding table, ``<mask>`` included.
        dim: D, width of the model.
        ffn_dim, layers, heads: as in any transformer; ``heads`` divides ``dim``.
        output_dim: E, the teacher's width. When it differs from D, a linear projection follows the pooling.
        pooling: ``max``, ``mean`` or ``cls``; with ``cls`` each sentence is read with BOS before it.
        pre_norm: layer norm before each block and one at the end, instead of after each block.
        activation: ``relu`` or ``gelu``.
        max_positions: longest sentence in pieces.
        padding: id of padding.
        lexical: whether a bag of pieces is added to the projected output, see modules/lexical.py.
        final_norm: a layer norm at the end although each block ends with one, as in LASER3 students trained with MLM;
            always true where ``pre_norm`` is.
    """

    vocabulary: int
    dim: int
    ffn_dim: int
    layers: int
    heads: int
    output_dim: int
    pooling: str = "max"
    pre_norm: bool = False
    activation: str = "relu"
    max_positions: int = 1024
    padding: int = 1
    lexical: bool = False
    final_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("vocabulary", "dim", "ffn_dim", "layers", "heads", "output_dim", "max_positions"):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _LARGEST:
                raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST:,}, but is {number!r}")
        if self.max_positions > LONGEST_SENTENCE:
            raise ValueError(f"max_positions {self.max_positions:,} is more than {LONGEST_SENTENCE:,}")
        object.__setattr__(self, "final_norm", self.final_norm or self.pre_norm)  # one meaning, so that shapes compare
        if self.dim < 4:  # positions need two waves
            raise ValueError(f"width {self.dim} must be 4 or more")
        if self.dim % self.heads or self.dim % 2:
            raise ValueError(f"width {self.dim} must be even and divisible by {self.heads} heads")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling!r} is none of {', '.join(POOLINGS)}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r} is none of {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True)
class Dropout:
    """Probabilities in [0, 1): after the embedding and each block, on attention weights, inside the FFN, of pieces in the bag."""

    residual: float = 0.0
    attention: float = 0.0
    activation: float = 0.0
    lexical: float = 0.0


def sinusoidal_positions(n: int, dim: int) -> Tensor:
    """float32 [n, dim]: first half sine, second half cosine, wave lengths as in fairseq's (not the paper's interleaving)."""
    half = dim // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
    angles = torch.arange(n, dtype=torch.float32).unsqueeze(1) * rates.unsqueeze(0)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual connection and a layer norm."""

    def __init__(self, shape: EncoderShape, dropout: Dropout):
        super().__init__()
        self.heads, self.pre_norm, self.dropout = shape.heads, shape.pre_norm, dropout
        self.activation = ACTIVATIONS[shape.activation]
        self.qkv_proj = nn.Linear(shape.dim, 3 * shape.dim)
        self.out_proj = nn.Linear(shape.dim, shape.dim)
        self.self_attn_layer_norm = nn.LayerNorm(shape.dim)
        self.fc1 = nn.Linear(shape.dim, shape.ffn_dim)
        self.fc2 = nn.Linear(shape.ffn_dim, shape.dim)
        self.final_layer_norm = nn.LayerNorm(shape.dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # As fairseq: Xavier, with gain 1/sqrt(2) for queries, keys and values, whose three matrices are one here.
        dim = self.out_proj.in_features
        bound = math.sqrt(6.0 / (2 * dim)) / math.sqrt(2.0)
        nn.init.uniform_(self.qkv_proj.weight, -bound, bound)
        for linear in (self.out_proj, self.fc1, self.fc2):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.qkv_proj, self.out_proj, self.fc1, self.fc2):
            nn.init.zeros_(linear.bias)

    def attend(self, x: Tensor, mask: Optional[Tensor]) -> Tensor:
        batch, length, dim = x.shape
        qkv = self.qkv_proj(x).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, D/H]
        probability = self.dropout.attention if self.training else 0.0
        mixed = attention(query, key, value, mask, probability)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, dim))

    def feed(self, x: Tensor) -> Tensor:
        inner = dropout(self.activation(self.fc1(x)), self.dropout.activation, self.training)
        return self.fc2(inner)

    def forward(self, x: Tensor, mask: Optional[Tensor]) -> Tensor:
        """[B, T, D] to [B, T, D]; ``mask`` is bool [B, 1, 1, T], True where a position may be attended to."""
        residual = self.dropout.residual
        if self.pre_norm:
            x = x + dropout(self.attend(self.self_attn_layer_norm(x), mask), residual, self.training)
            return x + dropout(self.feed(self.final_layer_norm(x)), residual, self.training)
        x = self.self_attn_layer_norm(x + dropout(self.attend(x, mask), residual, self.training))
        return self.final_layer_norm(x + dropout(self.feed(x), residual, self.training))


class StudentEncoder(nn.Module):
    """Ids to hidden states and sentence embeddings."""

    def __init__(self, shape: EncoderShape, dropout: Dropout = Dropout()):
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.dim, padding_idx=shape.padding)
        # sqrt(D) times an initial spread of 1/sqrt(D): unit variance, but Adam moves the products sqrt(D) times faster.
        self.embed_scale = math.sqrt(shape.dim)
        self.prefix = 1 if shape.pooling == "cls" else 0  # positions before a sentence's own: BOS, which cls pools
        positions = sinusoidal_positions(self.prefix + shape.max_positions + shape.padding + 1, shape.dim)
        self.register_buffer("positions", positions, persistent=False)
        self.layers = nn.ModuleList([EncoderLayer(shape, dropout) for _ in range(shape.layers)])
        self.layer_norm = nn.LayerNorm(shape.dim) if shape.final_norm else None
        projected = shape.lexical or shape.output_dim != shape.dim
        self.projection = nn.Linear(shape.dim, shape.output_dim) if projected else None
        self.lexical = LexicalPath(shape.vocabulary, shape.output_dim, shape.padding) if shape.lexical else None
        nn.init.normal_(self.embed_tokens.weight, std=shape.dim**-0.5)
        nn.init.zeros_(self.embed_tokens.weight[shape.padding])
        if self.projection is not None and self.lexical is not None:
            nn.init.zeros_(self.projection.weight)  # the student starts as its lexical path alone
            nn.init.zeros_(self.projection.bias)

    def hidden(self, tokens: Tensor) -> Tuple[Tensor, Tensor]:
        """Hidden states of the last layer.

        Args:
            tokens: int64 [B, T], padded on the right.

        Returns:
            [B, P + T, D] hidden states and bool [B, P + T] padding; P, ``prefix``, is 1 where BOS comes first, else 0.
        """
        if self.prefix:
            tokens = F.pad(tokens, (self.prefix, 0), value=BOS)
        padding = tokens.eq(self.shape.padding)
        x = self.embed_scale * self.embed_tokens(tokens)
        # fairseq numbers positions from padding_idx + 1; with padding on the right that is one slice for every row.
        first = self.shape.padding + 1
        x = x + self.positions[first : first + tokens.size(1)].to(x.dtype)
        x = dropout(x, self.dropout.residual, self.training)
        mask = None
        if bool(padding.any()):
            mask = ~padding[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return (x if self.layer_norm is None else self.layer_norm(x)), padding

    def embed(self, hidden: Tensor, padding: Tensor, tokens: Tensor) -> Tensor:
        """float32 [B, E] from what :meth:`hidden` gave for the ids int64 [B, T]."""
        pooled = pool(hidden, padding, self.shape.pooling)
        embedding = (pooled if self.projection is None else self.projection(pooled)).float()
        if self.lexical is None:
            return embedding
        # Adam moves every weight of a new projection by the learning rate, D of them alike: undamped, its first steps would
        # put one common vector of several times the bag's length on every sentence, and hundreds of updates go to undo that.
        embedding = embedding / self.shape.dim
        keep = (~padding[:, self.prefix :]).float()
        if self.training and self.dropout.lexical:
            keep = keep * (torch.rand_like(keep) >= self.dropout.lexical)
        return embedding + self.lexical(tokens, keep)

    def forward(self, tokens: Tensor) -> Tensor:
        """float32 [B, E], one embedding for each row of int64 [B, T]; not of unit length."""
        return self.embed(*self.hidden(tokens), tokens)
