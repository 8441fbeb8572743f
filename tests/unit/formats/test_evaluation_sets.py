"""Evaluation sets are found as they are published."""

import pytest

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.evaluation_sets import find_sets


def make(root, *names, lines=3):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name} {i}\n" for i in range(lines)))
    return root


def test_flores(tmp_path):
    root = make(
        tmp_path / "flores200_dataset",
        "dev/eng_Latn.dev", "dev/swh_Latn.dev", "devtest/eng_Latn.devtest", "devtest/swh_Latn.devtest",
        "devtest/zho_Hans.devtest", "metadata_dev.tsv", "README",
    )  # fmt: skip
    dev, devtest = find_sets(root)
    assert (dev.name, devtest.name) == ("flores200_dataset-dev", "flores200_dataset-devtest")
    assert dev.layout == "flores" and list(devtest.files) == ["eng_Latn", "swh_Latn", "zho_Hans"]
    assert devtest.files["swh_Latn"] == root / "devtest" / "swh_Latn.devtest" and devtest.require_even() == 3
    (only,) = find_sets(root / "devtest")
    assert only == devtest
    assert [one.name for one in find_sets(root, "flores")] == ["flores-dev", "flores-devtest"]
    assert find_sets(root / "dev", "mine")[0].name == "mine"


def test_ntrex(tmp_path):
    names = [
        "newstest2019-src.eng.txt",
        "newstest2019-ref.swa.txt",
        "newstest2019-ref.fra-CA.txt",
        "newstest2019-ref.srp-Cyrl.txt",
    ]
    root = make(
        tmp_path / "NTREX",
        *(f"NTREX-128/{name}" for name in [*names, "newstest2019-ref.srp-Latn.txt"]),
        "LANGUAGES.tsv",
    )
    (outer,), (inner,) = find_sets(root), find_sets(root / "NTREX-128")
    assert outer.files == inner.files and outer.name == "NTREX" and outer.layout == "ntrex"
    assert sorted(outer.files) == ["eng", "fra-CA", "srp-Cyrl", "srp-Latn", "swa"]
    assert (outer.find("fra"), outer.find("swa_Latn"), outer.find("srp_Latn"), outer.find("xho")) == (
        "fra-CA",
        "swa",
        "srp-Latn",
        None,
    )
    with pytest.raises(ConfigError, match="srp-Cyrl, srp-Latn: say which"):
        outer.find("srp")


def test_pairs(tmp_path):
    root = make(
        tmp_path / "tatoeba",
        "deu-eng/test.deu",
        "deu-eng/test.eng",
        "swh-eng/test.swh",
        "swh-eng/test.eng",
        "notes/x.eng",
    )
    sets = find_sets(root)
    assert [one.name for one in sets] == ["tatoeba-deu-eng", "tatoeba-swh-eng"] and sets[0].layout == "pair"
    assert list(sets[1].files) == ["swh", "eng"]
    assert find_sets(root / "deu-eng") == sets[:1]
    make(root, "swh-eng/dev.swh", "swh-eng/dev.eng", "swh-eng/odd.swh")
    assert [one.name for one in find_sets(root)][1:] == ["tatoeba-swh-eng-dev", "tatoeba-swh-eng-test"]


def test_a_prefix(tmp_path):
    make(tmp_path, "news.eng", "news.swa", "news.zul_Latn", "news.NOTES", "news.eng.npy", "newsletter.eng")
    (found,) = find_sets(tmp_path / "news")
    assert (found.name, sorted(found.files)) == ("news", ["eng", "swa", "zul_Latn"])


def test_what_is_no_set_is_refused(tmp_path):
    for path in (
        tmp_path,
        tmp_path / "gone",
        make(tmp_path / "one", "dev/eng_Latn.txt"),
        make(tmp_path, "alone.eng") / "alone",
    ):
        with pytest.raises(DataError, match="holds no evaluation set"):
            find_sets(path)
    make(tmp_path, "odd.eng")
    make(tmp_path, "odd.swa", lines=2)
    with pytest.raises(DataError, match="3 lines but .*odd.swa has 2"):
        find_sets(tmp_path / "odd")[0].require_even()
    make(tmp_path, "empty.eng", "empty.swa", lines=0)
    with pytest.raises(DataError, match="0 lines"):
        find_sets(tmp_path / "empty")[0].require_even()
