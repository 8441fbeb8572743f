"""Hold out sentences of a bitext for validation and test: full sentences, distinct on both sides, chosen by their hash.

The choice depends on the English sentence alone, so that it is the same in every run and, where several languages
translate one text, mostly the same for all of them. What shares a side with a held-out pair leaves the training part.
"""

import logging
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from clean import line_keys, read_tidy

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, require_own_names
from fairseq_distill.formats.lines import require_same_length, write_lines
from fairseq_distill.languages import parse_pair

logger = logging.getLogger(__name__)


def choose(first: Sequence[str], second: Sequence[str], n: int, min_words: int) -> Tuple[np.ndarray, np.ndarray]:
    """Which pairs to hold out, and which may be trained on.

    Args:
        first, second: tidied lines of the two sides; the choice goes by ``first``.
        n: how many to hold out.
        min_words: words that ``first`` must have.

    Returns:
        int64 [n or fewer], indices of held-out pairs in the order of their hashes; bool [N], True for training.
    """
    keys = [line_keys(first), line_keys(second)]
    tallies = [Counter(side.tolist()) for side in keys]
    alone = np.array([tallies[0][int(a)] == 1 and tallies[1][int(b)] == 1 for a, b in zip(*keys)], dtype=bool)
    long = np.array([len(line.split()) >= min_words for line in first], dtype=bool)
    candidates = np.flatnonzero(alone & long)
    chosen = candidates[np.argsort(keys[0][candidates], kind="stable")][:n]
    train = np.ones(len(first), dtype=bool)
    train[chosen] = False  # each stands alone on both sides, so no other pair shares one with it
    return chosen, train


def main(args: Namespace) -> None:
    """Write the training part and the held-out parts."""
    codes = [language.code for language in parse_pair(args.pair)]
    paths = [f"{args.input}.{code}" for code in codes]
    wanted = _wanted(args.heldout)
    require_own_names(paths, [f"{prefix}.{code}" for prefix in (args.train, *wanted) for code in codes])
    sides = [read_tidy(path) for path in paths]
    require_same_length(paths[0], len(sides[0]), paths[1], len(sides[1]))
    chosen, train = choose(sides[0], sides[1], sum(wanted.values()), args.min_words)
    if len(chosen) < sum(wanted.values()):
        raise DataError(
            f"{paths[0]} has {len(chosen):,} distinct sentences of at least {args.min_words} words, fewer than the "
            f"{sum(wanted.values()):,} to hold out; hold out fewer, or lower --min-words."
        )
    parts = {args.train: np.flatnonzero(train)}
    start = 0
    for prefix, n in wanted.items():
        parts[prefix] = np.sort(chosen[start : start + n])
        start += n
    for prefix, rows in parts.items():
        try:
            Path(prefix).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, prefix) from error
        for code, side in zip(codes, sides):
            write_lines(f"{prefix}.{code}", (side[row] for row in map(int, rows)))
        logger.info(f"split_heldout | {prefix} | {len(rows):,} pairs")


def _wanted(heldout: List[str]) -> Dict[str, int]:
    wanted = {}
    for text in heldout:
        prefix, sign, number = text.rpartition("=")
        if not sign or not prefix or not number.isdecimal() or not int(number):
            raise ConfigError(f"--heldout {text!r} is not of the form PREFIX=N.")
        wanted[prefix] = int(number)
    return wanted


def _parser() -> Any:
    parser = make_parser(
        "split_heldout.py",
        "Split a bitext into a training part and held-out sentences.",
        "python data_prep/split_heldout.py --pair eng-zul --input work/zul/all --train work/zul/train "
        "--heldout work/zul/dev=300 --heldout work/zul/test=300",
    )
    parser.add_argument("--pair", required=True, metavar="A-B", help="languages; the choice goes by side A")
    parser.add_argument("--input", required=True, metavar="PREFIX", help="reads PREFIX.A and PREFIX.B")
    parser.add_argument("--train", required=True, metavar="PREFIX", help="writes what is left")
    parser.add_argument("--heldout", required=True, action="append", metavar="PREFIX=N", help="writes N sentence pairs")
    parser.add_argument("--min-words", type=int, default=5, metavar="N", help="words of side A that make a sentence")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(_parser(), main))
