"""Checkpoints that are damaged where the long fuzzing found it."""

import numpy as np
import pytest
import torch

from fairseq_distill.errors import CheckpointError
from fairseq_distill.modules.checkpoint_file import load_checkpoint


def test_numpys_numbers_are_read(tmp_path):
    """fairseq's trainer leaves one where a metric was one; with the plugin or without, a checkpoint is read alike."""
    torch.save({"extra_state": {"best": np.float64(2.5), "seen": np.int64(3)}}, tmp_path / "c.pt")
    assert load_checkpoint(tmp_path / "c.pt")["extra_state"] == {"best": 2.5, "seen": 3}


def test_an_archive_that_claims_a_second_disk(tmp_path):
    file = tmp_path / "c.pt"
    torch.save({"weight": torch.ones(3)}, file)
    whole = bytearray(file.read_bytes())
    assert load_checkpoint(file)["weight"].tolist() == [1, 1, 1]
    locator = whole.rindex(b"PK\x06\x07")
    whole[locator + 16] = 2  # disks in all
    file.write_bytes(whole)
    with pytest.raises(CheckpointError, match="c.pt is damaged and cannot be read"):
        load_checkpoint(file)
