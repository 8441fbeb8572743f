"""A shipped family's run.sh on text of one's own: from DATA_ROOT to the report, without a download."""

import os
import subprocess
from pathlib import Path

import pytest

from fairseq_distill.formats.manifest import read_manifest
from tests.end_to_end.test_pipeline import pairs

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two of the family's languages, one of them with monolingual text too; both invented."""
    folder = tmp_path_factory.mktemp("data root")
    for seed, lang in enumerate(("zul", "xho"), 1):
        corpus = folder / "mafand" / f"eng-{lang}"
        corpus.mkdir(parents=True)
        every = pairs(500, seed)
        for part, some in (("train", every[:400]), ("dev", every[400:])):
            for code, side in zip(("eng", lang), zip(*some)):
                (corpus / f"{part}.{code}").write_text("".join(line + "\n" for line in side), encoding="utf-8")
    mono = folder / "mono"
    mono.mkdir()
    (mono / "zul.txt").write_text("".join(f"{line}\n" for _, line in pairs(200, 9)), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_family_trains_from_a_folder_of_text(root, tmp_path):
    work = tmp_path / "work"
    words = [
        "bash",
        REPO / "recipes/nguni/run.sh",
        "--work",
        work,
        "--arch",
        "student_encoder_tiny",
        "--max-update",
        "20",
    ]
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=900,
        cwd="/",
        env={**os.environ, "DATA_ROOT": str(root)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    manifest = read_manifest(work / "data")
    trained = {(corpus.kind, corpus.lang) for corpus in manifest.select("train")}
    assert trained == {("distil", "zul"), ("distil", "xho"), ("mask", "zul")}
    assert manifest.vocabulary is not None and manifest.vocabulary.advice[0].languages == ["zul", "xho"]
    said = (work / "log" / "train.json.log").read_text(encoding="utf-8")
    # The weights that the family's config names are those of the training.
    assert "'distil_weight': 1.0" in said and "'contrastive_weight': 1.0" in said and "'mlm_weight': 0.09" in said
    assert (work / "report.html").is_file() and (work / "results.json").is_file()
