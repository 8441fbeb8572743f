"""The options of ``fairseq-mine`` and ``fairseq-xsim`` that are the same: what is compared, and how."""

import argparse
from typing import Sequence

from fairseq_distill import defaults
from fairseq_distill.formats.embeddings import DTYPES

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def byte_size(text: str) -> int:
    """Bytes from 268435456, 300M or 1.5G (powers of 1024).

    Raises:
        argparse.ArgumentTypeError: not of this form, or not positive.
    """
    digits = text.strip().upper().removesuffix("B")
    unit = _UNITS.get(digits[-1:], 1)
    try:
        size = int(float(digits.rstrip("KMGT")) * unit)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 268435456, 300M or 2G")
    return size


def add_embedding_options(parser: argparse.ArgumentParser) -> None:
    """How embedding files are read, and whether two that do not belong together are refused."""
    parser.add_argument("--dim", type=int, metavar="E", help="width of the vectors in raw files; checked for .npy")
    parser.add_argument("--dtype", choices=DTYPES, help="type of the numbers in raw files; float32 if not given")
    parser.add_argument(
        "--force", action="store_true", help="go on although embeddings are of other teacher spaces or of another text"
    )


def add_margin_options(parser: argparse.ArgumentParser, margins: Sequence[str], default: str) -> None:
    """``--margin``, one of ``margins``, and ``-k``."""
    parser.add_argument("--margin", choices=margins, default=default, help="how candidates are scored")
    parser.add_argument(
        "-k",
        type=int,
        default=defaults.NEIGHBOURHOOD,
        metavar="K",
        help="neighbours in the margin, and candidates of a sentence; at least 1",
    )
