"""Files appear under their final name whole or not at all, and one process at a time writes them."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import IO, Iterable, Iterator, Union

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.progress import Progress

logger = logging.getLogger(__name__)

PathLike = Union[str, "os.PathLike[str]"]

_PATIENCE_S = 1.0  # the workers of a run that was killed hold its locks until they notice


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield ``path`` + ``.tmp`` to write to; rename it to ``path`` when the block ends well, remove it otherwise.

    What a killed run has left under the temporary name is overwritten.

    Raises:
        DataError: the disk is full, the folder is missing or may not be written to, another process is writing it, or what
            bears the name is no file.
    """
    final = Path(path)
    require_file_place(final)
    temporary = final.with_name(final.name + ".tmp")
    claimed = _claim(temporary, final)
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
    finally:
        with contextlib.suppress(OSError):  # said aloud: workers that were forked meanwhile have a copy
            fcntl.flock(claimed, fcntl.LOCK_UN)
        os.close(claimed)


def _claim(temporary: Path, final: Path) -> int:
    """An open and locked descriptor of the temporary file, which is made where it is not there.

    Two runs of one command would otherwise write into one file, and the first to end would give it the final name while
    the other still writes.
    """
    while True:
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise disk_error(error, final) from error
        try:
            require_alone(descriptor, final)
            if os.path.samestat(os.fstat(descriptor), os.stat(temporary)):
                return descriptor
        except FileNotFoundError:
            pass  # its writer has just finished: it has the final name now
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def require_alone(descriptor: int, output: PathLike) -> None:
    """Lock an open file until it is closed or unlocked; where the file system has no locks, only warn.

    Raises:
        DataError: another process holds the lock.
    """
    start = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() - start > _PATIENCE_S:
                raise DataError(f"{output} is being made by another process; wait for it, or end it first.") from error
            time.sleep(_PATIENCE_S / 20)
        except OSError as error:
            logger.warning(f"{output}: this file system has no locks ({error.strerror}); let no other run write it")
            return


def hold_folder(folder: PathLike, work: str) -> IO[bytes]:
    """Let no other process do ``work`` in a folder until what comes back is closed or this process ends.

    A lock of POSIX on ``.lock``: workers that a killed process has left do not hold it, and one process may take it twice.

    Raises:
        DataError: another process holds it, or the folder cannot be written to.
    """
    path = Path(folder) / ".lock"
    try:
        stream = open(path, "ab")
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            stream.close()
            raise DataError(
                f"Another process is at work in {folder} ({work}); wait for it, or end it first."
            ) from error
        logger.warning(f"{folder}: this file system has no locks ({error.strerror}); let no other run write there")
    return stream


def make_folder(path: PathLike) -> Path:
    """The folder, made with its parents where it is not there.

    Raises:
        DataError: it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be made: {error.strerror or error}.") from error
    return folder


def require_file_place(path: PathLike) -> None:
    """Raise a DataError where a new file would take the place of what is none: a folder, a pipe, ``/dev/null``, ``/dev/stdout``."""
    place = Path(path)
    if place.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder.")
    folder = os.path.realpath(place.parent)
    if (place.exists() and not place.is_file()) or folder == "/dev" or f"{folder}/".startswith("/proc/"):
        raise DataError(
            f"{path} cannot be written: it is a device or a pipe, whose place no file may take; name a file."
        )


def require_folder(path: PathLike) -> None:
    """Raise a DataError unless ``path`` could be written: for work so long that its end is too late to find out."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {folder}.")
    require_file_place(path)
    if not os.access(folder, os.W_OK):
        raise DataError(f"{path} cannot be written: {folder} is read-only.")


def require_own_names(inputs: Iterable[PathLike], outputs: Iterable[PathLike]) -> None:
    """Raise a ConfigError where an output would take the place of a file that the same command reads, or writes as another output."""
    taken = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in taken:
            raise ConfigError(f"{path} is read or written already by this command; give the output a name of its own.")
        taken.add(os.path.realpath(path))


def disk_error(error: OSError, path: PathLike) -> DataError:
    """A DataError that says in one sentence why ``path`` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"The disk is full: {path} could not be written; free some space and run the command again.")
    return DataError(f"{path} could not be written: {error.strerror or error}.")


def write_text(path: PathLike, text: str) -> None:
    """Write a small text file atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        # A file's name may hold bytes that are not UTF-8; JSON, which alone holds names, reads their escapes back.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def sha256_file(path: PathLike) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            progress = Progress(f"SHA-256 of {Path(path).name}", size, unit="MB", scale=1e-6)
            while block := stream.read(1 << 20):
                digest.update(block)
                progress.add(len(block))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
