"""Mining and xsim as slow, obvious loops: what the fast versions must equal."""

import math
from typing import List, Optional, Sequence, Tuple

import numpy as np


def cosine(x: Sequence[float], y: Sequence[float]) -> float:
    """Cosine of two vectors, 0 when one of them is zero."""
    x, y = [float(value) for value in x], [float(value) for value in y]
    lengths = math.sqrt(math.fsum(a * a for a in x)) * math.sqrt(math.fsum(b * b for b in y))
    return math.fsum(a * b for a, b in zip(x, y)) / lengths if lengths else 0.0


def neighbours(src: np.ndarray, tgt: np.ndarray, k: int) -> Tuple[np.ndarray, np.ndarray]:
    """([N, K] cosines, [N, K] indices): highest cosine first, equal ones by index."""
    cosines, indices = [], []
    for x in src:
        found = sorted((-cosine(x, y), j) for j, y in enumerate(tgt))[:k]
        cosines.append([-negative for negative, _ in found])
        indices.append([j for _, j in found])
    return np.array(cosines), np.array(indices)


def margin_score(a: float, src_mean: float, tgt_mean: float, margin: str, floor: float = 0.01) -> float:
    """The score of one candidate."""
    b = (src_mean + tgt_mean) / 2
    return {"absolute": a, "distance": a - b, "ratio": a / max(b, floor)}[margin]


def best(src: np.ndarray, tgt: np.ndarray, k: int, margin: str) -> List[Tuple[float, int]]:
    """For each source sentence (score, target) of its best candidate; the nearer one when scores are equal."""
    cosines, indices = neighbours(src, tgt, k)
    back, _ = neighbours(tgt, src, k)
    result = []
    for row, candidates in zip(cosines, indices):
        scored = [
            (margin_score(a, row.mean(), back[j].mean(), margin), -place, int(j))
            for place, (a, j) in enumerate(zip(row, candidates))
        ]
        score, _, j = max(scored)
        result.append((score, j))
    return result


def score(
    src: np.ndarray, tgt: np.ndarray, pairs: Sequence[Tuple[int, int]], k: int, margin: str
) -> List[Tuple[float, float]]:
    """(score, cosine) of each given pair of rows, as LASER's mine_bitexts.py --mode score."""
    forward, backward = neighbours(src, tgt, k)[0], neighbours(tgt, src, k)[0]
    cosines = [cosine(src[i], tgt[j]) for i, j in pairs]
    return [(margin_score(a, forward[i].mean(), backward[j].mean(), margin), a) for a, (i, j) in zip(cosines, pairs)]


def mine(
    src: np.ndarray, tgt: np.ndarray, k: int, margin: str, retrieval: str, threshold: float
) -> List[Tuple[float, int, int]]:
    """(score, source, target), best first, as LASER's mine_bitexts.py means the four retrievals."""
    forward, backward = best(src, tgt, k, margin), best(tgt, src, k, margin)
    from_src = [(score, i, j) for i, (score, j) in enumerate(forward)]
    from_tgt = [(score, i, j) for j, (score, i) in enumerate(backward)]
    if retrieval == "fwd":
        pairs = from_src
    elif retrieval == "bwd":
        pairs = from_tgt
    elif retrieval == "intersect":
        pairs = [(score, i, j) for score, i, j in from_src if backward[j][1] == i]
    else:
        pairs = greedy(from_src + from_tgt)
    return sorted((pair for pair in pairs if pair[0] > threshold), key=lambda pair: (-pair[0], pair[1], pair[2]))


def greedy(pairs: List[Tuple[float, int, int]]) -> List[Tuple[float, int, int]]:
    """Best first, each pair whose two sentences are still unused."""
    used_src, used_tgt, kept = set(), set(), []
    for score, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if i not in used_src and j not in used_tgt:
            used_src.add(i)
            used_tgt.add(j)
            kept.append((score, i, j))
    return kept


def xsim_errors(src: np.ndarray, tgt: np.ndarray, margin: str, k: int, texts: Optional[Sequence[str]] = None) -> int:
    """How many source sentences find another target than their own, as LASER's xsim counts."""
    errors = 0
    nearest = neighbours(src, tgt, 1)[1]
    found = best(src, tgt, k, margin)
    for i in range(len(src)):
        j = int(nearest[i][0]) if margin == "absolute" else found[i][1]
        errors += texts[i] != texts[j] if texts is not None else i != j
    return errors
