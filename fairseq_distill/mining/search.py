"""The search that mining uses: exact, or approximate where exact would take too long."""

import logging
from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.approximate import ApproximateReport, knn_both_approximate
from fairseq_distill.mining.device import check_device, knn_both_on
from fairseq_distill.mining.knn import Neighbours, knn, knn_both

logger = logging.getLogger(__name__)

SEARCHES = ("auto", "exact", "approximate")


@dataclass(frozen=True)
class Found:
    """Neighbours, and how they were found.

    Attributes:
        forward, backward: see :func:`fairseq_distill.mining.knn.knn_both`; None for a direction not asked for.
        search: "exact" or "approximate".
        report: of an approximate search.
    """

    forward: Optional[Neighbours]
    backward: Optional[Neighbours]
    search: str
    report: Optional[ApproximateReport] = None


def check_search(search: str, recall: float, device: str = "cpu") -> None:
    """Raise a ConfigError unless there is such a search on this device and the recall can be had."""
    if search not in SEARCHES:
        raise ConfigError(f"{search!r} is no search; use one of {', '.join(SEARCHES)}.")
    if not 0 < recall <= 1:
        raise ConfigError(f"recall is {recall:g}, but must be above 0 and at most 1.")
    if device != "cpu" and search == "approximate":
        raise ConfigError(
            "The approximate search works on processors alone; leave out --device, or --search approximate."
        )
    check_device(device)


def choose_search(search: str, n: int, m: int, dim: int) -> str:
    """The search for sides of n and m vectors of width dim, exact or approximate; "auto" goes by the size alone."""
    if search != "auto":
        return search
    return "exact" if float(n) * m * dim <= defaults.EXACT_WORK else "approximate"


def find_neighbours(
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    directions: str = "both",
    search: str = "auto",
    recall: float = defaults.RECALL,
    seed: int = defaults.SEARCH_SEED,
    device: str = "cpu",
    **options: Any,
) -> Found:
    """The k nearest neighbours in the ``directions`` asked for, "both", "forward" or "backward".

    Args:
        src, tgt, k, options: see :func:`fairseq_distill.mining.knn.knn_both`.
        search: one of SEARCHES.
        recall, seed: of an approximate search, see
            :func:`fairseq_distill.mining.approximate.knn_both_approximate`.
        device: "cpu", or where PyTorch finds a GPU, "cuda" or "cuda:1"; there the search is exact, whatever the size.

    Raises:
        DataError, ConfigError: as these functions.
    """
    check_search(search, recall, device)
    if device != "cpu":
        options.pop("precision", None)
        return Found(*knn_both_on(device, src, tgt, k, **options), "exact")
    n, m = sizes_of(src, tgt, options.get("index", (None, None)))
    chosen = choose_search(search, n, m, src.shape[-1])
    if chosen == "approximate":
        if search == "auto":
            logger.info(
                f"{n:,} x {m:,} sentences: the search is approximate (--recall {recall:g}; --search exact compares all)"
            )
        forward, backward, report = knn_both_approximate(src, tgt, k, recall=recall, seed=seed, **options)
        return Found(forward, backward, "exact" if report is None else "approximate", report)
    if directions == "forward":
        return Found(knn(src, tgt, k, **options), None, "exact")
    if directions == "backward":
        swapped = {name: value[::-1] if name in ("names", "index") else value for name, value in options.items()}
        return Found(None, knn(tgt, src, k, **swapped), "exact")
    return Found(*knn_both(src, tgt, k, **options), "exact")


def sizes_of(
    src: np.ndarray, tgt: np.ndarray, index: Tuple[Optional[np.ndarray], Optional[np.ndarray]]
) -> Tuple[int, int]:
    """How many rows of each side take part."""
    n, m = (len(rows) if ids is None else len(ids) for rows, ids in zip((src, tgt), index))
    return n, m
