"""Stage 1, second half: drop repeats, and every training line that is also in an evaluation set, on either side.

Lines are compared by the 64-bit keys of clean.py (letters, marks and digits in lower case), never by their text, so
that tens of millions of pairs fit in memory: 8 bytes a pair and three more copies while they are sorted.
"""

import gzip
import itertools
import logging
import sys
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
from chunks import CHUNK_LINES, available_workers, in_chunks, ordered_map
from clean import CODE as CLEAN_CODE
from clean import KEY_COLUMNS, clean_step, data_parser, join_lines, line_keys, tidy
from plan_file import Plan, Source, read_plan
from stamps import HERE, Stamps, Step

from fairseq_distill.cli.common import run_command
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import atomic_path
from fairseq_distill.formats.lines import count_lines, iter_lines
from fairseq_distill.formats.manifest import Count
from fairseq_distill.progress import Progress, counted

logger = logging.getLogger(__name__)

REASONS = ("kept", "in_evaluation_set", "duplicate")
STEP = "deduplicate"


def _tidy_keys(lines: List[str]) -> np.ndarray:
    return line_keys([tidied for line in lines if (tidied := tidy(line))])


def evaluation_keys(paths: List[str], workers: int) -> np.ndarray:
    """Keys of every line of the evaluation files, sorted, each once; uint64 [M].

    Raises:
        DataError: a file is missing or not UTF-8.
    """
    lines = itertools.chain.from_iterable(map(iter_lines, paths))
    read = counted(lines, Progress("evaluation text", sum(map(count_lines, paths)), unit="lines"))
    keys = list(ordered_map(_tidy_keys, in_chunks(read), workers))
    return np.unique(np.concatenate(keys)) if keys else np.empty(0, np.uint64)


def contains(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """bool [N]: which of ``keys`` are among ``sorted_keys`` (each once, ascending)."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    position = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return sorted_keys[position] == keys


def repeated(keys: np.ndarray) -> np.ndarray:
    """bool [N]: True where an equal key stands further up."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), dtype=bool)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again


def pair_keys(rows: np.ndarray) -> np.ndarray:
    """One key for both sides of each pair; uint64 [N] from uint64 [N, 3]."""
    other = rows[:, 1].copy()
    other ^= other >> np.uint64(29)  # so that swapped or shifted sides do not cancel out
    other *= np.uint64(0xBF58476D1CE4E5B9)
    other ^= rows[:, 0]
    return other


def judge_language(keys: List[np.ndarray], evaluation: np.ndarray, n_sides: int) -> List[np.ndarray]:
    """Why each line of the corpora of one language and kind is dropped: the first of equal pairs stays.

    Args:
        keys: uint64 [N, 3] of each corpus, as clean.py writes them.
        evaluation: from :func:`evaluation_keys`.
        n_sides: 2 for pairs, 1 for monolingual text.

    Returns:
        uint8 [N] of each corpus, positions in ``REASONS``.
    """
    again = repeated(np.concatenate([pair_keys(rows) for rows in keys]))
    reasons = np.where(again, np.uint8(REASONS.index("duplicate")), np.uint8(0))
    split = np.split(reasons, np.cumsum([len(rows) for rows in keys])[:-1])
    for rows, part in zip(keys, split):
        for column in range(n_sides):
            part[contains(evaluation, rows[:, column])] = REASONS.index("in_evaluation_set")
    return split


def write_kept(
    inputs: List[Path],
    outputs: List[Path],
    dropped: Path,
    reasons: np.ndarray,
    numbers: np.ndarray,
    progress: Progress,
) -> None:
    """Copy the kept lines of each side, and list the others with their raw line number and reason."""
    with ExitStack() as stack:
        readers = [stack.enter_context(open(path, "rb")) for path in inputs]
        writers = [stack.enter_context(open(stack.enter_context(atomic_path(path)), "wb")) for path in outputs]
        rest = stack.enter_context(open(stack.enter_context(atomic_path(dropped)), "wb"))
        for start in range(0, len(reasons), CHUNK_LINES):
            part = reasons[start : start + CHUNK_LINES]
            sides = [list(itertools.islice(reader, len(part))) for reader in readers]
            for side, writer in zip(sides, writers):
                assert len(side) == len(part), "keys and text of clean.py do not belong together"
                writer.writelines(itertools.compress(side, part == 0))
            gone = np.flatnonzero(part)
            rows = (
                "\t".join(
                    [
                        str(numbers[start + i]),
                        REASONS[part[i]],
                        *(side[i].decode("utf-8").rstrip("\n") for side in sides),
                    ]
                )
                for i in gone
            )
            if len(gone):
                rest.write(gzip.compress(join_lines(rows), mtime=0))
            progress.add(len(part))


def deduplicate(plan: Plan, data: Path, workers: int) -> List[Dict[str, Any]]:
    """Deduplicate all training corpora together; a count for each.

    Raises:
        DataError: a language is left without any pair.
    """
    evaluation_files = [path for source in plan.split("valid") for _, path in source.sides()] + plan.exclude
    evaluation = evaluation_keys(evaluation_files, workers)
    logger.info(f"deduplicate | {len(evaluation):,} distinct lines in {len(evaluation_files)} evaluation files")
    counts: Dict[str, Count] = {}
    train = plan.split("train")
    for lang, kind in dict.fromkeys((source.lang, source.kind) for source in train):
        group = [source for source in train if (source.lang, source.kind) == (lang, kind)]
        keys = [_read_keys(source, data) for source in group]
        n_sides = len(group[0].sides())
        for source, rows, reasons in zip(group, keys, judge_language(keys, evaluation, n_sides)):
            counts[source.name] = _write(source, data, rows, reasons)
        if kind == "distil" and not sum(counts[source.name].n_out for source in group):
            raise DataError(_nothing_left(lang, group, counts, Stamps(data), data))
    return [asdict(counts[source.name]) for source in train]


def _read_keys(source: Source, data: Path) -> np.ndarray:
    path = data / "filtered" / f"{source.name}.keys"
    if not path.stat().st_size:
        return np.empty((0, KEY_COLUMNS), np.uint64)
    return np.memmap(path, "<u8", "r").reshape(-1, KEY_COLUMNS)


def _write(source: Source, data: Path, rows: np.ndarray, reasons: np.ndarray) -> Count:
    progress = Progress(f"deduplicate | {source.name}", len(reasons), unit="lines")
    names = [f"{source.name}.{lang}" for lang, _ in source.sides()]
    write_kept(
        [data / "filtered" / name for name in names], [data / "clean" / name for name in names],
        data / "dropped" / f"{source.name}.deduplicate.tsv.gz", reasons, rows[:, 2], progress,
    )  # fmt: skip
    tally = np.bincount(reasons, minlength=len(REASONS))
    dropped = {reason: int(n) for reason, n in zip(REASONS[1:], tally[1:]) if n}
    said = ", ".join(f"{reason} {n:,}" for reason, n in dropped.items()) or "nothing"
    lines = f"{len(reasons):,} in, {tally[0]:,} out"
    logger.info(f"deduplicate | {source.name} | {lines} | dropped: {said} | {progress.seconds:.1f} s")
    return Count(STEP, source.name, len(reasons), int(tally[0]), dropped)


def _nothing_left(lang: str, group: List[Source], counts: Dict[str, Count], stamps: Stamps, data: Path) -> str:
    total: Dict[str, int] = {}
    n_in = 0
    for source in group:
        cleaned = stamps.result(f"clean.{source.name}")
        n_in += cleaned["n_in"]
        for reason, n in [*cleaned["dropped"].items(), *counts[source.name].dropped.items()]:
            total[reason] = total.get(reason, 0) + n
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in total.items())
    hint = ""
    if "wrong_script" in total:
        hint = f" If {lang} is written in another script than usual here, say so in its code, as in {lang}_Latn."
    where = f"the dropped lines are in {data / 'dropped'}"
    return f"No training pair of {lang} is left of {n_in:,} ({reasons}); {where}.{hint}"


def deduplicate_step(plan: Plan, data: Path) -> Step:
    """The step over all training corpora."""
    train = plan.split("train")
    inputs = [path for source in train for path in clean_step(source, data).outputs if path.parent.name == "filtered"]
    inputs += [Path(path) for source in plan.split("valid") for _, path in source.sides()]
    inputs += [Path(path) for path in plan.exclude]
    outputs = [data / "clean" / f"{source.name}.{lang}" for source in train for lang, _ in source.sides()]
    outputs += [data / "dropped" / f"{source.name}.deduplicate.tsv.gz" for source in train]
    options = {"corpora": [[source.name, source.lang, source.kind] for source in train]}
    return Step(STEP, inputs, outputs, options, [HERE / "deduplicate.py", *CLEAN_CODE])


def kept_sources(plan: Plan, stamps: Stamps) -> List[Source]:
    """The corpora with a line left, in the plan's order.

    Raises:
        DataError: stage 1 has not run.
    """
    left = {count["corpus"] for count in stamps.result(STEP) if count["n_out"]}
    return [source for source in plan.sources if source.split == "valid" or source.name in left]


def student_sides(plan: Plan, stamps: Stamps) -> Dict[str, List[Tuple[Source, str]]]:
    """Each language that the student reads, with the corpora that hold its text and its code there.

    The teacher's language is one of them, and comes last, when it is to be read for TLM or ``self``.
    """
    sides: Dict[str, List[Tuple[Source, str]]] = {lang: [] for lang in plan.languages}
    for source in kept_sources(plan, stamps):
        if source.split == "train":
            for lang in plan.student_langs(source):
                sides.setdefault(lang if lang in plan.languages else plan.teacher_lang, []).append((source, lang))
    return sides


def main(args: Namespace) -> None:
    """Deduplicate what clean.py has left."""
    data, plan = Path(args.data), read_plan(args.data)
    stamps = Stamps(data)
    stamps.run(deduplicate_step(plan, data), lambda: deduplicate(plan, data, available_workers(args.workers)))
    stamps.save()


if __name__ == "__main__":
    sys.exit(run_command(data_parser("deduplicate.py", "Drop repeats and lines of the evaluation sets."), main))
