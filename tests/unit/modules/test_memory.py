"""Settings of memory: taken where there is glibc, large tensors come and go as before; few kernels are kept."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from fairseq_distill.modules.memory import keep_few_kernels, keep_freed_memory


def test_the_setting_is_taken_where_there_is_glibc():
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
    for _ in range(3):
        assert float(torch.ones(3_000_000).sum()) == 3_000_000


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert keep_freed_memory() is False


def test_what_the_user_set_for_kernels_stays(monkeypatch):
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "77")
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    keep_few_kernels()
    assert os.environ["LRU_CACHE_CAPACITY"] == "77" and int(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) < 100


_SHAPES = """
import sys
import fairseq_distill.modules.memory as memory
if sys.argv[1] == "few":
    memory.keep_few_kernels()
import torch
torch.set_num_threads(1)
weight = torch.ones(384, 384, dtype=torch.bfloat16)

def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096

def multiply(sizes):
    for size in sizes:
        torch.nn.functional.linear(torch.ones(size, 384, dtype=torch.bfloat16), weight)

multiply(range(400, 416))
before = resident()
multiply(range(416, 816))
print(resident() - before)
"""


def grown(way):
    environment = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    command = [sys.executable, "-c", _SHAPES, way]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def test_kernels_of_shapes_that_passed_are_let_go():
    many = grown("many")
    if many < 8 << 20:
        pytest.skip("PyTorch keeps little of bfloat16 products on this processor")
    assert grown("few") < many / 2
