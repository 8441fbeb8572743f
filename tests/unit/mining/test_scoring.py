"""Scores of a bitext: equal to the slow reference, a row for each line, repeated and blank lines too; and the record of a run."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill import __version__
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.embeddings import EmbeddingInfo, write_info
from fairseq_distill.formats.mined_pairs import line_hash, read_mined_pairs
from fairseq_distill.formats.mining_record import read_record
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.mining.pairs import mine, neighbourhoods
from fairseq_distill.mining.scoring import score
from tests.reference import mining as reference

N = 40


class Bitext:
    """Two texts of N lines with vectors; every other line is translated by its partner. ``run`` scores or mines them."""

    def __init__(self, folder):
        random = np.random.default_rng(1)
        self.folder, self.output = folder, folder / "scored.tsv"
        self.rows = [random.standard_normal((N, 8)).astype(np.float32) for _ in range(2)]
        self.rows[1][::2] = self.rows[0][::2] + 0.3 * self.rows[1][::2]
        self.lines = [[f"{side} {i}" for i in range(N)] for side in ("source", "target")]
        self.write()

    def write(self):
        self.files = []
        for name, lines in zip(("a.txt", "b.txt"), self.lines):
            (self.folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            self.files.append(self.folder / name)
        for name, rows in zip(("a.npy", "b.npy"), self.rows):
            np.save(self.folder / name, rows)
            self.files.append(self.folder / name)

    def run(self, function=score, **options):
        result = function(*self.files, self.output, **options)
        return result, list(read_mined_pairs(self.output))


@pytest.fixture
def bitext(tmp_path):
    return Bitext(tmp_path)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("k", [1, 4])
def test_every_line_is_scored_as_by_the_slow_reference(bitext, margin, k):
    result, pairs = bitext.run(margin=margin, k=k, provenance=True, scores=bitext.folder / "s.npy")
    slow = reference.score(*bitext.rows, [(i, i) for i in range(N)], k, margin)
    assert_allclose([pair.score for pair in pairs], [one for one, _ in slow], rtol=1e-5, atol=2e-6)
    assert_allclose([pair.cosine for pair in pairs], [a for _, a in slow], atol=2e-6)
    assert [(pair.source, pair.target) for pair in pairs] == list(zip(*bitext.lines))
    assert [(pair.source_line, pair.target_line) for pair in pairs] == [(i, i) for i in range(1, N + 1)]
    assert_allclose(np.load(bitext.folder / "s.npy"), [one for one, _ in slow], rtol=1e-5, atol=2e-6)
    assert (result.mode, result.retrieval, result.pairs, result.threshold) == ("score", "given", N, None)
    assert str(result).startswith(f"score | src {N} tgt {N} | k={k} margin={margin} retrieval=given threshold=none")


def test_the_threshold_keeps_what_is_above_in_the_order_of_the_lines(bitext):
    _, every = bitext.run(with_ids=True, scores=bitext.folder / "s.npy")
    scores = np.load(bitext.folder / "s.npy")
    cut = float(np.sort(scores)[N // 2])  # one of them: a score that equals the threshold is not above it
    result, kept = bitext.run(threshold=cut, with_ids=True, scores=bitext.folder / "s.npy")
    assert kept == [pair for pair, one in zip(every, scores) if one > cut] and 5 < result.pairs < N
    assert len(np.load(bitext.folder / "s.npy")) == N


def test_repeated_and_blank_lines_leave_the_neighbourhoods_alone_but_have_their_rows(bitext):
    for i in (5, 9):  # copies of line 4 with its vectors; the partner of 9 stays another
        bitext.lines[0][i], bitext.rows[0][i] = bitext.lines[0][4], bitext.rows[0][4]
    bitext.lines[1][5], bitext.rows[1][5] = bitext.lines[1][4], bitext.rows[1][4]
    bitext.lines[0][7], bitext.lines[1][11] = " \u00a0", ""
    bitext.write()
    result, pairs = bitext.run(provenance=True)
    assert (result.src_searched, result.tgt_searched, result.pairs) == (N - 3, N - 2, N)
    some, others = np.delete(np.arange(N), [5, 7, 9]), np.delete(np.arange(N), [5, 11])
    given = [(i, i) for i in range(N) if i not in (5, 7, 9, 11)] + [(4, 4), (4, 9)]
    places = [(int(np.searchsorted(some, i)), int(np.searchsorted(others, j))) for i, j in given]
    slow = reference.score(bitext.rows[0][some], bitext.rows[1][others], places, 4, "ratio")
    whole = [pair for i, pair in enumerate(pairs) if i not in (5, 7, 9, 11)] + [pairs[5], pairs[9]]
    assert_allclose([pair.score for pair in whole], [one for one, _ in slow], rtol=1e-5)
    assert pairs[5].score == pairs[4].score
    assert {(pairs[i].score, pairs[i].cosine) for i in (7, 11)} == {(-1.0, -1.0)}  # as --help says
    assert bitext.run(unify=False)[0].src_searched == N


def test_a_sentence_without_found_neighbours_is_not_flattered(bitext, monkeypatch):
    """An approximate search may find none; a mean of zero would double the ratio."""
    _, whole = bitext.run(provenance=True)

    def lost(*args):
        found = neighbourhoods(*args)
        found.forward.indices[3], found.forward.cosines[3] = -1, -np.inf
        return found

    monkeypatch.setattr("fairseq_distill.mining.pairs.neighbourhoods", lost)
    _, pairs = bitext.run(provenance=True)
    around = np.sort([reference.cosine(bitext.rows[1][3], row) for row in bitext.rows[0]])[-4:].mean()
    assert pairs[3].score == pytest.approx(whole[3].cosine / max((whole[3].cosine + around) / 2, 0.01), abs=1e-4)
    assert pairs[:3] + pairs[4:] == whole[:3] + whole[4:]


def test_a_pair_that_is_mined_has_its_score_and_cosine_there_too(bitext):
    _, given = bitext.run(provenance=True)
    _, mined = bitext.run(mine, provenance=True)
    same = [pair for pair in mined if pair.source_line == pair.target_line]
    assert len(same) > 10 and same == [given[pair.source_line - 1] for pair in same]
    slow = [reference.cosine(bitext.rows[0][p.source_line - 1], bitext.rows[1][p.target_line - 1]) for p in mined]
    assert_allclose([pair.cosine for pair in mined], slow, atol=2e-6)
    assert all(pair.source_hash == line_hash(bitext.lines[0][pair.source_line - 1]) for pair in mined)


@pytest.mark.parametrize("function", [mine, score])
def test_the_record_says_of_what_and_how(bitext, function):
    write_info(bitext.files[2], EmbeddingInfo("student:1", "sbert:a", "laser-1"))
    result, pairs = bitext.run(function, provenance=True, threshold=1.2, k=3)
    record = read_record(bitext.output)
    assert json.loads((bitext.folder / "scored.tsv.json").read_text())["version"] == __version__
    assert record.output_sha256 == sha256_file(bitext.output)
    assert [record.src.text_sha256, record.tgt.text_sha256] == [sha256_file(path) for path in bitext.files[:2]]
    assert [record.src.embeddings_sha256, record.tgt.embeddings_sha256] == [
        sha256_file(path) for path in bitext.files[2:]
    ]
    assert (record.src.encoder, record.src.space, record.src.lines) == ("student:1", "sbert:a", N)
    assert record.tgt.encoder is None and record.options == {"unify": True, "recall": 0.95, "seed": 1}
    expected = {"mode": result.mode, "margin": "ratio", "k": 3, "threshold": 1.2, "pairs": len(pairs)}
    assert {name: record.result[name] for name in expected} == expected
    assert record.columns[5:] == ["cosine", "source_hash", "target_hash"]


def test_a_damaged_record_is_refused_and_none_is_none(bitext):
    bitext.run()
    assert read_record(bitext.output) is None and not (bitext.folder / "scored.tsv.json").exists()
    (bitext.folder / "scored.tsv.json").write_text("{}")
    with pytest.raises(DataError, match="scored.tsv.json is not a valid record"):
        read_record(bitext.output)


def test_what_is_no_bitext_is_refused(bitext):
    bitext.lines[1].append("one more")
    bitext.rows[1] = np.concatenate([bitext.rows[1], bitext.rows[1][:1]])
    bitext.write()
    with pytest.raises(DataError, match="a.txt has 40 lines but .*b.txt has 41"):
        bitext.run()
    with pytest.raises(ConfigError, match="'cosine'"):
        bitext.run(margin="cosine")
    with pytest.raises(ConfigError, match="k is 0"):
        bitext.run(k=0)
    assert not bitext.output.exists()


def test_scores_do_not_depend_on_how_many_pairs_are_measured_at_a_time(bitext, monkeypatch):
    bitext.run(scores=bitext.folder / "s.npy")
    monkeypatch.setattr("fairseq_distill.mining.job._PAIRS_AT_A_TIME", 7)
    bitext.run(scores=bitext.folder / "t.npy")
    assert_array_equal(np.load(bitext.folder / "s.npy"), np.load(bitext.folder / "t.npy"))
