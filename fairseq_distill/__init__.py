"""Sentence encoders for low-resource languages by teacher-student distillation, as a fairseq plugin.

Nothing is imported here: mining, xsim and embedding run where fairseq is not installed, and fairseq registers
the task, the criterion and the model itself when ``--user-dir fairseq_distill`` makes it import ``tasks/`` and
``models/``. (fairseq skips the registration of a package that is already in ``sys.modules``.)
"""

__version__ = "0.1.0"
