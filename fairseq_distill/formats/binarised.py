"""fairseq's mmap ``.bin``/``.idx`` files without fairseq, with a gather that fetches many sentences at once."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER_BYTES = 26  # magic, uint64 version, uint8 type, uint64 number of sentences
_TYPES = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 8: np.uint16, 9: np.uint32, 10: np.uint64}


@dataclass
class Sequences:
    """Sentences of ids in one flat array.

    Attributes:
        tokens: [T] ids, memory-mapped; each sentence ends with EOS as fairseq-preprocess writes it.
        starts: int64 [N], where each sentence begins in ``tokens``.
        lengths: int32 [N], pieces with EOS.
    """

    tokens: np.ndarray
    starts: np.ndarray
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
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - lengths
    if lengths.min() < 1 or not np.array_equal(pointers, starts * item.itemsize):
        raise DataError(f"{index_path} is damaged: its sentences do not follow one another; binarise again.")
    needed, size = int(ends[-1]) * item.itemsize, bin_path.stat().st_size
    if size != needed:
        raise DataError(f"{bin_path} has {size:,} bytes, but {index_path} describes {needed:,}; binarise again.")
    return Sequences(np.memmap(bin_path, item, "r"), starts, np.asarray(lengths))
