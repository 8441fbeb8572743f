"""Distances and the contrastive term against loops."""

import pytest
import torch
from torch.testing import assert_close

from fairseq_distill.modules.losses import (
    contrastive_loss,
    cosine_distillation_loss,
    mse_distillation_loss,
    smooth_l1_distillation_loss,
)


def test_cosine_and_mse_equal_loops():
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    for row in range(5):
        s, t = student[row], teacher[row]
        assert_close(cosine_distillation_loss(student, teacher)[row], 1 - s @ t / s.norm() / t.norm())
        assert_close(mse_distillation_loss(student, teacher)[row], ((s - t) ** 2).sum())


def test_cosine_in_half_precision_is_computed_in_float32():
    student, teacher = torch.randn(4, 64), torch.randn(4, 64)
    loss = cosine_distillation_loss(student.bfloat16(), teacher)
    assert loss.dtype == torch.float32
    assert_close(loss, cosine_distillation_loss(student.bfloat16().float(), teacher))


def test_contrastive_equals_a_loop_and_leaves_out_repetitions():
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 8), torch.randn(6, 8)
    teacher[4] = 2 * teacher[1]  # the same sentence twice in a batch
    found = contrastive_loss(student, teacher, 0.1, 0.9)
    for row in range(6):
        cosines = torch.cosine_similarity(student[row : row + 1], teacher)
        others = [j for j in range(6) if j != row and torch.cosine_similarity(teacher[row], teacher[j], dim=0) < 0.9]
        total = torch.logsumexp(torch.stack([cosines[j] for j in [row, *others]]) / 0.1, 0)
        assert_close(found[row], total - cosines[row] / 0.1, atol=1e-4, rtol=1e-4)
        assert len(others) == (4 if row in (1, 4) else 5)


def test_smooth_l1_equals_a_loop_on_both_sides_of_its_knee():
    torch.manual_seed(0)
    width = 16
    student, teacher = torch.randn(5, width), torch.randn(5, width)
    found = smooth_l1_distillation_loss(student, teacher)
    beyond = 0
    for row in range(5):
        total = 0.0
        for column in range(width):
            d = abs(float(student[row, column] - teacher[row, column])) * 4  # sqrt(16)
            beyond += d > 1
            total += d * d / 2 if d < 1 else d - 0.5
        assert_close(float(found[row]), total / width, rtol=1e-5, atol=1e-6)
    assert 0 < beyond < 5 * width


@pytest.mark.parametrize("width", [4, 256])
def test_smooth_l1_is_half_of_mse_near_the_teacher_at_any_width(width):
    teacher = torch.nn.functional.normalize(torch.randn(3, width), dim=1)
    student = teacher + 0.5 * width**-0.5 * torch.rand(3, width)
    assert_close(smooth_l1_distillation_loss(student, teacher), mse_distillation_loss(student, teacher) / 2)


def test_the_queue_gives_the_negatives_and_no_repetition_is_one():
    torch.manual_seed(0)
    student, teacher, queue = torch.randn(4, 8, requires_grad=True), torch.randn(4, 8), torch.randn(9, 8)
    queue[5] = 3 * teacher[2] + 0.01 * torch.randn(8)  # the same sentence again, from an earlier update
    found = contrastive_loss(student, teacher, 0.05, 0.9, queue)
    for row in range(4):
        own = torch.cosine_similarity(student[row], teacher[row], dim=0)
        others = [old for old in queue if torch.cosine_similarity(teacher[row], old, dim=0) < 0.9]
        cosines = torch.stack([own, *(torch.cosine_similarity(student[row], old, dim=0) for old in others)])
        assert_close(found[row], torch.logsumexp(cosines / 0.05, 0) - own / 0.05, atol=1e-4, rtol=1e-4)
        assert len(others) == (8 if row == 2 else 9)


def test_an_empty_queue_and_a_queue_of_repetitions_have_no_gradient_but_no_nan():
    student, teacher = torch.randn(3, 8, requires_grad=True), torch.randn(3, 8)
    for queue in (torch.empty(0, 8), teacher[:1].expand(2, 8)):
        loss = contrastive_loss(student, teacher[:1].expand(3, 8), 0.05, 0.9, queue)
        assert_close(loss, torch.zeros(3), atol=1e-5, rtol=0)
        (gradient,) = torch.autograd.grad(loss.sum(), student)
        assert_close(gradient, torch.zeros(3, 8), atol=1e-5, rtol=0)


def test_the_memory_of_the_queue_is_linear_in_it():
    """The largest tensor is of B x Q or Q x E, none of B x Q x E."""
    student, teacher, queue = torch.randn(32, 64), torch.randn(32, 64), torch.randn(4096, 64)
    seen = []

    class Watching(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            seen.extend(each.numel() for each in (out if isinstance(out, tuple) else (out,)) if torch.is_tensor(each))
            return out

    with Watching():
        contrastive_loss(student, teacher, 0.05, 0.9, queue)
    assert max(seen) <= max(queue.numel(), 32 * (len(queue) + 1))
