"""What the fault suite shares as fixtures: the files of every format, and the programs that read some of them."""

import pytest

from tests.faults.formats import PROGRAMS, write_formats


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a small valid file of every format."""
    return write_formats(tmp_path_factory.mktemp("made"))


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    """The programs of data_prep/ and recipes/ can be imported."""
    for folder in PROGRAMS:
        monkeypatch.syspath_prepend(folder)
