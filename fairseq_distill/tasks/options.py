"""The options of ``--task sentence_distillation``, and the curriculum they ask for. Registers nothing."""

import argparse
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.configs import DatasetConfig
from omegaconf import II, MISSING

from fairseq_distill import defaults
from fairseq_distill.data.curriculum import BY_UPDATE, CURRICULA, PACINGS, UNITS, Curriculum
from fairseq_distill.data.mask_units import MASK_UNITS
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.manifest import Manifest


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
    epoch_sentences: int = field(
        default=defaults.EPOCH_SENTENCES,
        metadata={
            "help": "sentences distilled in an epoch at the most; a larger corpus is gone through in several, so that memory does not grow with it"
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
    curriculum_pacing: ChoiceEnum(PACINGS) = field(  # type: ignore[valid-type]
        default=defaults.CURRICULUM_PACING,
        metadata={
            "help": "when the parts grow: linear, root (short parts are left sooner) or step by the number of the update; plateau "
            "when validation xsim no longer improves; epoch and mixed show every part of each pair in each epoch"
        },
    )
    curriculum_updates: int = field(
        default=0,
        metadata={
            "help": "update from which on whole sentences are shown; 0: a quarter of --max-update, for plateau a half, for epoch and mixed never"
        },
    )
    curriculum_unit: ChoiceEnum(UNITS) = field(  # type: ignore[valid-type]
        default="words",
        metadata={"help": "what the student's side is cut at: words or pieces; the teacher's is cut at words"},
    )
    curriculum_min_words: int = field(
        default=defaults.CURRICULUM_MIN_WORDS,
        metadata={"help": "least words (or pieces) of the student's side in a part; a shorter part is not shown, >= 1"},
    )
    curriculum_full_share: float = field(
        default=0.0, metadata={"help": "share of the sentences drawn that is shown whole from the start, in [0, 1)"}
    )
    curriculum_mlm: bool = field(
        default=False, metadata={"help": "cut monolingual sentences to the same part; without it they are whole"}
    )
    curriculum_patience: int = field(
        default=defaults.CURRICULUM_PATIENCE,
        metadata={"help": "validations without improvement of xsim after which plateau goes on to the next part"},
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
    init_student_from: Optional[str] = field(
        default=None,
        metadata={
            "help": "student or LASER3 file to start from: its layers, and its rows of pieces that both know; ignored when a training goes on"
        },
    )
    init_force: bool = field(
        default=False,
        metadata={"help": "start also from a student of another teacher's space; its output layer is left out"},
    )
    corpus_weights: str = field(
        default="",
        metadata={
            "help": "weight of the losses of a corpus's sentences or masked pieces, > 0, by its id in the manifest: 'ID=2,ID2=0.5'; the others have 1"
        },
    )
    contrastive_queue: int = field(
        default=defaults.CONTRASTIVE_QUEUE,
        metadata={
            "help": "negatives of the contrastive loss: the teacher's embeddings of so many sentences before the update (LASER3-CO: 4096); 0: of the batch"
        },
    )
    gradient_norm_interval: int = field(
        default=defaults.GRADIENT_NORM_INTERVAL,
        metadata={
            "help": "log each objective's gradient norm every so many updates, at the cost of a backward pass each; 0: never"
        },
    )
    collapse_patience: int = field(
        default=defaults.COLLAPSE_PATIENCE,
        metadata={
            "help": "stop after so many validations in a row, warm-up aside, in which all sentences lie in one place; 0: never"
        },
    )
    seed: int = II("common.seed")
    max_update: int = II("optimization.max_update")
    update_freq: List[int] = II("optimization.update_freq")
    save_dir: str = II("checkpoint.save_dir")
    no_save: bool = II("checkpoint.no_save")
    restore_file: str = II("checkpoint.restore_file")
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    save_interval_updates: int = II("checkpoint.save_interval_updates")
    disable_validation: bool = II("dataset.disable_validation")
    validate_interval: int = II("dataset.validate_interval")
    validate_interval_updates: int = II("dataset.validate_interval_updates")


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
    pacing, updates = str(cfg.curriculum_pacing), int(cfg.curriculum_updates)
    if not updates:
        share = 4 if pacing in BY_UPDATE else 2 if pacing == "plateau" else 0
        updates = int(cfg.max_update or 0) // share if share else 0
    if cfg.curriculum_increments < 2 or (updates < 1 and pacing in BY_UPDATE):
        raise ConfigError(
            f"--curriculum progressive needs at least 2 increments and 1 update, not {cfg.curriculum_increments} and {updates}; "
            "give --curriculum-updates, or --max-update, of which it takes a quarter."
        )
    if pacing == "plateau" and cfg.disable_validation:
        raise ConfigError(
            "--curriculum-pacing plateau goes by validation xsim, which --disable-validation switches off."
        )
    if cfg.curriculum_mlm and str(cfg.mask_unit) == "blocks":
        raise ConfigError("--curriculum-mlm cuts sentences, but --mask-unit blocks joins them; give one of the two.")
    return Curriculum(
        cfg.curriculum_increments,
        updates,
        pacing,
        str(cfg.curriculum_unit),
        cfg.curriculum_min_words,
        cfg.curriculum_full_share,
        cfg.curriculum_mlm,
        cfg.curriculum_patience,
    )


def is_scheduled_validation(cfg: SentenceDistillationConfig, update: int, end_of_epoch: bool, epoch: int) -> bool:
    """Whether a validation after ``update`` follows from the intervals, not from a run that was told to stop there.

    A run that is stopped validates once more, one that goes through does not; what decides by validations must not differ.
    The rule is that of fairseq's ``validate_and_save``.
    """

    def due(interval: int) -> bool:
        return interval > 0 and update % interval == 0

    if end_of_epoch:
        return epoch % max(cfg.validate_interval, 1) == 0 or due(cfg.validate_interval_updates)
    return due(cfg.save_interval_updates) or due(cfg.validate_interval_updates)


def check_watching(cfg: SentenceDistillationConfig) -> None:
    """Raise a ConfigError for a negative number, or for a queue that would have to be embedded anew at every update."""
    for name in ("contrastive_queue", "gradient_norm_interval", "collapse_patience"):
        if getattr(cfg, name) < 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be 0 or more, but is {getattr(cfg, name)}.")
    if cfg.contrastive_queue and cfg.online_teacher:
        raise ConfigError(
            f"--contrastive-queue {cfg.contrastive_queue} needs stored teacher embeddings: --online-teacher would embed so many "
            "sentences again at every update."
        )


def corpus_weights_of(cfg: SentenceDistillationConfig, manifest: Manifest) -> Dict[str, float]:
    """Weight of each corpus that ``--corpus-weights`` names.

    Raises:
        ConfigError: not of the form ID=WEIGHT, a weight that is not above 0, or no corpus has the id.
    """
    known = [corpus.id for corpus in manifest.select("train")]
    weights: Dict[str, float] = {}
    for item in filter(None, (item.strip() for item in str(cfg.corpus_weights).split(","))):
        name, _, text = item.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if not name or not 0 < weight < float("inf"):
            raise ConfigError(
                f"--corpus-weights: {item!r} is not ID=WEIGHT with a weight above 0, such as mafand.eng-swa=2."
            )
        if name not in known:
            raise ConfigError(
                f"--corpus-weights: no training corpus has the id {name!r}; there are {', '.join(known)}."
            )
        weights[name] = weight
    return weights
