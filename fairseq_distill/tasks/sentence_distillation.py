"""``--task sentence_distillation``: corpora of a data directory to batches, and xsim at every validation."""

import logging
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from fairseq import utils
from fairseq.data import Dictionary, FairseqDataset, iterators
from fairseq.tasks import FairseqTask, register_task

from fairseq_distill import defaults
from fairseq_distill.data.corpora import Collection, open_part
from fairseq_distill.data.fairseq_datasets import PlannedBatches, TrainingData, ValidationSets
from fairseq_distill.data.online_teacher import OnlineTeacher
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.embedding.warm_start import Carried
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.collapse import CollapseAlarm
from fairseq_distill.formats.dictionary import MASK, SPECIALS, read_dictionary
from fairseq_distill.formats.manifest import Manifest, Teacher, read_manifest
from fairseq_distill.formats.student_state import student_state
from fairseq_distill.modules.lexical import LexicalPath
from fairseq_distill.modules.memory import keep_freed_memory
from fairseq_distill.tasks.gradient_meter import GradientMeter
from fairseq_distill.tasks.masked_text import mask_policy_of, mask_text_of, masked_apart
from fairseq_distill.tasks.options import (
    SentenceDistillationConfig,
    check_watching,
    corpus_weights_of,
    curriculum_of,
    is_scheduled_validation,
)
from fairseq_distill.tasks.starting import fitted_table, hold_save_dir, require_same_training, resumed_from, start_of
from fairseq_distill.tasks.validation import line_labels, reduce_validation, validate, validation_log

logger = logging.getLogger(__name__)


@register_task("sentence_distillation", dataclass=SentenceDistillationConfig)
class SentenceDistillationTask(FairseqTask):
    """Learn to put a student's sentences where the teacher puts their translations."""

    def __init__(self, cfg: SentenceDistillationConfig, manifest: Manifest, dictionary: Dictionary):
        super().__init__(cfg)
        self.manifest, self.dictionary = manifest, dictionary
        self.directory = Path(cfg.data)
        self.teacher: Teacher = manifest.teacher
        paired = [corpus.lang for corpus in manifest.corpora if corpus.kind != "mask"]
        self.languages, self.own_language = sorted(set(paired)), manifest.own_language()
        self.curriculum = curriculum_of(cfg)
        check_watching(cfg)
        self.corpus_weights = corpus_weights_of(cfg, manifest)
        self.alarm = CollapseAlarm(cfg.collapse_patience)
        self._meter = GradientMeter(cfg.gradient_norm_interval)
        self._batches: Optional[PlannedBatches] = None  # of the epoch in training
        self._observed = 0  # the update of the last validation that decided something

    @classmethod
    def setup_task(cls, cfg: SentenceDistillationConfig, **kwargs: Any) -> "SentenceDistillationTask":
        """The task for a data directory.

        Raises:
            DataError: the directory is not one. ConfigError: contradictory options.
        """
        manifest = read_manifest(cfg.data)
        pieces = read_dictionary(Path(cfg.data) / manifest.dictionary)
        dictionary = Dictionary()
        for piece in [*pieces.symbols[len(SPECIALS) :], MASK]:
            dictionary.add_symbol(piece, overwrite=True)  # what stands twice has two rows, as in LASER's dictionary
        if MASK in pieces.index:
            raise DataError(
                f"{cfg.data}/{manifest.dictionary} holds {MASK}, which the task adds by itself; remove it there."
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
        space = self.teacher.space
        parts = [open_part(self.directory, corpus, self.teacher.dim, increments, space) for corpus in corpora]
        paired = [part for part in parts if part.corpus.kind != "mask"]
        distil = Collection(
            paired, self.cfg.max_length_pieces, self._word_starts(), by_pieces=self.curriculum.unit == "pieces"
        )
        if split == "train":
            mask = mask_text_of(self.cfg, parts, distil.word_start, self.directory)
            self.datasets[split] = TrainingData(
                distil,
                mask,
                self.languages,
                self.teacher.dim,
                self.dictionary.index(MASK),
                mask_policy_of(self.cfg),
                masked_apart(self.cfg),
                self.corpus_weights,
            )
            if self.cfg.online_teacher:
                self._attach_online_teacher(distil)
        else:
            texts = [self.directory / part.corpus.tgt_text if part.corpus.tgt_text else None for part in paired]
            labels = [line_labels(text, len(part.sequences)) for text, part in zip(texts, paired)]
            self.datasets[split] = ValidationSets(
                distil, labels, self.teacher.dim, max_tokens=defaults.EMBED_MAX_TOKENS
            )
        logger.info(
            f"{split} | "
            + " | ".join(f"{part.corpus.kind} {part.corpus.id} {part.corpus.lang} {part.corpus.n:,}" for part in parts)
        )

    def _attach_online_teacher(self, distil: Collection) -> None:
        encoder = open_encoder(self.teacher.spec, own_code=False)
        if encoder.space != self.teacher.space:
            raise DataError(
                f"{self.teacher.spec} now has the space {encoder.space}, the data was prepared with {self.teacher.space}."
            )
        texts = [self.directory / str(part.corpus.tgt_text) for part in distil.parts]
        distil.online = OnlineTeacher(encoder, texts, self.curriculum.increments)

    def _word_starts(self) -> np.ndarray:
        """bool [V], True for pieces that begin a word."""
        return np.array([self.dictionary[i].startswith("\u2581") for i in range(len(self.dictionary))])

    def get_batch_iterator(self, dataset: FairseqDataset, max_tokens: Optional[int] = None, max_sentences: Optional[int] = None,
                           seed: int = 1, num_shards: int = 1, shard_id: int = 0, num_workers: int = 0, epoch: int = 1,
                           data_buffer_size: int = 0, skip_remainder_batch: bool = False, **kwargs: Any) -> iterators.EpochBatchIterator:  # fmt: skip
        """Batches of an epoch: planned for training, one a valid set for validation. fairseq's signature; the rest is ignored."""
        options = dict(
            seed=seed,
            num_shards=num_shards,
            shard_id=shard_id,
            num_workers=num_workers,
            # Not ahead in a thread with a teacher in it: its own threads would outlive the interpreter.
            buffer_size=0 if self.cfg.online_teacher else data_buffer_size,
            skip_remainder_batch=skip_remainder_batch,
        )
        if not isinstance(dataset, TrainingData):
            items = [[number] for number in range(len(dataset))]
            return iterators.EpochBatchIterator(
                dataset, dataset.collater, items, epoch=epoch, disable_shuffling=True, **options
            )
        if not max_tokens:
            raise ConfigError("--max-tokens (pieces in a batch) must be given.")
        planner = (
            self._batches.planner
            if self._batches
            else self._new_planner(dataset, num_shards, max_tokens, max_sentences)
        )
        self._batches = PlannedBatches(dataset, planner, epoch, **options)
        return self._batches

    def _new_planner(
        self, data: TrainingData, processes: int, max_tokens: int, max_sentences: Optional[int]
    ) -> EpochPlanner:
        return EpochPlanner(
            data.distil,
            data.mask,
            self.curriculum,
            self.cfg.sampling_temperature,
            self.cfg.mask_share,
            self.cfg.seed,
            processes,
            self.cfg.update_freq,
            max_tokens,
            max_sentences or 1 << 30,
            self.cfg.tlm_share,
            self.cfg.self_share,
            free_updates=not self.cfg.curriculum_updates,
            queue=self.cfg.contrastive_queue,
            epoch_sentences=self.cfg.epoch_sentences,
        )

    # --- training and validation

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """The student; a new one is filled from --init-student-from, and its lexical path is fitted to the training pairs."""
        model = super().build_model(cfg, from_checkpoint)
        if from_checkpoint or not self.manifest.select("train"):
            return model
        if not torch.cuda.is_available():
            keep_freed_memory()
        self._lock = hold_save_dir(self.cfg.save_dir, self.cfg.no_save)
        last = resumed_from(self.cfg.save_dir, self.cfg.restore_file, self.cfg.finetune_from_model)
        if last is not None:
            require_same_training(last, self.manifest, self.dictionary.symbols)
            return model
        carried = start_of(self.cfg, model, self.dictionary.symbols, self.teacher.space)
        if model.fit_lexical_path:
            self._fit_lexical_path(model.encoder.lexical, cfg.lexical_ridge, carried)
        return model

    def _fit_lexical_path(self, path: LexicalPath, ridge: float, carried: Optional[Carried]) -> None:
        self.load_dataset("train")
        table, occurs = fitted_table(
            self.datasets["train"].distil,
            self.directory,
            self.curriculum.increments,
            self.teacher.dim,
            len(self.dictionary),
            ridge,
            self.cfg.self_share,
            self.cfg.seed,
        )
        if carried and carried.lexical:  # of a piece that these pairs do not show, the start knows more
            kept = carried.rows & ~occurs
            table[kept] = path.contributions()[kept]
            logger.info(
                f"lexical path | {int(kept.sum()):,} rows as they were: pieces that the training pairs do not show"
            )
        path.set_table(table)

    def train_step(self, sample: Dict[str, Any], model: Any, criterion: Any, optimizer: Any, update_num: int,
                   ignore_grad: bool = False, **kwargs: Any) -> Tuple[torch.Tensor, float, Dict[str, Any]]:  # fmt: skip
        """fairseq's step. A filler, for a process that has run out of batches, takes part and counts for nothing."""
        self._meter.before_batch(sample, model, criterion, update_num)
        ignored = ignore_grad or sample["filler"]
        loss, size, log = super().train_step(sample, model, criterion, optimizer, update_num, ignored, **kwargs)
        if sample["filler"]:
            size, log = 0.0, {key: value * 0 for key, value in log.items()}
        return loss, size, log

    def optimizer_step(self, optimizer: Any, model: Any, update_num: int) -> None:
        """fairseq's step, and what is to be known about the update."""
        super().optimizer_step(optimizer, model, update_num)
        self._meter.after_update()
        self.alarm.saw_update(optimizer.get_lr())

    def valid_step(
        self, sample: Dict[str, Any], model: Any, criterion: Any
    ) -> Tuple[torch.Tensor, int, Dict[str, Any]]:
        """One whole valid set: mean distance to the teacher, and xsim with three margins."""
        model.eval()
        if "batches" not in sample:  # a dummy for a process without a set of its own; fairseq ignores what it gives
            sample = _beside(self.datasets["valid"][0], model)
        with torch.no_grad():
            result = validate(model, sample, self.cfg.xsim_k)
        log = validation_log(result, sample, self.datasets["valid"].collection.languages())
        return torch.tensor(log["loss"]), log["sample_size"], log

    def reduce_metrics(self, logging_outputs: List[Dict[str, Any]], criterion: Any) -> None:
        """fairseq's speeds, the criterion's means, and xsim as a mean over valid sets, in all and for each language."""
        super().reduce_metrics(logging_outputs, criterion)
        reduce_validation(logging_outputs, str(self.cfg.xsim_margin))

    def post_validate(self, model: Any, stats: Dict[str, Any], agg: Any) -> None:
        """fairseq's hook after a validation, on every process alike: the curriculum takes note of xsim, the alarm of collapse."""
        batches, update = self._batches, int(stats["num_updates"])
        if batches is None or update <= self._observed:  # once, however many valid subsets there are
            return
        if is_scheduled_validation(self.cfg, update, batches.end_of_epoch(), batches.epoch):
            self._observed = update
            if self.curriculum.pacing == "plateau":
                batches.observe(float(stats["xsim"]))
            self.alarm.saw_validation(float(stats["relative_variance"]), float(stats["mean_cosine"]))

    # --- what travels in the checkpoint

    def state_dict(self) -> Dict[str, Any]:
        """What makes a checkpoint enough to encode text: SentencePiece model, dictionary, normaliser, teacher, languages."""
        spm = (self.directory / self.manifest.spm).read_bytes()
        student = student_state(spm, self.dictionary.symbols, self.manifest, self.cfg.max_length_pieces)
        return {"student": student, "collapse": self.alarm.state_dict()}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """The alarm's state; the curriculum's is in the iterator. A checkpoint of an earlier version has none."""
        if "collapse" in state_dict:
            self.alarm.load_state_dict(state_dict["collapse"])


def _beside(sample: Dict[str, Any], model: Any) -> Dict[str, Any]:
    """The sample on the model's device."""
    return utils.move_to_cuda(sample) if next(model.parameters()).is_cuda else sample
