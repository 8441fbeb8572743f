"""A folder that ``fairseq-export --format safetensors`` wrote, as an encoder; nothing is unpickled."""

from pathlib import Path
from typing import Union

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fairseq_distill import defaults
from fairseq_distill.embedding.student import Student, fingerprint, require_fitting
from fairseq_distill.errors import CheckpointError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.student_folder import WEIGHTS, read_student_folder
from fairseq_distill.modules.device import choose_device
from fairseq_distill.modules.transformer import EncoderShape, StudentEncoder
from fairseq_distill.text import NORMALISER


def open_student_folder(
    folder: PathLike,
    device: Union[str, torch.device, None] = None,
    precision: str = "auto",
    max_tokens: int = defaults.EMBED_MAX_TOKENS,
) -> Student:
    """The student in a folder, of the same fingerprint as its checkpoint.

    Args:
        device, precision, max_tokens: as of :func:`fairseq_distill.embedding.student.student_of`.

    Raises:
        CheckpointError: a file is missing, damaged or changed, or the text normalisation is another one.
    """
    name, fields, state = read_student_folder(folder)
    if state.normaliser != NORMALISER:
        raise CheckpointError(
            f"{folder} was trained on text of normaliser {state.normaliser}; this version has {NORMALISER} and would drift from it."
        )
    try:
        weights = load_file(Path(folder) / WEIGHTS)
        shape = EncoderShape(**fields)
        require_fitting(shape, weights, folder)
        model = StudentEncoder(shape)
        model.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
        raise CheckpointError(
            f"{folder} holds a damaged student: weights and configuration do not fit ({' '.join(str(error).split())[:300]})."
        ) from error
    if len(state.dictionary) != model.shape.vocabulary:
        raise CheckpointError(
            f"{folder} has {model.shape.vocabulary:,} rows of embeddings but a dictionary of {len(state.dictionary):,} symbols."
        )
    found = fingerprint(name.partition(":")[0], weights, state)
    if found != name:
        raise CheckpointError(
            f"{folder} has fingerprint {found}, but its config.json says {name}: a file was changed or damaged; export again."
        )
    if name.startswith("laser3") and precision == "auto":
        precision = "float32"  # LASER's own, as for its files
    return Student(model, state, name, choose_device(device), precision, max_tokens, folder)
