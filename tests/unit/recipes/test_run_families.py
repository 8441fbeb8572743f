"""All families: here or as jobs, a failed one stops no other, the table says what came out."""

import json
import os
import stat
from pathlib import Path

import pytest
from run_families import choose, main, parser

from fairseq_distill.errors import ConfigError, DataError

CODES = {"good": 0, "bad": 7, "silent": 3}


@pytest.fixture
def families(tmp_path):
    """Folders whose run.sh notes its words and ends with the code of its name."""
    for name, code in CODES.items():
        folder = tmp_path / "mine" / name
        folder.mkdir(parents=True)
        (folder / "config.sh").write_text("LANGS=(swa kik)\n")
        (folder / "run.sh").write_text(f'echo "$@" >>"{tmp_path}/{name}.words"\nmkdir -p "$2"\nexit {code}\n')
    return {name: str(tmp_path / "mine" / name) for name in CODES}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """sbatch that runs a job at once, and squeue that shows what the file ``queue`` says."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    programs = {
        "sbatch": f'cat >{folder}/script; echo "$@" >>{folder}/sbatch.words; n=$(($(cat {folder}/n 2>/dev/null || echo 0) + 1)); echo $n '
        f">{folder}/n; [ -f {folder}/refuse ] && {{ echo 'no such partition' >&2; exit 1; }}; "
        f"[ -f {folder}/lose ] || bash {folder}/script; echo $n\\;cluster",
        "squeue": f"cat {folder}/queue 2>/dev/null || true",
    }
    for name, text in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def run(tmp_path, *words):
    main(parser().parse_args(["--work", str(tmp_path / "work"), "--poll-s", "0.01", *words]))


def test_a_failed_family_stops_no_other(tmp_path, families, capsys):
    with pytest.raises(DataError, match="1 of 3 families failed: bad; read their logs"):
        run(
            tmp_path,
            "--only",
            families["bad"],
            families["silent"],
            families["good"],
            "--",
            "--max-update",
            "5",
            "--",
            "--lr",
            "1",
        )
    assert (tmp_path / "good.words").read_text() == f"--work {tmp_path}/work/good --max-update 5 -- --lr 1\n"
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1][:5] == ["bad", "swa", "kik", "failed", "(7)"]
    assert rows[2][:5] == ["silent", "swa", "kik", "no", "text"] and rows[3][3] == "ok"
    assert (tmp_path / "work" / "summary.txt").read_text().startswith("family ")


def test_a_named_family_without_text_is_a_failure(tmp_path, families):
    run(tmp_path, "--only", families["good"])
    with pytest.raises(DataError, match="no text for silent"):
        run(tmp_path, "--only", families["good"], families["silent"])


def test_the_table_reads_the_results(tmp_path, families, capsys):
    work = tmp_path / "work" / "good"
    work.mkdir(parents=True)
    entry = {"valid_set": "v", "src_lang": "swa", "tgt_lang": "eng", "k": 4, "n": 100}
    entries = [
        {
            **entry,
            "encoder": kind,
            "errors": int(percent),
            "valid_set": name,
            "margin": margin,
            "percent": percent,
            "low": None,
            "high": None,
            "signature": "",
        }
        for kind, name, margin, percent in (
            ("student", "v", "distance", 5.0),
            ("student", "w", "distance", 10.0),
            ("student", "w", "absolute", 99.0),
            ("teacher", "v", "distance", 80.0),
            ("teacher", "w", "distance", 90.0),
        )
    ]
    (work / "results.json").write_text(json.dumps({"format_version": 1, "xsim": entries}))
    run(tmp_path, "--summary", "--only", families["good"])
    assert capsys.readouterr().out.splitlines()[1].split() == ["good", "swa", "kik", "-", "2", "7.50", "85.00", "-"]


def test_a_job_for_each_family(tmp_path, families, slurm, capsys):
    with pytest.raises(DataError, match="1 of 2 families failed: bad"):
        run(
            tmp_path,
            "--slurm",
            "--sbatch",
            "--partition=gpu --time=1:00",
            "--only",
            families["good"],
            families["bad"],
            "--",
            "--seed",
            "2",
        )
    words = (slurm / "sbatch.words").read_text().splitlines()
    assert (
        len(words) == 2
        and words[0].startswith("--parsable --job-name=distill-good")
        and words[0].endswith("--partition=gpu --time=1:00")
    )
    assert (tmp_path / "good.words").read_text() == f"--work {tmp_path}/work/good --seed 2\n"
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()[1:3]] == ["ok", "failed"]


def test_a_job_that_was_killed_is_lost_not_waited_for(tmp_path, families, slurm, capsys):
    (slurm / "lose").touch()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "good.code").write_text("0\n")  # of an earlier run
    with pytest.raises(DataError, match="1 of 1 families failed: good"):
        run(tmp_path, "--slurm", "--only", families["good"])
    assert "lost: killed, or cancelled" in capsys.readouterr().out


def test_a_refused_job(tmp_path, families, slurm, caplog):
    (slurm / "refuse").touch()
    with pytest.raises(DataError, match="1 of 1 families failed: good"):
        run(tmp_path, "--slurm", "--only", families["good"])
    assert "sbatch refused good: no such partition" in caplog.text


def test_no_slurm(tmp_path, families, monkeypatch):
    only_bash = tmp_path / "empty"
    only_bash.mkdir()
    (only_bash / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(only_bash))
    with pytest.raises(ConfigError, match="--slurm needs the commands sbatch and squeue"):
        run(tmp_path, "--slurm", "--only", families["good"])


def test_which_families(families):
    assert "nguni" in [path.name for path in choose([])]
    assert [path.name for path in choose(["kwa", families["good"]])] == ["kwa", "good"]
    with pytest.raises(ConfigError, match="klingon is no family; there are afrikaans"):
        choose(["klingon"])
    with pytest.raises(ConfigError, match="names a family twice"):
        choose(["kwa", "kwa"])
    assert Path(families["good"]).is_dir()
