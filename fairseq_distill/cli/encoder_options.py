"""The options by which ``fairseq-teach`` and ``fairseq-embed`` run an encoder and write its rows."""

import argparse

from fairseq_distill import defaults
from fairseq_distill.formats.embeddings import DTYPES


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """``--device``, ``--precision``, ``--max-tokens``."""
    parser.add_argument("--device", default="auto", help="auto (the first GPU, else the CPU), cpu, cuda or cuda:INDEX")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="of the matrix products; auto: bfloat16 where the hardware multiplies it and the vectors keep to float32's",
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        default=defaults.EMBED_MAX_TOKENS,
        help="most tokens of a batch, padding counted, 1 or more; fewer need less memory",
    )


def add_row_options(parser: argparse.ArgumentParser, dtype: str) -> None:
    """``--dtype``, ``--raw``, ``--unit-length``."""
    parser.add_argument("--dtype", default=dtype, choices=DTYPES, help="type of the numbers in the output")
    parser.add_argument("--raw", action="store_true", help="write LASER's headerless layout instead of .npy")
    parser.add_argument("--unit-length", action="store_true", help="scale each row to Euclidean length 1")
