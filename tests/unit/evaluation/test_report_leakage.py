"""The report says of each side of each evaluation set what the audit found, with examples, or that there was none."""

import json
import re

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_leakage import leakage_headline, leakage_section
from fairseq_distill.formats.leakage import NAME, Leakage, NearDuplicate, SetLeakage, read_leakage, write_leakage
from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher
from tests.unit.evaluation.report_example import make_leakage

NASTY = "</li><script>alert(1)</script> & <b>"


def plain(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).strip()


def rows_of(html):
    """The cells of each row of the table."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    return [[plain(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in body.split("</tr>")[:-1]]


def manifest(*sets):
    corpora = [Corpus(name, "distil", "valid", "swa", 10, "v", "v", "eng", "v") for name in sets]
    corpora += [Corpus("mono", "mask", "train", "swa", 10, "t", "t")]
    return Manifest(["swa"], Teacher("file:x", "s", 4, "mean", "eng"), "none", "s", "d", corpora)


def side(lang="swa", lines=100, training=100, hit=0, examples=(), name="dev"):
    return SetLeakage(name, lang, training, Leakage(lines, 0, hit, 10, hit, 0.7, list(examples)))


def test_counts_and_examples_of_each_side():
    example = NearDuplicate(31, 7, 0.8333, "training words", "evaluation words")
    entries = [side(hit=2, examples=[example], training=3000), side("eng", hit=1)]
    html = leakage_section(entries, manifest("dev"))
    assert rows_of(html) == [
        ["dev", "swa", "training", "10", "2 lines, 20.0 %", "0", "2", "100 of 3,000, a sample"],
        ["dev", "eng", "training", "10", "1 line, 10.0 %", "0", "1", "100"],
    ]
    assert "0.83 line 7 evaluation words training words" in plain(html) and html.count("<h3>") == 1
    assert "Jaccard index of 0.7 or more" in plain(html)
    said = plain(leakage_headline(entries, manifest("dev")))
    assert said.startswith("None of 20 evaluation lines is in the training text as it stands; 3 are there almost.")
    assert 'class="warning"' in leakage_headline(entries, None) and 'href="#leakage"' in leakage_headline(entries, None)


def test_mined_text_has_rows_of_its_own():
    example = NearDuplicate(3, 7, 0.9, "mined words", "evaluation words")
    mined = [SetLeakage("dev", "eng", 100, Leakage(100, 1, 1, 10, 2, 0.7, [example]), "mined")]
    html = leakage_section([side(), side("eng")], manifest("dev"), mined)
    assert [row[1:5] for row in rows_of(html)] == [
        ["swa", "training", "10", "audited, none found"],
        ["eng", "training", "10", "audited, none found"],
        ["eng", "mined", "10", "2 lines, 20.0 %"],
    ]
    assert "dev, eng, mined text" in plain(html) and "Mined line" in html and "Training line" not in html
    headline = leakage_headline([side(), side("eng")], manifest("dev"), mined, True)
    assert 'class="warning"' in headline and plain(headline).startswith(
        "Audited for evaluation text in the training text: none found. 2 of 10 evaluation lines are in the mined text, or almost."
    )
    assert "Not audited for evaluation text in the mined text." in leakage_headline([side()], None, None, True)
    only = leakage_section(None, manifest("dev"), mined)
    assert plain(only).startswith("Not audited: there is no leakage.json") and len(rows_of(only)) == 1


def test_none_found_is_not_the_same_as_not_audited():
    entries = [side(), side("eng", lines=0, training=0), side(name="late", lines=0)]
    html = leakage_section(entries, manifest("dev", "late", "new"))
    assert {tuple(row[:2]): row[4] for row in rows_of(html)} == {
        ("dev", "swa"): "audited, none found",
        ("dev", "eng"): "no training text in this language",
        ("late", "swa"): "not audited",
        ("late", "eng"): "not audited",
        ("new", "swa"): "not audited",
        ("new", "eng"): "not audited",
    }
    assert rows_of(html)[-1][5:] == ["–", "–", "–"]
    said = plain(leakage_headline(entries, manifest("dev", "late", "new")))
    assert said.startswith("Audited for evaluation text in the training text: none found. Not audited: 4 of 6 sides")
    assert "Not audited" not in leakage_headline(entries[:2], manifest("dev"))
    assert plain(leakage_section(None, manifest("dev"))).startswith("Not audited: there is no leakage.json")
    assert plain(leakage_headline(None, None)).startswith("Not audited")
    assert "no evaluation set" in leakage_section([], None)


def test_text_of_lines_and_names_stays_text():
    html = leakage_section([side(NASTY, hit=1, name=NASTY, examples=[NearDuplicate(1, 1, 1.0, NASTY, "שלום")])], None)
    assert (
        "<script" not in html
        and "<b>" not in html
        and html.count("&lt;script&gt;alert(1)") == html.count("alert(1)") > 2
    )
    assert '<span class="text" dir="auto"' in html and '<span class="text other" dir="auto"' in html


def test_many_examples_open_on_demand_and_end_somewhere():
    examples = [NearDuplicate(i, i, 0.9, "a", "b") for i in range(1, 7)]
    few, many = ([side(name=f"d{i}", hit=6, examples=examples) for i in range(n)] for n in (2, 300))
    assert "<details>" not in leakage_section(few, None)
    html = leakage_section(many, None)
    assert "<summary>Examples (120)</summary>" in html and "120 of 1,800 examples" in html
    assert len(rows_of(html)) == 200 and "The table ends after 200 rows" in html


def test_the_file_is_read_as_it_was_written(tmp_path):
    entries = make_leakage(["swa", "zul"])
    assert read_leakage(tmp_path) is None
    write_leakage(tmp_path / NAME, entries)
    assert read_leakage(tmp_path) == entries


@pytest.mark.parametrize(
    "change",
    [
        {"identical": 500},
        {"lines": 101},
        {"evaluation_hit": 11},
        {"near": -1},
        {"threshold": 7},
        {"lines": "many"},
        {"examples": [{"line": 1}]},
        {"more": 1},
        {"text": "spoken"},
    ],
)
def test_counts_that_contradict_each_other_are_refused(change, tmp_path):
    write_leakage(tmp_path / NAME, [side(hit=1)])
    raw = json.loads((tmp_path / NAME).read_text())
    (raw[0] if "text" in change else raw[0]["found"]).update(change)
    (tmp_path / NAME).write_text(json.dumps(raw))
    with pytest.raises(DataError, match="leakage.json is not a leakage audit"):
        read_leakage(tmp_path)
