"""What recipes/iterate.sh decides between its steps: the cut to mine with, the provenance of the pairs, whether to go on.

python recipes/iterate_round.py settings --calibration work/round-1/calibration/calibration.json
python recipes/iterate_round.py finish --work work --round 1 --pair swa-eng
python recipes/iterate_round.py table --work work
"""

import argparse
import logging
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from fairseq_distill import __version__, defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, sha256_file
from fairseq_distill.formats.calibration import Calibration, Cut, Setting, read_calibration
from fairseq_distill.formats.embeddings import open_embeddings
from fairseq_distill.formats.json_file import from_json, read_object, write_object
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.provenance import (
    Provenance,
    read_mined_lines,
    read_origins,
    read_provenance,
    write_provenance,
)
from fairseq_distill.formats.results import XsimEntry, read_results
from fairseq_distill.languages import parse_pair
from fairseq_distill.mining.job import pair_cosines

logger = logging.getLogger(__name__)

NAME = "iterate.json"
FINGERPRINT = 16  # hexadecimal digits of the checkpoint's SHA-256


@dataclass
class Round:
    """What one round found.

    Attributes:
        number: from 1.
        checkpoint: fingerprint of the student.
        xsim, low, high: error of the student on the valid sets in percent with its 95% interval; the mean over the sets.
        margin, k, threshold, cut: what was mined with; the cut is "precision" or "best F1".
        precision, recall: estimated on the hidden pairs at that cut.
        mined: pairs above the threshold, before the filters.
        kept: pairs left.
        dropped: by reason.
        new: of those kept, pairs of lines that no round before had.
    """

    number: int
    checkpoint: str
    xsim: float
    low: float
    high: float
    margin: str
    k: int
    threshold: float
    cut: str
    precision: float
    recall: float
    mined: int
    kept: int
    new: int
    dropped: Dict[str, int] = field(default_factory=dict)


@dataclass
class _Rounds:
    rounds: List[Round]


def choose_cut(calibration: Calibration) -> Tuple[Setting, Cut, str]:
    """The setting to mine with, its cut and the cut's name: at the wanted precision the one with the highest recall.

    Where no setting reaches that precision, the highest F1.
    """
    reached = [setting for setting in calibration.settings if setting.at_precision is not None]
    if not reached:
        return calibration.recommended, calibration.recommended.best_f1, "best F1"
    best = max(reached, key=lambda setting: setting.at_precision.recall if setting.at_precision else 0.0)
    assert best.at_precision is not None
    return best, best.at_precision, "precision"


def provenance(
    work: Path, number: int, langs: List[str], before: Dict[Tuple[str, int, str, int], int]
) -> List[Provenance]:
    """The pairs of a round, each with its origin; ``before`` gives the first round of pairs that were mined before.

    Raises:
        DataError: the files of the round do not belong together.
    """
    folder = work / f"round-{number}"
    mined = folder / "mined.lines.tsv"
    scores, lines = read_mined_lines(mined)
    vectors = [open_embeddings(folder / "calibration" / f"mono.{lang}.npy") for lang in langs]
    origins = [read_origins(work / "text" / f"mono.{lang}.origin.tsv") for lang in langs]
    sides = [read_lines(folder / f"mined.{lang}") for lang in langs]
    anew = "remove the folder of this round and run recipes/iterate.sh again."
    if not len(scores) == len(sides[0]) == len(sides[1]):
        raise DataError(
            f"{mined} has {len(scores):,} lines but the bitext {len(sides[0]):,} and {len(sides[1]):,}; {anew}"
        )
    for lang, last, rows, origin in zip(langs, lines.max(axis=0, initial=0).tolist(), vectors, origins):
        if last > len(rows) or len(rows) != len(origin):
            raise DataError(
                f"{mined} names line {last:,} of {lang}, of {len(rows):,} vectors and {len(origin):,} origins; {anew}"
            )
    cosines = pair_cosines(vectors[0], vectors[1], lines[:, 0] - 1, lines[:, 1] - 1).tolist()
    checkpoint = sha256_file(folder / "student" / "checkpoints" / "checkpoint_best.pt")[:FINGERPRINT]
    pairs = []
    for score, (one, two), cosine, source, target in zip(scores, (lines - 1).tolist(), cosines, *sides):
        (source_file, source_line), (target_file, target_line) = origins[0][one], origins[1][two]
        place = source_file, source_line, target_file, target_line
        pairs.append(Provenance(before.get(place, number), score, cosine, *place, checkpoint, source, target))
    return pairs


def xsim_of(work: Path) -> Tuple[float, float, float]:
    """The student's error with the distance margin and its interval, the mean over the valid sets.

    Raises:
        DataError: the run has no results.
    """
    results = read_results(work)
    entries: List[XsimEntry] = [] if results is None else [
        entry for entry in results.xsim if entry.encoder == "student" and entry.margin == defaults.XSIM_MARGIN
    ]  # fmt: skip
    if not entries:
        raise DataError(f"{work} holds no xsim of its student; remove this round's folder and run it again.")
    numbers = [
        (
            entry.percent,
            entry.percent if entry.low is None else entry.low,
            entry.percent if entry.high is None else entry.high,
        )
        for entry in entries
    ]
    low = np.array(numbers).mean(axis=0).tolist()
    return low[0], low[1], low[2]


def decide(rounds: List[Round], max_rounds: int, min_new_share: float) -> Tuple[bool, str]:
    """Whether another round is worth it, and why.

    Args:
        rounds: all so far.
        max_rounds: at most so many.
        min_new_share: of a round's pairs, that must be new.
    """
    last = rounds[-1]
    if len(rounds) > 1 and last.xsim >= rounds[-2].low:
        return False, (
            f"stop: xsim {last.xsim:.2f} % is not below the interval of the round before "
            f"({rounds[-2].low:.2f} to {rounds[-2].high:.2f} %)"
        )
    if last.new < min_new_share * last.kept:
        return False, f"stop: {last.new:,} of {last.kept:,} pairs are new, fewer than {100 * min_new_share:g} %"
    if len(rounds) >= max_rounds:
        return False, f"stop: {max_rounds} rounds are done (--max-rounds)"
    return True, f"go on: {last.new:,} of {last.kept:,} pairs are new"


def best_round(rounds: List[Round]) -> Round:
    """The round with the lowest xsim; of equal ones the first."""
    return min(rounds, key=lambda one: one.xsim)


def finish(args: argparse.Namespace) -> None:
    """Write the provenance and the state of a round; print the decision."""
    work, langs = Path(args.work), [language.code for language in parse_pair(args.pair)]
    if args.max_rounds < 1 or not 0 <= args.min_new_share <= 1:
        raise ConfigError(
            f"--max-rounds {args.max_rounds} must be at least 1 and --min-new-share {args.min_new_share:g} from 0 to 1."
        )
    rounds = read_rounds(work)[: args.round - 1]
    if len(rounds) != args.round - 1:
        raise DataError(
            f"{work / NAME} knows {len(rounds)} rounds before round {args.round}; run recipes/iterate.sh again."
        )
    before: Dict[Tuple[str, int, str, int], int] = {}
    for number in range(1, args.round):
        for pair in read_provenance(work / f"round-{number}" / "mined.tsv"):
            before.setdefault(pair.place, pair.round)
    folder = work / f"round-{args.round}"
    pairs = provenance(work, args.round, langs, before)
    write_provenance(folder / "mined.tsv", pairs)
    calibration = read_calibration(folder / "calibration" / "calibration.json")
    setting, cut, name = choose_cut(calibration)
    counts = read_counts(folder / "mined.counts.json")
    percent, low, high = xsim_of(folder / "student")
    rounds.append(
        Round(
            number=args.round,
            checkpoint=pairs[0].checkpoint if pairs else "",
            xsim=percent,
            low=low,
            high=high,
            margin=setting.margin,
            k=setting.k,
            threshold=cut.threshold,
            cut=name,
            precision=cut.precision,
            recall=cut.recall,
            mined=counts.read,
            kept=counts.kept,
            new=sum(pair.place not in before for pair in pairs),
            dropped=counts.dropped,
        )
    )
    go_on, why = decide(rounds, args.max_rounds, args.min_new_share)
    best = best_round(rounds)
    _link(work, best.number)
    state = {
        "format_version": 1,
        "version": __version__,
        "pair": args.pair,
        "best_round": best.number,
        "stopped": None if go_on else why,
        "rounds": [asdict(one) for one in rounds],
    }
    write_object(work / NAME, state)
    print(why)


@dataclass
class Counts:
    """What data_prep/filter_pairs.py counted: pairs read, pairs kept, those dropped by reason, the threshold it had, and the pairs
    that were compared with near-duplicates of evaluation sets."""

    read: int
    kept: int
    dropped: Dict[str, int]
    threshold: Optional[float] = None
    near_looked_at: int = 0


def read_counts(path: Path) -> Counts:
    """The counts of a round.

    Raises:
        DataError: the file is missing or damaged.
    """
    found = read_object(path, "run data_prep/filter_pairs.py again")
    try:
        return from_json(Counts, {"read" if name == "in" else name: value for name, value in found.items()})
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; run data_prep/filter_pairs.py again.") from error


def _link(work: Path, number: int) -> None:
    """Let ``checkpoint_best.pt`` and ``mined.tsv`` of the work directory be those of a round."""
    for name, target in (
        ("checkpoint_best.pt", f"round-{number}/student/checkpoints/checkpoint_best.pt"),
        ("mined.tsv", f"round-{number}/mined.tsv"),
    ):
        temporary = work / f"{name}.tmp"
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.replace(temporary, work / name)
        except OSError as error:
            raise disk_error(error, work / name) from error


def read_rounds(work: Path) -> List[Round]:
    """The rounds that ``iterate.json`` holds; none where there is no such file.

    Raises:
        DataError: it is damaged.
    """
    path = work / NAME
    if not path.is_file():
        return []
    mend = "remove it and run recipes/iterate.sh again"
    try:
        return from_json(_Rounds, {"rounds": read_object(path, mend)["rounds"]}).rounds
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; {mend}.") from error


def settings(args: argparse.Namespace) -> None:
    """Print margin, k and threshold to mine with."""
    setting, cut, _name = choose_cut(read_calibration(args.calibration))
    print(setting.margin, setting.k, repr(cut.threshold))


def table(args: argparse.Namespace) -> None:
    """Print the rounds."""
    rounds = read_rounds(Path(args.work))
    print(
        f"\n{'round':>5}  {'xsim %':>6}  {'95%':>13}  {'threshold':>9}  {'precision':>9}  {'recall':>6}  {'kept':>9}  {'new':>9}"
    )
    for one in rounds:
        interval = f"{one.low:.1f} to {one.high:.1f}"
        print(
            f"{one.number:5}  {one.xsim:6.2f}  {interval:>13}  {one.threshold:9.4f}  {one.precision:9.3f}  {one.recall:6.3f}  "
            f"{one.kept:9,}  {one.new:9,}"
        )
    stopped: Optional[str] = read_object(Path(args.work) / NAME, "remove it and run recipes/iterate.sh again").get(
        "stopped"
    )
    print(stopped or "not stopped yet")


STEPS = {"settings": settings, "finish": finish, "table": table}
_NEEDS: Dict[str, Set[str]] = {"settings": {"calibration"}, "finish": {"work", "round", "pair"}, "table": {"work"}}


def main(args: argparse.Namespace) -> None:
    """One of the steps."""
    missing = sorted(name for name in _NEEDS[args.step] if getattr(args, name) is None)
    if missing:
        raise ConfigError(f"{args.step} needs --{', --'.join(missing)}.")
    STEPS[args.step](args)


def cli_main() -> int:
    parser = make_parser(
        "iterate_round.py",
        __doc__.splitlines()[0],
        "python recipes/iterate_round.py finish --work work --round 1 --pair swa-eng",
    )
    parser.add_argument("step", choices=STEPS, help="what to do")
    parser.add_argument("--work", metavar="DIR", help="work directory of recipes/iterate.sh")
    parser.add_argument("--calibration", metavar="FILE", help="calibration.json of the round")
    parser.add_argument("--round", type=int, metavar="N", help="round, from 1")
    parser.add_argument("--pair", metavar="A-B", help="source and target language")
    parser.add_argument(
        "--max-rounds", type=int, default=defaults.ITERATE_ROUNDS, metavar="N", help="stop after so many"
    )
    parser.add_argument(
        "--min-new-share", type=float, default=defaults.ITERATE_NEW_SHARE, metavar="S", help="of pairs; stop below it"
    )
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
