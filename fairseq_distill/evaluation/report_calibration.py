"""The part of the report about a calibration of mining: precision and recall by threshold, and the recommended cuts."""

from pathlib import Path
from typing import List, Optional, Tuple

from fairseq_distill.evaluation.report_charts import Line, line_chart
from fairseq_distill.evaluation.report_html import escape, paragraph, table
from fairseq_distill.formats.calibration import CURVE, NAME, Calibration, Cut, read_calibration, read_curve

_FOLDER = "mining"  # of the work directory, where recipes/calibrate.sh --run puts its files


def calibration_part(work_dir: Path) -> str:
    """A chart of the recommended setting and a table of all settings; nothing where the run was not calibrated.

    Raises:
        DataError: a file that is there is damaged.
    """
    folder = work_dir / _FOLDER
    if not (folder / NAME).is_file():
        return ""
    found = read_calibration(folder / NAME)
    said = (
        f"{found.hidden:,} known pairs and {found.alone:,} lines without partner were hidden among {found.searched[0]:,} and "
        f"{found.searched[1]:,} lines. Precision is a lower bound, for text in which as many lines have a partner."
    )
    chart = _chart(found, folder / CURVE) if (folder / CURVE).is_file() else ""
    return f"<h3>Calibration</h3>{paragraph(said)}{chart}{_table(found)}"


def _chart(found: Calibration, curve: Path) -> str:
    best = found.recommended
    rows = [row for row in read_curve(curve) if (row.margin, row.k) == (best.margin, best.k)]
    rows.sort(key=lambda row: row.threshold)
    if not rows:
        return ""
    places = [row.threshold for row in rows]
    lines = [
        Line(name, places, [100 * getattr(row, field) for row in rows], colour)
        for colour, (name, field) in enumerate((("precision", "precision"), ("recall", "recall"), ("F1", "f1")), start=1)
    ]
    what = f"{best.margin} margin, k = {best.k}"
    mark = (best.best_f1.threshold, "best F1")
    label = f"Precision, recall and F1 in percent by threshold of the {what}; best F1 at {best.best_f1.threshold:.4f}"
    chart = line_chart(lines, label, f"threshold of the {what}", from_zero=True, mark=mark)
    key = ", ".join(f'<span class="{line.colour_class}">{line.label}</span>' for line in lines)
    return f"<figure>{chart}<figcaption>{key}, in percent of the hidden pairs.</figcaption></figure>"


def _table(found: Calibration) -> str:
    rows: List[Tuple[str, ...]] = []
    wanted = f"precision {found.wanted_precision:g}"
    for setting in found.settings:
        cuts = (("best F1", setting.best_f1), (wanted, setting.at_precision), ("default", setting.at_default))
        rows += [_row(f"{setting.margin}, k = {setting.k}", name, cut) for name, cut in cuts if cut is not None]
    head = ("Margin", "Cut", "Threshold", "95% interval", "Pairs", "Precision", "Recall", "F1")
    return table(head, rows, (2, 3, 4, 5, 6, 7), "Recommended cuts", "small")


def _row(setting: str, name: str, cut: Cut) -> Tuple[str, ...]:
    bounds: Optional[List[float]] = cut.intervals.get("threshold")
    interval = "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
    shares = (f"{100 * value:.1f}%" for value in (cut.precision, cut.recall, cut.f1))
    return escape(setting), escape(name), f"{cut.threshold:.4f}", interval, f"{cut.pairs:,}", *shares
