"""fairseq tasks. ``--user-dir fairseq_distill`` imports this package, which brings everything that is registered."""

import argparse
import sys
from types import TracebackType
from typing import Optional, Type

import numpy as np
import torch

from fairseq_distill.errors import DistillError

try:
    from numpy._core import multiarray
except ImportError:  # NumPy 1
    from numpy.core import multiarray  # type: ignore[no-redef]

# Since torch 2.6 a checkpoint may only hold classes that are named here; fairseq's own hold the parsed options, and NumPy's
# numbers where a metric was one, as the BLEU of its translation task is.
torch.serialization.add_safe_globals(
    [argparse.Namespace, np.ndarray, np.dtype, multiarray._reconstruct, multiarray.scalar]  # type: ignore[attr-defined]
    + [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")]
)

# fairseq never imports criterions/ of a --user-dir, so this package does it.
from fairseq_distill import criterions, models, optimizers  # noqa: E402, F401
from fairseq_distill.tasks import sentence_distillation  # noqa: E402, F401

_default_hook = sys.excepthook


def _one_sentence(kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
    """fairseq lets errors through to Python's traceback; what a user can mend is said in one sentence, as our commands do."""
    if isinstance(error, DistillError):
        print(f"fairseq-train: error: {error}", file=sys.stderr)
    else:
        _default_hook(kind, error, trace)


sys.excepthook = _one_sentence
