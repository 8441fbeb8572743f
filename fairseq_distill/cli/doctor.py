"""``fairseq-doctor``: what this machine has, what is wrong with it, and the command that mends it."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional, Sequence

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.environment import examine
from fairseq_distill.machine import WRONG, Finding


def make_doctor_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "fairseq-doctor",
        "Say what this machine has for this project, what is wrong, and the command that mends it: Python, PyTorch and its "
        "fit to the machine, fairseq, NumPy and BLAS, tokenisers, teachers, memory, disk, locks, threads. Changes nothing. "
        "Exit code 1 if something is wrong; a warning is not.",
        "fairseq-doctor\n  fairseq-doctor --full --json --folder work",
    )
    parser.add_argument(
        "--folder", default=".", metavar="DIR", help="where work is to be done: its disk and its locks are looked at"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="also load fairseq, the plugin, sentence-transformers and faiss; seconds each",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON: part, state, found, mend")
    return parser


def table(findings: Sequence[Finding]) -> str:
    """The findings for people: a line each, and under what is not ok the command."""
    width = max(len(finding.part) for finding in findings)
    lines: List[str] = []
    for finding in findings:
        lines.append(f"{finding.state:<7}  {finding.part:<{width}}  {finding.found}")
        if finding.mend:
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.mend}")
    return "\n".join(lines)


def cli_main(argv: Optional[Sequence[str]] = None) -> int:
    """The console script; 1 if something is wrong."""
    found: List[Finding] = []

    def main(args: argparse.Namespace) -> None:
        found.extend(examine(Path(args.folder), args.full))
        print(json.dumps([asdict(finding) for finding in found], indent=1) if args.json else table(found))

    code = run_command(make_doctor_parser(), main, argv)
    return code or int(any(finding.state == WRONG for finding in found))


if __name__ == "__main__":
    sys.exit(cli_main())
