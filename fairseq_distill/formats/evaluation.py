"""``evaluation.json``: what recipes/evaluate.sh measured, with the leakage audit before the numbers."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import from_json, load_json, require_version, write_object

NAME = "evaluation.json"
FORMAT_VERSION = 1
METRICS = ("xsim", "xsim n-way", "xsim++", "bucc-f1")


@dataclass
class Score:
    """One number of one encoder.

    Attributes:
        metric: one of METRICS; of ``bucc-f1`` higher is better, of the others lower.
        test: name of the set.
        src_lang, tgt_lang: source and target language, as the set spells them.
        encoder: its name in the tables.
        percent: in [0, 100], with its 95% interval from ``low`` to ``high``.
        n: sentences, or gold pairs.
        signature: everything needed to repeat the number.
        difference, p_value: to the baseline in percentage points, with the two-sided p-value of exact randomisation; None
            where there is none.
        difference_low, difference_high: 95% of the paired resamplings.
        details: errors by type, or the threshold.
    """

    metric: str
    test: str
    src_lang: str
    tgt_lang: str
    encoder: str
    percent: float
    low: float
    high: float
    n: int
    signature: str
    difference: Optional[float] = None
    difference_low: Optional[float] = None
    difference_high: Optional[float] = None
    p_value: Optional[float] = None
    details: Dict[str, float] = field(default_factory=dict)


@dataclass
class LeakageEntry:
    """How much of an evaluation text is in a training or mined text; see :mod:`fairseq_distill.data.near_duplicates`.

    ``examples`` have ``line``, ``evaluation_line``, ``similarity``, ``text`` and ``evaluation_text``.
    """

    text: str
    evaluation: str
    lines: int
    identical: int
    near: int
    evaluation_lines: int
    evaluation_hit: int
    threshold: float
    examples: List[Dict[str, Any]] = field(default_factory=list)


@dataclass
class Evaluation:
    """All of ``evaluation.json``; ``leakage`` is None when no training text was given."""

    scores: List[Score]
    leakage: Optional[List[LeakageEntry]] = None
    baseline: Optional[str] = None
    about: Dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def write_evaluation(path: PathLike, evaluation: Evaluation) -> None:
    """Write ``evaluation.json``, atomically.

    Raises:
        DataError: a number is not finite or out of range, a metric is unknown, or the disk is full.
    """
    for score in evaluation.scores:
        if score.metric not in METRICS or not 0 <= score.percent <= 100:
            raise DataError(f"{path} was not written: {score.metric} of {score.encoder} is {score.percent}.")
    write_object(path, evaluation)


def read_evaluation(path: PathLike) -> Evaluation:
    """Read what :func:`write_evaluation` wrote.

    Raises:
        DataError: missing, damaged, or of another version.
    """
    try:
        raw = load_json(path)
        require_version(raw, path, FORMAT_VERSION, "run recipes/evaluate.sh again")
        return from_json(Evaluation, raw)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; run recipes/evaluate.sh first.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not an evaluation: {error}; run recipes/evaluate.sh again.") from error
