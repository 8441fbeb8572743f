"""Distances between student and teacher embeddings, one value for each sentence, always in float32."""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher) for each sentence.

    Args:
        student: [B, E].
        teacher: [B, E], the frozen target.

    Returns:
        float32 [B], in [0, 2].

    Source: Heffernan et al. (2022); mining compares by cosine, so the student learns by cosine.
    """
    return 1.0 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)


def mse_distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared Euclidean distance for each sentence: float32 [B], >= 0; arguments as above.

    Source: Reimers and Gurevych (2020), but summed over the dimensions, so that the scale does not depend on E.
    """
    return (student.float() - teacher.float()).square().sum(dim=-1)


def smooth_l1_distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance where student and teacher are close, absolute distance where they are not.

    Differences are counted in units of 1 / sqrt(E), the size of one component of a unit vector of width E. With d such a
    difference the sum runs over d^2 / 2 for |d| < 1 and |d| - 1/2 beyond, and is divided by E: so the loss is half of
    :func:`mse_distillation_loss` while every component is within that size, whatever E is, and one component that is
    far off cannot outweigh the others.

    Returns:
        float32 [B], >= 0; arguments as above.

    Source: Girshick (2015), Fast R-CNN, with the knee at the size of a component; PyTorch's SmoothL1Loss has it at 1,
        where no component of a unit vector ever comes, and the loss would be MSE.
    """
    size = student.size(-1) ** 0.5
    return F.smooth_l1_loss(student.float() * size, teacher.float() * size, reduction="none").mean(dim=-1)


def contrastive_loss(
    student: Tensor, teacher: Tensor, temperature: float, false_negative: float, queue: Optional[Tensor] = None
) -> Tensor:
    """Cross-entropy of finding a sentence's own teacher embedding among those of other sentences.

    Args:
        student: [B, E].
        teacher: [B, E].
        temperature: of the softmax over cosines.
        false_negative: other rows whose teacher embedding has at least this cosine to the sentence's own are left out:
            they are repetitions or paraphrases.
        queue: [Q, E], the teacher embeddings of other sentences; None for those of the batch itself. With an empty
            queue there is nothing to tell apart, and the loss is 0.

    Returns:
        float32 [B], >= 0. Memory grows with B x Q (B x B without a queue).

    Source: Tan et al. (2023), LASER3-CO and LASER3-CO-Filter.
    """
    student, teacher = F.normalize(student.float(), dim=-1), F.normalize(teacher.float(), dim=-1)
    if queue is None:
        own = torch.eye(len(student), dtype=torch.bool, device=student.device)
        similar = (teacher @ teacher.t() >= false_negative) & ~own
        logits = (student @ teacher.t() / temperature).masked_fill(similar, float("-inf"))
        return F.cross_entropy(logits, torch.arange(len(student), device=student.device), reduction="none")
    others = F.normalize(queue.float(), dim=-1)
    negative = (student @ others.t() / temperature).masked_fill(teacher @ others.t() >= false_negative, float("-inf"))
    positive = (student * teacher).sum(dim=-1, keepdim=True) / temperature
    return torch.cat([positive, negative], dim=1).logsumexp(dim=1) - positive.squeeze(1)


DISTILLATION_LOSSES = {
    "cosine": cosine_distillation_loss,
    "mse": mse_distillation_loss,
    "smooth_l1": smooth_l1_distillation_loss,
}
