"""Each objective's gradient against plain backward passes."""

import torch
from torch import nn
from torch.testing import assert_close

from fairseq_distill.modules.gradients import ObjectiveGradients


def terms_of(net, rows):
    out = net(rows)
    return {"first": out[:, 0].square().sum(), "second": 0.3 * out[:, 1].sum()}


def test_norms_are_those_of_the_summed_gradients_and_training_is_untouched():
    torch.manual_seed(0)
    net, rows = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(6, 3)
    net[0].bias.requires_grad_(False)
    measured = ObjectiveGradients(net.parameters(), ["first", "second", "third"])
    for part in (rows[:2], rows[2:]):
        terms = terms_of(net, part)
        measured.add({**terms, "third": torch.zeros(())})
        sum(terms.values()).backward()
    after = [None if each.grad is None else each.grad.clone() for each in net.parameters()]
    found = measured.norms(6.0, lambda gradient: gradient.mul_(2))  # another process with the same gradients
    for name in ("first", "second"):
        net.zero_grad()
        terms_of(net, rows)[name].backward()
        expected = torch.cat([each.grad.flatten() for each in net.parameters() if each.grad is not None]).norm()
        assert_close(torch.tensor(found[name]), 2 * expected / 6, rtol=1e-5, atol=1e-6)
    assert found["third"] == 0.0
    net.zero_grad()
    sum(terms_of(net, rows).values()).backward()
    for each, grad in zip(net.parameters(), after):
        assert (each.grad is None) == (grad is None)
        if grad is not None:
            assert_close(grad, each.grad)
