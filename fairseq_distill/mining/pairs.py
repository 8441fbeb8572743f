"""Mining: two texts and their embeddings in, the pairs of sentences that seem to be translations out."""

import logging
import math
from typing import Iterator, Optional, Tuple, Unpack

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.mined_pairs import MinedPair
from fairseq_distill.mining.job import Job, MiningResult, RunOptions, check_scoring, lines_at, open_job
from fairseq_distill.mining.knn import Neighbours
from fairseq_distill.mining.margin import best_candidates, neighbourhood_means, warn_of_weak_neighbourhoods
from fairseq_distill.mining.matching import RETRIEVALS, ScoredPairs, retrieve
from fairseq_distill.mining.search import Found, find_neighbours, sizes_of
from fairseq_distill.mining.shards import joined

logger = logging.getLogger(__name__)

__all__ = ["MiningResult", "mine", "mine_embeddings", "neighbourhoods", "scored_candidates"]


def mine(
    src_text: PathLike,
    tgt_text: PathLike,
    src_embeddings: PathLike,
    tgt_embeddings: PathLike,
    output: PathLike,
    *,
    margin: str = defaults.MARGIN,
    retrieval: str = defaults.RETRIEVAL,
    k: int = defaults.NEIGHBOURHOOD,
    threshold: Optional[float] = None,
    shards: Optional[int] = None,
    **options: Unpack[RunOptions],
) -> MiningResult:
    """Mine two texts and write ``score<TAB>source<TAB>target``, best first.

    Of the texts only the mined lines are held in memory, of the embeddings only blocks.

    Args:
        src_text, tgt_text: UTF-8 text, plain or ``.gz``; line i belongs to row i of the embeddings.
        src_embeddings, tgt_embeddings: ``.npy``, or LASER's raw files with ``dim`` and ``dtype``.
        output: the TSV file, packed when it ends in ``.gz``; written whole or not at all.
        margin: "ratio", "distance" or "absolute".
        retrieval: "fwd", "bwd", "intersect" or "max", see :func:`fairseq_distill.mining.matching.retrieve`.
        k: neighbours in the margin, and candidates of a sentence.
        threshold: only pairs with a greater score; None: defaults.MARGIN_THRESHOLD for the ratio, and for the other
            margins, whose scale depends on the encoder, no threshold.
        shards: search nothing, but take what so many shards have found, see :mod:`fairseq_distill.mining.shards`.
        options: see :class:`fairseq_distill.mining.job.RunOptions`.

    Raises:
        DataError: a file is missing, damaged, does not fit its partner, or holds NaN; the output cannot be written.
        ConfigError: an option out of range, or an output that is also an input.
    """
    _check_options(margin, retrieval, k)
    if threshold is not None and math.isnan(threshold):
        raise ConfigError("The threshold is not a number (nan), and no score is greater; give one, or leave it out.")
    job = open_job((src_text, tgt_text), (src_embeddings, tgt_embeddings), output, **options)
    threshold = defaults.MARGIN_THRESHOLD if threshold is None and margin == "ratio" else threshold
    found = found_by(job, k, margin, retrieval, shards)
    sizes = job.src.searched, job.tgt.searched
    pairs, best = _choose_pairs(found, sizes, margin, retrieval, -np.inf if threshold is None else threshold)
    how = {"margin": margin, "retrieval": retrieval, "k": k, "threshold": threshold}
    return job.finish(_with_text(pairs, job), best, **how, search=found.search, approximate=found.report)


def mine_embeddings(
    src: np.ndarray,
    tgt: np.ndarray,
    *,
    margin: str = defaults.MARGIN,
    retrieval: str = defaults.RETRIEVAL,
    k: int = defaults.NEIGHBOURHOOD,
    threshold: float = -np.inf,
    **knn_options,
) -> Tuple[ScoredPairs, np.ndarray]:
    """Mine two matrices of embeddings.

    Args:
        src, tgt: float32 or float16 [N, E] and [M, E].
        threshold: only pairs with a greater score are kept.
        knn_options: see :func:`fairseq_distill.mining.search.find_neighbours`.

    Returns:
        The pairs, best first, and float32 [P]: the score of each sentence's best candidate, sources then targets as far
        as the retrieval looks at them and a candidate was found, whatever the threshold.
    """
    _check_options(margin, retrieval, k)
    found = neighbourhoods(src, tgt, k, margin, retrieval, knn_options)
    sizes = sizes_of(src, tgt, knn_options.get("index", (None, None)))
    return _choose_pairs(found, sizes, margin, retrieval, threshold)


def _choose_pairs(
    found: Found, sizes: Tuple[int, int], margin: str, retrieval: str, threshold: float
) -> Tuple[ScoredPairs, np.ndarray]:
    from_src, from_tgt = scored_candidates(found.forward, found.backward, sizes, margin, retrieval)
    best = np.concatenate([from_src.scores, from_tgt.scores])
    return retrieve(retrieval, from_src, from_tgt, threshold), best[best > -np.inf]


def scored_candidates(
    forward: Optional[Neighbours],
    backward: Optional[Neighbours],
    sizes: Tuple[int, int],
    margin: str = defaults.MARGIN,
    retrieval: str = defaults.RETRIEVAL,
) -> Tuple[ScoredPairs, ScoredPairs]:
    """The best candidate of each source and of each target, as far as the retrieval looks at them.

    Args:
        forward, backward: see :func:`fairseq_distill.mining.knn.knn_both`; with the absolute margin and one direction
            of retrieval the other one may be None.
        sizes: sentences of the source and of the target side.

    Returns:
        Pairs in the order of the sources, and in the order of the targets; empty where the retrieval needs none.
    """
    n, m = sizes
    # The absolute margin reads no means: a direction that was not searched counts as zero.
    src_mean = np.zeros(n, np.float32) if forward is None else neighbourhood_means(forward)
    tgt_mean = np.zeros(m, np.float32) if backward is None else neighbourhood_means(backward)
    warn_of_weak_neighbourhoods(margin, np.concatenate([src_mean, tgt_mean]))
    from_src = from_tgt = ScoredPairs(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    if retrieval != "bwd" and forward is not None:
        score, found = best_candidates(forward, src_mean, tgt_mean, margin)
        from_src = ScoredPairs(score, np.arange(n), found)
    if retrieval != "fwd" and backward is not None:
        score, found = best_candidates(backward, tgt_mean, src_mean, margin)
        from_tgt = ScoredPairs(score, found, np.arange(m))
    return from_src, from_tgt


def found_by(job: Job, k: int, margin: str, retrieval: str, shards: Optional[int]) -> Found:
    """:func:`neighbourhoods` of a run; what its shards have found where there are some."""
    if shards is not None:
        return joined(job, shards, k)
    return neighbourhoods(job.src.rows, job.tgt.rows, k, margin, retrieval, job.search_options)


def neighbourhoods(src: np.ndarray, tgt: np.ndarray, k: int, margin: str, retrieval: str, options: dict) -> Found:
    """:func:`fairseq_distill.mining.search.find_neighbours` in the directions that the margin and the retrieval need.

    Only the absolute margin of one direction does without the other direction's neighbourhoods.
    """
    n, m = sizes_of(src, tgt, options.get("index", (None, None)))
    if k > min(n, m):
        logger.warning(f"k={k} is more than the {min(n, m):,} sentences of one side; all of them are neighbours then")
    one_way = {"fwd": "forward", "bwd": "backward"}.get(retrieval, "both") if margin == "absolute" else "both"
    return find_neighbours(src, tgt, k, directions=one_way, **options)


def _check_options(margin: str, retrieval: str, k: int) -> None:
    check_scoring(margin, k)
    if retrieval not in RETRIEVALS:
        raise ConfigError(f"retrieval must be one of {', '.join(RETRIEVALS)}, but is {retrieval!r}.")


def _with_text(pairs: ScoredPairs, job: Job) -> Iterator[MinedPair]:
    src_ids, tgt_ids = job.src.line_ids(pairs.src), job.tgt.line_ids(pairs.tgt)
    cosines = job.cosines(src_ids, tgt_ids, "mine | cosines") if job.provenance else np.zeros(len(pairs), np.float32)
    src_lines, src_at = lines_at(job.src.text, src_ids)
    tgt_lines, tgt_at = lines_at(job.tgt.text, tgt_ids)
    columns = (pairs.scores, src_at, tgt_at, src_ids + 1, tgt_ids + 1, cosines)
    for score, one, two, src_line, tgt_line, cosine in zip(*(column.tolist() for column in columns)):
        yield MinedPair(score, src_lines[one], tgt_lines[two], src_line, tgt_line, cosine)
