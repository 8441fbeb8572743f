"""What this processor multiplies fast. Said by its instructions and its maker, so that equal machines choose alike.

Products of 1,024 x 1,024 x 2,048 by PyTorch 2.13, one thread, GFLOP/s (``docs/performance.md``, "Types of products"):

    processor                                  float32   bfloat16   int8
    Intel family 6 model 207, AMX not shown        198        103    816
    AMD family 25 (Zen 4)                      100-115    190-200    twice bfloat16
"""

import contextlib
from functools import lru_cache
from typing import FrozenSet, Tuple


@lru_cache(maxsize=None)
def _described() -> Tuple[str, FrozenSet[str]]:
    """(maker, instruction sets) as Linux names them; empty elsewhere."""
    maker, flags = "", ""
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
            for line in stream:
                name, _, value = line.partition(":")
                if name.strip() == "vendor_id":
                    maker = value.strip()
                elif name.strip() == "flags":
                    flags = value
                    break
    return maker, frozenset(flags.split())


def fast_bfloat16() -> bool:
    """Whether bfloat16 products are faster than float32: with AMX, or with AVX512_BF16 on other makers' than Intel's.

    Intel's processors take two cycles for what AVX512_BF16 adds to one float32 instruction's work. Where a virtual machine
    does not show their AMX, bfloat16 has half the rate of float32.
    """
    maker, flags = _described()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and maker != "GenuineIntel")


def fast_int8() -> bool:
    """Whether int8 products are several times as fast as float32, and exact: AVX512_VNNI or AMX.

    Without these instructions sums of two products are cut off at 16 bits.
    """
    flags = _described()[1]
    return "avx512_vnni" in flags or "amx_int8" in flags
