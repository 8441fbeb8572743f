"""The BUCC protocol: halves, a threshold from one, F1 of the other as a loop counts it."""

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.bucc import all_known, bucc_f1, halves
from fairseq_distill.formats.bucc import BuccSet, read_bucc
from tests.reference.mining import mine


def example(n=70, m=60, gold=41, seed=1):
    random = np.random.default_rng(seed)
    src, tgt = random.standard_normal((n, 8)), random.standard_normal((m, 8))
    pairs = np.stack([random.choice(n, gold, replace=False), random.choice(m, gold, replace=False)], axis=1)
    tgt[pairs[:, 1]] = src[pairs[:, 0]] + 0.7 * random.standard_normal((gold, 8))
    bucc = BuccSet([f"s{i}" for i in range(n)], [f"t{i}" for i in range(m)], pairs)
    return bucc, src.astype(np.float32), tgt.astype(np.float32)


def test_halves_share_nothing_and_leave_nothing_out():
    bucc, _, _ = example()
    train, test = halves(bucc)
    for side, n in ((0, 70), (1, 60)):
        assert sorted([*train[side], *test[side]]) == list(range(n))
    back = [(half[0][i], half[1][j]) for half in (train, test) for i, j in half[2]]
    assert sorted(back) == sorted(map(tuple, bucc.gold)) and (len(train[2]), len(test[2])) == (20, 21)
    again, other = halves(bucc), halves(bucc, 2)
    assert (again[0][0] == train[0]).all() and other[0][0].tolist() != train[0].tolist()


@pytest.mark.parametrize("margin", ["absolute", "ratio"])
@pytest.mark.parametrize("retrieval", ["max", "intersect"])
def test_equals_a_loop(margin, retrieval):
    bucc, src, tgt = example()
    found = bucc_f1(src, tgt, bucc, margin, 4, retrieval)
    counted = []
    for half in halves(bucc):
        gold = set(map(tuple, half[2].tolist()))
        k = 4 if margin != "absolute" else 1
        mined = mine(src[half[0]], tgt[half[1]], k, margin, retrieval, -9)
        counted.append((gold, mined))
    scores = []
    for gold, mined in counted[:1]:
        for kept in range(1, len(mined) + 1):
            right = sum((i, j) in gold for _, i, j in mined[:kept])
            scores.append(2 * right / (kept + len(gold)))
    assert found.train_f1 == pytest.approx(100 * max(scores))
    gold, mined = counted[1]
    kept = [(i, j) for score, i, j in mined if score > found.threshold]
    right = len(gold & set(kept))
    assert (found.pairs, found.right, found.gold) == (len(kept), right, len(gold)) and 0 < right < len(kept)
    assert found.f1 == pytest.approx(200 * right / (len(kept) + len(gold)))
    assert (found.precision, found.recall) == pytest.approx((100 * right / len(kept), 100 * right / len(gold)))
    assert found.low < found.f1 < found.high
    assert (
        found.signature.startswith(f"bucc-f1|margin:{margin}|k:4|retrieval:{retrieval}|")
        and "|seed:1|" in found.signature
    )


def test_copies_of_a_target_line_count():
    bucc, src, tgt = example()
    half = halves(bucc)[1]
    i, j = half[2][0]
    free = next(row for row in half[1] if row not in bucc.gold[:, 1])
    bucc.tgt[free] = bucc.tgt[half[1][j]]
    known = all_known(bucc, half)
    assert known.partner[i] == known.tgt_text[j] == known.tgt_text[list(half[1]).index(free)]
    assert (known.src_unit >= 0).all() and (known.tgt_unit >= 0).all()
    assert len(set(known.src_unit) | set(known.tgt_unit)) == known.units


def write(folder, src="f1\tun\nf2\tdeux\nf3\ttrois\n", tgt="e1\tone\ne2\ttwo\n", gold="f1\te1\nf3\te2\n"):
    for lang, text in (("fra", src), ("eng", tgt), ("gold", gold)):
        (folder / f"set.{lang}").write_text(text)
    return folder / "set"


def test_reads_three_files(tmp_path):
    bucc = read_bucc(write(tmp_path), "fra", "eng")
    assert (bucc.src, bucc.tgt, bucc.gold.tolist()) == (["un", "deux", "trois"], ["one", "two"], [[0, 0], [2, 1]])


@pytest.mark.parametrize(
    "files, said",
    [
        ({"src": "f1 un\n"}, "line 1: expected id"),
        ({"src": "f1\tun\nf1\tdeux\n"}, "line 2: the id 'f1' stands in line 1"),
        ({"gold": "f1\te9\n"}, "line 1: 'e9' is no id of .*eng"),
        ({"gold": "f1\te1\nf2\te1\n"}, "line 2: 'e1' is in the pair of line 1"),
        ({"gold": "f1\te1\n"}, "1 pairs; two halves"),
        ({"gold": "f1\n"}, "line 1: expected source id"),
        ({"tgt": ""}, "is empty"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, files, said):
    with pytest.raises(DataError, match=said):
        read_bucc(write(tmp_path, **files), "fra", "eng")


def test_other_numbers_of_rows_are_refused():
    bucc, src, tgt = example()
    with pytest.raises(DataError, match="69 and 60 rows for 70 and 60"):
        bucc_f1(src[1:], tgt, bucc)
