"""What memory.py gives the commands: text with the lengths of news, drawn vectors, a mined file. A process of its own, whose memory counts for none.

    python benchmarks/memory_inputs.py --folder DIR --lines 20000 --dim 1024           a set of inputs
    python benchmarks/memory_inputs.py --vectors-of FILE FILE --dim 1024               FILE.npy, a drawn vector a line

In DIR: ``a`` and ``b``, n lines each, with vectors; ``train`` and ``valid``, n pairs of which 200 are the valid set; ``mono``, n further
lines a side; ``mined.tsv``, n pairs with line numbers.
"""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

import common
import numpy as np

VALID = 200  # pairs
LANGS = ("swa", "eng")


def write(path: Path, lines: List[str]) -> None:
    """Write a text file."""
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def draw_vectors(path: Path, n: int, dim: int, seed: int) -> None:
    """Write float32 [n, dim] to a ``.npy`` file, a block at a time."""
    rows = np.lib.format.open_memmap(str(path), mode="w+", dtype=np.float32, shape=(n, dim))
    random = np.random.default_rng(seed)
    for start in range(0, n, 4096):
        rows[start : start + 4096] = random.standard_normal((min(4096, n - start), dim), dtype=np.float32)


def make_inputs(folder: Path, n: int, dim: int, seed: int) -> None:
    """Everything of the list above."""
    folder.mkdir(parents=True)
    sides = []
    for number, (name, lang) in enumerate(zip("ab", LANGS)):
        lines = common.lines_of(None, n, seed + number)
        write(folder / name, lines)
        draw_vectors(folder / f"{name}.npy", n, dim, seed + number)
        write(folder / f"train.{lang}", lines[VALID:])
        write(folder / f"valid.{lang}", lines[:VALID])
        write(folder / f"mono.{lang}", common.lines_of(None, n, seed + 2 + number))
        sides.append(lines)
    scores = np.linspace(1.3, 1, n)
    rows = enumerate(zip(scores, *sides), start=1)
    write(folder / "mined.tsv", [f"{score:.6f}\t{src}\t{tgt}\t{row}\t{row}" for row, (score, src, tgt) in rows])


def main(words: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--lines", type=int, default=5000, help="at least 400")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vectors-of", type=Path, nargs="+", default=[], metavar="FILE")
    args = parser.parse_args(words)
    if args.folder is not None:
        make_inputs(args.folder, args.lines, args.dim, args.seed)
    for number, text in enumerate(args.vectors_of):
        with open(text, "rb") as stream:
            n = sum(1 for _ in stream)
        draw_vectors(Path(f"{text}.npy"), n, args.dim, args.seed + number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
