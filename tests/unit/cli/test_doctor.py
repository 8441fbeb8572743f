"""fairseq-doctor: each known fault is found with the command that mends it, and nothing that is missing stops it."""

import importlib
import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairseq_distill import environment, machine
from fairseq_distill.cli.doctor import cli_main

REPO = Path(__file__).parents[3]
GOOD = {
    "torch": "2.13.0+cpu", "numpy": "2.4.6", "fairseq-fixed": "0.12.3.1", "sentencepiece": "0.2.3",
    "sacremoses": "0.2.0", "safetensors": "0.8.0", "sentence-transformers": "6.2.0", "faiss-cpu": "1.15.1",
}  # fmt: skip


@pytest.fixture
def machine_with(monkeypatch):
    """A function that lets only these packages be there, each None or a version; modules in ``broken`` do not load."""

    def pretend(broken=(), cuda=None, gpu=False, usable=False, **packages):
        there = {name: v for name, v in {**GOOD, **{k.replace("_", "-"): v for k, v in packages.items()}}.items() if v}
        original = importlib.import_module

        def version(name):
            if name not in there:
                raise metadata.PackageNotFoundError(name)
            return there[name]

        def load(name):
            if name in broken or name in ("torch", "numpy") and name not in there:
                raise OSError(f"lib{name}.so: cannot open shared object file")
            if name == "torch":
                facts = SimpleNamespace(
                    is_available=lambda: usable, is_bf16_supported=lambda: True, device_count=lambda: 1,
                    get_device_name=lambda i: "a GPU",
                )  # fmt: skip
                return SimpleNamespace(version=SimpleNamespace(cuda=cuda), cuda=facts)
            return original(name)

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(importlib, "import_module", load)
        monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: gpu)

    return pretend


def findings(folder):
    return {finding.part: finding for finding in environment.examine(folder)}


def test_a_good_machine_has_nothing_wrong(machine_with, tmp_path, capsys):
    machine_with()
    assert cli_main(["--quiet", "--folder", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "wrong" not in said and "torch" in said and "2.13.0+cpu" in said
    for part in ("torch", "numpy", "fairseq", "faiss", "sentencepiece"):
        assert "(tested with " in findings(tmp_path)[part].found, part


@pytest.mark.parametrize(
    "changed, part, state, words",
    [
        ({"torch": None}, "torch", "wrong", r"pip install 'torch==2\.13\.0'"),
        ({"torch": "2.5.1"}, "torch", "wrong", "older than 2.6"),
        ({"torch": "3.0.0"}, "torch", "warning", "tested with 2.13.0"),
        ({"broken": ["torch"]}, "torch", "wrong", "does not load: OSError: libtorch.so"),
        ({"cuda": "13.0", "gpu": True}, "cuda", "wrong", "driver is older"),
        ({"gpu": True}, "cuda", "warning", "PyTorch for CPUs alone"),
        ({"cuda": "13.0", "gpu": True, "usable": True}, "cuda", "ok", "a GPU, bfloat16"),
        ({"torchaudio": "2.11.0"}, "torchaudio", "wrong", "pip uninstall -y torchaudio"),
        ({"fairseq_fixed": None}, "fairseq", "warning", "training needs it"),
        ({"fairseq_fixed": None, "fairseq": "0.12.2"}, "fairseq", "wrong", r"NumPy 2\.4\.6"),
        ({"numpy": None}, "numpy", "wrong", "pip install"),
        ({"sentencepiece": None}, "sentencepiece", "wrong", "pip install 'sentencepiece=="),
        ({"sacremoses": None}, "sacremoses", "wrong", "not installed"),
        ({"sentence_transformers": None}, "sentence-transformers", "ok", "only for teachers sbert"),
        ({"faiss_gpu": "1.9.0"}, "faiss", "warning", "one overwrites the other"),
        ({"faiss_cpu": None}, "faiss", "ok", "not installed"),
    ],
)
def test_each_fault_is_found(machine_with, tmp_path, capsys, changed, part, state, words):
    machine_with(**changed)
    found = findings(tmp_path)[part]
    assert found.state == state
    assert re.search(words, f"{found.found} {found.mend}")
    assert bool(found.mend) == (state != "ok")
    assert cli_main(["--quiet", "--json", "--folder", str(tmp_path)]) == (state == "wrong")
    assert {"part": part, "state": state, "found": found.found, "mend": found.mend} in json.loads(
        capsys.readouterr().out
    )


def test_it_runs_where_nothing_at_all_is_installed(tmp_path):
    program = (
        "import sys, importlib.metadata as m\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        if top not in sys.stdlib_module_names and top != 'fairseq_distill':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "def none(*_): raise m.PackageNotFoundError('x')\n"
        "m.version = m.requires = none\n"
        "from fairseq_distill.cli.doctor import cli_main\n"
        "sys.exit(cli_main(['--json', '--quiet', '--full', '--folder', sys.argv[1]]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False, cwd=REPO
    )
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    wrong = {finding["part"] for finding in json.loads(ran.stdout) if finding["state"] == "wrong"}
    assert wrong == {"torch", "numpy", "sentencepiece", "sacremoses", "safetensors"}


def test_versions_have_one_source():
    tested = environment.tested_versions()
    pins = dict(
        line.split("==")
        for line in (REPO / "constraints.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )
    assert {environment._normal(name): version for name, version in pins.items()}.items() <= tested.items()
    assert {"torch", "fairseq-fixed"} <= set(tested)
    assert environment.tested_versions(Path("/nowhere")) == {}
    assert environment.numbers("2.13.0+cpu") == (2, 13, 0) > environment.numbers("2.6")


def test_two_copies_of_the_package_are_named(tmp_path, monkeypatch):
    (tmp_path / "fairseq_distill" / "tasks").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    found = environment.check_copies()
    assert found.state == "warning" and str(tmp_path) in found.found


def test_disk_locks_and_threads(tmp_path, monkeypatch):
    disk, locks = machine.check_disk(tmp_path)
    assert disk.part == "disk" and locks == machine.Finding("locks", "ok", "files can be locked")
    assert not list(tmp_path.iterdir())
    (absent,) = machine.check_disk(tmp_path / "absent")
    assert absent.state == "wrong" and "mkdir -p" in absent.mend
    monkeypatch.setattr(machine.fcntl, "flock", lambda *_: None)  # as on a file system whose locks keep nobody out
    assert list(machine.check_disk(tmp_path))[1].state == "warning"
    monkeypatch.setenv("OMP_NUM_THREADS", "99999")
    assert machine.check_threads().mend == "unset OMP_NUM_THREADS"
    monkeypatch.setattr(machine, "available_memory", lambda: 1 << 30)
    assert machine.check_memory().state == "warning"
