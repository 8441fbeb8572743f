"""recipes/iterate.sh's decisions: the cut, the provenance of each pair, when to stop; and the provenance file."""

import argparse
import json
from dataclasses import replace

import iterate_round
import numpy as np
import pytest
from iterate_round import Round, best_round, choose_cut, decide

from fairseq_distill.errors import DataError
from fairseq_distill.formats.calibration import Calibration, Cut, Setting, write_calibration
from fairseq_distill.formats.provenance import COLUMNS, Provenance, read_provenance, write_provenance
from fairseq_distill.formats.results import Results, XsimEntry, write_results


def one_round(number, xsim, new=50, kept=100, width=1.0):
    return Round(number, "c", xsim, xsim - width, xsim + width, "ratio", 4, 1.1, "precision", 0.9, 0.5, 120, kept, new)


def test_goes_on_only_while_xsim_falls_below_the_interval_of_the_round_before():
    assert decide([one_round(1, 10)], 3, 0.02)[0]
    assert decide([one_round(1, 10), one_round(2, 8.9)], 3, 0.02)[0]
    go_on, why = decide([one_round(1, 10), one_round(2, 9.0)], 3, 0.02)
    assert not go_on and "xsim 9.00 % is not below" in why and "9.00 to 11.00" in why
    assert not decide([one_round(1, 10), one_round(2, 12)], 3, 0.02)[0]


def test_stops_when_little_is_new_or_the_rounds_are_done():
    go_on, why = decide([one_round(1, 10), one_round(2, 5, new=1)], 3, 0.02)
    assert not go_on and "1 of 100 pairs are new, fewer than 2 %" in why
    assert decide([one_round(1, 10), one_round(2, 5, new=2)], 3, 0.02)[0]
    go_on, why = decide([one_round(1, 10)], 1, 0.0)
    assert not go_on and "--max-rounds" in why


def test_the_best_round_is_the_first_with_the_lowest_xsim():
    assert best_round([one_round(1, 10), one_round(2, 7), one_round(3, 7)]).number == 2


def cut(threshold, f1, recall=0.5, precision=0.9):
    return Cut(threshold, 10, 10, 5, precision, recall, f1)


def calibration(*settings):
    return Calibration("swa-eng", 10, 5, [50, 50], "max", 0.9, list(settings))


def test_the_cut_reaches_the_precision_with_the_highest_recall_or_is_the_best_f1():
    first = Setting("ratio", 4, cut(1.1, 0.9), cut(1.2, 0.7, recall=0.4))
    second = Setting("distance", 8, cut(0.1, 0.8), cut(0.2, 0.7, recall=0.6))
    assert choose_cut(calibration(first, second))[0] is second
    assert choose_cut(calibration(first, second))[1:] == (second.at_precision, "precision")
    without = [replace(setting, at_precision=None) for setting in (first, second)]
    assert choose_cut(calibration(*without)) == (without[0], first.best_f1, "best F1")


PAIRS = [
    Provenance(1, 1.25, 0.8, "a b.swa", 3, "x.eng", 9, "0123456789abcdef", "neno moja", "one word"),
    Provenance(2, 1.5, -0.25, "a b.swa", 4, "x.eng", 1, "0123456789abcdef", "a\tb", "c"),
]


def test_provenance_comes_back(tmp_path):
    path = tmp_path / "p.tsv"
    assert write_provenance(path, PAIRS) == 2
    assert path.read_text().splitlines()[0].split("\t") == list(COLUMNS)
    assert list(read_provenance(path)) == [PAIRS[0], replace(PAIRS[1], source="a b")]
    assert write_provenance(path, []) == 0 and list(read_provenance(path)) == []


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("round\t", "rounds\t", "instead of the columns"),
        ("\tone word", "", "line 2: 9 fields instead of 10"),
        ("1.250000", "nan", "line 2: .nan. is not a finite"),
        ("\t3\t", "\tthree\t", "line 2: invalid literal"),
    ],
)
def test_a_damaged_provenance_is_refused(tmp_path, old, new, words):
    path = tmp_path / "p.tsv"
    write_provenance(path, PAIRS)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        list(read_provenance(path))


def finished_round(work, number, lines, xsim):
    """The files that a round leaves before iterate_round.py finish: ``lines`` are (source, target) line numbers from 1."""
    folder = work / f"round-{number}"
    (folder / "student" / "checkpoints").mkdir(parents=True)
    (folder / "calibration").mkdir()
    (folder / "student" / "checkpoints" / "checkpoint_best.pt").write_bytes(b"weights %d" % number)
    entry = XsimEntry(
        "student", "dev", "swa", "eng", "distance", 4, 100, xsim, float(xsim), xsim - 1.0, xsim + 1.0, "s"
    )
    write_results(folder / "student", Results(xsim=[entry]))
    write_calibration(folder / "calibration" / "calibration.json", calibration(Setting("ratio", 4, cut(1.1, 0.9))))
    for lang, seed in (("swa", 1), ("eng", 2)):
        vectors = np.random.default_rng(seed).normal(size=(5, 4)).astype(np.float32)
        np.save(folder / "calibration" / f"mono.{lang}.npy", vectors)
        column = 0 if lang == "swa" else 1
        (folder / f"mined.{lang}").write_text("".join(f"{lang} line {pair[column]}\n" for pair in lines))
    (folder / "mined.lines.tsv").write_text("".join(f"1.{i}00000\t{a}\t{b}\n" for i, (a, b) in enumerate(lines)))
    (folder / "mined.counts.json").write_text(
        json.dumps({"in": 9, "kept": len(lines), "dropped": {"known": 9 - len(lines)}})
    )


def finish(work, number, **options):
    words = {"work": str(work), "round": number, "pair": "swa-eng", "max_rounds": 3, "min_new_share": 0.02, **options}
    iterate_round.finish(argparse.Namespace(**words))


@pytest.fixture
def work(tmp_path):
    (tmp_path / "text").mkdir()
    for lang in ("swa", "eng"):
        origins = "".join(f"/corpora/crawl.{lang}\t{10 * i}\n" for i in range(1, 6))
        (tmp_path / "text" / f"mono.{lang}.origin.tsv").write_text(origins)
    return tmp_path


@pytest.mark.parametrize(
    "file, text, said",
    [
        ("round-1/mined.lines.tsv", "1.25\t6\t2\n1.1\t3\t4\n", "names line 6 of swa, of 5 vectors and 5 origins"),
        ("round-1/mined.lines.tsv", "1.25\t1\t2\n1.1\t3", "line 2: 2 fields instead of 3"),
        ("text/mono.eng.origin.tsv", "x\t1\n" * 4, "of 5 vectors and 4 origins"),
        ("text/mono.eng.origin.tsv", "x\t1\n" * 4 + "x\t", "line 5: invalid literal"),
        ("round-1/mined.counts.json", "[]", "must be an object, but is a list"),
    ],
)
def test_files_of_a_round_that_do_not_belong_together(work, file, text, said):
    finished_round(work, 1, [(1, 2), (3, 4)], xsim=20)
    (work / file).write_text(text)
    with pytest.raises(DataError, match=said):
        finish(work, 1)
    assert not (work / "iterate.json").exists()


def test_a_round_knows_which_pairs_are_new(work, capsys):
    finished_round(work, 1, [(1, 2), (3, 4)], xsim=20)
    finish(work, 1)
    assert "go on: 2 of 2 pairs are new" in capsys.readouterr().out
    finished_round(work, 2, [(3, 4), (5, 5), (1, 1)], xsim=10)
    finish(work, 2)
    assert "go on: 2 of 3 pairs are new" in capsys.readouterr().out
    pairs = list(read_provenance(work / "round-2" / "mined.tsv"))
    assert [pair.round for pair in pairs] == [1, 2, 2]
    assert pairs[0].place == ("/corpora/crawl.swa", 30, "/corpora/crawl.eng", 40)
    assert pairs[0].checkpoint != next(read_provenance(work / "round-1" / "mined.tsv")).checkpoint
    assert (pairs[0].source, pairs[0].target) == ("swa line 3", "eng line 4")
    state = json.loads((work / "iterate.json").read_text())
    assert [one["new"] for one in state["rounds"]] == [2, 2] and state["best_round"] == 2 and state["stopped"] is None
    assert (work / "mined.tsv").read_text() == (work / "round-2" / "mined.tsv").read_text()
    assert (work / "checkpoint_best.pt").read_bytes() == b"weights 2"


def test_a_worse_round_stops_the_loop_and_is_not_the_result(work, capsys):
    finished_round(work, 1, [(1, 2)], xsim=20)
    finish(work, 1)
    finished_round(work, 2, [(1, 2), (3, 3)], xsim=19)
    finish(work, 2)
    assert "stop: xsim 19.00 %" in capsys.readouterr().out
    assert (work / "checkpoint_best.pt").read_bytes() == b"weights 2", (
        "19 is lower, though not by more than the interval"
    )
    finish(work, 2)  # again, as after a kill: the same
    assert len(json.loads((work / "iterate.json").read_text())["rounds"]) == 2


def test_a_round_that_lacks_the_one_before_is_refused(work):
    finished_round(work, 2, [(1, 2)], xsim=20)
    with pytest.raises(DataError, match="knows 0 rounds before round 2"):
        finish(work, 2)


def test_sides_that_do_not_fit_are_refused(work):
    finished_round(work, 1, [(1, 2), (2, 2)], xsim=20)
    (work / "round-1" / "mined.eng").write_text("only one\n")
    with pytest.raises(DataError, match="2 lines but the bitext 2 and 1"):
        finish(work, 1)
