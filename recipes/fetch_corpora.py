"""Fetch the corpora that a family's config lists, through mtdata, into the layout that DATA_ROOT has too.

    python recipes/fetch_corpora.py --config recipes/nguni --output work/corpora [--licences "open research"] [--check]

A corpus is there whole or not at all; what is there is not fetched again, and a run that was stopped goes on. Beside its text lies
corpus.json: licence, counts, checksums, mtdata's version. Another text than before is refused (corpora_lock.py). A language
without a dev set gets one, held out of its most trusted corpus.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from corpora_lock import SHARED, ChangedCorpusError, read_lock, verify
from corpora_root import RECORD
from family_config import FamilyConfig, ListedCorpus, read_config, read_licences, shipped_families
from fetch_client import Patience, fetch, locked, require_mtdata, text_files, unknown_ids, version
from language_table import canonical
from plan_family import parse_classes

from fairseq_distill import defaults
from fairseq_distill.cli.common import make_parser, run_command
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import sha256_file, write_text
from fairseq_distill.formats.json_file import load_json
from fairseq_distill.formats.lines import count_lines, iter_lines, require_file, write_lines

logger = logging.getLogger(__name__)
SPLIT = Path(__file__).resolve().parent.parent / "data_prep" / "split_heldout.py"


def sides_of(corpus: ListedCorpus) -> Tuple[str, str]:
    """(teacher's code, student's code) of a bitext id, as the id writes them.

    Raises:
        ConfigError: the id is not of the language that the config says.
    """
    first, second = corpus.id.split("-")[3:]
    for teacher, student in ((first, second), (second, first)):
        if canonical(student.partition("_")[0]) == corpus.lang:
            return teacher, student
    raise ConfigError(f"{corpus.id} is listed for {corpus.lang}, which is neither of its languages.")


def place_of(corpus: ListedCorpus, output: Path) -> Path:
    """Where a corpus lies when it is there: a folder, or a file of monolingual text."""
    if corpus.monolingual:
        return output / "mono" / f"{corpus.id}.{corpus.lang}.txt"
    return output / "bitext" / corpus.id / f"{sides_of(corpus)[0].partition('_')[0]}-{corpus.lang}"


def record_of(corpus: ListedCorpus, output: Path) -> Path:
    """Its record; written last."""
    place = place_of(corpus, output)
    return place.with_suffix(".json") if corpus.monolingual else place / RECORD


def recorded(corpus: ListedCorpus, output: Path) -> Dict[Path, Tuple[int, str]]:
    """The (bytes, SHA-256) of each file that the record names; nothing where there is no record or it is damaged."""
    record = record_of(corpus, output)
    try:
        files: Dict[str, Dict[str, Any]] = load_json(record)["files"] if record.is_file() else {}
        return {record.parent / name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):  # damaged: as if it were not there
        return {}


def is_there(corpus: ListedCorpus, output: Path) -> bool:
    """True when the record is there and every file has the size it says; a cut file is fetched again."""
    files = recorded(corpus, output)
    return bool(files) and all(path.is_file() and path.stat().st_size == size for path, (size, _) in files.items())


def require_unchanged(corpus: ListedCorpus, output: Path) -> None:
    """Raise a ChangedCorpusError when a file of a corpus that is there has other content than its record says."""
    for path, (_, expected) in recorded(corpus, output).items():
        found = sha256_file(path)
        if found != expected:
            raise ChangedCorpusError(
                f"{path} has SHA-256 {found}, but {record_of(corpus, output)} says {expected}: it was changed after it was fetched; "
                "remove it to have the corpus fetched again, or keep a text of your own in another folder (DATA_ROOT)."
            )


def every(n: int, limit: int) -> Iterator[bool]:
    """For n lines, which to keep so that ``limit`` are kept, evenly over the file; all when there are no more."""
    for i in range(n):
        yield n <= limit or (i + 1) * limit // n > i * limit // n


def copy_capped(source: Path, target: Path, limit: int) -> int:
    """Copy at most ``limit`` lines; how many were copied."""
    n = count_lines(source)
    write_lines(target, (line for line, keep in zip(iter_lines(source), every(n, limit)) if keep))
    return min(n, limit)


def hold_out(folder: Path, pair: str, lines: int) -> int:
    """Split ``folder/train`` into train and dev; the number of dev pairs, 0 where the corpus is too small."""
    wanted = min(defaults.HELDOUT, int(lines * defaults.HELDOUT_SHARE))
    while wanted >= defaults.MIN_VALID:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            command = [sys.executable, str(SPLIT), "--quiet", "--pair", pair, "--input", str(folder / "train")]
            command += ["--train", f"{made}/train", "--heldout", f"{made}/dev={wanted}"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                for path in Path(made).iterdir():
                    os.replace(path, folder / path.name)
                return wanted
        wanted //= 2
    return 0


def write_record(corpus: ListedCorpus, path: Path, files: List[Path], **facts: Any) -> None:
    """The record of what lies beside it."""
    kind, words = read_licences()[corpus.licence]
    entries = {
        file.name: {"lines": count_lines(file), "bytes": file.stat().st_size, "sha256": sha256_file(file)}
        for file in sorted(files)
    }
    record = {"id": corpus.id, "lang": corpus.lang, "licence": corpus.licence, "class": kind, "terms": words}
    write_text(path, json.dumps({**record, **facts, "mtdata": version(), "files": entries}, indent=1) + "\n")


def has_dev(config: FamilyConfig, lang: str, output: Path) -> bool:
    """True when a listed corpus of the language that is there has a dev part."""
    return any(
        (place_of(corpus, output) / f"dev.{lang}").is_file()
        for corpus in config.corpora
        if corpus.lang == lang and not corpus.monolingual
    )


def finish(config: FamilyConfig, corpus: ListedCorpus, fetched: Path, output: Path, attempts: int, limit: int) -> None:
    """Move what was fetched to its place, in one step."""
    place = place_of(corpus, output)
    facts: Dict[str, Any] = {"attempts": attempts}
    if corpus.monolingual:
        place.parent.mkdir(parents=True, exist_ok=True)
        facts["taken"] = copy_capped(text_files(corpus.id, fetched)[0], place, limit)
        write_record(corpus, record_of(corpus, output), [place], **facts)
        return
    teacher, student = sides_of(corpus)
    ready = fetched.with_name(fetched.name + ".ready")
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    for code, called in ((teacher, teacher.partition("_")[0]), (student, corpus.lang)):
        source = next(path for path in text_files(corpus.id, fetched) if path.name == f"{corpus.id}.{code}")
        facts["fetched"], facts["taken"] = count_lines(source), copy_capped(source, ready / f"train.{called}", limit)
    facts["heldout"] = 0 if has_dev(config, corpus.lang, output) else hold_out(ready, place.name, facts["taken"])
    write_record(corpus, ready / RECORD, list(ready.iterdir()), **facts)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(ready, place)


def fetch_one(config: FamilyConfig, corpus: ListedCorpus, output: Path, args: argparse.Namespace) -> str:
    """Have a corpus in its place; why that failed, or nothing.

    Raises:
        ChangedCorpusError: it is not what it was.
    """
    patience = Patience(args.attempts, args.wait_s, args.timeout_s)
    partial = output / ".partial" / corpus.id
    with locked(partial.with_name(partial.name + ".lock")):
        if is_there(corpus, output):
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed at its very end
            require_unchanged(corpus, output)
            logger.info(f"there | {corpus.lang} | {corpus.id} | licence {corpus.licence}")
            return ""
        log = partial.with_name(partial.name + ".log")
        pair = "" if corpus.monolingual else "-".join(corpus.id.split("-")[3:])
        try:
            attempts = fetch(corpus.id, pair, partial, log, patience)
            accept = corpus.id in args.accept_changed
            said = verify(corpus.id, text_files(corpus.id, partial), Path(args.lock), output, accept)
            finish(config, corpus, partial, output, attempts, args.max_pairs)
        except ChangedCorpusError:
            raise
        except DataError as error:
            logger.error(str(error))
            return str(error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    record = json.loads(record_of(corpus, output).read_text(encoding="utf-8"))
    logger.info(
        f"fetched | {corpus.lang} | {corpus.id} | {record['taken']:,} lines | licence {corpus.licence} | attempt {attempts} | {said}"
    )
    return ""


def allowed(config: FamilyConfig, licences: str) -> List[ListedCorpus]:
    """The listed corpora whose licence is in one of the classes; the others are logged."""
    classes, known = parse_classes(licences), read_licences()
    kept = []
    for corpus in config.corpora:
        kind = known[corpus.licence][0]
        if classes and kind not in classes:
            logger.info(f"left out | {corpus.lang} | {corpus.id} | licence {corpus.licence} ({kind})")
        else:
            kept.append(corpus)
    return kept


def check(configs: List[FamilyConfig]) -> None:
    """Raise a ConfigError for ids that mtdata's index does not hold."""
    ids = {corpus.id: config for config in configs for corpus in config.corpora}
    missing = unknown_ids(list(ids))
    if missing is None:
        raise ConfigError("mtdata cannot be imported, so its index cannot be read: pip install mtdata.")
    if missing:
        listed = "; ".join(f"{name} ({ids[name].name})" for name in missing)
        raise ConfigError(f"{len(missing)} of {len(ids)} corpora are not in mtdata's index: {listed}.")
    print(f"{len(ids)} corpora of {len(configs)} families are in the index of {version()}")


def print_listed(configs: List[FamilyConfig], output: Path, licences: str) -> None:
    """One line a listed corpus on stdout: whether it is there, and its licence."""
    for config in configs:
        kept = allowed(config, licences)
        for corpus in config.corpora:
            state = "left out" if corpus not in kept else "there" if is_there(corpus, output) else "to fetch"
            print(f"{state} | {corpus.lang} | {corpus.id} | licence {corpus.licence}")


def main(args: argparse.Namespace) -> None:
    configs = [read_config(Path(folder)) for folder in args.config or shipped_families()]
    if args.check:
        check(configs)
        return
    if args.output is None:
        raise ConfigError("--output DIR is needed unless --check is given.")
    output = Path(args.output).resolve()
    if args.dry_run:
        print_listed(configs, output, args.licences)
        return
    require_mtdata()
    read_lock(require_file(args.lock))
    failed: Dict[str, str] = {}
    wanted = [(config, corpus) for config in configs for corpus in allowed(config, args.licences)]
    absent: Optional[List[str]] = None
    if any(not is_there(corpus, output) for _, corpus in wanted):
        absent = unknown_ids([corpus.id for _, corpus in wanted])
    if absent:
        raise ConfigError(f"mtdata's index does not hold {', '.join(absent)}; mend the config ('mtdata list -id').")
    for config, corpus in wanted:
        why = fetch_one(config, corpus, output, args)
        if why:
            failed[corpus.id] = why
    if failed and not args.allow_missing:
        raise DataError(
            f"{len(failed)} of {len(wanted)} corpora could not be fetched: {', '.join(failed)}. Run this again: what is there "
            "stays and the rest is tried again. To train without them: --allow-missing."
        )


def parser() -> argparse.ArgumentParser:
    result = make_parser(
        "fetch_corpora.py",
        __doc__.splitlines()[0],
        "python recipes/fetch_corpora.py --config recipes/nguni --output work/corpora",
    )
    add = result.add_argument
    add(
        "--config",
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="folders with a config.sh; all families if none is named",
    )
    add("--output", metavar="DIR", help="where the corpora go")
    add("--licences", default="", metavar="CLASSES", help="fetch only these classes of licence")
    add("--allow-missing", action="store_true", help="end well even if a corpus could not be fetched")
    add("--check", action="store_true", help="fetch nothing; are the ids in mtdata's index?")
    add(
        "--dry-run",
        action="store_true",
        help="fetch nothing; list the corpora, their licences and whether they are there",
    )
    add(
        "--max-pairs",
        type=int,
        default=defaults.CORPUS_PAIRS,
        metavar="N",
        help="lines taken from one corpus, evenly over it",
    )
    add("--lock", default=str(SHARED), metavar="FILE", help="checksums that corpora must have when they are fetched")
    add(
        "--accept-changed",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help="take these corpora although they are not what they were",
    )
    add("--attempts", type=int, default=defaults.FETCH_ATTEMPTS, metavar="N", help="attempts at one corpus")
    add(
        "--wait-s",
        type=float,
        default=defaults.FETCH_WAIT_S,
        metavar="S",
        help="seconds before the second; they double",
    )
    add(
        "--timeout-s",
        type=float,
        default=defaults.FETCH_TIMEOUT_S,
        metavar="S",
        help="seconds that one attempt may take",
    )
    return result


if __name__ == "__main__":
    sys.exit(run_command(parser(), main))
