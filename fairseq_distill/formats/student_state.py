"""What a student checkpoint holds beside its weights, so that one file is enough to encode text, years later."""

import base64
from dataclasses import dataclass
from typing import Any, Dict, List

from fairseq_distill import __version__
from fairseq_distill.errors import CheckpointError
from fairseq_distill.formats.dictionary import Dictionary
from fairseq_distill.formats.json_file import from_json
from fairseq_distill.formats.manifest import Manifest, Teacher
from fairseq_distill.formats.numbers import whole

FORMAT_VERSION = 2  # 2: what the transformer adds to a lexical path is divided by its width


@dataclass
class StudentState:
    """The text path and the space of a student.

    Attributes:
        spm: the serialised SentencePiece model.
        dictionary: fairseq's dictionary with ``<mask>`` as its last symbol.
        normaliser: version of the text normalisation.
        teacher: whose space it is.
        languages: what it was trained on.
        max_length_pieces: longer sentences are cut.
        prepend_bos: whether a sentence begins with BOS, as in some LASER3 files.
    """

    spm: bytes
    dictionary: Dictionary
    normaliser: str
    teacher: Teacher
    languages: List[str]
    max_length_pieces: int
    prepend_bos: bool = False


def student_state(spm: bytes, symbols: List[str], manifest: Manifest, max_length_pieces: int) -> Dict[str, Any]:
    """The state as plain text and numbers, which every safe loader accepts."""
    return {
        "format_version": FORMAT_VERSION,
        "spm_base64": base64.b64encode(spm).decode("ascii"),
        "symbols": list(symbols),
        "normaliser": manifest.normaliser,
        "teacher": dict(vars(manifest.teacher)),
        "languages": list(manifest.languages),
        "max_length_pieces": int(max_length_pieces),
        "fairseq_distill": __version__,
    }


def read_student_state(state: Dict[str, Any], path: object) -> StudentState:
    """The state found in the checkpoint ``path``.

    Raises:
        CheckpointError: it is of another version or incomplete.
    """
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} holds a student of format {version}, this version reads {FORMAT_VERSION}; train it again."
        )
    try:
        return StudentState(
            spm=base64.b64decode(state["spm_base64"], validate=True),
            dictionary=Dictionary(list(state["symbols"])),
            normaliser=_text(state["normaliser"]),
            teacher=from_json(Teacher, state["teacher"]),
            languages=[_text(language) for language in state["languages"]],
            max_length_pieces=whole(state["max_length_pieces"], 1),
            prepend_bos=bool(state.get("prepend_bos", False)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} holds an incomplete student ({error}); it is damaged.") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is wanted, but it holds {type(value).__name__}")
    return value
