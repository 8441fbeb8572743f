"""What binarise.sh asks: which corpora are due, and whether what fairseq-preprocess made of them is whole."""

import logging
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Dict, List

from clean import data_parser
from deduplicate import kept_sources
from encode_spm import side_name
from plan_file import read_plan
from stamps import HERE, Stamps, Step
from train_spm import DICTIONARY

from fairseq_distill.cli.common import run_command
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import disk_error, make_folder
from fairseq_distill.formats.binarised import open_binarised

logger = logging.getLogger(__name__)


def binarise_steps(data: Path, stamps: Stamps) -> Dict[str, Step]:
    """The step of each side that the student reads by its file name ``SPLIT.ID.LANG``, in the plan's order."""
    steps = {}
    plan = read_plan(data)
    for source in kept_sources(plan, stamps):
        for lang in plan.student_langs(source):
            name = f"{source.name}.{lang}"
            outputs = [data / "bin" / f"{name}.{kind}" for kind in ("bin", "idx")]
            inputs = [data / "pieces" / name, data / DICTIONARY]
            steps[name] = Step(f"binarise.{side_name(source, lang)}", inputs, outputs, {}, [HERE / "binarise.sh"])
    return steps


def check(prefix: Path, name: str, n_lines: int, n_pieces: int) -> None:
    """Raise a DataError unless the binarised corpus has a sentence for each line and an id for each piece.

    fairseq cuts a file at byte offsets for its workers; a line that is lost or doubled there would shift all after it.
    """
    sentences = open_binarised(prefix)
    if len(sentences) != n_lines or len(sentences.tokens) != n_pieces + n_lines:
        raise DataError(
            f"fairseq-preprocess made {len(sentences):,} sentences and {len(sentences.tokens):,} ids of {name}, "
            f"but it has {n_lines:,} lines and {n_pieces + n_lines:,} ids; "
            "run data_prep/prepare.sh again with --stage 4 --workers 1."
        )


def adopt(data: Path, folder: Path, names: List[str]) -> None:
    """Move what fairseq-preprocess made of the corpora ``names`` to its place, once all of it is found whole.

    Args:
        data: the data directory.
        folder: where ``valid.bin``, ``valid1.bin`` … lie, in the order of ``names``.
        names: file names of the corpora.
    """
    stamps = Stamps(data)
    steps = binarise_steps(data, stamps)
    prefixes = [folder / (f"valid{number}" if number else "valid") for number in range(len(names))]
    encoded = [stamps.result(steps[name].name.replace("binarise.", "encode.", 1)) for name in names]
    for prefix, name, result in zip(prefixes, names, encoded):
        check(prefix, name, result["lines"], result["pieces"])
    make_folder(data / "bin")
    for prefix, name in zip(prefixes, names):
        stamps.forget(steps[name])
        for output in steps[name].outputs:
            try:
                os.replace(f"{prefix}{output.suffix}", output)
            except OSError as error:
                raise disk_error(error, output) from error
        stamps.record(steps[name])
    stamps.save()
    total = sum(result["lines"] for result in encoded)
    logger.info(
        f"binarise | {len(names)} corpora, {total:,} sentences, {sum(r['pieces'] for r in encoded) + total:,} ids"
    )


def main(args: Namespace) -> None:
    """List the corpora to binarise on stdout, or adopt them."""
    data = Path(args.data)
    if args.adopt:
        adopt(data, Path(args.adopt), args.names)
        return
    stamps = Stamps(data)
    for name, step in binarise_steps(data, stamps).items():
        if stamps.is_current(step):
            logger.info(f"unchanged: {step.name}")
        else:
            print(name)
    stamps.save()


if __name__ == "__main__":
    options = data_parser("binarised.py", "List the corpora to binarise, or take over what was made of them.")
    options.add_argument("--adopt", metavar="FOLDER", help="fairseq-preprocess's folder; the corpora follow")
    options.add_argument("names", nargs="*", metavar="NAME", help="corpora in the order of --validpref")
    sys.exit(run_command(options, main))
