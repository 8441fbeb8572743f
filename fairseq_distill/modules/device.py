"""Where an encoder runs, and in which precision."""

from typing import Optional, Union

import torch

from fairseq_distill.errors import ConfigError
from fairseq_distill.modules.precision import ENCODER_PRECISIONS, PRECISIONS, cpu_multiplies_bfloat16


def choose_device(name: Optional[Union[str, torch.device]] = "auto") -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:i`` names; ``auto`` or None: the first GPU, else the CPU.

    Raises:
        ConfigError: there is no such device.
    """
    if isinstance(name, torch.device):
        return name
    if name in (None, "auto"):
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(str(name))
    except RuntimeError as error:
        raise ConfigError(f"{name!r} is not a device; use auto, cpu, cuda or cuda:0, cuda:1, ….") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"The device {name} does not exist: this machine has {count} usable GPUs; use auto or cpu.")
    return device


def may_use_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether matrix products may run in bfloat16: ``auto`` means where the hardware multiplies it.

    Raises:
        ConfigError: unknown precision.
    """
    if precision not in PRECISIONS:
        why = " (int8 serves students and LASER3 files)" if precision in ENCODER_PRECISIONS else ""
        raise ConfigError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}{why}.")
    if precision == "auto":
        return torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_multiplies_bfloat16()
    return precision == "bfloat16"
