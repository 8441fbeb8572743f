"""Processes agree where one masks nothing: PyTorch's own DDP does not wait for the MLM head, and weights decay alike."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from ddp_process import loss_of, student
from tiny_data import assert_equal_weights, run, train, train_on_two, weights

SCRIPT = Path(__file__).with_name("ddp_process.py")


@pytest.mark.parametrize("rank, update", [(0, 0), (1, 0)], ids=["masked pieces", "none"])
def test_every_parameter_has_a_gradient(rank, update):
    model = student()
    loss_of(model, rank, update).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert (model.mlm_head.dense.weight.grad != 0).any() == (rank == 0)


def test_two_processes_of_pytorchs_ddp_equal_one(tmp_path):
    def process(rank, processes, output):
        done = run([sys.executable, SCRIPT, tmp_path / "store", rank, processes, tmp_path / output])
        assert done.returncode == 0, done.stderr[-2000:]

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(process, (0, 1, 0), (2, 2, 1), ("first", "second", "alone")))
    first, second, alone = (torch.load(tmp_path / name, weights_only=True) for name in ("first", "second", "alone"))
    assert_equal_weights(first, second)
    assert_equal_weights(first, alone, rtol=1e-4, atol=1e-5)


def test_weight_decay_of_an_unused_head_does_not_depend_on_the_processes(data, tmp_path):
    plain = ["--mask-share", "0", "--weight-decay", "1", "--dropout", "0", "--lexical-dropout", "0"]
    plain += ["--autocast", "float32", "--disable-validation"]
    train(data, tmp_path / "one", 4, *plain, "--update-freq", "2")
    train_on_two(data, tmp_path / "two", 4, *plain)
    first, second = weights(tmp_path / "one/checkpoint_last.pt"), weights(tmp_path / "two/checkpoint_last.pt")
    assert_equal_weights(first, second, rtol=1e-3, atol=1e-4)
