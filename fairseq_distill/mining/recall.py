"""How many of the true neighbours an approximate search finds, measured on a sample that is searched exactly."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.mining.screen import Neighbours

_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Sample:
    """S rows of one side and their exact neighbours.

    Attributes:
        ids: int64 [S], ascending.
        exact: their neighbours on the other side.
    """

    ids: np.ndarray
    exact: Neighbours


@dataclass(frozen=True)
class Recall:
    """Shares of the exact neighbours that were found, of ``sample`` sources and of as many targets or fewer.

    Attributes:
        sample: rows of both sides together.
        forward, backward: share of rows whose nearest neighbour was found (recall@1).
        forward_k, backward_k: share of all k neighbours that was found.
        low: lower end of the 95 % interval of the lesser recall@1.
    """

    sample: int
    forward: float
    backward: float
    forward_k: float
    backward_k: float
    low: float

    @property
    def least(self) -> float:
        """The lesser recall@1 of both directions."""
        return min(self.forward, self.backward)

    def __str__(self) -> str:
        """For the log."""
        return (
            f"recall@1 {self.forward:.4f} forward, {self.backward:.4f} backward (95 % above {self.low:.4f}), "
            f"@k {self.forward_k:.4f}, {self.backward_k:.4f}, on {self.sample:,} sentences searched exactly"
        )


def sample_size(n: int) -> int:
    """Rows to search exactly out of n: one in a hundred, but not below a quarter of RECALL_SAMPLE nor above it."""
    return min(n, defaults.RECALL_SAMPLE, max(n // 100, defaults.RECALL_SAMPLE // 4))


def measure(samples: Tuple[Sample, Sample], forward: Neighbours, backward: Neighbours) -> Recall:
    """Recall of both directions. A neighbour as near as the exact one counts as that one: duplicates are equals."""
    at_1, at_k = [], []
    for sample, found in zip(samples, (forward, backward)):
        cosines, exact = found.cosines[sample.ids], sample.exact.cosines
        at_1.append(float((cosines[:, 0] >= exact[:, 0]).mean()))
        at_k.append(float((cosines >= exact[:, -1:]).mean()))
    worst = int(np.argmin(at_1))
    low = wilson_low(at_1[worst], len(samples[worst].ids))
    return Recall(sum(len(sample.ids) for sample in samples), at_1[0], at_1[1], at_k[0], at_k[1], low)


def wilson_low(share: float, n: int) -> float:
    """Lower end of the 95 % interval of a share of n (Wilson 1927)."""
    z2 = _Z * _Z / n
    return (share + z2 / 2 - _Z * ((share * (1 - share) + z2 / 4) / n) ** 0.5) / (1 + z2)
