"""How far long work has come: one line on a terminal, rewritten in place."""

import sys
import time
from typing import Optional, TextIO


class ProgressLine:
    """Call with (done, total); shows share, rate and time left once the work has taken a few seconds.

    Writes nothing when ``stream`` is no terminal, so that logs stay free of it. Use as a context manager: the line is
    wiped at the end.

    Args:
        what: the work, in one word.
        unit: what is counted.
        scale: units in one of what ``done`` counts.
    """

    def __init__(self, what: str, unit: str, scale: float = 1.0, stream: Optional[TextIO] = None, quiet: bool = False):
        self.what, self.unit, self.scale = what, unit, scale
        self.stream = stream or sys.stderr
        self.active = not quiet and self.stream.isatty()
        self.started = self.shown = time.monotonic()
        self.width = 0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self.active or now - self.started < 3 or (now - self.shown < 0.5 and done < total):
            return
        self.shown = now
        rate = done / (now - self.started)
        left = (total - done) / rate if rate else 0.0
        text = f"{self.what} {100 * done / total:.1f} % | {rate * self.scale:,.1f} {self.unit}/s | {_clock(left)} left"
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *error: object) -> None:
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
