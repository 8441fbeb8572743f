"""fairseq optimisers. Importing this package registers ``--optimizer fused_adamw``."""

from fairseq_distill.optimizers import fused_adamw  # noqa: F401
