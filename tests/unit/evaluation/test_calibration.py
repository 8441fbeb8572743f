"""Calibration of mining: equal to counting pair by pair, cuts that do what they say, intervals that hold."""

import numpy as np
import pytest

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation import calibration
from fairseq_distill.formats.calibration import (
    COLUMNS,
    Calibration,
    read_calibration,
    write_calibration,
    write_curve,
)
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.mining.matching import ScoredPairs
from tests.reference import calibration as slow


def example(seed, hidden=8, alone=3, others=7, dim=6, noise=0.5):
    """Vectors and texts of a small corpus with known lines in it, shuffled; some target lines stand there twice."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(hidden, dim))
    src = np.concatenate([meaning, rng.normal(size=(alone + others, dim))])
    tgt = np.concatenate([meaning + noise * rng.normal(size=meaning.shape), rng.normal(size=(alone + others, dim))])
    texts = [
        [f"s{i}" for i in range(len(src))],
        [f"t{i}" for i in range(len(tgt) - 2)] + [f"t{hidden + alone}", f"t{hidden + alone}"],
    ]
    orders = [rng.permutation(len(src)), rng.permutation(len(tgt))]
    vectors = [side[order].astype(np.float32) for side, order in zip((src, tgt), orders)]
    shuffled = [[text[i] for i in order] for text, order in zip(texts, orders)]
    pairs = (texts[0][:hidden], texts[1][:hidden])
    lone = (texts[0][hidden : hidden + alone], texts[1][hidden : hidden + alone])
    return vectors, shuffled, pairs, lone


@pytest.mark.parametrize("retrieval", ["fwd", "bwd", "intersect", "max"])
@pytest.mark.parametrize("seed", [1])
def test_curve_equals_counting_pair_by_pair(seed, retrieval):
    vectors, texts, pairs, alone = example(seed)
    known = calibration.known_lines(*texts, pairs, alone)
    curves = calibration.sweep(*vectors, known, MARGINS, (2, 4), retrieval)
    assert [(curve.margin, curve.k) for curve in curves] == [
        ("absolute", 2), ("distance", 2), ("distance", 4), ("ratio", 2), ("ratio", 4)
    ]  # fmt: skip
    for curve in curves:
        mined = slow.mined(vectors, curve.margin, curve.k, retrieval)
        assert len(curve.ends) > 5 and (np.diff(curve.thresholds) < 0).all()
        for place in range(len(curve.ends)):
            cut = curve.cut(place)
            expected = slow.measures(mined, texts, dict(zip(*pairs)), alone, cut.threshold)
            found = (cut.pairs, cut.judged, cut.right, cut.precision, cut.recall, cut.f1)
            assert found == pytest.approx(expected, rel=1e-12)


def test_every_number_of_pairs_that_changes_the_measures_has_its_threshold():
    vectors, texts, pairs, alone = example(3)
    known = calibration.known_lines(*texts, pairs, alone)
    curve = calibration.sweep(*vectors, known, ("ratio",), (4,))[0]
    mined = slow.mined(vectors, "ratio", 4, "max")
    measured = [slow.measures(mined, texts, dict(zip(*pairs)), alone, score - 1e-9) for score, _, _ in mined]
    everything = {numbers[1:] for numbers in measured if numbers}
    found = {
        (cut.judged, cut.right, cut.precision, cut.recall, cut.f1) for cut in map(curve.cut, range(len(curve.ends)))
    }
    assert {row[:2] for row in found} == {row[:2] for row in everything}
    assert np.allclose(sorted(found), sorted(everything))


def test_recommended_cuts_are_the_best_there_are():
    vectors, texts, pairs, alone = example(4, hidden=40, alone=20, others=40)
    known = calibration.known_lines(*texts, pairs, alone)
    curve = calibration.sweep(*vectors, known, ("distance",), (4,))[0]
    setting = calibration.calibrate([curve], known.units, 0.8, samples=50)[0]
    cuts = [curve.cut(place) for place in range(len(curve.ends))]
    assert setting.best_f1.f1 == max(cut.f1 for cut in cuts)
    good = [cut for cut in cuts if cut.precision >= 0.8]
    assert setting.at_precision.threshold == min(cut.threshold for cut in good)
    assert setting.at_precision.recall == max(cut.recall for cut in good)
    assert setting.at_default is None  # the default threshold is one of the ratio
    unreachable = calibration.calibrate([curve], known.units, 1.0, samples=50)[0]
    assert (unreachable.at_precision is None) == all(cut.precision < 1 for cut in cuts)


def test_a_given_threshold_keeps_what_mining_with_it_keeps():
    vectors, texts, pairs, alone = example(5, hidden=30)
    known = calibration.known_lines(*texts, pairs, alone)
    curve = calibration.sweep(*vectors, known, ("ratio",), (4,))[0]
    mined = slow.mined(vectors, "ratio", 4, "max")
    for threshold in np.linspace(0.5, curve.scores[0] + 0.1, 23).tolist():
        cut = calibration.at_threshold(curve, threshold)
        expected = slow.measures(mined, texts, dict(zip(*pairs)), alone, threshold)
        assert (cut is None) == (expected is None)
        if cut is not None:
            assert (cut.pairs, cut.judged, cut.right) == expected[:3] and cut.threshold == threshold


def test_settings_come_best_first_and_one_search_serves_every_k():
    vectors, texts, pairs, alone = example(6, hidden=40, noise=0.8)
    known = calibration.known_lines(*texts, pairs, alone)
    curves = calibration.sweep(*vectors, known, ("ratio", "distance", "absolute"), (2, 4, 8))
    settings = calibration.calibrate(curves, known.units, samples=20)
    values = [setting.best_f1.f1 for setting in settings]
    assert values == sorted(values, reverse=True) and len(set(values)) > 1
    alone_8 = calibration.sweep(*vectors, known, ("ratio",), (8,))[0]
    among = next(curve for curve in curves if (curve.margin, curve.k) == ("ratio", 8))
    assert np.array_equal(alone_8.thresholds, among.thresholds) and np.array_equal(alone_8.right, among.right)


def test_intervals_hold_the_value_and_shrink_with_more_pairs():
    widths = []
    for hidden in (30, 300):
        vectors, texts, pairs, alone = example(7, hidden=hidden, alone=hidden // 3, noise=0.9)
        known = calibration.known_lines(*texts, pairs, alone)
        curve = calibration.sweep(*vectors, known, ("ratio",), (4,))[0]
        cut = calibration.calibrate([curve], known.units, samples=400)[0].best_f1
        for name in ("precision", "recall", "threshold"):
            low, high = cut.intervals[name]
            assert low <= getattr(cut, name) <= high and low < high
        widths.append(np.subtract(*cut.intervals["recall"][::-1]))
    assert widths[1] < widths[0] / 2


def test_recall_interval_is_that_of_a_share():
    """Recall at a fixed cut is a share of n pairs: its interval must be that of the binomial distribution."""
    n, found = 400, 300
    unit = np.arange(found)
    curve = calibration.Curve(
        "ratio",
        4,
        unit,
        unit,
        np.ones(found, bool),
        np.array([found]),
        np.array([1.0]),
        np.array([found]),
        np.ones(found),
        n,
    )
    cut = calibration.calibrate([curve], n, samples=4000)[0].best_f1
    low, high = cut.intervals["recall"]
    deviation = np.sqrt(0.75 * 0.25 / n)
    assert (low, high) == pytest.approx((0.75 - 1.96 * deviation, 0.75 + 1.96 * deviation), abs=0.01)
    assert cut.intervals["precision"] == [1.0, 1.0]


def test_precision_of_a_sample_of_known_lines_is_that_of_the_whole():
    """Knowing a tenth of the lines must estimate what knowing all of them says; counting pairs would not."""
    hidden, alone = 2000, 500
    rng = np.random.default_rng(1)
    right = rng.random(hidden) < 0.7
    lines = [[f"{side}{i}" for i in range(hidden + alone)] for side in "st"]
    src = np.arange(hidden + alone)
    tgt = np.concatenate([np.where(right, src[:hidden], -1), np.full(alone, -1)])
    free = rng.permutation(np.setdiff1d(np.arange(hidden + alone), tgt))
    tgt[tgt < 0] = free  # wrong pairs: every line is used once
    scores = np.sort(rng.random(hidden + alone).astype(np.float32))[::-1]
    pairs = ScoredPairs(scores, src, tgt)
    values = []
    for part in (1, 10):
        some = (lines[0][:hidden:part], lines[1][:hidden:part])
        lone = (lines[0][hidden::part], lines[1][hidden::part])
        known = calibration.known_lines(*lines, some, lone)
        values.append(calibration.curve_of(pairs, known, "ratio", 4).precision[-1])
    assert values[0] == pytest.approx((tgt == src)[:hidden].sum() / (hidden + alone), abs=0.001)
    assert values[1] == pytest.approx(values[0], abs=0.05)


def test_a_copy_of_the_translation_is_right_and_another_line_is_wrong():
    src, tgt = ["a", "b"], ["x", "y", "x"]
    known = calibration.known_lines(src, tgt, (["a"], ["x"]), ([], ["y"]))
    assert known.partner.tolist() == [0, -1] and known.tgt_text.tolist() == [0, 1, 0]
    assert known.src_unit.tolist() == [0, -1] and known.tgt_unit.tolist() == [0, 1, 0] and known.units == 2


@pytest.mark.parametrize(
    "hidden, alone, words",
    [
        ((["a"], ["x", "y"]), ([], []), "1 hidden source lines but 2 target"),
        (([], []), ([], []), "0 hidden source lines"),
        ((["a"], ["not there"]), ([], []), "1 of 1 known target lines are not in the text"),
        ((["a"], ["x"]), (["a"], []), "known line is there twice"),
    ],
)
def test_known_lines_that_do_not_fit(hidden, alone, words):
    with pytest.raises(DataError, match=words):
        calibration.known_lines(["a", "b"], ["x", "y"], hidden, alone)


def test_what_cannot_be_done_is_said():
    vectors, texts, pairs, alone = example(8)
    known = calibration.known_lines(*texts, pairs, alone)
    with pytest.raises(ConfigError, match="at least one of each"):
        calibration.sweep(*vectors, known, ("ratio",), ())
    with pytest.raises(DataError, match="embed the texts again"):
        calibration.sweep(vectors[0][:-1], vectors[1], known)
    curve = calibration.sweep(*vectors, known, ("ratio",), (4,))[0]
    for wanted in (0, 1.01):
        with pytest.raises(ConfigError, match="wanted precision"):
            calibration.calibrate([curve], known.units, wanted)


def test_files(tmp_path):
    vectors, texts, pairs, alone = example(9, hidden=30)
    known = calibration.known_lines(*texts, pairs, alone)
    curves = calibration.sweep(*vectors, known)
    settings = calibration.calibrate(curves, known.units, samples=20)
    made = Calibration("swa-eng", known.hidden, 10, [10, 20], "max", 0.9, settings, {"seed": 1})
    write_calibration(tmp_path / "c.json", made)
    assert read_calibration(tmp_path / "c.json") == made
    write_curve(tmp_path / "c.tsv", calibration.curve_rows(curves, most=5))
    header, *rows = [line.split("\t") for line in (tmp_path / "c.tsv").read_text().splitlines()]
    assert tuple(header) == COLUMNS and len(rows) <= 6 * len(curves)
    best = made.recommended
    wanted = [best.margin, str(best.k), f"{best.best_f1.threshold:.6f}"]
    assert [row for row in rows if row[:3] == wanted], "the recommended cut is a point of the curve"
    (tmp_path / "c.json").write_text('{"format_version": 1, "settings": []}')
    with pytest.raises(DataError, match="not a calibration file"):
        read_calibration(tmp_path / "c.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_calibration(tmp_path / "none.json")
