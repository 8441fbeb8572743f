"""PyTorch files read without executing anything that is in them."""

import argparse
import contextlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import torch

from fairseq_distill.errors import CheckpointError, DistillError
from fairseq_distill.formats.atomic import PathLike

try:
    from numpy._core import multiarray
except ImportError:  # NumPy 1
    from numpy.core import multiarray  # type: ignore[no-redef]

# Since torch 2.6 a checkpoint may only hold classes that are named; fairseq's own hold the parsed options, and NumPy's
# numbers where a metric was one, as the BLEU of its translation task is.
ALLOWED: List[Any] = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    multiarray._reconstruct,  # type: ignore[attr-defined]
    multiarray.scalar,  # type: ignore[attr-defined]
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")),
]


@contextlib.contextmanager
def understood(path: PathLike) -> Iterator[None]:
    """Turn what a content of unexpected types or sizes raises, where it is taken apart, into a CheckpointError.

    A file may hold anything in the place of a number, a table or a tensor; to ask for each type would be longer than the
    code that reads them.
    """
    try:
        yield
    except DistillError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{path} is damaged, or of another program: what it holds makes no encoder ({reason})."
        ) from error


def _refused(error: pickle.UnpicklingError) -> str:
    """What PyTorch would not load, without its advice to load it all the same."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return named[1] if named else "a pickle that PyTorch did not write"


def load_checkpoint(path: PathLike, mapped: bool = False) -> Dict[str, Any]:
    """The content of a torch checkpoint, read without executing anything that is in it.

    Args:
        mapped: map the tensors instead of reading them, where the file's format allows it.

    Raises:
        CheckpointError: missing, damaged, or holding more than tensors, plain data, NumPy's numbers and parsed options.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file} {'is no regular file' if file.exists() else 'does not exist'}.")
    # New files are zip archives, which can be mapped; old ones are pickles, which begin with 0x80.
    try:
        archive = zipfile.is_zipfile(file)
    except zipfile.BadZipFile as error:  # an archive whose end is damaged in some ways
        raise CheckpointError(f"{file} is damaged and cannot be read ({error}).") from error
    with open(file, "rb") as stream:
        if not archive and stream.read(1) != b"\x80":
            raise CheckpointError(f"{file} is no PyTorch file, or a damaged one, and cannot be read.")
    try:
        # The context takes away what it was given when it ends, also what the plugin had allowed for good (tasks/__init__.py).
        lacking = [kind for kind in ALLOWED if kind not in torch.serialization.get_safe_globals()]
        with torch.serialization.safe_globals(lacking):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped and archive)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds objects that are not loaded for safety ({_refused(error)}). Where you trust it, save "
            "its tensors and its configuration as plain values again, with torch.save."
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise CheckpointError(f"{file} is damaged and cannot be read ({reason}).") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{file} holds a {type(state).__name__}, not a checkpoint.")
    return state
