"""Dynamic masks for masked language modelling: new ones at every visit, a function of the seed alone."""

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.formats.dictionary import EOS


@dataclass(frozen=True)
class MaskPolicy:
    """BERT's 80/10/10 by default.

    Attributes:
        probability: share of a sentence's pieces that are predicted, in (0, 1).
        leave_unmasked: of those, the share that stays as it is.
        random: of those, the share that becomes a random piece; the rest becomes ``<mask>``.
        whole_words: choose words instead of pieces, see :func:`choose_words`.
    """

    probability: float = defaults.MASK_PROBABILITY
    leave_unmasked: float = defaults.MASK_LEAVE_UNMASKED
    random: float = defaults.MASK_RANDOM
    whole_words: bool = False

    def __post_init__(self) -> None:
        if (
            not 0 < self.probability < 1
            or min(self.leave_unmasked, self.random) < 0
            or self.leave_unmasked + self.random > 1
        ):
            raise ValueError(f"{self} is no mask policy: shares must lie in [0, 1] and add up to at most 1")


def masked_counts(maskable: np.ndarray, probability: float) -> np.ndarray:
    """How many pieces of each text are predicted: int64 [N], at least 1 where there is any.

    The number is fixed, so that the denominator of an update's MLM loss is known before a mask is drawn. With whole words it is
    the expected number.

    Args:
        maskable: int [N], pieces that may be chosen: all but BOS, EOS and padding.
        probability: share of them.
    """
    body = np.maximum(np.asarray(maskable, dtype=np.int64), 0)
    return np.minimum(np.maximum(np.rint(body * probability).astype(np.int64), 1), body)


def choose_pieces(maskable: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool [B, T]: exactly ``counts[b]`` of the pieces of row b, each equally likely.

    Args:
        maskable: bool [B, T], which may be chosen.
        counts: int64 [B], at most as many as may be.
        rng: the only source of randomness.
    """
    score = rng.random(maskable.shape)
    score[~maskable] = 2.0  # what may not be chosen comes last in every ranking
    rank = np.argsort(np.argsort(score, axis=1, kind="stable"), axis=1, kind="stable")
    return rank < counts[:, None]


def choose_words(
    maskable: np.ndarray, word_starts: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """bool [B, T]: whole words of each row, each equally likely, with ``counts[b]`` pieces of row b on average.

    Of the W words of a row, W x (share of its pieces to choose) are drawn without repetition, rounded up or down by chance
    so that the average is exact. Each piece is then as likely to be chosen as without whole words.

    Args:
        maskable: bool [B, T], which pieces may be chosen.
        word_starts: bool [B, T], which begin a word; so does the first piece after one that may not be chosen.
        counts: int64 [B], wanted pieces, at most as many as may be chosen.
        rng: the only source of randomness.
    """
    batch, width = maskable.shape
    before = np.zeros_like(maskable)
    before[:, 1:] = maskable[:, :-1]
    begins = maskable & (word_starts | ~before)
    row_of_word = np.flatnonzero(begins) // max(width, 1)
    if not len(row_of_word):
        return np.zeros_like(maskable)
    words = np.bincount(row_of_word, minlength=batch)
    share = counts / np.maximum(maskable.sum(axis=1), 1)
    wanted = np.floor(words * share + rng.random(batch)).astype(np.int64)
    order = np.lexsort((rng.random(len(row_of_word)), row_of_word))  # each row's words in random order
    first_of_row = np.cumsum(words) - words
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - first_of_row[row_of_word]
    word_of_piece = np.cumsum(begins.reshape(-1)).reshape(batch, width) - 1  # -1 before the first, which is no piece
    return maskable & (rank < wanted[row_of_word])[word_of_piece]


def mask_tokens(
    tokens: np.ndarray,
    policy: MaskPolicy,
    mask_id: int,
    first_piece: int,
    rng: np.random.Generator,
    word_starts: Optional[np.ndarray] = None,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose pieces, hide them, and say what they were.

    What happens to a chosen piece is drawn for each piece, also within a word, as in BERT.

    Args:
        tokens: int64 [B, T]. BOS, EOS and padding are never chosen, wherever they stand.
        policy: shares.
        mask_id: id of ``<mask>``; pieces have ids in [first_piece, mask_id).
        first_piece: the first id that is no special symbol.
        rng: the only source of randomness.
        word_starts: bool [B, T], for whole words: which pieces begin one.

    Returns:
        int64 [B, T] with pieces hidden (the input is left as it is); int64 [M] chosen positions, flat over B x T and
        ascending; int64 [M] the pieces that were there. Row b has exactly ``masked_counts`` of its pieces among the M; with
        whole words, on average.
    """
    maskable = tokens > EOS  # the specials are <s> <pad> </s> <unk>, and <unk> stands for a piece
    counts = masked_counts(maskable.sum(axis=1), policy.probability)
    if policy.whole_words:
        assert word_starts is not None, "whole words need to know where words begin"
        chosen = choose_words(maskable, word_starts, counts, rng)
    else:
        chosen = choose_pieces(maskable, counts, rng)
    positions = np.flatnonzero(chosen)
    targets = tokens.reshape(-1)[positions].copy()
    fate = rng.random(len(positions))
    substitute = rng.integers(first_piece, mask_id, len(positions))
    hidden = np.where(
        fate < policy.leave_unmasked,
        targets,
        np.where(fate < policy.leave_unmasked + policy.random, substitute, mask_id),
    )
    masked = tokens.copy()
    masked.reshape(-1)[positions] = hidden
    return masked, positions, targets
