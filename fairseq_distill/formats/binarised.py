"""fairseq's mmap ``.bin``/``.idx`` files without fairseq, with a gather that fetches many sentences at once.

The legacy layout (``--dataset-impl cached``) can be read too, to be written again as mmap.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, atomic_path

_MAGIC = b"MMIDIDX\x00\x00"
_LEGACY_MAGIC = b"TNTIDX\x00\x00"
_HEADER_BYTES = 26  # magic, uint64 version, uint8 type, uint64 number of sentences
_CHECKED = 1 << 20  # sentences of an index that are checked at a time
_TYPES = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 8: np.uint16, 9: np.uint32, 10: np.uint64}


class ByteStarts:
    """Where sentences begin, computed on access from the byte positions of an index, which stay on disk."""

    def __init__(self, pointers: np.ndarray, item_bytes: int):
        self._pointers, self._item_bytes = pointers, item_bytes

    def __len__(self) -> int:
        return len(self._pointers)

    def __getitem__(self, chosen: Any) -> Any:
        return np.floor_divide(self._pointers[chosen], self._item_bytes)

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


@dataclass
class Sequences:
    """Sentences of ids in one flat array.

    Attributes:
        tokens: [T] ids, memory-mapped; each sentence ends with EOS as fairseq-preprocess writes it.
        starts: int64 [N], where each sentence begins in ``tokens``; an array or :class:`ByteStarts`.
        lengths: int32 [N], pieces with EOS.
    """

    tokens: np.ndarray
    starts: Union[np.ndarray, ByteStarts]
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        start = int(self.starts[index])
        return np.asarray(self.tokens[start : start + int(self.lengths[index])])

    def gather(self, indices: np.ndarray, pad: int, width: Optional[int] = None) -> np.ndarray:
        """Sentences as rows of one matrix, right-padded; no Python loop.

        Args:
            indices: int64 [B], which sentences.
            pad: the id that fills the rest of a row.
            width: columns T; the longest sentence when not given. Longer sentences are an error.

        Returns:
            int64 [B, T].
        """
        lengths = self.lengths[indices].astype(np.int64)
        columns = int(lengths.max()) if width is None else width
        assert len(indices) and columns >= int(lengths.max()), "a sentence is longer than the matrix"
        position = np.arange(columns)
        inside = position[None, :] < lengths[:, None]  # [B, T]
        # Positions past the end point at the sentence's first token, which always exists, and are then overwritten.
        source = self.starts[indices][:, None] + np.where(inside, position[None, :], 0)
        return np.where(inside, self.tokens[source], pad).astype(np.int64)


def open_binarised(prefix: PathLike) -> Sequences:
    """The sentences of ``prefix.bin`` and ``prefix.idx``, memory-mapped.

    Raises:
        DataError: a file is missing, truncated, of another layout (legacy ``TNTIDX``), or does not fit its partner.
    """
    index_path, bin_path = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
    for path in (index_path, bin_path):
        if not path.is_file():
            raise DataError(f"{path} does not exist; binarise again with data_prep/prepare.sh.")
    with open(index_path, "rb") as stream:
        head = stream.read(_HEADER_BYTES)
    if head[: len(_MAGIC)] != _MAGIC:
        layout = "the legacy layout (--dataset-impl cached)" if head[:6] == b"TNTIDX" else "an unknown layout"
        raise DataError(f"{index_path} has {layout}; binarise with --dataset-impl mmap.")
    if len(head) < _HEADER_BYTES:
        raise DataError(f"{index_path} is truncated after {len(head)} bytes; binarise again.")
    _version, code, n = struct.unpack("<QBQ", head[len(_MAGIC) :])
    if code not in _TYPES:
        raise DataError(f"{index_path} names the token type {code}, which is no integer type of fairseq's.")
    expected = _HEADER_BYTES + n * (4 + 8)
    if index_path.stat().st_size != expected:
        raise DataError(
            f"{index_path} has {index_path.stat().st_size:,} bytes instead of {expected:,}; binarise again."
        )
    item = np.dtype(_TYPES[code])
    if n == 0:
        return Sequences(np.empty(0, item), np.empty(0, np.int64), np.empty(0, np.int32))
    lengths = np.memmap(index_path, np.int32, "r", _HEADER_BYTES, shape=(n,))
    pointers = np.memmap(index_path, np.int64, "r", _HEADER_BYTES + 4 * n, shape=(n,))
    starts = ByteStarts(pointers, item.itemsize)
    if not _follow_one_another(pointers, lengths, item.itemsize):
        raise DataError(f"{index_path} is damaged: its sentences do not follow one another; binarise again.")
    needed, size = (int(starts[-1]) + int(lengths[-1])) * item.itemsize, bin_path.stat().st_size
    if size != needed:
        raise DataError(f"{bin_path} has {size:,} bytes, but {index_path} describes {needed:,}; binarise again.")
    return Sequences(np.memmap(bin_path, item, "r"), starts, np.asarray(lengths))


def _follow_one_another(pointers: np.ndarray, lengths: np.ndarray, itemsize: int) -> bool:
    """Whether each sentence has a piece and begins, in bytes, where the one before it ends."""
    expected = 0
    for first in range(0, len(lengths), _CHECKED):  # in pieces, so that an index of any size needs little memory
        size = lengths[first : first + _CHECKED].astype(np.int64) * itemsize
        ends = np.cumsum(size) + expected
        if size.min() < 1 or not np.array_equal(pointers[first : first + _CHECKED], ends - size):
            return False
        expected = int(ends[-1])
    return True


def open_legacy(prefix: PathLike) -> Sequences:
    """The sentences of files in the legacy layout, read into memory.

    Raises:
        DataError: a file is missing, damaged or of another layout.
    """
    index_path, bin_path = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
    for path in (index_path, bin_path):
        if not path.is_file():
            raise DataError(f"{path} does not exist.")
    index = index_path.read_bytes()
    if index[: len(_LEGACY_MAGIC)] != _LEGACY_MAGIC or len(index) < 48:
        raise DataError(f"{index_path} is no index of the legacy layout (--dataset-impl cached).")
    _version, code, width, n, n_sizes = struct.unpack("<QQQQQ", index[8:48])
    if code not in _TYPES or np.dtype(_TYPES[code]).itemsize != width or n_sizes != n:
        raise DataError(
            f"{index_path} describes no sentences of ids (type {code}, {n_sizes:,} sizes for {n:,} sentences)."
        )
    if len(index) != 48 + 8 * (2 * (n + 1) + n):
        raise DataError(f"{index_path} has {len(index):,} bytes, not those of {n:,} sentences; binarise again.")
    offsets = np.frombuffer(index, np.int64, n + 1, 48 + 8 * (n + 1))
    lengths = np.frombuffer(index, np.int64, n, 48 + 16 * (n + 1))
    ends = np.cumsum(lengths)
    if n and (lengths.min() < 1 or not np.array_equal(offsets[1:], ends)):
        raise DataError(f"{index_path} is damaged: its sentences do not follow one another; binarise again.")
    needed = int(offsets[-1]) * width
    if bin_path.stat().st_size != needed:
        raise DataError(f"{bin_path} has {bin_path.stat().st_size:,} bytes, but {index_path} describes {needed:,}.")
    tokens = np.fromfile(bin_path, _TYPES[code]).astype(np.int64) - 1  # ids are stored plus one, for Lua
    return Sequences(tokens, ends - lengths, lengths.astype(np.int32))


def open_either(prefix: PathLike) -> Sequences:
    """:func:`open_binarised`, or :func:`open_legacy` where the files have that layout."""
    index = Path(f"{prefix}.idx")
    if index.is_file():
        with open(index, "rb") as stream:
            if stream.read(len(_LEGACY_MAGIC)) == _LEGACY_MAGIC:
                return open_legacy(prefix)
    return open_binarised(prefix)


def write_binarised(prefix: PathLike, tokens: np.ndarray, lengths: np.ndarray) -> None:
    """Write sentences in fairseq's mmap layout, as ``fairseq-preprocess`` does.

    Args:
        tokens: int [T], 0 or more, the sentences one after the other, each with its EOS.
        lengths: int [N], at least 1, T in all.

    Raises:
        ValueError: the lengths do not add up to T.
    """
    if int(lengths.sum()) != len(tokens):
        raise ValueError(f"{len(tokens):,} ids, but lengths of {int(lengths.sum()):,}")
    code = 8 if int(tokens.max(initial=0)) < 65_500 else 4  # uint16 or int32, fairseq's own bound
    item = np.dtype(_TYPES[code])
    starts = (np.cumsum(lengths, dtype=np.int64) - lengths) * item.itemsize
    with atomic_path(f"{prefix}.bin") as path:
        np.ascontiguousarray(tokens, item).tofile(path)
    with atomic_path(f"{prefix}.idx") as path, open(path, "wb") as stream:
        stream.write(_MAGIC + struct.pack("<QBQ", 1, code, len(lengths)))
        stream.write(np.ascontiguousarray(lengths, np.int32).tobytes())
        stream.write(starts.astype(np.int64).tobytes())
