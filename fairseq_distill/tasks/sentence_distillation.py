"""``--task sentence_distillation``: corpora of a data directory to batches, and xsim at every validation."""

import argparse
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from fairseq import utils
from fairseq.data import Dictionary, FairseqDataset, iterators
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.dataclass.configs import DatasetConfig
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask, register_task
from omegaconf import II, MISSING

from fairseq_distill import defaults
from fairseq_distill.data.corpora import Collection, open_part
from fairseq_distill.data.curriculum import CURRICULA, PACINGS, Curriculum
from fairseq_distill.data.fairseq_datasets import PlannedEpoch, TrainingData, ValidationSets
from fairseq_distill.data.masking import MaskPolicy
from fairseq_distill.data.online_teacher import OnlineTeacher
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.xsim import xsim_margins
from fairseq_distill.formats.dictionary import MASK, SPECIALS, read_dictionary
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import Manifest, Teacher, read_manifest
from fairseq_distill.formats.student_state import student_state
from fairseq_distill.modules.lexical import fit_lexical_table
from fairseq_distill.modules.losses import cosine_distillation_loss

logger = logging.getLogger(__name__)


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


@register_task("sentence_distillation", dataclass=SentenceDistillationConfig)
class SentenceDistillationTask(FairseqTask):
    """Learn to put a student's sentences where the teacher puts their translations."""

    def __init__(self, cfg: SentenceDistillationConfig, manifest: Manifest, dictionary: Dictionary):
        super().__init__(cfg)
        self.manifest, self.dictionary = manifest, dictionary
        self.directory = Path(cfg.data)
        self.teacher: Teacher = manifest.teacher
        paired = [corpus.lang for corpus in manifest.corpora if corpus.kind != "mask"]
        self.languages = sorted(set(paired))
        self.curriculum = _curriculum(cfg)
        self._planner: Optional[EpochPlanner] = None
        self._first_batch: Dict[str, Any] = {}

    @classmethod
    def setup_task(cls, cfg: SentenceDistillationConfig, **kwargs: Any) -> "SentenceDistillationTask":
        """The task for a data directory.

        Raises:
            DataError: the directory is not one. ConfigError: contradictory options.
        """
        manifest = read_manifest(cfg.data)
        pieces = read_dictionary(Path(cfg.data) / manifest.dictionary)
        dictionary = Dictionary()
        for piece in pieces.symbols[len(SPECIALS) :]:
            dictionary.add_symbol(piece)
        dictionary.add_symbol(MASK)
        if len(dictionary) != len(pieces) + 1:
            raise DataError(
                f"{cfg.data}/{manifest.dictionary} repeats {len(pieces) + 1 - len(dictionary)} of its {len(pieces):,} symbols."
            )
        return cls(cfg, manifest, dictionary)

    @property
    def source_dictionary(self) -> Dictionary:
        return self.dictionary

    @property
    def target_dictionary(self) -> Optional[Dictionary]:
        return None

    def max_positions(self) -> int:
        return self.cfg.max_length_pieces

    # --- data

    def load_dataset(self, split: str, combine: bool = False, task_cfg: Any = None, **kwargs: Any) -> None:
        """Open the corpora of ``train`` or ``valid``; memory-mapped, so at once for any size."""
        corpora = self.manifest.select(split) if split in ("train", "valid") else []
        if not any(corpus.kind != "mask" for corpus in corpora):
            hint = " Train without validation: --disable-validation." if split == "valid" else ""
            raise DataError(f"{self.directory} has no sentence pairs for {split!r}.{hint}")
        increments = self.curriculum.increments if split == "train" else 1
        if self.cfg.online_teacher:
            increments = 1
        parts = [open_part(self.directory, corpus, self.teacher.dim, increments) for corpus in corpora]
        paired = [part for part in parts if part.corpus.kind != "mask"]
        distil = Collection(paired, self.cfg.max_length_pieces, self._word_starts())
        if split == "train":
            mask = Collection(
                [part for part in parts if part.corpus.kind == "mask"], self.cfg.max_length_pieces, self._word_starts()
            )
            policy = MaskPolicy(self.cfg.mask_probability, self.cfg.mask_leave_unmasked, self.cfg.mask_random)
            self.datasets[split] = TrainingData(
                distil, mask, self.languages, self.teacher.dim, self.dictionary.index(MASK), policy
            )
            if self.cfg.online_teacher:
                self._attach_online_teacher(distil)
        else:
            labels = [self._labels(part.corpus.tgt_text, len(part.sequences)) for part in paired]
            self.datasets[split] = ValidationSets(
                distil, labels, self.teacher.dim, max_tokens=defaults.EMBED_MAX_TOKENS
            )
        logger.info(
            f"{split} | "
            + " | ".join(f"{part.corpus.kind} {part.corpus.id} {part.corpus.lang} {part.corpus.n:,}" for part in parts)
        )

    def _attach_online_teacher(self, distil: Collection) -> None:
        encoder = open_encoder(self.teacher.spec)
        if encoder.space != self.teacher.space:
            raise DataError(
                f"{self.teacher.spec} now has the space {encoder.space}, the data was prepared with {self.teacher.space}."
            )
        texts = [self.directory / str(part.corpus.tgt_text) for part in distil.parts]
        distil.online = OnlineTeacher(encoder, texts, self.curriculum.increments)

    def _word_starts(self) -> np.ndarray:
        """bool [V], True for pieces that begin a word."""
        return np.array([self.dictionary[i].startswith("\u2581") for i in range(len(self.dictionary))])

    def _labels(self, text: Optional[str], n: int) -> np.ndarray:
        """int64 [n], equal numbers for equal teacher-side lines, so that a repeated line is not an error of xsim."""
        if text is None:
            return np.arange(n)
        first: Dict[str, int] = {}
        return np.array(
            [first.setdefault(line, len(first)) for line in read_lines(self.directory / text)], dtype=np.int64
        )

    def get_batch_iterator(self, dataset: FairseqDataset, max_tokens: Optional[int] = None, max_sentences: Optional[int] = None,
                           seed: int = 1, num_shards: int = 1, shard_id: int = 0, num_workers: int = 0, epoch: int = 1,
                           data_buffer_size: int = 0, skip_remainder_batch: bool = False, **kwargs: Any) -> iterators.EpochBatchIterator:  # fmt: skip
        """Batches of an epoch: planned for training, one a valid set for validation. fairseq's signature; the rest is ignored."""
        items: FairseqDataset = dataset
        if isinstance(dataset, TrainingData):
            if not max_tokens:
                raise ConfigError("--max-tokens (pieces in a batch) must be given.")
            if self._planner is None:
                self._planner = EpochPlanner(
                    dataset.distil,
                    dataset.mask,
                    self.curriculum,
                    self.cfg.sampling_temperature,
                    self.cfg.mask_share,
                    self.cfg.seed,
                    num_shards,
                    self.cfg.update_freq,
                    max_tokens,
                    max_sentences or 1 << 30,
                )
            plan = self._planner.plan(epoch)
            items = PlannedEpoch(dataset, plan, self.curriculum.increments, (self.cfg.seed, epoch))
            self._first_batch = items[0]
        return iterators.EpochBatchIterator(
            dataset=items,
            collate_fn=items.collater,
            batch_sampler=[[number] for number in range(len(items))],
            seed=seed,
            num_shards=num_shards,
            shard_id=shard_id,
            num_workers=num_workers,
            epoch=epoch,
            # Not ahead in a thread with a teacher in it: its own threads would outlive the interpreter.
            buffer_size=0 if self.cfg.online_teacher else data_buffer_size,
            disable_shuffling=True,  # the plan's order is the order
            skip_remainder_batch=skip_remainder_batch,
        )

    # --- training and validation

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """The student; a new one with a lexical path has it fitted to the training pairs."""
        model = super().build_model(cfg, from_checkpoint)
        last = Path(self.cfg.save_dir) / self.cfg.restore_file
        if (
            model.encoder.lexical is not None
            and not from_checkpoint
            and not last.exists()
            and self.manifest.select("train")
        ):
            self._fit_lexical_path(model.encoder, cfg.lexical_ridge)
        return model

    def _fit_lexical_path(self, encoder: Any, ridge: float) -> None:
        self.load_dataset("train")
        pairs: Collection = self.datasets["train"].distil
        n = int(pairs.firsts[-1])
        chosen = np.random.default_rng(self.cfg.seed).permutation(n)[: defaults.LEXICAL_SENTENCES]
        chosen.sort()
        tokens, lengths = pairs.flat(chosen)
        teacher = pairs.teacher(chosen, self.curriculum.increments, self.teacher.dim)
        table = fit_lexical_table(
            torch.from_numpy(tokens), torch.from_numpy(lengths), torch.from_numpy(teacher), len(self.dictionary), ridge
        )
        encoder.lexical.set_table(table)

    def train_step(self, sample: Dict[str, Any], model: Any, *args: Any, **kwargs: Any) -> Any:
        """fairseq's step. A process that has run out of batches is given the last dummy, which may be a valid set."""
        if "net_input" not in sample:
            sample = _beside(self._first_batch, model)
        return super().train_step(sample, model, *args, **kwargs)

    def valid_step(
        self, sample: Dict[str, Any], model: Any, criterion: Any
    ) -> Tuple[torch.Tensor, int, Dict[str, Any]]:
        """One whole valid set: mean distance to the teacher, and xsim with three margins."""
        model.eval()
        if (
            "batches" not in sample
        ):  # a dummy for a process without a valid set of its own; fairseq ignores what it gives
            sample = _beside(self.datasets["valid"][0], model)
        with torch.no_grad():
            result = _validate(model, sample, self.cfg.xsim_k)
        n = sample["nsentences"]
        log: Dict[str, Any] = {
            "loss": result["distil"] * n,
            "sample_size": n,
            "nsentences": n,
            "ntokens": sample["ntokens"],
        }
        for number, part in enumerate(self.datasets["valid"].collection.parts):
            here = 1.0 if number == sample["valid_set"] else 0.0
            log[f"sets_{number}_{part.corpus.lang}"] = here
            for key in ("xsim_absolute", "xsim_distance", "xsim_ratio", "collapse"):
                log[f"{key}_{number}_{part.corpus.lang}"] = here * result[key]
        return torch.tensor(log["loss"]), n, log

    def reduce_metrics(self, logging_outputs: List[Dict[str, Any]], criterion: Any) -> None:
        """fairseq's speeds, the criterion's means, and xsim as a mean over valid sets, in all and for each language."""
        super().reduce_metrics(logging_outputs, criterion)
        for key in logging_outputs[0] if logging_outputs else ():
            if not key.startswith("sets_"):
                continue
            sets = sum(float(log[key]) for log in logging_outputs)
            if not sets:
                continue
            suffix = key[len("sets_") :]
            language = suffix.split("_", 1)[1]
            for margin in ("absolute", "distance", "ratio"):
                percent = sum(float(log[f"xsim_{margin}_{suffix}"]) for log in logging_outputs) / sets
                metrics.log_scalar(f"xsim_{margin}", percent, sets, round=2)
                if margin == str(self.cfg.xsim_margin):
                    metrics.log_scalar("xsim", percent, sets, round=2)
                    metrics.log_scalar(f"xsim_{language}", percent, sets, round=2)
            collapse = sum(float(log[f"collapse_{suffix}"]) for log in logging_outputs) / sets
            metrics.log_scalar("mean_cosine", collapse, sets, round=4)

    # --- what travels in the checkpoint

    def state_dict(self) -> Dict[str, Any]:
        """What makes a checkpoint enough to encode text: SentencePiece model, dictionary, normaliser, teacher, languages."""
        spm = (self.directory / self.manifest.spm).read_bytes()
        return {"student": student_state(spm, self.dictionary.symbols, self.manifest, self.cfg.max_length_pieces)}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Nothing to restore: the state of training is a function of the update number."""


def _beside(sample: Dict[str, Any], model: Any) -> Dict[str, Any]:
    """The sample on the model's device."""
    return utils.move_to_cuda(sample) if next(model.parameters()).is_cuda else sample


def _validate(model: Any, sample: Dict[str, Any], k: int) -> Dict[str, float]:
    """Mean distance to the teacher, xsim in percent with three margins, and the mean cosine between different sentences."""
    teacher = sample["teacher"].float()
    student = torch.empty_like(teacher)
    for batch in sample["batches"]:
        student[batch["rows"]] = model(batch["src_tokens"], len(batch["rows"]))["embedding"].to(student)
    result = {"distil": float(cosine_distillation_loss(student, teacher).mean())}
    if not torch.isfinite(student).all():
        raise DataError("The student's embeddings hold NaN or infinity: lower --lr or raise --warmup-updates.")
    found = xsim_margins(
        student.cpu().numpy(), teacher.cpu().numpy(), k=k, labels=sample["labels"].cpu().numpy(), precision="float32"
    )
    result.update({f"xsim_{margin}": each.percent for margin, each in found.items()})
    unit, n = torch.nn.functional.normalize(student, dim=1), len(student)
    # The cosines of all pairs add up to the squared length of the sum; near 1 means that all sentences lie on one point.
    result["collapse"] = float((unit.sum(0).square().sum() - n) / (n * (n - 1))) if n > 1 else 0.0
    return result


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


def _curriculum(cfg: SentenceDistillationConfig) -> Curriculum:
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
