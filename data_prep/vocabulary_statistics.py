"""How a vocabulary cuts text: pieces a word, unknown and one-character pieces, characters it can spell, rare pieces.

A vocabulary is anything with ``name``, ``size`` and ``cut(lines) -> Cut``: a SentencePiece model, or the tokenizer of
another encoder. The arithmetic is the same for both, on flat arrays of all pieces of a text.
"""

import itertools
import unicodedata
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Protocol, Sequence, Set

import numpy as np
import sentencepiece

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.dictionary import UNK, Dictionary
from fairseq_distill.formats.lines import require_file
from fairseq_distill.formats.vocabulary import PieceCounts
from fairseq_distill.languages import parse_language
from fairseq_distill.text import normalise

_SPACE = "▁"  # SentencePiece writes a space so
_CHUNK = 10_000  # sentences that are cut at a time


class Cut(NamedTuple):
    """Sentences in pieces, one after the other.

    Attributes:
        ids: int64 [P], the vocabulary's own ids.
        texts: the P pieces as text, without spaces; what is unknown as it stood in the sentence.
        characters: int64 [P], characters of the text that each piece stands for.
        unknown: bool [P].
        starts: bool [P], the piece begins a word.
        lengths: int64 [N], pieces of each sentence.
    """

    ids: np.ndarray
    texts: List[str]
    characters: np.ndarray
    unknown: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


class Vocabulary(Protocol):
    """What is measured."""

    name: str
    size: int

    def cut(self, lines: Sequence[str]) -> Cut:
        """The lines in pieces."""
        ...


class SpmVocabulary:
    """A SentencePiece model, on text normalised as the student's is.

    Args:
        model: the serialised model.
        name: what to call it.
        dictionary: fairseq's dictionary; a piece that it does not hold is unknown, as it is in training.

    Raises:
        DataError: it is no SentencePiece model.
        ConfigError: it writes spaces behind words, which no encoder of this project or of LASER does.
    """

    def __init__(self, model: bytes, name: str = "", dictionary: Optional[Dictionary] = None):
        self.spm, self.name = load_spm(model, name), name
        self.size = self.spm.get_piece_size()
        pieces = [self.spm.id_to_piece(i) for i in range(self.size)]
        if not any(p[0] == _SPACE for p in pieces if len(p) > 1) and any(p[-1] == _SPACE for p in pieces if len(p) > 1):
            raise ConfigError(f"{name} writes spaces behind words; train it without treat_whitespace_as_suffix.")
        self._unknown = np.array([self.spm.is_unknown(i) for i in range(self.size)], dtype=bool)
        if dictionary is not None:
            self._unknown |= np.array([dictionary.id(piece) == UNK for piece in pieces], dtype=bool)
        # Of a model with byte fallback the first byte of a character counts for it (the others are 0b10xxxxxx).
        self._bytes = np.full(self.size, -1, dtype=np.int64)
        for i in range(self.size):
            if self.spm.is_byte(i):
                self._bytes[i] = 0 if 0x80 <= int(pieces[i][3:-1], 16) < 0xC0 else 1

    def cut(self, lines: Sequence[str]) -> Cut:
        """The lines, normalised, in pieces."""
        normalised = [normalise(line) for line in lines]
        rows = self.spm.encode(normalised, out_type=int)
        pieces = list(itertools.chain.from_iterable(self.spm.encode(normalised, out_type=str)))
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(itertools.chain.from_iterable(rows), np.int64, int(lengths.sum()))
        starts = np.fromiter((piece.startswith(_SPACE) for piece in pieces), bool, len(pieces))
        starts[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        texts = [piece.replace(_SPACE, "") for piece in pieces]
        characters = np.fromiter(map(len, texts), np.int64, len(texts))
        spelled = self._bytes[ids]
        characters = np.where(spelled >= 0, spelled, characters)
        return Cut(ids, texts, characters, self._unknown[ids], starts, lengths)

    def frequency(self, normalised: Sequence[str]) -> np.ndarray:
        """How often a text holds each piece; float64 [size].

        Args:
            normalised: the text's lines, as :func:`fairseq_distill.text.normalise` leaves them.
        """
        total = np.zeros(self.size)
        for first in range(0, len(normalised), _CHUNK):
            rows = self.spm.encode(list(normalised[first : first + _CHUNK]), out_type=int)
            ids = np.fromiter(itertools.chain.from_iterable(rows), np.int64)
            total += np.bincount(ids, minlength=self.size)
        return total


class TokenizerVocabulary:
    """The tokenizer of a sentence-transformers teacher, on text as it is: it normalises by itself.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``, see :func:`fairseq_distill.teachers.sbert_tokenizer.load_tokenizer`.
        unknown: id of its unknown token; None when it has none.
        name: what to call it.
    """

    def __init__(self, tokenizer: object, unknown: Optional[int], name: str):
        self.tokenizer, self.unknown, self.name = tokenizer, unknown, name
        self.size = int(tokenizer.get_vocab_size())  # type: ignore[attr-defined]

    def cut(self, lines: Sequence[str]) -> Cut:
        """The lines in pieces; a character that is spread over several pieces counts for the first."""
        rows = self.tokenizer.encode_batch(list(lines), add_special_tokens=False)  # type: ignore[attr-defined]
        lengths = np.fromiter((len(row.ids) for row in rows), np.int64, len(rows))
        total = int(lengths.sum())
        ids = np.fromiter(itertools.chain.from_iterable(row.ids for row in rows), np.int64, total)
        spans = np.array(list(itertools.chain.from_iterable(row.offsets for row in rows)), np.int64).reshape(total, 2)
        texts = [line[a:b] for line, row in zip(lines, rows) for a, b in row.offsets]
        before = [line[a - 1 : a] for line, row in zip(lines, rows) for a, _ in row.offsets]
        starts = np.fromiter((not b or b.isspace() or t[:1].isspace() for b, t in zip(before, texts)), bool, total)
        bare = ["".join(text.split()) for text in texts]
        characters = np.fromiter(map(len, bare), np.int64, total)
        first = np.zeros(total, dtype=bool)
        first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        again = np.zeros(total, dtype=bool)
        again[1:] = (spans[1:, 0] < spans[:-1, 1]) & ~first[1:]
        unknown = ids == (-1 if self.unknown is None else self.unknown)
        return Cut(ids, bare, np.where(again, 0, characters), unknown, starts & ~again, lengths)


def load_spm(model: bytes, name: str = "") -> sentencepiece.SentencePieceProcessor:
    """The processor of a serialised model.

    Raises:
        DataError: it is no SentencePiece model.
    """
    try:
        if not model:  # sentencepiece takes no bytes for "load it later"
            raise ValueError("it is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name or 'The text'} is not a SentencePiece model: {reason}.") from error


def read_spm(path: PathLike) -> bytes:
    """The bytes of a SentencePiece model.

    Raises:
        DataError: missing, empty, or another kind of file.
    """
    model = require_file(path).read_bytes()
    load_spm(model, str(path))
    return model


class _Letters(Dict[int, bool]):
    """Whether a character is a letter, mark or digit, filled as characters come."""

    def __missing__(self, code: int) -> bool:
        self[code] = unicodedata.category(chr(code))[0] in "LMN"
        return self[code]


_LETTERS = _Letters()


def _has_letter(text: str) -> bool:
    return any(_LETTERS[ord(character)] for character in text)


def measure(
    vocabulary: Vocabulary, lang: str, lines: Sequence[str], kind: str, frequency: Optional[np.ndarray] = None
) -> PieceCounts:
    """How a vocabulary cuts held-out lines of a language.

    Args:
        vocabulary: what cuts.
        lang: the language; of one without spaces between words the unit is the character.
        lines: held-out sentences.
        kind: one of :data:`fairseq_distill.formats.vocabulary.KINDS`.
        frequency: float [size], how often the training text holds each piece, see :meth:`SpmVocabulary.frequency`.
    """
    unspaced = parse_language(lang).unspaced
    totals: Dict[str, int] = dict.fromkeys(
        ("units", "characters", "pieces", "unknown_pieces", "unknown_characters", "single_pieces", "words",
         "whole_words"), 0,
    )  # fmt: skip
    rare = 0
    seen: Set[str] = set()
    known: Set[str] = set()
    for first in range(0, len(lines), _CHUNK):
        part = lines[first : first + _CHUNK]
        cut = vocabulary.cut(part)
        characters = int(cut.characters.sum())
        words = whole = 0
        if not unspaced:
            words, whole = _words(cut)
        found = {
            "units": characters if unspaced else sum(len(line.split()) for line in part),
            "characters": characters,
            "pieces": len(cut.ids),
            "unknown_pieces": int(cut.unknown.sum()),
            "unknown_characters": int(cut.characters[cut.unknown].sum()),
            "single_pieces": int(((cut.characters <= 1) & ~cut.unknown).sum()),
            "words": words,
            "whole_words": whole,
        }
        totals = {name: totals[name] + found[name] for name in totals}
        rare += 0 if frequency is None else int((frequency[cut.ids] < defaults.RARE_PIECE).sum())
        seen.update("".join(cut.texts))
        known.update("".join(itertools.compress(cut.texts, ~cut.unknown)))
    return PieceCounts(
        lang=lang,
        vocabulary=kind,
        name=vocabulary.name,
        size=vocabulary.size,
        sentences=len(lines),
        distinct_characters=len(seen),
        covered_characters=len(known),
        rare_pieces=None if frequency is None else rare,
        **totals,
    )


def _words(cut: Cut) -> "tuple[int, int]":
    """Words with a letter or digit, and those of them whose letters and digits are all in one known piece."""
    if not len(cut.ids):
        return 0, 0
    pieces = np.fromiter(map(_has_letter, cut.texts), bool, len(cut.texts))
    first = np.flatnonzero(cut.starts)
    with_letters = np.add.reduceat(pieces.astype(np.int64), first)
    unknown = np.add.reduceat((pieces & cut.unknown).astype(np.int64), first)
    return int((with_letters > 0).sum()), int(((with_letters == 1) & (unknown == 0)).sum())


def spm_file(path: PathLike, dictionary: Optional[Dictionary] = None) -> SpmVocabulary:
    """The vocabulary of a SentencePiece file, called by the file's name."""
    return SpmVocabulary(read_spm(path), Path(path).name, dictionary)
