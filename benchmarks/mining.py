"""Mining against faiss and against the arithmetic floor, in one run.

    python benchmarks/mining.py                     20,000 x 20,000 x 1024, minutes
    python benchmarks/mining.py --n 100000 -k 16 --repeats 1

Random unit vectors, a half of them planted pairs (cosine 0.55); each system runs in a process of its own, in turns:

    floor     one float32 product of the two matrices by NumPy's BLAS, in blocks of 4096 (above --sample blocks a sample
              of them, scaled up); nothing else
    faiss     IndexFlatIP, both directions, from vectors of unit length in memory: what LASER's miner waits for
    library   fairseq_distill.mining.pairs.mine: two texts and two .npy files in, the mined TSV out
    command   fairseq-mine as a whole process, start-up included
    xsim      three margins on --xsim pairs, the search alone

Seconds are the systems' own wall time, for "command" the process's. CPU seconds (of the whole process, all threads)
tell more on a busy machine; those of "floor" are of its sample. RSS is each process's peak; "floor" and "faiss" hold
their inputs in memory. Every planted pair must be found, or the script fails.
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
from typing import Any, Callable, Dict, List

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BLOCK = 4096
SYSTEMS = ("faiss", "library", "command")


def make_data(folder: Path, n: int, dim: int, dtype: str, seed: int) -> None:
    """Two texts of n lines and their embeddings; rows 0, 2, 4, ... are planted pairs."""
    random = np.random.default_rng(seed)
    files = [
        np.lib.format.open_memmap(str(folder / f"{side}.npy"), mode="w+", dtype=dtype, shape=(n, dim))
        for side in ("src", "tgt")
    ]
    for start in range(0, n, BLOCK):
        rows = min(BLOCK, n - start)
        src, tgt = (unit(random.standard_normal((rows, dim), dtype=np.float32)) for _ in range(2))
        tgt[::2] = unit(0.55 * src[::2] + (1 - 0.55**2) ** 0.5 * tgt[::2])
        files[0][start : start + rows], files[1][start : start + rows] = src, tgt
    for file, side in zip(files, ("src", "tgt")):
        file.flush()
        (folder / f"{side}.txt").write_text("".join(f"{side} sentence {i}\n" for i in range(n)), encoding="utf-8")


def data(args: argparse.Namespace) -> Dict[str, Any]:
    """In a process of its own too: a child's peak RSS begins with its parent's."""
    make_data(args.folder, args.n, args.dim, args.dtype, args.seed)
    return {}


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def floor(args: argparse.Namespace) -> Dict[str, Any]:
    """One float32 product, block by block."""
    src, tgt = (np.load(args.folder / f"{side}.npy").astype(np.float32) for side in ("src", "tgt"))
    out = np.empty((min(BLOCK, len(src)), min(BLOCK, len(tgt))), np.float32)
    spans = [(i, j) for i in range(0, len(src), BLOCK) for j in range(0, len(tgt), BLOCK)]
    chosen = spans if len(spans) <= args.sample else spans[:: -(-len(spans) // args.sample)]
    seconds, work = 0.0, 0
    for i, j in chosen:
        left, right = src[i : i + BLOCK], tgt[j : j + BLOCK]
        seconds += timed(lambda: np.matmul(left, right.T, out=out[: len(left), : len(right)]))
        work += len(left) * len(right)
    return {"seconds": seconds * len(src) * len(tgt) / work, "share": work / (len(src) * len(tgt))}


def faiss_both_ways(args: argparse.Namespace) -> Dict[str, Any]:
    """Two exact searches."""
    import faiss

    src, tgt = (np.load(args.folder / f"{side}.npy").astype(np.float32) for side in ("src", "tgt"))

    def search(keys: np.ndarray, queries: np.ndarray) -> np.ndarray:
        index = faiss.IndexFlatIP(keys.shape[1])
        index.add(keys)
        return index.search(queries, args.k)[1]

    found: List[np.ndarray] = []
    seconds = timed(lambda: found.extend([search(tgt, src), search(src, tgt)]))
    planted = np.arange(0, len(src), 2)
    return {"seconds": seconds, "planted": int((found[0][planted] == planted[:, None]).any(axis=1).sum())}


def library(args: argparse.Namespace) -> Dict[str, Any]:
    """Texts and embeddings in, TSV out."""
    from fairseq_distill.mining.pairs import mine

    one, two, src, tgt = (args.folder / name for name in ("src.txt", "tgt.txt", "src.npy", "tgt.npy"))
    output = args.folder / "library.tsv"
    seconds = timed(lambda: mine(one, two, src, tgt, output, k=args.k, with_ids=True, precision=args.precision))
    return {"seconds": seconds, "planted": planted_in(output)}


def xsim(args: argparse.Namespace) -> Dict[str, Any]:
    """Three margins at once; the product's floor for the same size beside it."""
    from fairseq_distill.evaluation.xsim import xsim_margins

    src, tgt = (np.load(args.folder / f"{side}.npy")[: args.xsim].astype(np.float32) for side in ("src", "tgt"))
    if args.precision != "float32":
        try:
            import torch  # noqa: F401  # as in training, where it is loaded already
        except ImportError:
            pass
    xsim_margins(src[:100], tgt[:100])
    results: Dict[str, Any] = {}
    seconds = timed(lambda: results.update(xsim_margins(src, tgt, k=args.k, precision=args.precision)))
    product = timed(lambda: np.matmul(src, tgt.T))
    return {"seconds": seconds, "product": product, "errors": results["ratio"].errors}


def planted_in(path: Path) -> int:
    """How many planted pairs a mined file holds."""
    with open(path, encoding="utf-8") as stream:
        fields = (line.rstrip("\n").split("\t") for line in stream)
        return sum(int(one) == int(two) and int(one) % 2 == 1 for *_, one, two in fields)


WORKERS = {"data": data, "floor": floor, "faiss": faiss_both_ways, "library": library, "xsim": xsim}


def run(system: str, args: argparse.Namespace) -> Dict[str, Any]:
    """One run of a system in a process of its own: what it says of itself, and its peak RSS in MB."""
    options = ["-k", str(args.k), "--precision", args.precision]
    if system == "command":
        words = [f"--{side}-{what}" for side in ("src", "tgt") for what in ("text", "emb")]
        files = [args.folder / f"{side}.{ending}" for side in ("src", "tgt") for ending in ("txt", "npy")]
        pairs = [str(word) for both in zip(words, files) for word in both]
        output = args.folder / "command.tsv"
        line = [sys.executable, "-m", "fairseq_distill.cli.mine", *pairs, "--output", str(output), "--with-ids"]
        line += options
    else:
        line = [sys.executable, __file__, "--worker", system, "--folder", str(args.folder), *options]
        line += ["--sample", str(args.sample), "--xsim", str(args.xsim), "--seed", str(args.seed)]
        line += ["--n", str(args.n), "--dim", str(args.dim), "--dtype", args.dtype]
    start = time.perf_counter()
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{system} failed:\n{err}")
    result = {"seconds": seconds, "planted": planted_in(output)} if system == "command" else json.loads(out)
    return {**result, "rss": usage.ru_maxrss / 1024, "cpu": usage.ru_utime + usage.ru_stime}


def report(results: Dict[str, List[Dict[str, Any]]], args: argparse.Namespace) -> None:
    """The table; fails when a planted pair was lost."""
    median = {name: statistics.median(row["seconds"] for row in rows) for name, rows in results.items()}
    inputs = 2 * args.n * args.dim * np.dtype(args.dtype).itemsize / 2**20
    rate = 2e-9 * args.n * args.n * args.dim / median["floor"]
    print(f"{args.n:,} x {args.n:,} x {args.dim}, {args.dtype}, k={args.k}, precision {args.precision}")
    print(f"python {platform.python_version()}, numpy {np.__version__}, {len(os.sched_getaffinity(0))} cores")
    print(f"inputs {inputs:,.0f} MB; {args.repeats} runs in turns")
    print(f"floor: {rate:,.0f} GFLOP/s, measured on {100 * results['floor'][0]['share']:.0f} % of the product\n")
    print("| system | seconds, median (all) | of the floor | of faiss | CPU s | peak RSS MB | above the inputs MB |")
    print("|---|---|---|---|---|---|---|")
    for name, rows in results.items():
        if name == "xsim":
            continue
        every = ", ".join(f"{row['seconds']:.2f}" for row in rows)
        rss = max(row["rss"] for row in rows)
        ratios = f"{median[name] / median['floor']:.2f} | "
        ratios += f"{median[name] / median['faiss']:.2f}" if "faiss" in median else "-"
        cpu = statistics.median(row["cpu"] for row in rows)
        print(f"| {name} | {median[name]:.2f} ({every}) | {ratios} | {cpu:.1f} | {rss:,.0f} | {rss - inputs:,.0f} |")
    if "xsim" in results:
        product = statistics.median(row["product"] for row in results["xsim"])
        pairs = min(args.xsim, args.n)
        print(f"\nxsim, {pairs:,} pairs, three margins: {median['xsim']:.3f} s; the float32 product {product:.3f} s")
    planted = (args.n + 1) // 2
    for name, rows in results.items():
        for row in rows:
            if row.get("planted", planted) != planted:
                raise SystemExit(f"{name} found {row['planted']:,} of {planted:,} planted pairs")
    print("\nEvery planted pair was found.")


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="sentences a side")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of the files")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of ours")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sample", type=int, default=64, help="blocks of 4096 x 4096 from which the floor is taken")
    parser.add_argument("--xsim", type=int, default=10_000, help="pairs of the xsim row; 0 leaves it out")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to put the data; a temporary folder if not given")
    parser.add_argument("--json", type=Path, help="also write every run to this file")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(WORKERS[args.worker](args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        args.folder = args.folder or Path(temporary)
        run("data", args)
        systems = ["floor", *args.systems, *(["xsim"] if args.xsim else [])]
        results: Dict[str, List[Dict[str, Any]]] = {name: [] for name in systems}
        for turn in range(args.repeats):
            for name in systems:
                results[name].append(run(name, args))
                print(f"run {turn + 1}: {name} {results[name][-1]['seconds']:.2f} s", file=sys.stderr)
        report(results, args)
        if args.json:
            options = {name: str(value) for name, value in vars(args).items()}
            args.json.write_text(json.dumps({"options": options, "runs": results}, indent=1))


if __name__ == "__main__":
    main()
