"""The copies of a checkpoint that fairseq makes under final names: whole or not there. Registers nothing.

fairseq writes a checkpoint under a temporary name, but then copies it byte by byte over ``checkpoint_best.pt`` and
``checkpoint_last.pt``: a kill or a full disk would leave half of one there, and the next run could not go on.
"""

import shutil
from typing import Any

from fairseq.file_io import PathManager

from fairseq_distill.formats.atomic import atomic_path

_fairseqs_copy = PathManager.copy


def copy_whole(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
    """What ``PathManager.copy`` does; a file of this machine bears its name when it is whole.

    Raises:
        DataError: the disk is full, or the file cannot be written.
    """
    if not (overwrite and PathManager.supports_rename(src_path) and PathManager.supports_rename(dst_path)):
        return _fairseqs_copy(src_path, dst_path, overwrite)  # in a store that iopath knows
    with atomic_path(dst_path) as temporary:
        shutil.copyfile(src_path, temporary)
    return True


def make_copies_whole() -> None:
    """Let fairseq copy checkpoints with :func:`copy_whole` from now on."""
    PathManager.copy = staticmethod(copy_whole)
