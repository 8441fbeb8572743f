"""The one text path: LASER's normalisation, then the student's SentencePiece model; for training and for embedding alike.

Order of LASER's preprocessing: characters of Unicode category C become spaces, Moses punctuation normalisation,
lower-case, white space folded. Source: facebookresearch/LASER, ``SPMApply`` and ``laser_encoders``.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Dict, List, Sequence, Tuple

import numpy as np
import sentencepiece
from sacremoses import MosesPunctNormalizer

from fairseq_distill.errors import DataError
from fairseq_distill.formats.dictionary import BOS, EOS, UNK, Dictionary

# Raise the number when the output of `normalise` changes for any input: it is stored with every embedding and checkpoint.
NORMALISER = "laser-1"

_SPACE = re.compile(r"\s+")


class _NonPrinting(Dict[int, str]):
    """A table for ``str.translate`` that maps each character of category C to a space, filled as characters come."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = " " if unicodedata.category(character).startswith("C") else character
        return self[code]


_NON_PRINTING = _NonPrinting()


@lru_cache(maxsize=None)
def _punctuation(lang: str) -> MosesPunctNormalizer:
    normaliser = MosesPunctNormalizer(lang=lang, perl_parity=True)
    # sacremoses differs from the Perl script in two rules: a left single quote and a low quote become a double quote there.
    normaliser.substitutions[21] = ("‘", r'"')
    normaliser.substitutions[22] = ("‚", r'"')
    return normaliser


def punctuation_rules(lang: str = "en") -> List[Tuple[str, str]]:
    """Moses' punctuation normalisation as (regular expression, replacement), to be applied in this order."""
    return [(str(pattern), str(replacement)) for pattern, replacement in _punctuation(lang).substitutions]


def strip_controls(line: str) -> str:
    """The line with control and other category-C characters as spaces and white space folded; case and marks stay."""
    return _SPACE.sub(" ", line.translate(_NON_PRINTING)).strip()


def normalise(line: str, lang: str = "en") -> str:
    """LASER's normalisation of one line: what both SPM training and every embedding see.

    Args:
        line: one sentence, any script.
        lang: language of Moses' punctuation rules; LASER uses ``en`` for all.
    """
    line = line.translate(_NON_PRINTING)
    line = _punctuation(lang).normalize(line)
    return _SPACE.sub(" ", line.lower()).strip()


class StudentTokenizer:
    """Text to the student's ids: normalise, SentencePiece, dictionary, EOS. Equal to binarising with ``dict.txt``.

    Args:
        spm: the serialised SentencePiece model.
        dictionary: fairseq's dictionary; pieces that are not in it become ``<unk>``.
        source: where the model comes from, for errors.

    Attributes:
        missing: pieces of the model that the dictionary lacks; text gets ``<unk>`` for them.

    Raises:
        DataError: the SentencePiece model is not one, or the dictionary lacks more than half of its pieces.
    """

    def __init__(self, spm: bytes, dictionary: Dictionary, source: object = ""):
        try:
            if not spm:  # sentencepiece takes no bytes for "load it later"
                raise ValueError("it is empty")
            self.spm = sentencepiece.SentencePieceProcessor(model_proto=spm)
            pieces = [self.spm.id_to_piece(i) for i in range(self.spm.get_piece_size())]  # UTF-8, if nobody broke it
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"The SentencePiece model{f' of {source}' if source else ''} cannot be read: {error}."
            ) from error
        self.ids = np.array(
            [UNK if self.spm.is_unknown(i) else dictionary.id(piece) for i, piece in enumerate(pieces)], dtype=np.int64
        )
        real = [i for i in range(len(pieces)) if not (self.spm.is_unknown(i) or self.spm.is_control(i))]
        self.missing = [pieces[i] for i in real if self.ids[i] == UNK]
        known = len(real) - len(self.missing)
        if known < len(real) / 2:  # two students share letters at least
            raise DataError(
                f"The dictionary holds {known:,} of the SentencePiece model's {len(real):,} pieces: they belong to "
                "different students."
            )

    def pieces(self, lines: Sequence[str]) -> List[List[str]]:
        """SentencePiece pieces of each normalised line, as ``encode_spm.py`` writes them."""
        return self.spm.encode([normalise(line) for line in lines], out_type=str)

    def encode(self, lines: Sequence[str], max_length_pieces: int = 0, prepend_bos: bool = False) -> List[np.ndarray]:
        """int64 ids of each line, EOS at the end; an empty line is EOS alone.

        Args:
            lines: raw sentences.
            max_length_pieces: keep at most so many pieces with EOS and BOS (0: all).
            prepend_bos: put BOS at the beginning.
        """
        begin, end = np.array([BOS] * prepend_bos, dtype=np.int64), np.array([EOS], dtype=np.int64)
        keep = max(max_length_pieces - 1 - len(begin), 0) if max_length_pieces else None
        rows = self.spm.encode([normalise(line) for line in lines], out_type=int)
        return [np.concatenate([begin, self.ids[np.asarray(row, dtype=np.int64)[:keep]], end]) for row in rows]
