"""F1 of mining known pairs out of two texts, with a threshold chosen on other pairs: the protocol of the BUCC shared task.

Every line is known to have its gold partner or none, so precision and recall are those of all mined pairs.
Source: Zweigenbaum, Sharoff and Rapp (2018), Overview of the Third BUCC Shared Task; Artetxe and Schwenk (2019).
"""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np

from fairseq_distill import __version__, defaults
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.calibration import KnownLines, best_f1, resampled_shares, sweep
from fairseq_distill.formats.bucc import BuccSet
from fairseq_distill.progress import comparing


@dataclass(frozen=True)
class BuccResult:
    """F1 on the test half, in percent.

    Attributes:
        f1, precision, recall: in [0, 100], with the threshold of the training half.
        low, high: 95% interval of ``f1``, the test half's lines resampled, the threshold as it is.
        threshold: pairs with a greater score are kept.
        train_f1: of the training half, where the threshold was chosen.
        pairs, right, gold: pairs kept; those among the gold pairs; gold pairs of the test half.
        signature: everything needed to repeat the number.
    """

    f1: float
    precision: float
    recall: float
    low: float
    high: float
    threshold: float
    train_f1: float
    pairs: int
    right: int
    gold: int
    signature: str


Half = Tuple[np.ndarray, np.ndarray, np.ndarray]  # rows of src, rows of tgt, gold pairs counted within these


def halves(bucc: BuccSet, seed: int = 1) -> Tuple[Half, Half]:
    """A training and a test half: each line goes to one of them by chance, a gold pair as a whole.

    Of an odd number of gold pairs, or of other lines, the test half gets one more.
    """
    rng = np.random.default_rng(seed)
    sides = [rng.permutation(n) for n in (len(bucc.gold), len(bucc.src), len(bucc.tgt))]
    found = []
    for first in (True, False):
        gold = bucc.gold[np.sort(_half(sides[0], first))]
        rows = []
        for column, order in ((0, sides[1]), (1, sides[2])):
            free = order[~np.isin(order, bucc.gold[:, column])]
            rows.append(np.sort(np.concatenate([gold[:, column], _half(free, first)])))
        inside = np.stack([np.searchsorted(rows[0], gold[:, 0]), np.searchsorted(rows[1], gold[:, 1])], axis=1)
        found.append((rows[0], rows[1], inside))
    return found[0], found[1]


def _half(order: np.ndarray, first: bool) -> np.ndarray:
    middle = len(order) // 2
    return order[:middle] if first else order[middle:]


def all_known(bucc: BuccSet, half: Half) -> KnownLines:
    """What :mod:`fairseq_distill.evaluation.calibration` wants to know, with no line unknown."""
    src, tgt, gold = half
    numbers: Dict[str, int] = {}
    texts = np.fromiter((numbers.setdefault(bucc.tgt[row], len(numbers)) for row in tgt), np.int64, len(tgt))
    n, alone = len(gold), len(src) - len(gold)
    partner = np.full(len(src), -1)
    partner[gold[:, 0]] = texts[gold[:, 1]]
    units = []
    for rows, column, start in ((src, 0, n), (tgt, 1, n + alone)):
        unit = np.full(len(rows), -1)
        unit[gold[:, column]] = np.arange(n)
        unit[unit < 0] = np.arange(start, start + len(rows) - n)
        units.append(unit)
    return KnownLines(partner, texts, units[0], units[1], n, n + alone + len(tgt) - n)


def bucc_f1(
    src: np.ndarray,
    tgt: np.ndarray,
    bucc: BuccSet,
    margin: str = defaults.MARGIN,
    k: int = defaults.NEIGHBOURHOOD,
    retrieval: str = defaults.RETRIEVAL,
    seed: int = 1,
    about: Optional[Dict[str, str]] = None,
    samples: int = defaults.BOOTSTRAP_SAMPLES,
) -> BuccResult:
    """Mine both halves, each for itself; take the threshold of the best F1 on the first, and report F1 on the second.

    A copy of a gold pair's target line counts as that line.

    Args:
        src, tgt: float32 or float16 [N, E] and [M, E], of ``bucc.src`` and ``bucc.tgt``.
        seed: which lines are in which half.

    Raises:
        DataError: other numbers of rows than lines; and as :func:`fairseq_distill.evaluation.calibration.sweep`.
    """
    if (len(src), len(tgt)) != (len(bucc.src), len(bucc.tgt)):
        raise DataError(
            f"{len(src):,} and {len(tgt):,} rows for {len(bucc.src):,} and {len(bucc.tgt):,} lines; embed them again."
        )
    train, test = halves(bucc, seed)
    known = [all_known(bucc, half) for half in (train, test)]
    curves = []
    for name, half, one in zip(("threshold", "test"), (train, test), known):
        with comparing(f"bucc {name}") as line:
            curves += sweep(src[half[0]], tgt[half[1]], one, (margin,), (k,), retrieval, progress=line)
    chosen = curves[0].cut(best_f1(curves[0]))
    kept = int((curves[1].scores > chosen.threshold).sum())
    right = int(curves[1].right[:kept].sum())  # every pair is judged, so the curve's order is that of all pairs
    gold = len(test[2])
    precision, recall = right / max(kept, 1), right / gold
    low, high = 0.0, 0.0
    if kept:
        drawn = [
            shares[2][:, 0] for shares in resampled_shares(curves[1], np.array([kept]), known[1].units, samples, 1)
        ]
        low, high = (float(100 * value) for value in np.quantile(np.concatenate(drawn), [0.025, 0.975]))
    fields = {"margin": margin, "k": k, "retrieval": retrieval, "src": len(test[0]), "tgt": len(test[1]), "gold": gold}
    fields |= {"seed": seed, **(about or {}), "v": __version__}
    return BuccResult(
        f1=100 * 2 * right / (kept + gold), precision=100 * precision, recall=100 * recall, low=low, high=high,
        threshold=chosen.threshold, train_f1=100 * chosen.f1, pairs=kept, right=right, gold=gold,
        signature="|".join(["bucc-f1", *(f"{name}:{value}" for name, value in fields.items())]),
    )  # fmt: skip
