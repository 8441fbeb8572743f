"""``fairseq-export``: a trained student in the files of other tools."""

import argparse
import sys
from typing import Optional, Sequence

from fairseq_distill.cli.common import make_parser, run_command

FORMATS = ("laser", "safetensors")


def make_export_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-export",
        "Write a student as other tools load it: a LASER3 encoder for laser_encoders and LASER, or "
        "safetensors and JSON without pickle. Each output is a folder with its tokenizer. Runs without fairseq.",
        "fairseq-export --path checkpoints/checkpoint_best.pt --format safetensors --output swa-student",
    )
    parser.add_argument(
        "--path", required=True, metavar="CKPT", help="a student's checkpoint, its safetensors folder, or a LASER3 file"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write; docs/export.md describes each")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write, which is not there yet")
    parser.add_argument("--force", action="store_true", help="replace an earlier export in --output")
    return parser


def main(args: argparse.Namespace) -> None:
    if args.format == "laser":
        from fairseq_distill.export.laser import laser

        names = laser(args.path, args.output, args.force)
    else:
        from fairseq_distill.export.safetensors import safetensors

        names = safetensors(args.path, args.output, args.force)
    for name in names:
        print(f"{args.output}/{name}")


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    return run_command(make_export_parser(), main, argv)


if __name__ == "__main__":
    sys.exit(cli_main())
