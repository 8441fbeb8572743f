"""Batches in threads: each is worked on once, PyTorch's threads are divided and given back, errors arrive."""

import threading

import pytest
import torch

from fairseq_distill.modules.threads import spread


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("items, each", [(0, []), (1, [4]), (2, [2, 2]), (3, [1, 1, 1]), (9, [1] * 9)])
def test_threads_are_divided_and_given_back(items, each):
    seen, lock = {}, threading.Lock()

    def work(item):
        with lock:
            seen[item] = torch.get_num_threads()

    spread(work, range(items))
    assert [seen[item] for item in range(items)] == each
    assert torch.get_num_threads() == 4


def test_an_error_is_raised_and_the_threads_are_given_back():
    def work(item):
        if item == 1:
            raise ValueError("item 1")

    with pytest.raises(ValueError, match="item 1"):
        spread(work, range(4))
    assert torch.get_num_threads() == 4
