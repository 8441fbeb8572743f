"""Files appear under their final name whole or not at all."""

import contextlib
import errno
import hashlib
import os
from pathlib import Path
from typing import Iterator, Union

from fairseq_distill.errors import DataError

PathLike = Union[str, "os.PathLike[str]"]


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield ``path`` + ``.tmp`` to write to; rename it to ``path`` when the block ends well, remove it otherwise.

    Raises:
        DataError: the disk is full, the folder is missing or may not be written to.
    """
    final = Path(path)
    temporary = final.with_name(final.name + ".tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())  # a rename may reach the disk before the data does
        os.replace(temporary, final)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(error, final) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def require_folder(path: PathLike) -> None:
    """Raise a DataError unless ``path`` could be written: for work so long that its end is too late to find out."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {folder}.")
    if Path(path).is_dir():
        raise DataError(f"{path} cannot be written: it is a folder.")
    if not os.access(folder, os.W_OK):
        raise DataError(f"{path} cannot be written: {folder} is read-only.")


def disk_error(error: OSError, path: PathLike) -> DataError:
    """A DataError that says in one sentence why ``path`` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"The disk is full: {path} could not be written; free some space and run the command again.")
    return DataError(f"{path} could not be written: {error.strerror or error}.")


def write_text(path: PathLike, text: str) -> None:
    """Write a small text file atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def sha256_file(path: PathLike) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
