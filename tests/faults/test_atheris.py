"""fuzz_atheris.py for some seconds a format, where atheris is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.formats import FORMATS

SCRIPT = Path(__file__).with_name("fuzz_atheris.py")


def run(corpus, *words):
    command = [sys.executable, str(SCRIPT), "--seconds", "10", "--corpus", str(corpus), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_no_reader_has_a_finding(name, tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed: pip install atheris")
    done = run(tmp_path, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: sound")


FAULTY = """
import sys
sys.argv = ["fuzz", "--seconds", "20", "--corpus", sys.argv[1], "dictionary"]
sys.path.insert(0, {folder!r})
import fuzz_atheris
def read(path):
    if path.read_bytes().startswith(b"x"):
        raise KeyError("a fault of ours")
fuzz_atheris.FORMATS["dictionary"] = ("dict.txt", (), read)
fuzz_atheris.main()
"""


@pytest.mark.long
def test_a_finding_is_seen(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed: pip install atheris")
    program = FAULTY.format(folder=str(SCRIPT.parent))
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "1 findings (dictionary)" in done.stderr and "a fault of ours" in done.stderr
    assert [path for path in (tmp_path / "findings").iterdir() if path.read_bytes().startswith(b"x")]
