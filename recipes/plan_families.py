"""Propose the students for some languages: which languages together, with which pivots, vocabulary, sampling and curriculum.

    python recipes/plan_families.py (--counts COUNTS.tsv | --root DATA_ROOT [--langs L1,L2]) --output DIR

Every decision comes with its reason. DIR/FAMILY gets config.sh, run.sh and README.md, as the shipped recipes have them.
"""

import argparse
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from corpora_root import lines_by_language, pairs_by_language, scan
from family_config import ListedCorpus, read_config, settings_lines, shipped_families
from language_table import canonical, find_language, read_table

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import disk_error, write_text
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.formats.numbers import whole
from fairseq_distill.formats.vocabulary import size_for_lines
from fairseq_distill.language_codes import warn_of_unknown
from fairseq_distill.languages import parse_language

logger = logging.getLogger(__name__)
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Count:
    """What there is of a language: sentence pairs with the teacher's language, and monolingual lines."""

    pairs: int
    lines: int = 0


@dataclass
class Proposal:
    """A student: the settings of its config.sh, and why."""

    name: str
    family: str
    langs: List[str]
    pivots: List[str] = field(default_factory=list)
    vocabulary: str = "dedicated"
    spm_size: int = defaults.SPM_SIZE
    temperature: float = defaults.SAMPLING_TEMPERATURE
    curriculum: str = "none"
    reasons: List[str] = field(default_factory=list)


def read_counts(path: str) -> Dict[str, Count]:
    """The counts of a TSV: code, pairs, monolingual lines (may be left out); lines that begin with # are skipped.

    Raises:
        DataError: a line that is not of that form, a language named twice, or no language at all.
    """
    counts: Dict[str, Count] = {}
    for number, line in enumerate(iter_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip().replace(",", "") for cell in line.split("\t")]
        if len(cells) not in (2, 3) or not all(cell.isdecimal() for cell in cells[1:]):
            raise DataError(f"{path}, line {number}: {line!r} is not 'code<TAB>pairs<TAB>monolingual lines'.")
        code = parse_language(cells[0]).code
        if canonical(code) in counts:
            raise DataError(f"{path}, line {number}: {code} is there twice; give each language one line.")
        try:
            counts[canonical(code)] = Count(*(whole(cell, 0) for cell in cells[1:]))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}.") from error
    if not counts:
        raise DataError(f"{path} names no language.")
    return counts


def count_root(root: Path, langs: Sequence[str], teacher_langs: Sequence[str]) -> Dict[str, Count]:
    """The counts of a folder of corpora; without ``langs``, of every language of recipes/languages.tsv that has pairs there."""
    wanted = [canonical(code) for code in langs] or [row.code for row in read_table()]
    corpora = scan(root, wanted, teacher_langs)
    pairs, lines = pairs_by_language(corpora), lines_by_language(corpora)
    return {code: Count(pairs.get(code, 0), lines.get(code, 0)) for code in wanted if langs or pairs.get(code)}


def group(counts: Dict[str, Count]) -> Dict[str, List[str]]:
    """Folder name -> languages: a family each; one of more than PLAN_LANGUAGES by subgroup; an unknown language alone."""
    groups: Dict[str, List[str]] = {}
    for code in counts:
        row = find_language(code)
        groups.setdefault(row.recipe if row is not None else code, []).append(code)
    split: Dict[str, List[str]] = {}
    for name, codes in groups.items():
        for code in codes:
            row = find_language(code)
            large = len(codes) > defaults.PLAN_LANGUAGES and row is not None
            split.setdefault(f"{name}_{_word(row.subgroup)}" if large and row is not None else name, []).append(code)
    return split


def _word(subgroup: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in subgroup.lower())


def sister_in(code: str, group_counts: Dict[str, Count]) -> Optional[str]:
    """The largest language of the group if it is a pivot for ``code``: PIVOT_RATIO times its pairs; else None."""
    others = {other: count.pairs for other, count in group_counts.items() if other != code}
    largest = max(others, key=lambda other: others[other], default=None)
    if largest is None or others[largest] < defaults.PIVOT_RATIO * max(1, group_counts[code].pairs):
        return None
    return largest


def pivot_for(
    code: str, taken: Sequence[str], counts: Dict[str, Count], available: Optional[Dict[str, Count]]
) -> Optional[str]:
    """A language outside the student that ``code`` can lean on: the first of its family, else the pivot of the table.

    Args:
        code: the language with too little text.
        taken: the languages that the student has already.
        counts: what there is of each language that the user named.
        available: what a folder of corpora has; None: everything that the shipped configs list.
    """
    row = find_language(code)
    if row is None:
        return None
    listed = {corpus.lang for corpus in shipped_corpora()}
    sisters = [other.code for other in read_table() if other.recipe == row.recipe]
    for candidate in [*sisters, *([row.pivot] if row.pivot else [])]:
        has_text = candidate in listed if available is None else available.get(candidate, Count(0)).pairs > 0
        if candidate in counts:  # the user has said how much there is of it
            has_text = counts[candidate].pairs >= defaults.PIVOT_RATIO * counts[code].pairs
        if candidate != code and candidate not in taken and has_text:
            return candidate
    return None


def shipped_corpora() -> List[ListedCorpus]:
    """The corpora of all shipped configs."""
    return [corpus for folder in shipped_families() for corpus in read_config(folder).corpora]


def temperature(pairs: Sequence[int]) -> float:
    """Sampling temperature for the languages of one student, from the largest over the smallest."""
    ratio = max(pairs) / max(1, min(pairs))
    for up_to, value in defaults.PLAN_TEMPERATURES:
        if ratio <= up_to:
            return value
    return defaults.PLAN_TEMPERATURE_LARGEST


def _choose_pivots(proposal: Proposal, counts: Dict[str, Count], available: Optional[Dict[str, Count]]) -> None:
    own = {code: counts[code] for code in proposal.langs}
    for code in proposal.langs:
        if own[code].pairs >= defaults.PIVOT_PAIRS:
            continue
        few = f"{code}: {own[code].pairs:,} pairs are fewer than {defaults.PIVOT_PAIRS:,}"
        sister = sister_in(code, own)
        if sister is not None:
            proposal.reasons.append(f"{few}; {sister} ({own[sister].pairs:,}) is in the same student to lean on")
            continue
        pivot = pivot_for(code, [*proposal.langs, *proposal.pivots], counts, available)
        if pivot is not None and not proposal.pivots:
            proposal.pivots.append(pivot)
            proposal.reasons.append(f"{few}; {pivot} is added to lean on, as NLLB added a similar larger language")
        elif not proposal.pivots:
            proposal.reasons.append(f"{few}, and there is no larger sister to lean on; more pairs would help most")


def _choose_numbers(proposal: Proposal, counts: Dict[str, Count], available: Optional[Dict[str, Count]]) -> None:
    known = {**(available or {}), **counts}  # of a pivot to be downloaded nothing is known yet
    counted = [known[code] for code in [*proposal.langs, *proposal.pivots] if code in known]
    pairs = [count.pairs for count in counted]
    lines = sum(count.pairs + count.lines for count in counted)
    several = len(proposal.langs) + len(proposal.pivots) > 1
    proposal.vocabulary = "joint" if several else "dedicated"
    proposal.spm_size = size_for_lines(lines)
    proposal.reasons.append(
        f"vocabulary: {proposal.spm_size:,} pieces for {lines:,} lines, "
        + ("joint to the languages of this student alone" if several else "dedicated to this language")
        + "; a vocabulary over all languages would give these mostly short pieces (LASER3, NLLB)"
    )
    if len(pairs) > 1:
        proposal.temperature = temperature(pairs)
        proposal.reasons.append(
            f"sampling: temperature {proposal.temperature:g}, the largest language has {max(pairs) / max(1, min(pairs)):.1f} times "
            "the pairs of the smallest"
        )
    if min(pairs) < defaults.CURRICULUM_PAIRS:
        proposal.curriculum = "progressive"
        proposal.reasons.append(
            f"curriculum: progressive, as the smallest language has fewer than {defaults.CURRICULUM_PAIRS:,} pairs (LASER3's advice "
            f"for very little text); the teacher embeds {defaults.CURRICULUM_INCREMENTS} parts of each sentence"
        )
    else:
        proposal.reasons.append(f"curriculum: none, every language has at least {defaults.CURRICULUM_PAIRS:,} pairs")


def propose(counts: Dict[str, Count], available: Optional[Dict[str, Count]] = None) -> List[Proposal]:
    """The students for some languages, in the order in which their first language is named.

    Args:
        counts: what there is of each language.
        available: counts of all languages of a folder of corpora, from which pivots may come; None: from downloads.

    Raises:
        DataError: no language has pairs.
    """
    learnable = {code: count for code, count in counts.items() if count.pairs}
    if not learnable:
        raise DataError("No language has sentence pairs; a student learns a language from pairs with the teacher's.")
    proposals = []
    for name, codes in group(learnable).items():
        row = find_language(codes[0])
        proposal = Proposal(
            name, row.subgroup if row is not None and len(codes) == 1 else name.replace("_", " "), codes
        )
        if row is None:
            proposal.reasons.append(f"{codes[0]}: not in recipes/languages.tsv, so it gets a student of its own")
        elif len(codes) > 1:
            proposal.reasons.append(f"{', '.join(codes)}: one student, as they are of one family ({name})")
        silent = [code for code, count in counts.items() if not count.pairs and _recipe(code) == _recipe(codes[0])]
        if silent and row is not None:
            proposal.reasons.append(f"{', '.join(silent)}: no pairs, so left out; this student may serve to mine some")
        _choose_pivots(proposal, counts, available)
        _choose_numbers(proposal, counts, available)
        proposals.append(proposal)
    return proposals


def _recipe(code: str) -> str:
    row = find_language(code)
    return row.recipe if row is not None else code


def config_text(proposal: Proposal) -> str:
    """config.sh of a proposal; the corpora are those that the shipped configs list for its languages."""
    corpora = [corpus for corpus in shipped_corpora() if corpus.lang in [*proposal.langs, *proposal.pivots]]
    unique = {corpus.id: corpus for corpus in corpora}.values()
    lines = [
        "# Written by recipes/plan.sh; README.md beside it has the reasons, recipes/README.md explains each setting.",
        "# shellcheck shell=bash disable=SC2034 # read by recipes/family_config.py",
        f'FAMILY="{proposal.family}"',
        f"LANGS=({' '.join(proposal.langs)})",
        f"PIVOTS=({' '.join(proposal.pivots)})",
        f"# vocabulary: its own, {proposal.vocabulary}",
        *settings_lines(proposal.spm_size, proposal.temperature, proposal.curriculum),
        "CORPORA=(",
        *(f'  "{corpus.lang} {corpus.id} {corpus.licence}"' for corpus in unique),
        ")",
    ]
    return "\n".join(lines) + "\n"


def write_proposal(proposal: Proposal, counts: Dict[str, Count], output: Path) -> Path:
    """Write the folder of a proposal; its path."""
    folder = output / proposal.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    rows = [f"| {code} | {counts[code].pairs:,} | {counts[code].lines:,} |" for code in proposal.langs]
    readme = [
        f"# {proposal.family}",
        "",
        "| language | pairs | monolingual lines |",
        "| --- | ---: | ---: |",
        *rows,
        "",
    ]
    write_text(folder / "README.md", "\n".join([*readme, *(f"- {reason}." for reason in proposal.reasons)]) + "\n")
    write_text(folder / "config.sh", config_text(proposal))
    write_text(
        folder / "run.sh",
        "#!/usr/bin/env bash\n"
        f'source "{REPOSITORY / "recipes" / "family.sh"}"\n'
        'run_family "$(dirname "${BASH_SOURCE[0]}")" "$@"\n',
    )
    return folder


def gather(args: argparse.Namespace) -> Tuple[Dict[str, Count], Optional[Dict[str, Count]]]:
    """(counts of the languages to plan for, counts of all that a folder of corpora has)."""
    if (args.counts is None) == (args.root is None):
        raise ConfigError("Give either --counts COUNTS.tsv or DATA_ROOT (--root DIR).")
    if args.counts is not None:
        return read_counts(args.counts), None
    teachers = args.teacher_langs.replace(",", " ").split()
    langs = [parse_language(code).code for code in args.langs.replace(",", " ").split()]
    return count_root(Path(args.root), langs, teachers), count_root(Path(args.root), [], teachers)


def main(args: argparse.Namespace) -> None:
    counts, available = gather(args)
    warn_of_unknown(counts)
    proposals = propose(counts, available)
    for proposal in proposals:
        folder = write_proposal(proposal, counts, Path(args.output))
        beside = f" + {', '.join(proposal.pivots)}" if proposal.pivots else ""
        print(f"{folder}: {', '.join(proposal.langs)}{beside}")
        for reason in proposal.reasons:
            print(f"  {reason}")


def parser() -> argparse.ArgumentParser:
    result = make_parser(
        "plan_families.py",
        __doc__.splitlines()[0],
        "python recipes/plan_families.py --counts counts.tsv --output my_recipes",
    )
    result.add_argument("--counts", metavar="TSV", help="code, sentence pairs, monolingual lines; separated by tabs")
    result.add_argument("--root", metavar="DIR", help="a folder of corpora to count instead")
    result.add_argument("--langs", default="", metavar="L1,L2", help="with --root: only these languages")
    result.add_argument(
        "--teacher-langs", default="eng", metavar="L1,L2", help="with --root: languages that the teacher knows"
    )
    result.add_argument("--output", required=True, metavar="DIR", help="gets a folder for each family")
    return result


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
