"""A student checkpoint as a SentenceEncoder: plain PyTorch, no fairseq, one file is enough."""

import hashlib
from functools import cached_property
from typing import Any, Dict, List, Sequence, Union

import numpy as np
import torch
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.encoder import batches_by_length
from fairseq_distill.errors import CheckpointError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.dictionary import PAD
from fairseq_distill.formats.student_state import StudentState, read_student_state
from fairseq_distill.modules.checkpoint_file import load_checkpoint, understood
from fairseq_distill.modules.device import choose_device, may_use_bfloat16
from fairseq_distill.modules.int8 import require_int8
from fairseq_distill.modules.memory import keep_freed_memory
from fairseq_distill.modules.packed_student import PackedStudent
from fairseq_distill.modules.precision import autocast
from fairseq_distill.modules.threads import spread
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder
from fairseq_distill.text import NORMALISER, StudentTokenizer

_PREFIX = "encoder."
# Of a batch on a CPU, at most: threads take batches, so that a text must have many, and what a layer adds up stays in the cache.
_CPU_TOKENS = {"float32": 2048, "bfloat16": 2048, "int8": 512}


class Student:
    """A trained student; see :class:`fairseq_distill.encoder.SentenceEncoder`.

    Args:
        model: the encoder, in evaluation mode.
        state: the text path and space that travelled in its checkpoint.
        name: its fingerprint.
        device: where it runs.
        precision: ``auto``, ``float32``, ``bfloat16``, or on a CPU ``int8``.
        max_tokens: bound on the padded pieces of a batch.
        source: where its SentencePiece model comes from, for errors.
    """

    def __init__(
        self,
        model: StudentEncoder,
        state: StudentState,
        name: str,
        device: torch.device,
        precision: str,
        max_tokens: int,
        source: object = "",
    ):
        self.model, self.state, self.name = model.to(device).eval(), state, name
        self.space, self.dim = state.teacher.space, model.shape.output_dim
        self.pooling, self.normaliser = model.shape.pooling, state.normaliser
        self.tokenizer = StudentTokenizer(state.spm, state.dictionary, source)
        self.device, self.precision = device, _precision_on(device, precision)
        self.max_tokens = min(max_tokens, _CPU_TOKENS[self.precision]) if device.type == "cpu" else max_tokens

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        return self.encode_prepared(self.prepare(sentences))

    def prepare(self, sentences: Sequence[str]) -> List[np.ndarray]:
        """The ids of each sentence; the part of :meth:`encode` that can run in another thread."""
        return self.tokenizer.encode(sentences, self.state.max_length_pieces, self.state.prepend_bos)

    def encode_prepared(self, prepared: List[np.ndarray]) -> np.ndarray:
        """float32 [N, E] for ids of N sentences."""
        rows = np.empty((len(prepared), self.dim), dtype=np.float32)
        lengths = np.array([len(ids) for ids in prepared], dtype=np.int64)

        @torch.inference_mode()
        def embed(chosen: np.ndarray) -> None:
            rows[chosen] = self._embed([prepared[index] for index in chosen]).cpu().numpy()

        batches = batches_by_length(lengths, self.max_tokens)
        if self.device.type == "cpu":
            self._packed  # made once, not by every thread
            spread(embed, batches)
        else:
            for chosen in batches:
                embed(chosen)
        return rows

    def _embed(self, sentences: List[np.ndarray]) -> Tensor:
        if self.device.type == "cpu":
            return self._packed(sentences)
        with autocast(self.device, self.precision):
            return self.model(_padded(sentences).to(self.device))

    @cached_property
    def _packed(self) -> PackedStudent:
        keep_freed_memory()  # mapping the blocks of some megabytes between the products anew would take a sixth of the time
        return PackedStudent(self.model, self.precision)


def _precision_on(device: torch.device, wanted: str) -> str:
    if wanted == "int8":
        require_int8(device)
        return wanted
    return "bfloat16" if may_use_bfloat16(device, wanted) else "float32"


def _padded(sentences: List[np.ndarray]) -> Tensor:
    """int64 [B, T]."""
    lengths = np.array([len(ids) for ids in sentences])
    inside = np.arange(lengths.max()) < lengths[:, None]  # [B, T]
    tokens = np.full(inside.shape, PAD, dtype=np.int64)
    tokens[inside] = np.concatenate(sentences)
    return torch.from_numpy(tokens)


def load_student(
    path: PathLike,
    device: Union[str, torch.device, None] = None,
    precision: str = "auto",
    max_tokens: int = defaults.EMBED_MAX_TOKENS,
) -> Student:
    """:func:`student_of` what is in a checkpoint file."""
    return student_of(load_checkpoint(path), path, device, precision, max_tokens)


def is_student(content: Dict[str, Any]) -> bool:
    """Whether a checkpoint is of this project."""
    task_state = content.get("task_state")
    return isinstance(task_state, dict) and "student" in task_state


def student_of(
    content: Dict[str, Any],
    path: PathLike,
    device: Union[str, torch.device, None] = None,
    precision: str = "auto",
    max_tokens: int = defaults.EMBED_MAX_TOKENS,
) -> Student:
    """The student of a checkpoint that ``fairseq-train --task sentence_distillation`` wrote.

    Args:
        content: what the checkpoint holds.
        path: where it comes from, for errors.
        device: ``cpu``, ``cuda``, ``cuda:1``; None or ``auto``: the first GPU when there is one.
        precision: ``float32``, ``bfloat16``, ``int8`` (on a CPU), or ``auto``: bfloat16 where the device multiplies it in hardware.
        max_tokens: bound on the padded pieces of a batch.

    Raises:
        CheckpointError: not a student, damaged, or of a text normalisation that this version does not have.
    """
    if not is_student(content):
        raise CheckpointError(
            f"{path} is not a student of this project: it carries no SentencePiece model and dictionary. "
            "Train with --task sentence_distillation."
        )
    with understood(path):
        return _student_of(content, path, device, precision, max_tokens)


def _student_of(
    content: Dict[str, Any], path: PathLike, device: Union[str, torch.device, None], precision: str, max_tokens: int
) -> Student:
    state = read_student_state(content["task_state"]["student"], path)
    if state.normaliser != NORMALISER:
        raise CheckpointError(
            f"{path} was trained on text of normaliser {state.normaliser}; this version has {NORMALISER} and would drift from it."
        )
    weights = {key[len(_PREFIX) :]: value.float() for key, value in content["model"].items() if key.startswith(_PREFIX)}
    shape = _shape(content["cfg"]["model"], weights, state, path)
    require_fitting(shape, weights, path)
    model = StudentEncoder(shape)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: weights and configuration do not fit ({' '.join(str(error).split())[:300]})."
        ) from error
    return Student(
        model, state, fingerprint("student", weights, state), choose_device(device), precision, max_tokens, path
    )


def _shape(cfg: Dict[str, Any], weights: Dict[str, Tensor], state: StudentState, path: PathLike) -> EncoderShape:
    rows = weights["embed_tokens.weight"].size(0) if "embed_tokens.weight" in weights else 0
    if rows != len(state.dictionary):
        raise CheckpointError(
            f"{path} has {rows:,} rows of embeddings but a dictionary of {len(state.dictionary):,} symbols."
        )
    with understood(path):
        return EncoderShape(
            vocabulary=rows,
            dim=cfg["encoder_embed_dim"],
            ffn_dim=cfg["encoder_ffn_embed_dim"],
            layers=cfg["encoder_layers"],
            heads=cfg["encoder_attention_heads"],
            output_dim=state.teacher.dim,
            pooling=state.teacher.pooling if cfg["pooling"] == "auto" else cfg["pooling"],
            pre_norm=cfg["layer_norm"] == "pre",
            activation=cfg["activation_fn"],
            max_positions=state.max_length_pieces,
            padding=PAD,
            lexical="lexical.table.weight" in weights,
            final_norm="layer_norm.weight" in weights,
        )


def require_fitting(shape: EncoderShape, weights: Dict[str, Tensor], path: PathLike) -> None:
    """Raise a CheckpointError where a shape is not that of the weights, before memory is taken for what it asks for."""
    layers = len({name.split(".")[1] for name in weights if name.startswith("layers.")})
    rows, dim = weights["embed_tokens.weight"].shape
    ffn_dim = weights["layers.0.fc1.weight"].size(0) if layers else shape.ffn_dim
    output_dim = weights["projection.weight"].size(0) if "projection.weight" in weights else dim
    found = {"vocabulary": rows, "dim": dim, "ffn_dim": ffn_dim, "layers": layers, "output_dim": output_dim}
    for name, number in found.items():
        if getattr(shape, name) != number:
            raise CheckpointError(
                f"{path}: weights and configuration do not fit: {name} is {getattr(shape, name):,}, but the weights have {number:,}."
            )


def fingerprint(kind: str, weights: Dict[str, Tensor], state: StudentState) -> str:
    """``kind:`` and 16 hexadecimal digits of what decides an encoder's vectors."""
    digest = hashlib.sha256(state.spm + state.dictionary.text.encode("utf-8") + state.normaliser.encode("ascii"))
    for key in sorted(weights):
        digest.update(key.encode("ascii"))
        digest.update(weights[key].contiguous().numpy().tobytes())
    return f"{kind}:{digest.hexdigest()[:16]}"
