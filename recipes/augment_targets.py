"""Near copies of an English text for xsim++, by rule: numbers, names and polarity exchanged. Ours, not the published set.

python recipes/augment_targets.py --input dev.eng --output dev.augmented.tsv
"""

import argparse
import logging
import sys
from collections import Counter

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.augment import augment
from fairseq_distill.formats.atomic import require_folder, require_own_names
from fairseq_distill.formats.augmented import write_augmented
from fairseq_distill.formats.lines import read_lines, require_file

logger = logging.getLogger(__name__)


def main(args: argparse.Namespace) -> None:
    require_folder(args.output)
    require_own_names([args.input], [args.output])
    sentences = read_lines(require_file(args.input))
    augmented = augment(sentences, args.per_type, args.seed)
    if not len(augmented):
        raise DataError(f"No rule fits any of the {len(sentences):,} lines of {args.input}; is it English?")
    write_augmented(args.output, augmented)
    counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(Counter(augmented.kinds).items()))
    lines = len(set(augmented.originals.tolist()))
    logger.info(f"augment | {len(augmented):,} near copies of {lines:,} of {len(sentences):,} lines | {counts}")


def cli_main() -> int:
    parser = make_parser(
        "augment_targets.py",
        __doc__.splitlines()[0],
        "python recipes/augment_targets.py --input dev.eng --output dev.augmented.tsv",
    )
    parser.add_argument("--input", required=True, metavar="FILE", help="English text, one sentence a line")
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="line number, error type, near copy: .tsv or .tsv.gz"
    )
    parser.add_argument(
        "--per-type",
        type=int,
        default=defaults.AUGMENT_PER_TYPE,
        metavar="N",
        help="at most, of a sentence and type; 1 or more",
    )
    parser.add_argument("--seed", type=seed_number, default=1, help="of the choices")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
