"""Charts as inline SVG: strings made by plain functions, coloured by the page's CSS variables, without script.

Every chart is drawn for a width of 500 units and scales with its column; colours come from the classes ``c1`` to
``c8`` (and ``weak``), so that one drawing serves light and dark. Hovering shows the values of one place.
"""

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from fairseq_distill.evaluation.report_html import aligned, escape, number

WIDTH = 500
N_COLOURS = 8
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 26, 24, 48
_MAX_HOVERS = 60  # places on the x axis that answer to the pointer


@dataclass
class Line:
    """One curve: its name, points in rising order of x, colour number from 1, dashed or not, in steps or sloping.

    ``radius`` is that of the dot which a curve of a single point is.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 1
    dashed: bool = False
    steps: bool = False
    radius: float = 2.5

    @property
    def colour_class(self) -> str:
        """The CSS class of the colour; colours repeat when they run out."""
        return f"c{(self.colour - 1) % N_COLOURS + 1}"

    @property
    def css(self) -> str:
        """The CSS classes of the curve."""
        return f"line {self.colour_class}" + (" dashed" if self.dashed else "")


@dataclass
class Dot:
    """One mark of a dot chart: its value, an interval if known, its class (``student`` …) and words for it."""

    kind: str
    value: float
    low: Optional[float]
    high: Optional[float]
    text: str


@dataclass
class Axis:
    """A scale from data to units of the drawing, linear or logarithmic, with its ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: List[float]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        position = math.log(value) if self.log else value
        return self.start + (position - low) / (high - low) * (self.stop - self.start)


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that cuts ``span`` > 0 into at most ``most`` steps."""
    exact = span / most
    power = 10.0 ** math.floor(math.log10(exact))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor * (1 + 1e-9) >= exact)


def linear_ticks(low: float, high: float, step: Optional[float] = None) -> List[float]:
    """The multiples of a step (by default a round one that gives at most six) within [low, high]."""
    step = step or nice_step(high - low, 5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> List[float]:
    """Round numbers within [low, high], both > 0, even on a logarithmic scale: 1, 2, 5 times powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**p for p in powers for f in factors if low * (1 - 1e-9) <= f * 10.0**p <= high * (1 + 1e-9)]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most)] if len(ticks) > 1 else [low, high]


def x_axis(low: float, high: float, log: bool, left: float = _LEFT) -> Axis:
    """The horizontal axis of a chart."""
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    return Axis(low, high, left, WIDTH - _RIGHT, log_ticks(low, high) if log else linear_ticks(low, high), log)


def y_axis(values: Sequence[float], height: int, from_zero: bool = False) -> Axis:
    """The vertical axis that holds all values, ends at round numbers, and starts at 0 when that costs little room."""
    low, high = min(values), max(values)
    if from_zero or 0 <= low < 0.35 * high:
        low = min(low, 0.0)
    if high - low < 1e-9 * max(abs(high), 1e-9):
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    step = nice_step(high - low, 4)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(low, high, height - _BOTTOM, _TOP, linear_ticks(low, high, step))


def word(x: float, y: float, text: str, css: str = "", anchor: str = "middle") -> str:
    """Text in a drawing."""
    place = f'x="{x:.1f}" y="{y:.1f}"' + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f"<text {place}{f' class={css!r}' if css else ''}>{escape(text)}</text>"


def _frame(x: Axis, y: Axis, x_label: str) -> str:
    """Grid lines, tick labels and the name of the x axis."""
    parts = []
    for tick, said in zip(y.ticks, aligned(y.ticks)):
        at = y.at(tick)
        parts.append(f'<path class="grid" d="M{x.start:.1f} {at:.1f}H{x.stop:.1f}"/>')
        parts.append(word(x.start - 8, at + 4, said, anchor="end"))
    for tick, said in zip(x.ticks, aligned(x.ticks)):
        at = x.at(tick)
        parts.append(f'<path class="tick" d="M{at:.1f} {y.start:.1f}v4"/>')
        parts.append(word(at, y.start + 18, said))
    parts.append(f'<path class="axis" d="M{x.start:.1f} {y.start:.1f}H{x.stop:.1f}"/>')
    parts.append(word((x.start + x.stop) / 2, y.start + 40, x_label, "name"))
    return "".join(parts)


def picture(height: float, label: str, body: str) -> str:
    """An ``<svg>`` element of the common width; ``label`` says what it shows."""
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>'


def line_chart(
    lines: Sequence[Line],
    label: str,
    x_label: str = "update",
    log_x: bool = False,
    from_zero: bool = False,
    mark: "Optional[Tuple[float, str]]" = None,
    height: int = 270,
    stages: "Sequence[Tuple[float, str]]" = (),
) -> str:
    """Curves over a common x axis.

    Args:
        lines: at least one, each with a point or more; all finite, x > 0 where ``log_x``.
        label: what the picture shows, in words, for those who do not see it.
        from_zero: the y axis starts at 0 even if that leaves much room empty.
        mark: an x value to mark with an upright line, and a word for it.
        stages: x values where a stage of training begins, each with a word for it, drawn in a weaker way.
    Returns:
        an ``<svg>`` element.
    """
    xs = [value for line in lines for value in line.x]
    x = x_axis(min(xs), max(xs), log_x)
    y = y_axis([value for line in lines for value in line.y], height, from_zero)
    parts = [_frame(x, y, x_label)]
    for begins, name in stages:
        if x.low <= begins <= x.high:
            at, right = x.at(begins), x.at(begins) > WIDTH * 0.85
            parts.append(f'<path class="grid stage" d="M{at:.1f} {y.start:.1f}V{y.stop:.1f}"/>')
            parts.append(word(at + (-4 if right else 4), y.start - 6, name, "name", "end" if right else "start"))
    parts += [drawn(line, x, y) for line in lines]
    if mark is not None and x.low <= mark[0] <= x.high:
        at = x.at(mark[0])
        right = at > WIDTH * 0.7
        parts.append(f'<path class="mark" d="M{at:.1f} {y.start:.1f}V{y.stop:.1f}"/>')
        parts.append(word(at + (-5 if right else 5), y.stop + 11, mark[1], "name", "end" if right else "start"))
    parts.append(_hovers(lines, x, y, x_label))
    return picture(height, label, "".join(parts))


def drawn(line: Line, x: Axis, y: Axis) -> str:
    """A curve; a dot where it has one point alone."""
    points = [(x.at(a), y.at(b)) for a, b in zip(line.x, line.y)]
    if len(points) == 1:
        return f'<circle class="{line.css}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="{line.radius:g}"/>'
    return f'<path class="{line.css}" d="{_path(points, line.steps)}"/>'


def _path(points: "Sequence[Tuple[float, float]]", steps: bool) -> str:
    """The path data of a curve; in steps, a value holds until the next."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    parts += [f"H{a:.1f}V{b:.1f}" if steps else f"L{a:.1f} {b:.1f}" for a, b in points[1:]]
    return "".join(parts)


def _hovers(lines: Sequence[Line], x: Axis, y: Axis, x_label: str) -> str:
    """Upright strips that show, above the plot, the values of all curves at one x while the pointer is over them."""
    tables = [dict(zip(line.x, line.y)) for line in lines]
    places = sorted({value for table in tables for value in table})
    shared = [value for value in places if all(value in table for table in tables)]
    if len(shared) > 1:  # a strip for each validation rather than for each line of training
        places = shared
    if len(places) > _MAX_HOVERS:
        places = [places[round(i * (len(places) - 1) / (_MAX_HOVERS - 1))] for i in range(_MAX_HOVERS)]
    at = [x.at(value) for value in places]
    bounds = [x.start] + [(a + b) / 2 for a, b in zip(at, at[1:])] + [x.stop]
    parts = []
    for i, value in enumerate(places):
        found = [(line, table[value]) for line, table in zip(lines, tables) if value in table]
        said = ", ".join(f"{line.label} {number(height)}" for line, height in found[:3])
        dots = "".join(
            f'<circle class="{line.colour_class}" cx="{at[i]:.1f}" cy="{y.at(height):.1f}" r="3"/>'
            for line, height in found
        )
        width = max(bounds[i + 1] - bounds[i], 0.1)
        parts.append(
            f'<g class="hit"><rect x="{bounds[i]:.1f}" y="{y.stop:.1f}" width="{width:.1f}" '
            f'height="{y.start - y.stop:.1f}"/><g><path d="M{at[i]:.1f} {y.start:.1f}V{y.stop:.1f}"/>{dots}'
            f"{word(x.stop, y.stop - 10, f'{x_label} {number(value)}: {said}', 'said', 'end')}</g></g>"
        )
    return "".join(parts)


def histogram_chart(
    edges: Sequence[float],
    counts: Sequence[int],
    label: str,
    x_label: str,
    threshold: Optional[float] = None,
    unit: str = "pairs",
    marks: "Sequence[Tuple[float, str]]" = (),
) -> str:
    """Bars of a histogram, those below the threshold in a weak colour; one edge more than counts; of ``unit``.

    ``marks`` are further scores to mark, each with a word for it.
    """
    height = 300
    x = x_axis(edges[0], edges[-1], False)
    y = y_axis([0.0, float(max(counts)) or 1.0], height, True)
    parts = [_frame(x, y, x_label)]
    for low, high, count in zip(edges, edges[1:], counts):
        left, right = x.at(low), x.at(high)
        gap = min(1.0, (right - left) * 0.2)
        weak = threshold is not None and low < threshold - 1e-9
        bar = (
            f'<rect class="bar {"weak" if weak else "c1"}" x="{left + gap / 2:.2f}" y="{y.at(count):.1f}" '
            f'width="{right - left - gap:.2f}" height="{y.start - y.at(count):.1f}"/>'
        )
        said = f"{number(low)} to {number(high)}: {count:,} {unit}"
        parts.append(
            f'<g class="hit">{bar if count else ""}<rect x="{left:.2f}" y="{y.stop}" width="{right - left:.2f}" '
            f'height="{y.start - y.stop:.1f}"/><g>{word(x.stop, y.stop - 10, said, "said", "end")}</g></g>'
        )
    named = [*marks] if threshold is None else [(threshold, f"threshold {threshold:g}"), *marks]
    for row, (value, said) in enumerate((value, said) for value, said in named if edges[0] <= value <= edges[-1]):
        at = x.at(value)
        right_half = at > WIDTH * 0.6
        css = "mark" if value == threshold else "mark weak"
        parts.append(f'<path class="{css}" d="M{at:.1f} {y.start:.1f}V{y.stop:.1f}"/>')
        side, anchor = (-6, "end") if right_half else (6, "start")
        parts.append(word(at + side, y.stop + 11 + 16 * row, said, "name", anchor))
    return picture(height, label, "".join(parts))


def dot_chart(rows: "Sequence[Tuple[str, Sequence[Dot]]]", label: str, x_label: str) -> str:
    """One row a name, marks along a common axis from 0 to 100 percent; intervals as bars behind the marks."""
    left, step, top = 112.0, 34, 12
    bottom = top + step * len(rows)
    x = Axis(0, 100, left, WIDTH - 24, [0, 25, 50, 75, 100])
    parts = []
    for tick in x.ticks:
        parts.append(f'<path class="grid" d="M{x.at(tick):.1f} {top}V{bottom}"/>')
        parts.append(word(x.at(tick), bottom + 18, f"{tick:g}"))
    parts.append(word((x.start + x.stop) / 2, bottom + 40, x_label, "name"))
    for row, (name, dots) in enumerate(rows):
        at_y = top + step * (row + 0.5)
        short = name if len(name) <= 14 else name[:13] + "…"
        parts.append(f'<path class="tick" d="M{x.start:.1f} {at_y:.1f}H{x.stop:.1f}"/>')
        parts.append(word(left - 10, at_y + 4, short, "row", "end"))
        for dot in reversed(dots):  # the first is drawn last, over the others
            at = x.at(dot.value)
            interval = ""
            if dot.low is not None and dot.high is not None:
                a, b = x.at(dot.low), x.at(dot.high)
                interval = f'<rect class="span" x="{a:.1f}" y="{at_y - 4:.1f}" width="{b - a:.1f}" height="8" rx="4"/>'
            parts.append(
                f'<g class="{escape(dot.kind)}"><title>{escape(f"{name}, {dot.text}")}</title>'
                f"{interval}{_shape(dot.kind, at, at_y)}</g>"
            )
    return picture(bottom + 48, label, "".join(parts))


def _shape(kind: str, x: float, y: float) -> str:
    """A mark that is known by its shape too, not by its colour alone: disc, diamond, or cross."""
    if kind == "student":
        return f'<circle class="fill" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    if kind == "teacher":
        return f'<path class="fill" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"/>'
    return f'<path class="cross" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"/>'
