"""xsim++ equals a loop over all candidates, and sorts its errors by type."""

import json

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.xsim import xsim
from fairseq_distill.evaluation.xsimpp import judge, xsimpp
from fairseq_distill.formats.augmented import Augmented, read_augmented, write_augmented
from tests.reference.mining import best

TARGETS = ["a one", "b two", "c three", "b two", "e five"]
COPIES = Augmented(["a 1", "b 2", "e 5", "no a"], np.array([0, 1, 4, 0]), ["number", "number", "number", "causality"])


def rows(n, copies, seed=1):
    random = np.random.default_rng(seed)
    tgt = random.standard_normal((n, 12)).astype(np.float32)
    return (
        (tgt + 0.6 * random.standard_normal((n, 12))).astype(np.float32),
        tgt,
        np.repeat(tgt, copies, axis=0) + 0.5 * random.standard_normal((n * copies, 12)).astype(np.float32),
    )


@pytest.mark.parametrize("margin", ["absolute", "distance", "ratio"])
def test_equals_a_loop(margin):
    src, tgt, near = rows(30, 3)
    texts = [f"line {i}" for i in range(30)]
    copies = Augmented([f"copy {i}" for i in range(90)], np.repeat(np.arange(30), 3), ["number", "entity", "not"] * 30)
    found = xsimpp(src, tgt, near, texts, copies, margin, 1 if margin == "absolute" else 4)
    expected = {"number": 0, "entity": 0, "not": 0, "misaligned": 0}
    for i, (_, j) in enumerate(best(src, np.concatenate([tgt, near]), 1 if margin == "absolute" else 4, margin)):
        if j >= 30 and (j - 30) // 3 == i:
            expected[copies.kinds[j - 30]] += 1
        elif j != i:
            expected["misaligned"] += 1
    assert found.kinds == expected and min(expected.values()) > 0
    assert found.result.errors == sum(expected.values()) == found.wrong.sum()
    assert found.result.signature.startswith(f"xsim++|margin:{margin}|") and "|n:30|augmented:90|" in str(found.result)
    assert found.result.percent > xsim(src, tgt, margin).percent


def test_errors_by_type_and_copies_of_a_target():
    # right, other copy of the right line, near copy of it, another line, near copy of another
    wrong, kinds = judge(np.array([0, 3, 2, 6, 5]), TARGETS, COPIES)
    assert wrong.tolist() == [False, False, False, True, True]
    assert kinds == {"number": 1, "causality": 0, "misaligned": 1}
    wrong, kinds = judge(np.array([8, 0, 1, 1, 7]), TARGETS, COPIES)
    assert wrong.tolist() == [True, True, True, False, True]
    assert kinds == {"number": 1, "causality": 1, "misaligned": 2}


def test_the_three_files_say_the_same(tmp_path):
    (tmp_path / "laser.json").write_text(
        json.dumps(
            {t: {"src": TARGETS[o], "errtype": k} for t, o, k in zip(COPIES.texts, COPIES.originals, COPIES.kinds)}
        )
    )
    by_original = {
        "a one": {"number": ["a 1"], "causality": ["no a"]},
        "b two": {"number": ["b 2"]},
        "e five": {"number": ["e 5"]},
    }
    (tmp_path / "original.json").write_text(json.dumps(by_original, indent=1))
    write_augmented(tmp_path / "own.tsv", COPIES)
    assert (tmp_path / "own.tsv").read_text().splitlines()[1] == "2\tnumber\tb 2"
    expected = sorted(zip(COPIES.originals.tolist(), COPIES.kinds, COPIES.texts))
    for name in ("laser.json", "original.json", "own.tsv"):
        read = read_augmented(tmp_path / name, TARGETS)
        assert sorted(zip(read.originals.tolist(), read.kinds, read.texts)) == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("6\tnumber\tx\n", "line 6 of a target text of 5 lines"),
        ("0\tnumber\tx\n", "line 0 of a target"),
        ("1\tnumber\n", "line 1: expected"),
        ("1\tnumber\tx\n²\tnumber\ty\n", "line 2: expected"),
        ("3\tnumber\tb two\n", "equal to a target"),
        ('{"x": {"src": "gone", "errtype": "number"}}', "'gone' is not a line"),
        ('{"a one": {"number": "x"}}', "no list of sentences"),
        ('{"a one": ["x"]}', "no JSON object"),
        ('{"a one": {}}', "holds no augmented"),
        ('{"a one": ', "damaged JSON"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, text, said):
    (tmp_path / "file").write_text(text)
    with pytest.raises(DataError, match=said):
        read_augmented(tmp_path / "file", TARGETS)


def test_other_numbers_of_rows_are_refused():
    src, tgt, near = rows(5, 1)
    with pytest.raises(DataError, match="5 rows for 4 augmented"):
        xsimpp(src, tgt, near, TARGETS, COPIES)
    with pytest.raises(DataError, match="5 source rows, 4 target rows"):
        xsimpp(src, tgt[:4], near[:4], TARGETS, COPIES)
