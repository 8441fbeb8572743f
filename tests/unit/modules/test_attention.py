"""Attention says what PyTorch's fused kernel says, with its gradients, by either way."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from fairseq_distill.modules import attention as module
from fairseq_distill.modules.attention import attention


def inputs(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 2, 7, 5, generator=generator).to(dtype).requires_grad_() for _ in range(3)]


def padding_mask():
    return (torch.arange(7)[None, :] < torch.tensor([[7], [1], [4]]))[:, None, None, :]


@pytest.mark.parametrize("mask", [None, padding_mask()])
@pytest.mark.parametrize("most_scores", [0, 1 << 24])
def test_values_and_gradients_equal_the_fused_kernel(mask, most_scores, monkeypatch):
    monkeypatch.setattr(module, "_MOST_SCORES", most_scores)
    ours, theirs = inputs(), inputs()
    found = attention(*ours, mask)
    expected = F.scaled_dot_product_attention(*theirs, attn_mask=mask)
    assert_close(found, expected)
    upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    found.backward(upstream)
    expected.backward(upstream)
    for one, other in zip(ours, theirs):
        assert_close(one.grad, other.grad)


def test_bfloat16_stays_bfloat16_and_near():
    exact = attention(*inputs(), padding_mask())
    rough = attention(*inputs(dtype=torch.bfloat16), padding_mask())
    assert rough.dtype == torch.bfloat16
    assert_close(rough.float(), exact, atol=0.03, rtol=0.03)


def test_dropout_leaves_weights_out():
    query, key, value = inputs()
    torch.manual_seed(0)
    dropped = torch.stack([attention(query, key, value, None, 0.5) for _ in range(400)])
    assert not torch.equal(dropped[0], dropped[1])
    assert_close(dropped.mean(0), attention(query, key, value, None), atol=0.3, rtol=0.1)
