"""What ``fairseq-train`` says when it ends in an error: one sentence where a user can mend it. Registers nothing.

fairseq lets errors through to Python's traceback. It copies checkpoints to their final names, so that a full disk leaves half of one
there, which is removed.
"""

import contextlib
import errno
import os
import shutil
from typing import Optional

from fairseq_distill.errors import DistillError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def sentence_about(error: BaseException) -> Optional[str]:
    """What to say instead of a traceback; None where a traceback is right."""
    if isinstance(error, DistillError):
        return str(error)
    full = _disk_full(error)
    if full is None:
        return None
    target = str(full.filename2 or full.filename or "")
    swept = _swept(full)
    said = f"{target or 'A checkpoint'} cannot be written: {os.strerror(full.errno or errno.ENOSPC)}"
    with contextlib.suppress(OSError):
        said += f" ({shutil.disk_usage(os.path.dirname(target) or '.').free / 1e6:,.0f} MB free)" if target else ""
    removed = " What had been written of it was removed." if swept else ""
    return (
        f"{said}.{removed} Make room (--no-epoch-checkpoints and --keep-interval-updates 1 keep fewer checkpoints), let "
        "recipes/mend_checkpoints.py put the folder in order, and run the same command again: it goes on from there."
    )


def _disk_full(error: Optional[BaseException]) -> Optional[OSError]:
    """The error of a full disk that an error is, or came from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None


def _swept(error: OSError) -> bool:
    """Remove half a copy; whether there was one."""
    source, target = error.filename, error.filename2
    if not source or not target:
        return False
    with contextlib.suppress(OSError):
        if os.path.getsize(target) < os.path.getsize(source):
            os.remove(target)
            return True
    return False
