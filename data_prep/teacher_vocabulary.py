"""The teacher's own vocabulary, where it has one that can be looked at: how it would cut the student's languages."""

import logging
from pathlib import Path
from typing import List, Optional

from vocabulary_statistics import SpmVocabulary, TokenizerVocabulary, Vocabulary, spm_file

from fairseq_distill.embedding.registry import Spec, parse_spec
from fairseq_distill.errors import ConfigError
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.laser_files import laser_vocabulary
from fairseq_distill.formats.student_folder import is_student_folder, read_student_folder
from fairseq_distill.formats.student_state import StudentState, read_student_state

logger = logging.getLogger(__name__)


def vocabulary_files(spec: Spec) -> List[Path]:
    """A LASER teacher's SentencePiece model, and its ``.cvocab`` where there is one; none of other teachers.

    Args:
        spec: the teacher, taken apart.
    """
    kind, path, options = spec
    if kind not in ("laser2", "fairseq") or is_student_folder(path):
        return []
    try:
        return laser_vocabulary(path, options.get("spm"), options.get("cvocab"))
    except ConfigError:  # a student's checkpoint needs none
        return []


def teacher_vocabulary(spec: str) -> Optional[Vocabulary]:
    """The vocabulary of a teacher; None where it has none, or none that can be read without its code.

    The one inside a student's checkpoint or folder, the SentencePiece model of a LASER file, or the tokenizer of a
    sentence-transformers model.

    Args:
        spec: the teacher, ``KIND:PATH``.

    Raises:
        DataError, CheckpointError: a file is damaged.
    """
    parsed = parse_spec(spec)
    kind, path = parsed.kind, parsed.path
    if kind == "fairseq" and (state := _student(path)) is not None:
        return SpmVocabulary(state.spm, Path(path).name, state.dictionary)
    if files := vocabulary_files(parsed):
        return spm_file(files[0], read_dictionary(files[1]) if len(files) > 1 else None)
    if kind == "sbert":
        from fairseq_distill.teachers.sbert_tokenizer import load_tokenizer

        found = load_tokenizer(path)
        if found is not None:
            return TokenizerVocabulary(*found, spec)
    logger.info(f"the vocabulary of the teacher {spec} cannot be looked at: it is left out")
    return None


def _student(path: str) -> Optional[StudentState]:
    """What a student's checkpoint or exported folder holds; None of a LASER3 file."""
    if is_student_folder(path):
        return read_student_folder(path).state
    from fairseq_distill.embedding.student import load_checkpoint  # brings PyTorch

    student = (load_checkpoint(path, mapped=True).get("task_state") or {}).get("student")
    return None if student is None else read_student_state(student, path)
