"""``fairseq-mine`` from its command line."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill import defaults
from fairseq_distill.cli.mine import cli_main
from fairseq_distill.cli.search_options import byte_size


@pytest.fixture
def command(tmp_path):
    """Arguments that mine 30 planted pairs of 30 lines."""
    random = np.random.default_rng(1)
    src = random.standard_normal((30, 16)).astype(np.float32)
    for side, rows in (("src", src), ("tgt", src + 0.2 * random.standard_normal((30, 16)).astype(np.float32))):
        np.save(tmp_path / f"{side}.npy", rows)
        (tmp_path / f"{side}.txt").write_text("".join(f"{side} {i}\n" for i in range(30)))
    words = []
    for side in ("src", "tgt"):
        words += [f"--{side}-text", tmp_path / f"{side}.txt", f"--{side}-emb", tmp_path / f"{side}.npy"]
    return [str(word) for word in (*words, "--output", tmp_path / "mined.tsv")]


def test_mines_and_reports(command, tmp_path, capsys):
    assert cli_main([*command, "--json", "--with-ids"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["pairs"] == 30 and result["threshold"] == defaults.MARGIN_THRESHOLD
    lines = [line.split("\t") for line in (tmp_path / "mined.tsv").read_text().splitlines()]
    assert sorted((int(fields[3]), int(fields[4])) for fields in lines) == [(i, i) for i in range(1, 31)]
    assert all(fields[1:3] == [f"src {int(fields[3]) - 1}", f"tgt {int(fields[4]) - 1}"] for fields in lines)
    scores = [float(fields[0]) for fields in lines]
    assert scores == sorted(scores, reverse=True)


def test_every_option_reaches_the_search(command, tmp_path):
    options = "--margin distance --retrieval intersect -k 2 --threshold 0.2 --precision float32 --max-memory 50M"
    more = ["--no-unify", "--dim", "16", "--force", "--scores", str(tmp_path / "scores.npy"), "--quiet"]
    assert cli_main([*command, *options.split(), *more]) == 0
    scores = [float(line.split("\t")[0]) for line in (tmp_path / "mined.tsv").read_text().splitlines()]
    assert 5 < len(scores) and min(scores) > 0.2
    assert np.load(tmp_path / "scores.npy").shape == (60,)


def test_scores_a_bitext(command, tmp_path, capsys):
    assert cli_main([*command, "--mode", "score", "--json", "--provenance", "--margin", "distance", "-k", "2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["mode"], result["pairs"], result["k"], result["threshold"]) == ("score", 30, 2, None)
    lines = [line.split("\t") for line in (tmp_path / "mined.tsv").read_text().splitlines()]
    assert [line[1:5] for line in lines] == [[f"src {i}", f"tgt {i}", str(i + 1), str(i + 1)] for i in range(30)]
    assert json.loads((tmp_path / "mined.tsv.json").read_text())["result"]["margin"] == "distance"
    assert cli_main([*command, "--mode", "score", "--retrieval", "fwd"]) == 1
    assert "--retrieval fwd chooses pairs, but --mode score" in capsys.readouterr().err


def test_approximate_search_reports_its_recall(command, tmp_path, capsys, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr("fairseq_distill.mining.approximate._EXACT_SHARE", 1.1)
    assert cli_main([*command, "--search", "approximate", "--recall", "0.9", "--seed", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["search"] == "approximate" and result["approximate"]["wanted"] == 0.9
    assert result["approximate"]["recall"]["forward"] >= 0.9 and result["approximate"]["recall"]["sample"] == 60
    mined = (tmp_path / "mined.tsv").read_text()
    assert 25 < len(mined.splitlines()) <= 30
    cli_main([*command, "--search", "approximate", "--recall", "0.9", "--seed", "3"])
    assert (tmp_path / "mined.tsv").read_text() == mined
    assert "approximate, recall@1 " in caplog.text and "on 60 sentences searched exactly" in caplog.text


def test_auto_goes_by_the_size(command, capsys, monkeypatch):
    monkeypatch.setattr("fairseq_distill.mining.approximate._EXACT_SHARE", 1.1)
    for work, search in ((30 * 30 * 16, "exact"), (30 * 30 * 16 - 1, "approximate")):
        monkeypatch.setattr(defaults, "EXACT_WORK", work)
        assert cli_main([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["search"] == search


@pytest.mark.parametrize(
    "words, message",
    [
        (["--recall", "1.5"], "recall is 1.5"),
        (["--dim", "5"], "width 16, but 5 is wanted"),
        (["-k", "0"], "k is 0"),
        (["--max-memory", "1K"], "1,024 bytes are too little"),
        (["--src-text", "/nowhere"], "/nowhere does not exist"),
        (["--output", "/nowhere/mined.tsv"], "no folder /nowhere"),
    ],
)
def test_a_users_error_is_one_sentence_and_exit_code_1(command, words, message, capsys, tmp_path):
    assert cli_main([*command, *words]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("fairseq-mine: error: ") and message in last
    assert not (tmp_path / "mined.tsv").exists()


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        cli_main(["--help"])
    assert stop.value.code == 0
    assert "example:\n  fairseq-mine --src-text" in capsys.readouterr().out


def test_runs_where_neither_torch_nor_faiss_nor_fairseq_is_installed(command):
    code = (
        "import sys\n"
        "for name in ('torch', 'faiss', 'fairseq', 'scipy'): sys.modules[name] = None\n"
        "from fairseq_distill.cli.mine import cli_main\n"
        f"raise SystemExit(cli_main({command!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mine | src 30 tgt 30 | k=4 margin=ratio retrieval=max threshold=1.06 | 30 pairs |" in done.stderr


@pytest.mark.parametrize("text, size", [("1", 1), ("300M", 300 << 20), ("1.5g", 3 << 29), ("2GB", 2 << 30)])
def test_byte_size(text, size):
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "0", "many", "infG", "nan"])
def test_byte_size_refuses(text):
    with pytest.raises(Exception, match="is no size"):
        byte_size(text)
