"""A folder of corpora: what is found, counted, called by another code, left out."""

import gzip
import json

import pytest
from corpora_root import judged, lines_by_language, pairs_by_language, scan
from plan_family import refuse_licences

from fairseq_distill.errors import DataError


@pytest.fixture
def root(tmp_path, add_pairs):
    bitext = tmp_path / "data" / "bitext"
    add_pairs(bitext, "news", "eng-swa", "train", 60)
    add_pairs(bitext, "news", "eng-swa", "dev", 51)
    add_pairs(bitext, "news", "fra-swa", "train", 5)
    add_pairs(bitext, "tales", "swh-eng", "train", 7)
    add_pairs(bitext, "tales", "eng-swa", "dev", 9)
    add_pairs(bitext, "health", "eng-dik", "train", 4)
    add_pairs(bitext, "family", "swa-kik", "train", 3)
    (tmp_path / "data" / "mono").mkdir()
    with gzip.open(tmp_path / "data" / "mono" / "swa.txt.gz", "wt") as stream:
        stream.write("moja\nmbili\n")
    (tmp_path / "data" / "licences.tsv").write_text("news\tCC-BY-NC-ND-4.0\ntales\tCC-BY-4.0\n")
    return tmp_path / "data"


def summary(corpora):
    return sorted((c.corpus, c.pair, c.lang, c.train_lines, c.dev_lines, bool(c.reason)) for c in corpora)


def test_what_fits_the_languages_is_found(root):
    expected = [
        ("mono", "swa", "swa", 2, 0, False),
        ("news", "eng-swa", "swa", 60, 51, False),
        ("news", "fra-swa", "swa", 5, 0, True),
        ("tales", "eng-swa", "swa", 0, 9, False),
        ("tales", "eng-swh", "swa", 7, 0, False),
    ]
    found = scan(root, ["swa", "kik"], ["eng"])
    assert summary(found) == expected
    assert summary(scan(root / "bitext", ["swa", "kik"], ["eng"])) == expected
    assert pairs_by_language(found) == {"swa": 67} and lines_by_language(found) == {"swa": 2}
    assert [c.corpus for c in judged(found)] == ["news"]
    assert {c.corpus for c in scan(root, ["swa"], ["eng", "fra"]) if c.reason} == {"family"}  # Kikuyu is no teacher's
    assert summary(scan(root, ["din"], ["eng"])) == [("health", "eng-dik", "din", 4, 0, False)]


def test_only_the_corpora_that_are_named(root):
    assert {c.corpus for c in scan(root, ["swa"], ["eng"], ["tales"])} == {"tales"}


def test_a_licence_that_is_not_allowed_keeps_a_corpus_out(root):
    found = scan(root, ["swa", "din"], ["eng"])
    refuse_licences(found, ["open"])
    kept = {(c.corpus, c.licence) for c in found if not c.reason}
    assert kept == {("tales", "CC-BY-4.0")}  # health states none, news is not for commercial use
    assert any("licence not stated" in c.reason for c in found)


def test_a_downloads_own_record_says_its_licence(root, add_pairs):
    folder = add_pairs(root / "bitext", "OPUS-x-v1-eng-swa", "eng-swa", "train", 3)
    (folder / "corpus.json").write_text(json.dumps({"licence": "CC0-1.0"}))
    assert [c.licence for c in scan(root, ["swa"], ["eng"], ["OPUS-x-v1-eng-swa"])] == ["CC0-1.0"]


def test_sides_that_do_not_match(root):
    (root / "bitext" / "news" / "eng-swa" / "train.swa").write_text("one\n")
    with pytest.raises(DataError, match=r"train\.eng has 60 lines but .*train\.swa has 1"):
        scan(root, ["swa"], ["eng"])
    (root / "bitext" / "news" / "eng-swa" / "train.swa").unlink()
    with pytest.raises(DataError, match=r"train\.swa is missing or empty, but its other side is there"):
        scan(root, ["swa"], ["eng"])


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="is no folder; DATA_ROOT must name one"):
        scan(tmp_path / "nowhere", ["swa"], ["eng"])
