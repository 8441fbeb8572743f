"""``fairseq-export`` writes what it was asked for, and answers a wrong wish with one sentence."""

import subprocess
import sys

import numpy as np
import pytest

from fairseq_distill.cli.embed import cli_main as embed_main
from fairseq_distill.cli.export import cli_main
from tests.unit.export.export_students import LINES, rows_of, train_spm, write_student


@pytest.fixture
def student(tmp_path):
    return write_student(tmp_path / "checkpoint.pt", train_spm())


def test_an_exported_folder_is_embedded_with(student, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli_main(["--path", str(student), "--format", "safetensors", "--output", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}/{name}" for name in ("config.json", "dict.txt", "model.safetensors", "spm.model")
    ]
    text = [line for line in LINES if "\u2028" not in line]
    (tmp_path / "t").write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
    arguments = ["--path", str(out), "--input", str(tmp_path / "t"), "--output", str(tmp_path / "t.npy")]
    assert embed_main([*arguments, "--device", "cpu", "--precision", "float32"]) == 0
    kept = [number for number, line in enumerate(LINES) if line in text]
    np.testing.assert_allclose(np.load(tmp_path / "t.npy"), rows_of(student)[kept], atol=1e-6)


def test_wrong_wishes(student, tmp_path, capsys):
    out = str(tmp_path / "out")
    wish = ["--path", str(student), "--output", out, "--format"]
    assert cli_main([*wish, "laser", "--licence", "mit"]) == 1
    assert "--licence goes with --format sentence-transformers" in capsys.readouterr().err
    assert cli_main(["--path", "nothing.pt", "--format", "laser", "--output", out]) == 1
    assert "nothing.pt does not exist" in capsys.readouterr().err
    assert cli_main([*wish, "laser"]) == 0 == cli_main([*wish, "laser", "--force"])
    assert cli_main([*wish, "laser"]) == 1
    assert "--force" in capsys.readouterr().err


def test_it_runs_without_fairseq(student, tmp_path):
    program = (
        "import sys\n"
        "for name in ('fairseq', 'omegaconf', 'hydra'):\n"
        "    sys.modules[name] = None\n"
        "from fairseq_distill.cli.export import cli_main\n"
        "sys.exit(cli_main(sys.argv[1:]))\n"
    )
    arguments = ["--path", str(student), "--format", "laser", "--output", str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True)
