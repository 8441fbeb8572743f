"""How the C library hands out memory: training on a CPU asks for the same large blocks at every update."""

import ctypes
import logging
import sys

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more
_KEEP = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Have freed blocks kept for the next update instead of given back to the system, which would have to clear every page again.

    Gradients and activations of a small student are blocks of some megabytes; mapping them anew costs more than filling
    them, most of all on virtual machines (docs/performance.md). The process keeps its peak of memory until it ends.

    Returns:
        Whether the C library took the setting: True with glibc, False elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl and others
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(mallopt(_TRIM_THRESHOLD, _KEEP))
