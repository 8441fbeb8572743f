"""What kind of encoder a PyTorch file holds, told by its content."""

import argparse
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from fairseq_distill.errors import CheckpointError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.teachers.laser2 import is_laser2


def kind_of_checkpoint(path: PathLike) -> str:
    """``laser2`` for a file in LASER2's layout, ``fairseq`` for every other PyTorch file.

    Raises:
        CheckpointError: it is no PyTorch file.
    """
    # New files are zip archives and are mapped, so that no tensor is read; old ones are pickles, which begin with 0x80.
    mapped = zipfile.is_zipfile(path)
    with open(path, "rb") as stream:
        if not mapped and stream.read(1) != b"\x80":
            raise CheckpointError(f"{path} is no PyTorch file; name a student's checkpoint or another encoder.")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content: Any = torch.load(Path(path), map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        return "fairseq"  # holds more than LASER2's plain values; the student's loader says what it misses
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is a damaged PyTorch file: {reason}") from error
    return "laser2" if is_laser2(content) else "fairseq"
