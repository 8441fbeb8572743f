"""Faults that several tests inject."""

import os
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 64 kB; skipped where this user may not mount one."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def no_root():
    """Skips a test about permissions, which root does not have to heed."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
