"""``DATA/plan.json``: what prepare.sh was asked to do, as plan.py writes it and every step reads it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Tuple

from fairseq_distill import defaults
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.json_file import from_json, load_json

NAME = "plan.json"
AUTO = "auto"


@dataclass
class Source:
    """One corpus as the user gave it.

    Attributes:
        id: unique within its split, e.g. ``mafand.eng-swa``.
        kind: ``distil``, ``mask``, or ``self`` for the teacher's own language.
        split: ``train`` or ``valid``.
        lang: the student-side language.
        src: file of the student side, absolute.
        tgt_lang, tgt: language and file of the teacher side; None for ``mask``. Of ``self`` one text is both sides: its
            ``tgt`` is None.
    """

    id: str
    kind: str
    split: str
    lang: str
    src: str
    tgt_lang: Optional[str] = None
    tgt: Optional[str] = None

    @property
    def name(self) -> str:
        """``SPLIT.ID``: how its files and stamps are called."""
        return f"{self.split}.{self.id}"

    def sides(self) -> List[Tuple[str, str]]:
        """(language, file) of the student side, and of the teacher side if there is one."""
        both = [(self.lang, self.src)]
        if self.tgt is not None and self.tgt_lang is not None:
            both.append((self.tgt_lang, self.tgt))
        return both


@dataclass
class Plan:
    """All that prepare.sh was asked to do; files are absolute.

    Attributes:
        spm_size: pieces; 0: as many as data_prep/vocabulary_advice.py advises.
        spm_temperature: of the languages' shares in the text that the vocabulary is trained on.
        spm_model, cvocab: a vocabulary that is there already, taken instead of training one.
        spm_ids: ``spm+1`` or ``spm+4``: the style of the dictionary where there is no ``cvocab``.
        teacher_precision: of the teacher's matrix products, as fairseq-teach takes it.
    """

    languages: List[str]
    teacher: str
    teacher_lang: str
    spm_size: int
    increments: int
    sources: List[Source]
    exclude: List[str] = field(default_factory=list)
    tlm: bool = False
    spm_temperature: float = defaults.SPM_TEMPERATURE
    spm_model: Optional[str] = None
    cvocab: Optional[str] = None
    spm_ids: str = defaults.SPM_IDS
    teacher_precision: str = AUTO

    def student_langs(self, source: Source) -> List[str]:
        """The languages of a corpus whose text becomes the student's ids: its own, and for TLM the teacher's side."""
        paired = self.tlm and source.split == "train" and source.kind == "distil" and source.tgt_lang is not None
        return [source.lang] + ([str(source.tgt_lang)] if paired else [])

    def split(self, split: str) -> List[Source]:
        """The corpora of ``train`` or ``valid``, in the order given."""
        return [source for source in self.sources if source.split == split]


def read_plan(data: PathLike) -> Plan:
    """The plan of a data directory.

    Raises:
        DataError: there is none.
    """
    path = Path(data) / NAME
    try:
        return from_json(Plan, load_json(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; run data_prep/prepare.sh, which writes it.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a valid plan ({error}); run data_prep/prepare.sh again.") from error
