"""Progress: on a terminal after seconds, with rate and time left; elsewhere quiet but for a line every ten minutes."""

import io
import logging
from types import SimpleNamespace

import pytest

from fairseq_distill import progress
from fairseq_distill.progress import HEARTBEAT_S, Progress, ProgressLine, WipingHandler, counted, described


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("fairseq_distill.progress.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen))  # pytest puts its own into the real one
    return screen


def test_a_line_only_after_seconds_and_only_on_a_terminal(clock):
    screen, log = Terminal(), io.StringIO()
    with ProgressLine("mine", "pairs", stream=screen) as line, ProgressLine("mine", "pairs", stream=log) as other:
        for seconds, done in ((1, 10), (4, 400), (4.1, 410), (5, 500), (4000, 1000)):
            clock[0] = 100 + seconds
            line(done, 100_000)
            other(done, 100_000)
            if seconds == 1:
                assert screen.getvalue() == ""
    assert log.getvalue() == ""
    assert "mine 0.4 % | 100.0 pairs/s | 16:36 left" in screen.getvalue()
    assert "0.4 % | 100.0 pairs/s | 16:35" not in screen.getvalue()
    assert " 110:00:00 left" in screen.getvalue()
    assert screen.getvalue().endswith(" \r") and ProgressLine.shown is None


def test_what_an_earlier_run_did_counts_for_the_share_but_not_for_the_rate(clock, terminal, caplog):
    caplog.set_level(logging.INFO)
    work = Progress("embed", 1000, done=600)
    clock[0] += 10
    work.add(100)
    assert terminal.getvalue() == "\rembed 70.0 % | 10.0 sentences/s | 0:30 left"
    assert work.rate == pytest.approx(10) and work.seconds == 10 and caplog.records == []
    clock[0] += 0.1
    work.add(100)
    assert terminal.getvalue().count("\r") == 1, "not sooner than half a second later"
    clock[0] += 10
    work.add(200)
    assert terminal.getvalue().endswith(" \r") and ProgressLine.shown is None, "wiped when all is done"


def test_off_a_terminal_the_log_stays_short_but_shows_that_the_work_lives(clock, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    log = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=log))
    work = Progress("clean", 100_000, unit="lines")
    for _ in range(100):  # a step every 40 seconds, an hour and more in all
        clock[0] += 40
        work.add(1000)
    assert log.getvalue() == "" and len(caplog.records) == 100 * 40 // HEARTBEAT_S
    assert caplog.records[0].getMessage() == "clean 15.0 % | 25.0 lines/s | 56:40 left"


def test_quiet_is_quiet_on_a_terminal_too(clock, terminal, caplog, monkeypatch):
    monkeypatch.delenv("FAIRSEQ_DISTILL_PROGRESS", raising=False)
    caplog.set_level(logging.WARNING)
    work = Progress("embed", 1000)
    clock[0] += 2 * HEARTBEAT_S
    work.add(500)
    assert terminal.getvalue() == "" and caplog.records == []


def test_steps_of_a_recipe_show_their_line_though_their_log_is_quiet(clock, terminal, caplog, monkeypatch):
    monkeypatch.setenv("FAIRSEQ_DISTILL_PROGRESS", "1")
    caplog.set_level(logging.WARNING)
    work = Progress("embed", 1000)
    clock[0] += 10
    work.add(500)
    assert "embed 50.0 % | 50.0 sentences/s" in terminal.getvalue() and caplog.records == []


def test_an_unknown_total_has_no_time_left():
    assert described("embed", "sentences", 12_345, None, 2345.6) == "embed 12,345 sentences | 2,346 sentences/s"
    assert (
        described("mine", "million pairs compared", 5e6, 1e7, 1e6, 1e-6)
        == "mine 50.0 % | 1.0 million pairs compared/s | 0:05 left"
    )
    assert described("x", "lines", 0, 0, 0.0).endswith("0.0 % | 0.0 lines/s | ? left")


def test_a_log_record_does_not_land_in_the_progress_line(clock, terminal):
    handler = WipingHandler(terminal)
    with ProgressLine("teach", "sentences") as line:
        clock[0] += 5
        line(10, 100)
        handler.emit(logging.LogRecord("a", logging.INFO, "", 0, "saved", None, None))
        shown = terminal.getvalue()
        assert shown.endswith(" \rsaved\n") and shown.count("teach") == 1
        clock[0] += 5
        line(20, 100)
        assert terminal.getvalue().endswith("left"), "the line comes back"
    progress.wipe()  # nothing is there: nothing happens
    assert terminal.getvalue().endswith(" \r")


def test_counted_items_are_all_there_and_the_count_ends_at_the_total(clock, terminal, caplog):
    caplog.set_level(logging.INFO)
    work = Progress("compare", 10)
    seen, counts = [], []
    for item in counted(iter(range(10)), work, every=4):
        seen.append(item)
        counts.append(work.done)
        clock[0] += 4
    assert seen == list(range(10)) and counts == [0, 0, 0, 4, 4, 4, 4, 8, 8, 10]
    assert terminal.getvalue().endswith(" \r"), "wiped although nobody has to ask for an eleventh"
    work = Progress("read", None, unit="pairs")
    clock[0] += 5
    assert list(counted(iter("abc"), work, every=2)) == ["a", "b", "c"] and work.done == 3
    assert ProgressLine.shown is None and terminal.getvalue().endswith(" \r")


def test_one_line_takes_the_place_of_another(clock, terminal):
    with ProgressLine("a long first name", "x") as first, ProgressLine("b", "x") as second:
        clock[0] += 5
        first(1, 10)
        second(1, 10)
        last = terminal.getvalue().rpartition("\r")[2]
        assert last.startswith("b 10.0 %") and "\r" + " " * 10 in terminal.getvalue()
        assert ProgressLine.shown is second and first.width == 0
