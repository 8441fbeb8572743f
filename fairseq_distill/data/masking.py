"""Dynamic masks for masked language modelling: new ones at every visit, a function of the seed alone."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from fairseq_distill import defaults


@dataclass(frozen=True)
class MaskPolicy:
    """BERT's 80/10/10 by default.

    Attributes:
        probability: share of a sentence's pieces that are predicted, in (0, 1).
        leave_unmasked: of those, the share that stays as it is.
        random: of those, the share that becomes a random piece; the rest becomes ``<mask>``.
    """

    probability: float = defaults.MASK_PROBABILITY
    leave_unmasked: float = defaults.MASK_LEAVE_UNMASKED
    random: float = defaults.MASK_RANDOM

    def __post_init__(self) -> None:
        if (
            not 0 < self.probability < 1
            or min(self.leave_unmasked, self.random) < 0
            or self.leave_unmasked + self.random > 1
        ):
            raise ValueError(f"{self} is no mask policy: shares must lie in [0, 1] and add up to at most 1")


def masked_counts(lengths: np.ndarray, probability: float) -> np.ndarray:
    """How many pieces of each sentence are predicted: int64 [N], at least 1 where there is any piece beside EOS.

    The number is fixed by the length, so that the denominator of an update's MLM loss is known before it is drawn.

    Args:
        lengths: int [N], pieces with EOS.
        probability: share of the pieces beside EOS.
    """
    body = np.maximum(np.asarray(lengths, dtype=np.int64) - 1, 0)
    return np.minimum(np.maximum(np.rint(body * probability).astype(np.int64), 1), body)


def mask_tokens(
    tokens: np.ndarray,
    lengths: np.ndarray,
    policy: MaskPolicy,
    mask_id: int,
    first_piece: int,
    rng: np.random.Generator,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose pieces, hide them, and say what they were.

    Args:
        tokens: int64 [B, T], right-padded, EOS at the end of each sentence.
        lengths: int64 [B], pieces with EOS. EOS and padding are never chosen.
        policy: shares.
        mask_id: id of ``<mask>``; pieces have ids in [first_piece, mask_id).
        first_piece: the first id that is no special symbol.
        rng: the only source of randomness.

    Returns:
        int64 [B, T] with pieces hidden (the input is left as it is); int64 [M] chosen positions, flat over B x T and
        ascending; int64 [M] the pieces that were there. Row b has exactly ``masked_counts(lengths)[b]`` of the M.
    """
    batch, width = tokens.shape
    counts = masked_counts(lengths, policy.probability)
    score = rng.random((batch, width))
    score[np.arange(width)[None, :] >= (lengths - 1)[:, None]] = 2.0  # EOS and padding come last in every ranking
    rank = np.argsort(np.argsort(score, axis=1, kind="stable"), axis=1, kind="stable")
    positions = np.flatnonzero(rank < counts[:, None])
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
