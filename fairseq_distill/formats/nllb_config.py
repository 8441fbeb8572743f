"""The JSON data configuration of the fairseq ``nllb`` branch: which binarised corpora a training is made of.

``src_vocab`` and ``tgt_vocab`` are dictionaries; each entry of ``train`` has an ``id``, and ``src`` and ``tgt``, prefixes of
``.bin`` and ``.idx`` files: the student's side and the teacher's. The same prefix twice is monolingual text. Languages are
read off the names, ``…/CORPUS/amh-eng/train.amh``.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import load_json

_KEYS = {"src_vocab", "tgt_vocab", "train", "valid"}
_ENTRY_KEYS = {"id", "src", "tgt"}


@dataclass(frozen=True)
class Entry:
    """One corpus.

    Attributes:
        id: its name, unique within its split.
        split: ``train`` or ``valid``.
        kind: ``distil``, ``self`` (one language on both sides) or ``mask`` (one text).
        src, tgt: prefixes of binarised files; ``tgt`` equals ``src`` for ``mask``.
        src_lang, tgt_lang: their languages.
    """

    id: str
    split: str
    kind: str
    src: Path
    tgt: Path
    src_lang: str
    tgt_lang: str


@dataclass(frozen=True)
class NllbConfig:
    """The whole configuration; paths are absolute or relative to the working directory, as fairseq takes them."""

    src_vocab: Path
    tgt_vocab: Path
    entries: List[Entry]


def read_nllb_config(path: PathLike) -> NllbConfig:
    """The configuration in a file.

    Raises:
        DataError: it is not one, or asks for what is not supported.
    """
    try:
        raw = load_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no JSON file that can be read: {error}.") from error
    if not isinstance(raw, dict) or not {"src_vocab", "tgt_vocab", "train"} <= set(raw):
        raise DataError(
            f"{path} is no data configuration of fairseq's nllb branch: src_vocab, tgt_vocab or train is missing."
        )
    lists = [name for name in ("train", "valid") if not isinstance(raw.get(name, []), list)]
    if lists or not isinstance(raw["src_vocab"], str) or not isinstance(raw["tgt_vocab"], str):
        raise DataError(f"{path}: src_vocab and tgt_vocab must be paths, train and valid lists.")
    unknown = sorted(set(raw) - _KEYS)
    if unknown:
        raise DataError(f"{path}: {', '.join(unknown)} is not supported; known are {', '.join(sorted(_KEYS))}.")
    entries = [_entry(item, split, path) for split in ("train", "valid") for item in raw.get(split, [])]
    names = [(entry.split, entry.id) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: the id {name[1]!r} stands twice in {name[0]}.")
    if not entries:
        raise DataError(f"{path} names no corpus.")
    return NllbConfig(Path(raw["src_vocab"]), Path(raw["tgt_vocab"]), entries)


def _entry(item: Any, split: str, path: PathLike) -> Entry:
    if not isinstance(item, dict) or not _ENTRY_KEYS <= set(item):
        raise DataError(f"{path}: an entry of {split} lacks id, src or tgt: {json.dumps(item)[:200]}.")
    if not isinstance(item["src"], str) or not isinstance(item["tgt"], str):
        raise DataError(
            f"{path}: src and tgt of an entry of {split} must be prefixes of files: {json.dumps(item)[:200]}."
        )
    name = str(item["id"])
    if not re.fullmatch(r"[\w.-]+", name):
        raise DataError(f"{path}: the id {name!r} becomes a file name; use letters, digits, '.', '_' and '-'.")
    if "sample" in item:
        raise DataError(
            f"{path}, {name}: a corpus with its own sampling (sample) is not supported; remove it and set --sampling-temperature."
        )
    unknown = sorted(set(item) - _ENTRY_KEYS)
    if unknown:
        raise DataError(f"{path}, {name}: {', '.join(unknown)} is not supported; an entry has id, src and tgt.")
    src, tgt = Path(item["src"]), Path(item["tgt"])
    languages = _language(src, path), _language(tgt, path)
    kind = "mask" if src == tgt else "self" if languages[0] == languages[1] else "distil"
    return Entry(name, split, kind, src, tgt, *languages)


def _language(prefix: Path, path: PathLike) -> str:
    """``amh`` of ``…/amh-eng/train.amh`` or ``…/amh-eng/train.amh-eng.amh``."""
    language, pair = prefix.suffix[1:], prefix.parent.name.split("-")
    if not language or len(pair) == 2 and language not in pair:
        raise DataError(
            f"{path}: {prefix} must end in its language, one of its folder's two: …/amh-eng/train.amh; rename or link it."
        )
    return language
