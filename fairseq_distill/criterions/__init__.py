"""fairseq criterions. fairseq never imports this folder of a ``--user-dir``; ``tasks/__init__.py`` does it."""

from fairseq_distill.criterions import sentence_distillation  # noqa: F401
