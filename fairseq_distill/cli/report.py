"""``fairseq-report``: the HTML page of a run."""

import argparse
from typing import Optional, Sequence

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.evaluation.report import report


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-report",
        "Write one HTML page of a run: xsim per language and margin, training curves, mined pairs with their scores, "
        "counts of the data by step, vocabulary, settings. The page needs no network and no other file.",
        "fairseq-report --work runs/swa --output swa.html",
    )
    parser.add_argument(
        "--work",
        required=True,
        metavar="DIR",
        help="work directory of the run, as recipes/student.sh leaves it: results.json, data/manifest.json, "
        "log/train.json.log, mined.tsv; what is missing is said on the page",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="the HTML file; report.html in the work directory if not given"
    )
    return parser


def _main(args: argparse.Namespace) -> None:
    print(report(args.work, args.output))


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    """The console script; returns the exit code."""
    return run_command(_parser(), _main, argv)


if __name__ == "__main__":
    raise SystemExit(cli_main())
