"""Drawings: axes, ticks, and that what is drawn stands where the numbers say."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_distill.evaluation.report_charts import (
    Dot,
    Line,
    dot_chart,
    histogram_chart,
    line_chart,
    linear_ticks,
    log_ticks,
    nice_step,
    x_axis,
    y_axis,
)
from fairseq_distill.evaluation.report_html import aligned, number
from fairseq_distill.evaluation.report_stack import Panel, stacked_chart

finite = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 6))


@given(st.floats(1e-6, 1e9), st.integers(1, 12))
def test_nice_step_is_round_and_large_enough(span, most):
    step = nice_step(span, most)
    assert span / step <= most * (1 + 1e-6)
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 2.5, 5)


@given(st.lists(finite, min_size=1, max_size=30), st.booleans())
def test_y_axis_holds_every_value_between_round_ends(values, from_zero):
    axis = y_axis(values, 300, from_zero)
    assert axis.low < axis.high and 2 <= len(axis.ticks) <= 7
    slack = 1e-6 * max(map(abs, (axis.low, axis.high)))
    assert axis.low - slack <= min(values) and max(values) <= axis.high + slack
    for value in values:
        assert axis.stop - 1e-3 <= axis.at(value) <= axis.start + 1e-3


@pytest.mark.parametrize("low, high", [(10, 10000), (50, 4000), (1, 2), (100, 130000), (7, 8)])
def test_log_ticks_lie_within_and_are_few(low, high):
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 6 and all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)


def test_linear_ticks_are_exact_multiples():
    assert linear_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert linear_ticks(0.9, 1.27) == pytest.approx([0.9, 1.0, 1.1, 1.2])


def test_aligned_numbers_share_their_decimals():
    assert aligned([0, 0.5, 1.0]) == ["0", "0.5", "1.0"]
    assert aligned([0.98, 1.0, 1.1]) == ["0.98", "1.00", "1.10"]
    assert aligned([0, 1000, 2000]) == ["0", "1,000", "2,000"]
    assert aligned([1e-6, 2e-6]) == ["1e-6", "2e-6"]
    assert number(1.5e8) == "1.5e8" and number(0.0312) == "0.0312" and number(None) == "–"


def numbers_of(path):
    return [float(value) for value in re.findall(r"-?\d+\.?\d*", path)]


def test_line_chart_draws_the_points_where_the_axes_say():
    xs, ys = [10, 100, 1000], [3.0, 1.0, 0.5]
    svg = ElementTree.fromstring(line_chart([Line("a <b>", xs, ys, 2, dashed=True)], "label & more", log_x=True))
    assert svg.get("role") == "img" and svg.get("aria-label") == "label & more"
    path = next(p for p in svg.iter("path") if "line" in (p.get("class") or ""))
    assert path.get("class") == "line c2 dashed"
    drawn = numbers_of(path.get("d"))
    x, y = x_axis(10, 1000, True), y_axis(ys, 270)
    assert drawn == pytest.approx([value for a, b in zip(xs, ys) for value in (x.at(a), y.at(b))], abs=0.06)
    said = [t.text for t in svg.iter("text") if t.get("class") == "said"]
    assert said == [f"update {u}: a <b> {v}" for u, v in (("10", "3"), ("100", "1"), ("1,000", "0.5"))]


@pytest.mark.parametrize("n", [1, 2, 3, 500])
def test_line_chart_of_any_length_is_sound_and_small(n):
    text = line_chart([Line("a", list(range(1, n + 1)), [0.5] * n)], "constant")
    svg = ElementTree.fromstring(text)
    assert "nan" not in text and len(text) < 40_000
    assert sum(g.get("class") == "hit" for g in svg.iter("g")) == min(n, 60)


def test_bars_have_the_area_of_their_counts_and_change_colour_at_the_threshold():
    edges, counts = [1.0, 1.02, 1.04, 1.06, 1.08], [10, 0, 5, 20]
    svg = ElementTree.fromstring(histogram_chart(edges, counts, "scores", "ratio", 1.04))
    bars = [bar for bar in svg.iter("rect") if "bar" in (bar.get("class") or "")]
    assert [bar.get("class") for bar in bars] == ["bar weak", "bar c1", "bar c1"], "an empty bin has no bar"
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[0] / heights[2] == pytest.approx(0.5, abs=0.01)
    assert heights[1] / heights[2] == pytest.approx(0.25, abs=0.01)


def test_dots_lie_on_the_percent_axis_and_keep_their_words():
    rows = [("swa", [Dot("student", 25.0, 20.0, 30.0, "student: 25 %"), Dot("random", 100.0, None, None, "random")])]
    svg = ElementTree.fromstring(dot_chart(rows, "xsim", "error"))
    student = next(g for g in svg.iter("g") if g.get("class") == "student")
    span, disc = student.find("rect"), student.find("circle")
    assert student.find("title").text == "swa, student: 25 %"
    assert float(span.get("x")) < float(disc.get("cx")) < float(span.get("x")) + float(span.get("width"))
    assert float(span.get("width")) == pytest.approx((500 - 24 - 112) * 0.1, abs=0.1)


def test_panels_share_their_x_axis_and_do_not_overlap():
    first = Panel("up", [Line("a", [10, 20, 30], [1, 2, 3])])
    second = Panel("down", [Line("b", [10, 30], [9, 3], steps=True)], low=True)
    text = stacked_chart([first, second], "two", mark=(20, "best"), clock={20: 61.0})
    svg = ElementTree.fromstring(text)
    up, down = [numbers_of(p.get("d")) for p in svg.iter("path") if (p.get("class") or "").startswith("line")]
    assert up[0] == down[0] and up[-2] == down[-2] == 474.0, "update 30 stands at the right end in both"
    assert max(up[1::2]) < min(value for value in (down[1], down[-1]))
    mark = next(numbers_of(p.get("d")) for p in svg.iter("path") if p.get("class") == "mark")
    assert mark[0] == up[2], "the mark goes through the point of update 20"
    said = [[t.text for t in g.iter("text")] for g in svg.iter("g") if g.get("class") == "hit"]
    assert said == [["1", "9", "update 10"], ["2", "update 20, 1 min 1 s"], ["3", "3", "update 30"]]


def test_marks_of_a_histogram_stand_at_their_scores():
    edges = [1.0, 1.1, 1.2]
    svg = ElementTree.fromstring(
        histogram_chart(edges, [1, 2], "s", "ratio", 1.1, marks=[(1.05, "best"), (3.0, "far")])
    )
    x = x_axis(1.0, 1.2, False)
    places = [numbers_of(p.get("d"))[0] for p in svg.iter("path") if (p.get("class") or "").startswith("mark")]
    assert places == pytest.approx([x.at(1.1), x.at(1.05)], abs=0.06), "a mark outside the picture is left out"
    assert [t.text for t in svg.iter("text") if t.get("class") == "name"][-2:] == ["threshold 1.1", "best"]
