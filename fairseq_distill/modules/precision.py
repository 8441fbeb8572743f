"""When to multiply in bfloat16 on a CPU: only where the hardware does, elsewhere it is slower than float32."""

import contextlib
from functools import lru_cache
from typing import ContextManager

import torch

from fairseq_distill.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")
ENCODER_PRECISIONS = (*PRECISIONS, "int8")


@lru_cache(maxsize=None)
def cpu_multiplies_bfloat16() -> bool:
    """True when this CPU has bfloat16 matrix instructions (AVX512_BF16 or AMX) and this torch uses them."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if supported is None or not supported():
        return False
    flags = ""
    with contextlib.suppress(OSError):
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as stream:
            flags = next((line for line in stream if line.startswith("flags")), "")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(device: torch.device, precision: str) -> ContextManager[None]:
    """A context in which matrix products run in bfloat16 when ``precision`` and the device say so.

    Args:
        device: where the tensors are.
        precision: ``bfloat16``, ``float32``, or ``auto``: bfloat16 on a CPU that has it in hardware; on a GPU fairseq's
            own ``--fp16`` and ``--bf16`` decide, so nothing is done.

    Raises:
        ConfigError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}.")
    wanted = precision == "bfloat16" or (precision == "auto" and device.type == "cpu" and cpu_multiplies_bfloat16())
    return torch.autocast(device.type, torch.bfloat16, enabled=True) if wanted else contextlib.nullcontext()
