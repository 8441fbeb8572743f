"""results.json: what is written comes back; what contradicts itself is refused."""

import json
from dataclasses import replace

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.results import (
    NAME,
    Histogram,
    MiningSummary,
    Results,
    TrainingFacts,
    XsimEntry,
    read_results,
    write_results,
)

ROW = XsimEntry("student", "dev", "swa", "eng", "distance", 4, 1000, 218, 21.8, 19.3, 24.4, "xsim|…")
FULL = Results(
    xsim=[ROW, replace(ROW, encoder="teacher", errors=806, percent=80.6, low=None, high=None)],
    training=TrainingFacts("student_encoder_tiny", 1_000_000, 100, 12.5, 300.0, 90, "2 CPU cores"),
    mining=MiningSummary(3, "ratio", 1.06, 4, "max", "swa", "eng", 10, 20, Histogram([0.9, 1.0, 1.1], [4, 3]), "s.npy"),
    command="bash recipes/student.sh --langs swa",
    created="2026-11-23T12:00:00Z",
    options={"lr": [0.1], "name": "é", "flag": True, "none": None},
    seeds={"fairseq": 1},
    versions={"torch": "2.13.0"},
    files={"best checkpoint": "checkpoints/checkpoint_best.pt"},
)


@pytest.mark.parametrize("results", [FULL, Results(), Results(mining=MiningSummary(0, "absolute"))])
def test_what_is_written_comes_back(tmp_path, results):
    assert write_results(tmp_path, results) == tmp_path / NAME
    assert read_results(tmp_path) == results
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_no_file_is_none(tmp_path):
    assert read_results(tmp_path) is None


def test_a_part_may_be_absent_from_the_file(tmp_path):
    (tmp_path / NAME).write_text('{"format_version": 1, "command": "x"}')
    assert read_results(tmp_path) == Results(command="x")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"percent": 21.9}, "218 errors in 1000 sentences are 21.80 %"),
        ({"percent": float("nan")}, "218 errors"),
        ({"errors": 1001, "percent": 100.1}, "1001 errors in 1000"),
        ({"n": 0, "errors": 0}, "0 errors in 0"),
        ({"margin": "cosine"}, "'cosine'"),
        ({"encoder": "laser"}, "'laser'"),
        ({"high": None}, "one end"),
    ],
)
def test_results_that_contradict_themselves_are_not_written(tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        write_results(tmp_path, Results(xsim=[replace(ROW, **change)]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "edges, counts", [([1.0, 2.0], [1, 2]), ([2.0, 1.0], [1]), ([1.0, 2.0], [-1]), ([1.0, 1e999], [1])]
)
def test_impossible_histograms_are_refused(tmp_path, edges, counts):
    mining = MiningSummary(1, "ratio", histogram=Histogram(edges, counts))
    with pytest.raises(DataError, match="histogram"):
        write_results(tmp_path, Results(mining=mining))


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "not a valid results file"),
        ("[]", "must be an object, but is a list"),
        ("{}", "format None"),
        ('{"format_version": 9}', "format 9"),
        ('{"format_version": 1, "xsims": []}', "xsims"),
        ('{"format_version": 1, "xsim": [{"encoder": "student"}]}', "missing"),
        ('{"format_version": 1, "xsim": [7]}', "not a valid"),
        ('{"format_version": 1, "mining": {"pairs": 1, "margin": "ratio", "histogram": {"edges": [1]}}}', "counts"),
    ],
)
def test_damaged_files_are_refused_with_their_name(tmp_path, text, words):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_results(tmp_path)
    assert str(tmp_path / NAME) in str(caught.value)


def test_values_that_json_cannot_hold_are_not_written(tmp_path):
    with pytest.raises(DataError, match="not written"):
        write_results(tmp_path, replace(FULL, options={"x": float("inf")}))
    with pytest.raises(DataError, match="not written"):
        write_results(tmp_path, replace(FULL, options={"x": object()}))
    write_results(tmp_path, FULL)
    assert json.loads((tmp_path / NAME).read_text(encoding="utf-8"))["options"]["name"] == "é"
