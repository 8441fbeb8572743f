"""xsim: how often the best-scored candidate of a sentence is not its translation."""

import logging
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple, Union

import numpy as np

from fairseq_distill import __version__, defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.mining.knn import Neighbours, knn, knn_both
from fairseq_distill.mining.margin import MARGINS, best_candidates, neighbourhood_means

logger = logging.getLogger(__name__)

Labels = Union[np.ndarray, Sequence[str], Sequence[int]]


@dataclass(frozen=True)
class XsimResult:
    """One xsim error rate.

    Attributes:
        percent: 100 * errors / n, in [0, 100]; lower is better.
        errors: source sentences whose best candidate is another sentence.
        n: sentences.
        margin: "absolute", "distance" or "ratio".
        k: neighbours in the margin, and candidates (absolute looks at the nearest alone).
        signature: everything needed to repeat the number.
    """

    percent: float
    errors: int
    n: int
    margin: str
    k: int
    signature: str

    def __str__(self) -> str:
        """The signature and the number, as results are quoted."""
        return f"{self.signature} = {self.percent:.2f}"


def xsim(
    src: np.ndarray,
    tgt: np.ndarray,
    margin: str = defaults.XSIM_MARGIN,
    k: int = defaults.NEIGHBOURHOOD,
    labels: Optional[Labels] = None,
    **options,
) -> XsimResult:
    """The error rate of finding each source sentence's translation, which is the target in the same row.

    Absolute takes the nearest target; the other margins score the k nearest and take the best, from source to target,
    as LASER's xsim does. The arrays are not changed.

    Args:
        src, tgt: float32 or float16 [N, E]; need not be of unit length.
        margin: "absolute", "distance" or "ratio".
        k: neighbours; all of them where there are fewer.
        labels: [N], the target sentences' texts or numbers that stand for them: a candidate with the right row's label
            is right too. Without them a repeated sentence counts as an error when another copy of it is found.
        options: ``about`` (name -> value, goes into the signature), and those of
            :func:`fairseq_distill.mining.knn.knn_both`.

    Raises:
        DataError: unequal numbers of rows or widths, no rows, NaN or infinity, or labels of another number.
        ConfigError: unknown margin, or k below 1.
    Source: https://github.com/facebookresearch/LASER/tree/main/tasks/xsim
    """
    return xsim_margins(src, tgt, (margin,), k, labels, **options)[margin]


def xsim_margins(
    src: np.ndarray,
    tgt: np.ndarray,
    margins: Sequence[str] = MARGINS,
    k: int = defaults.NEIGHBOURHOOD,
    labels: Optional[Labels] = None,
    about: Optional[Dict[str, str]] = None,
    **knn_options,
) -> Dict[str, XsimResult]:
    """:func:`xsim` for several margins from one search; margin -> result."""
    wrong = wrong_sentences(src, tgt, margins, k, labels, **knn_options)
    return {margin: result_of(wrong[margin], margin, k, about) for margin in wrong}


def result_of(wrong: np.ndarray, margin: str, k: int, about: Optional[Dict[str, str]] = None) -> XsimResult:
    """The rate of ``wrong`` [N], what :func:`wrong_sentences` found for ``margin``."""
    n, errors = len(wrong), int(wrong.sum())
    return XsimResult(100.0 * errors / n, errors, n, margin, k, signature(margin, k, n, about))


def wrong_sentences(
    src: np.ndarray,
    tgt: np.ndarray,
    margins: Sequence[str] = MARGINS,
    k: int = defaults.NEIGHBOURHOOD,
    labels: Optional[Labels] = None,
    **knn_options,
) -> Dict[str, np.ndarray]:
    """Which sentences :func:`xsim` counts as errors: margin -> bool [N]; arguments and errors as there."""
    n = len(src)
    names = knn_options.get("names", ("the source embeddings", "the target embeddings"))
    if len(tgt) != n:
        raise DataError(
            f"{names[0]} has {n:,} rows but {names[1]} has {len(tgt):,}; xsim needs the translation in the same row."
        )
    if labels is not None and len(labels) != n:
        raise DataError(f"There are {len(labels):,} labels for {n:,} sentences; each target sentence needs one.")
    found = found_targets(src, tgt, margins, k, **knn_options)
    groups = np.arange(n) if labels is None else _groups(labels)
    return {margin: groups[places] != groups for margin, places in found.items()}


def found_targets(
    src: np.ndarray, tgt: np.ndarray, margins: Sequence[str] = MARGINS, k: int = defaults.NEIGHBOURHOOD, **knn_options
) -> Dict[str, np.ndarray]:
    """The target that each source sentence finds: margin -> int64 [N], rows of ``tgt`` [M, E].

    There may be more targets than sources. Errors as in :func:`xsim`.
    """
    unknown = [margin for margin in margins if margin not in MARGINS]
    if unknown:
        raise ConfigError(f"margin must be one of {', '.join(MARGINS)}, but is {unknown[0]!r}.")
    if k > len(tgt):
        logger.warning(f"k={k} is more than the {len(tgt):,} sentences; all of them are neighbours then")
    forward, backward = _neighbours(src, tgt, k, margins, knn_options)
    own, other = neighbourhood_means(forward), np.empty(0, np.float32)
    if backward is not None:
        other = neighbourhood_means(backward)
    found = {}
    for margin in margins:
        found[margin] = forward.indices[:, 0]
        if margin != "absolute":
            found[margin] = best_candidates(forward, own, other, margin)[1]
    return found


def _groups(labels: Labels) -> np.ndarray:
    """int64 [N], equal for equal labels."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return labels
    first: Dict[object, int] = {}
    return np.fromiter((first.setdefault(label, len(first)) for label in labels), np.int64, len(labels))


def _neighbours(
    src: np.ndarray, tgt: np.ndarray, k: int, margins: Sequence[str], options: dict
) -> Tuple[Neighbours, Optional[Neighbours]]:
    if set(margins) == {"absolute"}:
        return knn(src, tgt, 1 if k > 0 else k, **options), None
    return knn_both(src, tgt, k, **options)


def signature(margin: str, k: int, n: int, about: Optional[Dict[str, str]] = None) -> str:
    """``xsim|test:…|pair:…|margin:ratio|k:4|n:1012|teacher:…|v:0.1.0``, of ``about`` only what is there."""
    about = dict(about or {})
    ahead = [(name, about.pop(name)) for name in ("test", "pair") if name in about]
    fields = [*ahead, ("margin", margin), ("k", k), ("n", n), *about.items(), ("v", __version__)]
    return "|".join(["xsim", *(f"{name}:{value}" for name, value in fields)])


def bootstrap_interval(
    result: XsimResult, level: float = 0.95, samples: int = defaults.BOOTSTRAP_SAMPLES, seed: int = 1
) -> Tuple[float, float]:
    """(low, high) in percent: where the error rate lies in ``level`` of the resamplings of the sentences.

    Each sentence is right or wrong, so the errors among n sentences drawn with replacement follow the binomial
    distribution; they are drawn from it, not sentence by sentence.
    """
    drawn = np.random.default_rng(seed).binomial(result.n, result.errors / result.n, samples)
    low, high = np.quantile(100.0 * drawn / result.n, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
