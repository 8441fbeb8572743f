"""Distances and the contrastive term against loops."""

import torch
from torch.testing import assert_close

from fairseq_distill.modules.losses import contrastive_loss, cosine_distillation_loss, mse_distillation_loss


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
