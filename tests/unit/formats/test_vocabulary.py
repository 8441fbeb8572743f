"""A vocabulary report comes back as it was written; shares follow from counts; a damaged file is refused."""

import json

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.vocabulary import (
    NAME,
    Advice,
    PieceCounts,
    VocabularyReport,
    read_vocabulary_report,
    write_vocabulary_report,
)


def report():
    rows = [
        PieceCounts("swa", "student", "spm.model", 8000, 100, 2000, 9000, 3000, 30, 45, 600, 1900, 1200, 80, 76, 150),
        PieceCounts("tha", "joint", "", 4000, 100, 9000, 9000, 6000, 0, 0, 600, 0, 0, 80, 80),
        PieceCounts("swa", "joint", "", 4000, 100, 2000, 9000, 3300, 30, 45, 600, 1900, 1200, 80, 76, 150),
        PieceCounts("swa", "joint", "", 2000, 100, 2000, 9000, 3600, 30, 45, 600, 1900, 1200, 80, 76, 150),
    ]
    return VocabularyReport(
        rows, [Advice("joint", ["swa", "tha"], 4000, "ሰላም.")], 4000, temperature=2.0, heldout={"swa": "valid"}
    )


def test_a_report_comes_back(tmp_path):
    write_vocabulary_report(tmp_path / NAME, report())
    assert read_vocabulary_report(tmp_path / NAME) == report()
    assert "ሰላም" in (tmp_path / NAME).read_text(encoding="utf-8")


def test_shares_follow_from_the_counts():
    row, unspaced = report().rows[:2]
    assert (row.per_unit, row.per_sentence, row.single_share) == (1.5, 30.0, 0.2)
    assert (row.unknown_piece_share, row.unknown_share) == (0.01, 0.005)
    assert (row.whole_share, row.coverage, row.rare_share) == (1200 / 1900, 0.95, 0.05)
    assert (unspaced.whole_share, unspaced.rare_share) == (None, None)


def test_rows_of_a_language_come_by_size():
    assert [row.size for row in report().of("swa", "joint")] == [2000, 4000]
    assert report().of("swa", "teacher") == []


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda raw: raw.update(format_version=9), "has format 9, this version reads 1; make it again"),
        (lambda raw: raw.pop("rows"), "is not a valid vocabulary report"),
        (lambda raw: raw["rows"][0].update(vocabulary="other"), "'other' is none of student, teacher"),
        (lambda raw: raw["rows"][0].pop("pieces"), "is not a valid vocabulary report"),
        (lambda raw: raw.update(more=1), "is not a valid vocabulary report"),
        (lambda raw: raw["advice"][0].update(more=1), "is not a valid vocabulary report"),
    ],
)
def test_a_damaged_report_says_what_is_wrong(tmp_path, change, said):
    write_vocabulary_report(tmp_path / NAME, report())
    raw = json.loads((tmp_path / NAME).read_text())
    change(raw)
    (tmp_path / NAME).write_text(json.dumps(raw))
    with pytest.raises(DataError, match=said):
        read_vocabulary_report(tmp_path / NAME)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"3", b"\xff", b"{}"])
def test_what_is_no_report(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError, match=NAME):
        read_vocabulary_report(tmp_path / NAME)
    with pytest.raises(DataError, match="does not exist; data_prep/advise_vocabulary.py writes it"):
        read_vocabulary_report(tmp_path / "nowhere.json")
