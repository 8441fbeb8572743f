"""When to multiply in bfloat16 on a CPU: only where the hardware does, elsewhere it is slower than float32."""

import contextlib
from functools import lru_cache
from typing import ContextManager

import torch

from fairseq_distill.cpu import fast_bfloat16
from fairseq_distill.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")
ENCODER_PRECISIONS = (*PRECISIONS, "int8")


@lru_cache(maxsize=None)
def cpu_multiplies_bfloat16() -> bool:
    """True where bfloat16 products are the faster ones on this CPU and this torch has them."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if supported is None or not supported():
        return False
    return fast_bfloat16()


def autocast(device: torch.device, precision: str) -> ContextManager[None]:
    """A context in which matrix products run in bfloat16 when ``precision`` and the device say so.

    Args:
        device: where the tensors are.
        precision: ``bfloat16``, ``float32``, or ``auto``: bfloat16 on a CPU that is faster at it; on a GPU fairseq's
            own ``--fp16`` and ``--bf16`` decide, so nothing is done.

    Raises:
        ConfigError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}.")
    wanted = precision == "bfloat16" or (precision == "auto" and device.type == "cpu" and cpu_multiplies_bfloat16())
    return torch.autocast(device.type, torch.bfloat16, enabled=True) if wanted else contextlib.nullcontext()
