"""``vocabulary.json`` of a data directory: how vocabularies cut each language, and which of them is advised."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

from fairseq_distill import defaults
from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, write_text
from fairseq_distill.formats.json_file import from_json, load_json

NAME = "vocabulary.json"
FORMAT_VERSION = 1
# student: the one that the data directory is made with; given: any model named by the user; teacher: the teacher's own;
# joint and dedicated: trained to be compared, on all languages or on one.
KINDS = ("student", "teacher", "given", "joint", "dedicated")


@dataclass
class PieceCounts:
    """How one vocabulary cuts held-out text of one language; counts, from which the shares follow.

    Attributes:
        lang: the language.
        vocabulary: one of ``KINDS``.
        name: file or teacher that it comes from; empty for one that was trained to be compared.
        size: its pieces.
        sentences: sentences looked at.
        units: their words, or their characters where words are not separated by spaces.
        characters: their characters without spaces.
        pieces: pieces without EOS.
        unknown_pieces: pieces that the vocabulary does not hold; a run of unknown letters is often one.
        unknown_characters: the characters in these.
        single_pieces: known pieces of at most one character.
        words: words with a letter or digit; 0 where words are not separated by spaces.
        whole_words: those of them whose letters and digits are all in one known piece.
        distinct_characters: different characters of the text.
        covered_characters: those of them that are spelled by a known piece somewhere in it.
        rare_pieces: pieces that the training text holds less often than ``RARE_PIECE``; None when it is not known.
    """

    lang: str
    vocabulary: str
    name: str
    size: int
    sentences: int
    units: int
    characters: int
    pieces: int
    unknown_pieces: int
    unknown_characters: int
    single_pieces: int
    words: int
    whole_words: int
    distinct_characters: int
    covered_characters: int
    rare_pieces: Optional[int] = None

    @property
    def per_unit(self) -> float:
        """Pieces a word (or a character, where words are not separated)."""
        return self.pieces / max(self.units, 1)

    @property
    def per_sentence(self) -> float:
        """Pieces a sentence."""
        return self.pieces / max(self.sentences, 1)

    @property
    def unknown_share(self) -> float:
        """Share of characters in unknown pieces."""
        return self.unknown_characters / max(self.characters, 1)

    @property
    def unknown_piece_share(self) -> float:
        """Share of pieces that are unknown."""
        return self.unknown_pieces / max(self.pieces, 1)

    @property
    def single_share(self) -> float:
        """Share of pieces with at most one character."""
        return self.single_pieces / max(self.pieces, 1)

    @property
    def whole_share(self) -> Optional[float]:
        """Share of words that are one piece; None where words are not separated."""
        return self.whole_words / self.words if self.words else None

    @property
    def coverage(self) -> float:
        """Share of the different characters that the vocabulary spells."""
        return self.covered_characters / max(self.distinct_characters, 1)

    @property
    def rare_share(self) -> Optional[float]:
        """Share of pieces that training sees too rarely to learn; None when that is not known."""
        return None if self.rare_pieces is None else self.rare_pieces / max(self.pieces, 1)


@dataclass
class Advice:
    """One vocabulary that is advised.

    Attributes:
        kind: ``joint``, or ``dedicated`` for a vocabulary, and so a student, of one language's own.
        languages: whom it is for.
        size: pieces to ask for.
        reason: why, in a sentence or two.
    """

    kind: str
    languages: List[str]
    size: int
    reason: str


def size_for_lines(lines: int) -> int:
    """Pieces of a vocabulary for so many lines on the student's side; our choice, see docs/vocabulary.md."""
    for below, size in defaults.PLAN_SPM_SIZES:
        if lines < below:
            return size
    return defaults.PLAN_SPM_LARGEST


@dataclass
class VocabularyReport:
    """What was measured, and what follows from it.

    Attributes:
        rows: one for each vocabulary and language.
        advice: by the candidates compared; without any, by the number of lines and the teacher's vocabulary.
        size: the size chosen for one vocabulary of all the languages; None when no candidates were compared.
        origin: ``trained``, or the file that ``--spm-model`` named.
        temperature: of the languages' shares in the text that vocabularies were trained on; None when none was trained.
        heldout: where each language's held-out text is from: ``valid``, ``train`` (lines kept back) or a file.
    """

    rows: List[PieceCounts]
    advice: List[Advice] = field(default_factory=list)
    size: Optional[int] = None
    origin: str = "trained"
    temperature: Optional[float] = None
    heldout: Dict[str, str] = field(default_factory=dict)

    def of(self, lang: str, vocabulary: str) -> List[PieceCounts]:
        """The rows of a language and a kind of vocabulary, by size."""
        found = [row for row in self.rows if row.lang == lang and row.vocabulary == vocabulary]
        return sorted(found, key=lambda row: row.size)


def check_report(report: VocabularyReport) -> None:
    """Raise a ValueError when a row is of an unknown kind of vocabulary."""
    if wrong := {row.vocabulary for row in report.rows} - set(KINDS):
        raise ValueError(f"vocabulary {sorted(wrong)[0]!r} is none of {', '.join(KINDS)}")


def write_vocabulary_report(path: PathLike, report: VocabularyReport) -> None:
    """Write a report as JSON."""
    content = {"format_version": FORMAT_VERSION, **asdict(report)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_vocabulary_report(path: PathLike) -> VocabularyReport:
    """The report in a file.

    Raises:
        DataError: missing, of another version, or damaged.
    """
    file = Path(path)
    try:
        raw = load_json(file)
        version = raw.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise DataError(f"{file} has format {version}, this version reads {FORMAT_VERSION}; make it again.")
        report = from_json(VocabularyReport, raw)
        check_report(report)
        return report
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist; data_prep/advise_vocabulary.py writes it.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is not a valid vocabulary report: {error}; make it again.") from error
