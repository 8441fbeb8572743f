"""Precision and recall of mining on hidden pairs, counted pair by pair."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from tests.reference.mining import mine


def mined(vectors: Tuple[np.ndarray, np.ndarray], margin: str, k: int, retrieval: str) -> List[Tuple[float, int, int]]:
    """All pairs (score, source, target) of a setting, best first."""
    return mine(vectors[0], vectors[1], k, margin, retrieval, float("-inf"))


def measures(
    pairs: Sequence[Tuple[float, int, int]],
    texts: Tuple[Sequence[str], Sequence[str]],
    hidden: Dict[str, str],
    alone: Tuple[Sequence[str], Sequence[str]],
    threshold: float,
) -> Optional[Tuple[int, float, int, float, float, float]]:
    """(pairs, judged, right, precision, recall, F1) of the pairs with a greater score; None when nothing is judged."""
    known_src, known_tgt = {*hidden, *alone[0]}, {*hidden.values(), *alone[1]}
    kept = right = 0
    judged = 0.0
    for score, i, j in pairs:
        if not score > threshold:
            continue
        kept += 1
        one, two = texts[0][i], texts[1][j]
        judged += 0.5 * (one in known_src) + 0.5 * (two in known_tgt)
        if hidden.get(one) == two:
            right += 1
    if not judged:
        return None
    precision, recall = right / judged, right / len(hidden)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return kept, judged, right, precision, recall, f1
