"""Two trainings at once do not write into one save directory, a killed one holds nobody up; a full disk and a hostile file are said."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch
from tiny_data import REPO, train

from fairseq_distill.embedding.student import load_checkpoint
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import disk_error, hold_folder
from fairseq_distill.tasks.last_words import sentence_about

HOLD = """
import os, sys, time
from fairseq_distill.formats.atomic import hold_folder
lock = hold_folder(sys.argv[1], "a test")
if os.fork() == 0:  # a worker, which outlives its parent
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True, cwd=REPO) as other:
        assert other.stdout.readline() == b"held\n"
        try:
            yield tmp_path, other
        finally:
            os.killpg(other.pid, signal.SIGKILL)


def test_a_second_training_is_refused(data, held):
    folder, other = held
    done, _, _ = train(data, folder, 2, check=False)
    assert done.returncode != 0 and not list(folder.glob("*.pt"))
    assert f"error: Another process is at work in {folder} (fairseq-train --save-dir)" in done.stderr
    train(data, folder, 2, "--no-save")  # writes nothing there
    other.kill()
    other.wait()  # its worker goes on
    train(data, folder, 2)
    assert (folder / "checkpoint_last.pt").is_file()


def test_the_holder_may_ask_again_and_others_are_told(held, tmp_path_factory):
    with pytest.raises(DataError, match="wait for it, or end it first"):
        hold_folder(held[0], "a test")
    mine = tmp_path_factory.mktemp("mine")
    with hold_folder(mine, "a test"), hold_folder(mine, "a test"):
        assert sorted(path.name for path in mine.iterdir()) == [".lock"]
    with pytest.raises(DataError, match="no/.lock"):
        hold_folder(mine / "no", "a test")


@pytest.fixture
def disk_of(tmp_path):
    """Makes a file system of some size; skipped where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size):
        options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(options, capture_output=True, check=False).returncode:
            pytest.skip("a small file system needs root")
        return folder / "run"

    yield mount
    subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.parametrize("size, names", [("500k", []), ("1m", ["checkpoint_1_5.pt"])])
def test_a_full_disk_is_said_and_leaves_no_half_checkpoint(size, names, data, disk_of):
    """One has no room for a checkpoint, the other none for the copy that is to be the best."""
    folder = disk_of(size)
    done, _, _ = train(data, folder, 6, check=False)
    said = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert done.returncode == 1 and len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "No space left on device" in said[0] and "run the same command again" in said[0]
    assert ("checkpoint_best.pt cannot be written" in said[0]) == bool(names)
    assert [path.name for path in folder.glob("*.pt")] == names
    for name in names:
        load_checkpoint(folder / name)


KILLED_WHILE_COPYING = """
import os, shutil, signal, sys
import fairseq_distill.tasks
from fairseq.checkpoint_utils import PathManager

def half(source, target):
    with open(source, "rb") as whole, open(target, "wb") as part:
        part.write(whole.read(3))
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "kill":
    shutil.copyfile = half
assert PathManager.copy(sys.argv[1], sys.argv[2], overwrite=True)
"""


@pytest.mark.parametrize("before", ["of before", None])
def test_a_kill_while_fairseq_copies_leaves_no_half_checkpoint(before, tmp_path):
    new, last = tmp_path / "checkpoint_1_5.pt", tmp_path / "checkpoint_last.pt"
    new.write_text("new one")
    if before is not None:
        last.write_text(before)
    words = [sys.executable, "-c", KILLED_WHILE_COPYING, str(new), str(last)]
    assert subprocess.run([*words, "kill"], cwd=REPO, check=False).returncode == -signal.SIGKILL
    assert (last.read_text() if last.exists() else None) == before
    subprocess.run([*words, "go on"], cwd=REPO, check=True)
    assert last.read_text() == "new one"
    assert {path.name for path in tmp_path.iterdir()} == {new.name, last.name}


def test_what_is_said_of_errors(tmp_path):
    full = OSError(errno.ENOSPC, "No space left", str(tmp_path / "a"), None, str(tmp_path / "b.tmp"))
    said = sentence_about(full)
    assert said.startswith(f"{tmp_path}/b cannot be written: No space left on device (")
    try:
        raise disk_error(full, "b") from full
    except DataError as error:
        assert sentence_about(error) == said
    later = RuntimeError("unexpected pos 64 vs 0")
    later.__context__ = OSError(errno.ENOSPC, "No space left")
    assert sentence_about(later).startswith("A checkpoint cannot be written: No space left on device.")
    assert sentence_about(DataError("so and so")) == "so and so"
    assert sentence_about(ValueError("a fault of ours")) is None and sentence_about(OSError(errno.EIO, "x")) is None


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("option", ["--restore-file", "--finetune-from-model", "--init-student-from", None])
def test_a_hostile_checkpoint_is_refused_in_one_sentence(option, data, tmp_path):
    harm, run = tmp_path / "harm", tmp_path / "run"
    run.mkdir()
    bad = tmp_path / "bad.pt" if option else run / "checkpoint_last.pt"
    torch.save({"model": Harm(harm), "args": None}, bad, pickle_protocol=2, _use_new_zipfile_serialization=False)
    done, _, _ = train(data, run, 2, *([option, bad] if option else []), check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and not harm.exists(), done.stderr
    assert f"fairseq-train: error: {bad} holds objects that are not loaded for safety (io.open)." in done.stderr
    torch.load(bad, weights_only=False)
    assert harm.exists(), "the harm would work"
