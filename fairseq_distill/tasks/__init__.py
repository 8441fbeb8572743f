"""fairseq tasks. ``--user-dir fairseq_distill`` imports this package, which brings everything that is registered."""

import argparse

import torch

# Since torch 2.6 a checkpoint may only hold classes that are named here; fairseq's own hold the parsed options.
torch.serialization.add_safe_globals([argparse.Namespace])

# fairseq never imports criterions/ of a --user-dir, so this package does it.
from fairseq_distill import criterions, models, optimizers  # noqa: E402, F401
from fairseq_distill.tasks import sentence_distillation  # noqa: E402, F401
