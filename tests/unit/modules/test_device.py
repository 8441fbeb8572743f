"""Devices and precisions are refused by name."""

import pytest
import torch

from fairseq_distill.errors import ConfigError
from fairseq_distill.modules.device import choose_device, may_use_bfloat16
from fairseq_distill.modules.precision import cpu_multiplies_bfloat16


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(torch.device("cpu")) == torch.device("cpu")
    assert choose_device(None) == choose_device("auto")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="'gpu0' is not a device"):
        choose_device("gpu0")
    with pytest.raises(ConfigError, match="cuda:99 does not exist: this machine has [0-9]+ usable GPUs"):
        choose_device("cuda:99")


def test_precisions():
    cpu = torch.device("cpu")
    assert may_use_bfloat16(cpu, "auto") == cpu_multiplies_bfloat16()
    assert may_use_bfloat16(cpu, "bfloat16") and not may_use_bfloat16(cpu, "float32")
    with pytest.raises(ConfigError, match="'half' is none of"):
        may_use_bfloat16(cpu, "half")
