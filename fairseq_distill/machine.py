"""Memory, disk, locks and threads: what fairseq-doctor says of the machine itself."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional

from fairseq_distill import defaults

OK, WARNING, WRONG = "ok", "warning", "wrong"
_GB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One part of the environment.

    Attributes:
        part: what was looked at, ``torch``.
        state: ``ok``; ``warning``: something does not work as well as it could, or is not tested; ``wrong``.
        found: in words, with versions.
        mend: the command that mends it, or what else to do; empty where nothing is to be done.
    """

    part: str
    state: str
    found: str
    mend: str = ""


def available_memory() -> Optional[int]:
    """Bytes that this process may still take: what the system has left, and what a container's limit leaves."""
    left: List[int] = []
    with contextlib.suppress(OSError, AttributeError, TypeError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        left.append(int(re.search(r"MemAvailable:\s+(\d+) kB", text)[1]) << 10)  # type: ignore[index]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            group = Path("/sys/fs/cgroup")
            left.append(int((group / limit).read_text()) - int((group / used).read_text()))
    return min(left) if left else None


def check_memory() -> Finding:
    left = available_memory()
    if left is None:
        return Finding("memory", OK, "unknown: this system has no /proc/meminfo")
    low = left < defaults.DOCTOR_MEMORY_GB * _GB
    mend = "close other programs; fairseq-embed --max-tokens 2000, fairseq-mine --max-memory 500M" if low else ""
    return Finding("memory", WARNING if low else OK, f"{left / _GB:.1f} GB available", mend)


def check_disk(folder: Path) -> Iterator[Finding]:
    """Room, permission and locks in the folder that work is to be done in."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("disk", WRONG, f"{folder}: {error.strerror}", f"mkdir -p {folder}")
        return
    low = free < defaults.DOCTOR_DISK_GB * _GB
    mend = f"free some space, or work elsewhere: df -h {folder}" if low else ""
    yield Finding("disk", WARNING if low else OK, f"{free / _GB:.1f} GB free in {folder}", mend)
    yield _locks(folder)


def _locks(folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".fairseq-doctor.") as one, open(one.name, "rb") as two:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Finding("locks", OK, "files can be locked")
            return Finding(
                "locks",
                WARNING,
                "a lock does not keep others out here (NFS?)",
                "never run two commands on one folder, or work on a local disk",
            )
    except OSError as error:
        if error.errno is not None and not os.access(folder, os.W_OK):
            return Finding(
                "locks", WARNING, f"{folder} may not be written to", f"ls -ld {folder}  # work elsewhere: --folder DIR"
            )
        return Finding(
            "locks",
            WARNING,
            f"files cannot be locked in {folder}: {error.strerror}",
            "never run two commands on one folder, or work on a local disk",
        )


def check_threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted and (not wanted.isdecimal() or not 1 <= int(wanted) <= cores):
        return Finding("threads", WARNING, f"OMP_NUM_THREADS is {wanted!r} for {cores} cores", "unset OMP_NUM_THREADS")
    return Finding("threads", OK, f"{wanted or cores} of {cores} cores")
