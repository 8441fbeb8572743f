"""``fairseq-export``: a trained student in the files of other tools."""

import argparse
import sys
from typing import Optional, Sequence

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError

FORMATS = ("laser", "sentence-transformers", "safetensors", "onnx")


def make_export_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-export",
        "Write a student as other tools load it: a LASER3 encoder for laser_encoders and LASER, a sentence-transformers "
        "folder, safetensors and JSON without pickle, or ONNX. Each output is a folder with its tokenizer. Runs without fairseq.",
        "fairseq-export --path checkpoints/checkpoint_best.pt --format safetensors --output swa-student",
    )
    parser.add_argument(
        "--path", required=True, metavar="CKPT", help="a student's checkpoint, its safetensors folder, or a LASER3 file"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write; docs/export.md describes each")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write, which is not there yet")
    parser.add_argument("--force", action="store_true", help="replace an earlier export in --output")
    card = parser.add_argument_group("for the model card of --format sentence-transformers")
    card.add_argument(
        "--work",
        metavar="DIR",
        help="work directory of the run, whose xsim, corpora and licences become tables (default: the one whose best checkpoint --path is)",
    )
    card.add_argument("--data-note", metavar="TEXT", help="what the student was trained on: corpora and their licences")
    card.add_argument(
        "--licence", metavar="NAME", help="the student's own licence, as Hugging Face names it: cc-by-4.0"
    )
    return parser


def main(args: argparse.Namespace) -> None:
    card = {"work": args.work, "data_note": args.data_note, "licence": args.licence}
    given = [name for name, value in card.items() if value is not None]
    if given and args.format != "sentence-transformers":
        raise ConfigError(f"--{given[0].replace('_', '-')} goes with --format sentence-transformers.")
    if args.format == "laser":
        from fairseq_distill.export.laser import laser

        names = laser(args.path, args.output, args.force)
    elif args.format == "sentence-transformers":
        from fairseq_distill.export.sentence_transformers import sentence_transformers

        names = sentence_transformers(args.path, args.output, args.force, **card)
    elif args.format == "onnx":
        from fairseq_distill.export.onnx import onnx

        names = onnx(args.path, args.output, args.force)
    else:
        from fairseq_distill.export.safetensors import safetensors

        names = safetensors(args.path, args.output, args.force)
    for name in names:
        print(f"{args.output}/{name}")


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    return run_command(make_export_parser(), main, argv)


if __name__ == "__main__":
    sys.exit(cli_main())
