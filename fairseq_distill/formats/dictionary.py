"""fairseq's ``dict.txt`` without fairseq: one ``piece count`` a line, after four implied special symbols."""

from collections import Counter
from dataclasses import dataclass
from typing import Dict, List

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.lines import iter_lines, write_lines

BOS, PAD, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
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
