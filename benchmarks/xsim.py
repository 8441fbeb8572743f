"""xsim with three margins: ours against plain torch and faiss, and against the arithmetic floor, in one run.

    python benchmarks/xsim.py                        10,000 pairs x 1024, a minute on an idle machine
    python benchmarks/xsim.py --n 2000 --threads 1 --cpu-time

Random unit vectors, each pair at cosine --cosine. Each system lives in a process of its own with its vectors in memory, and
they take turns; seconds are those of the search and the margins, after start. RSS is each process's peak.

    floor   one float32 product of the two matrices by NumPy's BLAS
    ours    fairseq_distill.evaluation.xsim.xsim_margins; one row a --precision
    torch   one float32 product, topk along both sides
    faiss   IndexFlatIP, both directions

All must count the same errors, but for --tolerance pairs where ours screens in bfloat16, or the script fails.
"""

import argparse
import sys
from typing import Callable, Dict, List, Tuple

import common
import numpy as np
from common import Run, System

MARGINS = ("absolute", "distance", "ratio")
Search = Callable[[], Tuple[np.ndarray, np.ndarray, np.ndarray]]


def vectors(args: argparse.Namespace) -> Tuple[np.ndarray, np.ndarray]:
    """Two float32 [N, D] of unit vectors; the same in every process."""
    random = np.random.default_rng(args.seed)
    src, noise = (random.standard_normal((args.n, args.dim), dtype=np.float32) for _ in range(2))
    src /= np.linalg.norm(src, axis=1, keepdims=True)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    tgt = args.cosine * src + (1 - args.cosine**2) ** 0.5 * noise
    return src, tgt / np.linalg.norm(tgt, axis=1, keepdims=True)


def errors_of(cosines: np.ndarray, indices: np.ndarray, backward: np.ndarray) -> Dict[str, float]:
    """Errors of each margin, written plainly.

    Args:
        cosines, indices: [N, K], the neighbours of each source sentence, the nearest first.
        backward: [N, K], cosines of each target sentence to its neighbours.
    """
    mean = (cosines.mean(axis=1)[:, None] + backward.mean(axis=1)[indices]) / 2
    scores = {"absolute": cosines, "distance": cosines - mean, "ratio": cosines / mean}
    rows = np.arange(len(cosines))
    return {name: float((indices[rows, score.argmax(axis=1)] != rows).sum()) for name, score in scores.items()}


def searched(search: Search, args: argparse.Namespace) -> Callable[[], Run]:
    """A turn of a peer: its search and the plain margins."""

    def turn() -> Run:
        seconds, errors = common.timed(lambda: errors_of(*search()), args.cpu_time)
        return {"seconds": seconds, **errors}

    return turn


def make_floor(args: argparse.Namespace) -> Callable[[], Run]:
    """The product alone."""
    src, tgt = vectors(args)
    out = np.empty((len(src), len(tgt)), dtype=np.float32)
    np.matmul(src[:64], tgt[:64].T)
    return lambda: {"seconds": common.timed(lambda: np.matmul(src, tgt.T, out=out), args.cpu_time)[0]}


def make_ours(precision: str, args: argparse.Namespace) -> Callable[[], Run]:
    """One search for all margins."""
    import torch

    from fairseq_distill.evaluation.xsim import xsim_margins

    torch.set_num_threads(args.threads)
    src, tgt = vectors(args)
    xsim_margins(src[:100], tgt[:100], k=args.k, precision=precision)

    def turn() -> Run:
        seconds, results = common.timed(
            lambda: xsim_margins(src, tgt, MARGINS, k=args.k, precision=precision), args.cpu_time
        )
        return {"seconds": seconds, **{name: float(result.errors) for name, result in results.items()}}

    return turn


def make_torch(args: argparse.Namespace) -> Callable[[], Run]:
    """What one would write in a few lines."""
    import torch

    torch.set_num_threads(args.threads)
    src, tgt = (torch.from_numpy(side) for side in vectors(args))

    def search() -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        product = src @ tgt.t()
        cosines, indices = product.topk(args.k, dim=1)
        return cosines.numpy(), indices.numpy(), product.topk(args.k, dim=0).values.t().numpy()

    return searched(search, args)


def make_faiss(args: argparse.Namespace) -> Callable[[], Run]:
    """Two exact searches."""
    import faiss

    faiss.omp_set_num_threads(args.threads)
    src, tgt = vectors(args)

    def neighbours(keys: np.ndarray, queries: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        index = faiss.IndexFlatIP(keys.shape[1])
        index.add(keys)
        return index.search(queries, args.k)

    return searched(lambda: (*neighbours(tgt, src), neighbours(src, tgt)[0]), args)


def report(runs: Dict[str, List[Run]], args: argparse.Namespace) -> int:
    """The table; 1 when a system counts other errors."""
    floor = common.median(runs["floor"], "seconds")
    print(f"floor: {2e-9 * args.n * args.n * args.dim / floor:,.0f} GFLOP/s\n")
    print(
        "| system | seconds, median | range | of the floor | of torch | errors (absolute, distance, ratio) | peak RSS MB |"
    )
    print("|---|---|---|---|---|---|---|")
    good = True
    for name, many in runs.items():
        seconds, errors = common.median(many, "seconds"), "-"
        if name != "floor":
            errors = ", ".join(f"{many[0][margin]:.0f}" for margin in MARGINS)
            apart = max(abs(run[margin] - runs["torch"][0][margin]) for run in many for margin in MARGINS)
            good = good and apart <= (args.tolerance if name.startswith("ours") else 0)
        ratios = f"{seconds / floor:.2f} | {seconds / common.median(runs['torch'], 'seconds'):.2f}"
        memory = max(run["rss"] for run in many)
        print(f"| {name} | {seconds:.3f} | {common.spread(many, 'seconds')} | {ratios} | {errors} | {memory:,.0f} |")
    print("\nThe errors agree." if good else "\nThe errors differ.")
    return 0 if good else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="pairs")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("-k", type=int, default=4)
    parser.add_argument("--cosine", type=float, default=0.15, help="of a pair; low enough that some are not found")
    parser.add_argument("--precision", nargs="+", default=["auto"], choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--tolerance", type=int, default=2, help="pairs by which our errors may differ")
    common.add_options(parser, repeats=5)
    args = parser.parse_args()
    systems: Dict[str, System] = {"floor": System(make_floor, (args,))}
    for precision in args.precision:
        systems[f"ours {precision}"] = System(make_ours, (precision, args))
    systems["torch"], systems["faiss"] = System(make_torch, (args,)), System(make_faiss, (args,))
    print(common.machine(args))
    print(f"{args.n:,} pairs x {args.dim}, k={args.k}, three margins, {args.repeats} turns")
    return report(common.in_turns(systems, args.repeats, args.threads), args)


if __name__ == "__main__":
    sys.exit(main())
