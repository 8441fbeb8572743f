"""A file is whole under its final name, or it is not there: after errors, full disks and kills."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import atomic_path, disk_error, sha256_file, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_content_replaces_the_old_only_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), DataError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_one_sentence(tmp_path, code):
    with pytest.raises(DataError, match="The disk is full: .*a.bin could not be written; free some space"):
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_a_truly_full_disk(small_disk):
    (small_disk / "kept.bin").write_bytes(b"k" * 1000)
    with pytest.raises(DataError, match="The disk is full"):
        with atomic_path(small_disk / "a.bin") as temporary:
            temporary.write_bytes(b"x" * 200_000)
    assert names(small_disk) == ["kept.bin"]


def test_a_disk_that_fills_when_the_data_is_flushed(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="The disk is full"):
        write_text(tmp_path / "a.txt", "text")
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere/a.txt could not be written: No such file or directory"):
        write_text(tmp_path / "nowhere" / "a.txt", "text")


def test_a_folder_that_may_not_be_written_to(tmp_path, no_root):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="a.txt could not be written: Permission denied"):
        write_text(tmp_path / "a.txt", "text")


def test_a_kill_leaves_no_file_under_the_final_name_and_the_next_run_cleans_up(tmp_path):
    path = tmp_path / "a.txt"
    program = (
        "import os, signal, sys\n"
        "from fairseq_distill.formats.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    write_text(path, "whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


def test_write_text_is_utf8_without_translated_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "ሰላም\r\nã\n")
    assert (tmp_path / "a.txt").read_bytes() == "ሰላም\r\nã\n".encode("utf-8")


def test_disk_error_gives_the_systems_reason():
    assert "Is a directory" in str(disk_error(OSError(errno.EISDIR, os.strerror(errno.EISDIR)), "x"))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_sha256_of_any_size(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_file(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


def test_sha256_of_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="a.bin cannot be read: No such file or directory"):
        sha256_file(tmp_path / "a.bin")
