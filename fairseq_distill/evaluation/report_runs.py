"""A run as the report pages read it, and its settings as plain names and values."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.evaluation.training_log import TrainingLog, read_training_log
from fairseq_distill.formats import manifest as manifests
from fairseq_distill.formats import results as result_files
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.leakage import MINED as MINED_LEAKAGE
from fairseq_distill.formats.leakage import SetLeakage, read_leakage
from fairseq_distill.formats.lines import open_bytes
from fairseq_distill.formats.manifest import Manifest
from fairseq_distill.formats.results import Results

LOG = Path("log") / "train.json.log"
DATA = Path("data")
MINED = ("mined.tsv", "mined.tsv.gz")

# fairseq logs its whole configuration as Python writes a dictionary, with bare words in it where a choice is an enumeration.
_SETTING = re.compile(r"'([^']+)': (\{|\[[^\]]*\]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,}]+)|(\})")
_CONFIGURATION = b"'common': {"
_PLACES = {  # where a run lies, which differs from run to run and changes nothing
    "log_file", "save_dir", "user_dir", "data", "tensorboard_logdir", "distributed_port", "distributed_init_method",
    "plasma_path", "wandb_project",
}  # fmt: skip


@dataclass
class Run:
    """A work directory as ``recipes/student.sh`` leaves it; what is not there is None, ``results`` is empty then."""

    name: str
    work: Path
    results: Results
    manifest: Optional[Manifest]
    log: Optional[TrainingLog]
    mined: Optional[Path]
    leakage: Optional[List[SetLeakage]] = None
    mined_leakage: Optional[List[SetLeakage]] = None


def read_run(work_dir: PathLike, name: str = "") -> Run:
    """Read a work directory; ``name`` is its folder's where not given.

    Raises:
        DataError: it is missing or holds nothing to report, or a file in it is damaged.
    """
    work = Path(work_dir)
    if not work.is_dir():
        raise DataError(f"{work} is not a directory; give the work directory of a run of recipes/student.sh.")
    results = result_files.read_results(work)
    manifest = manifests.read_manifest(work / DATA) if (work / DATA / manifests.NAME).is_file() else None
    log = read_training_log(work / LOG) if (work / LOG).is_file() else None
    mined = mined_file(work)
    if results is None and manifest is None and log is None and mined is None:
        raise DataError(
            f"{work} holds nothing to report: neither {result_files.NAME}, {DATA / manifests.NAME}, {LOG} "
            f"nor {MINED[0]}. Run recipes/student.sh --work {work} first."
        )
    leakage = read_leakage(work), read_leakage(work, MINED_LEAKAGE)
    return Run(name or work.resolve().name, work, results or Results(), manifest, log, mined, *leakage)


def mined_file(work: Path) -> Optional[Path]:
    """What a run has mined, if it has."""
    return next((work / file for file in MINED if (work / file).is_file()), None)


def parse_runs(specs: Sequence[str]) -> List[Tuple[str, str]]:
    """Names and directories of ``NAME=DIR`` or ``DIR``, which is called by the last part of its path that is not common to all.

    Raises:
        ConfigError: two runs have one name.
    """
    runs = []
    for spec in specs:
        name, equals, path = spec.partition("=")
        given = bool(equals) and "/" not in name and not Path(spec).exists()
        runs.append((name, path) if given else ("", spec))
    folders = [Path(path).resolve().parts for _, path in runs]
    while len(set(folders)) > 1 and len({parts[-1:] for parts in folders}) == 1:
        folders = [parts[:-1] for parts in folders]
    named = [(name or parts[-1], path) for (name, path), parts in zip(runs, folders)]
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Two runs are called {name!r}; name them: --run first=DIR --run second=DIR.")
    return named


def logged_settings(path: PathLike) -> Dict[str, str]:
    """The configuration that fairseq logged last: ``optimization.lr`` -> ``[0.0015]``; empty where the log has none.

    Raises:
        DataError: the file cannot be read.
    """
    found = b""
    with open_bytes(path) as stream:
        for line in stream:
            if _CONFIGURATION in line:
                found = line
    settings: Dict[str, str] = {}
    groups: List[str] = []
    for key, value, closing in _SETTING.findall(found.decode("utf-8", errors="replace")):
        if closing:
            groups = groups[:-1]
        elif value == "{":
            groups.append(key)
        elif key not in _PLACES:
            settings[".".join([*groups, key])] = value.strip("'\"")
    first: Dict[Tuple[str, str], str] = {}  # a task repeats what it reads of other groups
    return {
        name: value for name, value in settings.items() if first.setdefault((name.split(".")[-1], value), name) == name
    }


def settings_of(run: Run) -> Dict[str, str]:
    """Everything that is known to have been set, as ``group.name`` -> value: data, teacher, plan, training, versions."""
    found: Dict[str, str] = {}
    manifest, training = run.manifest, run.results.training
    if manifest is not None:
        teacher = manifest.teacher
        found["data.teacher"] = teacher.spec
        found["data.teacher space"] = teacher.space
        found["data.languages"] = ", ".join(manifest.languages)
        found["data.text normaliser"] = manifest.normaliser
        used = (
            [row.size for row in manifest.vocabulary.rows if row.vocabulary == "student"] if manifest.vocabulary else []
        )
        if used:
            found["data.vocabulary size"] = f"{used[0]:,}"
        for corpus in manifest.corpora:
            found[f"data.{corpus.split} {corpus.id} ({corpus.kind}, {corpus.lang})"] = f"{corpus.n:,} sentences"
    if training is not None:
        for name in ("arch", "parameters", "device"):
            value = getattr(training, name)
            if value is not None:
                found[f"student.{name}"] = f"{value:,}" if isinstance(value, int) else str(value)
    logged = logged_settings(run.work / LOG) if (run.work / LOG).is_file() else {}
    known = {name.rpartition(".")[2] for name in logged} | {name.partition(".")[2] for name in found}
    found.update({f"plan.{name}": str(value) for name, value in run.results.options.items() if name not in known})
    found.update(logged)
    found.update(
        {f"seeds.{name}": str(value) for name, value in run.results.seeds.items() if name != "fairseq" or not logged}
    )
    versions = {**(manifest.versions if manifest is not None else {}), **run.results.versions}
    found.update({f"versions.{name}": version for name, version in versions.items()})
    return found


def differing(settings: Sequence[Dict[str, str]]) -> Tuple[Dict[str, List[Optional[str]]], int]:
    """The names whose values are not the same in all runs, with the value of each (None: not known there), and how many
    are the same everywhere."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    values = {name: [one.get(name) for one in settings] for name in names}
    unlike = {name: row for name, row in values.items() if len(set(row)) > 1}
    return unlike, len(names) - len(unlike)
