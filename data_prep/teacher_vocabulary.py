"""The teacher's own vocabulary, where it has one that can be looked at: how it would cut the student's languages."""

import logging
from pathlib import Path
from typing import List, Optional

from vocabulary_statistics import SpmVocabulary, TokenizerVocabulary, Vocabulary, spm_file

from fairseq_distill.embedding.registry import parse_spec
from fairseq_distill.formats.dictionary import read_dictionary
from fairseq_distill.formats.student_state import read_student_state

logger = logging.getLogger(__name__)


def vocabulary_files(spec: str) -> List[Path]:
    """The teacher's SentencePiece model, and the ``.cvocab`` beside it, where they are files of their own.

    Args:
        spec: the teacher, ``KIND:PATH``.
    """
    path = Path(parse_spec(spec).path)
    models = sorted(path.glob("laser2.spm")) if path.is_dir() else [path.with_suffix(".spm")]
    return [file for model in models for file in (model, model.with_suffix(".cvocab")) if file.is_file()]


def teacher_vocabulary(spec: str) -> Optional[Vocabulary]:
    """The vocabulary of a teacher; None where it has none, or none that can be read without its code.

    A SentencePiece model beside the teacher's file (``laser2.spm``), the one inside a student's checkpoint, or the
    tokenizer of a sentence-transformers model.

    Args:
        spec: the teacher, ``KIND:PATH``.

    Raises:
        DataError, CheckpointError: a file is damaged.
    """
    kind, path, _ = parse_spec(spec)
    if files := vocabulary_files(spec):
        return spm_file(files[0], read_dictionary(files[1]) if len(files) > 1 else None)
    if kind == "sbert":
        from fairseq_distill.teachers.sbert_tokenizer import load_tokenizer

        found = load_tokenizer(path)
        if found is not None:
            return TokenizerVocabulary(*found, spec)
    if kind == "fairseq":
        from fairseq_distill.embedding.student import load_checkpoint

        student = (load_checkpoint(path).get("task_state") or {}).get("student")
        if student is not None:
            state = read_student_state(student, path)
            return SpmVocabulary(state.spm, Path(path).name, state.dictionary)
    logger.info(f"the vocabulary of the teacher {spec} cannot be looked at: it is left out")
    return None
