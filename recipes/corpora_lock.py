"""Checksums of corpora as they were fetched: what an id stood for before, here or for whoever shared the list.

A lock file is tab-separated: corpus, side (as the id writes it), SHA-256 of the fetched text, lines, date. Two are read:
recipes/corpora.lock.tsv, which comes with the recipes, and OUTPUT/corpora.lock.tsv, which counts where both have an id.
An id that neither has is trusted once, and written to the latter.
"""

import datetime
import re
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

from fetch_client import forget_cached, locked

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.lines import count_lines, read_lines, write_lines

NAME = "corpora.lock.tsv"
SHARED = Path(__file__).resolve().parent / NAME
HEAD = "# corpus\tside\tsha256\tlines\tdate"


class ChangedCorpusError(DataError):
    """What was fetched, or lies there, is not what it was."""


@dataclass(frozen=True)
class Pin:
    """One side of a corpus as it was fetched; the fields are the columns of the file."""

    corpus: str
    side: str
    sha256: str
    lines: int
    date: str


Pins = Dict[Tuple[str, str], Pin]


def read_lock(path: Path) -> Pins:
    """(corpus, side) -> pin; nothing where there is no file.

    Raises:
        DataError: a line that is no pin.
    """
    pins: Pins = {}
    for number, line in enumerate(read_lines(path) if path.is_file() else [], start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 5 or len(cells[2]) != 64 or not re.fullmatch("[0-9]{1,15}", cells[3]):
            raise DataError(f"{path}, line {number}: {line!r} is not 'corpus<TAB>side<TAB>sha256<TAB>lines<TAB>date'.")
        pins[cells[0], cells[1]] = Pin(cells[0], cells[1], cells[2], int(cells[3]), cells[4])
    return pins


def pins_of(corpus: str, files: Iterable[Path]) -> List[Pin]:
    """The pins of a corpus that has just been fetched, from its files ``ID.SIDE``."""
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return [Pin(corpus, path.name[len(corpus) + 1 :], sha256_file(path), count_lines(path), today) for path in files]


def verify(corpus: str, files: Iterable[Path], shared: Path, output: Path, accept: bool) -> str:
    """Compare what was fetched with the locks; what is new is written to OUTPUT's. Returns what to say of it.

    Raises:
        ChangedCorpusError: another text than before, which is not accepted; mtdata's copy is forgotten, in case it is damaged.
    """
    own = output / NAME
    with locked(output / ".partial" / f"{NAME}.lock"):
        before = {place: (shared, pin) for place, pin in read_lock(shared).items()}
        mine = read_lock(own)
        before.update({place: (own, pin) for place, pin in mine.items()})
        found = pins_of(corpus, files)
        for pin in found:
            path, old = before.get((corpus, pin.side), (own, pin))
            if old.sha256 != pin.sha256 and not accept:
                forget_cached(corpus)
                raise ChangedCorpusError(
                    f"{corpus}, side {pin.side}: the fetched text has SHA-256 {pin.sha256} ({pin.lines:,} lines), but {path} has "
                    f"{old.sha256} ({old.lines:,} lines, {old.date}); run again in case the download was damaged, or take the new "
                    f"version with --accept-changed {corpus}."
                )
        if all((corpus, pin.side) in before and before[corpus, pin.side][1].sha256 == pin.sha256 for pin in found):
            return "checksums as before"
        mine.update({(corpus, pin.side): pin for pin in found})
        rows = ("\t".join(map(str, astuple(mine[place]))) for place in sorted(mine))
        write_lines(own, [HEAD, *rows])
        return f"checksums recorded in {own}, as {'a new version' if accept else 'it is fetched for the first time'}"
