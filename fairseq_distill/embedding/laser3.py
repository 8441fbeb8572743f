"""LASER3 checkpoints, as LASER publishes them and as the fairseq ``nllb`` branch writes them, as our student.

Two layouts of ``model``: stripped (``embed_tokens.weight``, ``layers.N.…``), or the whole training checkpoint, known by
``decoder.version``, with ``encoder.`` before the names and with MLM and decoder heads that no embedding passes through.
A post-norm encoder that was trained with MLM has a layer norm after its last layer, and a row for ``<mask>``: the head's
norm took the place of the encoder's, so embeddings go through it. Padding on the left or right gives the same vectors
(positions are counted from a sentence's first piece), so ``left_pad_source`` needs no heed.
Source: facebookresearch/LASER, ``LaserTransformerEncoder``; facebookresearch/fairseq, branch ``nllb``.
"""

import logging
import math
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor

from fairseq_distill import defaults
from fairseq_distill.embedding.student import Student, fingerprint, is_student
from fairseq_distill.errors import CheckpointError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.dictionary import MASK, PAD, Dictionary, fit_to_rows, read_dictionary
from fairseq_distill.formats.laser_files import laser_files
from fairseq_distill.formats.manifest import Teacher
from fairseq_distill.formats.student_state import StudentState
from fairseq_distill.modules.checkpoint_file import understood
from fairseq_distill.modules.device import choose_device
from fairseq_distill.modules.transformer import LONGEST_SENTENCE, EncoderShape, StudentEncoder
from fairseq_distill.teachers.laser2 import space_beside
from fairseq_distill.text import NORMALISER

logger = logging.getLogger(__name__)

_TRAINING = "decoder.version"  # the key by which LASER knows a training checkpoint
_PREFIX = "encoder."
# What LASER keeps of a training checkpoint; heads of whatever name are left out.
_KEPT = tuple(f"{_PREFIX}{name}" for name in ("layer_norm", "layers", "embed", "version"))
# What a checkpoint holds beside what an embedding passes through: buffers without values, and the MLM head.
_IGNORED = ("version", "embed_positions._float_tensor", "project_vocabulary.", "lm_head_transform_weight.")
# fairseq's own defaults stand in for what the configuration leaves out.
_HEADS, _POSITIONS = 8, 1024
# Options of fairseq's encoder that this one has not, and what it would take.
_UNSUPPORTED = {
    "encoder_learned_pos": "learned positions",
    "no_token_positional_embeddings": "no positions",
    "layernorm_embedding": "a layer norm after the embeddings",
    "adaptive_input": "adaptive input",
    "char_inputs": "characters as input",
}


class _Parts(NamedTuple):
    """A checkpoint, understood."""

    shape: EncoderShape
    weights: Dict[str, Tensor]  # by our names
    dictionary: Dictionary
    prepend_bos: bool


def is_laser3(content: Dict[str, Any]) -> bool:
    """Whether a checkpoint holds a fairseq transformer encoder with its configuration, and is no student of ours."""
    model = content.get("model")
    if not isinstance(model, dict) or is_student(content):
        return False
    return any(f"{prefix}layers.0.self_attn.q_proj.weight" in model for prefix in ("", _PREFIX))


def laser3_of(
    content: Dict[str, Any],
    path: PathLike,
    device: Union[str, torch.device, None] = None,
    precision: str = "auto",
    max_tokens: int = defaults.EMBED_MAX_TOKENS,
    spm: Optional[PathLike] = None,
    cvocab: Optional[PathLike] = None,
    space: Optional[str] = None,
) -> Student:
    """A LASER3 checkpoint as an encoder.

    Args:
        content: what the checkpoint holds.
        path: where it comes from; its vocabulary is looked for beside it.
        device, max_tokens: as of :func:`fairseq_distill.embedding.student.student_of`.
        precision: ``auto`` is float32 here, LASER's own.
        spm, cvocab: the vocabulary, see :func:`fairseq_distill.formats.laser_files.laser_files`.
        space: fingerprint of the teacher space. If not given, what ``fairseq-export`` noted in the file; else that of
            ``laser2.pt`` beside the checkpoint when it is there; else a space of its own, since LASER's files do not say who
            their teacher was.

    Raises:
        ConfigError: a file of the vocabulary is missing.
        CheckpointError: tensors, configuration and vocabulary do not fit each other, or it is another encoder.
    """
    spm_file, cvocab_file = laser_files(path, spm, cvocab)
    with understood(path):
        parts = _understand(content, path, cvocab_file)
        shape, bos = parts.shape, parts.prepend_bos
        model = StudentEncoder(shape)
    try:
        model.load_state_dict(parts.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: tensors do not fit a LASER3 encoder ({' '.join(str(error).split())[:300]})."
        ) from error
    teacher = Teacher("laser2", "", shape.dim, "max", "eng")
    # Where cls is pooled, the student puts BOS before a sentence itself.
    tokenised = bos and shape.pooling != "cls"
    spm_bytes = spm_file.read_bytes()
    state = StudentState(
        spm_bytes, parts.dictionary, NORMALISER, teacher, _languages(path), shape.max_positions, tokenised
    )
    name = fingerprint(f"laser3-{shape.pooling}{'-bos' if bos else ''}", parts.weights, state)
    teacher.space = space or _own_space(content) or space_beside(path) or name
    if teacher.space == name:
        logger.info(f"{path} says nothing of its teacher's space: put laser2.pt beside it, or name it with ?space=NAME")
    place = choose_device(device)
    student = Student(model, state, name, place, "float32" if precision == "auto" else precision, max_tokens, spm_file)
    logger.info(f"{name} | {shape.layers} layers x {shape.dim} | pooling {shape.pooling} | space {teacher.space}")
    return student


def _understand(content: Dict[str, Any], path: PathLike, cvocab: Path) -> _Parts:
    cfg, tensors = configuration(content, path), _own_tensors(content["model"], path)
    for option, what in _UNSUPPORTED.items():
        if cfg.get(option):
            raise CheckpointError(f"{path} has {what} ({option}), which is not supported.")
    pooling = _pooling(cfg, path)
    weights = _convert(tensors, path)
    rows, dim = tensors["embed_tokens.weight"].shape
    if cfg.get("no_scale_embedding"):
        weights["embed_tokens.weight"] = weights["embed_tokens.weight"] / math.sqrt(dim)  # ours are scaled
    layers = len({name.split(".")[1] for name in weights if name.startswith("layers.")})
    found = {
        "encoder_layers": layers,
        "encoder_embed_dim": dim,
        "encoder_ffn_embed_dim": weights["layers.0.fc1.weight"].size(0),
    }
    for option, number in found.items():
        if cfg.get(option, number) != number:
            raise CheckpointError(
                f"{path} says {option} {cfg[option]:,}, but its tensors say {number:,}; it is damaged."
            )
    try:
        shape = EncoderShape(
            vocabulary=rows,
            dim=dim,
            ffn_dim=found["encoder_ffn_embed_dim"],
            layers=layers,
            heads=int(cfg.get("encoder_attention_heads", _HEADS)),
            output_dim=dim,
            pooling=pooling,
            pre_norm=bool(cfg.get("encoder_normalize_before", False)),
            activation=str(cfg.get("activation_fn") or "relu"),
            max_positions=min(int(cfg.get("max_source_positions") or _POSITIONS), LONGEST_SENTENCE),
            padding=PAD,
            final_norm="layer_norm.weight" in weights,
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} describes no encoder that is supported ({error}).") from error
    listed = read_dictionary(cvocab)
    dictionary = fit_to_rows(listed, rows, cvocab, path)
    if shape.final_norm and not shape.pre_norm and MASK not in dictionary.index:
        raise CheckpointError(
            f"{path} has the layer norm of MLM training and so a row for {MASK}: of its {rows:,} rows {rows - 1:,} are "
            f"pieces, but {cvocab} makes {len(listed):,} symbols. They belong to different encoders."
        )
    return _Parts(shape, weights, dictionary, bool(cfg.get("prepend_bos", False)))


def configuration(content: Dict[str, Any], path: PathLike) -> Dict[str, Any]:
    """The model's options: ``cfg["model"]``, a Namespace or a dict; or ``args`` of older files.

    fairseq's nested configuration (``encoder: {layers: 12}``) is read as the flat one (``encoder_layers: 12``).

    Raises:
        CheckpointError: there are none.
    """
    cfg = content.get("cfg")
    found = cfg.get("model") if isinstance(cfg, dict) else getattr(cfg, "model", None)
    if found is None:
        found = content.get("args")
    options = _plain(found)
    if not isinstance(options, dict):
        raise CheckpointError(
            f"{path} holds a fairseq encoder without its configuration (cfg['model']): it is unknown."
        )
    nested = _plain(options.get("encoder")) or {}
    return {**{f"encoder_{name}": value for name, value in nested.items()}, **options}


def _plain(options: Any) -> Any:
    """A Namespace as a dict; None where it is neither."""
    return options if isinstance(options, dict) else getattr(options, "__dict__", None)


def _own_tensors(model: Dict[str, Tensor], path: PathLike) -> Dict[str, Tensor]:
    """The encoder's tensors in float32, without the prefix and without what is ignored."""
    if _TRAINING in model or "embed_tokens.weight" not in model:
        model = {name[len(_PREFIX) :]: tensor for name, tensor in model.items() if name.startswith(_KEPT)}
    tensors = {name: tensor for name, tensor in model.items() if not name.startswith(_IGNORED)}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or name == "embed_tokens.weight" and tensor.dim() != 2:
            raise CheckpointError(f"{path}: {name} is no tensor of a LASER3 encoder; it is damaged.")
    return {name: tensor.float() for name, tensor in tensors.items()}


def _pooling(cfg: Dict[str, Any], path: PathLike) -> str:
    criterion = str(cfg.get("sentemb_criterion") or "maxpool")
    if "mean" in criterion or "avg" in criterion:
        raise CheckpointError(f"{path} pools by {criterion!r}; a LASER3 encoder pools by maxpool or cls.")
    if criterion == "cls" and not cfg.get("prepend_bos", False):
        raise CheckpointError(
            f"{path} pools at BOS (sentemb_criterion cls) but puts none before a sentence (prepend_bos false): "
            "no sentence would have a vector."
        )
    return "cls" if criterion == "cls" else "max"  # as LASER: whatever is not cls is the maximum


def _convert(tensors: Dict[str, Tensor], path: PathLike) -> Dict[str, Tensor]:
    """The same by our names: query, key and value in one matrix."""
    if "embed_tokens.weight" not in tensors:
        raise CheckpointError(f"{path} holds no embedding table (embed_tokens.weight); it is damaged.")
    weights: Dict[str, Tensor] = {}
    fused: Dict[Tuple[str, str], Dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = re.fullmatch(r"(layers\.\d+)\.self_attn\.([qkv])_proj\.(weight|bias)", name)
        if match:
            fused.setdefault((match[1], match[3]), {})[match[2]] = tensor
        else:
            weights[name.replace(".self_attn.out_proj.", ".out_proj.")] = tensor
    for (layer, kind), parts in fused.items():
        missing: List[str] = [part for part in "qkv" if part not in parts]
        if missing:
            raise CheckpointError(f"{path} lacks {layer}.self_attn.{missing[0]}_proj.{kind}; it is damaged.")
        weights[f"{layer}.qkv_proj.{kind}"] = torch.cat([parts[part] for part in "qkv"])
    if "layers.0.fc1.weight" not in weights:
        raise CheckpointError(f"{path} lacks layers.0.fc1.weight; it is damaged.")
    return weights


def _own_space(content: Dict[str, Any]) -> Optional[str]:
    """The space that export/laser.py noted."""
    noted = content.get("fairseq_distill")
    space = noted.get("space") if isinstance(noted, dict) else None
    return space if isinstance(space, str) and space else None


def _languages(path: PathLike) -> List[str]:
    """What ``laser3-amh_Ethi.v1.pt`` says of itself."""
    match = re.match(r"laser3-([a-z]{3}(?:_[A-Z][a-z]{3})?)\b", Path(path).name)
    return [match[1]] if match else []
