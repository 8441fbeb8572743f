"""What is almost the same in training and evaluation text is counted before any number, and it is said what was looked at."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from leakage import audit_mined, audit_training, leakage_lines, sample

from fairseq_distill.data import near_duplicates
from fairseq_distill.formats.leakage import MINED, NAME, read_leakage, write_leakage
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.manifest import Corpus, Manifest, Teacher
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs

LINE = "the president visited the city of nairobi on monday {}"


def made_up(n, seed):
    draw = np.random.default_rng(seed)
    words = ["".join(draw.choice(list("abcdefghij"), 6)) for _ in range(400)]
    return [" ".join(draw.choice(words, 9)) for _ in range(n)]


@pytest.fixture
def data(tmp_path):
    """(folder, manifest): two training corpora and monolingual text in swa; a valid set with near-duplicates on either side."""
    (tmp_path / "clean").mkdir()

    def corpus(name, kind, split, src, tgt=None):
        (tmp_path / f"clean/{name}.swa").write_text("".join(line + "\n" for line in src))
        made = Corpus(name, kind, split, "swa", len(src), f"bin/{name}.swa", f"clean/{name}.swa")
        if tgt is not None:
            (tmp_path / f"clean/{name}.eng").write_text("".join(line + "\n" for line in tgt))
            made.tgt_lang, made.tgt_text = "eng", f"clean/{name}.eng"
        return made

    swa, eng = made_up(100, 1), made_up(100, 2)
    corpora = [
        corpus("news", "distil", "train", swa[:50], [*eng[:48], LINE.format("morning"), LINE.format("evening")]),
        corpus("web", "distil", "train", swa[50:], eng[50:]),
        corpus("crawl", "mask", "train", [*made_up(30, 3), "ndege " + swa[0]]),
        corpus(
            "dev",
            "distil",
            "valid",
            [swa[60].upper() + "!", *made_up(19, 4)],
            [*made_up(18, 5), LINE.format("noon"), eng[3]],
        ),
    ]
    return tmp_path, Manifest(["swa"], Teacher("file:x", "s", 4, "mean", "eng"), "none", "s", "d", corpora)


def test_both_sides_are_looked_through(data):
    swa, eng = audit_training(*data)
    assert (swa.valid_set, swa.lang, swa.text_lines, swa.found.lines) == ("dev", "swa", 131, 131)
    assert (swa.found.identical, swa.found.near, swa.found.evaluation_hit) == (1, 0, 1)
    assert (eng.lang, eng.text_lines, eng.found.evaluation_lines) == ("eng", 100, 20)
    assert (eng.found.identical, eng.found.near, eng.found.evaluation_hit) == (1, 2, 2)
    assert leakage_lines([swa, eng])[1:] == [
        "dev, swa: 1 of 20 lines have one (1 identical and 0 near among 131 training lines)",
        "dev, eng: 2 of 20 lines have one (1 identical and 2 near among 100 training lines)",
    ]
    write_leakage(data[0] / "leakage.json", [swa, eng])
    assert read_leakage(data[0]) == [swa, eng] and eng.found.examples[0].similarity == 1.0


def test_of_much_text_a_sample_is_looked_through_and_that_is_said(data, monkeypatch):
    swa, _ = audit_training(*data, limit=30)
    assert swa.found.lines == 30 and "among 30 of 131 training lines, sampled)" in leakage_lines([swa])[1]
    ticks = iter(range(0, 10_000, 50))
    monkeypatch.setattr(near_duplicates, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr(near_duplicates, "_CHUNK", 10)
    swa, _ = audit_training(*data, seconds=120)  # 60 s a side, and each look at the clock takes 50
    assert swa.found.lines == 20 and "among 20 of 131" in leakage_lines([swa])[1]


def test_a_sample_is_evenly_over_the_lines():
    lines = [f"{name}{i}" for name, n in (("a", 80), ("b", 20)) for i in range(n)]
    some = sample(iter(lines), 100, 10)
    assert len(some) == 10 and sum(line[0] == "b" for line in some) == 2
    assert some != sorted(some, key=lambda line: (line[0], int(line[1:]))), "shuffled"
    assert sorted(sample(lines, 100, 100)) == sorted(sample(lines, 100, 1000)) == sorted(lines)


def test_mined_pairs_are_looked_through_too(data, tmp_path, monkeypatch, capsys):
    import add_mining

    folder, manifest = data
    dev = read_lines(folder / "clean" / "dev.swa")
    pairs = [
        MinedPair(1.2, dev[4].upper(), "something else"),
        MinedPair(1.1, "ndege", LINE.format("the evening")),
        MinedPair(1.0, "mti", "a tree"),
    ]
    mined = folder / "mined.tsv.gz"
    write_mined_pairs(mined, pairs)
    swa, eng = audit_mined(folder, manifest, mined, ("swa", "eng"))
    assert (swa.text, swa.text_lines, swa.found.identical, swa.found.near, swa.found.evaluation_hit) == (
        "mined",
        3,
        1,
        0,
        1,
    )
    assert (eng.lang, eng.found.identical, eng.found.near, eng.found.evaluation_hit) == ("eng", 0, 1, 1)
    assert [one.lang for one in audit_mined(folder, manifest, mined, ("xho", "eng"))] == ["eng"]
    monkeypatch.setattr(add_mining, "DATA", Path(""))
    monkeypatch.setattr(add_mining.manifest, "read_manifest", lambda path: manifest)
    assert add_mining.audit(folder, ("swa", "eng"))[0].startswith("the mined pairs were not looked through")
    (folder / "manifest.json").touch()
    assert add_mining.audit(folder, ("swa", "eng"))[1:] == [
        "dev, swa: 1 of 20 lines have one (1 identical and 0 near among 3 mined lines)",
        "dev, eng: 1 of 20 lines have one (0 identical and 1 near among 3 mined lines)",
    ]
    assert read_leakage(folder, MINED) == [swa, eng] and read_leakage(folder) is None


def test_it_comes_before_the_numbers(data, monkeypatch, capsys):
    import write_results

    folder, manifest = data
    (folder / "checkpoints").mkdir()
    work = folder / "work"
    work.mkdir()
    (work / "data").symlink_to(folder)
    monkeypatch.setattr(write_results, "read_manifest", lambda path: manifest)
    monkeypatch.setattr(write_results, "read_plan", lambda path: {"seed": 1})
    for name in ("load_student", "open_encoder", "random_student"):
        monkeypatch.setattr(write_results, name, lambda *_: None)
    monkeypatch.setattr(write_results, "judge", lambda *_: [])
    monkeypatch.setattr(write_results, "training_facts", lambda *_: None)
    monkeypatch.setattr(write_results, "write_results", lambda *_: None)
    monkeypatch.setattr(write_results, "print_table", lambda entries: print("the table"))
    write_results.main(write_results.argparse.Namespace(work=str(work), command="", teacher=None))
    said = capsys.readouterr().out
    assert 0 < said.index("dev, eng: 2 of 20 lines have one") < said.index("the table")
    assert (work / NAME).is_file()
