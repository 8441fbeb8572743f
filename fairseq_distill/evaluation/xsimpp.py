"""xsim++: xsim against a target side that also holds near copies of each target that mean something else.

Source: Chen, Heffernan, Çelebi, Mourachko and Schwenk (2023), xSIM++: An Improved Proxy to Bitext Mining Performance for
Low-Resource Languages, https://arxiv.org/abs/2306.12907.
"""

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import DataError
from fairseq_distill.evaluation.xsim import XsimResult, found_targets, result_of
from fairseq_distill.formats.augmented import Augmented

MISALIGNED = "misaligned"  # another target, or the near copy of another one


@dataclass(frozen=True)
class XsimppResult:
    """One xsim++ error rate.

    Attributes:
        result: the rate; its signature begins with ``xsim++``.
        kinds: errors by error type, and ``misaligned``; every type of the augmented targets is there, 0 too.
        wrong: bool [N].
    """

    result: XsimResult
    kinds: Dict[str, int]
    wrong: np.ndarray


def xsimpp(
    src: np.ndarray,
    tgt: np.ndarray,
    augmented_rows: np.ndarray,
    targets: Sequence[str],
    augmented: Augmented,
    margin: str = defaults.XSIM_MARGIN,
    k: int = defaults.NEIGHBOURHOOD,
    about: Optional[Dict[str, str]] = None,
    **knn_options,
) -> XsimppResult:
    """How often the best-scored of all targets and augmented targets is not the source sentence's own target.

    Any copy of the right target line is right. The margin's neighbourhoods are those of all N + A candidates.

    Args:
        src, tgt: float32 or float16 [N, E].
        augmented_rows: [A, E], of ``augmented.texts``.
        targets: the N target lines.
        about, knn_options: as in :func:`fairseq_distill.evaluation.xsim.xsim`.

    Raises:
        DataError: numbers of rows and lines that do not fit, and those of :func:`fairseq_distill.evaluation.xsim.xsim`.
    """
    n = len(src)
    if not len(tgt) == len(targets) == n:
        raise DataError(
            f"{n:,} source rows, {len(tgt):,} target rows and {len(targets):,} target lines must be as many."
        )
    if len(augmented_rows) != len(augmented):
        raise DataError(f"{len(augmented_rows):,} rows for {len(augmented):,} augmented targets; embed them again.")
    candidates = np.concatenate([np.asarray(tgt), np.asarray(augmented_rows)])
    found = found_targets(src, candidates, (margin,), k, **knn_options)[margin]
    wrong, kinds = judge(found, targets, augmented)
    # "augmented" says how many candidates there were beside the targets: the number depends on it.
    result = result_of(wrong, margin, k, {**(about or {}), "augmented": str(len(augmented))})
    result = XsimResult(result.percent, result.errors, n, margin, k, result.signature.replace("xsim|", "xsim++|", 1))
    return XsimppResult(result, kinds, wrong)


def judge(found: np.ndarray, targets: Sequence[str], augmented: Augmented) -> Tuple[np.ndarray, Dict[str, int]]:
    """(bool [N] wrong, errors by type) of the candidates found, which count on from the targets to the augmented ones."""
    n = len(targets)
    names = list(dict.fromkeys([*augmented.kinds, MISALIGNED]))
    kind_of = np.array([names.index(kind) for kind in augmented.kinds], np.int64)
    first: Dict[str, int] = {}
    group = np.fromiter((first.setdefault(text, len(first)) for text in targets), np.int64, n)
    is_copy = found >= n
    stands_for = np.append(np.arange(n), augmented.originals)[found]  # the target whose text or near copy was found
    own = group[stands_for] == group
    wrong = is_copy | ~own
    kinds = np.full(n, names.index(MISALIGNED))
    near = is_copy & own
    kinds[near] = kind_of[found[near] - n]
    counts = np.bincount(kinds[wrong], minlength=len(names))
    return wrong, {name: int(count) for name, count in zip(names, counts)}
