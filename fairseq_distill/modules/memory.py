"""How the C library hands out memory: training on a CPU asks for the same large blocks at every update."""

import ctypes
import logging
import os
import sys

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20  # glibc refuses more
_KEEP = (1 << 31) - 1


_KERNELS = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8",
    "LRU_CACHE_CAPACITY": "8",
}  # of oneDNN, and of PyTorch's own cache of it


def keep_few_kernels() -> None:
    """Have PyTorch keep the kernels of a few shapes of matrix products, not of the last thousand.

    Batches without padding have ever new shapes, so that a long text would fill memory with kernels that never come back
    (docs/performance.md, "Memory of each command"). To be called before PyTorch multiplies for the first time; what the
    user has set in the environment stays.
    """
    for name, value in _KERNELS.items():
        os.environ.setdefault(name, value)


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
