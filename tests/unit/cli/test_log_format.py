"""``--log-format json``: every line that a command writes to standard error is an object, progress and errors too."""

import importlib
import json
import logging
import re
import time
import warnings
from pathlib import Path

import pytest

from fairseq_distill import progress
from fairseq_distill.cli import common
from fairseq_distill.errors import DataError
from fairseq_distill.machine import Finding
from fairseq_distill.progress import Progress, ProgressLine, WipingHandler, elapsing

# What each command is given: something that ends at once, well or with a user's error.
COMMANDS = {
    "doctor": ([], 0),
    "embed": (["--path", "none.pt", "--input", "none.txt", "--output", "o.npy"], 1),
    "export": (["--path", "none.pt", "--format", "safetensors", "--output", "o"], 1),
    "mine": (["--src-text", "none.txt"], 1),
    "report": (["--work", "none"], 1),
    "teach": (["--teacher", "sbert:none", "--input", "none.txt", "--output", "o.npy"], 1),
    "xsim": (["--src", "none.npy", "--tgt", "none.npy"], 1),
}


@pytest.fixture
def own_log(monkeypatch, tmp_path):
    """The log as a process has it when it starts, without pytest's handlers, and as it was afterwards."""
    root, configure = logging.getLogger(), logging.basicConfig

    def alone(**options):
        root.handlers.clear()
        configure(**options)

    level = root.level
    monkeypatch.setattr(logging, "basicConfig", alone)
    monkeypatch.setattr(ProgressLine, "records", False)
    monkeypatch.chdir(tmp_path)
    yield
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, WipingHandler)]
    root.setLevel(level)
    logging.captureWarnings(False)


def objects(text):
    """The lines of a JSON log; fails where one is something else."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert {"time", "level", "message"} <= set(line) <= {"time", "level", "message", "progress"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    return found


def test_every_command_is_here():
    folder = Path(progress.__file__).parent / "cli"
    assert {path.stem for path in folder.glob("*.py") if "def cli_main(" in path.read_text(encoding="utf-8")} == set(
        COMMANDS
    )


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_log_of_objects(name, log_format, own_log, capsys, monkeypatch):
    words, code = COMMANDS[name]
    module = importlib.import_module(f"fairseq_distill.cli.{name}")
    if name == "doctor":
        monkeypatch.setattr(module, "examine", lambda *_: [Finding("Python", "ok", "here")])
    assert module.cli_main([*words, "--log-format", log_format]) == code
    said = capsys.readouterr().err
    if log_format == "text":
        assert " | INFO | fairseq-" in said and not said.startswith("{")
        return
    lines = objects(said)
    assert lines[0]["level"] == "INFO" and lines[0]["message"].startswith(f"fairseq-{name} ")
    assert (lines[-1]["level"] == "ERROR") == bool(code)
    assert not code or lines[-1]["message"].startswith(f"fairseq-{name}: error: ")


def run(work, *words):
    """What a command that only does ``work`` says."""
    parser = common.make_parser("fairseq-x", "x", "x")
    return common.run_command(parser, lambda args: work(), ["--log-format", "json", *words])


def test_progress_is_objects_at_intervals_and_no_line_is_rewritten(own_log, capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("fairseq_distill.progress.time.monotonic", lambda: now[0])

    def work():
        counted = Progress("embed", 1000)
        for _ in range(100):  # a second each
            now[0] += 1
            counted.add(10)
        with ProgressLine("mine", "million pairs compared", 1e-6) as line:
            now[0] += 20
            line(5e6, 20e6)

    assert run(work) == 0
    said = capsys.readouterr().err
    shown = [line["progress"] for line in objects(said) if "progress" in line]
    assert "\r" not in said and 10 <= len(shown) <= 13
    assert shown[0] == {"what": "embed", "unit": "sentences", "done": 100.0, "total": 1000.0, "rate": 10.0, "eta": 90.0}
    assert [one["done"] for one in shown[:3]] == [100, 200, 300] and shown[-2]["done"] == 1000
    assert shown[-1] == {
        "what": "mine",
        "unit": "million pairs compared",
        "done": 5.0,
        "total": 20.0,
        "rate": 0.25,
        "eta": 60.0,
    }


def test_quiet_leaves_errors_alone(own_log, capsys):
    def work():
        logging.getLogger("fairseq_distill").info("no")
        raise DataError("a line\nwith \x1b control")

    assert run(work, "--quiet") == 1
    (line,) = objects(capsys.readouterr().err)
    assert line["message"] == r"fairseq-x: error: a line\nwith \x1b control" and line["level"] == "ERROR"


def test_warnings_and_tracebacks_are_objects_too(own_log, capsys):
    def work():
        warnings.warn("old ways")
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("fairseq_distill").exception("it failed")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(work) == 0
    lines = objects(capsys.readouterr().err)
    assert [line["level"] for line in lines] == ["INFO", "WARNING", "ERROR"]
    assert "old ways" in lines[1]["message"] and lines[2]["message"].endswith("ValueError: why")


def test_a_step_that_cannot_say_how_far_it_is_says_how_long_it_takes(own_log, capsys, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_S", 0.01)
    monkeypatch.setattr(progress, "RECORD_S", 0.01)

    def work():
        with elapsing("export | trace"):
            time.sleep(0.3)

    assert run(work) == 0
    shown = [line["progress"] for line in objects(capsys.readouterr().err) if "progress" in line]
    assert len(shown) > 1 and shown[0]["what"] == "export | trace" and shown[0]["total"] is None
    assert 0 <= shown[0]["done"] < shown[-1]["done"]
