"""A family's config.sh: read through bash, so that it may say anything bash can, and checked before it is used."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.lines import read_lines
from fairseq_distill.formats.numbers import finite
from fairseq_distill.languages import parse_language

HERE = Path(__file__).resolve().parent
LICENCES = HERE / "licences.tsv"
CURRICULA = ("none", "progressive")
LISTS = ("LANGS", "PIVOTS", "CORPORA", "OPTIONS")
WORDS = ("FAMILY", "SPM_SIZE", "TEMPERATURE", "CURRICULUM", "INCREMENTS")
_ID = re.compile(r"[A-Za-z0-9_.+]+-[A-Za-z0-9_.+]+-[A-Za-z0-9_.+]+-[A-Za-z]{3}\w*(-[A-Za-z]{3}\w*)?")


@dataclass(frozen=True)
class ListedCorpus:
    """A corpus of a config.

    Attributes:
        lang: the student's language of it.
        id: as ``mtdata list`` writes it, ``OPUS-tico_19-v20201028-eng-swa``.
        licence: its name in recipes/licences.tsv.
    """

    lang: str
    id: str
    licence: str

    @property
    def monolingual(self) -> bool:
        """True when the id names one language."""
        return len(self.id.split("-")) == 4


@dataclass(frozen=True)
class FamilyConfig:
    """What a family's student is made of; see recipes/README.md for each setting.

    Attributes:
        folder: where its config.sh lies; the folder's name is the family's.
        family: the name for people.
        langs: the languages the student is for, and may learn from.
        pivots: larger languages that it learns beside them, so that the small ones can lean on them.
        corpora: what is downloaded, the most trusted first.
        spm_size, temperature, curriculum, increments: as in defaults.py unless the config says otherwise.
        options: further options of fairseq-train.
    """

    folder: Path
    family: str
    langs: Tuple[str, ...]
    pivots: Tuple[str, ...]
    corpora: Tuple[ListedCorpus, ...]
    spm_size: int
    temperature: float
    curriculum: str
    increments: int
    options: Tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's name, by which all.sh knows it."""
        return self.folder.name

    @property
    def all_languages(self) -> Tuple[str, ...]:
        """Languages and pivots."""
        return self.langs + self.pivots


def settings_lines(spm_size: int, temperature: float, curriculum: str) -> List[str]:
    """The lines of a config.sh that say what a student is trained with, the weights of its losses among them."""
    return [
        f"SPM_SIZE={spm_size}",
        f"TEMPERATURE={temperature:g}",
        f"CURRICULUM={curriculum}",
        f"# cosine; contrastive, with a queue of {defaults.STUDENT_CONTRASTIVE_QUEUE:,}; MLM, with {100 * defaults.MASK_SHARE:.0f} % "
        "of the pieces where there is monolingual text",
        f"OPTIONS=(--distil-weight {defaults.DISTIL_WEIGHT:g} --contrastive-weight {defaults.STUDENT_CONTRASTIVE_WEIGHT:g} "
        f"--mlm-weight {defaults.MLM_WEIGHT:g})",
    ]


def read_licences(path: Path = LICENCES) -> Dict[str, Tuple[str, str]]:
    """Licence name -> (class, words): class is open, noncommercial, research or unclear.

    Raises:
        DataError: there is no licence in it, or a line with another number of columns.
    """
    found: Dict[str, Tuple[str, str]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 3:
            raise DataError(f"{path}, line {number}: {len(cells)} columns instead of 3; separate them by tabs.")
        found[cells[0]] = (cells[1], cells[2])
    if not found:
        raise DataError(f"{path} holds no licence; take it from the repository again.")
    return found


def _run_bash(path: Path) -> Dict[str, List[str]]:
    """The variables of a config: name -> values."""
    program = """
        set -euo pipefail
        source "$1"
        shift
        set +u
        for name in "$@"; do
          declare -n values="$name"
          printf '%s\\0' "${#values[@]}" "${values[@]}"
        done
    """
    names = [*LISTS, *WORDS]
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", program, "bash", str(path), *names],
        capture_output=True,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise ConfigError(f"{path} does not run in bash: {said or f'exit code {done.returncode}'}")
    try:
        words = done.stdout.decode("utf-8").split("\0")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} holds words that are not UTF-8; convert it.") from error
    found: Dict[str, List[str]] = {}
    for name in names:
        if not words[0].isdecimal():
            raise ConfigError(f"{path} exits, or prints something; it may only set variables.")
        count = int(words.pop(0))
        found[name] = [word for word in words[:count] if word]
        del words[:count]
    return found


def _number(path: Path, name: str, values: List[str], default: float, least: float) -> float:
    if not values:
        return default
    try:
        number = finite(values[0])
    except ValueError as error:
        raise ConfigError(f"{path}: {name}={values[0]} is not a number.") from error
    if number < least:
        raise ConfigError(f"{path}: {name}={values[0]} must be at least {least:g}.")
    return number


def _choice(path: Path, name: str, values: List[str], choices: Tuple[str, ...], default: str) -> str:
    chosen = values[0] if values else default
    if chosen not in choices:
        raise ConfigError(f"{path}: {name}={chosen} must be one of {', '.join(choices)}.")
    return chosen


def _corpora(path: Path, lines: List[str], languages: Tuple[str, ...]) -> Tuple[ListedCorpus, ...]:
    licences, found = read_licences(), []
    for line in lines:
        words = line.split()
        if len(words) != 3:
            raise ConfigError(f"{path}: the corpus {line!r} is not of the form 'LANG MTDATA_ID LICENCE'.")
        corpus = ListedCorpus(*words)
        if corpus.lang not in languages:
            raise ConfigError(f"{path}: {corpus.id} is for {corpus.lang}, which is neither in LANGS nor in PIVOTS.")
        if not _ID.fullmatch(corpus.id):
            raise ConfigError(f"{path}: {corpus.id} is not an id as 'mtdata list -id' writes them.")
        if corpus.licence not in licences:
            raise ConfigError(
                f"{path}: {corpus.id} has the licence {corpus.licence}, which {LICENCES.name} does not hold."
            )
        found.append(corpus)
    if len({corpus.id for corpus in found}) < len(found):
        raise ConfigError(f"{path}: a corpus is listed twice.")
    return tuple(found)


def read_config(folder: Path) -> FamilyConfig:
    """The checked config of a family's folder.

    Raises:
        ConfigError: there is none, bash cannot read it, or it says something that does not fit.
    """
    path = Path(folder) / "config.sh"
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; the families are the folders of {HERE} that have a config.sh.")
    raw = _run_bash(path)
    langs, pivots = tuple(raw["LANGS"]), tuple(raw["PIVOTS"])
    if not langs or len(set(langs + pivots)) < len(langs + pivots):
        raise ConfigError(f"{path}: LANGS and PIVOTS must name at least one language, and each once.")
    for code in langs + pivots:
        parse_language(code)
    return FamilyConfig(
        folder=Path(folder).resolve(),
        family=" ".join(raw["FAMILY"]) or Path(folder).name,
        langs=langs,
        pivots=pivots,
        corpora=_corpora(path, raw["CORPORA"], langs + pivots),
        spm_size=int(_number(path, "SPM_SIZE", raw["SPM_SIZE"], defaults.SPM_SIZE, 8)),
        temperature=_number(path, "TEMPERATURE", raw["TEMPERATURE"], defaults.SAMPLING_TEMPERATURE, 1.0),
        curriculum=_choice(path, "CURRICULUM", raw["CURRICULUM"], CURRICULA, "none"),
        increments=int(_number(path, "INCREMENTS", raw["INCREMENTS"], defaults.CURRICULUM_INCREMENTS, 2)),
        options=tuple(raw["OPTIONS"]),
    )


def shipped_families() -> List[Path]:
    """The folders of recipes/ that have a config.sh, by name."""
    return sorted(path.parent for path in HERE.glob("*/config.sh"))
