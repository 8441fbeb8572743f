"""``fairseq:PATH``: a student of this project, exported or not, or a LASER3 file, told apart by content."""

from typing import Any, Optional, Union

import torch

from fairseq_distill import defaults
from fairseq_distill.embedding.laser3 import is_laser3, laser3_of
from fairseq_distill.embedding.student import Student, is_student, student_of
from fairseq_distill.errors import CheckpointError, ConfigError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.student_folder import is_student_folder
from fairseq_distill.modules.checkpoint_file import load_checkpoint
from fairseq_distill.teachers.laser2 import is_laser2, is_trained_laser2


def open_fairseq(
    path: PathLike,
    device: Union[str, torch.device, None] = None,
    precision: str = "auto",
    max_tokens: int = defaults.EMBED_MAX_TOKENS,
    spm: Optional[PathLike] = None,
    cvocab: Optional[PathLike] = None,
    space: Optional[str] = None,
) -> Student:
    """The encoder of a transformer checkpoint.

    Args:
        path: a student's checkpoint, a folder of ``fairseq-export``, or LASER3's file in either layout.
        device, precision, max_tokens: as of :func:`fairseq_distill.embedding.student.student_of`.
        spm, cvocab, space: of a LASER3 file, as of :func:`fairseq_distill.embedding.laser3.laser3_of`.

    Raises:
        ConfigError: ``spm``, ``cvocab`` or ``space`` for a student, which carries them; a file of LASER3 is missing.
        CheckpointError: it is neither, or damaged.
    """
    given = [name for name, value in (("spm", spm), ("cvocab", cvocab), ("space", space)) if value is not None]
    folder = is_student_folder(path)
    content = {} if folder else load_checkpoint(path, mapped=True)
    if folder or is_student(content):
        if given:
            raise ConfigError(f"{path} carries its own vocabulary and space; leave {' and '.join(given)} out.")
        if folder:
            from fairseq_distill.embedding.student_folder import open_student_folder  # needs safetensors

            return open_student_folder(path, device, precision, max_tokens)
        return student_of(content, path, device, precision, max_tokens)
    if is_laser3(content):
        return laser3_of(content, path, device, precision, max_tokens, spm, cvocab, space)
    raise CheckpointError(f"{path} is not a student of this project and no LASER3 file{_hint(content, path)}.")


def _hint(content: Any, path: PathLike) -> str:
    if is_laser2(content) or is_trained_laser2(content):
        return f"; it is LASER2's: name it laser2:{path}"
    return f": it holds {', '.join(map(str, content))[:200] or 'nothing'}"
