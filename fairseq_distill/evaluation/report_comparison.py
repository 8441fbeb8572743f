"""Several runs side by side: xsim with paired tests, curves over one another, and the settings that differ."""

import logging
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.evaluation.report_charts import N_COLOURS, Line, line_chart
from fairseq_distill.evaluation.report_html import (
    big_number,
    breakable,
    details,
    duration,
    escape,
    missing,
    number,
    paragraph,
    percent,
    sentence,
    table,
)
from fairseq_distill.evaluation.report_page import page, write_page
from fairseq_distill.evaluation.report_paired import Against, Example, SetKey, against, judge
from fairseq_distill.evaluation.report_runs import Run, differing, parse_runs, read_run, settings_of
from fairseq_distill.evaluation.report_training import TITLES
from fairseq_distill.evaluation.report_xsim import find, main_margin, mean_percent, valid_sets
from fairseq_distill.evaluation.training_log import EPOCH, INNER, VALID, Curve, TrainingLog, sentences_per_second, thin
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.results import XsimEntry

logger = logging.getLogger(__name__)

NAME = "comparison.html"
_MOST_POINTS = 300
_CURVES = (  # root of the name, where it is read, what its title adds
    ("xsim", VALID, ""), ("loss", INNER, " in training"), ("loss", VALID, " in validation"), ("distil_loss", INNER, ""),
    ("mlm_loss", INNER, ""), ("tlm_loss", INNER, ""), ("contrastive_loss", INNER, ""), ("increment", INNER, ""), ("lr", INNER, ""),
    ("relative_variance", VALID, ""),
)  # fmt: skip


def compare_runs(specs: Sequence[str], output: PathLike = NAME) -> Path:
    """Write a page that compares runs; returns its path. The first run is what the others are compared with.

    Args:
        specs: work directories, as ``DIR`` or ``NAME=DIR``; 2 to 8.
        output: the HTML file.
    Raises:
        ConfigError: fewer than 2 runs or more than 8, or two of one name.
        DataError: a directory is missing or holds nothing to report, or a file in it is damaged.
    """
    if not 2 <= len(specs) <= N_COLOURS:
        raise ConfigError(f"{len(specs)} runs were given, but a comparison takes 2 to {N_COLOURS}: --run A --run B.")
    runs = [read_run(path, name) for name, path in parse_runs(specs)]
    margin = main_margin([row for run in runs for row in run.results.xsim]) or defaults.XSIM_MARGIN
    shared = _shared_sets(runs)
    judged = [judge(run, margin) for run in runs]
    found = [against(one, judged[0], shared) for one in judged[1:]]
    sections = (
        ("xsim", "xsim", _xsim_section(runs, found, margin)),
        ("curves", "Curves", _curves_section(runs)),
        ("settings", "Settings that differ", _settings_section(runs)),
        ("sentences", "Sentences that differ", _sentences_section(runs, found)),
    )
    title = f"{len(runs)} runs compared" if len(runs) > 2 else f"{runs[0].name} and {runs[1].name} compared"
    subtitle = f"all against {runs[0].name} · {margin} margin, xsim in %, lower is better"
    data = {
        "run-data": {
            "runs": [run.name for run in runs],
            "xsim": [[vars(row) for row in run.results.xsim] for run in runs],
        }
    }
    path = write_page(output, page("Comparison", title, subtitle, _summary(runs, found, margin), sections, data))
    paired = sum(len(one.sets) for one in found)
    logger.info(f"report | {len(runs)} runs, {len(shared)} common valid sets, {paired} paired comparisons | {path}")
    return path


def _shared_sets(runs: Sequence[Run]) -> List[SetKey]:
    """The valid sets on which the student of every run was judged, in the first run's order."""
    each = [valid_sets([row for row in run.results.xsim if row.encoder == "student"]) for run in runs]
    return [key for key in each[0] if all(key in keys for keys in each)]


def _colour(i: int) -> str:
    return f"c{i + 1}"


def _key(i: int, name: str) -> str:
    """A run's name with its colour before it."""
    return f'<span class="key {_colour(i)}"></span>{breakable(name)}'


def _summary(runs: Sequence[Run], found: Sequence[Against], margin: str) -> str:
    """Each run's mean xsim over the common sets, its difference to the first, and what it cost."""
    shared = _shared_sets(runs)
    cards = []
    for i, run in enumerate(runs):
        rows = [row for row in run.results.xsim if (row.valid_set, row.src_lang, row.tgt_lang) in shared]
        mean = mean_percent(rows, "student", margin)
        value = "–" if mean is None else f'{percent(mean)}<span class="unit"> %</span>'
        bar = f'<span style="width:{mean:.1f}%"></span>' if mean is not None else ""
        training = run.results.training
        cost = [] if training is None else [f"{big_number(training.updates)} updates", duration(training.seconds)]
        verdict = "what the others are compared with" if i == 0 else _mean_words(found[i - 1])
        cards.append(
            f'<div class="run {_colour(i)}"><span class="who">{breakable(run.name)}</span><span class="value">{value}</span>'
            f'<span class="track">{bar}</span><small>{escape(verdict)}</small><small>{escape(", ".join(cost))}</small></div>'
        )
    said = (
        f"Mean share of sentences whose translation is not found, over {len(shared)} valid "
        f"{'set' if len(shared) == 1 else 'sets'} that all runs were judged on."
        if shared
        else "The runs have no valid set in common, so their error rates cannot be compared."
    )
    return f'<div class="scores runs">{"".join(cards)}</div>{paragraph(said, "lead")}'


def _mean_words(found: Against) -> str:
    if found.mean is None:
        return "no paired comparison"
    low, high = found.mean.low, found.mean.high
    verdict = "better" if high < 0 else "worse" if low > 0 else "no difference beyond chance"
    return f"{found.mean.mean:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}: {verdict}"


def _xsim_section(runs: Sequence[Run], found: Sequence[Against], margin: str) -> str:
    """Error rates side by side, and beneath each the paired difference to the first run."""
    students = [[row for row in run.results.xsim if row.encoder == "student"] for run in runs]
    keys = list(dict.fromkeys(key for rows in students for key in valid_sets(rows)))
    if not keys:
        return missing("No run has an xsim result.")
    rows = []
    for key in keys:
        cells = [f"{escape(key[1])} → {escape(key[2])}<small>{escape(key[0])}</small>"]
        for i, entries in enumerate(students):
            row = find(entries, key, "student", margin)
            cells.append(_cell(row, found[i - 1] if i else None, key))
        rows.append(cells)
    caption = f"xsim error rate in percent by run, {margin} margin"
    head = ["Valid set", *(run.name for run in runs)]
    body = table(head, rows, range(1, len(head)), caption, "stack")
    reasons = sorted({f"{key[1]} → {key[2]} of {key[0]}: {why}" for one in found for key, why in one.unpaired.items()})
    note = paragraph(
        "Beneath an error rate its bootstrap interval, then the difference to the first run in percentage points with the 95 % "
        "interval of a paired bootstrap and the p-value of an exact randomisation test. There is no correction for many tests."
    )
    unpaired = "".join(missing(f"Not tested: {why}.") for why in reasons[:20])
    return body + note + unpaired


def _cell(row: Optional[XsimEntry], found: Optional[Against], key: SetKey) -> str:
    if row is None:
        return "–"
    interval = f"<small>{percent(row.low)}–{percent(row.high)}</small>" if row.low is not None else ""
    test = found.sets.get(key) if found is not None else None
    if test is None:
        return f"<span>{percent(row.percent)}{interval}</span>"
    css = "better" if test.high < 0 else "worse" if test.low > 0 else ""
    p_value = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return (
        f'<span>{percent(row.percent)}{interval}<small class="{css}">{test.difference:+.1f} ({test.low:+.1f} to {test.high:+.1f}), '
        f"{p_value}</small></span>"
    )


def _curves_section(runs: Sequence[Run]) -> str:
    """One chart a number with a curve for each run, and xsim over time."""
    logs = [(i, run.name, run.log) for i, run in enumerate(runs) if run.log is not None]
    if not logs:
        return missing("No run has a training log (log/train.json.log).")
    figures = []
    for root, tag, suffix in _CURVES:
        curves = [(i, name, _curve(log, tag, root)) for i, name, log in logs]
        if root == "increment" and not any(len(set(curve.values())) > 1 for *_, curve in curves):
            continue
        if root == "distil_loss" and all(
            curve == _curve(log, INNER, "loss") for (*_, curve), (*_, log) in zip(curves, logs)
        ):
            continue  # the loss has this term alone
        if any(any(curve.values()) for *_, curve in curves):
            figures.append(_chart(TITLES[root] + suffix, curves, "update", root == "increment", root in ("xsim", "lr")))
    timed = [(i, name, _over_minutes(log, _curve(log, VALID, "xsim"))) for i, name, log in logs]
    if any(curve for *_, curve in timed):
        figures.insert(1, _chart("xsim error in % over time", timed, "minutes of training", False, True))
    speeds = [(i, name, sentences_per_second(log)) for i, name, log in logs]
    if any(curve for *_, curve in speeds):
        figures.append(_chart(TITLES["sentences/s"], speeds, "update", False, True))
    absent = [run.name for run in runs if run.log is None]
    note = missing(f"No training log: {', '.join(absent)}.") if absent else ""
    return f'<div class="charts">{"".join(figures)}</div>{note}'


def _curve(log: TrainingLog, tag: str, root: str) -> Curve:
    """One curve; from the ends of epochs where the log interval was never reached."""
    return log.curve(tag, root) or (log.curve(EPOCH, root) if tag == INNER else {})


def _over_minutes(log: TrainingLog, curve: Curve) -> "Dict[float, float]":
    """A curve of updates over the minutes that training had taken then, between logged times by proportion."""
    wall = log.curve(INNER, "wall")
    if not wall or not curve:
        return {}
    minutes = np.interp(list(curve), [0, *wall], [0.0, *wall.values()]) / 60
    return dict(zip(minutes.tolist(), curve.values()))


def _chart(title: str, curves: "Sequence[Tuple[int, str, Dict]]", x_label: str, steps: bool, from_zero: bool) -> str:
    lines, keys = [], []
    for i, name, curve in curves:
        points = thin(curve, _MOST_POINTS)
        if not points:
            continue
        lines.append(Line(name, list(points), list(points.values()), i + 1, steps=steps))
        keys.append(
            f'<li><svg viewBox="0 0 22 14" class="wide" aria-hidden="true"><path class="line {_colour(i)}" d="M1 7H21"/></svg>'
            f'{escape(name)} <span class="num">{number(list(curve.values())[-1])}</span></li>'
        )
    ends = "; ".join(f"{line.label} from {number(line.y[0])} to {number(line.y[-1])}" for line in lines)
    svg = line_chart(lines, f"{title}: {ends}", x_label, from_zero=from_zero)
    return f'<figure><h3>{escape(title)}</h3>{svg}<ul class="legend">{"".join(keys)}</ul></figure>'


def _settings_section(runs: Sequence[Run]) -> str:
    """A table of what was not set alike."""
    unlike, same = differing([settings_of(run) for run in runs])
    said = paragraph(f"{same:,} settings are the same in all runs; paths are left out.")
    if not unlike:
        return missing("No setting that was recorded differs.") + said
    partly = {name: row for name, row in unlike.items() if None in row}
    set_apart = {name: row for name, row in unlike.items() if None not in row}
    body = _settings_table(runs, set_apart, "Settings that differ") if set_apart else ""
    if partly:
        body += details(
            f"Not known of every run ({len(partly)})", _settings_table(runs, partly, "Settings of some runs")
        )
    return body + said


def _settings_table(runs: Sequence[Run], settings: "Dict[str, List[Optional[str]]]", caption: str) -> str:
    rows = [
        (
            f"<code>{breakable(name)}</code>",
            *("–" if value is None else f"<code>{breakable(value)}</code>" for value in row),
        )
        for name, row in settings.items()
    ]
    return table(("Setting", *(run.name for run in runs)), rows, (), caption, "stack")


def _sentences_section(runs: Sequence[Run], found: Sequence[Against]) -> str:
    """Examples of what one run finds and the other does not."""
    body = []
    for i, (run, one) in enumerate(zip(runs[1:], found), start=1):
        for key in one.sets:
            test = one.sets[key]
            title = f"{run.name}, {key[1]} → {key[2]}: {test.mended} found by it alone, {test.broken} by {runs[0].name} alone"
            parts = _examples(f"Found by {run.name} alone", runs[0].name, one.mended[key], key)
            parts += _examples(f"Found by {runs[0].name} alone", run.name, one.broken[key], key)
            if parts:
                body.append(details(title, f'<div class="{_colour(i)}">{parts}</div>'))
    return "".join(body) or missing("No valid set could be compared sentence by sentence, or no sentence differs.")


def _examples(title: str, other: str, examples: Sequence[Example], key: SetKey) -> str:
    items = "".join(
        f'<li>{sentence(one.source, key[1], "text asked")}<dl class="instead"><div><dt>right</dt><dd>{sentence(one.right, key[2])}'
        f"</dd></div><div><dt>{escape(other)} finds</dt><dd>{sentence(one.instead, key[2])}</dd></div></dl></li>"
        for one in examples
    )
    return f'<h3>{escape(title)}</h3><ul class="plain differ">{items}</ul>' if items else ""
