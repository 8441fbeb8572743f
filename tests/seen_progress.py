"""What a piece of work says of its progress, when it is asked at every step."""

import logging
from typing import Callable, Dict, List

import pytest

from fairseq_distill import progress


def seen_progress(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, work: Callable[[], object]
) -> Dict[str, List[dict]]:
    """Run ``work``; what was counted -> the numbers that were shown, in their order."""
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(progress, "FIRST_S", 0)
        patch.setattr(progress, "RECORD_S", 0)
        patch.setattr(progress.ProgressLine, "records", True)
        caplog.clear()
        work()
    shown: Dict[str, List[dict]] = {}
    for record in caplog.records:
        if hasattr(record, "progress"):
            shown.setdefault(record.progress["what"], []).append(record.progress)
    return shown


def ends(shown: Dict[str, List[dict]]) -> Dict[str, tuple]:
    """What was counted -> (done, total) at its end."""
    return {what: (numbers[-1]["done"], numbers[-1]["total"]) for what, numbers in shown.items()}
