"""What a calibration of mining found: ``calibration.json``, and the curve as ``calibration.tsv``.

Columns of the curve: margin, k, threshold, pairs, judged, right, precision, recall, F1; one line for each threshold.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.json_file import from_json, load_json, require_version, write_object
from fairseq_distill.formats.lines import iter_lines
from fairseq_distill.formats.numbers import finite, whole

NAME = "calibration.json"
CURVE = "calibration.tsv"
COLUMNS = ("margin", "k", "threshold", "pairs", "judged", "right", "precision", "recall", "f1")
FORMAT_VERSION = 1


@dataclass
class Cut:
    """One threshold, and what mining with it keeps.

    Attributes:
        threshold: pairs with a greater score are kept.
        pairs: pairs kept.
        judged: half the known sides of these: a pair of two known sentences counts 1, one with a known sentence on one
            side a half, since a wrong pair has two chances to hold a known sentence and a right one has one.
        right: of these, hidden pairs found.
        precision: right / judged, a lower bound: a pair of a known sentence with an unknown translation counts as wrong.
        recall: right / hidden pairs.
        f1: harmonic mean of the two.
        intervals: 95% intervals by name ("threshold", "precision", "recall", "f1"), as [low, high].
    """

    threshold: float
    pairs: int
    judged: float
    right: int
    precision: float
    recall: float
    f1: float
    intervals: Dict[str, List[float]] = field(default_factory=dict)


@dataclass
class Setting:
    """One margin with one number of neighbours, and its recommended cuts (None where none reaches the wanted precision)."""

    margin: str
    k: int
    best_f1: Cut
    at_precision: Optional[Cut] = None
    at_default: Optional[Cut] = None


@dataclass
class Calibration:
    """All of ``calibration.json``.

    Attributes:
        pair: source and target language, ``swa-eng``.
        hidden: pairs hidden.
        alone: known lines without a partner, source and target side together.
        searched: distinct lines of the source and of the target side.
        retrieval: as of ``fairseq-mine``.
        wanted_precision: of ``at_precision``.
        settings: best F1 first.
        about: encoders, files, seed: what is needed to repeat the numbers.
    """

    pair: str
    hidden: int
    alone: int
    searched: List[int]
    retrieval: str
    wanted_precision: float
    settings: List[Setting]
    about: Dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def recommended(self) -> Setting:
        """The setting to mine with: highest F1."""
        return self.settings[0]


def write_calibration(path: PathLike, calibration: Calibration) -> None:
    """Write ``calibration.json``.

    Raises:
        DataError: no setting, a number that is not finite, or the disk is full.
    """
    if not calibration.settings:
        raise DataError(f"{path} was not written: the calibration holds no setting.")
    write_object(path, calibration)


def read_calibration(path: PathLike) -> Calibration:
    """Read what :func:`write_calibration` wrote.

    Raises:
        DataError: missing, damaged, or of another version.
    """
    try:
        raw = load_json(path)
        require_version(raw, path, FORMAT_VERSION, "calibrate again")
        calibration = from_json(Calibration, raw)
        _check(calibration)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; run recipes/calibrate.sh first.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a calibration file: {error}; run recipes/calibrate.sh again.") from error
    return calibration


def _check(calibration: Calibration) -> None:
    """Raise a ValueError where something is missing that every calibration has."""
    if not calibration.settings:
        raise ValueError("it holds no setting")
    if len(calibration.searched) != 2:
        raise ValueError(f"searched has {len(calibration.searched)} numbers instead of 2")
    for setting in calibration.settings:
        for cut in filter(None, (setting.best_f1, setting.at_precision, setting.at_default)):
            for name, bounds in cut.intervals.items():
                if len(bounds) != 2:
                    raise ValueError(f"the interval of {name[:40]!r} has {len(bounds)} numbers instead of 2")


@dataclass(frozen=True)
class CurvePoint:
    """One line of the curve file; see :class:`Cut`."""

    margin: str
    k: int
    threshold: float
    pairs: int
    judged: float
    right: int
    precision: float
    recall: float
    f1: float


def read_curve(path: PathLike) -> List[CurvePoint]:
    """The curve in a file.

    Raises:
        DataError: missing, another header, or a line that is not of its columns.
    """
    header, *rows = [line.split("\t") for line in iter_lines(path)] or [[]]
    if tuple(header) != COLUMNS:
        raise DataError(f"{path} begins with {' '.join(header)!r} instead of the columns {' '.join(COLUMNS)!r}.")
    points = []
    for number, row in enumerate(rows, start=2):
        try:
            shares = [finite(cell) for cell in row[6:]]
            points.append(
                CurvePoint(row[0], whole(row[1]), finite(row[2]), whole(row[3]), finite(row[4]), whole(row[5]), *shares)
            )
        except (ValueError, IndexError, TypeError) as error:
            raise DataError(f"{path}, line {number:,}: {error}; run recipes/calibrate.sh again.") from error
    return points


def write_curve(path: PathLike, rows: "List[tuple]") -> None:
    """Write the curve; each row holds the values of COLUMNS, thresholds and shares with six decimals."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(f"{cell:.6f}" if isinstance(cell, float) else str(cell) for cell in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")
