"""The steps that take long on long text say how far they are, with a total, and so with the time left."""

import json

import deduplicate
import filter_pairs
import hide_pairs
import numpy as np
import pytest

from fairseq_distill.progress import Progress
from tests.seen_progress import ends, seen_progress


@pytest.fixture
def bitext(tmp_path, made_up, write):
    return write(tmp_path / "train", made_up(50))


def test_hide_pairs(bitext, tmp_path, monkeypatch, caplog):
    words = ["--pair", "swa-eng", "--input", str(bitext), "--hide", "5", "--output", str(tmp_path / "out")]
    words += ["--mono", f"swa={bitext}.swa", "--mono", f"eng={bitext}.eng"]
    args = hide_pairs._parser().parse_args(words)
    shown = seen_progress(monkeypatch, caplog, lambda: hide_pairs.main(args))
    assert ends(shown) == {what: (50, 50) for what in ("tidy train.swa", "tidy train.eng", "compare lines")}
    assert [len(numbers) for numbers in shown.values()] == [2, 2, 4], "bitext and monolingual text"


def test_filter_pairs(bitext, tmp_path, monkeypatch, caplog):
    lines = zip(*(open(f"{bitext}.{lang}", encoding="utf-8").read().splitlines() for lang in ("swa", "eng")))
    (tmp_path / "mined.tsv").write_text("".join(f"1.2\t{one}\t{two}\n" for one, two in lines), encoding="utf-8")
    (tmp_path / "dev.eng").write_text("one\ntwo\n")
    words = ["--pair", "swa-eng", "--mined", str(tmp_path / "mined.tsv"), "--exclude", str(tmp_path / "dev.eng")]
    args = filter_pairs._parser().parse_args([*words, "--output", str(tmp_path / "out")])
    monkeypatch.setattr(filter_pairs, "_LINES", 20)
    shown = seen_progress(monkeypatch, caplog, lambda: filter_pairs.main(args))
    parts = ("read", "judge")
    expected = {
        **{f"filter_pairs | {part}": (50, 50) for part in parts},
        "compare lines": (50, 50),
        "evaluation text": (2, 2),
    }
    expected.update({"filter_pairs | near-duplicates": (50, 50), "tidy dev.eng": (2, 2)})
    assert ends(shown) == expected
    assert [one["done"] for one in shown["filter_pairs | judge"]] == [20, 40, 50]
    assert json.loads((tmp_path / "out.counts.json").read_text())["kept"] == 50


def test_deduplicate(bitext, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(deduplicate, "CHUNK_LINES", 20)
    reasons = (np.arange(50) % 3 == 0).astype(np.uint8)
    inputs = [bitext.with_suffix(f".{lang}") for lang in ("eng", "swa")]
    outputs = [tmp_path / lang for lang in ("eng", "swa")]

    def work():
        progress = Progress("deduplicate", 50, unit="lines")
        deduplicate.write_kept(inputs, outputs, tmp_path / "dropped", reasons, np.arange(50), progress)

    shown = seen_progress(monkeypatch, caplog, work)["deduplicate"]
    assert [one["done"] for one in shown] == [20, 40, 50] and shown[0]["eta"] is not None
    assert len(outputs[0].read_text(encoding="utf-8").splitlines()) == 33
