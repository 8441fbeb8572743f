"""A student as a folder without pickle: ``config.json``, ``spm.model``, ``dict.txt``; its weights are ``model.safetensors``.

``config.json`` says ``"format": "fairseq_distill.student"``, the encoder's shape, the text path, the teacher's space and the
fingerprint, which a reader computes again from weights and vocabulary.
"""

import json
from pathlib import Path
from typing import Any, Dict, NamedTuple

from fairseq_distill import __version__
from fairseq_distill.errors import CheckpointError, DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.json_file import from_json, load_json
from fairseq_distill.formats.manifest import Teacher
from fairseq_distill.formats.numbers import whole
from fairseq_distill.formats.student_state import StudentState

CONFIG, WEIGHTS, SPM, DICTIONARY = "config.json", "model.safetensors", "spm.model", "dict.txt"
FORMAT = "fairseq_distill.student"
FORMAT_VERSION = 1


class StudentFolder(NamedTuple):
    """What a folder says; ``shape`` are the fields of modules/transformer.py's EncoderShape."""

    name: str
    shape: Dict[str, Any]
    state: StudentState


def is_student_folder(path: PathLike) -> bool:
    """Whether ``path`` is a folder whose ``config.json`` is a student's."""
    file = Path(path) / CONFIG
    try:
        content = load_json(file) if file.is_file() else None
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def write_student_folder(folder: PathLike, student: StudentFolder) -> None:
    """Write everything but the weights."""
    state = student.state
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fingerprint": student.name,
        "shape": student.shape,
        "normaliser": state.normaliser,
        "max_length_pieces": state.max_length_pieces,
        "prepend_bos": state.prepend_bos,
        "languages": list(state.languages),
        "teacher": dict(vars(state.teacher)),
        "fairseq_distill": __version__,
    }
    (Path(folder) / SPM).write_bytes(state.spm)
    write_text(Path(folder) / DICTIONARY, state.dictionary.text)
    write_text(Path(folder) / CONFIG, json.dumps(config, indent=1, ensure_ascii=False) + "\n")


def read_student_folder(folder: PathLike) -> StudentFolder:
    """What :func:`write_student_folder` wrote.

    Raises:
        CheckpointError: a file is missing or damaged, or of another format version.
    """
    path = Path(folder)
    missing = [name for name in (CONFIG, WEIGHTS, SPM, DICTIONARY) if not (path / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is no exported student: {missing[0]} is missing.")
    try:
        config = load_json(path / CONFIG)
        found = config.get("format"), config.get("format_version")
        if found != (FORMAT, FORMAT_VERSION):
            raise CheckpointError(
                f"{path / CONFIG} has format {found[0]} {found[1]}, this version reads {FORMAT} {FORMAT_VERSION}."
            )
        state = StudentState(
            spm=(path / SPM).read_bytes(),
            dictionary=read_dictionary(path / DICTIONARY),
            normaliser=str(config["normaliser"]),
            teacher=from_json(Teacher, config["teacher"]),
            languages=[str(code) for code in config["languages"]],
            max_length_pieces=whole(config["max_length_pieces"], 1),
            prepend_bos=bool(config["prepend_bos"]),
        )
        shape = dict(config["shape"])
        if not state.max_length_pieces <= whole(shape["max_positions"]):
            raise ValueError(
                f"max_length_pieces is {state.max_length_pieces:,}, but the encoder has {shape['max_positions']:,} positions"
            )
        return StudentFolder(str(config["fingerprint"]), shape, state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, DataError) as error:
        raise CheckpointError(f"{folder} holds a damaged student ({error}).") from error
