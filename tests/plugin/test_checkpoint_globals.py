"""What fairseq's own checkpoints hold beside tensors loads with weights_only; code does not."""

import argparse
import os
import pickle

import numpy as np
import pytest
import torch

import fairseq_distill.tasks  # noqa: F401 (its import allow-lists)


def test_options_and_numpy_numbers_load(tmp_path):
    held = {"args": argparse.Namespace(lr=1), "best": np.float64(12.5), "counts": np.array([3, 4]), "seen": np.bool_(True)}
    torch.save(held, tmp_path / "checkpoint.pt")
    found = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert found["args"].lr == 1 and found["best"] == 12.5 and found["counts"].tolist() == [3, 4] and found["seen"]


def test_code_does_not_load(tmp_path):
    class Command:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Command()}, tmp_path / "checkpoint.pt")
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not (tmp_path / "ran").exists()
