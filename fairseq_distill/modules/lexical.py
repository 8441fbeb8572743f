"""The student's lexical path: a weighted bag of pieces whose table is fitted to the teacher in closed form.

A mean-pooled teacher's vector is close to a sum over words, so a least-squares fit from pieces to teacher embeddings
takes seconds and is already a usable encoder; the transformer starts from it and learns what a bag cannot say. Without it a small
student spends its first thousands of updates near the teacher's mean vector. Measured in docs/results.md.
"""

import logging
import time
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_distill.data.alignment import Counts

logger = logging.getLogger(__name__)

# The bag is so many times its table. Adam moves every weight by about the learning rate, so the fitted bag moves by a
# tenth of it: at the full rate it overfits within a few passes, frozen it cannot follow the transformer.
RATE = 0.1
_CHUNK = 1 << 16  # sentences multiplied at once: bounds the work space to _CHUNK x E floats


class Rows(Protocol):
    """float32 [N, E] that need not be in memory: a tensor, or what reads the rows of a slice."""

    def __getitem__(self, span: slice) -> Tensor: ...


class LexicalPath(nn.Module):
    """Sum of one vector a piece, divided by the root of the number of pieces.

    Args:
        vocabulary: V.
        output_dim: E, the teacher's width.
        padding: id of padding.
    """

    def __init__(self, vocabulary: int, output_dim: int, padding: int):
        super().__init__()
        self.table = nn.Embedding(vocabulary, output_dim, padding_idx=padding)
        nn.init.zeros_(self.table.weight)  # without a fit the path says nothing until it has learnt

    def forward(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """float32 [B, E] for int64 [B, T]; ``keep`` float [B, T] is 0 where a piece is left out (padding, dropout)."""
        vectors = self.table(tokens).float()
        weight = keep / keep.sum(dim=1, keepdim=True).clamp_min(1.0).sqrt()
        return RATE * torch.bmm(weight.unsqueeze(1), vectors).squeeze(1)

    @torch.no_grad()
    def set_table(self, table: Tensor) -> None:
        """Let each piece contribute its row of ``table``, float32 [V, E]."""
        self.table.weight.copy_(table / RATE)

    @torch.no_grad()
    def contributions(self) -> Tensor:
        """What each piece contributes: float32 [V, E], as :meth:`set_table` takes it."""
        return RATE * self.table.weight.float()


class _Bags:
    """The sparse matrix A [N, V] of sentences by pieces, entries 1 / sqrt(length), by its rows and by its columns."""

    def __init__(self, tokens: Tensor, lengths: Tensor, vocabulary: int):
        self.vocabulary, self.rows, end = vocabulary, [], 0
        self.diagonal = torch.zeros(vocabulary)
        for first in range(0, len(lengths), _CHUNK):
            chunk = lengths[first : first + _CHUNK]
            start, end = end, end + int(chunk.sum())
            pieces = tokens[start:end].int()  # 32 bits are enough, and all of it stays in memory
            weights = chunk.float().rsqrt().repeat_interleave(chunk)
            sentence = torch.arange(len(chunk), dtype=torch.int32).repeat_interleave(chunk)
            order = torch.argsort(pieces, stable=True)
            of_piece = torch.bincount(pieces, minlength=vocabulary)
            self.rows.append(
                (
                    slice(first, first + len(chunk)),
                    (pieces, _starts(chunk), weights),
                    (sentence[order], _starts(of_piece), weights[order]),
                )
            )
            self.diagonal.index_add_(0, pieces, weights.square())

    @staticmethod
    def _multiply(where: "tuple[Tensor, Tensor, Tensor]", matrix: Tensor) -> Tensor:
        indices, offsets, weights = where
        return F.embedding_bag(indices, matrix, offsets, mode="sum", per_sample_weights=weights)

    def transposed(self, targets: "Rows") -> Tensor:
        """A^T Y: [V, E] from ``targets`` [N, E], Y being these scaled to unit length."""
        parts = (self._multiply(by_piece, F.normalize(targets[span].float(), dim=1)) for span, _, by_piece in self.rows)
        total = next(parts)
        for part in parts:
            total += part
        return total

    def normal(self, table: Tensor) -> Tensor:
        """A^T A table: [V, E] from [V, E]."""
        total = torch.zeros_like(table)
        for _, by_sentence, by_piece in self.rows:
            total += self._multiply(by_piece, self._multiply(by_sentence, table))
        return total


def _starts(lengths: Tensor) -> Tensor:
    """int32 [N]: where each of N runs of these lengths begins."""
    return F.pad(lengths.cumsum(0), (1, 0))[:-1].int()


@torch.no_grad()
def table_of_words(counts: Counts, words: Tensor) -> Tensor:
    """What each piece contributes according to the words it goes with: the expected sum of their vectors for one occurrence.

    Args:
        counts: of V pieces and W words together, see data/alignment.py.
        words: float32 [W, E], one vector a word.

    Returns:
        float32 [V, E]; zero for pieces without a word.
    """
    of_piece = torch.bincount(torch.from_numpy(counts.pieces), minlength=len(counts.occurrences))
    offsets = F.pad(of_piece.cumsum(0), (1, 0))[:-1]
    weights = torch.from_numpy(counts.counts)
    sums = F.embedding_bag(torch.from_numpy(counts.words), words, offsets, mode="sum", per_sample_weights=weights)
    return sums / torch.from_numpy(counts.occurrences).clamp_min(1).unsqueeze(1)


@torch.no_grad()
def fit_lexical_table(
    tokens: Tensor,
    lengths: Tensor,
    teacher: "Rows",
    vocabulary: int,
    ridge: float,
    prior: "Tensor | None" = None,
    iterations: int = 60,
    tolerance: float = 1e-3,
) -> Tensor:
    """The table W that minimises sum over sentences of |W^T a - y|^2 + ridge |W - s P|^2, by conjugate gradients.

    Here a is a sentence's bag of pieces, each 1 / sqrt(length), y the teacher's embedding scaled to unit length, P the prior
    (zero without one), and s the number with which s P alone comes nearest.

    Args:
        tokens: int64 [sum of lengths], the sentences one after the other, EOS included.
        lengths: int64 [N], each >= 1.
        teacher: float32 [N, E], read in slices.
        vocabulary: V.
        ridge: weight of the penalty, > 0; in units of (occurrences of a piece) / length.
        prior: float32 [V, E], what the table is near to where the sentences say little.
        iterations: bound on the steps.
        tolerance: stop when the preconditioned residual has fallen to this share of its start, in every dimension.

    Returns:
        float32 [V, E]; zero, or the prior's row, for pieces that do not occur.
    """
    began = time.time()
    bags = _Bags(tokens, lengths, vocabulary)
    scale = (bags.diagonal + ridge).unsqueeze(
        1
    )  # Jacobi's preconditioner: frequent pieces would rule the steps otherwise
    residual = bags.transposed(teacher)
    table = torch.zeros_like(residual)
    if prior is not None:
        image = bags.normal(prior)
        nearest = float((residual * prior).sum() / (image * prior).sum().clamp_min(1e-30))
        table += nearest * prior
        residual -= nearest * image  # the gradient at s P, where the penalty's is zero
    direction = residual / scale
    energy = (residual * direction).sum(0)  # [E], one system a dimension
    start = energy.clamp_min(1e-30)
    step = 0
    while step < iterations and float((energy / start).max()) > tolerance**2:
        image = bags.normal(direction) + ridge * direction
        rate = energy / (direction * image).sum(0).clamp_min(1e-30)
        table += rate * direction
        residual -= rate * image
        preconditioned = residual / scale
        fresh = (residual * preconditioned).sum(0)
        direction = preconditioned + (fresh / energy.clamp_min(1e-30)) * direction
        energy, step = fresh, step + 1
    logger.info(
        f"lexical path | {len(lengths):,} sentences {vocabulary:,} pieces | {step} steps | {time.time() - began:.1f} s"
    )
    return table
