"""The C library's memory setting: taken where there is glibc, and large tensors come and go as before."""

import platform

import torch

from fairseq_distill.modules.memory import keep_freed_memory


def test_the_setting_is_taken_where_there_is_glibc():
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
    for _ in range(3):
        assert float(torch.ones(3_000_000).sum()) == 3_000_000


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert keep_freed_memory() is False
