"""Dropout: the share that is dropped, the scale of the rest, independence, and the seed."""

import pytest
import torch
from torch.testing import assert_close

from fairseq_distill.modules.fast_dropout import dropout


@pytest.mark.parametrize("probability", [0.0001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_scale(probability, dtype):
    torch.manual_seed(0)
    x = torch.full((1001, 333), 2.0, dtype=dtype)
    y = dropout(x, probability).float()
    share = float((y == 0).float().mean())
    assert abs(share - probability) < 4 * (probability * (1 - probability) / x.numel()) ** 0.5 + 1e-5
    kept = y[y != 0]
    assert_close(kept, torch.full_like(kept, 2.0 / (1 - probability)), rtol=1e-2, atol=0)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    dropped = dropout(torch.ones(4_000_000), 0.5) == 0
    for distance in (1, 2, 3, 4, 64):
        both = float((dropped[:-distance] & dropped[distance:]).float().mean())
        assert abs(both - 0.25) < 0.002


def test_the_seed_decides_and_gradients_follow_the_mask():
    x = torch.randn(13, 7, requires_grad=True)
    torch.manual_seed(3)
    first = dropout(x, 0.3)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x, 0.3))
    assert not torch.equal(first, dropout(x, 0.3))
    first.sum().backward()
    assert torch.equal(x.grad == 0, first == 0)


def test_nothing_is_dropped_outside_training_or_without_a_share():
    x = torch.randn(5)
    assert dropout(x, 0.3, training=False) is x
    assert dropout(x, 0.0) is x
