"""What fairseq's own checkpoints hold beside tensors loads with weights_only; code does not."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch

import fairseq_distill.tasks  # noqa: F401 (its import allow-lists)
from fairseq_distill.modules.checkpoint_file import load_checkpoint


def test_options_and_numpy_numbers_load(tmp_path):
    held = {
        "args": argparse.Namespace(lr=1),
        "best": np.float64(12.5),
        "counts": np.array([3, 4]),
        "seen": np.bool_(True),
    }
    torch.save(held, tmp_path / "checkpoint.pt")
    found = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert found["args"].lr == 1 and found["best"] == 12.5 and found["counts"].tolist() == [3, 4] and found["seen"]


def test_reading_a_checkpoint_ourselves_takes_nothing_off_the_list(tmp_path):
    torch.save({"args": argparse.Namespace(lr=1)}, tmp_path / "checkpoint.pt")
    load_checkpoint(tmp_path / "checkpoint.pt")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["args"].lr == 1


def test_code_does_not_load(tmp_path):
    class Command:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Command()}, tmp_path / "checkpoint.pt")
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not (tmp_path / "ran").exists()
