"""One search by several processes or machines: each looks for the neighbours of a part of the sources, and of all targets in it.

A shard is an int64 ``.npy`` [its sources + all targets, k] of keys (:func:`fairseq_distill.mining.topk.pack`): of each source its
nearest targets, then of each target its nearest sources of that part, numbered as in the whole. A cosine has the same bits wherever
it is measured, so what :func:`joined` puts together is what one search of everything finds; after approximate searches, each of which
has the recall wanted, it is approximate. The shards stay: other margins, thresholds and a smaller k are then a matter of seconds.
"""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike, atomic_path, sha256_file
from fairseq_distill.formats.embeddings import map_array
from fairseq_distill.formats.json_file import read_object, write_object
from fairseq_distill.formats.shards import Shard
from fairseq_distill.mining.job import Job, Side
from fairseq_distill.mining.rows import spans
from fairseq_distill.mining.screen import Neighbours, keys_of, merge, neighbours_of, no_neighbours
from fairseq_distill.mining.search import Found, find_neighbours

logger = logging.getLogger(__name__)

_ROWS = 1 << 18  # merged at a time


def shard_file(output: PathLike, shard: Shard) -> Path:
    """Where its neighbours go: ``mined.tsv.shard2of8.npy`` for ``mined.tsv``; beside it, ``.json`` appended, what they are of."""
    return Path(f"{output}.shard{shard.index}of{shard.count}.npy")


def search_shard(job: Job, shard: Shard, k: int) -> Path:
    """Find the neighbours of one part of the sources and write them down; nothing is done where they are there.

    Args:
        job: the run, opened alike for every shard.
        shard: which part of the sources that take part.
        k: neighbours.

    Returns:
        the shard's file.

    Raises:
        ConfigError: more shards than sources.
        DataError: as the search; the file cannot be written.
    """
    part, file = shard.lines(job.src.searched), shard_file(job.output, shard)
    if not len(part):
        raise ConfigError(f"There are {shard.count:,} shards, but {job.src.searched:,} sources to search; give fewer.")
    about = {**_identity(job), **_settings(job, k), "shard": [shard.index, shard.count]}
    if _is_current(file, about, (len(part) + job.tgt.searched, k)):
        logger.info(f"mine | {file} is up to date")
        return file
    own = job.src.line_ids(np.arange(part.start, part.stop))
    options = {**job.search_options, "index": (own, job.tgt.index)}
    found = find_neighbours(job.src.rows, job.tgt.rows, k, **options)
    assert found.forward is not None and found.backward is not None
    _about(file).unlink(missing_ok=True)  # it would be of other neighbours
    with atomic_path(file) as temporary, open(temporary, "wb") as stream:
        np.save(stream, np.concatenate([_wide(found.forward, k), _wide(_moved(found.backward, part.start), k)]))
    report = None if found.report is None else asdict(found.report)
    write_object(_about(file), {**about, "searched": found.search, "report": report})
    logger.info(f"mine | {file} | {len(part):,} of {job.src.searched:,} sources, {found.search}")
    return file


def joined(job: Job, count: int, k: int) -> Found:
    """The neighbours of everything, from the files of all ``count`` shards.

    Args:
        job: as for the shards; margin, threshold and outputs may differ.
        k: neighbours wanted, at most as many as the shards have.

    Raises:
        DataError: a shard is missing, damaged, or of other files or options.
        ConfigError: no such number of shards.
    """
    if count < 1:
        raise ConfigError(f"--join-shards {count} needs 1 or more shards.")
    n, m = job.src.searched, job.tgt.searched
    forward, backward = no_neighbours(n, min(k, m)), no_neighbours(m, min(k, n))
    wanted = _identity(job)
    settings: Dict[str, Any] = {}
    recalls: List[float] = []  # of approximate searches
    for shard in (Shard(index, count) for index in range(1, count + 1)):
        file, part = shard_file(job.output, shard), shard.lines(n)
        about = _read_about(file, shard)
        settings = settings or _settings_in(about)
        if {name: about.get(name) for name in wanted} != wanted or _settings_in(about) != settings:
            raise DataError(
                f"{file} was made from other files or with other options than these or the first shard; make it again: "
                f"--shard {shard.index}/{count}."
            )
        keys = _read_keys(file, (len(part) + m, settings["k"]), shard)
        if k > settings["k"]:
            raise DataError(f"{file} holds {settings['k']} neighbours, but k is {k}; make the shards with -k {k}.")
        if about.get("searched") != "exact":
            recalls.append(_recall_in(about))
        for low, high in spans(0, len(part), _ROWS):
            rows = slice(part.start + low, part.start + high)
            merge(forward, rows, _checked(keys[low:high], m, file))
        for low, high in spans(0, m, _ROWS):
            merge(backward, slice(low, high), _checked(keys[len(part) + low : len(part) + high], n, file))
    if recalls:
        logger.info(f"mine | {len(recalls):,} of {count:,} shards approximate, recall@1 at least {min(recalls):.3f}")
    return Found(forward, backward, "approximate" if recalls else "exact")


def _identity(job: Job) -> Dict[str, Any]:
    """What a search is of."""
    return {"src": _side(job.src), "tgt": _side(job.tgt)}


def _side(side: Side) -> List[Any]:
    return [sha256_file(side.text), sha256_file(side.embeddings), side.lines, side.searched]


def _settings(job: Job, k: int) -> Dict[str, Any]:
    """What else decides on the neighbours."""
    return {
        "k": k,
        "search": job.search.get("search", defaults.SEARCH),
        **{name: job.options[name] for name in ("recall", "seed")},
    }


def _settings_in(about: Dict[str, Any]) -> Dict[str, Any]:
    return {name: about.get(name) for name in ("k", "search", "recall", "seed")}


def _recall_in(about: Dict[str, Any]) -> float:
    """The lesser recall@1 that an approximate search measured; 0 where it is not said."""
    try:
        return min(float(about["report"]["recall"][name]) for name in ("forward", "backward"))
    except (KeyError, TypeError, ValueError):
        return 0.0


def _about(file: Path) -> Path:
    return Path(f"{file}.json")


def _is_current(file: Path, about: Dict[str, Any], shape: Tuple[int, int]) -> bool:
    try:
        return {name: read_object(_about(file), "").get(name) for name in about} == about and map_array(
            file
        ).shape == shape
    except DataError:
        return False


def _read_about(file: Path, shard: Shard) -> Dict[str, Any]:
    mend = f"make it: --shard {shard.index}/{shard.count}"
    about = read_object(_about(file), mend)
    k = about.get("k")
    if about.get("shard") != [shard.index, shard.count] or not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise DataError(f"{_about(file)} does not describe shard {shard.index} of {shard.count}; {mend}.")
    return about


def _read_keys(file: Path, shape: Tuple[int, int], shard: Shard) -> np.ndarray:
    """int64 ``shape``, memory-mapped."""
    mend = f"make it again: --shard {shard.index}/{shard.count}"
    try:
        keys = map_array(file)
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}; {mend}.") from error
    if keys.dtype != np.int64 or keys.shape != shape:
        raise DataError(f"{file} holds {keys.dtype} {keys.shape} instead of int64 {shape}; {mend}.")
    return keys


def _checked(keys: np.ndarray, n: int, file: Path) -> Neighbours:
    """Neighbours among ``n`` rows."""
    found = neighbours_of(keys)
    if len(found.indices) and (found.indices.max() >= n or not np.isfinite(found.cosines[found.indices >= 0]).all()):
        raise DataError(f"{file} is damaged: it names rows beyond {n:,}, or cosines that are none; make it again.")
    return found


def _wide(found: Neighbours, k: int) -> np.ndarray:
    """int64 [N, k] keys, empty where there are fewer."""
    missing = no_neighbours(len(found.indices), k - found.indices.shape[1])
    return np.concatenate([keys_of(found), keys_of(missing)], axis=1)


def _moved(found: Neighbours, start: int) -> Neighbours:
    """With the numbers of a part as numbers of the whole."""
    return Neighbours(found.cosines, np.where(found.indices < 0, -1, found.indices + start))
