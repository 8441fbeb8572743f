"""The options by which ``fairseq-teach`` and ``fairseq-embed`` run an encoder and write its rows."""

import argparse

from fairseq_distill import defaults
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.formats.embeddings import DTYPES

PRECISIONS = ("auto", "float32", "bfloat16", "int8")  # modules/precision.py has them too, but brings PyTorch


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """``--device``, ``--precision``, ``--max-tokens``; ``--spm`` and ``--cvocab`` of LASER's files."""
    parser.add_argument("--device", default="auto", help="auto (the first GPU, else the CPU), cpu, cuda or cuda:INDEX")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="of the matrix products; auto: bfloat16 where the hardware multiplies it and the vectors keep to float32's; "
        "int8: a student on a CPU, faster still, cosines to float32's above 0.999",
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        default=defaults.EMBED_MAX_TOKENS,
        help="most tokens of a batch, padding counted, 1 or more; fewer need less memory",
    )
    laser = parser.add_argument_group("for LASER2 and LASER3 files whose vocabulary does not lie beside them")
    laser.add_argument("--spm", metavar="FILE", help="SentencePiece model; else the .spm of its name, or laser2.spm")
    laser.add_argument(
        "--cvocab", metavar="FILE", help="dictionary; else the .cvocab of the SentencePiece model's name"
    )


def open_named(spec: str, args: argparse.Namespace) -> SentenceEncoder:
    """The encoder that ``spec`` names, with the options of :func:`add_encoder_options`."""
    from fairseq_distill.embedding.registry import open_encoder  # brings PyTorch, which --help does without

    return open_encoder(spec, args.device, args.precision, args.max_tokens, args.spm, args.cvocab)


def add_own_teacher_option(parser: argparse.ArgumentParser, file: str) -> None:
    """``--teacher``, for programs whose teacher stands in ``file``."""
    parser.add_argument(
        "--teacher",
        metavar="KIND:PATH",
        help=f"the teacher that {file} names; needed where it is code of your own, python:FILE.py:NAME, which is run only "
        "where you name it too",
    )


def add_row_options(parser: argparse.ArgumentParser, dtype: str) -> None:
    """``--dtype``, ``--raw``, ``--unit-length``."""
    parser.add_argument("--dtype", default=dtype, choices=DTYPES, help="type of the numbers in the output")
    parser.add_argument("--raw", action="store_true", help="write LASER's headerless layout instead of .npy")
    parser.add_argument("--unit-length", action="store_true", help="scale each row to Euclidean length 1")
