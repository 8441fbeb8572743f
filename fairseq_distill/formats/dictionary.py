"""fairseq's ``dict.txt`` without fairseq: one ``piece count`` a line, after four implied special symbols.

LASER's ``.cvocab`` is the same text. It lists a SentencePiece model's pieces in the model's order, in one of two styles:
``spm+4``, all of them, the model's own specials flagged, so that these take rows of their own (dead twins of rows 0 to 3);
or ``spm+1``, without those specials. The names say what is added to SentencePiece's id (specials 0, 1, 2) to give the row.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Sequence

from fairseq_distill.errors import CheckpointError, DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import iter_lines, write_lines

BOS, PAD, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
STYLES = ("spm+1", "spm+4")
_OVERWRITE = "#fairseq:overwrite"


@dataclass
class Dictionary:
    """Symbols in order of their ids; the first four are fairseq's specials."""

    symbols: List[str]

    def __post_init__(self) -> None:
        # Of a repeated symbol the last row counts, as in fairseq; but the four specials keep ids 0 to 3, as LASER sets them.
        self.index: Dict[str, int] = {symbol: position for position, symbol in enumerate(self.symbols)}
        self.index.update({symbol: position for position, symbol in enumerate(SPECIALS)})

    def __len__(self) -> int:
        return len(self.symbols)

    def id(self, piece: str) -> int:
        """The id of a piece, ``<unk>`` (3) when it is not there."""
        return self.index.get(piece, UNK)

    @property
    def style(self) -> str:
        """``spm+4`` when a special has a second row, as in the published LASER2; else ``spm+1``."""
        return "spm+4" if set(SPECIALS) & set(self.symbols[len(SPECIALS) :]) else "spm+1"

    @property
    def text(self) -> str:
        """The file's content, without the four specials; what stands twice is flagged, so that it can be read again."""
        seen, lines = set(SPECIALS), []
        for symbol in self.symbols[len(SPECIALS) :]:
            lines.append(f"{symbol} 1 {_OVERWRITE}\n" if symbol in seen else f"{symbol} 1\n")
            seen.add(symbol)
        return "".join(lines)


def parse_dictionary(lines: List[str], path: PathLike) -> Dictionary:
    """The dictionary of ``dict.txt`` or ``.cvocab`` lines.

    A line flagged ``#fairseq:overwrite`` takes a new row, as fairseq's own loader does: the published
    LASER2 vocabulary relies on it (50,000 lines + 4 specials = 50,004 rows).

    Raises:
        DataError: a line is not ``piece count``, or a piece stands twice without the flag.
    """
    symbols, seen = list(SPECIALS), set(SPECIALS)
    for number, line in enumerate(lines, start=1):
        body = line
        flagged = body.endswith(" " + _OVERWRITE)
        if flagged:
            body = body[: -len(_OVERWRITE) - 1]
        piece, space, count = body.rpartition(" ")
        if not space or not piece or not count.lstrip("-").isdigit():
            raise DataError(f"{path}, line {number:,}: {line!r} is not 'piece count'.")
        if piece in seen and not flagged:
            raise DataError(f"{path}, line {number:,}: {piece!r} stands twice; flag it {_OVERWRITE} or remove one.")
        seen.add(piece)
        symbols.append(piece)
    return Dictionary(symbols)


def read_dictionary(path: PathLike) -> Dictionary:
    """The dictionary in a file; see :func:`parse_dictionary`."""
    return parse_dictionary(list(iter_lines(path)), path)


def write_dictionary(path: PathLike, pieces: List[str]) -> None:
    """Write ``dict.txt`` for pieces in id order (id = position + 4).

    Raises:
        ValueError: a piece is a special symbol or stands twice.
    """
    repeated = [piece for piece, times in Counter([*SPECIALS, *pieces]).items() if times > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} stands twice in the dictionary for {path}")
    write_lines(path, (f"{piece} 1" for piece in pieces))


def laser_dictionary(pieces: Sequence[str], style: str) -> Dictionary:
    """The dictionary of a SentencePiece model's pieces.

    Args:
        pieces: all of them, the model's own specials too, in the order of its ids.
        style: ``spm+1`` or ``spm+4``.

    Raises:
        ValueError: unknown style.
    """
    if style not in STYLES:
        raise ValueError(f"{style!r} is none of the styles {', '.join(STYLES)}")
    listed = [piece for piece in pieces if style == "spm+4" or piece not in SPECIALS]
    return Dictionary([*SPECIALS, *listed])


def write_cvocab(path: PathLike, pieces: Sequence[str], style: str) -> Dictionary:
    """Write LASER's ``.cvocab`` for a SentencePiece model's pieces; what comes back is what a reader will find in it.

    Args:
        pieces, style: as in :func:`laser_dictionary`.

    Raises:
        ValueError: unknown style.
    """
    dictionary = laser_dictionary(pieces, style)
    write_lines(path, dictionary.text.split("\n")[:-1])
    return dictionary


def fit_to_rows(dictionary: Dictionary, rows: int, path: PathLike, checkpoint: PathLike) -> Dictionary:
    """The dictionary that fills ``rows`` embeddings: as it is, or with ``<mask>`` as one more.

    Args:
        path, checkpoint: where both come from, for the error.

    Raises:
        CheckpointError: the numbers fit neither way.
    """
    if rows == len(dictionary) + 1 and MASK not in dictionary.index:
        return Dictionary([*dictionary.symbols, MASK])
    if rows != len(dictionary):
        raise CheckpointError(
            f"{checkpoint} has {rows:,} rows of embeddings, but {path} makes {len(dictionary):,} symbols "
            f"({dictionary.style}); with {MASK} there may be one more. They belong to different encoders."
        )
    return dictionary
