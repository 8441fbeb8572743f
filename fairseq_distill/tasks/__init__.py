"""fairseq tasks. ``--user-dir fairseq_distill`` imports this package, which brings everything that is registered."""

import sys
from types import TracebackType
from typing import Optional, Type

import torch

from fairseq_distill.modules.checkpoint_file import ALLOWED

torch.serialization.add_safe_globals(ALLOWED)  # for what fairseq itself loads

# fairseq never imports criterions/ of a --user-dir, so this package does it.
from fairseq_distill import criterions, models, optimizers  # noqa: E402, F401
from fairseq_distill.tasks import sentence_distillation  # noqa: E402, F401
from fairseq_distill.tasks.checkpoint_copies import make_copies_whole  # noqa: E402
from fairseq_distill.tasks.last_words import sentence_about  # noqa: E402

_default_hook = sys.excepthook


def _one_sentence(kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
    """What a user can mend is said in one sentence, as our commands do; the rest is Python's traceback."""
    said = sentence_about(error)
    if said is not None:
        print(f"fairseq-train: error: {said}", file=sys.stderr)
    else:
        _default_hook(kind, error, trace)


sys.excepthook = _one_sentence
make_copies_whole()
