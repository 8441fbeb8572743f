"""Make the runs that claims need: data, training for a number of updates, xsim of the last checkpoint, one line of results.

    bash recipes/ablation/run.sh --claim a --data-root DIR [--groups horn,uganda] [--seeds 1,2,3] [--jobs 2]

A run whose line is in the results file is not made again; a run that was killed leaves no line and starts anew.
"""

import argparse
import contextlib
import datetime
import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Set, Tuple

from claims import DEFAULT_GROUPS, MAX_POOLED, SIZES, VERSION, Run, Size, claims_named, group_named, planned_runs
from run_records import Record, append_record, judged_otherwise, read_records
from run_sources import (
    HERE,
    MINILM_SPEC,
    PRECISION,
    REPOSITORY,
    Corpora,
    data_key,
    data_options,
    digest,
    prepare_command,
    teacher_command,
    teacher_key,
    teacher_text_options,
    vocabulary_model,
)

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

RESULTS = REPOSITORY / "docs" / "ablation.jsonl"
_MESSAGE_LINES = 3  # of a failed command's log that the error quotes


def run_key(run: Run, size_name: str, size: Size, corpora: Corpora) -> str:
    """Stands for all that decides a run's numbers: data, options, seed, updates, size."""
    training = [{**size.options, **run.variant.training_options()}, size.arch, size.updates, size.max_tokens, run.seed]
    return digest(VERSION, data_key(run, size_name, corpora), run.group, run.lang, training)


def execute(command: Sequence[str], log: Path, output: "Path | None" = None) -> float:
    """Run a command, its words appended to ``log`` and its stdout to ``output`` if given; the CPU seconds it took.

    Raises:
        DataError: it failed; the last lines of its log are in the message.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as words, open(output or os.devnull, "wb") as made:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=made if output else words, stderr=words)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        said = " / ".join(lines[-_MESSAGE_LINES:])
        name = next((word for word in command if word.endswith((".sh", ".py"))), command[0])
        raise DataError(f"{Path(name).name} ended with code {process.returncode}: {said} (all of it: {log})")
    return usage.ru_utime + usage.ru_stime


class Workshop:
    """The folder where data, teachers and runs lie, and how they are made; safe for several runs at a time.

    Args:
        work: the folder.
        corpora: the text.
        size_name: of SIZES.
        size: that one, perhaps with another number of updates.
        keep: whether students stay after they were judged.
    """

    def __init__(self, work: Path, corpora: Corpora, size_name: str, size: Size, keep: bool = False):
        self.work, self.corpora, self.size_name, self.size, self.keep = work, corpora, size_name, size, keep
        self._locks: Dict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._ready: Set[Path] = set()  # folders that this sitting has made or found up to date
        self._own = threading.Lock()

    @contextlib.contextmanager
    def _alone_with(self, folder: Path) -> Iterator[None]:
        with self._own:
            lock = self._locks[folder]
        with lock:
            yield

    def teacher(self) -> Path:
        """The folder of the max-pooled teacher, trained if it is not there."""
        folder = self.work / "teachers" / teacher_key(self.size_name, self.corpora)
        with self._alone_with(folder):
            if folder not in self._ready:
                text, log = self.work / "data" / f"text-{folder.name}", self.work / "log" / f"teacher-{folder.name}.log"
                logger.info(f"ablation | the max-pooled teacher, trained unless it is there: {log}")
                prepare = prepare_command(text, teacher_text_options(self.corpora), MINILM_SPEC)
                execute([*prepare, "--stop-stage", "1"], log)
                execute(teacher_command(text, folder, self.size), log)
                self._ready.add(folder)
        return folder

    def data(self, run: Run) -> Path:
        """The data directory of a run; prepare.sh makes only what is not there or no longer holds."""
        folder = self.work / "data" / data_key(run, self.size_name, self.corpora)
        teacher, spm = MINILM_SPEC, None
        if run.variant.teacher == MAX_POOLED:
            made = self.teacher()
            teacher, spm = f"laser2:{made}", vocabulary_model(run, made)
        with self._alone_with(folder):
            if folder not in self._ready:
                log = self.work / "log" / f"data-{folder.name}.log"
                logger.info(f"ablation | data of {run.name}, prepared unless they are there: {log}")
                execute(prepare_command(folder, data_options(run, self.size, self.corpora), teacher, spm), log)
                self._ready.add(folder)
        return folder

    def train(self, run: Run, key: str, data: Path) -> Tuple[Path, float]:
        """A run's folder with its trained student, and the CPU seconds of training."""
        folder, log = self.work / "runs" / key, self.work / "log" / f"run-{key}.log"
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left
        (folder / "log").mkdir(parents=True)
        (folder / "data").symlink_to(data.resolve(), target_is_directory=True)
        log.unlink(missing_ok=True)
        # The last checkpoint is judged: choosing the best one would mean to choose by the sentences that are reported.
        options = {
            "max-tokens": str(self.size.max_tokens),
            "save-interval-updates": "0",
            "autocast": PRECISION,
            "contrastive-weight": "0",
            "contrastive-queue": "0",
            **self.size.options,
            **run.variant.training_options(),
        }
        if run.variant.validates:
            options["validate-interval-updates"] = str(max(1, self.size.updates // defaults.VALIDATIONS))
        words = [] if run.variant.validates else ["--disable-validation"]
        for name, value in options.items():
            words += [f"--{name}", value] if value else [f"--{name}"]
        plan = [sys.executable, str(REPOSITORY / "recipes" / "plan_training.py"), "--work", str(folder)]
        plan += ["--arch", self.size.arch, "--max-update", str(self.size.updates), "--seed", str(run.seed), "--"]
        command = folder / "command.txt"
        execute([*plan, "--no-save-optimizer-state", *words], log, command)
        seconds = execute(command.read_text(encoding="utf-8").splitlines(), log)
        return folder, seconds

    def record(self, run: Run, key: str) -> Record:
        """Train and judge."""
        data = self.data(run)
        folder, seconds = self.train(run, key, data)
        outcome = folder / "outcome.json"
        judge = [sys.executable, str(HERE / "judge_run.py"), "--quiet", "--data", str(data), "--precision", PRECISION]
        checkpoint = folder / "checkpoints" / "checkpoint_last.pt"
        execute([*judge, "--checkpoint", str(checkpoint)], self.work / "log" / f"run-{key}.log", outcome)
        judged = json.loads(outcome.read_text(encoding="utf-8"))
        if not self.keep:
            shutil.rmtree(folder / "checkpoints")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Record(
            key, run.variant.name, run.group, run.lang, run.seed, self.size_name, self.size.updates,
            [(name, n, errors) for name, n, errors in judged["sets"]], judged["wrong"], judged["parameters"],
            round(seconds, 1), judged["versions"], now,
        )  # fmt: skip


def numbers(text: str) -> List[int]:
    """The seeds of ``1,2,3``.

    Raises:
        ConfigError: not whole numbers, or none.
    """
    words = [word for word in text.split(",") if word]
    if not words or not all(word.isdecimal() for word in words):
        raise ConfigError(f"--seeds {text!r} is not of the form 1,2,3.")
    return list(dict.fromkeys(map(int, words)))


def make_all(
    pending: Sequence[Tuple[Run, str]],
    workshop: Workshop,
    keep: Callable[[Record], None],
    jobs: int,
    only_data: bool = False,
) -> List[str]:
    """Make runs, or their data alone, ``jobs`` at a time, in their order; what went wrong, a sentence a run.

    ``keep`` gets the result of each run.
    """
    failures: List[str] = []

    def make(item: Tuple[int, Tuple[Run, str]]) -> None:
        number, (run, key) = item
        label = f"ablation | run {number} of {len(pending)} | {run.name}"
        logger.info(f"{label} | {key} begins")
        try:
            if only_data:
                workshop.data(run)
                return
            record = workshop.record(run, key)
            keep(record)
        except (DataError, ConfigError) as error:
            failures.append(f"{run.name}: {error}")
            logger.error(f"{label} failed: {error}")
            return
        wrong = sum(errors["distance"] for _, _, errors in record.sets) / sum(n for _, n, _ in record.sets)
        logger.info(f"{label} | {100 * wrong:.2f} % of its sentences wrong | {record.cpu_seconds:,.0f} CPU s")

    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="run") as pool:
        list(pool.map(make, enumerate(pending, start=1)))
    return failures


def compare(recorded: Dict[str, Record], made: Record) -> None:
    """Print how a run that was made again differs from its line in the results."""
    n = sum(size for _, size, _ in made.sets)
    name = " ".join(filter(None, [made.group, made.variant, made.lang, f"seed {made.seed}"]))
    differing = judged_otherwise(made, recorded[made.key])
    print(f"{made.key}  {name}: {differing:,} of {n:,} sentences judged otherwise", flush=True)


def main(args: argparse.Namespace) -> None:
    claims, seeds = claims_named(args.claim), numbers(args.seeds)
    groups = [group_named(name).name for name in args.groups.split(",") if name]
    if not groups or min(args.jobs, args.again + 1) < 1 or (args.updates is not None and args.updates < 1):
        raise ConfigError("--groups must name a group, --jobs and --updates must be 1 or more, --again 0 or more.")
    size = SIZES[args.size]
    size = replace(size, updates=args.updates or size.updates)
    corpora = Corpora(Path(args.data_root).resolve())
    planned = [(run, run_key(run, args.size, size, corpora)) for run in planned_runs(claims, groups, seeds)]
    done = {record.key: record for record in read_records(Path(args.results))}
    pending = [(run, key) for run, key in planned if key not in done]
    logger.info(f"ablation | {len(planned):,} runs planned, {len(planned) - len(pending):,} are there")
    keep: Callable[[Record], None] = partial(append_record, Path(args.results).resolve())
    if args.again:
        pending = [(run, key) for run, key in planned if key in done][: args.again]
        keep = partial(compare, done)
    if args.dry_run:
        print("\n".join(f"{key}  {run.name}" for run, key in pending))
        return
    work = Path(args.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    with open(work / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"Another run.sh is at work in {work}; wait for it, or give another --work.") from error
        workshop = Workshop(work, corpora, args.size, size, args.keep)
        failures = make_all(pending, workshop, keep, args.jobs, args.prepare)
    if failures:
        raise DataError(f"{len(failures)} of {len(pending)} runs failed; the first: {failures[0]}")


def parser() -> argparse.ArgumentParser:
    """The options of run.sh."""
    result = make_parser(
        "run.sh", __doc__.splitlines()[0], "bash recipes/ablation/run.sh --claim all --data-root DIR --jobs 2"
    )
    add = result.add_argument
    add("--claim", required=True, metavar="a,b|all", help="which claims; recipes/ablation/README.md has the list")
    add("--data-root", required=True, metavar="DIR", help="folder with bitext/ and mono/")
    add("--groups", default=",".join(DEFAULT_GROUPS), metavar="G1,G2", help="language groups")
    add("--seeds", default="1,2,3", metavar="S1,S2", help="seeds")
    add("--jobs", type=int, default=1, metavar="N", help="runs side by side, each on one thread")
    add("--size", default="cpu", choices=list(SIZES), help="how large the students are and how long they train")
    add("--updates", type=int, metavar="N", help="another number of updates than the size's")
    add("--work", default=str(REPOSITORY / "work" / "ablation"), metavar="DIR", help="for data, teachers, logs")
    add("--results", default=str(RESULTS), metavar="FILE", help="results, a line a run")
    add(
        "--again",
        type=int,
        default=0,
        metavar="N",
        help="make N runs that are recorded again, and only say what differs",
    )
    add("--keep", action="store_true", help="keep the students")
    add("--prepare", action="store_true", help="only make the data and the teacher that the runs need")
    add("--dry-run", action="store_true", help="only list the runs that are to be made")
    return result


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
