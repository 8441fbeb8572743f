"""Text files: UTF-8, one sentence a line, split at LF alone (``str.splitlines`` also splits at U+2028)."""

import contextlib
import gzip
import io
import os
import sys
import zlib
from array import array
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator, List, Sequence, Union, overload

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, atomic_path

_BOM = b"\xef\xbb\xbf"
_SCANNED = 1 << 24  # bytes in which line ends are looked for at a time
_ANCHORED = 32  # lines between those whose place is kept


def open_bytes(path: PathLike) -> BinaryIO:
    """A binary stream of a plain or ``.gz`` file; ``-`` is standard input.

    Raises:
        DataError: the file does not exist or cannot be opened.
    """
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        if str(path).endswith(".gz"):
            return io.BufferedReader(gzip.open(path))  # type: ignore[arg-type]
        return open(path, "rb")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


@contextlib.contextmanager
def create_bytes(path: PathLike, compress: bool) -> Iterator[BinaryIO]:
    """A binary stream to a new file; gzip without name and time, so that equal content gives equal bytes."""
    with open(path, "wb") as raw:
        if not compress:
            yield raw
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            yield packed  # type: ignore[misc]


def iter_lines(path: PathLike) -> Iterator[str]:
    """The lines of a file in order, without line ends (LF or CR LF) and without a leading byte-order mark.

    Raises:
        DataError: missing file, or invalid UTF-8 (file, line and byte are named).
    """
    with open_bytes(path) as stream, _readable(path):
        for number, raw in enumerate(stream, start=1):
            if number == 1 and raw.startswith(_BOM):
                raw = raw[len(_BOM) :]
            raw = raw[:-1] if raw.endswith(b"\n") else raw
            raw = raw[:-1] if raw.endswith(b"\r") else raw
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}, line {number:,}: byte {error.start + 1} is not valid UTF-8; "
                    "convert the file, for instance: iconv -f LATIN1 -t UTF-8."
                ) from error


@contextlib.contextmanager
def _readable(path: PathLike) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged or truncated gzip file: {error}.") from error


def read_lines(path: PathLike) -> List[str]:
    """All lines of a file; see :func:`iter_lines`."""
    return list(iter_lines(path))


def count_lines(path: PathLike) -> int:
    """The number of lines that :func:`iter_lines` gives; a last line without LF counts.

    Raises:
        DataError: missing or damaged file.
    """
    count, last = 0, b"\n"
    with open_bytes(path) as stream, _readable(path):
        while block := stream.read(1 << 20):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def write_lines(path: PathLike, lines: Iterable[str]) -> int:
    """Write lines atomically as UTF-8 with LF; returns how many.

    Raises:
        ValueError: a line holds a line feed, which would shift every line after it.
    """
    count = 0
    with atomic_path(path) as temporary:
        with create_bytes(temporary, compress=str(path).endswith(".gz")) as stream:
            for line in lines:
                if "\n" in line:
                    raise ValueError(f"line {count + 1} for {path} holds a line feed")
                stream.write(line.encode("utf-8") + b"\n")
                count += 1
    return count


def require_same_length(first: PathLike, n_first: int, second: PathLike, n_second: int) -> None:
    """Raise a DataError with both numbers unless two files that belong line by line have equally many lines."""
    if n_first != n_second:
        raise DataError(
            f"{first} has {n_first:,} lines but {second} has {n_second:,}; "
            "they must match line by line. Make both again from the same source."
        )


def require_file(path: PathLike) -> Path:
    """The path, if it is a file with something in it; a DataError otherwise."""
    file = Path(path)
    if file.exists() and not file.is_file():
        raise DataError(
            f"{file} is no regular file (a folder, or a pipe such as <(…)), but is read more than once. Write the text to a file "
            "first; .gz is read as it is."
        )
    if not file.is_file():
        raise DataError(f"{file} does not exist.")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty.")
    return file


class PackedLines(Sequence[str]):
    """Lines that are held as their UTF-8 bytes, one after the other: 8 bytes a line beside the text, where a list of ``str`` takes 57 and
    twice or four times the text of most scripts. A line is decoded when it is asked for; a slice is a list."""

    def __init__(self, lines: Iterable[str] = ()):
        self._text, self._ends = bytearray(), array("q", [0])
        for line in lines:
            self.append(line)

    def append(self, line: str) -> None:
        """Add a line at the end."""
        self._text += line.encode("utf-8")
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> List[str]: ...

    def __getitem__(self, row: Union[int, slice]) -> Union[str, List[str]]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        place = int(row) + len(self) * (row < 0)
        if not 0 <= place < len(self):
            raise IndexError(f"line {row} of {len(self):,}")
        return self._text[self._ends[place] : self._ends[place + 1]].decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        for row in range(len(self)):
            yield self._text[self._ends[row] : self._ends[row + 1]].decode("utf-8")


class MappedLines:
    """Random access to the lines of a text file of ours: a memory map, and where every so-manieth line begins.

    Raises:
        DataError: there is no such file, or it is empty.
        IndexError: on access, there is no such line.
    """

    def __init__(self, path: PathLike):
        if not os.path.isfile(path) or not os.path.getsize(path):
            raise DataError(f"{path} does not exist or is empty; prepare the data again.")
        self._bytes = np.memmap(path, np.uint8, "r")
        anchors, before = [np.zeros(1, np.int64)], 0
        for first in range(0, len(self._bytes), _SCANNED):
            ends = np.flatnonzero(self._bytes[first : first + _SCANNED] == ord("\n"))
            anchors.append(ends[(-before - 1) % _ANCHORED :: _ANCHORED] + first + 1)
            before += len(ends)
        self._n, self._path = before + int(self._bytes[-1] != ord("\n")), path  # a last line may lack its line feed
        self._anchors = np.concatenate(
            [*anchors, [len(self._bytes)]]
        )  # where lines 0, _ANCHORED, 2 * _ANCHORED … begin

    def __getitem__(self, row: int) -> str:
        if not 0 <= row < self._n:
            raise IndexError(f"line {row + 1:,} of {self._n:,}")
        number, inside = divmod(int(row), _ANCHORED)
        some = self._bytes[self._anchors[number] : self._anchors[number + 1]].tobytes()
        try:
            return some.split(b"\n", inside + 1)[inside].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}, line {row + 1:,}: byte {error.start + 1} is not valid UTF-8.") from error
