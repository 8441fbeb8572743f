"""What ``fairseq-train`` says when it ends in an error: one sentence where a user can mend it. Registers nothing.

fairseq lets errors through to Python's traceback.
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
    full = _disk_full(error)
    if full is None:
        return str(error) if isinstance(error, DistillError) else None
    target = str(full.filename2 or full.filename or "").removesuffix(".tmp")
    said = f"{target or 'A checkpoint'} cannot be written: {os.strerror(full.errno or errno.ENOSPC)}"
    with contextlib.suppress(OSError):
        said += f" ({shutil.disk_usage(os.path.dirname(target) or '.').free / 1e6:,.0f} MB free)" if target else ""
    return (
        f"{said}. Make room (--no-epoch-checkpoints and --keep-interval-updates 1 keep fewer checkpoints) and run the "
        "same command again: it goes on from the last checkpoint."
    )


def _disk_full(error: Optional[BaseException]) -> Optional[OSError]:
    """The error of a full disk that an error is, or came from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return error
        error = error.__cause__ or error.__context__
    return None
