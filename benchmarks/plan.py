"""What fairseq-mine --plan predicts against what the run takes, in one run.

    python benchmarks/plan.py                                 20,000, 50,000 and 100,000 a side, exact and approximate
    python benchmarks/plan.py --sizes 3000 6000 --dim 256 --searches exact

For each size and search: the plan from the two files, then the run, both as whole processes, in turns. The data are those of
benchmarks/approximate.py. The aim is a ratio between 0.7 and 1.3 for time and for peak memory. Ratios of time mean
something on an idle machine only: a plan measures the machine for a second, the run meets it later.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def process(line: List[str]) -> Dict[str, Any]:
    """What a command prints as JSON, its wall time and its peak RSS in MB."""
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        child = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        assert child.stdout is not None
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            log.seek(0)
            raise SystemExit(f"{' '.join(line)} failed:\n{log.read()}")
    return {"printed": json.loads(out), "seconds": seconds, "rss": usage.ru_maxrss / 2**10}


def compare(folder: Path, search: str, args: argparse.Namespace) -> Dict[str, float]:
    """Predicted and measured, of one run."""
    words = ["--src-emb", str(folder / "src.npy"), "--tgt-emb", str(folder / "tgt.npy"), "--search", search]
    words += ["-k", str(args.k), "--max-memory", args.max_memory, "--precision", args.precision, "--json", "--quiet"]
    mine = [sys.executable, "-m", "fairseq_distill.cli.mine", *words]
    plan = process([*mine, "--plan"])["printed"][search]
    texts = ["--src-text", str(folder / "src.txt"), "--tgt-text", str(folder / "tgt.txt")]
    ran = process([*mine, *texts, "--output", str(folder / "mined.tsv")])
    if ran["printed"]["search"] != search:
        raise SystemExit(f"the {search} search was not used, since it does not pay at this size: choose larger --sizes")
    return {
        "plan_s": sum(plan["seconds"].values()),
        "run_s": ran["seconds"],
        "plan_mb": sum(plan["memory"].values()) / 2**20,
        "run_mb": ran["rss"],
    }


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 100_000], help="sentences a side")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--max-memory", default="256M")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--searches", nargs="+", choices=("exact", "approximate"), default=["exact", "approximate"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(
        f"width {args.dim:,}, float16, k={args.k}, --max-memory {args.max_memory}, precision {args.precision}; ", end=""
    )
    print(f"python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| search | a side | plan s | run s, median | plan / run | plan MB | run MB | plan / run |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            data = [
                sys.executable,
                str(ROOT / "benchmarks" / "approximate.py"),
                "--worker",
                "data",
                "--folder",
                temporary,
            ]
            process([*data, "--n", str(size), "--dim", str(args.dim), "--seed", str(args.seed)])
            for search in args.searches:
                runs = [compare(Path(temporary), search, args) for _ in range(args.repeats)]
                of = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
                print(
                    f"| {search} | {size:,} | {of['plan_s']:.1f} | {of['run_s']:.1f} | {of['plan_s'] / of['run_s']:.2f} | "
                    f"{of['plan_mb']:,.0f} | {of['run_mb']:,.0f} | {of['plan_mb'] / of['run_mb']:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
