"""A small student of any shape, as a checkpoint."""

import pytest

from tests.unit.export.export_students import SHAPES, train_spm, write_student


@pytest.fixture(scope="session")
def spm():
    """A small SentencePiece model, serialised."""
    return train_spm()


@pytest.fixture
def student(request, spm, tmp_path):
    """The path of a student's checkpoint; ``indirect`` parameters name one of SHAPES."""
    return write_student(tmp_path / "checkpoint.pt", spm, **SHAPES[getattr(request, "param", "laser3")][0])
