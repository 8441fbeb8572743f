"""Mining: two texts and their embeddings in, the pairs of sentences that seem to be translations out."""

import hashlib
import itertools
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike, require_folder, sha256_file
from fairseq_distill.formats.embeddings import open_embeddings, read_info, require_same_space
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs, write_scores
from fairseq_distill.mining.approximate import ApproximateReport
from fairseq_distill.mining.knn import Neighbours, Progress
from fairseq_distill.mining.margin import MARGINS, best_candidates, neighbourhood_means
from fairseq_distill.mining.matching import RETRIEVALS, ScoredPairs, retrieve
from fairseq_distill.mining.search import Found, check_search, find_neighbours, sizes_of

logger = logging.getLogger(__name__)

_DIGEST = 16  # bytes; two different lines of one corpus never share 128 bits
_LINES_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class MiningResult:
    """What a mining run read and kept.

    Attributes:
        src_lines, tgt_lines: lines of the texts.
        src_searched, tgt_searched: lines that took part (without blank and repeated ones when unified).
        pairs: pairs written.
        threshold: pairs with a greater score were kept; None when all were.
        seconds: wall time.
        search: "exact" or "approximate".
        approximate: how the approximate search went, with its recall; None after an exact one.
    """

    src_lines: int
    tgt_lines: int
    src_searched: int
    tgt_searched: int
    margin: str
    retrieval: str
    k: int
    threshold: Optional[float]
    pairs: int
    seconds: float
    search: str = "exact"
    approximate: Optional[ApproximateReport] = None

    def __str__(self) -> str:
        """One line for the log."""
        threshold = "none" if self.threshold is None else f"{self.threshold:g}"
        recall = self.approximate and self.approximate.recall
        searched = f" | approximate, recall@1 {recall.least:.3f}" if recall else ""
        return (
            f"mine | src {self.src_searched:,} tgt {self.tgt_searched:,} | k={self.k} margin={self.margin} "
            f"retrieval={self.retrieval} threshold={threshold}{searched} | {self.pairs:,} pairs | {self.seconds:.1f} s"
        )


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
    unify: bool = True,
    with_ids: bool = False,
    scores: Optional[PathLike] = None,
    force: bool = False,
    dim: Optional[int] = None,
    dtype: Optional[str] = None,
    max_memory: int = defaults.MAX_MEMORY,
    precision: str = "auto",
    search: str = defaults.SEARCH,
    recall: float = defaults.RECALL,
    seed: int = defaults.SEARCH_SEED,
    device: str = "cpu",
    progress: Optional[Progress] = None,
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
        unify: search among distinct lines that are not blank, each represented by its first occurrence. Repeated lines
            would be one another's rivals, fill the neighbourhoods that the margin compares with, and come out as
            repeated pairs. Line numbers still count in the file.
        with_ids: add the line numbers, from 1.
        scores: a ``.npy`` file for the score of every sentence's best candidate, whatever the threshold.
        force: mine even if the sidecars say that the teacher spaces differ or that a text is not the one embedded.
        max_memory, precision, progress: see :func:`fairseq_distill.mining.knn.knn_both`.
        search, recall, seed, device: see :func:`fairseq_distill.mining.search.find_neighbours`.

    Raises:
        DataError: a file is missing, damaged, does not fit its partner, or holds NaN; the output cannot be written.
        ConfigError: an option out of range, or an output that is also an input.
    """
    started = time.monotonic()
    _check_options(margin, retrieval, k)
    check_search(search, recall, device)
    _check_paths([src_text, tgt_text, src_embeddings, tgt_embeddings], [output] if scores is None else [output, scores])
    require_same_space(src_embeddings, tgt_embeddings, force)
    threshold = defaults.MARGIN_THRESHOLD if threshold is None and margin == "ratio" else threshold
    src, src_lines, src_index = _open_side(src_text, src_embeddings, unify, force, dim, dtype)
    tgt, tgt_lines, tgt_index = _open_side(tgt_text, tgt_embeddings, unify, force, dim, dtype)
    found = _neighbours(
        src,
        tgt,
        k,
        margin,
        retrieval,
        dict(
            max_memory=max_memory,
            precision=precision,
            search=search,
            recall=recall,
            seed=seed,
            device=device,
            names=(str(src_embeddings), str(tgt_embeddings)),
            index=(src_index, tgt_index),
            progress=progress,
        ),
    )
    sizes = sizes_of(src, tgt, (src_index, tgt_index))
    pairs, best = _choose_pairs(found, sizes, margin, retrieval, -np.inf if threshold is None else threshold)
    if scores is not None:
        write_scores(scores, best)
    src_ids = pairs.src if src_index is None else src_index[pairs.src]
    tgt_ids = pairs.tgt if tgt_index is None else tgt_index[pairs.tgt]
    count = write_mined_pairs(output, _with_text(pairs.scores, src_ids, tgt_ids, src_text, tgt_text), with_ids)
    return MiningResult(
        src_lines=src_lines,
        tgt_lines=tgt_lines,
        src_searched=src_lines if src_index is None else len(src_index),
        tgt_searched=tgt_lines if tgt_index is None else len(tgt_index),
        margin=margin,
        retrieval=retrieval,
        k=k,
        threshold=threshold,
        pairs=count,
        seconds=round(time.monotonic() - started, 3),
        search=found.search,
        approximate=found.report,
    )


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
    found = _neighbours(src, tgt, k, margin, retrieval, knn_options)
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
    _warn_of_weak_neighbourhoods(margin, np.concatenate([src_mean, tgt_mean]))
    from_src = from_tgt = ScoredPairs(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    if retrieval != "bwd" and forward is not None:
        score, found = best_candidates(forward, src_mean, tgt_mean, margin)
        from_src = ScoredPairs(score, np.arange(n), found)
    if retrieval != "fwd" and backward is not None:
        score, found = best_candidates(backward, tgt_mean, src_mean, margin)
        from_tgt = ScoredPairs(score, found, np.arange(m))
    return from_src, from_tgt


def _neighbours(src: np.ndarray, tgt: np.ndarray, k: int, margin: str, retrieval: str, options: dict) -> Found:
    """Only the absolute margin of one direction does without the other direction's neighbourhoods."""
    n, m = sizes_of(src, tgt, options.get("index", (None, None)))
    if k > min(n, m):
        logger.warning(f"k={k} is more than the {min(n, m):,} sentences of one side; all of them are neighbours then")
    one_way = {"fwd": "forward", "bwd": "backward"}.get(retrieval, "both") if margin == "absolute" else "both"
    return find_neighbours(src, tgt, k, directions=one_way, **options)


def _warn_of_weak_neighbourhoods(margin: str, means: np.ndarray) -> None:
    weak = int((means < defaults.RATIO_FLOOR).sum())
    if margin == "ratio" and weak:
        logger.warning(
            f"{weak:,} of {len(means):,} sentences have neighbours of a mean cosine below {defaults.RATIO_FLOOR:g}: "
            "their ratios say little; is the corpus very small, or is it the wrong encoder?"
        )


def _check_options(margin: str, retrieval: str, k: int) -> None:
    for name, value, known in (("margin", margin, MARGINS), ("retrieval", retrieval, RETRIEVALS)):
        if value not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, but is {value!r}.")
    if k < 1:
        raise ConfigError(f"k is {k}, but must be at least 1.")


def _check_paths(inputs: List[PathLike], outputs: List[PathLike]) -> None:
    """Refuse before the work what would be refused after it."""
    taken = {require_file(path).resolve() for path in inputs}
    for path in outputs:
        require_folder(path)
        if Path(path).resolve() in taken:
            raise ConfigError(f"{path} is read or written already by this command; give the output a name of its own.")
        taken.add(Path(path).resolve())


def _open_side(
    text: PathLike, embeddings: PathLike, unify: bool, force: bool, dim: Optional[int], dtype: Optional[str]
) -> Tuple[np.ndarray, int, Optional[np.ndarray]]:
    """The rows of one side, its number of lines, and the lines that count (None for all)."""
    rows = open_embeddings(embeddings, dim, dtype)
    lines, index = distinct_lines(text) if unify else (count_lines(text), None)
    if lines != len(rows):
        raise DataError(
            f"{text} has {lines:,} lines but {embeddings} has {len(rows):,} vectors; row i must belong to line i. "
            "Embed this text again, or give the text that was embedded (for raw files check --dim and --dtype)."
        )
    info = read_info(embeddings)
    if not force and info is not None and info.text_sha256 and info.text_sha256 != sha256_file(text):
        raise DataError(
            f"{embeddings} was made from another text than {text} (their SHA-256 differ): the pairs would be of the "
            "wrong sentences. Embed this text, or insist with --force."
        )
    if index is not None:
        logger.info(f"{text}: {lines:,} lines, {len(index):,} distinct and not blank")
        if not len(index):
            raise DataError(f"{text} has {lines:,} lines, all of them blank; there is nothing to mine.")
        if len(index) == lines:
            return rows, lines, None
    return rows, lines, index


def distinct_lines(path: PathLike) -> Tuple[int, np.ndarray]:
    """(number of lines, int64 ascending indices of each distinct line's first occurrence; blank lines left out)."""
    digests: List[np.ndarray] = []
    blank: List[np.ndarray] = []
    stream = iter_lines(path)
    while lines := list(itertools.islice(stream, _LINES_AT_A_TIME)):
        joined = b"".join(hashlib.blake2b(line.encode(), digest_size=_DIGEST).digest() for line in lines)
        digests.append(np.frombuffer(joined, np.uint64).reshape(-1, 2))
        blank.append(np.fromiter((not line or line.isspace() for line in lines), bool, len(lines)))
    if not digests:
        return 0, np.empty(0, np.int64)
    table, skip = np.concatenate(digests), np.concatenate(blank)
    order = np.lexsort((table[:, 1], table[:, 0]))  # stable: of equal lines the first comes first
    ordered = table[order]
    first = np.ones(len(order), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return len(order), np.sort(order[first & ~skip[order]])


def _with_text(
    scores: np.ndarray, src_ids: np.ndarray, tgt_ids: np.ndarray, src_text: PathLike, tgt_text: PathLike
) -> Iterator[MinedPair]:
    src_lines, src_at = _lines_at(src_text, src_ids)
    tgt_lines, tgt_at = _lines_at(tgt_text, tgt_ids)
    columns = (scores, src_at, tgt_at, src_ids + 1, tgt_ids + 1)
    for score, one, two, src_line, tgt_line in zip(*(column.tolist() for column in columns)):
        yield MinedPair(score, src_lines[one], tgt_lines[two], src_line, tgt_line)


def _lines_at(path: PathLike, ids: np.ndarray) -> Tuple[List[str], np.ndarray]:
    """The distinct lines named by ``ids``, in file order, and where among them each id is."""
    wanted, at = np.unique(ids, return_inverse=True)
    mask = np.zeros(int(wanted[-1]) + 1 if len(wanted) else 0, np.uint8)
    mask[wanted] = 1
    return list(itertools.compress(iter_lines(path), mask.tobytes())), at.reshape(-1)
