"""Whether the student's space has collapsed: every sentence in one place, from where distillation seldom comes back.

A student first falls onto the teacher's mean vector, which is the best single answer to every sentence, and has to leave
it again. So one look says little; a space that is still one point after several validations will not be saved by more of
the same training.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import DataError


@dataclass(frozen=True)
class Spread:
    """How far apart embeddings lie, after each is brought to length 1.

    Attributes:
        variance: mean over the dimensions of their variance, in [0, 1 / E].
        mean_cosine: of all pairs of different sentences, in [-1, 1]; 1 when all are the same.
    """

    variance: float
    mean_cosine: float


def spread(embeddings: np.ndarray) -> Spread:
    """The spread of float [N, E], in time and memory linear in N; of fewer than two sentences, no variance and cosine 0."""
    n, width = embeddings.shape
    if n < 2:
        return Spread(0.0, 0.0)
    lengths = np.sqrt(np.einsum("ne,ne->n", embeddings, embeddings, dtype=np.float64))
    total = np.einsum("ne,n->e", embeddings, 1.0 / np.maximum(lengths, 1e-12), dtype=np.float64)
    squared = float(total @ total)  # the cosines of all pairs, those of each sentence with itself included
    return Spread((1.0 - squared / n**2) / width, (squared - n) / (n * (n - 1)))


def relative_variance(student: Spread, teacher: Spread) -> float:
    """The student's variance as a share of the teacher's; 1 where the teacher has none to compare with."""
    return student.variance / teacher.variance if teacher.variance > 0 else 1.0


class CollapseAlarm:
    """Stops a training whose space has been one point for some validations in a row.

    Validations while the learning rate rises do not count: until then a student may lie on the teacher's mean.

    Args:
        patience: so many in a row are too many; 0 never stops.
    """

    def __init__(self, patience: int):
        self.patience, self.validations = patience, 0
        self.rate: Optional[float] = None
        self.rising = True

    def saw_update(self, rate: float) -> None:
        """Tell the learning rate of an update."""
        self.rising = self.rate is None or rate > self.rate
        self.rate = rate

    def saw_validation(self, variance: float, mean_cosine: float) -> None:
        """Tell the relative variance of a validation and the mean cosine between different sentences.

        Raises:
            DataError: it is one too many.
        """
        collapsed = variance < defaults.COLLAPSE_VARIANCE
        self.validations = self.validations + 1 if collapsed and not self.rising else 0
        if self.patience and self.validations >= self.patience:
            raise DataError(
                f"The student's space has collapsed: in {self.validations} validations in a row, its sentences had less than "
                f"{defaults.COLLAPSE_VARIANCE:.0%} of the teacher's variance (now {variance:.2%}; mean cosine between different "
                f"sentences {mean_cosine:.4f}). Lower --lr, make batches smaller (--max-tokens), pool as the teacher does "
                "(--pooling mean for a mean-pooled teacher), or add --contrastive-weight; --collapse-patience 0 trains on."
            )

    def state_dict(self) -> Dict[str, Any]:
        """What a resumed run must know."""
        return {"validations": self.validations, "rate": self.rate, "rising": self.rising}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.validations, self.rate, self.rising = state["validations"], state["rate"], state["rising"]
