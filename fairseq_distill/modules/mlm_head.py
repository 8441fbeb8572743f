"""Masked language modelling on top of the student's hidden states."""

import torch.nn.functional as F
from torch import Tensor, nn


class MaskedLanguageModelHead(nn.Module):
    """Hidden states at masked positions to logits over the dictionary.

    The layer norm is the head's own: in the fairseq ``nllb`` branch it replaced the encoder's final layer norm, so that
    sentence embeddings changed with the presence of an MLM task.

    Args:
        dim: D, width of the hidden states.
        embedding: the student's embedding table [V, D]; its weight is shared with the output projection.
    """

    def __init__(self, dim: int, embedding: nn.Embedding):
        super().__init__()
        self.dense = nn.Linear(dim, dim)
        self.layer_norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(self.dense.weight.new_zeros(embedding.num_embeddings))
        # Hidden in a list: a shared parameter registered twice would be saved twice.
        self._embedding = [embedding]

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits [M, V] for hidden states [M, D]."""
        return F.linear(self.layer_norm(F.gelu(self.dense(hidden))), self._embedding[0].weight, self.bias)
