"""What kind of encoder a PyTorch file holds, told by its content."""

from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.modules.checkpoint_file import load_checkpoint
from fairseq_distill.teachers.laser2 import is_laser2, is_trained_laser2


def kind_of_checkpoint(path: PathLike) -> str:
    """``laser2`` for LASER2 in either layout, ``fairseq`` for every other PyTorch file.

    Raises:
        CheckpointError: it is no PyTorch file, or holds what is not loaded for safety.
    """
    content = load_checkpoint(path, mapped=True)
    return "laser2" if is_laser2(content) or is_trained_laser2(content) else "fairseq"
