"""Mined pairs are the TSV of LASER's tool: three fields, no quoting, in the order given."""

import hashlib
import os

import numpy as np
import pytest

from fairseq_distill.errors import DataError
from fairseq_distill.formats.mined_pairs import MinedPair, line_hash, read_mined_pairs, write_mined_pairs, write_scores

PAIRS = [
    MinedPair(1.25, 'a "quoted" one', "une \u2028 phrase, avec virgule", 3, 1),
    MinedPair(1.06, "b", "", 1, 12),
    MinedPair(-0.5, " c ", "ሰላም", 2, 2),
]


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tsv.gz"])
@pytest.mark.parametrize("with_ids", [False, True])
def test_pairs_come_back_in_their_order(tmp_path, name, with_ids):
    path = tmp_path / name
    assert write_mined_pairs(path, PAIRS, with_ids) == 3
    found = list(read_mined_pairs(path))
    if not with_ids:
        assert all(pair.source_line is None and pair.target_line is None for pair in found)
        found = [MinedPair(p.score, p.source, p.target, q.source_line, q.target_line) for p, q in zip(found, PAIRS)]
    assert found == PAIRS


def test_the_bytes_are_plain(tmp_path):
    write_mined_pairs(tmp_path / "plain.tsv", PAIRS[:1])
    assert (tmp_path / "plain.tsv").read_text() == '1.250000\ta "quoted" one\tune \u2028 phrase, avec virgule\n'
    write_mined_pairs(tmp_path / "ids.tsv", PAIRS[1:2], with_ids=True)
    assert (tmp_path / "ids.tsv").read_text() == "1.060000\tb\t\t1\t12\n"


def test_provenance_follows_the_line_numbers_and_comes_back(tmp_path):
    pair = MinedPair(1.25, "a\tb", "ሰላም", 3, 1, 0.75)
    write_mined_pairs(tmp_path / "p.tsv", [pair], provenance=True)
    ours, theirs = (hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in ("a\tb", "ሰላም"))
    assert (tmp_path / "p.tsv").read_text() == f"1.250000\ta b\tሰላም\t3\t1\t0.750000\t{ours}\t{theirs}\n"
    assert list(read_mined_pairs(tmp_path / "p.tsv")) == [MinedPair(1.25, "a b", "ሰላም", 3, 1, 0.75, ours, theirs)]
    assert line_hash("a\tb") == ours != line_hash("a b")


def test_a_tab_in_a_sentence_becomes_a_space(tmp_path):
    write_mined_pairs(tmp_path / "p.tsv", [MinedPair(1.0, "a\tb", "\tc")])
    assert list(read_mined_pairs(tmp_path / "p.tsv")) == [MinedPair(1.0, "a b", " c")]


def test_a_line_feed_in_a_sentence_is_a_bug(tmp_path):
    with pytest.raises(ValueError, match="line feed"):
        write_mined_pairs(tmp_path / "p.tsv", [MinedPair(1.0, "a\nb", "c")])
    assert list(tmp_path.iterdir()) == []


def test_scores_as_other_tools_print_them(tmp_path):
    (tmp_path / "p.tsv").write_text("1.0612345678901\ta\tb\n1e-05\tc\td\ninf\te\tf\n")
    assert [pair.score for pair in read_mined_pairs(tmp_path / "p.tsv")] == [1.0612345678901, 1e-05, float("inf")]


@pytest.mark.parametrize(
    "line, said",
    [
        ("1.0\ta", "2 fields instead of score, source, target"),
        ("", "1 fields"),
        ("1.0\ta\tb\t3", "4 fields"),
        ("1.0\ta\tb\t3\t4\t5", "6 fields"),
        ("high\ta\tb", "could not convert string to float: 'high'"),
        ("nan\ta\tb", "the score 'nan' is not a number"),
        ("1.0\ta\tb\tx\t4", "invalid literal for int"),
        (f"1.0\ta\tb\t3\t4\tnan\t{16 * '0'}\t{16 * '0'}", "the cosine 'nan' is not a number"),
        (f"1.0\ta\tb\t3\t4\t0.5\t{16 * '0'}\t{15 * '0'}", "'000000000000000' is not the hash of a line"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path, line, said):
    (tmp_path / "p.tsv").write_text(f"1.5\ta\tb\n{line}\n1.0\ta\tb\n")
    with pytest.raises(DataError, match=f"p.tsv, line 2: {said}"):
        list(read_mined_pairs(tmp_path / "p.tsv"))


def test_pairs_are_read_one_by_one(tmp_path):
    (tmp_path / "p.tsv").write_text("1.5\ta\tb\ndamaged\n")
    assert next(read_mined_pairs(tmp_path / "p.tsv")) == MinedPair(1.5, "a", "b")


def test_scores_are_float32_and_whole(tmp_path):
    write_scores(tmp_path / "s.npy", np.array([1.5, 0.25]))
    found = np.load(tmp_path / "s.npy")
    assert found.dtype == np.float32 and found.tolist() == [1.5, 0.25]


def test_a_full_disk(small_disk):
    pairs = (MinedPair(1.0, os.urandom(50).hex(), "b") for _ in range(2000))
    with pytest.raises(DataError, match="The disk is full"):
        write_mined_pairs(small_disk / "p.tsv", pairs)
    assert list(small_disk.iterdir()) == []
