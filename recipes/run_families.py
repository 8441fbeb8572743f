"""Run the families' recipes here or as SLURM jobs, and print what came out of each.

python recipes/run_families.py [--slurm] [--only FAMILY…] [--work DIR] [--dry-run] [-- OPTIONS OF run.sh]
"""

import argparse
import logging
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
from family_config import HERE, read_config, shipped_families
from plan_family import NO_TEXT

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, write_text
from fairseq_distill.formats.results import read_results

logger = logging.getLogger(__name__)
LOST = 255  # what is noted for a SLURM job that went away without an exit code


@dataclass(frozen=True)
class Task:
    """One family to run: its folder, its work directory, and the options of its run.sh."""

    folder: Path
    work: Path
    options: Sequence[str]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """What it says."""
        return self.work.with_name(self.name + ".log")

    @property
    def code_file(self) -> Path:
        """Where a SLURM job leaves its exit code."""
        return self.work.with_name(self.name + ".code")

    def command(self) -> List[str]:
        """The words that run it."""
        return ["bash", str(self.folder / "run.sh"), "--work", str(self.work), *self.options]


def choose(only: Sequence[str]) -> List[Path]:
    """The folders of the named families, or of all.

    Raises:
        ConfigError: a name that is neither a shipped family nor a folder with a config.sh.
    """
    if not only:
        return shipped_families()
    folders = []
    for name in only:
        found = [path for path in (HERE / name, Path(name)) if (path / "config.sh").is_file()]
        if not found:
            shipped = ", ".join(path.name for path in shipped_families())
            raise ConfigError(f"{name} is no family; there are {shipped}, and folders that recipes/plan.sh wrote.")
        folders.append(found[0].resolve())
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        raise ConfigError(f"--only names a family twice: {', '.join(names)}.")
    return folders


def run_local(tasks: Sequence[Task]) -> Dict[str, int]:
    """Run one after the other; exit code by family."""
    codes = {}
    for number, task in enumerate(tasks, start=1):
        logger.info(f"{number} of {len(tasks)} | {task.name} | {task.log}")
        with open(task.log, "ab") as log:
            codes[task.name] = subprocess.run(
                task.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            ).returncode
        logger.info(f"{number} of {len(tasks)} | {task.name} | {word(codes[task.name])}")
    return codes


def submit(task: Task, options: Sequence[str]) -> str:
    """Submit a family with sbatch; the job's number. The job leaves its exit code in a file, so that no accounting is needed.

    Raises:
        DataError: sbatch refused it.
    """
    task.code_file.unlink(missing_ok=True)
    code, part = shlex.quote(str(task.code_file)), shlex.quote(f"{task.code_file}.tmp")
    script = f"#!/bin/bash\n{shlex.join(task.command())}\necho $? >{part} && mv -f {part} {code}\n"
    words = [
        "sbatch",
        "--parsable",
        f"--job-name=distill-{task.name}",
        f"--output={task.log}",
        "--open-mode=append",
        *options,
    ]
    done = subprocess.run(words, input=script, capture_output=True, text=True)
    if done.returncode:
        raise DataError(f"sbatch refused {task.name}: {done.stderr.strip() or 'without a word'}.")
    return done.stdout.strip().partition(";")[0]


def still_queued(jobs: Sequence[str]) -> Optional[List[str]]:
    """Those of the jobs that SLURM still knows; None when squeue does not answer."""
    done = subprocess.run(["squeue", "-h", "-o", "%A"], capture_output=True, text=True)
    if done.returncode:
        return None
    known = set(done.stdout.split())
    return [job for job in jobs if job in known]


def run_slurm(tasks: Sequence[Task], options: Sequence[str], poll_s: float) -> Dict[str, int]:
    """A job for each family, all submitted at once; wait for them; exit code by family.

    Raises:
        ConfigError: there is no sbatch.
    """
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise ConfigError("--slurm needs the commands sbatch and squeue; without SLURM, leave it out.")
    jobs: Dict[str, Task] = {}
    codes: Dict[str, int] = {}
    for task in tasks:
        try:
            job = submit(task, options)
        except DataError as error:
            logger.error(str(error))
            codes[task.name] = 1
            continue
        jobs[job] = task
        logger.info(f"job {job} | {task.name} | {task.log}")
    while jobs:
        time.sleep(poll_s)
        queued = still_queued(list(jobs))
        for job in [job for job in jobs if queued is not None and job not in queued]:
            task = jobs.pop(job)
            codes[task.name] = _code(task, poll_s)
            logger.info(f"job {job} | {task.name} | {word(codes[task.name])}")
    return codes


def _code(task: Task, wait_s: float) -> int:
    """The exit code that a job left; on a shared disk it may show a little late."""
    for _ in range(3):
        if task.code_file.is_file():
            return int(task.code_file.read_text())
        time.sleep(wait_s)
    return LOST


def word(code: int) -> str:
    """What an exit code means."""
    return {0: "ok", NO_TEXT: "no text", LOST: "lost: killed, or cancelled"}.get(code, f"failed ({code})")


def row(task: Task, state: str) -> List[str]:
    """A row of the table: family, languages, state, dev sets, mean xsim of student and teacher, updates."""
    cells = [task.name, " ".join(read_config(task.folder).langs), state]
    results = read_results(task.work) if state != "no text" and task.work.is_dir() else None
    if results is None:
        return [*cells, "-", "-", "-", "-"]
    means = {}
    for kind in ("student", "teacher"):
        percents = [e.percent for e in results.xsim if e.encoder == kind and e.margin == defaults.XSIM_MARGIN]
        means[kind] = f"{np.mean(percents):.2f}" if percents else "-"
    sets = len({entry.valid_set for entry in results.xsim})
    updates = f"{results.training.updates:,}" if results.training is not None else "-"
    return [*cells, str(sets), means["student"], means["teacher"], updates]


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows under their heads, in columns."""
    heads = ["family", "languages", "state", "dev sets", "student xsim %", "teacher applied directly", "updates"]
    widths = [max(len(cells[i]) for cells in [heads, *rows]) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in [heads, *rows]
    )


def dry_run(tasks: Sequence[Task]) -> Dict[str, int]:
    """Let each family say what it would do."""
    return {task.name: subprocess.run([*task.command(), "--dry-run"]).returncode for task in tasks}


def main(args: argparse.Namespace) -> None:
    work = Path(args.work).resolve()
    tasks = [Task(folder, work / folder.name, args.options) for folder in choose(args.only)]
    if args.dry_run:
        codes = dry_run([Task(task.folder, task.work, _before_training(task.options)) for task in tasks])
    elif args.summary:
        codes = {task.name: 0 for task in tasks}
    else:
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, work) from error
        codes = run_slurm(tasks, shlex.split(args.sbatch), args.poll_s) if args.slurm else run_local(tasks)
    if not args.dry_run:
        states = {task.name: "-" if args.summary else word(codes[task.name]) for task in tasks}
        text = table([row(task, states[task.name]) for task in tasks])
        print(f"{text}\nxsim: {defaults.XSIM_MARGIN} margin, k = {defaults.NEIGHBOURHOOD}, mean over the dev sets")
        write_text(work / "summary.txt", text + "\n")
    failed = [name for name, code in codes.items() if code not in (0, NO_TEXT)]
    empty = [name for name, code in codes.items() if code == NO_TEXT]
    if failed:
        raise DataError(
            f"{len(failed)} of {len(codes)} families failed: {', '.join(failed)}; read their logs in {work}."
        )
    if empty and (args.only or len(empty) == len(codes)):
        raise DataError(f"There is no text for {', '.join(empty)}; read the logs in {work}.")


def _before_training(options: Sequence[str]) -> List[str]:
    """The options of run.sh without those for fairseq-train behind a second ``--``."""
    words = list(options)
    return words[: words.index("--")] if "--" in words else words


def parser() -> argparse.ArgumentParser:
    result = make_parser(
        "run_families.py", __doc__.splitlines()[0], "bash recipes/all.sh --only nguni kwa -- --max-minutes 30"
    )
    add = result.add_argument
    where = result.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="one after the other on this machine (the default)")
    where.add_argument("--slurm", action="store_true", help="a SLURM job for each family")
    add(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="FAMILY",
        help="these families, or folders that recipes/plan.sh wrote",
    )
    add("--work", default=str(HERE.parent / "work"), metavar="DIR", help="DIR/FAMILY is a family's work directory")
    add("--sbatch", default="", metavar="OPTIONS", help="options of sbatch, in one word")
    add(
        "--poll-s",
        type=float,
        default=defaults.SLURM_POLL_S,
        metavar="S",
        help="seconds between two looks at the queue",
    )
    add("--dry-run", action="store_true", help="let each family print what it would do")
    add("--summary", action="store_true", help="run nothing; print the table of what is there")
    add("options", nargs="*", metavar="OPTION", help="options of each family's run.sh, after --")
    return result


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
