"""Several numbers of a training over one axis of updates, one panel above the other, so that one sees what moved together."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq_distill.evaluation.report_charts import (
    WIDTH,
    Axis,
    Line,
    drawn,
    linear_ticks,
    nice_step,
    picture,
    word,
    x_axis,
    y_axis,
)
from fairseq_distill.evaluation.report_html import aligned, duration, number

_TOP, _GAP, _BOTTOM = 46, 48, 48
_MOST_PLACES = 80
_TALL, _LOW = 108, 56


@dataclass
class Panel:
    """One panel: its title, its curves, whether its axis starts at 0, and whether it is a low one."""

    title: str
    lines: Sequence[Line]
    from_zero: bool = False
    low: bool = False


def stacked_chart(
    panels: Sequence[Panel],
    label: str,
    log_x: bool = False,
    mark: Optional[Tuple[float, str]] = None,
    stages: Sequence[Tuple[float, str]] = (),
    clock: Optional[Dict[int, float]] = None,
) -> str:
    """Panels with a common x axis of updates; hovering shows every panel's values at one update.

    Args:
        panels: one or more; each line of each has a point or more.
        label: what the picture shows, in words.
        mark: an update to mark in all panels, and a word for it.
        stages: updates at which a stage of the curriculum begins, each with a word for it.
        clock: update -> seconds since the start, for the hover text.
    Returns:
        an ``<svg>`` element.
    """
    xs = [value for panel in panels for line in panel.lines for value in line.x]
    x = x_axis(min(xs), max(xs), log_x)
    parts: List[str] = []
    axes: List[Axis] = []
    top = float(_TOP)
    for panel in panels:
        height = _LOW if panel.low else _TALL
        axes.append(_axis(panel, top, height))
        top += height + _GAP
    bottom = top - _GAP
    for begins, name in stages:
        if x.low <= begins <= x.high:
            parts.append(f'<path class="grid stage" d="M{x.at(begins):.1f} {bottom:.1f}V{_TOP}"/>')
            parts.append(word(x.at(begins) + 3, bottom - 5, name, "name", "start"))
    for panel, y in zip(panels, axes):
        parts.append(word(x.start - 46, y.stop - 16, panel.title, "row", "start"))
        for tick, said in zip(y.ticks, aligned(y.ticks)):
            parts.append(f'<path class="grid" d="M{x.start:.1f} {y.at(tick):.1f}H{x.stop:.1f}"/>')
            parts.append(word(x.start - 8, y.at(tick) + 4, said, anchor="end"))
        parts += [drawn(line, x, y) for line in panel.lines]
    for tick, said in zip(x.ticks, aligned(x.ticks)):
        parts.append(f'<path class="tick" d="M{x.at(tick):.1f} {bottom:.1f}v4"/>')
        parts.append(word(x.at(tick), bottom + 18, said))
    parts.append(f'<path class="axis" d="M{x.start:.1f} {bottom:.1f}H{x.stop:.1f}"/>')
    parts.append(word((x.start + x.stop) / 2, bottom + 40, "update", "name"))
    if mark is not None and x.low <= mark[0] <= x.high:
        parts.append(f'<path class="mark" d="M{x.at(mark[0]):.1f} {bottom:.1f}V{_TOP}"/>')
        right = x.at(mark[0]) > WIDTH * 0.7
        parts.append(
            word(x.at(mark[0]) + (-5 if right else 5), _TOP + 11, mark[1], "name", "end" if right else "start")
        )
    parts.append(_hovers(panels, x, axes, bottom, clock or {}))
    return picture(bottom + _BOTTOM, label, "".join(parts))


def _axis(panel: Panel, top: float, height: int) -> Axis:
    """The vertical axis of a panel between ``top`` and ``top + height``; a low one has its two ends as ticks."""
    values = [value for line in panel.lines for value in line.y]
    y = y_axis(values, 300, panel.from_zero)
    ticks = [y.low, y.high] if panel.low else linear_ticks(y.low, y.high, nice_step(y.high - y.low, 3))
    return Axis(y.low, y.high, top + height, top, ticks)


def _hovers(panels: Sequence[Panel], x: Axis, axes: Sequence[Axis], bottom: float, clock: Dict[int, float]) -> str:
    """Strips through all panels that show update, time and values."""
    tables = [[(line, dict(zip(line.x, line.y))) for line in panel.lines] for panel in panels]
    places = sorted({value for panel in tables for _, table in panel for value in table})
    if len(places) > _MOST_PLACES:
        places = [places[round(i * (len(places) - 1) / (_MOST_PLACES - 1))] for i in range(_MOST_PLACES)]
    at = [x.at(value) for value in places]
    bounds = [x.start] + [(a + b) / 2 for a, b in zip(at, at[1:])] + [x.stop]
    parts = []
    for i, value in enumerate(places):
        inside = [f'<path d="M{at[i]:.1f} {bottom:.1f}V{_TOP}"/>']
        for panel, y in zip(tables, axes):
            said = []
            for line, table in panel:
                if value in table:
                    said.append(number(table[value]))
                    inside.append(
                        f'<circle class="{line.colour_class}" cx="{at[i]:.1f}" cy="{y.at(table[value]):.1f}" r="3"/>'
                    )
            if said:
                inside.append(word(x.stop, y.stop - 16, ", ".join(said), "said", "end"))
        time = f", {duration(clock[int(value)])}" if int(value) in clock else ""
        inside.append(word(x.stop, 11, f"update {number(value)}{time}", "said", "end"))
        parts.append(
            f'<g class="hit"><rect x="{bounds[i]:.1f}" y="{_TOP}" width="{max(bounds[i + 1] - bounds[i], 0.1):.1f}" '
            f'height="{bottom - _TOP:.1f}"/><g>{"".join(inside)}</g></g>'
        )
    return "".join(parts)
