"""recipes/common.sh: steps run once, again when something changed, and never count as done when they were not."""

import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


def bash(program, cwd, **environment):
    """Run a script that sources common.sh."""
    return subprocess.run(
        ["bash", "-c", f'source "{REPO}/recipes/common.sh"\n{program}', "recipe.sh"],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


ONCE = (
    "once --state done --input in --key {key} --output out -- bash -c 'echo ran >>runs; cp in out.tmp; mv out.tmp out'"
)


def runs(folder):
    return (folder / "runs").read_text().count("ran") if (folder / "runs").exists() else 0


@pytest.fixture
def step(tmp_path):
    (tmp_path / "in").write_text("a\n")

    def run(key="k"):
        result = bash(ONCE.format(key=key), tmp_path)
        assert result.returncode == 0, result.stderr
        return runs(tmp_path)

    return run


def test_a_step_runs_once(step, tmp_path):
    assert step() == 1
    assert step() == 1
    assert (tmp_path / "out").read_text() == "a\n"


def test_a_step_runs_again_when_its_input_its_words_or_its_output_changed(step, tmp_path):
    assert step() == 1
    (tmp_path / "in").write_text("b\n")
    assert step() == 2
    assert step(key="other") == 3
    (tmp_path / "out").unlink()
    assert step(key="other") == 4
    (tmp_path / "out").write_text("longer\n")
    assert step(key="other") == 5
    assert step(key="other") == 5


def test_a_step_does_not_run_again_when_its_input_is_only_touched(step, tmp_path):
    step()
    os.utime(tmp_path / "in", (0, 0))
    assert step() == 1


def test_a_step_that_fails_stops_the_script_and_is_not_done(tmp_path):
    (tmp_path / "in").write_text("a\n")
    program = "once --state done --output out -- bash -c 'echo ran >>runs; exit 7' || true\necho after"
    for count in (1, 2):
        result = bash(program, tmp_path)
        assert result.returncode == 7 and result.stdout == ""
        assert runs(tmp_path) == count
    assert not (tmp_path / "done").exists()


def test_a_step_without_its_output_is_not_done(tmp_path):
    result = bash("once --state done --output out -- true", tmp_path)
    assert result.returncode == 1 and "error: out does not exist." in result.stderr
    assert not (tmp_path / "done").exists()


def test_a_step_killed_half_way_runs_again(step, tmp_path):
    step()
    (tmp_path / "in").write_text("b\n")
    bash(ONCE.format(key="k").replace("cp in", "kill -9 $PPID; cp in"), tmp_path)
    assert runs(tmp_path) == 2
    assert step() == 3
    assert (tmp_path / "out").read_text() == "b\n"


@pytest.mark.parametrize(
    "first, last, shown", [(1, 9, "1 2 3"), (2, 9, "2 3"), (1, 2, "1 2"), (2, 2, "2"), (4, 9, ""), (1, 0, "")]
)
def test_stages(tmp_path, first, last, shown):
    program = f"FIRST_STAGE={first} LAST_STAGE={last}\n"
    program += "for n in 1 2 3; do if stage $n title; then echo $n; fi; done"
    result = bash(program, tmp_path)
    assert result.stdout.split() == shown.split()
    assert result.stderr.count("title") == len(shown.split())


@pytest.mark.parametrize("content, count", [("", 0), ("1\n2\n3", 3), ("1\n2\n3\n", 3), ("\n", 1), ("a\u2028b\r\n", 1)])
def test_count_lines(tmp_path, content, count):
    (tmp_path / "a").write_text(content, newline="")
    assert bash("count_lines a", tmp_path).stdout == f"{count}\n"


def test_missing_and_empty_files(tmp_path):
    (tmp_path / "empty").touch()
    assert "empty is empty." in bash("require_file empty", tmp_path).stderr
    assert "nothing does not exist." in bash("require_file nothing", tmp_path).stderr


def test_scripts_are_strict(tmp_path):
    assert bash("false; echo after", tmp_path).stdout == ""
    assert bash("echo $UNSET; echo after", tmp_path).stdout == ""
    assert bash("false | true; echo after", tmp_path).stdout == ""


def test_threads_are_all_cores_unless_said_otherwise(tmp_path):
    program = "set_threads; echo $OMP_NUM_THREADS $MKL_NUM_THREADS"
    cores = len(os.sched_getaffinity(0))
    environment = {"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": ""}
    assert bash(program, tmp_path, **environment).stdout.split() == [str(cores)] * 2
    assert bash(program, tmp_path, OMP_NUM_THREADS="1", MKL_NUM_THREADS="").stdout.split() == ["1", "1"]


def test_jobs_at_the_same_time_share_the_cores(tmp_path):
    none = {"OMP_NUM_THREADS": "", "MKL_NUM_THREADS": ""}
    program = "nproc() { echo 8; }; set_threads 3; set_threads; echo $OMP_NUM_THREADS $MKL_NUM_THREADS"
    assert bash(program, tmp_path, **none).stdout.split() == ["2", "2"]
    assert bash(program, tmp_path, OMP_NUM_THREADS="5", MKL_NUM_THREADS="").stdout.split() == ["5", "5"]
    assert bash("nproc() { echo 2; }; set_threads 9; echo $OMP_NUM_THREADS", tmp_path, **none).stdout.split() == ["1"]


# --- the set-up, where it refuses: nothing is installed here


def set_up(cwd, **environment):
    return subprocess.run(
        ["bash", str(REPO / "recipes" / "setup_env.sh")],
        cwd=cwd,
        env={**os.environ, "VIRTUAL_ENV": "", "CONDA_PREFIX": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python_that_fits(tmp_path):
    result = set_up(tmp_path, FAIRSEQ_DISTILL_VENV=str(tmp_path / "venv"), FAIRSEQ_DISTILL_PYTHON="/bin/false")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("setup_env.sh: error: Python 3.11 or 3.12 is needed")
    assert not (tmp_path / "venv").exists()


def test_another_python_does_not_fit(tmp_path):
    python = tmp_path / "python3.9"
    python.write_text("#!/bin/sh\necho 3.9 none\n")
    python.chmod(0o755)
    result = set_up(tmp_path, FAIRSEQ_DISTILL_VENV="venv", FAIRSEQ_DISTILL_PYTHON=str(python))
    assert result.returncode == 1 and "Python 3.11 or 3.12 is needed" in result.stderr


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "thesis.tex").write_text("x")
    result = set_up(tmp_path, FAIRSEQ_DISTILL_VENV=str(tmp_path / "venv"))
    assert result.returncode == 1
    assert "is there, but it is no working virtual environment; move it" in result.stderr
    assert os.listdir(tmp_path / "venv") == ["thesis.tex"]


def test_a_file_in_the_place_of_the_environment(tmp_path):
    (tmp_path / "venv").write_text("x")
    result = set_up(tmp_path, FAIRSEQ_DISTILL_VENV=str(tmp_path / "venv"))
    assert result.returncode == 1 and "is not a folder" in result.stderr


@pytest.fixture
def bare_python(tmp_path):
    """A Python 3.11 without ensurepip, as Debian's without python3-venv, and an apt-get and an id that only write down."""
    programs = {
        "python3.11": 'case "$*" in *metadata*) echo 3.11 none ;; *) exit 1 ;; esac',
        "apt-get": f'echo "$*" >>"{tmp_path}/apt.log"',
        "id": 'echo "${FAKE_ID}"',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, line in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{line}\n")
        (folder / name).chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "FAIRSEQ_DISTILL_PYTHON": str(folder / "python3.11"),
        "FAIRSEQ_DISTILL_VENV": str(tmp_path / "venv"),
    }


def test_root_gets_the_missing_package_from_the_distribution(tmp_path, bare_python):
    result = set_up(tmp_path, FAKE_ID="0", **bare_python)
    assert (tmp_path / "apt.log").read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends python3.11-venv",
    ]
    assert "has no venv and ensurepip modules: apt-get install -y python3.11-venv" in result.stderr
    assert result.returncode == 1 and "could not make a virtual environment" in result.stderr.splitlines()[-1]


def test_others_are_told_which_package_is_missing(tmp_path, bare_python):
    result = set_up(tmp_path, FAKE_ID="1000", **bare_python)
    assert result.returncode == 1 and not (tmp_path / "apt.log").exists()
    assert "have root run 'apt-get install -y python3.11-venv', then run this again." in result.stderr.splitlines()[-1]
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    "words, value",
    [
        ("--lr 1 --curriculum progressive", "progressive"),
        ("--curriculum=progressive --lr 1", "progressive"),
        ("--curriculum none --curriculum progressive", "progressive"),
        ("--curriculum=progressive --curriculum none", "none"),
        ("--curriculum-pacing root --no-curriculum progressive", ""),
        ("", ""),
    ],
)
def test_the_last_value_of_an_option_counts(tmp_path, words, value):
    found = bash(f"option_value curriculum {words}", tmp_path)
    assert (found.returncode, found.stdout) == (0, value)
