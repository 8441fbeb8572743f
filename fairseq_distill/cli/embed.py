"""``fairseq-embed``: text, or a subset of a data directory, to embeddings; or typed sentences to their neighbours."""

import argparse
import sys
from typing import Optional, Sequence

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.cli.encoder_options import add_encoder_options, add_row_options, open_named
from fairseq_distill.cli.look_up import add_look_up_options, look_up
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.lines import require_file


def make_embed_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-embed",
        "Embed text: row i of the output is line i of the input. Runs without fairseq. A run that was killed goes on where "
        "it was; an output that is up to date is left alone. Or, with --neighbours, find the nearest lines of an embedded text "
        "for sentences that you type.",
        "fairseq-embed --path checkpoints/checkpoint_best.pt --input mono.swa --output mono.swa.npy\n"
        "  fairseq-embed DATA --path checkpoints/checkpoint_best.pt --gen-subset valid --results-path embeddings\n"
        "  fairseq-embed --path checkpoints/checkpoint_best.pt --neighbours crawl.eng crawl.eng.npy",
    )
    parser.add_argument("data", nargs="?", metavar="DATA", help="a data directory, of which --gen-subset is embedded")
    parser.add_argument(
        "--path",
        required=True,
        metavar="CKPT",
        help="a student's checkpoint, a LASER3 or LASER2 file, or any encoder KIND:PATH as fairseq-teach has",
    )
    text = parser.add_argument_group("raw text")
    text.add_argument("--input", metavar="FILE", help="one sentence a line, .gz too; - is standard input")
    text.add_argument("--output", metavar="OUT", help="OUT.npy, or any name with --raw")
    text.add_argument("--shard", metavar="I/N", help="embed only part I of N of the lines, into OUT.shardIofN.npy")
    text.add_argument(
        "--join-shards", type=int, metavar="N", help="embed nothing: put the N shards of OUT together, and remove them"
    )
    subset = parser.add_argument_group("a data directory")
    subset.add_argument("--gen-subset", default="valid", metavar="SPLIT", help="train or valid")
    subset.add_argument(
        "--results-path", metavar="DIR", help="where SPLIT.CORPUS.LANGUAGE.npy is written for each corpus"
    )
    add_look_up_options(parser)
    add_row_options(parser, defaults.EMBED_DTYPE)
    add_encoder_options(parser)
    return parser


def check(args: argparse.Namespace) -> None:
    """Raise a ConfigError when the options do not say one thing to do, before an encoder is loaded."""
    if args.neighbours is not None:
        if args.data or args.output or args.shard or args.join_shards:
            raise ConfigError("--neighbours writes no vectors: give it --input FILE, or type sentences, and no output.")
        return
    if (args.data is None) == (args.input is None):
        raise ConfigError("Give either a data directory (DATA) or a text (--input FILE; --input - is standard input).")
    if args.data is not None and args.results_path is None:
        raise ConfigError("--results-path DIR is missing: where the embeddings of the data directory's corpora go.")
    if args.input is not None and args.output is None:
        raise ConfigError("--output OUT is missing: where the embeddings go.")
    if args.data is not None and (args.output or args.shard or args.join_shards):
        raise ConfigError(
            "--output, --shard and --join-shards go with --input; a data directory's go to --results-path."
        )
    if args.output is not None and not args.raw and not args.output.endswith(".npy"):
        raise ConfigError(f"--output {args.output} must end with .npy; a headerless file is written with --raw.")
    if args.join_shards is not None and (args.join_shards < 1 or args.shard):
        raise ConfigError(f"--join-shards {args.join_shards} needs 1 or more shards and goes without --shard.")


def main(args: argparse.Namespace) -> None:
    check(args)
    if args.neighbours is not None:
        look_up(args)
        return
    from fairseq_distill.embedding.export import embed, embed_subset, join_shards, parse_shard

    shard = parse_shard(args.shard) if args.shard else None
    if args.input not in (None, "-"):  # an encoder takes seconds to load, and what the user got wrong shows without it
        require_file(args.input)
    encoder = open_named(args.path, args)
    rows = {"dtype": args.dtype, "raw": args.raw, "unit_length": args.unit_length, "spec": args.path}
    if args.data is not None:
        for file in embed_subset(encoder, args.data, args.gen_subset, args.results_path, **rows):
            print(file)
    elif args.join_shards:
        print(join_shards(args.output, args.join_shards, args.raw, encoder.dim, args.dtype))
    else:
        print(embed(encoder, args.input, args.output, shard=shard, **rows))


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    return run_command(make_embed_parser(), main, argv)


if __name__ == "__main__":
    sys.exit(cli_main())
