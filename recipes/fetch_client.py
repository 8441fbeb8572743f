"""mtdata, called as its command: one corpus into a folder of its own, whole or not at all, with its index and cache as they are.

What mtdata 0.5 leaves to its caller: a download that fails half-way ends the command at once, and a damaged file that came
through to its end stays in the cache and fails every later run. So a failed attempt forgets the cached file and tries again.
"""

import contextlib
import fcntl
import logging
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.lines import count_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How often a download is tried, and how long each attempt and the first wait may be."""

    attempts: int = defaults.FETCH_ATTEMPTS
    wait_s: float = defaults.FETCH_WAIT_S
    timeout_s: float = defaults.FETCH_TIMEOUT_S


def require_mtdata() -> None:
    """Raise a ConfigError unless the command is there."""
    if shutil.which("mtdata") is None:
        raise ConfigError("mtdata is not installed: run recipes/setup_env.sh, or pip install mtdata; or set DATA_ROOT.")


def version() -> str:
    """What ``mtdata --version`` says first."""
    done = subprocess.run(["mtdata", "--version"], capture_output=True, text=True)
    return (done.stdout.split("\n")[0] or done.stderr.strip()).strip()


def unknown_ids(ids: Sequence[str]) -> Optional[List[str]]:
    """The ids that mtdata's index does not hold; None where mtdata cannot be imported to look."""
    try:
        from mtdata.entry import DatasetId
        from mtdata.index import Index
    except ImportError:
        return None
    index = Index.get_instance()
    return [name for name in ids if not _in_index(index, DatasetId, name)]


def _in_index(index: object, parse: type, name: str) -> bool:
    try:
        return parse.parse(name) in index.entries  # type: ignore[attr-defined]
    except Exception:  # mtdata asserts and raises bare exceptions for a name that is no id
        return False


def forget_cached(corpus: str) -> List[Path]:
    """Remove what mtdata's cache keeps of a corpus, with the flag that calls it valid; the files that were removed."""
    try:
        from mtdata import cache_dir
        from mtdata.cache import Cache
        from mtdata.entry import DatasetId
        from mtdata.index import Index
    except ImportError:
        return []
    entry = Index.get_instance().entries.get(DatasetId.parse(corpus))
    if entry is None:
        return []
    urls = [entry.url] if isinstance(entry.url, str) else list(entry.url)
    removed, cache = [], Cache(cache_dir)
    for url in urls:
        name = entry.filename if isinstance(entry.url, str) else None
        path = Path(cache.get_local_path(url, filename=name, fix_missing=False, entry=entry))
        for file in (path, cache.get_flag_file(path)):
            if file.is_file():
                file.unlink()
                removed.append(file)
    return removed


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on ``path``: two families on one machine may want the same corpus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], folder: Path, log: Path, output: Optional[Path], timeout_s: float) -> str:
    """Run mtdata in ``folder``, which is empty: it would run a ``mtdata*.py`` there; why it failed, or nothing."""
    with open(log, "ab") as errors, open(output or log, "ab" if output is None else "wb") as words:
        try:
            done = subprocess.run(
                command, stdout=words, stderr=errors, stdin=subprocess.DEVNULL, timeout=timeout_s, cwd=folder
            )
        except subprocess.TimeoutExpired:
            return f"no end after {timeout_s:g} s"
    if done.returncode == 0:
        return ""
    said = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    return f"mtdata ended with code {done.returncode}: {said[-1] if said else 'without a word'}"


def _attempt(corpus: str, pair: str, folder: Path, log: Path, timeout_s: float) -> str:
    """One try to fill ``folder``; why it failed, or nothing. What mtdata reports as done is counted again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if len(corpus.split("-")) == 4:  # `mtdata get` takes bitext alone
        text = folder / f"{corpus}.{corpus.rpartition('-')[2]}"
        why = _run(["mtdata", "-no-pb", "echo", corpus], folder, log, text, timeout_s)
        return why or ("" if count_lines(text) else "no line came")
    why = _run(["mtdata", "-no-pb", "get", "-l", pair, "-tr", corpus, "-o", str(folder)], folder, log, None, timeout_s)
    if why:
        return why
    if not (folder / "train-parts" / f".valid.{corpus}").is_file():
        return "mtdata left no sign that the corpus is whole"
    counts = [count_lines(path) for path in text_files(corpus, folder)]
    if len(counts) != 2 or counts[0] != counts[1] or not counts[0]:
        return f"the sides have {' and '.join(f'{n:,}' for n in counts) or 'no'} lines"
    return ""


def text_files(corpus: str, folder: Path) -> List[Path]:
    """The files of a fetched corpus: one, or two for bitext, each named ID.LANG."""
    place = folder if len(corpus.split("-")) == 4 else folder / "train-parts"
    return sorted(path for path in place.glob(f"{corpus}.*") if ".meta." not in path.name)


def fetch(corpus: str, pair: str, folder: Path, log: Path, patience: Patience) -> int:
    """Fill ``folder`` with a corpus; the number of attempts it took.

    Raises:
        DataError: every attempt failed; the message says how the last one did, and nothing is left in ``folder``.
    """
    why = ""
    for attempt in range(1, patience.attempts + 1):
        if attempt > 1:
            wait = patience.wait_s * 2 ** (attempt - 2)
            logger.warning(
                f"{corpus} | attempt {attempt - 1} of {patience.attempts} failed: {why} | again in {wait:g} s"
            )
            time.sleep(wait)
        why = _attempt(corpus, pair, folder, log, patience.timeout_s)
        if not why:
            return attempt
        shutil.rmtree(folder, ignore_errors=True)
        forget_cached(corpus)
    raise DataError(f"{corpus} could not be fetched in {patience.attempts} attempts: {why}. All of it: {log}.")
