"""A folder of corpora: what is in it for some languages, and under which licence.

The layout, for corpora of one's own as for downloaded ones::

    ROOT/bitext/CORPUS/eng-swa/train.eng  train.swa  dev.eng  dev.swa     (either part may be missing)
    ROOT/mono/swa.txt                                                     (or mono/ beside ROOT, or mono/CORPUS.swa.txt)
    ROOT/licences.tsv                                                     (optional: CORPUS<TAB>licence)

ROOT may be the folder that holds ``bitext/``, or ``bitext/`` itself. Files may end in ``.gz``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from language_table import canonical

from fairseq_distill import defaults
from fairseq_distill.errors import DataError
from fairseq_distill.formats.json_file import read_object
from fairseq_distill.formats.lines import count_lines, read_lines

_PAIR = re.compile(r"([a-z]{2,3}(?:_[A-Z][a-z]{3})?)-([a-z]{2,3}(?:_[A-Z][a-z]{3})?)")
NOT_STATED = "not stated"
RECORD = "corpus.json"


@dataclass
class FoundCorpus:
    """A corpus of a root.

    Attributes:
        corpus: its folder's name, or the file's for monolingual text.
        lang: language of the student's side, as the recipes write it.
        code: the same as the file names write it.
        teacher_lang: language of the other side; None for monolingual text.
        train, dev: ``PREFIX`` of PREFIX.LANG, or the file of monolingual text; None where there is none.
        train_lines, dev_lines: lines of it, 0 where there is none.
        licence: what licences.tsv or the download's record says.
        reason: why it is not used; empty when it is.
    """

    corpus: str
    lang: str
    code: str
    teacher_lang: Optional[str]
    train: Optional[str] = None
    dev: Optional[str] = None
    train_lines: int = 0
    dev_lines: int = 0
    licence: str = NOT_STATED
    reason: str = ""

    @property
    def pair(self) -> str:
        """``eng-swa``, or the language alone."""
        return f"{self.teacher_lang}-{self.code}" if self.teacher_lang else self.code


def _file(prefix: Path, code: str) -> Optional[Path]:
    for path in (prefix.with_name(f"{prefix.name}.{code}"), prefix.with_name(f"{prefix.name}.{code}.gz")):
        if path.is_file() and path.stat().st_size:
            return path
    return None


def _part(folder: Path, part: str, codes: Tuple[str, str]) -> Tuple[Optional[str], int]:
    """(prefix, lines) of train or dev; (None, 0) where neither side is there.

    Raises:
        DataError: one side is missing or the sides have different numbers of lines.
    """
    sides = [_file(folder / part, code) for code in codes]
    if sides == [None, None]:
        return None, 0
    if None in sides:
        missing = codes[sides.index(None)]
        raise DataError(
            f"{folder / part}.{missing} is missing or empty, but its other side is there; bitext needs both."
        )
    counts = [count_lines(side) for side in sides if side is not None]
    if counts[0] != counts[1]:
        raise DataError(
            f"{sides[0]} has {counts[0]:,} lines but {sides[1]} has {counts[1]:,}; bitext must match line by line. "
            "Make both again."
        )
    return str(folder / part), counts[0]


def bitext_folder(root: Path) -> Path:
    """``ROOT/bitext`` if it is there, else ROOT.

    Raises:
        DataError: ROOT is no folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; DATA_ROOT must name one with bitext/CORPUS/eng-LANG/train.eng in it.")
    return root / "bitext" if (root / "bitext").is_dir() else root


def _pair_folders(bitext: Path) -> Iterator[Tuple[str, str, str, Path]]:
    for folder in sorted(path for path in bitext.glob("*/*") if path.is_dir() and not path.parts[-2].startswith(".")):
        match = _PAIR.fullmatch(folder.name)
        if match:
            yield folder.parent.name, match.group(1), match.group(2), folder


def _monolingual(bitext: Path) -> Iterator[Tuple[str, str, Path]]:
    for folder in (bitext / "mono", bitext.parent / "mono"):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            match = re.fullmatch(r"(?:(.+)\.)?([a-z]{2,3}(?:_[A-Z][a-z]{3})?)\.txt(?:\.gz)?", path.name)
            if match and path.is_file() and path.stat().st_size:
                yield match.group(1) or "mono", match.group(2), path
        return


def _licences(bitext: Path) -> Dict[str, str]:
    for path in (bitext / "licences.tsv", bitext.parent / "licences.tsv"):
        if path.is_file():
            rows = [line.split("\t") for line in read_lines(path) if "\t" in line and not line.startswith("#")]
            return {row[0]: row[1] for row in rows}
    return {}


def licence_in(record: Path) -> str:
    """The licence in the record that fetch_corpora.py wrote beside a corpus.

    Raises:
        DataError: it is damaged.
    """
    mend = "fetch the corpus again"
    licence = read_object(record, mend).get("licence", NOT_STATED)
    if not isinstance(licence, str):
        raise DataError(f"{record} is damaged: its licence is no text; {mend}.")
    return licence


def _licence(corpus: str, record: Path, table: Dict[str, str]) -> str:
    return licence_in(record) if record.is_file() else table.get(corpus, NOT_STATED)


def scan(
    root: Path, languages: Sequence[str], teacher_langs: Sequence[str], only: Optional[Sequence[str]] = None
) -> List[FoundCorpus]:
    """Every corpus of a root that has one of the languages, with its counts; what cannot be used has a reason.

    Args:
        root: see the top of this module.
        languages: codes as the recipes write them.
        teacher_langs: languages that the teacher knows.
        only: names of corpora that may be used; None: all.

    Raises:
        DataError: no such folder; sides that do not match.
    """
    bitext, found = bitext_folder(Path(root)), []
    table = _licences(bitext)
    for corpus, first, second, folder in _pair_folders(bitext):
        if only is not None and corpus not in only:
            continue
        sides = [(first, second), (second, first)]
        for teacher, code in sides:
            if canonical(code) not in languages or canonical(teacher) in languages:
                continue
            item = FoundCorpus(corpus, canonical(code), code, teacher, licence=_licence(corpus, folder / RECORD, table))
            item.train, item.train_lines = _part(folder, "train", (teacher, code))
            item.dev, item.dev_lines = _part(folder, "dev", (teacher, code))
            if item.train is None and item.dev is None:
                continue
            if teacher not in teacher_langs:
                item.reason = f"the teacher is not said to know {teacher}: TEACHER_LANGS"
            found.append(item)
    for corpus, code, path in _monolingual(bitext):
        if canonical(code) in languages and (only is None or corpus in only):
            licence = _licence(corpus, path.with_name(path.name.partition(".txt")[0] + ".json"), table)
            found.append(
                FoundCorpus(
                    corpus, canonical(code), code, None, train=str(path), train_lines=count_lines(path), licence=licence
                )
            )
    return found


def pairs_by_language(corpora: Sequence[FoundCorpus]) -> Dict[str, int]:
    """Training pairs of each language in what is used."""
    counts: Dict[str, int] = {}
    for item in corpora:
        if item.teacher_lang is not None and not item.reason:
            counts[item.lang] = counts.get(item.lang, 0) + item.train_lines
    return counts


def lines_by_language(corpora: Sequence[FoundCorpus]) -> Dict[str, int]:
    """Monolingual lines of each language."""
    counts: Dict[str, int] = {}
    for item in corpora:
        if item.teacher_lang is None and not item.reason:
            counts[item.lang] = counts.get(item.lang, 0) + item.train_lines
    return counts


def judged(corpora: Sequence[FoundCorpus]) -> List[FoundCorpus]:
    """The corpora whose dev part is large enough to measure xsim on."""
    return [
        item for item in corpora if item.dev is not None and not item.reason and item.dev_lines >= defaults.MIN_VALID
    ]
