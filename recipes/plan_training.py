"""How long to train, which student and which rates: decided once, in WORK/plan.json, so that a killed run goes on alike.

    python recipes/plan_training.py --work WORK (--max-minutes 15 | --max-update 8000) [--arch NAME] [--seed 1] [-- OPTIONS]

With --max-minutes the number of updates follows from a short trial of the real training command on this machine. The
learning rate then falls to zero over exactly those updates, which teaches more than cutting a longer schedule short.
Prints the training command, one word a line.
"""

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from shell_words import print_words

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command, seed_number
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.training_log import INNER, read_training_log
from fairseq_distill.formats.atomic import write_text
from fairseq_distill.formats.json_file import from_json, read_object
from fairseq_distill.formats.manifest import read_manifest

logger = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parent.parent
_NEVER = 1 << 30
_TRIAL_LOG = 10  # updates


def choose_arch(minutes: float) -> str:
    """The student that learns best in a budget of minutes on a CPU (docs/results.md); with a GPU the base size."""
    if os.path.exists("/dev/nvidia0"):
        return "student_encoder"
    return "student_encoder_small" if minutes <= defaults.SMALL_STUDENT_MINUTES else "student_encoder"


def contrast(extra: List[str]) -> Dict[str, Any]:
    """The options of the contrastive loss; without a queue where the user switches that loss off, or stores no embeddings."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--contrastive-weight", type=float, default=defaults.STUDENT_CONTRASTIVE_WEIGHT)
    weight = parser.parse_known_args(extra)[0].contrastive_weight
    queued = weight > 0 and "--online-teacher" not in extra
    return {
        "contrastive-weight": weight,
        "contrastive-queue": defaults.STUDENT_CONTRASTIVE_QUEUE if queued else defaults.CONTRASTIVE_QUEUE,
    }


def training_command(work: Path, plan: Dict[str, Any], extra: List[str]) -> List[str]:
    """``fairseq-train`` and its options for a plan; ``extra`` comes last and overrules."""
    options = {
        "user-dir": REPOSITORY / "fairseq_distill",
        "task": "sentence_distillation",
        "criterion": "sentence_distillation",
        "arch": plan["arch"],
        "optimizer": "fused_adamw",
        "lr": plan["lr"],
        "lr-scheduler": "polynomial_decay",
        "warmup-updates": plan["warmup_updates"],
        "total-num-update": plan["max_update"],
        "max-update": plan["max_update"],
        "clip-norm": defaults.CLIP_NORM,
        **contrast(extra),
        "max-tokens": plan["max_tokens"],
        "seed": plan["seed"],
        "num-workers": 0,
        "data-buffer-size": 4,
        "save-dir": work / "checkpoints",
        "save-interval-updates": plan["validate_every"],
        "keep-interval-updates": 1,
        "save-interval": _NEVER,  # by updates alone: an epoch may take seconds or days
        "validate-interval": _NEVER,
        "best-checkpoint-metric": "xsim",
        "log-format": "json",
        "log-interval": plan["log_interval"],
        "log-file": work / "log" / "train.json.log",
    }
    words = ["fairseq-train", str(work / "data"), "--no-epoch-checkpoints"]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return words + extra


@dataclass
class _Plan:
    """What plan.json holds."""

    arch: str
    seed: int
    max_update: int
    lr: float
    warmup_updates: int
    max_tokens: int
    validate_every: int
    log_interval: int
    request: Dict[str, Any]


def read_plan(path: Path) -> Dict[str, Any]:
    """The plan of a training. Its values become words of ``fairseq-train``, so none may be more than one word.

    Raises:
        DataError: the file is missing or damaged.
    """
    mend = "remove it and run recipes/student.sh again"
    plan = read_object(path, mend)
    try:
        found = from_json(_Plan, plan)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}; {mend}.") from error
    if not re.fullmatch(r"\w+", found.arch):
        raise DataError(f"{path} is damaged: {found.arch!r} is no name of an architecture; {mend}.")
    return plan


def make_plan(updates: int, arch: str, seed: int) -> Dict[str, Any]:
    """Rates and intervals for a number of updates."""
    return {
        "arch": arch,
        "seed": seed,
        "max_update": updates,
        "lr": defaults.LEARNING_RATES.get(arch, defaults.LEARNING_RATE),
        "warmup_updates": min(defaults.WARMUP_UPDATES, max(1, updates // 10)),
        "max_tokens": defaults.TRAIN_MAX_TOKENS,
        "validate_every": max(1, -(-updates // defaults.VALIDATIONS)),
        "log_interval": max(1, min(50, updates // 40)),
    }


class Pace(NamedTuple):
    """What training costs on this machine, seconds.

    Attributes:
        update: one update.
        validation: one validation with its checkpoint.
    """

    update: float
    validation: float

    def updates_in(self, minutes: float) -> int:
        """The updates, at least ``TRIAL_UPDATES``, that fit into a budget beside its ``VALIDATIONS`` validations."""
        seconds = minutes * 60 * defaults.BUDGET_SHARE - defaults.VALIDATIONS * self.validation
        return max(defaults.TRIAL_UPDATES, int(seconds / self.update))


def pace_of(work: Path, arch: str, seed: int, extra: List[str]) -> Pace:
    """The pace of the real training command, from a trial that ends with a validation and a checkpoint.

    Raises:
        DataError: the trial failed; its last lines are in the message.
    """
    with tempfile.TemporaryDirectory(prefix="fairseq_distill_trial.") as folder:
        trial = {**make_plan(defaults.TRIAL_UPDATES, arch, seed), "validate_every": defaults.TRIAL_UPDATES}
        trial["log_interval"] = _TRIAL_LOG
        log = Path(folder) / "train.log"
        fast = ["--save-dir", folder, "--log-file", str(log)]
        fast += ["--curriculum", "none"]  # batches cost alike whatever they show, and plateau needs validations
        if (
            "--lexical-path" not in extra
            and "--pooling" not in extra
            and read_manifest(work / "data").teacher.pooling == "mean"
        ):
            fast += ["--lexical-path", "unfitted"]  # the same work an update, without the fit before the first
        command = training_command(work, trial, extra + fast)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        assert child.stdout is not None
        lines, last_update, saved = [], 0.0, 0.0
        for line in child.stdout:
            lines.append(line)
            if INNER in line:
                last_update = time.monotonic()
            elif "Saved checkpoint" in line:
                saved = time.monotonic()
        if child.wait() or not log.is_file():
            tail = "\n".join(line.rstrip() for line in lines[-15:])
            raise DataError(
                f"The trial of the training command ended with code {child.returncode}; its last lines:\n{tail}"
            )
        wall = read_training_log(log).curve(INNER, "wall")
    first = min((update for update in wall if update >= defaults.TRIAL_UPDATES // 3), default=0)
    last = max(wall, default=0)
    if not first or last <= first:
        raise DataError("The trial logged too little to read a pace from; give --max-update instead of --max-minutes.")
    return Pace(max((wall[last] - wall[first]) / (last - first), 1e-4), max(saved - last_update, 0.0))


def main(args: argparse.Namespace) -> None:
    work, extra = Path(args.work), list(args.options)
    if (args.max_update is None) == (args.max_minutes is None):
        raise ConfigError("Give either --max-update or --max-minutes.")
    if (args.max_update or args.max_minutes) <= 0:
        raise ConfigError("--max-update and --max-minutes must be above 0.")
    request = {
        "max_update": args.max_update,
        "max_minutes": args.max_minutes,
        "arch": args.arch,
        "seed": args.seed,
        "options": extra,
    }
    path = work / "plan.json"
    plan = read_object(path, "remove it and run recipes/student.sh again") if path.is_file() else {}
    if plan.get("request") != request:
        minutes = args.max_minutes if args.max_minutes is not None else 0.0
        arch = args.arch or choose_arch(minutes)
        updates = args.max_update
        if updates is None:
            logger.info(
                f"plan | a trial of {defaults.TRIAL_UPDATES} updates of {arch} to learn the pace of this machine"
            )
            pace = pace_of(work, arch, args.seed, extra)
            updates = pace.updates_in(minutes)
            logger.info(
                f"plan | {pace.update * 1000:.0f} ms an update, {pace.validation:.1f} s a validation: "
                f"{updates:,} updates in {minutes:g} minutes"
            )
        plan = {**make_plan(updates, arch, args.seed), "request": request}
        write_text(path, json.dumps(plan, indent=1) + "\n")
    plan = read_plan(path)
    limit = [] if args.max_minutes is None else ["--stop-time-hours", f"{args.max_minutes / 60:.6f}"]
    print_words(training_command(work, plan, limit + extra))


def cli_main() -> int:
    parser = make_parser(
        "plan_training.py", __doc__.splitlines()[0], "python recipes/plan_training.py --work WORK --max-minutes 15"
    )
    parser.add_argument("--work", required=True, help="work directory; its data/ has been prepared")
    parser.add_argument("--max-update", type=int, help="number of updates")
    parser.add_argument("--max-minutes", type=float, help="minutes of training")
    parser.add_argument("--arch", help="architecture; chosen from the budget when not given")
    parser.add_argument("--seed", type=seed_number, default=1, help="seed of fairseq")
    parser.add_argument("options", nargs="*", help="further options of fairseq-train, after --")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
