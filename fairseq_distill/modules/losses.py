"""Distances between student and teacher embeddings, one value for each sentence, always in float32."""

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
