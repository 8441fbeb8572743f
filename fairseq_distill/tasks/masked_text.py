"""The text for MLM and TLM that the options ask for. Registers nothing."""

from pathlib import Path
from typing import List

import numpy as np

from fairseq_distill.data.corpora import Part
from fairseq_distill.data.mask_units import MaskText, MonolingualText, PairedText
from fairseq_distill.data.masking import MaskPolicy
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.tasks.options import SentenceDistillationConfig


def mask_policy_of(cfg: SentenceDistillationConfig) -> MaskPolicy:
    """The mask policy that the options ask for.

    Raises:
        ConfigError: a share out of range.
    """
    try:
        return MaskPolicy(cfg.mask_probability, cfg.mask_leave_unmasked, cfg.mask_random, cfg.mask_whole_words)
    except ValueError as error:
        raise ConfigError(
            f"--mask-probability {cfg.mask_probability} must lie in (0, 1), and --mask-leave-unmasked {cfg.mask_leave_unmasked} and "
            f"--mask-random {cfg.mask_random} in [0, 1], together at most 1."
        ) from error


def check_shares(cfg: SentenceDistillationConfig) -> None:
    """Raise a ConfigError unless the shares of an update leave something to distil."""
    if min(cfg.mask_share, cfg.tlm_share) < 0 or cfg.mask_share + cfg.tlm_share >= 1:
        raise ConfigError(
            f"--mask-share {cfg.mask_share} and --tlm-share {cfg.tlm_share} must be 0 or more, and below 1 together: the rest "
            "of an update is distilled."
        )
    if cfg.epoch_sentences < 1:
        raise ConfigError(f"--epoch-sentences {cfg.epoch_sentences} must be 1 or more.")
    if not 0 <= cfg.self_share < 1:
        raise ConfigError(f"--self-share {cfg.self_share} must lie in [0, 1): the rest is sentence pairs.")


def masked_apart(cfg: SentenceDistillationConfig) -> bool:
    """Whether masked text gets a matrix of its own: blocks and pairs are so long that sentences beside them would be padding."""
    return str(cfg.mask_unit) == "blocks" or cfg.tlm_share > 0


def mask_text_of(
    cfg: SentenceDistillationConfig, parts: List[Part], word_start: np.ndarray, directory: Path
) -> MaskText:
    """All text for MLM: monolingual sentences or blocks, and with ``--tlm-share`` the pairs whose sides are both binarised.

    Raises:
        ConfigError: blocks longer than what the student reads. DataError: no corpus was prepared for TLM.
    """
    check_shares(cfg)
    blocks = None
    if str(cfg.mask_unit) == "blocks":
        blocks = int(cfg.mask_block_pieces)
        if not 2 <= blocks <= cfg.max_length_pieces:
            raise ConfigError(
                f"--mask-block-pieces {blocks} must lie between 2 and --max-length-pieces {cfg.max_length_pieces}."
            )
    mono = [part for part in parts if part.corpus.kind == "mask"]
    by_pieces = str(cfg.curriculum_unit) == "pieces"
    text = MonolingualText(mono, cfg.max_length_pieces, word_start, blocks, by_pieces)
    if not cfg.tlm_share:
        return MaskText(text)
    pairs = [part for part in parts if part.target is not None]
    if not pairs:
        raise DataError(
            f"--tlm-share {cfg.tlm_share} needs both sides of the pairs in the student's vocabulary, but {directory} was prepared "
            "without --tlm; prepare it again with that option."
        )
    return MaskText(text, PairedText(pairs, cfg.max_length_pieces, word_start))
