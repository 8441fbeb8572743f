"""The calibration on the page: the chosen threshold with its precision and recall, where they are known to mean the same."""

import re

import pytest

from fairseq_distill.evaluation.report_mining import mining_section
from fairseq_distill.formats.calibration import COLUMNS, Calibration, Cut, Setting, write_calibration, write_curve
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs
from fairseq_distill.formats.results import MiningSummary

CURVE = [  # threshold, precision, recall
    (0.9, 0.4, 0.9), (1.0, 0.5, 0.8), (1.05, 0.7, 0.6), (1.1, 0.9, 0.3), (1.2, 1.0, 0.1),
]  # fmt: skip


def f1(precision, recall):
    return 2 * precision * recall / (precision + recall)


@pytest.fixture
def work(tmp_path):
    (tmp_path / "mining").mkdir()

    def cut(i):
        threshold, precision, recall = CURVE[i]
        return Cut(threshold, 100 - i, 10.0, 5, precision, recall, f1(precision, recall), {"threshold": [0.95, 1.08]})

    settings = [Setting("ratio", 4, cut(2), cut(3)), Setting("distance", 8, cut(1))]
    write_calibration(
        tmp_path / "mining" / "calibration.json", Calibration("swa-eng", 50, 20, [900, 800], "max", 0.9, settings)
    )
    rows = [("ratio", 4, t, 9, 10.0, 5, p, r, f1(p, r)) for t, p, r in CURVE] + [
        ("distance", 8, 0.1, 9, 10.0, 5, 0.5, 0.5, 0.5)
    ]
    assert len(rows[0]) == len(COLUMNS)
    write_curve(tmp_path / "mining" / "calibration.tsv", rows)
    write_mined_pairs(tmp_path / "mined.tsv", [MinedPair(1.3 - i / 100, f"s{i}", f"t{i}") for i in range(40)])
    return tmp_path


def section(work, **mining):
    summary = MiningSummary(**{"pairs": 40, "margin": "ratio", "threshold": 1.05, "k": 4, **mining})
    return mining_section(work, summary, work / "mined.tsv")[0]


def test_the_chosen_threshold_is_marked_with_its_precision_and_recall(work):
    page = section(work)
    assert "chosen, 1.05: precision 70.0, recall 60.0" in page and "best F1, 1.050: precision 70.0, recall 60.0" in page
    assert ">threshold 1.05<" in page and ">precision 0.9: 1.100<" in page, "the recommended cuts are in the histogram"
    cells = re.findall(
        r"<tr>(.*?)</tr>", page.partition('aria-label="At other thresholds"')[2].partition("</table>")[0]
    )
    words = [re.findall(r">([^<>]+)<", cell) for cell in cells]
    at = {row[0]: row[2:] for row in words[1:]}
    assert words[0] == ["Threshold", "Pairs above it", "Precision, %", "Recall, %"]
    assert at["1.05"] == ["70.0", "60.0"] and at["1.09"] == ["90.0", "30.0"], "the next point of the curve above it"


def test_a_threshold_between_points_keeps_what_the_next_point_keeps(work):
    assert "chosen, 1.06: precision 90.0, recall 30.0" in section(work, threshold=1.06)
    assert "chosen" not in section(work, threshold=1.3), "beyond the curve nothing is known"


def test_another_margin_is_not_judged_by_this_calibration(work):
    page = section(work, margin="ratio", k=16)
    assert "chosen" not in page and ">precision 0.9: 1.100<" not in page and "Precision, %" not in page
    assert "not mined with a margin and k that were calibrated: the figures are of the ratio margin, k = 4" in page
    page = section(work, margin="distance", k=8, threshold=0.1)
    assert "chosen, 0.1: precision 50.0, recall 50.0" in page, "the curve of the mining's own margin and k"


def test_the_curve_is_drawn_without_mined_pairs_too_and_not_at_all_without_its_file(work):
    alone = mining_section(work, None, None)[0]
    assert "Precision over recall" in alone and "Other margins and k (1)" in alone
    (work / "mining" / "calibration.tsv").unlink()
    page = section(work)
    assert "Precision over recall" not in page and "Calibration" in page and "Precision, %" not in page
