"""``results.json`` of a work directory: what a run measured, for the report page and for whoever reads numbers.

One JSON object; every part may be missing (a run that trained but did not mine yet has no ``mining``)::

    {"format_version": 1,
     "xsim": [{"encoder": "student", "valid_set": "mafand.eng-swa", "src_lang": "swa", "tgt_lang": "eng",
               "margin": "distance", "k": 4, "n": 1000, "errors": 218, "percent": 21.8, "low": 19.3, "high": 24.4,
               "signature": "xsim|…"}],                       low, high: bootstrap interval in percent, or null
     "training": {"arch": "student_encoder_small", "parameters": 12345678, "updates": 4000, "seconds": 850.2,
                  "sentences_per_s": 410.0, "best_update": 3800, "device": "2 CPU cores"},       each may be null
     "mining": {"pairs": 812, "margin": "ratio", "threshold": 1.06, "k": 4, "retrieval": "max",
                "src_lang": "swa", "tgt_lang": "eng", "n_src": 4000, "n_tgt": 9000,
                "scores_file": "mining/scores.npy",           best score of every sentence, or
                "histogram": {"edges": [0.9, 0.95, 1.0], "counts": [3, 17]}},                     or neither
     "command": "bash recipes/student.sh …", "created": "2026-11-23T12:00:00Z",
     "options": {"max_update": 4000}, "seeds": {"fairseq": 1}, "versions": {"torch": "2.13.0"},
     "files": {"best checkpoint": "checkpoints/checkpoint_best.pt"}}    what it is -> path, relative to the directory

``scores_file`` is what ``fairseq-mine --scores`` writes, the score of every sentence's best candidate on both sides,
below the threshold too: ``.npy`` (any float type, one dimension) or text with one number a line, also ``.gz``.
``histogram`` counts the same scores. The number of neighbours, ``k``, goes for all margins but ``absolute``.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import from_json, load_json, require_version, write_object

NAME = "results.json"
FORMAT_VERSION = 1
ENCODERS = ("student", "teacher", "random")
MARGINS = ("absolute", "distance", "ratio")


@dataclass
class XsimEntry:
    """The xsim error rate of one encoder on one valid set with one margin.

    Attributes:
        encoder: whose source embeddings: ``student``, ``teacher`` (the teacher applied directly to the source
            language) or ``random`` (the student before training).
        valid_set: id of the valid set.
        src_lang, tgt_lang: each source sentence looks for its translation among the target sentences.
        margin: ``absolute``, ``distance`` or ``ratio``.
        k: neighbours in the margin.
        n: sentences.
        errors: sentences whose best-scored candidate is not their translation.
        percent: 100 * errors / n, in [0, 100], lower is better.
        low, high: bootstrap interval of ``percent``; None when it was not computed.
        signature: everything needed to repeat the number, as one line.
    """

    encoder: str
    valid_set: str
    src_lang: str
    tgt_lang: str
    margin: str
    k: int
    n: int
    errors: int
    percent: float
    low: Optional[float] = None
    high: Optional[float] = None
    signature: str = ""


@dataclass
class TrainingFacts:
    """What training cost; None for what is not known.

    Attributes:
        arch: name of the architecture.
        parameters: number of the student's parameters.
        updates: optimiser steps done.
        seconds: wall time of training.
        sentences_per_s: training sentences per second.
        best_update: the update whose checkpoint was kept as the best.
        device: in words, ``2 CPU cores``.
    """

    arch: Optional[str] = None
    parameters: Optional[int] = None
    updates: Optional[int] = None
    seconds: Optional[float] = None
    sentences_per_s: Optional[float] = None
    best_update: Optional[int] = None
    device: Optional[str] = None


@dataclass
class Histogram:
    """Counts of scores between rising edges; bin i is [edges[i], edges[i + 1]), one edge more than counts."""

    edges: List[float]
    counts: List[int]


@dataclass
class MiningSummary:
    """What mining found; see the module's docstring for ``scores_file``.

    Attributes:
        pairs: pairs kept.
        margin: ``absolute``, ``distance`` or ``ratio``.
        threshold: pairs with a higher score were kept; None when every pair was.
        k: neighbours in the margin.
        retrieval: ``fwd``, ``bwd``, ``intersect`` or ``max``.
        src_lang, tgt_lang: languages of the first and second sentence of a pair.
        n_src, n_tgt: sentences searched on each side.
        histogram: score of every sentence's best candidate, below the threshold too.
        scores_file: the scores themselves, relative to the work directory.
    """

    pairs: int
    margin: str
    threshold: Optional[float] = None
    k: Optional[int] = None
    retrieval: Optional[str] = None
    src_lang: Optional[str] = None
    tgt_lang: Optional[str] = None
    n_src: Optional[int] = None
    n_tgt: Optional[int] = None
    histogram: Optional[Histogram] = None
    scores_file: Optional[str] = None


@dataclass
class Results:
    """All of ``results.json``; see the module's docstring."""

    xsim: List[XsimEntry] = field(default_factory=list)
    training: Optional[TrainingFacts] = None
    mining: Optional[MiningSummary] = None
    command: str = ""
    created: str = ""
    options: Dict[str, Any] = field(default_factory=dict)
    seeds: Dict[str, int] = field(default_factory=dict)
    versions: Dict[str, str] = field(default_factory=dict)
    files: Dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def write_results(work_dir: PathLike, results: Results) -> Path:
    """Write ``results.json`` into a work directory, atomically; returns its path.

    Raises:
        DataError: a number contradicts another (``errors`` and ``percent``, ``edges`` and ``counts``), a name is
            unknown, a float is not finite, or the disk is full.
    """
    path = Path(work_dir) / NAME
    _check(results, path)
    write_object(path, results)
    return path


def read_results(work_dir: PathLike) -> Optional[Results]:
    """The results of a work directory, or None when it has none yet.

    Raises:
        DataError: the file is damaged, of another version, or contradicts itself.
    """
    path = Path(work_dir) / NAME
    if not path.is_file():
        return None
    try:
        raw = load_json(path)
        require_version(raw, path, FORMAT_VERSION, "run the evaluation again")
        results = from_json(Results, raw)
        _check(results, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a valid results file: {error}; run the evaluation again.") from error
    return results


def _check(results: Results, path: Path) -> None:
    """Raise a DataError when the results contradict themselves."""
    for row in results.xsim:
        _check_xsim(row, path)
    if results.mining is None:
        return
    _check_name("margin", results.mining.margin, MARGINS, path)
    histogram = results.mining.histogram
    if histogram is None:
        return
    if len(histogram.edges) != len(histogram.counts) + 1:
        raise DataError(
            f"{path}: the score histogram has {len(histogram.edges)} edges for {len(histogram.counts)} bins."
        )
    rising = all(low < high for low, high in zip(histogram.edges, histogram.edges[1:]))
    if not rising or not all(map(math.isfinite, histogram.edges)) or min(histogram.counts, default=0) < 0:
        raise DataError(f"{path}: the score histogram needs finite rising edges and no negative count.")


def _check_xsim(row: XsimEntry, path: Path) -> None:
    """Raise a DataError unless an xsim result fits itself."""
    _check_name("encoder", row.encoder, ENCODERS, path)
    _check_name("margin", row.margin, MARGINS, path)
    if not 0 <= row.errors <= row.n or row.n == 0:
        raise DataError(
            f"{path}: xsim of {row.encoder} on {row.valid_set} has {row.errors} errors in {row.n} sentences."
        )
    if (row.low is None) != (row.high is None):
        raise DataError(f"{path}: xsim of {row.encoder} on {row.valid_set} has one end of its interval only.")
    expected = 100.0 * row.errors / row.n
    if not abs(row.percent - expected) < 0.01:
        raise DataError(
            f"{path}: xsim of {row.encoder} on {row.valid_set} says {row.percent} %, "
            f"but {row.errors} errors in {row.n} sentences are {expected:.2f} %."
        )


def _check_name(what: str, name: str, known: "tuple[str, ...]", path: Path) -> None:
    """Raise a DataError unless ``name`` is one of the known ones."""
    if name not in known:
        raise DataError(f"{path}: {what} {name!r} is none of {', '.join(known)}.")
