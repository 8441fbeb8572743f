"""The page that lists the cases lists them all."""

import re
from pathlib import Path

from tests.faults.formats import FORMATS

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_file_of_the_suite_is_on_the_page():
    own = {path.name for path in HERE.glob("test_*.py")} - {Path(__file__).name}
    assert set(re.findall(r"^\| `(test_\w+\.py)`", PAGE, re.M)) == own


def test_the_page_counts_the_formats():
    assert f"every format: {len(FORMATS)} of them" in PAGE
