"""fairseq tasks. ``--user-dir fairseq_distill`` imports this package, which brings everything that is registered."""

import sys
from types import TracebackType
from typing import Optional, Type

import torch

from fairseq_distill.errors import DistillError
from fairseq_distill.modules.checkpoint_file import ALLOWED

torch.serialization.add_safe_globals(ALLOWED)  # for what fairseq itself loads

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
