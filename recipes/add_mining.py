"""Add what a mining run found to WORK/results.json, for the report page.

    python recipes/add_mining.py --work WORK --summary SUMMARY.json --scores WORK/mining/scores.npy --src-lang zul --tgt-lang eng

SUMMARY.json is what ``fairseq-mine --json`` printed, the scores what ``--scores`` wrote.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import DataError
from fairseq_distill.formats.results import MiningSummary, read_results, write_results


def main(args: argparse.Namespace) -> None:
    results = read_results(args.work)
    if results is None:
        raise DataError(f"{args.work} holds no results.json; run recipes/student.sh first.")
    try:
        found = json.loads(Path(args.summary).read_text(encoding="utf-8"))
        results.mining = MiningSummary(
            pairs=found["pairs"],
            margin=found["margin"],
            threshold=found["threshold"],
            k=found["k"],
            retrieval=found["retrieval"],
            src_lang=args.src_lang,
            tgt_lang=args.tgt_lang,
            n_src=found["src_searched"],
            n_tgt=found["tgt_searched"],
            scores_file=os.path.relpath(args.scores, args.work),
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{args.summary} is not what fairseq-mine --json prints: {error}.") from error
    write_results(args.work, results)


def cli_main() -> int:
    parser = make_parser(
        "add_mining.py", __doc__.splitlines()[0], "python recipes/add_mining.py --work WORK --summary mine.json"
    )
    parser.add_argument("--work", required=True, help="work directory of recipes/student.sh")
    parser.add_argument("--summary", required=True, help="what fairseq-mine --json printed")
    parser.add_argument("--scores", required=True, help="what fairseq-mine --scores wrote")
    parser.add_argument("--src-lang", required=True, help="language of the mined source")
    parser.add_argument("--tgt-lang", required=True, help="language of the mined target")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
