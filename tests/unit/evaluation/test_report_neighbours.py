"""What the page says that a sentence finds: equal to a slow search, agrees with xsim, and keeps to its caps."""

import shlex

import numpy as np
import pytest

from fairseq_distill.cli.embed import cli_main as embed_command
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.report_html import embedded_json
from fairseq_distill.evaluation.report_mining import mining_section, paged_data, sample_mined
from fairseq_distill.evaluation.report_neighbours import (
    ValidSet,
    browse,
    neighbour_data,
    neighbour_section,
    open_valid_set,
)
from fairseq_distill.evaluation.xsim import wrong_sentences
from fairseq_distill.formats.manifest import Corpus, read_manifest
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs
from fairseq_distill.mining.margin import MARGINS
from tests.reference.encoders import HashEncoder
from tests.unit.evaluation.report_example import make_run

CORPUS = Corpus("c", "distil", "valid", "swa", 0, "", "", "eng", "", [])


def make_set(n, seed=0, copies=0):
    rng = np.random.default_rng(seed)
    tgt = rng.standard_normal((n, 8)).astype(np.float32)
    src = tgt + 1.2 * rng.standard_normal((n, 8)).astype(np.float32)
    texts = [f"text {i}" for i in range(n - copies)] + ["text 0"] * copies
    tgt[n - copies :] = tgt[0]
    return ValidSet(CORPUS, src, tgt, [f"source {i}" for i in range(n)], texts)


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize("margin", MARGINS)
def test_both_ways_equal_a_slow_search(margin):
    found = make_set(23, copies=2)
    data = browse(found, margin, 100)
    table = np.array([[cosine(a, b) for b in found.tgt] for a in found.src])
    for way, cosines, texts in ((0, table, found.tgt_text), (1, table.T, found.src_text)):
        own = np.sort(cosines, axis=1)[:, :-5:-1].mean(axis=1)
        other = np.sort(cosines, axis=0)[:-5:-1].mean(axis=0)
        assert [row[0] for row in data["ways"][way]["rows"]] == list(range(23))
        for row in data["ways"][way]["rows"]:
            i = row[0]
            hits = [row[at : at + 4] for at in range(3, len(row), 4)]
            around = (own[i] + other) / 2
            score = {
                "absolute": cosines[i],
                "distance": cosines[i] - around,
                "ratio": cosines[i] / np.maximum(around, 0.01),
            }
            nearest = sorted(range(23), key=lambda j: -cosines[i][j])[:4]
            assert sorted(cosines[i][j] for j, *_ in hits) == pytest.approx(sorted(cosines[i][nearest]), abs=1e-5)
            assert [s for _, s, *_ in hits] == sorted((s for _, s, *_ in hits), reverse=True)
            for j, said, near, right in hits:
                assert said == pytest.approx(score[margin][j], abs=6e-4) and near == pytest.approx(
                    cosines[i][j], abs=6e-4
                )
                assert right == (texts[j] == texts[i])
            better = [j for j in range(23) if cosines[i][j] > cosines[i][i] + 1e-6 and texts[j] != texts[i]]
            assert row[1] == 1 + len(better) and row[2] == pytest.approx(cosines[i][i], abs=6e-4)


@pytest.mark.parametrize("margin", MARGINS)
def test_what_is_not_found_is_what_xsim_counts(margin):
    found = make_set(200, seed=3, copies=3)
    data = browse(found, margin, 50)
    wrong = wrong_sentences(found.src, found.tgt, (margin,), 4, found.tgt_text)[margin]
    assert data["ways"][0]["wrong"] == wrong.sum() > 0
    rows = data["ways"][0]["rows"]
    assert len(rows) == 50 and [not row[6] for row in rows] == wrong[[row[0] for row in rows]].tolist()
    assert rows[0][0] == 0 and rows[-1][0] == 199


def test_every_sentence_that_is_named_has_its_text():
    found = make_set(300, seed=1)
    data = browse(found, "distance", 20)
    for way in (0, 1):
        here, there = data["texts"][way], data["texts"][1 - way]
        for row in data["ways"][way]["rows"]:
            assert row[0] in here and row[0] in there
            assert all(row[at] in there for at in range(3, len(row), 4))
    assert data["texts"][0][0] == "source 0" and len(data["texts"][1]) < 300


def test_fewer_sentences_than_neighbours_and_zero_vectors():
    found = make_set(2)
    found.src[0] = 0
    data = browse(found, "ratio", 10)
    assert [len(row) for row in data["ways"][0]["rows"]] == [3 + 2 * 4] * 2


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("neighbours") / "run", ["swa", "zul"], n_updates=100, n_mined=20)


def test_the_cap_on_bytes_is_kept(run_dir):
    manifest = read_manifest(run_dir / "data")
    whole, small = neighbour_data(run_dir, manifest, None), neighbour_data(run_dir, manifest, None, 9000)
    assert len(whole["sets"]) == 2 and len(whole["sets"][0]["ways"][0]["rows"]) == 60
    assert 0 < len(small["sets"][0]["ways"][0]["rows"]) < 60 and len(embedded_json(small).encode()) <= 9000


def test_the_page_says_how_to_look_up_a_new_sentence(run_dir, monkeypatch, capsys, tmp_path):
    data = neighbour_data(run_dir, read_manifest(run_dir / "data"), None)
    words = shlex.split(data["sets"][1]["look_up"])
    assert words[:3] == ["fairseq-embed", "--path", "checkpoints/checkpoint_best.pt"]
    page = neighbour_section(data)
    assert f'<pre id="n-command">{data["sets"][0]["look_up"]}</pre>' in page and "run in the work directory" in page
    dim = np.load(run_dir / words[5]).shape[1]
    monkeypatch.setattr("fairseq_distill.embedding.registry.open_encoder", lambda *_: HashEncoder(dim))
    monkeypatch.chdir(run_dir)
    (tmp_path / "q").write_text("habari\n")
    assert embed_command([*words[1:], "--force", "--input", str(tmp_path / "q")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5, "the files are there and belong together"


def test_sizes_that_do_not_fit_are_refused_and_absent_files_left_out(run_dir):
    manifest = read_manifest(run_dir / "data")
    corpus = manifest.select("valid")[0]
    path = run_dir / "embeddings" / "student" / f"valid.{corpus.id}.swa.npy"
    rows = np.load(path)
    np.save(path, rows[:-1])
    with pytest.raises(DataError, match="has 59 rows, .* 60, but .* 60 lines"):
        open_valid_set(run_dir, corpus)
    path.unlink()
    assert open_valid_set(run_dir, corpus) is None
    assert [one["langs"] for one in neighbour_data(run_dir, manifest, None)["sets"]] == [["zul", "eng"]]
    np.save(path, rows)
    assert neighbour_data(run_dir, None, None) is None


def test_pairs_to_page_hold_the_best_the_lowest_and_a_share_of_the_others(tmp_path):
    path = tmp_path / "mined.tsv"
    write_mined_pairs(path, [MinedPair(2 - i / 1000, f"s{i}", f"t{i}") for i in range(900)])
    sample = sample_mined(path, None, 5, 100)
    lines = [line for line, _ in sample.paged]
    assert lines == sorted(set(lines)) and 100 <= len(lines) <= 110
    assert set(range(1, 6)) <= set(lines) and set(range(896, 901)) <= set(lines)
    assert all(pair.source == f"s{line - 1}" for line, pair in sample.paged)
    assert 350 < np.mean(lines) < 550
    data = paged_data(sample, None, 2000)
    assert len(embedded_json(data["pairs"]).encode()) <= 2000 and 20 < len(data["pairs"]) < 100
    assert data["pairs"][0] == [1, 2.0, "s0", "t0"]
    assert [line for line, _ in sample_mined(path, None, 5, 900).paged] == list(range(1, 901))


def test_the_cosine_of_a_mined_pair_is_shown_where_the_file_has_it(tmp_path):
    path = tmp_path / "mined.tsv"
    write_mined_pairs(path, [MinedPair(2.8, "s", "t", 1, 9, 0.123456)], provenance=True)
    page, data = mining_section(tmp_path, None, path)
    assert data["pairs"] == [[1, 2.8, "s", "t", 0.123]]
    assert "2.800<small>cosine 0.123</small>" in page
