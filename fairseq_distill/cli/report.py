"""``fairseq-report``: the HTML page of a run, or of several compared."""

import argparse
from typing import Optional, Sequence

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.evaluation.report import report
from fairseq_distill.evaluation.report_comparison import NAME as COMPARISON
from fairseq_distill.evaluation.report_comparison import compare_runs


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-report",
        "Write one HTML page of a run: evaluation text found in the training text, xsim per language and margin, training "
        "curves, mined pairs with their scores, "
        "counts of the data by step, vocabulary, settings; or a page that compares several runs. A page needs no network "
        "and no other file.",
        "fairseq-report --work runs/swa --output swa.html\n"
        "  fairseq-report --run plain=runs/swa --run mlm=runs/swa-mlm --output compared.html",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--work",
        metavar="DIR",
        help="work directory of the run, as recipes/student.sh leaves it: results.json, data/manifest.json, "
        "log/train.json.log, mined.tsv, leakage.json; what is missing is said on the page",
    )
    which.add_argument(
        "--run",
        action="append",
        metavar="[NAME=]DIR",
        help="a run to compare, given 2 to 8 times: settings that differ, curves over one another, xsim with paired tests "
        "against the first one",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"the HTML file; if not given report.html in the work directory, {COMPARISON} here for a comparison",
    )
    return parser


def _main(args: argparse.Namespace) -> None:
    if args.run:
        print(compare_runs(args.run, args.output or COMPARISON))
    else:
        print(report(args.work, args.output))


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    """The console script; returns the exit code."""
    return run_command(_parser(), _main, argv)


if __name__ == "__main__":
    raise SystemExit(cli_main())
