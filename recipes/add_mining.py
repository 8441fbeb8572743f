"""Add what a mining run found to WORK/results.json, and look for evaluation text in it, for the report page.

    python recipes/add_mining.py --work WORK --summary SUMMARY.json --scores WORK/mining/scores.npy --src-lang zul --tgt-lang eng

SUMMARY.json is what ``fairseq-mine --json`` printed, the scores what ``--scores`` wrote. Where WORK holds mined.tsv (or .gz), its pairs
are looked through for near-duplicates of the run's valid sets: WORK/mining/leakage.json, printed before the report has any number.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import List, Tuple

from leakage import audit_mined, leakage_lines

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_runs import DATA, mined_file
from fairseq_distill.formats import leakage, manifest
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import from_json, read_object
from fairseq_distill.formats.results import MiningSummary, read_results, write_results


def main(args: argparse.Namespace) -> None:
    results = read_results(args.work)
    if results is None:
        raise DataError(f"{args.work} holds no results.json; run recipes/student.sh first.")
    summary = read_summary(args.summary)
    print("\n".join(audit(Path(args.work), (args.src_lang, args.tgt_lang))))
    results.mining = replace(
        summary,
        src_lang=args.src_lang,
        tgt_lang=args.tgt_lang,
        scores_file=os.path.relpath(args.scores, args.work),
    )
    write_results(args.work, results)


def audit(work: Path, pair: Tuple[str, str]) -> List[str]:
    """Look for the valid sets of a run in what it has mined, write that down, and say it; nothing without a file of pairs."""
    mined = mined_file(work)
    if mined is None or not (work / DATA / manifest.NAME).is_file():
        return [
            "the mined pairs were not looked through for evaluation text: there is no mined.tsv, or no data directory"
        ]
    found = audit_mined(work / DATA, manifest.read_manifest(work / DATA), mined, pair)
    (work / leakage.MINED).parent.mkdir(exist_ok=True)
    leakage.write_leakage(work / leakage.MINED, found)
    return leakage_lines(found, leakage.MINED_TEXT)


def read_summary(path: PathLike) -> MiningSummary:
    """What ``fairseq-mine --json`` printed into a file.

    Raises:
        DataError: the file is missing or damaged, or holds something else.
    """
    found = read_object(path, "mine again with fairseq-mine --json")
    same = ("pairs", "margin", "threshold", "k", "retrieval")
    try:
        numbers = {name: found[name] for name in same}
        return from_json(MiningSummary, {**numbers, "n_src": found["src_searched"], "n_tgt": found["tgt_searched"]})
    except (ValueError, KeyError) as error:
        raise DataError(f"{path} is not what fairseq-mine --json prints: {error}.") from error


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
