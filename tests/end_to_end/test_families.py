"""Families' recipes on some 50 invented lines a language, as a user runs them: through all.sh, with DATA_ROOT, twice."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
WORDS = "child dog river house teacher market mountain doctor farmer song road school king garden letter boat".split()
pytestmark = pytest.mark.slow


def write_pairs(folder, codes, part, n, seed):
    """``n`` invented pairs: the other side has each word turned round."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    english = {" ".join(rng.sample(WORDS, 5)) for _ in range(3 * n)}
    lines = sorted(english)[:n]
    other = [" ".join(word[::-1] for word in line.split()) for line in lines]
    for code, side in zip(codes, (lines, other)):
        (folder / f"{part}.{code}").write_text("".join(line + "\n" for line in side), encoding="utf-8")


def run_all(tmp_path, *words):
    return subprocess.run(
        ["bash", str(REPO / "recipes" / "all.sh"), "--work", str(tmp_path / "work"), *words],
        env={**os.environ, "DATA_ROOT": str(tmp_path / "data")},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture
def families(tmp_path):
    """Two planned families, one of them without text; text of the other under a code and an alias."""
    for seed, code in enumerate(("luo", "dik")):
        folder = tmp_path / "data" / "bitext" / "invented" / f"eng-{code}"
        write_pairs(folder, ("eng", code), "train", 50, seed)
        write_pairs(folder, ("eng", code), "dev", 50, 10 + seed)
    (tmp_path / "data" / "mono").mkdir()
    (tmp_path / "data" / "mono" / "luo.txt").write_text("god revir esuoh\n" * 20)
    folders = {}
    for name, langs in (("two", "luo din"), ("empty", "umb")):
        folders[name] = tmp_path / "recipes" / name
        folders[name].mkdir(parents=True)
        (folders[name] / "config.sh").write_text(f"LANGS=({langs})\nSPM_SIZE=60\n")
        (folders[name] / "run.sh").write_text(
            f'source "{REPO}/recipes/family.sh"\nrun_family "$(dirname "${{BASH_SOURCE[0]}}")" "$@"\n'
        )
    return [str(folder) for folder in folders.values()]


def test_a_family_is_trained_and_goes_on(tmp_path, families):
    words = ["--only", *families, "--", "--arch", "student_encoder_tiny", "--max-update", "4", "--", "--lr", "2e-3"]
    done = run_all(tmp_path, *words)
    log = (tmp_path / "work" / "two.log").read_text()
    assert done.returncode == 1 and "There is no text for empty" in done.stderr, log[-3000:]
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert rows["two"][3:5] == ["ok", "2"] and rows["two"][-1] == "4"
    results = json.loads((tmp_path / "work" / "two" / "results.json").read_text())
    assert {entry["src_lang"] for entry in results["xsim"]} == {"luo", "din"}
    assert (tmp_path / "work" / "two" / "report.html").is_file()
    used = (tmp_path / "work" / "two" / "corpora.tsv").read_text().splitlines()
    assert used[1:] == [
        "invented\teng-dik\t50\t50\tnot stated\tused",
        "invented\teng-luo\t50\t50\tnot stated\tused",
        "mono\tluo\t20\t0\tnot stated\tused",
    ]
    again = run_all(tmp_path, *words)
    assert again.returncode == 1 and "unchanged: trained" in (tmp_path / "work" / "two.log").read_text()[len(log) :]
