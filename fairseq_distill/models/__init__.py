"""fairseq models: the student. Importing this package registers ``--arch student_encoder`` and its sizes."""

from fairseq_distill.models import student_encoder  # noqa: F401
