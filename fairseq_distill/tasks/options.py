"""The options of ``--task sentence_distillation``, and the curriculum they ask for. Registers nothing."""

import argparse
from dataclasses import dataclass, field
from typing import Any, List

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.configs import DatasetConfig
from omegaconf import II, MISSING

from fairseq_distill import defaults
from fairseq_distill.data.curriculum import CURRICULA, PACINGS, Curriculum
from fairseq_distill.data.mask_units import MASK_UNITS
from fairseq_distill.errors import ConfigError


@dataclass
class SentenceDistillationConfig(FairseqDataclass):
    data: str = field(
        default=MISSING, metadata={"help": "data directory made by data_prep (a folder with manifest.json)"}
    )
    max_length_pieces: int = field(
        default=defaults.MAX_LENGTH_PIECES,
        metadata={"help": "longer sentences are cut to so many pieces, EOS included"},
    )
    sampling_temperature: float = field(
        default=defaults.SAMPLING_TEMPERATURE,
        metadata={
            "help": "languages are drawn in proportion to size^(1/T); 1 keeps their sizes, large T makes them equal"
        },
    )
    mask_share: float = field(
        default=defaults.MASK_SHARE,
        metadata={
            "help": "share of each update's pieces that is monolingual text for MLM, in [0, 1); 0 switches MLM off"
        },
    )
    mask_probability: float = field(
        default=defaults.MASK_PROBABILITY,
        metadata={"help": "share of a sentence's pieces that MLM predicts, in (0, 1)"},
    )
    mask_leave_unmasked: float = field(
        default=defaults.MASK_LEAVE_UNMASKED, metadata={"help": "of those, the share left as it is"}
    )
    mask_random: float = field(
        default=defaults.MASK_RANDOM, metadata={"help": "of those, the share replaced by a random piece"}
    )
    mask_whole_words: bool = field(
        default=False,
        metadata={"help": "mask all pieces of a word together; in languages without spaces each piece is a word"},
    )
    mask_unit: ChoiceEnum(MASK_UNITS) = field(  # type: ignore[valid-type]
        default="sentences",
        metadata={"help": "monolingual text comes as sentences, or as blocks of consecutive ones, for running text"},
    )
    mask_block_pieces: int = field(
        default=defaults.MASK_BLOCK_PIECES,
        metadata={
            "help": "longest block in pieces, at most --max-length-pieces; a longer sentence is a block of its own"
        },
    )
    tlm_share: float = field(
        default=0.0,
        metadata={
            "help": "share of each update's pieces that is sentence pairs for TLM, masked on both sides, in [0, 1); the data must be prepared with --tlm"
        },
    )
    self_share: float = field(
        default=defaults.SELF_SHARE,
        metadata={
            "help": "share of the distilled sentences that are the teacher's own language, where the data has any (--self), in [0, 1)"
        },
    )
    # Text, not a choice: from the command line it comes as a number, see CurriculumNumber.
    curriculum: str = field(
        default="none",
        metadata={"help": "none, or progressive: teacher and student are shown growing parts of each pair"},
    )
    curriculum_increments: int = field(
        default=defaults.CURRICULUM_INCREMENTS,
        metadata={"help": "number of parts; the data must be prepared with --increments of the same number"},
    )
    curriculum_updates: int = field(
        default=0, metadata={"help": "update from which on whole sentences are shown; 0: a quarter of --max-update"}
    )
    curriculum_pacing: ChoiceEnum(PACINGS) = field(  # type: ignore[valid-type]
        default="linear", metadata={"help": "how the parts grow: linear, root (short parts are left sooner) or step"}
    )
    xsim_margin: ChoiceEnum(("ratio", "distance", "absolute")) = field(  # type: ignore[valid-type]
        default=defaults.XSIM_MARGIN,
        metadata={"help": "margin of the metric named xsim; the other two are logged beside it"},
    )
    xsim_k: int = field(default=defaults.NEIGHBOURHOOD, metadata={"help": "neighbours of the margin"})
    online_teacher: bool = field(
        default=False,
        metadata={
            "help": "embed the teacher's side in the loop instead of reading stored embeddings; slow, for teachers in training or data too large to store"
        },
    )
    seed: int = II("common.seed")
    max_update: int = II("optimization.max_update")
    update_freq: List[int] = II("optimization.update_freq")
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")


_CURRICULUM_NUMBERS = tuple(str(number) for number in range(len(CURRICULA)))


class CurriculumNumber(int):
    """``none`` or ``progressive`` from the command line, as its position in CURRICULA.

    fairseq has a --curriculum of its own (the first N epochs are not shuffled), which would refuse a name, and gives the one
    value to both. Plans are shuffled here whatever it says, so this task takes the option over; the number fits both.
    """

    def __new__(cls, value: Any) -> "CurriculumNumber":
        if value in CURRICULA:
            return super().__new__(cls, CURRICULA.index(value))
        if str(value) not in _CURRICULUM_NUMBERS:
            raise argparse.ArgumentTypeError(f"{value!r} is none of {', '.join(CURRICULA)}")
        return super().__new__(cls, int(value))


# Only the parser of the command line reads a field's type from here; the configuration itself stays as fairseq made it.
DatasetConfig.__dataclass_fields__["curriculum"].type = CurriculumNumber


def curriculum_of(cfg: SentenceDistillationConfig) -> Curriculum:
    """The curriculum that the options ask for.

    Raises:
        ConfigError: an unknown name, or no increments or updates for it.
    """
    name = CURRICULA[int(cfg.curriculum)] if str(cfg.curriculum) in _CURRICULUM_NUMBERS else str(cfg.curriculum)
    if name not in CURRICULA:
        raise ConfigError(f"--curriculum {name!r} is none of {', '.join(CURRICULA)}.")
    if name == "none":
        return Curriculum()
    updates = cfg.curriculum_updates or int(cfg.max_update or 0) // 4
    if cfg.curriculum_increments < 2 or updates < 1:
        raise ConfigError(
            f"--curriculum progressive needs at least 2 increments and 1 update, not {cfg.curriculum_increments} and {updates}; "
            "give --curriculum-updates, or --max-update, of which it takes a quarter."
        )
    return Curriculum(cfg.curriculum_increments, updates, str(cfg.curriculum_pacing))
