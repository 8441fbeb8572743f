"""What a mining threshold means: precision and recall on known pairs that were hidden in the text to be mined.

Hidden pairs have both sides in the text; lines "alone" have a partner that is known not to be there. A mined pair is
right when its target text is the hidden translation's. It is judged by its known sides, each for half: a right pair has
two, a wrong one mostly one, so that counting pairs would count the wrong ones double. With all lines known this is the
precision itself. An unknown second translation in the text counts as wrong, so precision is a lower bound. It is that of
a text in which as large a share of the lines has a partner as of the known lines: where they are rarer, it is lower.
"""

import logging
from dataclasses import dataclass, replace
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.calibration import Cut, Setting
from fairseq_distill.mining.knn import Neighbours, knn_both
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.mining.matching import ScoredPairs, retrieve
from fairseq_distill.mining.pairs import scored_candidates

logger = logging.getLogger(__name__)

_BLOCK = 1 << 22  # weights drawn at a time by the bootstrap
_MOST_POINTS = 200  # of a curve that is written


@dataclass(frozen=True)
class KnownLines:
    """What is known of the two texts.

    Attributes:
        partner: int64 [N], for a hidden source line the number of its translation's text, -1 for all others.
        tgt_text: int64 [M], number of each known target line's text, equal for equal lines; -2 for unknown lines.
        src_unit: int64 [N], hidden pair or line alone that a source line belongs to, -1 for unknown lines.
        tgt_unit: int64 [M], the same for target lines; both sides of a hidden pair have its number, below ``hidden``.
        hidden, units: number of hidden pairs; of these and lines alone together.
    """

    partner: np.ndarray
    tgt_text: np.ndarray
    src_unit: np.ndarray
    tgt_unit: np.ndarray
    hidden: int
    units: int


def known_lines(
    src: Sequence[str],
    tgt: Sequence[str],
    hidden: Tuple[Sequence[str], Sequence[str]],
    alone: Tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> KnownLines:
    """Find the known lines in the two texts, by their text.

    Args:
        src, tgt: the lines that are mined, N and M.
        hidden: source and target side of the hidden pairs.
        alone: source lines and target lines without a partner.

    Raises:
        DataError: a known line is not in the text, a source line is known twice, or the hidden sides differ in length.
    """
    if len(hidden[0]) != len(hidden[1]) or not hidden[0]:
        raise DataError(f"{len(hidden[0]):,} hidden source lines but {len(hidden[1]):,} target lines; one pair a line.")
    n = len(hidden[0])
    src_units = _units(hidden[0], alone[0], n)
    tgt_units = _units(hidden[1], alone[1], n + len(alone[0]))
    for name, units, lines in (("source", src_units, src), ("target", tgt_units, tgt)):
        missing = set(units).difference(lines)
        if missing:
            raise DataError(
                f"{len(missing):,} of {len(units):,} known {name} lines are not in the text to mine, for instance "
                f"{min(missing)!r}; hide them with data_prep/hide_pairs.py and mine what it wrote."
            )
    numbers: Dict[str, int] = {}
    for line in tgt:
        if line in tgt_units:
            numbers.setdefault(line, len(numbers))
    partner_of = {one: numbers[two] for one, two in zip(*hidden)}
    return KnownLines(
        partner=np.fromiter((partner_of.get(line, -1) for line in src), np.int64, len(src)),
        tgt_text=np.fromiter((numbers.get(line, -2) for line in tgt), np.int64, len(tgt)),
        src_unit=np.fromiter((src_units.get(line, -1) for line in src), np.int64, len(src)),
        tgt_unit=np.fromiter((tgt_units.get(line, -1) for line in tgt), np.int64, len(tgt)),
        hidden=n,
        units=n + len(alone[0]) + len(alone[1]),
    )


def _units(hidden: Sequence[str], alone: Sequence[str], first_alone: int) -> Dict[str, int]:
    units = {line: number for number, line in enumerate(hidden)}
    units.update((line, first_alone + number) for number, line in enumerate(alone))
    if len(units) != len(hidden) + len(alone):
        raise DataError("A known line is there twice; data_prep/hide_pairs.py hides only lines that stand alone.")
    return units


@dataclass(frozen=True)
class Curve:
    """Precision and recall of one setting at every threshold that changes them; P judged pairs, T thresholds.

    Attributes:
        src_unit, tgt_unit: int64 [P], the known pair or line of either side of each judged pair, -1 for an unknown side;
            best score first.
        right: bool [P].
        ends: int64 [T], how many judged pairs lie above each threshold, ascending.
        thresholds: float64 [T], descending, halfway to the next lower score.
        pairs: int64 [T], all pairs above each threshold.
        scores: float64, of all pairs, judged or not, best first.
        hidden: number of hidden pairs.
    """

    margin: str
    k: int
    src_unit: np.ndarray
    tgt_unit: np.ndarray
    right: np.ndarray
    ends: np.ndarray
    thresholds: np.ndarray
    pairs: np.ndarray
    scores: np.ndarray
    hidden: int

    @property
    def rights(self) -> np.ndarray:
        """int64 [T]: hidden pairs found above each threshold."""
        return np.cumsum(self.right)[self.ends - 1]

    @property
    def judged(self) -> np.ndarray:
        """float64 [T]: half the known sides of the pairs above each threshold."""
        sides = (self.src_unit >= 0).astype(np.int64) + (self.tgt_unit >= 0)
        return np.cumsum(sides)[self.ends - 1] / 2

    @property
    def precision(self) -> np.ndarray:
        """float64 [T]."""
        return self.rights / self.judged

    @property
    def recall(self) -> np.ndarray:
        """float64 [T]."""
        return self.rights / self.hidden

    @property
    def f1(self) -> np.ndarray:
        """float64 [T]."""
        return 2 * self.rights / (self.judged + self.hidden)

    def cut(self, place: int) -> Cut:
        """The threshold at ``place`` with its numbers."""
        return Cut(
            threshold=float(self.thresholds[place]),
            pairs=int(self.pairs[place]),
            judged=float(self.judged[place]),
            right=int(self.rights[place]),
            precision=float(self.precision[place]),
            recall=float(self.recall[place]),
            f1=float(self.f1[place]),
        )


def curve_of(pairs: ScoredPairs, known: KnownLines, margin: str, k: int) -> Curve:
    """The curve of mined pairs, best first.

    Raises:
        DataError: no mined pair holds a known line.
    """
    src_unit, tgt_unit = known.src_unit[pairs.src], known.tgt_unit[pairs.tgt]
    judged = (src_unit >= 0) | (tgt_unit >= 0)
    if not judged.any():
        raise DataError("No mined pair holds a known line: nothing can be judged; hide more pairs.")
    right = known.partner[pairs.src] == known.tgt_text[pairs.tgt]
    scores = pairs.scores.astype(np.float64)
    # A threshold cuts between two different scores; those below which no judged pair follows change nothing.
    last = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))
    counts = np.cumsum(judged)[last]
    new = np.flatnonzero(np.diff(counts, prepend=0) > 0)
    places = last[new]
    following = np.append(scores, np.nextafter(scores[-1:], -np.inf) - 1e-6)[places + 1]
    return Curve(
        margin=margin,
        k=k,
        src_unit=src_unit[judged],
        tgt_unit=tgt_unit[judged],
        right=right[judged],
        ends=counts[new],
        thresholds=(scores[places] + following) / 2,
        pairs=places + 1,
        scores=scores,
        hidden=known.hidden,
    )


def sweep(
    src: np.ndarray,
    tgt: np.ndarray,
    known: KnownLines,
    margins: Sequence[str] = MARGINS,
    ks: Sequence[int] = defaults.CALIBRATION_NEIGHBOURHOODS,
    retrieval: str = defaults.RETRIEVAL,
    **knn_options,
) -> List[Curve]:
    """The curves of all margins and numbers of neighbours, from one search for the largest of these.

    The absolute margin does not depend on k and is tried with the smallest alone.

    Args:
        src, tgt: float32 or float16 [N, E] and [M, E].
        knn_options: see :func:`fairseq_distill.mining.knn.knn_both`.

    Raises:
        ConfigError: no margin or k.
        DataError: see :func:`fairseq_distill.mining.knn.knn_both` and :func:`curve_of`.
    """
    if not margins or not ks or min(ks) < 1:
        raise ConfigError(f"margins {list(margins)} and k {list(ks)}: give at least one of each, k from 1 up.")
    if (len(src), len(tgt)) != (len(known.src_unit), len(known.tgt_unit)):
        raise DataError(
            f"{len(src):,} and {len(tgt):,} vectors for {len(known.src_unit):,} and {len(known.tgt_unit):,} lines; "
            "embed the texts again."
        )
    forward, backward = knn_both(src, tgt, max(ks), **knn_options)
    curves = []
    for margin in margins:
        for k in sorted(set(ks)) if margin != "absolute" else [min(ks)]:
            near = [Neighbours(found.cosines[:, :k], found.indices[:, :k]) for found in (forward, backward)]
            candidates = scored_candidates(near[0], near[1], (len(src), len(tgt)), margin, retrieval)
            curves.append(curve_of(retrieve(retrieval, *candidates), known, margin, k))
    return curves


def best_f1(curve: Curve) -> int:
    """The place of the highest F1; of equal ones the highest threshold."""
    return int(curve.f1.argmax())


def at_precision(curve: Curve, wanted: float) -> Optional[int]:
    """The place of the lowest threshold whose precision is at least ``wanted``; None when none is."""
    reached = np.flatnonzero(curve.precision >= wanted)
    return int(reached[-1]) if len(reached) else None


def at_threshold(curve: Curve, threshold: float) -> Optional[Cut]:
    """What a given threshold keeps; None when it keeps no judged pair."""
    pairs = int((curve.scores > threshold).sum())
    above = int((curve.pairs <= pairs).sum())
    return replace(curve.cut(above - 1), threshold=threshold, pairs=pairs) if above else None


def calibrate(
    curves: Sequence[Curve],
    units: int,
    wanted_precision: float = defaults.CALIBRATION_PRECISION,
    samples: int = defaults.BOOTSTRAP_SAMPLES,
    seed: int = 1,
) -> List[Setting]:
    """Recommended cuts of each setting with bootstrap intervals; the highest F1 first, equal ones in the order given.

    The cut is chosen and judged on the same hidden pairs, which flatters it a little; with some hundred pairs the
    interval is much wider than that.

    Raises:
        ConfigError: ``wanted_precision`` is not in (0, 1].
    """
    if not 0 < wanted_precision <= 1:
        raise ConfigError(f"The wanted precision is {wanted_precision:g}, but must be above 0 and at most 1.")
    settings = []
    for curve in curves:
        best, wanted = best_f1(curve), at_precision(curve, wanted_precision)
        setting = Setting(curve.margin, curve.k, curve.cut(best))
        if wanted is not None:
            setting.at_precision = curve.cut(wanted)
        if curve.margin == "ratio":
            setting.at_default = at_threshold(curve, defaults.MARGIN_THRESHOLD)
        _add_intervals(curve, setting, (best, wanted), units, wanted_precision, samples, seed)
        settings.append(setting)
    return sorted(settings, key=lambda setting: -setting.best_f1.f1)


def _add_intervals(
    curve: Curve,
    setting: Setting,
    places: Tuple[int, Optional[int]],
    units: int,
    wanted_precision: float,
    samples: int,
    seed: int,
) -> None:
    """95% intervals of both cuts: hidden pairs and lines alone are drawn with replacement, each with what it was mined with."""
    thresholds: Dict[str, List[np.ndarray]] = {"best_f1": [], "at_precision": []}
    measures: Dict[str, List[np.ndarray]] = {"best_f1": [], "at_precision": []}
    for shares in resampled_shares(curve, curve.ends, units, samples, seed):
        thresholds["best_f1"].append(curve.thresholds[shares[2].argmax(axis=1)])
        reached = (shares[0] >= wanted_precision) & (shares[3] > 0)
        lowest = reached.shape[1] - 1 - reached[:, ::-1].argmax(axis=1)
        thresholds["at_precision"].append(curve.thresholds[lowest[reached.any(axis=1)]])
        for name, place in zip(measures, places):
            if place is not None:
                measures[name].append(np.stack([share[:, place] for share in shares[:3]]))
    for name, cut in (("best_f1", setting.best_f1), ("at_precision", setting.at_precision)):
        if cut is not None:
            rows = dict(zip(("precision", "recall", "f1"), np.concatenate(measures[name], axis=1)))
            for measure, values in {"threshold": np.concatenate(thresholds[name]), **rows}.items():
                cut.intervals[measure] = [float(value) for value in np.quantile(values, [0.025, 0.975])]


def resampled_shares(
    curve: Curve, ends: np.ndarray, units: int, samples: int, seed: int
) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(precision, recall, F1, judged pairs), float64 [S, T] each, of resampled units; all samples in blocks of S.

    Args:
        ends: int64 [T], how many of the curve's judged pairs are kept; each 1 or more.
        units: hidden pairs and lines alone; drawn with replacement, each with what it was mined with.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // max(units, len(curve.right)))
    for start in range(0, samples, step):
        weights = rng.multinomial(units, np.full(units, 1 / units), size=min(step, samples - start))
        weights = np.pad(weights, ((0, 0), (0, 1)))  # the last one, -1, is that of unknown sides
        sides = weights[:, curve.src_unit] + weights[:, curve.tgt_unit]  # [S, P]
        judged = np.cumsum(sides, axis=1)[:, ends - 1] / 2  # [S, T]
        right = np.cumsum(weights[:, curve.src_unit] * curve.right, axis=1)[:, ends - 1]
        hidden = weights[:, : curve.hidden].sum(axis=1, keepdims=True)
        precision = right / np.where(judged > 0, judged, 1)
        yield precision, right / np.maximum(hidden, 1), 2 * right / np.maximum(judged + hidden, 1), judged


def curve_rows(curves: Sequence[Curve], most: int = _MOST_POINTS) -> List[tuple]:
    """Rows of the curve file, see :mod:`fairseq_distill.formats.calibration`; at most ``most`` thresholds a setting."""
    rows: List[tuple] = []
    for curve in curves:
        chosen = np.unique(np.linspace(0, len(curve.ends) - 1, most).round().astype(int))
        for place in np.union1d(chosen, [best_f1(curve)]).tolist():
            cut = curve.cut(place)
            numbers = (cut.threshold, cut.pairs, cut.judged, cut.right, cut.precision, cut.recall, cut.f1)
            rows.append((curve.margin, curve.k, *numbers))
    return rows
