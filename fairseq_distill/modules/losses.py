"""Distances between student and teacher embeddings, one value for each sentence, always in float32."""

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


def contrastive_loss(student: Tensor, teacher: Tensor, temperature: float, false_negative: float) -> Tensor:
    """Cross-entropy of finding a sentence's own teacher embedding among those of the batch.

    Args:
        student: [B, E].
        teacher: [B, E].
        temperature: of the softmax over cosines.
        false_negative: other rows whose teacher embedding has at least this cosine to the sentence's own are left out:
            they are repetitions or paraphrases.

    Returns:
        float32 [B], >= 0.

    Source: Tan et al. (2023), LASER3-CO and LASER3-CO-Filter.
    """
    student, teacher = F.normalize(student.float(), dim=-1), F.normalize(teacher.float(), dim=-1)
    own = torch.eye(len(student), dtype=torch.bool, device=student.device)
    similar = (teacher @ teacher.t() >= false_negative) & ~own
    logits = (student @ teacher.t() / temperature).masked_fill(similar, float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(student), device=student.device), reduction="none")


DISTILLATION_LOSSES = {"cosine": cosine_distillation_loss, "mse": mse_distillation_loss}
