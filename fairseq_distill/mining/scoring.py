"""Scoring of a bitext that is there: line i of one text translates line i of the other, and each pair gets its margin score."""

from typing import Iterator, Optional, Tuple, Unpack

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import iter_lines, require_same_length
from fairseq_distill.formats.mined_pairs import MinedPair
from fairseq_distill.mining.job import Job, MiningResult, RunOptions, Side, check_scoring, open_job
from fairseq_distill.mining.knn import Neighbours
from fairseq_distill.mining.margin import margin_scores, neighbourhood_means, warn_of_weak_neighbourhoods
from fairseq_distill.mining.pairs import found_by
from fairseq_distill.mining.search import Found
from fairseq_distill.progress import Progress, counted

BLANK = -1.0  # score and cosine of a pair with a blank side, which is no pair: below those of all that could be kept


def score(
    src_text: PathLike,
    tgt_text: PathLike,
    src_embeddings: PathLike,
    tgt_embeddings: PathLike,
    output: PathLike,
    *,
    margin: str = defaults.MARGIN,
    k: int = defaults.NEIGHBOURHOOD,
    threshold: Optional[float] = None,
    shards: Optional[int] = None,
    **options: Unpack[RunOptions],
) -> MiningResult:
    """Score each line of a bitext and write ``score<TAB>source<TAB>target`` in the order of the lines.

    The score is mining's: the neighbourhoods are those of each sentence among all lines of the other side, of which its
    partner is one like any other. Arguments and errors that are not named here: see
    :func:`fairseq_distill.mining.pairs.mine`.

    Args:
        src_text, tgt_text: two texts of equally many lines.
        threshold: only pairs with a greater score; None: all, so that line i of the output is line i of the texts.
        shards: as of ``mine``.
        options: see :class:`fairseq_distill.mining.job.RunOptions`. With ``unify`` each repeated line is scored all the same,
            with the vector of its first occurrence; a pair with a blank side has the score and the cosine BLANK.

    Raises:
        DataError: also when the texts differ in their number of lines.
    """
    check_scoring(margin, k)
    job = open_job((src_text, tgt_text), (src_embeddings, tgt_embeddings), output, **options)
    require_same_length(src_text, job.src.lines, tgt_text, job.tgt.lines)
    found = Found(None, None, "exact")
    if margin != "absolute":
        found = found_by(job, k, margin, "max", shards)
    given, cosines = _given_scores(job, found, margin)
    kept = given > (-np.inf if threshold is None else threshold)
    how = {"margin": margin, "retrieval": "given", "k": k, "threshold": threshold, "mode": "score"}
    return job.finish(
        _with_text(job, given, cosines, kept), given, **how, search=found.search, approximate=found.report
    )


def _given_scores(job: Job, found: Found, margin: str) -> Tuple[np.ndarray, np.ndarray]:
    """(float32 [N] scores, float32 [N] cosines) of the lines."""
    src_ids, tgt_ids = _stand_ins(job.src), _stand_ins(job.tgt)
    whole = np.flatnonzero((src_ids >= 0) & (tgt_ids >= 0))
    src_ids, tgt_ids = src_ids[whole], tgt_ids[whole]
    cosines = np.full(job.src.lines, BLANK, np.float32)
    cosines[whole] = job.cosines(job.src.line_ids(src_ids), job.tgt.line_ids(tgt_ids), "score | cosines")
    scores, own = cosines.copy(), cosines[whole]
    if found.forward is not None and found.backward is not None:
        sides = (found.forward, src_ids), (found.backward, tgt_ids)
        src_mean, tgt_mean = (_means(near, ids, own) for near, ids in sides)
        warn_of_weak_neighbourhoods(margin, np.concatenate([src_mean, tgt_mean]))
        scores[whole] = margin_scores(own[:, None], src_mean, tgt_mean[:, None], margin)[:, 0]
    return scores, cosines


def _means(near: Neighbours, ids: np.ndarray, own: np.ndarray) -> np.ndarray:
    """float32 [P], the neighbourhood's mean of each sentence ``ids``; ``own``, the partner's cosine, where none was found."""
    return np.where(near.indices[ids, 0] < 0, own, neighbourhood_means(near)[ids])


def _stand_ins(side: Side) -> np.ndarray:
    """int64 [lines]: number, among the lines that take part, of the one that stands for each line; -1 for a blank line."""
    return np.arange(side.lines) if side.stands is None else side.stands


def _with_text(job: Job, scores: np.ndarray, cosines: np.ndarray, kept: np.ndarray) -> Iterator[MinedPair]:
    lines = zip(iter_lines(job.src.text), iter_lines(job.tgt.text))
    columns = zip(kept.tolist(), scores.tolist(), cosines.tolist())
    progress = Progress("score | write", len(scores), unit="pairs")
    for line, (texts, (keep, one, cosine)) in enumerate(counted(zip(lines, columns), progress), start=1):
        if keep:
            yield MinedPair(one, *texts, line, line, cosine)
