"""Mining files: equal to the slow reference, the right lines, and one clear refusal for what does not fit."""

import gzip
import os
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.embeddings import EmbeddingInfo, write_info
from fairseq_distill.formats.mined_pairs import read_mined_pairs
from fairseq_distill.formats.mining_record import read_record
from fairseq_distill.mining import pairs as module
from fairseq_distill.mining.job import distinct_lines, pair_cosines
from fairseq_distill.mining.knn import knn_both
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.mining.matching import RETRIEVALS
from fairseq_distill.mining.pairs import mine, mine_embeddings
from fairseq_distill.mining.search import Found, choose_search
from tests.reference import mining as reference


def planted(n, m, dim, seed):
    """Rows 0, 2, 4, ... of both sides belong together."""
    random = np.random.default_rng(seed)
    src = random.standard_normal((n, dim)).astype(np.float32)
    tgt = random.standard_normal((m, dim)).astype(np.float32)
    half = min(n, m) // 2
    tgt[: 2 * half : 2] = src[: 2 * half : 2] + 0.3 * tgt[: 2 * half : 2]
    return src, tgt


class Corpus:
    """Two texts with embeddings in a folder; ``mine`` runs on them."""

    def __init__(self, folder, src, tgt, src_lines=None, tgt_lines=None):
        self.folder = folder
        self.paths = [folder / name for name in ("src.txt", "tgt.txt", "src.npy", "tgt.npy")]
        self.output = folder / "mined.tsv"
        self.src_lines = src_lines or [f"source {i}" for i in range(len(src))]
        self.tgt_lines = tgt_lines or [f"target {i}" for i in range(len(tgt))]
        for path, lines in zip(self.paths, (self.src_lines, self.tgt_lines)):
            path.write_bytes("".join(line + "\n" for line in lines).encode())
        np.save(self.paths[2], src)
        np.save(self.paths[3], tgt)

    def mine(self, **options):
        return mine(*self.paths, options.pop("output", self.output), **options)

    def pairs(self):
        return list(read_mined_pairs(self.output))


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path, *planted(60, 50, 8, 1))


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("threshold", [-9.0, None])
def test_every_margin_and_retrieval_equals_the_slow_reference(tmp_path, margin, retrieval, threshold):
    src, tgt = planted(60, 50, 8, 1)
    corpus = Corpus(tmp_path, src, tgt)
    result = corpus.mine(margin=margin, retrieval=retrieval, threshold=threshold, k=4, with_ids=True)
    least = defaults.MARGIN_THRESHOLD if threshold is None and margin == "ratio" else -np.inf
    slow = reference.mine(src, tgt, 4, margin, retrieval, least)
    pairs = corpus.pairs()
    assert [(pair.source, pair.target) for pair in pairs] == [(f"source {i}", f"target {j}") for _, i, j in slow]
    assert [(pair.source_line, pair.target_line) for pair in pairs] == [(i + 1, j + 1) for _, i, j in slow]
    assert_allclose([pair.score for pair in pairs], [score for score, _, _ in slow], rtol=1e-5, atol=2e-6)
    assert result.pairs == len(slow) > 10


def test_threshold_is_strictly_exceeded_by_every_retrieval():
    src, tgt = planted(60, 50, 8, 2)
    for retrieval in RETRIEVALS:
        every, _ = mine_embeddings(src, tgt, margin="distance", retrieval=retrieval)
        middle = every.scores[len(every) // 2]
        kept, _ = mine_embeddings(src, tgt, margin="distance", retrieval=retrieval, threshold=float(middle))
        assert 0 < len(kept) < len(every)
        assert_array_equal(kept.scores, every.scores[every.scores > middle])


def test_planted_pairs_are_found_and_swapping_the_sides_swaps_them():
    src, tgt = planted(300, 300, 32, 3)
    pairs, _ = mine_embeddings(src, tgt)
    swapped, _ = mine_embeddings(tgt, src)
    found = set(zip(pairs.src.tolist(), pairs.tgt.tolist()))
    assert found >= {(i, i) for i in range(0, 300, 2)}
    assert found == set(zip(swapped.tgt.tolist(), swapped.src.tolist()))


def test_repeated_and_blank_lines_are_left_out_and_line_numbers_count_in_the_file(tmp_path):
    src, tgt = planted(40, 40, 16, 1)
    src_lines, tgt_lines = [f"s{i}" for i in range(40)], [f"t{i}" for i in range(40)]
    for i in (5, 9):  # copies of line 4, with its vector
        src_lines[i], src[i] = src_lines[4], src[4]
    src_lines[7] = src_lines[11] = "  \u00a0"
    tgt_lines[3] = ""
    corpus = Corpus(tmp_path, src, tgt, src_lines, tgt_lines)
    result = corpus.mine(threshold=-9, with_ids=True)
    assert (result.src_lines, result.src_searched, result.tgt_searched) == (40, 36, 39)
    some, others = np.delete(np.arange(40), [5, 7, 9, 11]), np.delete(np.arange(40), [3])
    slow = reference.mine(src[some], tgt[others], 4, "ratio", "max", -9)
    found = [(pair.source_line, pair.target_line) for pair in corpus.pairs()]
    assert found == [(some[i] + 1, others[j] + 1) for _, i, j in slow]
    assert corpus.mine(threshold=-9, unify=False).src_searched == 40


def test_distinct_lines(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("b\na\n\nb\r\n a\na\n\t\nc\u2028d\nc".encode())
    first, stands = distinct_lines(path)
    assert_array_equal(first, [0, 1, 4, 7, 8])
    assert_array_equal(stands, [0, 1, -1, 0, 2, 1, -1, 3, 4])


def test_distinct_lines_across_buffers(tmp_path, monkeypatch):
    monkeypatch.setattr("fairseq_distill.mining.job._LINES_AT_A_TIME", 3)
    path = tmp_path / "text"
    words = np.random.default_rng(1).integers(0, 30, 200).tolist()
    path.write_text("".join(f"{word}\n" for word in words))
    first, stands = distinct_lines(path)
    assert_array_equal(first, sorted(words.index(word) for word in set(words)))
    assert_array_equal(first[stands], [words.index(word) for word in words])


def test_cosines_of_pairs_equal_those_one_by_one():
    rng = np.random.default_rng(1)
    src, tgt = rng.normal(size=(7, 5)).astype(np.float16), rng.normal(size=(9, 5)).astype(np.float32)
    tgt[3] = 0
    rows = np.array([[0, 8], [6, 0], [2, 3], [2, 2]])
    expected = [reference.cosine(src[i], tgt[j]) for i, j in rows]
    assert_allclose(pair_cosines(src, tgt, rows[:, 0], rows[:, 1]), expected, atol=1e-6)
    assert len(pair_cosines(src, tgt, rows[:0, 0], rows[:0, 1])) == 0


def test_output_is_the_same_packed_and_on_every_run(corpus):
    corpus.mine(threshold=-9)
    first = corpus.output.read_bytes()
    corpus.mine(threshold=-9)
    assert corpus.output.read_bytes() == first
    packed = corpus.folder / "mined.tsv.gz"
    corpus.mine(threshold=-9, output=packed)
    assert gzip.decompress(packed.read_bytes()) == first
    once = packed.read_bytes()
    corpus.mine(threshold=-9, output=packed)
    assert packed.read_bytes() == once


def test_raw_files_float16_and_gzip_text(tmp_path):
    src, tgt = planted(60, 50, 8, 1)
    corpus = Corpus(tmp_path, src.astype(np.float16), tgt.astype(np.float16))
    corpus.mine(threshold=-9)
    expected = corpus.output.read_bytes()
    for at, (text, raw, rows) in enumerate((("src.txt.gz", "src.raw", src), ("tgt.txt.gz", "tgt.raw", tgt))):
        (tmp_path / text).write_bytes(gzip.compress(corpus.paths[at].read_bytes()))
        rows.astype(np.float16).tofile(tmp_path / raw)
        corpus.paths[at], corpus.paths[at + 2] = tmp_path / text, tmp_path / raw
    corpus.mine(threshold=-9, dim=8, dtype="float16")
    assert corpus.output.read_bytes() == expected
    with pytest.raises(DataError, match="60 lines but .* has 120 vectors"):
        corpus.mine(dim=4, dtype="float16")
    with pytest.raises(DataError, match="--dim"):
        corpus.mine()
    with pytest.raises(DataError, match="no whole number"):
        corpus.mine(dim=7, dtype="float16")


def test_scores_file_holds_the_best_of_every_sentence(corpus):
    corpus.mine(scores=corpus.folder / "scores.npy", threshold=1.3)
    scores = np.load(corpus.folder / "scores.npy")
    assert scores.shape == (110,) and scores.dtype == np.float32
    assert scores.min() < 1.3 < scores.max()


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("retrieval, sides", [("fwd", [60]), ("bwd", [50]), ("intersect", [60, 50]), ("max", [60, 50])])
def test_scores_are_of_the_sides_that_the_retrieval_looks_at(margin, retrieval, sides):
    src, tgt = planted(60, 50, 8, 1)
    _, scores = mine_embeddings(src, tgt, margin=margin, retrieval=retrieval)
    assert len(scores) == sum(sides)


def test_a_sentence_without_found_neighbours_has_no_score(monkeypatch):
    src, tgt = planted(6, 6, 8, 1)
    forward, backward = knn_both(src, tgt, 2)
    forward.indices[4], forward.cosines[4] = -1, -np.inf
    monkeypatch.setattr(module, "find_neighbours", lambda *_, **__: Found(forward, backward, "approximate"))
    pairs, scores = mine_embeddings(src, tgt, k=2)
    assert len(scores) == 11 and np.isfinite(scores).all() and (pairs.src >= 0).all()


@pytest.mark.parametrize("retrieval", ["fwd", "bwd"])
def test_one_direction_alone_searches_the_distinct_lines_of_each_side(tmp_path, retrieval):
    """The absolute margin needs no other direction; which lines take part, and the names in errors, go with their sides."""
    src, tgt = planted(30, 20, 8, 1)
    lines = [f"s{i}" for i in range(30)]
    lines[2] = lines[9] = ""
    corpus = Corpus(tmp_path, src, tgt, src_lines=lines)
    corpus.mine(margin="absolute", retrieval=retrieval, with_ids=True)
    there = np.delete(np.arange(30), [2, 9])
    slow = reference.mine(src[there], tgt, 4, "absolute", retrieval, -np.inf)
    assert [(p.source_line, p.target_line) for p in corpus.pairs()] == [(there[i] + 1, j + 1) for _, i, j in slow]
    src[5, 0] = np.nan
    np.save(corpus.paths[2], src)
    with pytest.raises(DataError, match=re.escape(str(corpus.paths[2]))):
        corpus.mine(margin="absolute", retrieval=retrieval)


def test_the_largest_exact_search():
    work = int(defaults.EXACT_WORK)
    assert choose_search("auto", 1, work, 1) == "exact" and choose_search("auto", 2, work, 1) == "approximate"


def test_more_neighbours_than_sentences(tmp_path, caplog):
    src, tgt = planted(3, 2, 8, 1)
    corpus = Corpus(tmp_path, src, tgt)
    assert corpus.mine(threshold=-9, k=4).pairs == 2
    assert "k=4 is more than the 2 sentences" in caplog.text


def test_weak_neighbourhoods_are_told(caplog):
    random = np.random.default_rng(1)
    src, tgt = (random.standard_normal((8, 4)).astype(np.float32) for _ in range(2))
    mine_embeddings(np.abs(src), -np.abs(tgt))
    assert "16 of 16 sentences have neighbours of a mean cosine below 0.01" in caplog.text
    caplog.clear()
    mine_embeddings(np.abs(src), -np.abs(tgt), margin="distance")  # which divides by nothing
    assert caplog.text == ""


def test_a_lost_line_is_refused_with_both_numbers(corpus):
    lines = corpus.paths[0].read_bytes().splitlines(keepends=True)
    corpus.paths[0].write_bytes(b"".join(lines[:-1]))
    for unify in (True, False):
        with pytest.raises(DataError, match=r"59 lines but .*src\.npy has 60 vectors"):
            corpus.mine(unify=unify)
    assert not corpus.output.exists()


def test_another_teacher_space_or_text_is_refused_unless_forced(corpus):
    write_info(corpus.paths[2], EmbeddingInfo("student:1", "sbert:a", "laser-1", sha256_file(corpus.paths[0])))
    write_info(corpus.paths[3], EmbeddingInfo("sbert:b", "sbert:b", "laser-1"))
    with pytest.raises(DataError, match="sbert:a but .* in sbert:b"):
        corpus.mine()
    write_info(corpus.paths[3], EmbeddingInfo("sbert:a", "sbert:a", "laser-1"))
    corpus.mine()
    corpus.paths[0].write_bytes(b"".join(sorted(corpus.paths[0].read_bytes().splitlines(keepends=True), reverse=True)))
    with pytest.raises(DataError, match="made from another text"):
        corpus.mine()
    corpus.mine(force=True)


def test_not_a_number_is_refused_by_file_and_line(corpus):
    rows = np.load(corpus.paths[3])
    rows[12, 3] = np.nan
    np.save(corpus.paths[3], rows)
    with pytest.raises(DataError, match=r"tgt\.npy: row 12 \(line 13\) holds NaN"):
        corpus.mine()
    assert not list(corpus.folder.glob("mined*"))


def test_what_cannot_work_is_refused_before_the_work(corpus, monkeypatch):
    monkeypatch.setattr(module, "find_neighbours", None)  # the work, which none of these gets to
    with pytest.raises(DataError, match="no folder"):
        corpus.mine(output=corpus.folder / "missing" / "mined.tsv")
    with pytest.raises(DataError, match="it is a folder"):
        corpus.mine(output=corpus.folder)
    with pytest.raises(ConfigError, match="read or written already"):
        corpus.mine(output=corpus.paths[0])
    with pytest.raises(ConfigError, match="read or written already"):
        corpus.mine(scores=corpus.output)
    with pytest.raises(ConfigError, match="read or written already"):
        corpus.mine(scores=f"{corpus.output}.json", provenance=True)  # where the record goes
    with pytest.raises(ConfigError, match="threshold is not a number"):
        corpus.mine(threshold=float("nan"))
    with pytest.raises(ConfigError, match="'union'"):
        corpus.mine(retrieval="union")
    with pytest.raises(ConfigError, match="'cosine'"):
        corpus.mine(margin="cosine")
    with pytest.raises(ConfigError, match="k is 0"):
        corpus.mine(k=0)
    os.truncate(corpus.paths[1], 0)
    with pytest.raises(DataError, match=r"tgt\.txt is empty"):
        corpus.mine()
    corpus.paths[1].unlink()
    with pytest.raises(DataError, match=r"tgt\.txt does not exist"):
        corpus.mine()


def test_blank_text_is_refused(tmp_path):
    corpus = Corpus(tmp_path, *planted(2, 2, 4, 1), src_lines=["", " "])
    with pytest.raises(DataError, match="all of them blank"):
        corpus.mine()


def test_a_failed_write_leaves_nothing_and_the_next_run_succeeds(corpus, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="disk is full"):
            corpus.mine()
    assert not list(corpus.folder.glob("mined*"))
    corpus.mine()
    assert corpus.output.exists()


def test_a_record_of_other_pairs_is_never_left_beside_new_ones(corpus, monkeypatch):
    corpus.mine(provenance=True)
    assert read_record(corpus.output) is not None
    with monkeypatch.context() as patch:
        patch.setattr("fairseq_distill.mining.job.write_record", lambda record: 1 / 0)  # killed between the two files
        with pytest.raises(ZeroDivisionError):
            corpus.mine(provenance=True, k=2)
    assert corpus.pairs() and read_record(corpus.output) is None
