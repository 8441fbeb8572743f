"""The translations in what fairseq-generate printed, in the order of the test set.

python recipes/nmt/translations.py --generated generate.log --lines 400 --output translations/mined.eng
"""

import argparse
import sys
from typing import Dict, Iterable, List

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import DataError
from fairseq_distill.formats.lines import iter_lines, write_lines


def detokenised(lines: Iterable[str], n: int, name: str) -> List[str]:
    """The text of each ``D-`` line (number, score, translation without pieces), by number.

    Args:
        lines: fairseq-generate's output.
        n: sentences of the test set.
        name: of the file, for errors.

    Raises:
        DataError: a sentence has no translation, or more than one.
    """
    found: Dict[int, str] = {}
    for line in lines:
        if not line.startswith("D-"):
            continue
        label, _, rest = line.partition("\t")
        _score, _, text = rest.partition("\t")
        number = int(label[2:])
        if number in found:
            raise DataError(f"{name}: sentence {number} has more than one translation; generate with --nbest 1.")
        found[number] = text
    missing = [number for number in range(n) if number not in found]
    if missing or len(found) != n:
        raise DataError(
            f"{name} holds translations of {len(found):,} sentences instead of {n:,}, none of sentence "
            f"{missing[0] if missing else max(found)}; was the test set changed? Generate again."
        )
    return [found[number] for number in range(n)]


def main(args: argparse.Namespace) -> None:
    """Read, order, write."""
    write_lines(args.output, detokenised(iter_lines(args.generated), args.lines, args.generated))


def cli_main() -> int:
    parser = make_parser(
        "translations.py",
        __doc__.splitlines()[0],
        "python recipes/nmt/translations.py --generated generate.log --lines 400 --output mined.eng",
    )
    parser.add_argument("--generated", required=True, metavar="FILE", help="output of fairseq-generate")
    parser.add_argument("--lines", required=True, type=int, metavar="N", help="sentences of the test set")
    parser.add_argument("--output", required=True, metavar="FILE", help="one translation a line")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
