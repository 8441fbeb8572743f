"""How far rows have to look for a wanted recall, at the least cost."""

import logging
from typing import Optional, Tuple

import numpy as np

from fairseq_distill.mining.clusters import Clusters, reach_needed, shares_visited
from fairseq_distill.mining.products import Product
from fairseq_distill.mining.recall import Sample
from fairseq_distill.mining.rows import UnitRows

logger = logging.getLogger(__name__)

Reach = Tuple[Optional[float], Optional[float]]
_STEPS = 64  # reaches of the sources that are tried
_MEASURED = 8000.0  # pairs that take as long to compare as the candidates of a row to measure


def choose_reach(
    samples: Tuple[Sample, Sample],
    sides: Tuple[UnitRows, UnitRows],
    clusters: Tuple[Clusters, Clusters],
    recall: float,
    product: Product,
) -> Tuple[Reach, float]:
    """(reach of sources and of targets with which both samples find enough nearest neighbours, share of pairs compared).

    A nearest neighbour is found when the source reaches the target's cluster or the target the source's. Of all
    such pairs of reaches (in steps) this is the one that takes the least work: the pairs compared, and for each side that visits
    at all, the candidates measured.
    """
    (one, two), (own, other) = sides, clusters
    pairs = [(samples[0].ids, samples[0].exact.indices[:, 0]), (samples[1].exact.indices[:, 0], samples[1].ids)]
    from_src = [reach_needed(one.subset(x), other.centroids, other.labels[y], product) for x, y in pairs]
    from_tgt = [reach_needed(two.subset(y), own.centroids, own.labels[x], product) for x, y in pairs]
    # -1: the sources visit nothing.
    tried = np.unique(np.quantile(np.concatenate(from_src), np.linspace(0, 1, _STEPS), method="higher"))
    tried = np.concatenate([np.full(1, -1, np.float32), tried])
    needed = np.array([max(_rest(*both, float(far), recall) for both in zip(from_src, from_tgt)) for far in tried])
    answers, back = np.unique(needed, return_inverse=True)
    visitors = one.subset(samples[0].ids), two.subset(samples[1].ids)
    cost_src = shares_visited(visitors[0], other, tried, product)
    cost_tgt = shares_visited(visitors[1], own, answers, product)[back]
    measured = _MEASURED * (1 / one.n + 1 / two.n)
    best = int(np.argmin(cost_src + cost_tgt + measured * ((tried >= 0).astype(int) + (needed >= 0))))
    share = float(cost_src[best] + cost_tgt[best])
    one.release()
    two.release()
    logger.info(
        f"recall {recall:g} takes a reach of {max(0, tried[best]):.4f} for sources ({100 * cost_src[best]:.2f} % of all pairs) "
        f"and of {max(0, needed[best]):.4f} for targets ({100 * cost_tgt[best]:.2f} %)"
    )
    reach = [None if value < 0 else float(value) for value in (tried[best], needed[best])]
    return (reach[0], reach[1]), share


def _rest(from_src: np.ndarray, from_tgt: np.ndarray, reach: float, recall: float) -> float:
    """The reach that the targets need, for neighbours that sources with this reach miss; -1: none."""
    missed = np.sort(from_tgt[from_src > reach])
    still = int(np.ceil(recall * len(from_src) - 1e-9)) - (len(from_src) - len(missed))
    return float(missed[still - 1]) if still > 0 else -1.0
