"""Evaluation sets as they are published: which file holds which language.

Layouts, told apart by their file names:

- FLORES-200: ``dev/xxx_Xxxx.dev``, ``devtest/xxx_Xxxx.devtest``; the whole folder or one of the two
- NTREX-128: ``newstest2019-src.eng.txt``, ``newstest2019-ref.xxx.txt``; also inside a folder ``NTREX-128``
- pairs: ``aaa-bbb/NAME.aaa`` and ``aaa-bbb/NAME.bbb``, as Tatoeba in LASER (``deu-eng/test.deu``) and MAFAND; the folder
  of all pairs or that of one
- a prefix: ``PREFIX.aaa``, ``PREFIX.bbb``, …
"""

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import count_lines
from fairseq_distill.languages import parse_language, without_region

_NTREX = re.compile(r"newstest2019-(?:src|ref)\.([A-Za-z_-]+)\.txt")


@dataclass(frozen=True)
class EvaluationSet:
    """Texts that are translations of each other, line by line.

    Attributes:
        name: of the set, ``flores200_dataset-devtest``, ``tatoeba-deu-eng``.
        layout: ``flores``, ``ntrex``, ``pair`` or ``prefix``.
        files: language code as the file name spells it -> text.
    """

    name: str
    layout: str
    files: Dict[str, Path]

    def find(self, code: str) -> Optional[str]:
        """The set's own code of a language: the same, or the one with its ISO 639-3 part; None where there is none.

        Raises:
            ConfigError: several have that part (``srp_Cyrl``, ``srp_Latn``) and the code does not say which.
        """
        if code in self.files:
            return code
        wanted = parse_language(without_region(code))
        near = []
        for name in self.files:
            own = parse_language(without_region(name))
            if own.iso == wanted.iso and (None in (own.script, wanted.script) or own.script == wanted.script):
                near.append(name)
        if len(near) > 1:
            raise ConfigError(f"{self.name} has {', '.join(sorted(near))}: say which one {code} is.")
        return near[0] if near else None

    def require_even(self) -> int:
        """The number of lines, which all files must have.

        Raises:
            DataError: two files differ, or there are no lines.
        """
        counts = {code: count_lines(path) for code, path in self.files.items()}
        first = next(iter(counts))
        for code, count in counts.items():
            if count != counts[first] or not count:
                raise DataError(
                    f"{self.name}: {self.files[first]} has {counts[first]:,} lines but {self.files[code]} has {count:,}; "
                    "an evaluation set is aligned line by line."
                )
        return counts[first]


def find_sets(path: PathLike, name: Optional[str] = None) -> List[EvaluationSet]:
    """The evaluation sets at a path, in the order of their names; every one has two languages or more.

    Args:
        path: a folder of one of the layouts, or ``PREFIX`` of the last.
        name: what to call them; else the folder's or the prefix's name.

    Raises:
        DataError: nothing there is of a known layout.
    """
    root = Path(path)
    title = name or root.resolve().name
    sets = _folder_sets(root, title) if root.is_dir() else _prefix_sets(root, title)
    if not sets:
        raise DataError(
            f"{path} holds no evaluation set: expected FLORES-200 (devtest/swh_Latn.devtest), NTREX-128 "
            "(newstest2019-ref.swa.txt), folders of pairs (swa-eng/test.swa), or a prefix (PREFIX.swa, PREFIX.eng)."
        )
    return sets


def _folder_sets(root: Path, title: str) -> List[EvaluationSet]:
    for split in ("dev", "devtest"):
        found = _flores(root, split)
        if found and root.name == split:
            parent = root.resolve().parent.name
            return [EvaluationSet(title if title != split else f"{parent}-{split}", "flores", found)]
    flores = [(split, _flores(root / split, split)) for split in ("dev", "devtest")]
    if any(files for _, files in flores):
        return [EvaluationSet(f"{title}-{split}", "flores", files) for split, files in flores if files]
    for folder in (root, root / "NTREX-128"):
        ntrex = _ntrex(folder)
        if len(ntrex) > 1:
            return [EvaluationSet(title, "ntrex", ntrex)]
    if _codes(root.name) is not None:
        return _pair_sets(root, title if title != root.name else f"{root.resolve().parent.name}-{title}")
    return [
        one
        for folder in sorted(root.iterdir())
        if folder.is_dir() and _codes(folder.name) is not None
        for one in _pair_sets(folder, f"{title}-{folder.name}")
    ]


def _is_code(code: str) -> bool:
    try:
        parse_language(without_region(code))
    except ConfigError:
        return False
    return True


def _codes(name: str) -> Optional[Tuple[str, str]]:
    """The two languages in a folder's name; None when it is not of the form ``aaa-bbb``."""
    parts = name.split("-")
    return (parts[0], parts[1]) if len(parts) == 2 and all(map(_is_code, parts)) else None


def _flores(folder: Path, split: str) -> Dict[str, Path]:
    files = sorted(folder.glob(f"*.{split}")) if folder.is_dir() else []
    return {path.stem: path for path in files if _is_code(path.stem)}


def _ntrex(folder: Path) -> Dict[str, Path]:
    files: Dict[str, Path] = {}
    for path in sorted(folder.glob("newstest2019-*.txt")) if folder.is_dir() else []:
        match = _NTREX.fullmatch(path.name)
        if match and _is_code(match.group(1)):
            files[match.group(1)] = path  # English is there as src and as ref, in that spelling or another
    return files


def _pair_sets(folder: Path, title: str) -> List[EvaluationSet]:
    codes = _codes(folder.name)
    assert codes is not None
    stems = sorted(path.stem for path in folder.glob(f"*.{codes[0]}") if (folder / f"{path.stem}.{codes[1]}").is_file())
    named = len(stems) > 1
    return [
        EvaluationSet(f"{title}-{stem}" if named else title, "pair", {c: folder / f"{stem}.{c}" for c in codes})
        for stem in stems
    ]


def _prefix_sets(prefix: Path, title: str) -> List[EvaluationSet]:
    folder = prefix.parent
    files = {
        path.name[len(prefix.name) + 1 :]: path
        for path in sorted(folder.glob(f"{glob.escape(prefix.name)}.*"))
        if path.is_file()
    }
    files = {code: path for code, path in files.items() if _is_code(code)}
    return [EvaluationSet(title, "prefix", files)] if len(files) > 1 else []
