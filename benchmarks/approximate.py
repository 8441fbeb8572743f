"""Approximate mining against the exact search, in one run.

    python benchmarks/approximate.py                                        30,000 x 30,000 x 1024, minutes
    python benchmarks/approximate.py --n 1000000 --max-memory 3G            the mark: 8 GB, 10 times faster than exact
    python benchmarks/approximate.py --n 200000 --systems exact faiss approximate

Synthetic embeddings, float16 on disk, with topics in topics and a falling spectrum; a half of the rows have a translation
(cosine about 0.8), the others none. To find the nearest of 11,000 rows for 80, 90 and 95 % of rows without translation, 2.8, 4.7
and 6.6 % of all pairs must be compared; with MiniLM embeddings of 11,000 English news sentences 2.9, 5.8 and 11.2 %. Each
system runs in a process of its own:

    exact        both directions for two samples of sources against all targets; from their difference follows what all
                 sources would take, which is said. With --whole it is run whole
    faiss        IVF with as many lists as ours has clusters, 16-bit rows, built from all targets; a sample of sources,
                 nprobe doubled until the recall is met; scaled to both directions of all
    approximate  knn_both_approximate on everything; its recall is measured here once more, on rows of another sample
    command      fairseq-mine --search approximate as a whole process, from two texts to the mined TSV

Seconds are wall time, CPU seconds those of the whole process; RSS is each process's peak. The script fails when
the recall measured here is below the one wanted by more than its own error.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
BLOCK = 4096
SYSTEMS = ("exact", "faiss", "approximate", "command")
TOPICS, SUBTOPIC_ROWS = 200, 200  # topics; rows of a subtopic on each side
TOPIC, SUBTOPIC, OWN = 0.1, 0.1, 0.8  # shares of a vector's squared length
DECAY = 0.75  # component i is in proportion to i^-DECAY
TRANSLATION = 0.8  # cosine


def make_data(folder: Path, n: int, dim: int, seed: int) -> None:
    """Two texts of n lines and their embeddings; rows 0, 2, 4, ... are translations of one another."""
    random = np.random.default_rng(seed)
    scale = (1 + np.arange(dim, dtype=np.float32)) ** -DECAY
    topics = directions(random, TOPICS, scale)
    subtopics = directions(random, max(1, n // SUBTOPIC_ROWS), scale)
    home = random.integers(0, TOPICS, len(subtopics))
    files = [
        np.lib.format.open_memmap(str(folder / f"{side}.npy"), mode="w+", dtype="float16", shape=(n, dim))
        for side in ("src", "tgt")
    ]

    def sentences(rows: int) -> np.ndarray:
        which = random.integers(0, len(subtopics), rows)
        parts = (topics[home[which]], subtopics[which], directions(random, rows, scale))
        return unit(sum(share**0.5 * part for share, part in zip((TOPIC, SUBTOPIC, OWN), parts)))

    for start in range(0, n, BLOCK):
        rows = min(BLOCK, n - start)
        src, tgt = sentences(rows), sentences(rows)
        noise = directions(random, rows, scale)[::2]
        tgt[::2] = unit(TRANSLATION * src[::2] + (1 - TRANSLATION**2) ** 0.5 * noise)
        files[0][start : start + rows], files[1][start : start + rows] = src, tgt
    for file, side in zip(files, ("src", "tgt")):
        file.flush()
        (folder / f"{side}.txt").write_text("".join(f"{side} sentence {i}\n" for i in range(n)), encoding="utf-8")


def data(args: argparse.Namespace) -> Dict[str, Any]:
    """In a process of its own too: a child's peak RSS begins with its parent's."""
    make_data(args.folder, args.n, args.dim, args.seed)
    return {}


def directions(random: np.random.Generator, n: int, scale: np.ndarray) -> np.ndarray:
    """n random unit vectors, their components in proportion to ``scale``."""
    return unit(random.standard_normal((n, len(scale)), dtype=np.float32) * scale)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def opened(args: argparse.Namespace) -> Tuple[np.ndarray, np.ndarray]:
    """Both memory maps."""
    return np.load(args.folder / "src.npy", mmap_mode="r"), np.load(args.folder / "tgt.npy", mmap_mode="r")


def sample_ids(args: argparse.Namespace) -> np.ndarray:
    """Rows on which recall is measured here."""
    return np.sort(
        np.random.default_rng(args.seed + 1000).choice(args.n, min(args.n, args.recall_sample), replace=False)
    )


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def exact(args: argparse.Namespace) -> Dict[str, Any]:
    """Seconds of the whole search, and whether these were measured; leaves the exact neighbours of the sample."""
    from fairseq_distill.mining.knn import knn, knn_both

    src, tgt = opened(args)
    ids = sample_ids(args)
    for name, own, other in (("forward", src, tgt), ("backward", tgt, src)):
        found = knn(own, other, 1, index=(ids, None), precision=args.precision)
        np.save(args.folder / f"{name}.exact.npy", found.cosines[:, 0])
    options = {"precision": args.precision, "max_memory": args.max_memory}
    if args.whole:
        return {"seconds": timed(lambda: knn_both(src, tgt, args.k, **options)), "share": 1.0}
    size = max(1, min(args.n // 4, args.exact_sample))
    times = [timed(lambda: knn_both(src[: part * size], tgt, args.k, **options)) for part in (1, 2)]
    each = (times[1] - times[0]) / size
    return {"seconds": times[0] + each * (args.n - size), "share": 3 * size / args.n}


def approximate(args: argparse.Namespace) -> Dict[str, Any]:
    """Everything, and the recall on the rows whose exact neighbours are known."""
    from fairseq_distill.mining.approximate import knn_both_approximate

    src, tgt = opened(args)
    found: Dict[str, Any] = {}

    def work() -> None:
        found["forward"], found["backward"], found["report"] = knn_both_approximate(
            src, tgt, args.k, recall=args.recall, precision=args.precision, max_memory=args.max_memory
        )

    seconds, ids, result = timed(work), sample_ids(args), {}
    for name in ("forward", "backward"):
        path = args.folder / f"{name}.exact.npy"
        if path.exists():
            result[name] = float((found[name].cosines[ids, 0] >= np.load(path)).mean())
    report = found["report"]
    if report is not None:
        result.update(clusters=report.clusters, probes=report.probes, visited=report.visited, steps=report.seconds)
        result.update(sampled=report.recall.least)
    return {"seconds": seconds, **result}


def faiss_lists(args: argparse.Namespace) -> Dict[str, Any]:
    """An inverted file of faiss: what both directions of all would take, scaled up from a sample of sources."""
    import faiss

    from fairseq_distill.mining.clusters import cluster_count

    src, tgt = opened(args)
    lists = cluster_count(args.n)
    index = faiss.index_factory(args.dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)

    def build() -> None:
        index.train(tgt[: 40 * lists].astype(np.float32))
        for rows in blocks(tgt):
            index.add(rows)

    seconds, ids = timed(build), sample_ids(args)
    queries, right = src[ids].astype(np.float32), np.load(args.folder / "forward.exact.npy")
    for power in range(20):
        index.nprobe = min(lists, 1 << power)
        found: Dict[str, np.ndarray] = {}
        search = timed(lambda: found.update(cosines=index.search(queries, args.k)[0]))
        recall = float(
            (found["cosines"][:, 0] >= right - 1e-3).mean()
        )  # its rows are rounded, and of nearly unit length
        if recall >= args.recall or index.nprobe == lists:
            break
    return {"seconds": 2 * (seconds + search * args.n / len(ids)), "forward": recall, "probes": int(index.nprobe)}


def blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """float32, some thousand rows at a time."""
    for start in range(0, len(rows), 8 * BLOCK):
        yield rows[start : start + 8 * BLOCK].astype(np.float32)


WORKERS = {"data": data, "exact": exact, "faiss": faiss_lists, "approximate": approximate}


def run(system: str, args: argparse.Namespace) -> Dict[str, Any]:
    """One run of a system in a process of its own: what it says of itself, its seconds and peak RSS in MB."""
    options = ["-k", str(args.k), "--precision", args.precision, "--max-memory", str(args.max_memory)]
    options += ["--recall", str(args.recall), "--seed", str(args.seed)]
    if system == "command":
        words = [f"--{side}-{what}" for side in ("src", "tgt") for what in ("text", "emb")]
        files = [args.folder / f"{side}.{ending}" for side in ("src", "tgt") for ending in ("txt", "npy")]
        pairs = [str(word) for both in zip(words, files) for word in both]
        line = [sys.executable, "-m", "fairseq_distill.cli.mine", *pairs, "--output", str(args.folder / "mined.tsv")]
        line += [*options, "--search", "approximate", "--json"]
    else:
        line = [sys.executable, __file__, "--worker", system, "--folder", str(args.folder), *options]
        line += ["--n", str(args.n), "--dim", str(args.dim), "--exact-sample", str(args.exact_sample)]
        line += ["--recall-sample", str(args.recall_sample), *(["--whole"] if args.whole else [])]
    log = open(args.folder / f"{system}.log", "w+")
    start = time.perf_counter()
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    with log:
        log.seek(0)
        if status:
            raise SystemExit(f"{system} failed:\n{log.read()}")
    result = json.loads(out)
    if system == "command":
        report = result["approximate"] or {}
        result = {"seconds": seconds, "pairs": result["pairs"], "visited": report.get("visited", 1.0)}
    return {**result, "rss": usage.ru_maxrss / 1024, "cpu": usage.ru_utime + usage.ru_stime}


def report(results: Dict[str, Dict[str, Any]], args: argparse.Namespace) -> None:
    """The table; fails when the recall is too low."""
    inputs = 2 * args.n * args.dim * 2 / 2**20
    print(f"{args.n:,} x {args.n:,} x {args.dim}, float16, k={args.k}, recall wanted {args.recall:g}, seed {args.seed}")
    print(f"python {platform.python_version()}, numpy {np.__version__}, {len(os.sched_getaffinity(0))} cores, ", end="")
    print(f"--max-memory {args.max_memory:,}; inputs {inputs:,.0f} MB; load {os.getloadavg()[0]:.1f}")
    whole = results["exact"]["seconds"]
    if results["exact"]["share"] < 1:
        print(f"exact: extrapolated from {100 * results['exact']['share']:.1f} % of its work")
    print(
        "\n| system | seconds | exact is slower by | pairs compared % | recall@1 forward | backward | CPU s | peak RSS MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, row in results.items():
        cells = [f"{100 * row['visited']:.2f}" if "visited" in row else "-"]
        cells += [f"{row[side]:.4f}" if side in row else "-" for side in ("forward", "backward")]
        ratio = f"{row['seconds']:.1f} | {whole / row['seconds']:.1f}"
        print(f"| {name} | {ratio} | {' | '.join(cells)} | {row['cpu']:.1f} | {row['rss']:,.0f} |")
    steps = results.get("approximate", {}).get("steps")
    if steps:
        row = results["approximate"]
        print(
            "\nclusters of sources and of targets {}, {}; visited by a source {:.1f}, by a target {:.1f}; ".format(
                *row["clusters"], *row["probes"]
            )
            + f"recall@1 of its own samples {row['sampled']:.4f}"
        )
        print("steps: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in steps.items()))
    error = 3 * (args.recall * (1 - args.recall) / min(args.n, args.recall_sample)) ** 0.5
    for side in ("forward", "backward"):
        found = results.get("approximate", {}).get(side, 1.0)
        if found < args.recall - error:
            raise SystemExit(
                f"recall@1 {side} is {found:.4f}, below the {args.recall:g} wanted by more than {error:.4f}"
            )


def main() -> None:
    """See the head of the file."""
    from fairseq_distill.cli.search_options import byte_size

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=30_000, help="sentences a side")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--recall", type=float, default=0.95, help="wanted")
    parser.add_argument("--max-memory", type=byte_size, default=256 << 20, help="of ours, as in fairseq-mine")
    parser.add_argument("--precision", choices=("auto", "int8", "bfloat16", "float32"), default="auto", help="of ours")
    parser.add_argument("--exact-sample", type=int, default=10_000, help="sources of the smaller exact sample")
    parser.add_argument("--whole", action="store_true", help="run the exact search whole")
    parser.add_argument("--recall-sample", type=int, default=2000, help="rows of each side on which recall is measured")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["exact", "approximate", "command"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to put the data; a temporary folder if not given")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(WORKERS[args.worker](args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        args.folder = args.folder or Path(temporary)
        run("data", args)
        results = {}
        for name in ["exact", *(name for name in SYSTEMS if name in args.systems and name != "exact")]:
            results[name] = run(name, args)
            print(f"{name} {results[name]['seconds']:.1f} s", file=sys.stderr)
        report(results, args)
        if args.json:
            options = {name: str(value) for name, value in vars(args).items()}
            args.json.write_text(json.dumps({"options": options, "results": results}, indent=1))


if __name__ == "__main__":
    main()
