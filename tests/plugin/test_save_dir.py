"""Two trainings at once do not write into one save directory; a killed one holds nobody up."""

import os
import signal
import subprocess
import sys

import pytest
from tiny_data import REPO, train

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import hold_folder

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
