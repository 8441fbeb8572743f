"""A student that starts from another checkpoint: a sister language's student, or LASER3, with another vocabulary."""

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from fairseq_distill.embedding.fairseq_checkpoint import open_fairseq
from fairseq_distill.embedding.registry import parse_spec
from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.dictionary import PAD
from fairseq_distill.formats.student_folder import is_student_folder
from fairseq_distill.modules.checkpoint_file import load_checkpoint
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder

logger = logging.getLogger(__name__)

_FEW = 16  # rows from which a mean and a spread say something; with fewer those of the whole old table are taken
# What must be equal for the layers to fit, in words, and the option that sets it here.
_NUMBERS = {
    "layers": "--encoder-layers",
    "dim": "--encoder-embed-dim",
    "ffn_dim": "--encoder-ffn-embed-dim",
    "heads": "--encoder-attention-heads",
    "activation": "--activation-fn",
}


@dataclass
class Carried:
    """What a student took from its start.

    Attributes:
        rows: bool [V], True for rows of the embedding table that were carried over, specials included.
        projection, lexical, mlm_head: whether these were carried over too.
    """

    rows: Tensor
    projection: bool = False
    lexical: bool = False
    mlm_head: bool = False

    def __str__(self) -> str:
        extra = [name for name in ("projection", "lexical", "mlm_head") if getattr(self, name)]
        parts = ", ".join(["layers", *extra]).replace("lexical", "lexical path").replace("mlm_head", "MLM head")
        n = int(self.rows.sum())
        return f"{n:,} of {len(self.rows):,} rows carried over, {len(self.rows) - n:,} new | also {parts}"


def start_from(
    spec: str,
    encoder: StudentEncoder,
    head: Optional[nn.Module],
    symbols: Sequence[str],
    space: str,
    seed: int,
    force: bool,
) -> Carried:
    """Fill a new student from a checkpoint.

    Args:
        spec: the checkpoint, as :func:`fairseq_distill.embedding.registry.parse_spec` reads it.
        encoder: the new student.
        head: its MLM head, if it has one.
        symbols: V symbols of the new dictionary, specials and ``<mask>`` included.
        space: the teacher space that it will learn.
        seed: of the rows that are new.
        force: also from a student of another space, of which the projection and the lexical path are left out.

    Raises:
        ConfigError: it is no transformer encoder, or its shape differs.
        DataError: it is of another space.
        CheckpointError: it is damaged.
    """
    kind, path, options = parse_spec(spec)
    if kind != "fairseq":
        raise ConfigError(f"--init-student-from {spec} is {kind}; a student starts from a student or a LASER3 file.")
    source = open_fairseq(path, "cpu", "float32", **options)
    known = source.space != source.name  # a LASER3 file alone does not say whose space it is in
    if known and source.space != space and not force:
        raise DataError(
            f"{path} is a student of the teacher space {source.space}, but the data directory is of {space}; start from a "
            "student of the same teacher, or insist with --init-force."
        )
    require_same_shape(encoder.shape, source.model.shape, path)
    carried = carry_over(encoder, symbols, source, source.space == space, seed)
    if head is not None:
        positions, _ = positions_of(symbols, source)
        # A folder of fairseq-export holds the encoder alone.
        model = {} if is_student_folder(path) else load_checkpoint(path, mapped=True).get("model", {})
        carried.mlm_head = _carry_head(head, model, positions)
    _say_pooling(encoder, source, path)
    logger.info(f"start | {path} | {carried}")
    return carried


def _say_pooling(encoder: StudentEncoder, source: Student, path: str) -> None:
    """Log how a start made a sentence's vector where the new student makes it in another way; the layers serve both."""
    here, there = encoder.shape.pooling, source.model.shape.pooling
    # Where cls is pooled, BOS comes first anyway.
    if here != there or source.state.prepend_bos:
        bos = ", BOS before each sentence" if source.state.prepend_bos else ""
        logger.info(f"start | {path} pooled by {there}{bos}; this student pools by {here}")


def require_same_shape(here: EncoderShape, there: EncoderShape, path: object) -> None:
    """Raise a ConfigError that names every number in which two students' layers differ."""
    wrong = [
        f"{name} {getattr(there, name)} there, {getattr(here, name)} here ({option} {getattr(there, name)})"
        for name, option in _NUMBERS.items()
        if getattr(here, name) != getattr(there, name)
    ]
    if _norm(here) != _norm(there):
        wrong.append(f"layer norm {_norm(there)} there, {_norm(here)} here (--layer-norm {_norm(there)})")
    if wrong:
        raise ConfigError(f"A student of this shape cannot start from {path}: {'; '.join(wrong)}.")


def _norm(shape: EncoderShape) -> str:
    return "pre" if shape.pre_norm else "post_final" if shape.final_norm else "post"


def positions_of(symbols: Sequence[str], source: Student) -> Tuple[Tensor, Tensor]:
    """int64 [V], the old row of each symbol (0 where there is none), and bool [V], where there is one."""
    index = source.state.dictionary.index
    found: List[int] = [index.get(symbol, -1) for symbol in symbols]
    positions = torch.tensor(found)
    return positions.clamp_min(0), positions >= 0


@torch.no_grad()
def carry_over(
    encoder: StudentEncoder, symbols: Sequence[str], source: Student, same_space: bool, seed: int
) -> Carried:
    """Copy layers, and the rows of the symbols that both know; draw the others like those.

    A new row is normal with the mean and the spread of the carried rows, dimension by dimension. The projection and the
    lexical path lead into the teacher's space, so they are copied only within one; lexical rows of new symbols are zero.

    Args:
        encoder: the new student, of the same shape.
        symbols: V symbols in the order of its rows.
        source: the old student.
        same_space: whether both learn the same space.
        seed: of the new rows.
    """
    positions, known = positions_of(symbols, source)
    old = source.model.state_dict()
    table = old["embed_tokens.weight"].cpu()
    encoder.embed_tokens.weight.copy_(_rows(table, positions, known, seed))
    copied = {name: tensor for name, tensor in old.items() if name.startswith(("layers.", "layer_norm."))}
    carried = Carried(known)
    # A projection learnt beside a lexical path says only what that leaves open, and the other way round.
    alike = (encoder.lexical is None) == (source.model.lexical is None)
    if same_space and alike and _same(encoder.projection, source.model.projection):
        copied |= {name: tensor for name, tensor in old.items() if name.startswith("projection.")}
        carried.projection = encoder.projection is not None
    encoder.load_state_dict({**encoder.state_dict(), **copied})
    if same_space and encoder.lexical is not None and source.model.lexical is not None:
        rows = source.model.lexical.table.weight.cpu()[positions]
        encoder.lexical.table.weight.copy_(torch.where(known.unsqueeze(1), rows, torch.zeros(1)))
        carried.lexical = True
    return carried


def _rows(table: Tensor, positions: Tensor, known: Tensor, seed: int) -> Tensor:
    rows = table[positions]
    inner = known.clone()
    inner[PAD] = False  # never an input, so it says nothing of the others
    like = rows[inner] if int(inner.sum()) >= _FEW else table[PAD + 1 :]
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed))
    drawn = like.mean(dim=0) + noise * like.std(dim=0)
    return torch.where(known.unsqueeze(1), rows, drawn)


def _same(first: Optional[nn.Linear], second: Optional[nn.Linear]) -> bool:
    return first is not None and second is not None and first.weight.shape == second.weight.shape


@torch.no_grad()
def _carry_head(head: nn.Module, model: Dict[str, Any], positions: Tensor) -> bool:
    """Copy a student's MLM head; False when the checkpoint has none of this kind (LASER3's has another activation)."""
    prefix = "mlm_head."
    old = {name[len(prefix) :]: tensor for name, tensor in model.items() if name.startswith(prefix)}
    new = head.state_dict()
    if set(old) != set(new) or any(old[name].shape != new[name].shape for name in new if name != "bias"):
        return False
    head.load_state_dict({**old, "bias": old["bias"][positions]})
    return True
