"""What every export does alike: open the student, and let the output appear whole or not at all."""

import contextlib
import errno
import fcntl
import glob
import os
import re
import shutil
from pathlib import Path
from typing import Iterator, List, Union

from fairseq_distill.embedding.fairseq_checkpoint import open_fairseq
from fairseq_distill.embedding.student import Student
from fairseq_distill.errors import ConfigError, DistillError
from fairseq_distill.formats.atomic import PathLike, disk_error
from fairseq_distill.progress import Steps

_BLOCK = 4096  # bytes; a disk with less is full

StudentOrPath = Union[Student, PathLike]


def opened(student: StudentOrPath, steps: Steps) -> Student:
    """The student on the CPU in float32, in one of the steps: as given, or of a checkpoint, a LASER3 file or an exported folder.

    Raises:
        ConfigError, CheckpointError: there is none.
    """
    with steps("read"):
        return student if isinstance(student, Student) else open_fairseq(student, "cpu", "float32")


def check_output(output: PathLike, force: bool) -> None:
    """Raise a ConfigError when the output is there already or has no folder to lie in."""
    path = Path(os.path.abspath(output))
    _sweep(path)
    if path.exists() and not force:
        raise ConfigError(f"{output} is there already: take another --output, or replace it with --force.")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{output} is a file, but the export is a folder: take another --output.")
    if not path.parent.is_dir():
        raise ConfigError(f"{output} cannot be written: there is no folder {path.parent}.")
    if force and path.is_dir() and any(path.iterdir()) and not _is_export(path):
        raise ConfigError(
            f"{output} holds other things than an export, which --force would remove: take another --output."
        )


def files_of(folder: Path) -> List[str]:
    """The names of a folder's files, those of folders in it too, relative to it and in order."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def bytes_of(student: Student) -> int:
    """What a student's weights take in float32, with its SentencePiece model; the other files of an export are small."""
    return len(student.state.spm) + 4 * sum(tensor.numel() for tensor in student.model.state_dict().values())


def _bytes_of(folder: Path) -> int:
    """What a folder's files take, while they are written and renamed."""
    found = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            found += path.stat().st_size
    return found


def _is_export(path: Path) -> bool:
    """Whether a folder has the files of an export, so that --force cannot remove somebody's home."""
    names = {entry.name for entry in path.iterdir()}
    return {"model.safetensors", "config.json"} <= names or "model.onnx" in names or _is_laser(names)


def _is_laser(names: "set[str]") -> bool:
    stems = [{name[: -len(end)] for name in names if name.endswith(end)} for end in (".pt", ".spm", ".cvocab")]
    return len(names) == 3 and bool(stems[0] & stems[1] & stems[2])


def _sweep(final: Path) -> None:
    """Remove what killed exports have left beside ``final``; the earlier export of one that was just being replaced comes back."""
    for kind in ("old", "tmp"):
        for left in final.parent.glob(f"{glob.escape(final.name)}.{kind}*"):
            if not re.fullmatch(rf"{kind}\d+", left.name[len(final.name) + 1 :]) or not left.is_dir():
                continue
            with contextlib.suppress(OSError), _locked(left):
                if kind == "old" and not final.exists():
                    os.replace(left, final)
                else:
                    shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; a BlockingIOError where an export at work holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(output: PathLike, force: bool, steps: Steps, name: str = "write", total: int = 0) -> Iterator[Path]:
    """Yield a temporary folder beside ``output``; it takes that name when the block ends well and is removed otherwise.

    Args:
        steps: the block is one of them, called ``name``, and another is what brings its files to the disk.
        total: bytes that the block writes, about.

    Raises:
        ConfigError: see :func:`check_output`.
        DataError: the disk is full or may not be written to.
    """
    check_output(output, force)
    final = Path(os.path.abspath(output))
    temporary = final.with_name(f"{final.name}.tmp{os.getpid()}")
    old = final.with_name(f"{final.name}.old{os.getpid()}")
    lock = contextlib.ExitStack()  # says to other exports that this one is at work
    try:
        temporary.mkdir()
        with contextlib.suppress(OSError):  # not every file system has locks
            lock.enter_context(_locked(temporary))
        with steps(f"{name} {final.name}", lambda: _bytes_of(temporary), total):
            yield temporary
        with steps("flush to the disk"):  # a rename may reach it before the data does
            for file in files_of(temporary):
                with open(temporary / file, "rb") as written:
                    os.fsync(written.fileno())
        if final.exists():
            os.replace(final, old)
        os.replace(temporary, final)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise disk_error(error, final) from error
    except Exception as error:
        # The writers of safetensors and PyTorch have errors of their own for it, which do not say so.
        full = os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(final.parent).free < _BLOCK
        if full and not isinstance(error, DistillError):
            raise disk_error(OSError(errno.ENOSPC, "no space left"), final) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        lock.close()
