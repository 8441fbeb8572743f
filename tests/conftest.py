"""Settings for all tests."""

import os

import pytest
from hypothesis import settings

# As recipes/common.sh sets them, for a pytest that was started by hand.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The same examples in every run, however slow the machine is just then.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Names of files that are no UTF-8 come into what a test logs; xdist sends reports as UTF-8 alone."""
    report = (yield).get_result()
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
