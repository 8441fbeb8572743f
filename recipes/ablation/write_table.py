"""Write the table of the claims from the results file: docs/ablation.md.

    python recipes/ablation/write_table.py [--results docs/ablation.jsonl] [--output docs/ablation.md]

Every number and every sentence under a table is made from the results; nothing is written by hand.
"""

import argparse
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from claims import CLAIMS, DEFAULT_GROUPS, GROUPS, SIZES, VARIANTS, Claim, Comparison, Group, Run, runs_of
from run_records import Record, Wrong, read_records
from run_sources import PIVOT

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.paired import Cell, Cells, Estimate, common, estimate, verdict
from fairseq_distill.formats.atomic import write_text

SEEDS = (1, 2, 3)  # that are planned; more are shown when they are there

Found = Dict[Tuple[str, str, str, int], Wrong]  # (variant, group, language or "", seed) -> what was wrong


class Row(NamedTuple):
    """One row: its name, mean xsim, difference to the first row (None there, or where nothing can be compared), runs."""

    name: str
    mean: "Estimate | None"
    difference: "Estimate | None"
    groups: Dict[str, float]
    done: int
    planned: int


def by_run(records: Sequence[Record]) -> Found:
    """The results of one size by run.

    Raises:
        DataError: a run stands there twice, made from different data or with different updates.
    """
    found: Found = {}
    for record in records:
        place = (record.variant, record.group, record.lang or "", record.seed)
        if place in found:
            raise DataError(
                f"The results hold two runs of {' '.join(map(str, place))}, made with other data or updates; give the "
                "others a file of their own with --results."
            )
        found[place] = record.wrong_sentences()
    return found


def language_of(name: str) -> str:
    """``amh`` of the development set ``hornmt.eng-amh`` (or ``hornmt.eng-amh-2``)."""
    return name.rpartition(f"{PIVOT}-")[2].partition("-")[0]


def sets_of_run(run: Run, found: Found) -> "Wrong | None":
    """What one run got wrong; None where it has not been made."""
    return found.get((run.variant.name, run.group, run.lang or "", run.seed))


def cells_of(name: str, margin: str, groups: Sequence[Group], seeds: Sequence[int], found: Found) -> Cells:
    """Group -> seed -> development set -> bool [N], where every run behind the cell has been made."""
    cells: Cells = {}
    for group in groups:
        for seed in seeds:
            parts = [sets_of_run(run, found) for run in runs_of(VARIANTS[name], group, seed)]
            if not parts or None in parts:
                continue
            cell: Cell = {
                each: rows[margin]
                for part in parts
                for each, rows in (part or {}).items()
                if language_of(each) in group.languages
            }
            cells.setdefault(group.name, {})[seed] = cell
    return cells


def count_runs(name: str, groups: Sequence[Group], seeds: Sequence[int], found: Found) -> Tuple[int, int]:
    """Runs made, and runs planned, of a variant."""
    runs = list(
        dict.fromkeys(run for group in groups for seed in seeds for run in runs_of(VARIANTS[name], group, seed))
    )
    return sum(sets_of_run(run, found) is not None for run in runs), len(runs)


def rows_of(comparison: Comparison, groups: Sequence[Group], seeds: Sequence[int], found: Found) -> List[Row]:
    """The rows of one table."""
    whats = [(name, margin) for name in comparison.variants for margin in comparison.margins]
    base = cells_of(*whats[0], groups, seeds, found)
    rows: List[Row] = []
    for name, margin in whats:
        cells = cells_of(name, margin, groups, seeds, found)
        says = VARIANTS[name].says if len(comparison.margins) == 1 else f"{margin} margin"
        difference = estimate(cells, base) if rows and common(cells, base) else None
        means = {group: estimate({group: own}, {}, samples=1).mean for group, own in cells.items()}
        mean = estimate(cells, {}) if cells else None
        rows.append(Row(says, mean, difference, means, *count_runs(name, groups, seeds, found)))
    return rows


def _interval(value: "Estimate | None", sign: str = "") -> str:
    return "" if value is None else f"{value.mean:{sign}.2f} ({value.low:{sign}.2f} to {value.high:{sign}.2f})"


def sentence(row: Row, base: Row, comparable: int) -> str:
    """What a row says, from its numbers alone."""
    if row.difference is None:
        return f"- {row.name}: nothing to compare yet ({row.done} of {row.planned} runs)."
    words = {"better": "better than", "worse": "worse than", "no difference": "no difference at 95 % to"}
    found = words[verdict(row.difference)]
    over = f"{comparable} pair{'s' if comparable > 1 else ''} of group and seed"
    return f'- {row.name}: {found} "{base.name}", {_interval(row.difference, "+")} points of xsim over {over}.'


def comparison_lines(comparison: Comparison, groups: Sequence[Group], seeds: Sequence[int], found: Found) -> List[str]:
    """One table in Markdown, and its sentences."""
    rows = rows_of(comparison, groups, seeds, found)
    names = [group.name for group in groups]
    lines = [
        f"Teacher: {comparison.title}.",
        "",
        f"| student | xsim % (95 %) | difference (95 %) | {' | '.join(names)} | runs |",
        "| --- |" + " --- |" * (len(names) + 3),
    ]
    for row in rows:
        means = " | ".join(f"{row.groups[name]:.2f}" if name in row.groups else "" for name in names)
        difference = _interval(row.difference, "+") if row is not rows[0] else "-"
        lines.append(f"| {row.name} | {_interval(row.mean)} | {difference} | {means} | {row.done} of {row.planned} |")
    lines.append("")
    whats = [(name, margin) for name in comparison.variants for margin in comparison.margins]
    base = cells_of(*whats[0], groups, seeds, found)
    for row, what in list(zip(rows, whats))[1:]:
        pairs = sum(map(len, common(cells_of(*what, groups, seeds, found), base).values()))
        lines.append(sentence(row, rows[0], pairs))
    return [*lines, ""]


def claim_lines(claim: Claim, groups: Sequence[Group], seeds: Sequence[int], found: Found) -> List[str]:
    """One section."""
    lines = [f"## ({claim.letter}) {claim.question}", ""]
    for comparison in claim.comparisons:
        lines += comparison_lines(comparison, groups, seeds, found)
    return lines


def head_lines(records: Sequence[Record], size: str, shown: Sequence[Group]) -> List[str]:
    """What the numbers are, with what they were made, and how to make them again."""
    shape, used = (
        SIZES[size],
        sorted(
            {f"{name} {version}" for each in records for name, version in each.versions.items() if name != "commit"}
        ),
    )
    updates = ", ".join(f"{each:,}" for each in sorted({record.updates for record in records}))
    options = " ".join(f"--{name} {value}" for name, value in {"arch": shape.arch, **shape.options}.items())
    hours = sum(record.cpu_seconds for record in records) / 3600
    groups = "; ".join(f"{group.name}: {' '.join(group.languages)}" for group in shown)
    return [
        "# The paper's claims again",
        "",
        "Written by `python recipes/ablation/write_table.py` from [ablation.jsonl](ablation.jsonl), every number and sentence of it.",
        "[recipes/ablation/README.md](../recipes/ablation/README.md) says how the runs are made and what they cannot show.",
        "",
        f"Size `{size}`: `{options}`, {updates} updates of {shape.max_tokens:,} pieces, vocabularies of "
        f"{shape.spm_size:,} pieces at most. {len(records):,} runs, {hours:.1f} CPU hours of training.",
        f"Groups: {groups}. Made with: {', '.join(used)}.",
        "",
        f"xsim in %, lower is better, source to English, {defaults.XSIM_MARGIN} margin unless a row says otherwise, "
        f"k = {defaults.NEIGHBOURHOOD}, of the last checkpoint, on development sets: the mean over",
        "the sets of a group, then seeds, then groups. In brackets: 95 % of "
        f"{defaults.BOOTSTRAP_SAMPLES:,} resamplings of sentences and seeds (paired, for differences); where a group has one seed,",
        "the interval holds what sentences vary, not what seeds vary. Negative differences are in favour of the row. A row's own mean",
        "is over the runs that are there; a difference is over groups and seeds that both rows have.",
        "",
        "    bash recipes/ablation/run.sh --claim all --data-root DIR --seeds 1,2,3 --jobs 2",
        "",
    ]


def document(records: Sequence[Record], size: str) -> str:
    """The page for the runs of one size."""
    chosen = [record for record in records if record.size == size]
    if not chosen:
        raise DataError(f"The results hold no run of size {size}.")
    found = by_run(chosen)
    there = {record.group for record in chosen}
    groups = [group for group in GROUPS if group.name in DEFAULT_GROUPS or group.name in there]
    seeds = sorted({*SEEDS, *(record.seed for record in chosen)})
    lines = head_lines(chosen, size, groups)
    for claim in CLAIMS:
        lines += claim_lines(claim, groups, seeds, found)
    return "\n".join(lines).rstrip("\n") + "\n"


def main(args: argparse.Namespace) -> None:
    records = read_records(Path(args.results))
    sizes = [size for size in SIZES if any(record.size == size for record in records)]
    if not sizes:
        raise DataError(f"{args.results} holds no run; make some with recipes/ablation/run.sh.")
    size = args.size or ("cpu" if "cpu" in sizes else sizes[0])
    write_text(args.output, document(records, size))


def cli_main() -> int:
    parser = make_parser("write_table.py", __doc__.splitlines()[0], "python recipes/ablation/write_table.py")
    docs = Path(__file__).resolve().parent.parent.parent / "docs"
    parser.add_argument("--results", default=str(docs / "ablation.jsonl"), metavar="FILE", help="results, a line a run")
    parser.add_argument("--output", default=str(docs / "ablation.md"), metavar="FILE", help="the page to write")
    parser.add_argument("--size", choices=list(SIZES), help="which runs; those of size cpu if there are any")
    return run_command(parser, main)


if __name__ == "__main__":
    sys.exit(cli_main())
