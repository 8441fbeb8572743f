"""What mining and scoring do alike: check and open their files, read the texts again, write pairs and what is said of them."""

import hashlib
import itertools
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple, TypedDict

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike, require_folder, require_own_names, sha256_file
from fairseq_distill.formats.embeddings import open_embeddings, read_info, require_same_space
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file
from fairseq_distill.formats.mined_pairs import MinedPair, write_mined_pairs, write_scores
from fairseq_distill.formats.mining_record import MiningRecord, describe_side, record_path, write_record
from fairseq_distill.mining.approximate import ApproximateReport
from fairseq_distill.mining.margin import MARGINS
from fairseq_distill.mining.rows import UnitRows, Workers, exact_cosines
from fairseq_distill.mining.screen import Progress as SearchProgress
from fairseq_distill.mining.search import check_search
from fairseq_distill.progress import Progress, counted

logger = logging.getLogger(__name__)

_DIGEST = 16  # bytes; two different lines of one corpus never share 128 bits
_LINES_AT_A_TIME = 1 << 16
_PAIRS_AT_A_TIME = 1 << 18  # whose cosines are measured between two looks at the memory


class RunOptions(TypedDict, total=False):
    """What mining and scoring take alike; none of it has to be given.

    Attributes:
        scores: a ``.npy`` file for scores, whatever the threshold: those of every sentence's best candidate, or of every pair
            that is only scored.
        with_ids: add the line numbers, from 1.
        provenance: add the line numbers, the cosine and a hash of each line (:mod:`fairseq_distill.formats.mined_pairs`),
            and say in ``OUTPUT.json`` of what was mined and how (:mod:`fairseq_distill.formats.mining_record`).
        unify: search among distinct lines that are not blank, each represented by its first occurrence; the default.
            Repeated lines would be one another's rivals, fill the neighbourhoods that the margin compares with, and come
            out as repeated pairs. Line numbers still count in the file.
        force: mine even if the sidecars say that the teacher spaces differ or that a text is not the one embedded.
        dim, dtype: of LASER's raw embedding files.
        max_memory, precision, progress: of the search, see :func:`fairseq_distill.mining.knn.knn_both`.
        search, recall, seed, device: which search, see :func:`fairseq_distill.mining.search.find_neighbours`.
    """

    scores: Optional[PathLike]
    with_ids: bool
    provenance: bool
    unify: bool
    force: bool
    dim: Optional[int]
    dtype: Optional[str]
    max_memory: int
    precision: str
    progress: Optional[SearchProgress]
    search: str
    recall: float
    seed: int
    device: str


@dataclass(frozen=True)
class MiningResult:
    """What a run read and kept.

    Attributes:
        src_lines, tgt_lines: lines of the texts.
        src_searched, tgt_searched: lines that took part (without blank and repeated ones when unified).
        retrieval: how pairs were chosen, or "given" when they were only scored.
        pairs: pairs written.
        threshold: pairs with a greater score were kept; None when all were.
        seconds: wall time.
        search: "exact" or "approximate".
        approximate: how the approximate search went, with its recall; None after an exact one.
        mode: "mine" or "score".
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
    mode: str = "mine"

    def __str__(self) -> str:
        """One line for the log."""
        threshold = "none" if self.threshold is None else f"{self.threshold:g}"
        recall = self.approximate and self.approximate.recall
        searched = f" | approximate, recall@1 {recall.least:.3f}" if recall else ""
        return (
            f"{self.mode} | src {self.src_searched:,} tgt {self.tgt_searched:,} | k={self.k} margin={self.margin} "
            f"retrieval={self.retrieval} threshold={threshold}{searched} | {self.pairs:,} pairs | {self.seconds:.1f} s"
        )


@dataclass(frozen=True)
class Side:
    """One text and its vectors.

    Attributes:
        rows: float32 or float16 [lines, E], row i for line i.
        index: int64, ascending: the lines that take part, None for all.
        stands: int64 [lines], which of these stands for each line, -1 for a blank one; None for each itself.
    """

    text: PathLike
    embeddings: PathLike
    rows: np.ndarray
    lines: int
    index: Optional[np.ndarray]
    stands: Optional[np.ndarray]

    @property
    def searched(self) -> int:
        """How many lines take part."""
        return self.lines if self.index is None else len(self.index)

    def line_ids(self, ids: np.ndarray) -> np.ndarray:
        """The lines of the text, from 0, that are number ``ids`` among those that take part."""
        return ids if self.index is None else self.index[ids]


@dataclass(frozen=True)
class Job:
    """A run whose files are checked and open, how its pairs are to be written, and the options of its search."""

    src: Side
    tgt: Side
    output: PathLike
    scores: Optional[PathLike]
    with_ids: bool
    provenance: bool
    search: Dict[str, Any]
    options: Dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def names(self) -> Tuple[str, str]:
        """What errors call the two sides: their embedding files."""
        return str(self.src.embeddings), str(self.tgt.embeddings)

    @property
    def search_options(self) -> Dict[str, Any]:
        """What :func:`fairseq_distill.mining.search.find_neighbours` is told beside the rows and k."""
        return {**self.search, "names": self.names, "index": (self.src.index, self.tgt.index)}

    def cosines(self, src_ids: np.ndarray, tgt_ids: np.ndarray, what: str) -> np.ndarray:
        """float32 [P]: :func:`pair_cosines` of lines counted from 0."""
        return pair_cosines(self.src.rows, self.tgt.rows, src_ids, tgt_ids, self.names, what)

    def finish(self, pairs: Iterable[MinedPair], scores: np.ndarray, **found: Any) -> MiningResult:
        """Write the scores where they are wanted, the pairs and, with provenance, the record beside them.

        Args:
            scores: float32, see :class:`RunOptions`.
            found: what else the result says and the job does not know.
        """
        if self.scores is not None:
            write_scores(self.scores, scores)
        if self.provenance:
            record_path(self.output).unlink(missing_ok=True)  # it would be of other pairs
        count = write_mined_pairs(self.output, pairs, self.with_ids, self.provenance)
        result = MiningResult(
            src_lines=self.src.lines,
            tgt_lines=self.tgt.lines,
            src_searched=self.src.searched,
            tgt_searched=self.tgt.searched,
            pairs=count,
            seconds=round(time.monotonic() - self.started, 3),
            **found,
        )
        if self.provenance:
            src, tgt = (
                describe_side(one.text, one.embeddings, one.lines, one.searched) for one in (self.src, self.tgt)
            )
            write_record(
                MiningRecord(str(self.output), sha256_file(self.output), src, tgt, asdict(result), self.options)
            )
        return result


def open_job(
    texts: Tuple[PathLike, PathLike],
    embeddings: Tuple[PathLike, PathLike],
    output: PathLike,
    *,
    scores: Optional[PathLike] = None,
    with_ids: bool = False,
    provenance: bool = False,
    unify: bool = True,
    force: bool = False,
    dim: Optional[int] = None,
    dtype: Optional[str] = None,
    **search: Any,
) -> Job:
    """Check the files of a run, refuse what would be refused after the work, and open both sides.

    The options are those of :class:`RunOptions`, with their defaults; ``search`` holds those of the search, whose
    defaults are :func:`fairseq_distill.mining.search.find_neighbours`'s.

    Raises:
        DataError, ConfigError: as :func:`fairseq_distill.mining.pairs.mine`.
    """
    started = time.monotonic()
    recall, seed = search.get("recall", defaults.RECALL), search.get("seed", defaults.SEARCH_SEED)
    check_search(search.get("search", defaults.SEARCH), recall, search.get("device", "cpu"))
    outputs = [output, *([scores] if scores is not None else []), *([record_path(output)] if provenance else [])]
    _check_paths([*texts, *embeddings], outputs)
    require_same_space(*embeddings, force)
    src, tgt = (open_side(*files, unify, force, dim, dtype) for files in zip(texts, embeddings))
    noted = {"unify": unify, "recall": recall, "seed": seed}
    return Job(src, tgt, output, scores, with_ids, provenance, search, noted, started)


def check_scoring(margin: str, k: int) -> None:
    """Raise a ConfigError unless there is such a margin and neighbourhood."""
    if margin not in MARGINS:
        raise ConfigError(f"margin must be one of {', '.join(MARGINS)}, but is {margin!r}.")
    if k < 1:
        raise ConfigError(f"k is {k}, but must be at least 1.")


def pair_cosines(
    src: np.ndarray,
    tgt: np.ndarray,
    src_ids: np.ndarray,
    tgt_ids: np.ndarray,
    names: Tuple[str, str] = ("source embeddings", "target embeddings"),
    what: str = "cosines",
) -> np.ndarray:
    """float32 [P]: cosine of each pair of rows, as the search measures it; zero with a zero vector.

    Args:
        src, tgt: float32 or float16 [N, E] and [M, E].
        src_ids, tgt_ids: int64 [P], rows of these.
        what: the work, for its progress.

    Raises:
        DataError: NaN or infinity in a row.
    """
    found = np.empty(len(src_ids), np.float32)
    if not len(found):
        return found
    progress = Progress(what, len(found), unit="pairs")
    with Workers() as workers:
        (one, at), (two, other) = (
            _rows_of(rows, ids, name, workers) for rows, ids, name in zip((src, tgt), (src_ids, tgt_ids), names)
        )
        for start in range(0, len(found), _PAIRS_AT_A_TIME):
            part = slice(start, start + _PAIRS_AT_A_TIME)
            exact_cosines(one, at[part], two, other[part], workers, found[part])
            one.release_if_large()
            two.release_if_large()
            progress.add(len(found[part]))
    return found


def _rows_of(rows: np.ndarray, ids: np.ndarray, name: str, workers: Workers) -> Tuple[UnitRows, np.ndarray]:
    """The rows that ``ids`` name, each once, and where among them each id is."""
    wanted, at = np.unique(ids, return_inverse=True)
    return UnitRows(rows, name, wanted, workers), at.reshape(-1)


def lines_at(path: PathLike, ids: np.ndarray) -> Tuple[List[str], np.ndarray]:
    """The distinct lines named by ``ids``, in file order, and where among them each id is."""
    wanted, at = np.unique(ids, return_inverse=True)
    last = int(wanted[-1]) + 1 if len(wanted) else 0
    mask = np.zeros(last, np.uint8)
    mask[wanted] = 1
    lines = counted(iter_lines(path), Progress(f"read {Path(path).name}", last, unit="lines"))
    return list(itertools.compress(itertools.islice(lines, last), mask.tobytes())), at.reshape(-1)


def _check_paths(inputs: List[PathLike], outputs: List[PathLike]) -> None:
    """Refuse before the work what would be refused after it."""
    for path in inputs:
        require_file(path)
    for path in outputs:
        require_folder(path)
    require_own_names(inputs, outputs)


def open_side(
    text: PathLike, embeddings: PathLike, unify: bool, force: bool, dim: Optional[int], dtype: Optional[str]
) -> Side:
    """One side, its text and vectors compared; options as in :func:`fairseq_distill.mining.pairs.mine`.

    Raises:
        DataError: they do not belong together, one of them is damaged, or all lines are blank.
    """
    rows = open_embeddings(embeddings, dim, dtype)
    index, stands = None, None
    if unify:
        index, stands = distinct_lines(text, len(rows))
    lines = count_lines(text) if stands is None else len(stands)
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
            index = stands = None
    return Side(text, embeddings, rows, lines, index, stands)


def distinct_lines(path: PathLike, total: Optional[int] = None) -> Tuple[np.ndarray, np.ndarray]:
    """Which lines differ.

    Args:
        total: how many lines there should be, for the progress.

    Returns:
        int64 ascending indices of each distinct line's first occurrence, blank lines left out; and int64 [lines], which
        of these each line equals, -1 where it is blank.
    """
    digests: List[np.ndarray] = []
    blank: List[np.ndarray] = []
    stream = iter_lines(path)
    progress = Progress(f"compare lines of {Path(path).name}", total, unit="lines")
    while lines := list(itertools.islice(stream, _LINES_AT_A_TIME)):
        joined = b"".join(hashlib.blake2b(line.encode(), digest_size=_DIGEST).digest() for line in lines)
        digests.append(np.frombuffer(joined, np.uint64).reshape(-1, 2))
        blank.append(np.fromiter((not line or line.isspace() for line in lines), bool, len(lines)))
        progress.add(len(lines))
    if not digests:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    table, skip = np.concatenate(digests), np.concatenate(blank)
    order = np.lexsort((table[:, 1], table[:, 0]))  # stable: of equal lines the first comes first
    ordered = table[order]
    first = np.ones(len(order), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    index = np.sort(order[first & ~skip[order]])
    leader = np.empty(len(order), np.int64)  # the line whose first occurrence each line equals
    leader[order] = order[first][np.cumsum(first) - 1]
    return index, np.where(skip, -1, np.searchsorted(index, leader))
