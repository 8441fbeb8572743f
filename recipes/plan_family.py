"""What a family's student is trained on: its config and a folder of corpora in, the arguments of recipes/student.sh out.

    python recipes/plan_family.py --config recipes/nguni --root DATA_ROOT [--listed] [--teacher-langs eng] --work WORK [-- OPTIONS]

Prints the arguments, one word a line; what was found, used and left out, with its licence, goes to the log and to WORK/corpora.tsv.
"""

import argparse
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from corpora_root import NOT_STATED, FoundCorpus, judged, pairs_by_language, scan
from family_config import FamilyConfig, read_config, read_licences
from shell_words import print_words

from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import write_text

logger = logging.getLogger(__name__)
NO_TEXT = 3  # exit code: nothing is wrong, but there is no text for this family
CLASSES = ("open", "noncommercial", "research", "unclear")


class NoTextError(DataError):
    """A family without training pairs in a folder of corpora."""


def parse_classes(text: str) -> List[str]:
    """The licence classes of ``LICENCES``; none named: all may be used.

    Raises:
        ConfigError: a word that is no class.
    """
    classes = text.replace(",", " ").split()
    if unknown := [word for word in classes if word not in CLASSES]:
        raise ConfigError(f"LICENCES names {', '.join(unknown)}; it takes {', '.join(CLASSES)}.")
    return classes


def refuse_licences(corpora: Sequence[FoundCorpus], classes: Sequence[str]) -> None:
    """Give every corpus a reason whose licence is in none of the classes; what states none is refused too."""
    known = read_licences()
    for item in corpora:
        kind = known.get(item.licence, ("unclear", ""))[0]
        if classes and not item.reason and (kind not in classes or item.licence == NOT_STATED):
            item.reason = f"licence {item.licence} ({kind}), LICENCES allows {', '.join(classes)}"


def leave_out_untrained(corpora: Sequence[FoundCorpus]) -> None:
    """Text of a language without training pairs cannot be learnt: say so."""
    trained = {lang for lang, pairs in pairs_by_language(corpora).items() if pairs}
    for item in corpora:
        if not item.reason and item.lang not in trained:
            item.reason = f"no training pairs for {item.lang}"


def linked(item: FoundCorpus, prefix: str, work: Optional[Path]) -> str:
    """``prefix``, or one under WORK/text whose files are called by the recipes' code where the corpus uses an alias.

    Without ``work`` nothing is written and the prefix comes back as it is.
    """
    if item.code == item.lang or work is None:
        return prefix
    folder = work / "text" / item.corpus / f"{item.teacher_lang}-{item.lang}"
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(prefix).name
    for code, called in ((item.teacher_lang, item.teacher_lang), (item.code, item.lang)):
        for ending in ("", ".gz"):
            source, link = Path(f"{prefix}.{code}{ending}"), folder / f"{name}.{called}{ending}"
            if source.is_file() and not link.is_symlink():
                link.symlink_to(source.resolve())
    return str(folder / name)


def student_arguments(
    config: FamilyConfig, corpora: Sequence[FoundCorpus], work: Optional[Path], teacher_langs: Sequence[str]
) -> List[str]:
    """The words after ``bash recipes/student.sh`` that the config and the corpora decide, those for fairseq-train last.

    Raises:
        NoTextError: no language has training pairs.
        DataError: none has pairs to validate on.
    """
    used = [item for item in corpora if not item.reason]
    pairs = pairs_by_language(used)
    langs = [code for code in config.all_languages if pairs.get(code)]
    if not langs:
        raise NoTextError(
            f"There are no training pairs for any of {', '.join(config.all_languages)} with {' or '.join(teacher_langs)} on "
            f"the other side{_why(corpora)}. Name a DATA_ROOT that has some, or a teacher and TEACHER_LANGS that fit."
        )
    valid = judged(used) or [item for item in used if item.dev is not None]
    if not valid:
        raise DataError(f"There are no dev pairs for {', '.join(langs)}: a student cannot be judged; add dev.* files.")
    words = ["--langs", ",".join(langs), "--teacher-lang", ",".join(teacher_langs), "--spm-size", str(config.spm_size)]
    for item in used:
        if item.train is not None and item.teacher_lang is not None and item.train_lines:
            words += ["--bitext", f"{item.teacher_lang}-{item.lang}={linked(item, item.train, work)}"]
        elif item.train is not None and item.teacher_lang is None:
            words += ["--mono", f"{item.lang}={item.train}"]
    for item in used:
        if item.dev is None:
            continue
        prefix = linked(item, item.dev, work)
        if item in valid:
            words += ["--valid", f"{item.teacher_lang}-{item.lang}={prefix}"]
        else:  # too few to measure on, but nothing to train on either
            for code in (item.teacher_lang, item.lang):
                ending = "" if os.path.isfile(f"{prefix}.{code}") else ".gz"
                words += ["--exclude", f"{prefix}.{code}{ending}"]
    training = ["--sampling-temperature", f"{config.temperature:g}"]
    if config.curriculum != "none":
        words += ["--increments", str(config.increments)]
        training += ["--curriculum", config.curriculum, "--curriculum-increments", str(config.increments)]
    return [*words, "--", *training, *config.options]


def _why(corpora: Sequence[FoundCorpus]) -> str:
    reasons = sorted({item.reason for item in corpora if item.reason and "no training pairs" not in item.reason})
    return f" (left out: {'; '.join(reasons)})" if reasons else ""


def describe(corpora: Sequence[FoundCorpus]) -> List[str]:
    """One line a corpus: kind, counts, licence, and why it is left out if it is."""
    lines = []
    for item in corpora:
        kind = "bitext" if item.teacher_lang else "mono"
        counts = (
            f"{item.train_lines:,} train, {item.dev_lines:,} dev"
            if item.teacher_lang
            else f"{item.train_lines:,} lines"
        )
        lines.append(
            f"{kind} | {item.pair} | {item.corpus} | {counts} | licence {item.licence}"
            + (f" | left out: {item.reason}" if item.reason else "")
        )
    return lines


def main(args: argparse.Namespace) -> None:
    config = read_config(Path(args.config))
    if args.dry_run and args.listed and not Path(args.root).is_dir():
        return  # nothing has been fetched yet: fetch_corpora.py --dry-run has said what would be
    teacher_langs = args.teacher_langs.replace(",", " ").split()
    only = [corpus.id for corpus in config.corpora] if args.listed else None
    corpora = scan(Path(args.root), config.all_languages, teacher_langs, only)
    refuse_licences(corpora, parse_classes(args.licences))
    leave_out_untrained(corpora)
    for line in describe(corpora):
        logger.info(line)
    if missing := [code for code in config.all_languages if code not in pairs_by_language(corpora)]:
        logger.info(f"no pairs for {', '.join(missing)}: the student will not know them")
    work = Path(args.work)
    if args.dry_run:
        print("\n".join([f"{config.name} | {config.family} | languages {', '.join(config.langs)}", *describe(corpora)]))
        if not args.listed or pairs_by_language(corpora):
            print("bash recipes/student.sh " + shlex.join(student_arguments(config, corpora, None, teacher_langs)))
        return
    work.mkdir(parents=True, exist_ok=True)
    words = student_arguments(config, corpora, work, teacher_langs)
    rows = [
        f"{i.corpus}\t{i.pair}\t{i.train_lines}\t{i.dev_lines}\t{i.licence}\t{i.reason or 'used'}\n" for i in corpora
    ]
    write_text(work / "corpora.tsv", "corpus\tpair\ttrain\tdev\tlicence\tuse\n" + "".join(rows))
    print_words(words)


def parser() -> argparse.ArgumentParser:
    result = make_parser(
        "plan_family.py",
        __doc__.splitlines()[0],
        "python recipes/plan_family.py --config recipes/nguni --root data --work w",
    )
    result.add_argument("--config", required=True, metavar="FOLDER", help="the family's folder, with config.sh in it")
    result.add_argument(
        "--root", required=True, metavar="DIR", help="the folder of corpora; recipes/README.md says how it is laid out"
    )
    result.add_argument(
        "--listed", action="store_true", help="use only the corpora that the config lists, not all that fit"
    )
    result.add_argument("--teacher-langs", default="eng", metavar="L1,L2", help="the languages that the teacher knows")
    result.add_argument(
        "--licences", default="", metavar="CLASSES", help="use only these classes of licence: " + ", ".join(CLASSES)
    )
    result.add_argument(
        "--dry-run", action="store_true", help="print what would be used and the command; write nothing"
    )
    result.add_argument("--work", required=True, metavar="DIR", help="the work directory; corpora.tsv is written there")
    return result


def cli_main() -> int:
    """0; 1 after a user's error; NO_TEXT where there is nothing to train on."""
    code = 0

    def told(args: argparse.Namespace) -> None:
        nonlocal code
        try:
            main(args)
        except NoTextError:
            code = NO_TEXT
            raise

    return run_command(parser(), told) and (code or 1)


if __name__ == "__main__":
    sys.exit(cli_main())
