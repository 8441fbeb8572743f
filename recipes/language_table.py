"""The languages that the recipes know: codes, scripts, family and pivot, read from recipes/languages.tsv."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from fairseq_distill.errors import DataError
from fairseq_distill.formats.lines import read_lines

TABLE = Path(__file__).resolve().parent / "languages.tsv"
_COLUMNS = 8


@dataclass(frozen=True)
class LanguageRow:
    """One line of the table.

    Attributes:
        code: ISO 639-3, as the recipes write it.
        aliases: other codes under which corpora keep text of the same language.
        name: in English.
        scripts: ISO 15924, the usual one first.
        recipe: the folder of its family under recipes/.
        subgroup: its branch within the family.
        laser3: codes of the encoders in LASER3's list; empty when it has none.
        pivot: a larger language outside the family that can carry it, or None.
    """

    code: str
    aliases: Tuple[str, ...]
    name: str
    scripts: Tuple[str, ...]
    recipe: str
    subgroup: str
    laser3: Tuple[str, ...]
    pivot: Optional[str]


def read_table(path: Path = TABLE) -> List[LanguageRow]:
    """The rows in the order of the file.

    Raises:
        DataError: there is no language in it, a line with another number of columns, or a code that is named twice.
    """
    rows: List[LanguageRow] = []
    seen: Dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != _COLUMNS:
            raise DataError(
                f"{path}, line {number}: {len(cells)} columns instead of {_COLUMNS}; separate them by tabs."
            )
        code, aliases, name, scripts, recipe, subgroup, laser3, pivot = ("" if cell == "-" else cell for cell in cells)
        row = LanguageRow(
            code, _several(aliases), name, _several(scripts), recipe, subgroup, _several(laser3), pivot or None
        )
        for known in (code, *row.aliases):
            if known in seen:
                raise DataError(
                    f"{path}, line {number}: {known} is already in line {seen[known]}; name each code once."
                )
            seen[known] = number
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no language; take it from the repository again.")
    return rows


def _several(cell: str) -> Tuple[str, ...]:
    return tuple(word for word in cell.split(",") if word)


@functools.lru_cache(maxsize=1)
def _by_code() -> Dict[str, LanguageRow]:
    return {code: row for row in read_table() for code in (row.code, *row.aliases)}


def find_language(code: str) -> Optional[LanguageRow]:
    """The row of a code or an alias, with or without a script behind it (``dik_Latn``); None when it is not there."""
    table = _by_code()
    return table.get(code) or table.get(code.partition("_")[0])


def canonical(code: str) -> str:
    """The code as the recipes write it: ``din`` for ``dik``; codes that are not in the table stay as they are."""
    row = _by_code().get(code)
    return row.code if row is not None else code
