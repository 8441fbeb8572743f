"""The part of the report about a calibration of mining: precision and recall by threshold, and the recommended cuts."""

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from fairseq_distill.evaluation.report_charts import Line, line_chart
from fairseq_distill.evaluation.report_html import details, escape, paragraph, table
from fairseq_distill.formats.calibration import (
    CURVE,
    NAME,
    Calibration,
    CurvePoint,
    Cut,
    Setting,
    read_calibration,
    read_curve,
)
from fairseq_distill.formats.results import MiningSummary

_FOLDER = "mining"  # of the work directory, where recipes/calibrate.sh --run puts its files


@dataclass
class Calibrated:
    """A calibration as the page shows it.

    Attributes:
        found: what is in the file.
        setting: that of the mining where it was calibrated, else the recommended one.
        fits: whether mining had this margin and k, so that its threshold means the same here.
        curve: points of the setting by rising threshold; empty without a curve file.
    """

    found: Calibration
    setting: Setting
    fits: bool
    curve: List[CurvePoint]

    def at(self, threshold: float) -> Optional[CurvePoint]:
        """What mining with a threshold keeps: the first point of the curve at or above it; None beyond the curve."""
        return next((point for point in self.curve if point.threshold >= threshold - 1e-9), None)


def read_calibrated(work_dir: Path, mining: Optional[MiningSummary]) -> Optional[Calibrated]:
    """The calibration of a run, None where it was not calibrated.

    Raises:
        DataError: a file that is there is damaged.
    """
    folder = work_dir / _FOLDER
    if not (folder / NAME).is_file():
        return None
    found = read_calibration(folder / NAME)
    same = [one for one in found.settings if mining is not None and (one.margin, one.k) == (mining.margin, mining.k)]
    setting = same[0] if same else found.recommended
    points = read_curve(folder / CURVE) if (folder / CURVE).is_file() else []
    curve = [point for point in points if (point.margin, point.k) == (setting.margin, setting.k)]
    return Calibrated(found, setting, bool(same), sorted(curve, key=lambda point: point.threshold))


def cut_marks(calibrated: Optional[Calibrated]) -> List[Tuple[float, str]]:
    """The recommended cuts for a picture of scores, where those mean the same."""
    if calibrated is None or not calibrated.fits:
        return []
    cuts = [(calibrated.setting.best_f1.threshold, f"best F1 {calibrated.setting.best_f1.threshold:.3f}")]
    if calibrated.setting.at_precision is not None:
        at = calibrated.setting.at_precision.threshold
        cuts.append((at, f"precision {calibrated.found.wanted_precision:g}: {at:.3f}"))
    return cuts


def calibration_figures(calibrated: Optional[Calibrated], threshold: Optional[float]) -> str:
    """Precision and recall by threshold, and over each other, with the chosen threshold; nothing without a curve."""
    if calibrated is None or not calibrated.curve:
        return ""
    chosen = threshold if calibrated.fits else None
    return _by_threshold(calibrated, chosen) + _over_recall(calibrated, chosen)


def calibration_table(calibrated: Optional[Calibrated]) -> str:
    """The cuts of the setting that is shown, and folded those of all others; nothing without a calibration."""
    if calibrated is None:
        return ""
    found = calibrated.found
    said = (
        f"{found.hidden:,} known pairs and {found.alone:,} lines without partner were hidden among {found.searched[0]:,} and "
        f"{found.searched[1]:,} lines. Precision is a lower bound, for text in which as many lines have a partner."
    )
    if not calibrated.fits:
        said += (
            f" The pairs below were not mined with a margin and k that were calibrated: the figures are of the "
            f"{_words(calibrated.setting)}."
        )
    others = [one for one in found.settings if one is not calibrated.setting]
    more = details(f"Other margins and k ({len(others)})", _table(found, others)) if others else ""
    return f"<h3>Calibration</h3>{paragraph(said)}{_table(found, [calibrated.setting])}{more}"


def _words(setting: Setting) -> str:
    return f"{setting.margin} margin, k = {setting.k}"


def _by_threshold(calibrated: Calibrated, chosen: Optional[float]) -> str:
    curve, best = calibrated.curve, calibrated.setting.best_f1
    places = [point.threshold for point in curve]
    lines = [
        Line(name, places, [100 * getattr(point, field) for point in curve], colour)
        for colour, (name, field) in enumerate(
            (("precision", "precision"), ("recall", "recall"), ("F1", "f1")), start=1
        )
    ]
    what = _words(calibrated.setting)
    label = f"Precision, recall and F1 in percent by threshold of the {what}; best F1 at {best.threshold:.4f}"
    mark = (best.threshold, "best F1") if chosen is None else (chosen, f"threshold {chosen:g}")
    chart = line_chart(lines, label, f"threshold of the {what}", from_zero=True, mark=mark)
    return f"<figure><h3>Precision and recall by threshold, %</h3>{chart}{_key(lines)}</figure>"


def _over_recall(calibrated: Calibrated, chosen: Optional[float]) -> str:
    points = sorted({(point.recall, point.precision) for point in calibrated.curve})
    lines = [Line("all thresholds", [100 * r for r, _ in points], [100 * p for _, p in points], 1)]
    best = calibrated.setting.best_f1
    lines.append(_dot(f"best F1, {best.threshold:.3f}", best, 3))
    here = calibrated.at(chosen) if chosen is not None else None
    if chosen is not None and here is not None:
        lines.append(_dot(f"chosen, {chosen:g}", here, 2))
    ends = ", ".join(f"{line.label}: precision {line.y[0]:.1f}, recall {line.x[0]:.1f}" for line in lines[1:])
    chart = line_chart(lines, f"Precision over recall in percent; {ends}", "recall, %", from_zero=True)
    return f"<figure><h3>Precision over recall, %</h3>{chart}{_key(lines)}</figure>"


def _dot(label: str, at: Union[Cut, CurvePoint], colour: int) -> Line:
    return Line(label, [100 * at.recall], [100 * at.precision], colour, radius=5)


def _key(lines: Sequence[Line]) -> str:
    """Names of the curves, with the mark of each."""
    items = []
    for line in lines:
        mark = f'<path class="{line.css}" d="M1 7H21"/>'
        if len(line.x) == 1:
            mark = f'<circle class="{line.css}" cx="11" cy="7" r="5"/>'
        items.append(
            f'<li><svg viewBox="0 0 22 14" class="wide" aria-hidden="true">{mark}</svg>{escape(line.label)}</li>'
        )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _table(found: Calibration, settings: Sequence[Setting]) -> str:
    rows: List[Tuple[str, ...]] = []
    wanted = f"precision {found.wanted_precision:g}"
    for setting in settings:
        cuts = (("best F1", setting.best_f1), (wanted, setting.at_precision), ("default", setting.at_default))
        rows += [_row(f"{setting.margin}, k = {setting.k}", name, cut) for name, cut in cuts if cut is not None]
    head = ("Margin", "Cut", "Threshold", "95% interval", "Pairs", "Precision", "Recall", "F1")
    return table(head, rows, (2, 3, 4, 5, 6, 7), "Recommended cuts", "small")


def _row(setting: str, name: str, cut: Cut) -> Tuple[str, ...]:
    bounds: Optional[List[float]] = cut.intervals.get("threshold")
    interval = "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
    shares = (f"{100 * value:.1f}%" for value in (cut.precision, cut.recall, cut.f1))
    return escape(setting), escape(name), f"{cut.threshold:.4f}", interval, f"{cut.pairs:,}", *shares
