"""The LSTM sentence encoder of LASER2: embeddings, bidirectional LSTM, maximum over time."""

from dataclasses import dataclass
from typing import ContextManager

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def exact_products() -> ContextManager[None]:
    """A context in which cuDNN multiplies float32 as it is; on a GPU it would round to TF32's 10 bits, step after step."""
    return torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)


@dataclass(frozen=True)
class LstmShape:
    """What decides the tensors.

    Attributes:
        vocabulary: V, rows of the embedding table.
        embed_dim: width of a piece's vector.
        hidden: width of one direction; both together make the embedding, E = 2 x hidden.
        layers: LSTM layers.
        bidirectional: whether there is a second direction.
        padding: id of padding.
    """

    vocabulary: int = 50004  # the values of the published LASER2 model
    embed_dim: int = 320
    hidden: int = 512
    layers: int = 5
    bidirectional: bool = True
    padding: int = 1

    @property
    def output_dim(self) -> int:
        return self.hidden * (2 if self.bidirectional else 1)


class LstmEncoder(nn.Module):
    """Ids to sentence embeddings; names of tensors as in the published file."""

    def __init__(self, shape: LstmShape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.embed_dim, padding_idx=shape.padding)
        self.lstm = nn.LSTM(shape.embed_dim, shape.hidden, shape.layers, bidirectional=shape.bidirectional)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """[B, E], the maximum over each sentence's positions, EOS included.

        Args:
            tokens: int64 [B, T], padded on the right.
            lengths: int64 [B] on the CPU, at least 1, in any order; a row's embedding does not depend on the others.
        """
        x = self.embed_tokens(tokens).transpose(0, 1)  # [T, B, D]
        if int(lengths.min()) == tokens.size(1):  # nothing is padded, so nothing need be packed
            with exact_products():
                return self.lstm(x)[0].amax(dim=0)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        # The backward direction must start at a sentence's last piece, not at the padding: hence the packed sequence.
        with exact_products():
            output = self.lstm(packed)[0]
        if output.data.requires_grad:  # the fast way below writes in place
            return pad_packed_sequence(output, padding_value=float("-inf"))[0].amax(dim=0)
        return _max_over_time(output.data, output.batch_sizes, output.unsorted_indices)


def _max_over_time(data: Tensor, batch_sizes: Tensor, unsorted: Tensor) -> Tensor:
    """Maximum over the steps of a packed sequence, which hold ever fewer sentences; [B, E]."""
    steps = torch.split(data, batch_sizes.tolist())
    best = steps[0].clone()
    for step in steps[1:]:
        torch.maximum(best[: len(step)], step, out=best[: len(step)])
    return best[unsorted]
