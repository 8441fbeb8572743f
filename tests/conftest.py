"""Settings for all tests."""

import os

from hypothesis import settings

# As recipes/common.sh sets them, for a pytest that was started by hand.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The same examples in every run, however slow the machine is just then.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
