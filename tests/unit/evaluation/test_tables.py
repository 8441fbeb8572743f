"""The four tables hold the same numbers; hostile names stay text."""

import csv
import io
import re

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.tables import as_csv, as_html, as_latex, as_text, table_lines
from fairseq_distill.formats.evaluation import Evaluation, LeakageEntry, Score, read_evaluation, write_evaluation


def score(encoder, src, percent, metric="xsim", tgt="eng", p=None, test="dev"):
    return Score(metric, test, src, tgt, encoder, percent, percent - 1, percent + 2, 100, f"{metric}|n:100", p_value=p)


EXAMPLE = Evaluation(
    [
        score("a", "swa", 10.0), score("a", "zul", 20.0), score("a", "xho", 90.0),
        score("b_&", "swa", 30.0, p=0.04), score("b_&", "zul", 50.0, p=0.05), score("b_&", "swa", 77.0, "bucc-f1", test="b"),
    ],
    [LeakageEntry("train.swa", "dev.swa", 500, 2, 3, 100, 4, 0.7,
                  [{"line": 7, "evaluation_line": 9, "similarity": 0.83, "text": "<b>one</b>", "evaluation_text": "two"}])],
    "a",
)  # fmt: skip


def test_rows_means_and_marks():
    lines = table_lines(EXAMPLE)
    assert [(line.pair, line.cells) for line in lines] == [
        ("swa-eng", ("10.00 ±1.50", "30.00 ±1.50*")),
        ("zul-eng", ("20.00 ±1.50", "50.00 ±1.50")),
        ("xho-eng", ("90.00 ±1.50", "")),
        ("mean of 2", ("15.00", "40.00")),  # only what both have
        ("swa-eng", ("", "77.00 ±1.50")),
    ]
    assert [line.mean for line in lines] == [False, False, False, True, False]


def test_nway_rows_are_languages():
    scores = [
        score("a", src, percent, "xsim n-way", tgt)
        for src, tgt, percent in (("x", "y", 10.0), ("x", "z", 20.0), ("y", "x", 40.0))
    ]
    assert [(line.pair, line.cells) for line in table_lines(Evaluation(scores))] == [
        ("x-*", ("15.00",)), ("y-*", ("40.00 ±1.50",)), ("mean of 2", ("27.50",))
    ]  # fmt: skip


def test_text_says_the_leakage_first():
    text = as_text(EXAMPLE)
    assert text.index("2 identical and 3 near of 500 lines; 4 of 100 evaluation lines hit (4.0 %)") < text.index(
        "metric"
    )
    assert "0.83  7: <b>one</b>" in text and "differs from a" in text
    assert as_text(Evaluation(EXAMPLE.scores)).startswith("leakage: not looked for")


def test_all_formats_hold_the_numbers():
    rows = list(csv.DictReader(io.StringIO(as_csv(EXAMPLE))))
    assert [(row["encoder"], float(row["percent"])) for row in rows] == [
        (one.encoder, one.percent) for one in EXAMPLE.scores
    ]
    assert rows[0]["p_value"] == "" and rows[3]["p_value"] == "0.04"
    latex, page = as_latex(EXAMPLE), as_html(EXAMPLE)
    assert r"b\_\&" in latex and r"30.00 $\pm$1.50$^{*}$ \\" in latex and latex.count(r" \\") == 6
    assert {line.count("&") - line.count(r"\&") for line in latex.splitlines() if line.endswith(r"\\")} == {5}
    assert "&lt;b&gt;one" in page and "<b>" not in page and "<td>b_" not in page
    for number in re.findall(r"\d+\.\d\d ±", as_text(EXAMPLE)):
        assert number in page and number.replace("±", r"$\pm$") in latex


def test_the_file_comes_back_as_it_was(tmp_path):
    write_evaluation(tmp_path / "evaluation.json", EXAMPLE)
    assert read_evaluation(tmp_path / "evaluation.json") == EXAMPLE
    (tmp_path / "cut.json").write_text((tmp_path / "evaluation.json").read_text()[:200])
    for name, said in (("cut.json", "is not an evaluation"), ("gone.json", "cannot be read")):
        with pytest.raises(DataError, match=said):
            read_evaluation(tmp_path / name)
    for bad in (float("nan"), 101.0):
        with pytest.raises(DataError, match="not written"):
            write_evaluation(tmp_path / "bad.json", Evaluation([score("a", "swa", bad)]))
    assert not (tmp_path / "bad.json").exists()
