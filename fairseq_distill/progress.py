"""How far long work has come: on a terminal one line, rewritten in place; elsewhere next to nothing.

Where the log is JSON (``--log-format json``) each look is a log record that carries the numbers, every few seconds.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from typing import Any, Callable, ContextManager, Dict, Iterable, Iterator, Optional, TextIO, TypeVar

logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")

FIRST_S = 3.0  # work that is done sooner says nothing
EVERY_S = 0.5  # between two rewritings
HEARTBEAT_S = (
    600.0  # between two lines of a log that no terminal shows: it stays short, and one sees that the job lives
)
_MB = 1e-6  # of a byte
RECORD_S = 10.0  # between two records of a log that a program reads


class ProgressLine:
    """Call with (done, total); shows share, rate and time left once the work has taken a few seconds.

    Writes nothing when ``stream`` is no terminal, so that logs stay free of it, but a record now and then where ``records``
    is set. Use as a context manager: the line is wiped at the end. One line is shown at a time, and :func:`wipe` takes it
    away before something else is written.

    Args:
        what: the work, in one word.
        unit: what is counted.
        scale: units in one of what ``done`` counts.
        earlier: how much an earlier run had done, which the rate leaves out.
    """

    shown: "Optional[ProgressLine]" = None  # the line that stands on the terminal now
    records = False  # whether the log is read by a program, which wants records and no line

    def __init__(
        self,
        what: str,
        unit: str,
        scale: float = 1.0,
        stream: Optional[TextIO] = None,
        quiet: bool = False,
        earlier: float = 0.0,
    ):
        self.what, self.unit, self.scale, self.earlier = what, unit, scale, earlier
        self.stream = stream or sys.stderr
        self.active = not quiet and (ProgressLine.records or self.stream.isatty())
        self.every = RECORD_S if ProgressLine.records else EVERY_S
        self.started = self.last = time.monotonic()
        self.width = 0

    def __call__(self, done: float, total: Optional[float]) -> None:
        now = time.monotonic()
        if not self.active or now - self.started < FIRST_S or (now - self.last < self.every and done != total):
            return
        self.last = now
        rate = (done - self.earlier) / (now - self.started)
        text = described(self.what, self.unit, done, total, rate, self.scale)
        if ProgressLine.records:
            numbers = _numbers(self.what, self.unit, done, total, rate, self.scale)
            logger.info(text, extra={"progress": numbers})
        else:
            self.show(text)

    def show(self, text: str) -> None:
        """Let the line say ``text``."""
        if ProgressLine.shown is not self:
            wipe()
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)
        ProgressLine.shown = self

    def wipe(self) -> None:
        """Take the line away, if it stands there."""
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0
        if ProgressLine.shown is self:
            ProgressLine.shown = None

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *error: object) -> None:
        self.wipe()


def comparing(what: str) -> ProgressLine:
    """The line of a search among vectors: pairs compared, in millions; none where the log is set to warnings."""
    return ProgressLine(what, "million pairs compared", 1e-6, quiet=_quiet())


def _quiet() -> bool:
    """Whether the log is set to warnings; the recipes want the lines of their steps all the same, and say so in the environment."""
    return not logger.isEnabledFor(logging.INFO) and not os.environ.get("FAIRSEQ_DISTILL_PROGRESS")


class Progress:
    """Counts long work with :meth:`add`. On a terminal a :class:`ProgressLine`; elsewhere a log line every ten minutes.

    Nothing is shown where the log is set to warnings (``--quiet``), but on the terminal of a recipe.

    Args:
        what: the work.
        total: how much there is in all, or None when that is not known.
        done: how much an earlier run did.
        unit: what is counted.
        scale: units in one of what is added.
    """

    def __init__(self, what: str, total: Optional[int], done: int = 0, unit: str = "sentences", scale: float = 1.0):
        self.what, self.total, self.done, self.earlier, self.unit, self.scale = what, total, done, done, unit, scale
        self.line = ProgressLine(what, unit, scale, quiet=_quiet(), earlier=done)
        self.start = self.last = time.monotonic()

    def add(self, n: int) -> None:
        """Count ``n`` more, and show it when it is time."""
        self.done += n
        if self.line.active:
            self.line(self.done, self.total)
            if self.done == self.total:
                self.line.wipe()
            return
        now = time.monotonic()
        if now - self.last >= HEARTBEAT_S:
            self.last = now
            logger.info(described(self.what, self.unit, self.done, self.total, self.rate, self.scale))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    @property
    def rate(self) -> float:
        """Units a second of this run, so far."""
        return (self.done - self.earlier) / max(self.seconds, 1e-6)


def counted(items: Iterable[_Item], progress: Progress, every: int = 4096) -> Iterator[_Item]:
    """The items as they come, counted ``every`` so many: for a loop of millions in which a step costs next to nothing."""
    waiting = 0
    for item in items:
        waiting += 1
        # Who takes just so many never asks for the end.
        if waiting == every or progress.done + waiting == progress.total:
            progress.add(waiting)
            waiting = 0
        yield item
    if waiting:
        progress.add(waiting)
    progress.line.wipe()  # also where the total was not known


@contextlib.contextmanager
def elapsing(
    what: str, stream: Optional[TextIO] = None, written: Optional[Callable[[], int]] = None, total: int = 0
) -> Iterator[None]:
    """Show how long one step takes that cannot say how far it is, from another thread, as :class:`ProgressLine` does.

    Args:
        written: bytes that are there so far, looked at now and then. While they are between 0 and ``total``, share, rate
            and time left are shown instead.
        total: bytes in the end, about.
    """
    line = ProgressLine(what, "s", stream=stream, quiet=_quiet())
    ended = threading.Event()

    def tick() -> None:
        wait = FIRST_S
        while not ended.wait(wait):
            seconds, wait = time.monotonic() - line.started, line.every
            done = written() if written is not None else 0
            if 0 < done < total:
                said = described(what, "MB", done, total, done / seconds, _MB)
                numbers = _numbers(what, "MB", done, total, done / seconds, _MB)
            else:
                said = f"{what} | {_clock(seconds)}"
                numbers = _numbers(what, "s", round(seconds, 1), None, 1.0, 1.0)
            if ProgressLine.records:
                logger.info(said, extra={"progress": numbers})
            else:
                line.show(said)

    ticking = threading.Thread(target=tick, daemon=True, name="progress")
    if line.active:
        ticking.start()
    try:
        yield
    finally:
        ended.set()
        if line.active:
            ticking.join()
        line.wipe()


class Steps:
    """Work of a few steps, of which most cannot say how far they are; each is shown with its number, as :func:`elapsing` does.

    steps = Steps("export", 3)
    with steps("read"):  # export | 1 of 3 | read | 0:12
    """

    def __init__(self, what: str, total: int):
        self.what, self.total, self.begun = what, total, 0

    def __call__(self, name: str, written: Optional[Callable[[], int]] = None, total: int = 0) -> ContextManager[None]:
        """The next step; see :func:`elapsing` for ``written`` and ``total``."""
        self.begun += 1
        return elapsing(f"{self.what} | {self.begun} of {self.total} | {name}", written=written, total=total)


def described(what: str, unit: str, done: float, total: Optional[float], rate: float, scale: float = 1.0) -> str:
    """Share, rate and time left in one line; without a total how much is done, and the rate."""
    speed = rate * scale
    said = f"{speed:,.1f} {unit}/s" if speed < 1000 else f"{speed:,.0f} {unit}/s"
    if total is None:
        return f"{what} {done * scale:,.0f} {unit} | {said}"
    left = _clock((total - done) / rate) if rate else "?"
    return f"{what} {100 * done / max(total, 1):.1f} % | {said} | {left} left"


def _numbers(what: str, unit: str, done: float, total: Optional[float], rate: float, scale: float) -> Dict[str, Any]:
    """What :func:`described` says, for programs: ``done``, ``total`` and ``rate`` in units, ``eta`` in seconds."""
    left = None if total is None or not rate else round((total - done) / rate, 1)
    whole = None if total is None else total * scale
    return {
        "what": what,
        "unit": unit,
        "done": done * scale,
        "total": whole,
        "rate": round(rate * scale, 3),
        "eta": left,
    }


def wipe() -> None:
    """Take away the progress line that stands on the terminal, so that what is written next begins a line of its own."""
    if ProgressLine.shown is not None:
        ProgressLine.shown.wipe()


class WipingHandler(logging.StreamHandler):
    """A log handler that takes the progress line away before each record."""

    def emit(self, record: logging.LogRecord) -> None:
        wipe()
        super().emit(record)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
