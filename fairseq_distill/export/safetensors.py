"""A student as ``model.safetensors``, ``config.json``, ``spm.model`` and ``dict.txt``: no pickle, no fairseq."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import List

from safetensors.torch import save_file

from fairseq_distill.embedding.student import Student
from fairseq_distill.export.folder import StudentOrPath, bytes_of, check_output, new_folder, opened
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.student_folder import WEIGHTS, StudentFolder, write_student_folder
from fairseq_distill.progress import Steps

logger = logging.getLogger(__name__)


def safetensors(student: StudentOrPath, output: PathLike, force: bool = False) -> List[str]:
    """Write a student as our own inference format, which ``fairseq-embed --path FOLDER`` reads.

    Args:
        student: a checkpoint's path, or the student itself.
        output: the folder.
        force: replace an earlier export.

    Returns:
        The names of the files.

    Raises:
        ConfigError: the output is there, or has no folder to lie in.
        CheckpointError, DataError: the student cannot be read, the output not written.
    """
    check_output(output, force)
    steps = Steps("export", 3)
    encoder = opened(student, steps)
    with new_folder(output, force, steps, total=bytes_of(encoder)) as folder:
        write_into(folder, encoder)
        names = sorted(path.name for path in folder.iterdir())
    logger.info(f"{encoder.name} | safetensors | {output}")
    return names


def write_into(folder: Path, student: Student) -> None:
    """Write the four files into a folder that is there."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in student.model.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    write_student_folder(folder, StudentFolder(student.name, asdict(student.model.shape), student.state))
