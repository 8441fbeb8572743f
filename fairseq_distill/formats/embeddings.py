"""Sentence embeddings on disk: ``.npy`` (row i = line i of the text) with a sidecar ``NAME.npy.json``, or LASER's raw files."""

import io
import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, atomic_path, disk_error, write_text
from fairseq_distill.formats.json_file import from_json, load_json
from fairseq_distill.progress import Progress

DTYPES = ("float32", "float16")
FORMAT_VERSION = 1


@dataclass
class EmbeddingInfo:
    """What the sidecar of an embedding file says.

    Attributes:
        encoder: fingerprint of the encoder that made the rows (``student:1f3a…``, ``sbert:…``).
        space: fingerprint of the teacher space; two files compare only within one space.
        normaliser: version of the text normalisation, e.g. ``laser-1``.
        text_sha256: SHA-256 of the text file, or None when it was a stream.
        unit_length: whether each row has Euclidean length 1.
        extra: anything else a maker wants to record.
    """

    encoder: str
    space: str
    normaliser: str
    text_sha256: Optional[str] = None
    unit_length: bool = False
    version: int = FORMAT_VERSION
    extra: Dict[str, Any] = field(default_factory=dict)


def sidecar_path(path: PathLike) -> Path:
    """Where the description of an embedding file lies: beside it, ``.json`` appended."""
    return Path(str(path) + ".json")


def write_info(path: PathLike, info: EmbeddingInfo) -> None:
    """Write the sidecar of embedding file ``path``."""
    write_text(sidecar_path(path), json.dumps(asdict(info), indent=1, sort_keys=True) + "\n")


def read_info(path: PathLike) -> Optional[EmbeddingInfo]:
    """The sidecar of embedding file ``path``, or None when there is none.

    Raises:
        DataError: the sidecar is not valid.
    """
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return None
    try:
        return from_json(EmbeddingInfo, load_json(sidecar))
    except OSError as error:
        raise DataError(f"{sidecar} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{sidecar} is not a valid description of embeddings: {error}.") from error


def open_embeddings(path: PathLike, dim: Optional[int] = None, dtype: Optional[str] = None) -> np.ndarray:
    """A read-only memory map of the rows, [N, E], float32 or float16.

    Args:
        path: a ``.npy`` file, or any other name for LASER's headerless row-major file.
        dim: the width; required for a raw file, checked for ``.npy`` when given.
        dtype: ``float32`` or ``float16`` of a raw file (float32 when not given).

    Raises:
        DataError: missing, truncated, of another type or width, or a raw size that does not divide by ``dim``.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file} {'is no regular file' if file.exists() else 'does not exist'}.")
    if file.suffix == ".npy":
        rows = _open_npy(file)
        if dim is not None and rows.shape[1] != dim:
            raise DataError(f"{file} holds vectors of width {rows.shape[1]:,}, but {dim:,} is wanted.")
        return rows
    if dim is None or dim < 1:
        raise DataError(f"{file} has no header; give the width of its vectors with --dim (and --dtype).")
    item = np.dtype(checked_dtype(dtype or "float32"))
    size = file.stat().st_size
    if size % (dim * item.itemsize):
        raise DataError(
            f"{file} has {size:,} bytes, which is no whole number of {dim:,}-wide {item.name} vectors "
            f"({dim * item.itemsize:,} bytes each); check --dim and --dtype."
        )
    if size == 0:
        return np.empty((0, dim), dtype=item)
    return np.memmap(file, dtype=item, mode="r", shape=(size // (dim * item.itemsize), dim))


def map_array(path: PathLike) -> np.ndarray:
    """A ``.npy`` file as a read-only memory map; an array without elements, which cannot be mapped, is read.

    Raises:
        DataError: missing, truncated, damaged, an archive, or holding objects, which would have to be unpickled.
    """
    try:
        with open(path, "rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers by Python 2
            if stream.read(2) == b"PK":
                raise DataError(f"{path} is an archive, not one array; unpack it or make it again.")
            stream.seek(0)
            version = np.lib.format.read_magic(stream)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, _ = read_header(stream)
            if 0 in shape:
                stream.seek(0)
                return np.load(stream, allow_pickle=False)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged header is parsed as Python and can raise anything
        raise DataError(f"{path} is not a whole .npy file ({error}); make it again.") from error


def _open_npy(file: Path) -> np.ndarray:
    rows = map_array(file)
    if rows.ndim != 2 or not rows.shape[1] or rows.dtype.name not in DTYPES or not rows.flags.c_contiguous:
        raise DataError(
            f"{file} holds {rows.dtype.name} of shape {rows.shape}; embeddings are float32 or float16, [N, E], row-major."
        )
    if not rows.dtype.isnative:  # mining reads float16 by its bits
        raise DataError(
            f"{file} holds numbers of the other byte order; write it again with numpy's .astype({rows.dtype.name!r})."
        )
    if isinstance(rows, np.memmap) and file.stat().st_size != rows.offset + rows.nbytes:
        raise DataError(
            f"{file} has {file.stat().st_size:,} bytes, but its header describes {rows.offset + rows.nbytes:,}; make it again."
        )
    return rows


def checked_dtype(dtype: str) -> str:
    """``dtype``, if embeddings can have it; a DataError otherwise."""
    if dtype not in DTYPES:
        raise DataError(f"{dtype!r} is not a type of embeddings; use one of {', '.join(DTYPES)}.")
    return dtype


def header_bytes(n: int, dim: int, dtype: str) -> bytes:
    """The ``.npy`` header of float rows [n, dim]; equally long for every n, so that it can be written last."""
    buffer = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (n, dim)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def embedding_file_bytes(n: int, dim: int, dtype: str, raw: bool = False) -> int:
    """Size of a whole embedding file."""
    return (0 if raw else len(header_bytes(n, dim, dtype))) + n * dim * np.dtype(dtype).itemsize


class EmbeddingWriter:
    """Writes rows as they come, in constant memory; the file gets its final name when ``n`` rows are there.

    Use as a context manager. On any error the temporary file is removed.

    Args:
        path: ``.npy`` by default; headerless when ``raw``.
        n: number of rows that will come.
        dim: width of a row.
        dtype: ``float32`` or ``float16``.
        raw: write LASER's headerless layout.
    """

    def __init__(self, path: PathLike, n: int, dim: int, dtype: str = "float32", raw: bool = False):
        self.path, self.n, self.dim, self.raw = Path(path), n, dim, raw
        self.dtype = np.dtype(checked_dtype(dtype))
        self.written = 0
        self._progress = Progress(f"write {self.path.name}", n, unit="rows")
        self._context = atomic_path(self.path)

    def __enter__(self) -> "EmbeddingWriter":
        temporary = self._context.__enter__()
        try:
            self._stream = open(temporary, "wb")
        except OSError as error:
            raise disk_error(error, self.path) from error
        if not self.raw:
            self._stream.write(header_bytes(self.n, self.dim, self.dtype.name))
        return self

    def write(self, rows: np.ndarray) -> None:
        """Append rows [M, E].

        Raises:
            DataError: NaN or infinity in a row, or the disk is full.
            ValueError: wrong width, or more rows than announced.
        """
        if rows.ndim != 2 or rows.shape[1] != self.dim or self.written + len(rows) > self.n:
            raise ValueError(
                f"{rows.shape} rows do not fit {self.path}: {self.n - self.written} x {self.dim} are expected"
            )
        with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity, which is refused below
            rows = np.ascontiguousarray(rows, dtype=self.dtype)
        require_finite(rows, self.path, self.written)
        self._stream.write(rows.tobytes())
        self.written += len(rows)
        self._progress.add(len(rows))

    def __exit__(self, kind, value, trace) -> "bool | None":
        try:
            self._stream.close()
            if kind is None and self.written != self.n:
                raise ValueError(f"{self.written} of {self.n} rows were written to {self.path}")
        except BaseException as error:
            self._context.__exit__(type(error), error, error.__traceback__)
            raise
        return self._context.__exit__(kind, value, trace)


def require_finite(rows: np.ndarray, path: PathLike, first_row: int = 0) -> None:
    """Raise a DataError that names the first row with NaN or infinity."""
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        bad = first_row + int(np.argmin(finite))
        raise DataError(f"{path}: row {bad:,} (line {bad + 1:,}) holds NaN or infinity; embed the text again.")


def iter_blocks(rows: np.ndarray, block: int) -> Iterator[Tuple[int, np.ndarray]]:
    """(start, rows[start : start + block]) over a memory map."""
    for start in range(0, len(rows), block):
        yield start, rows[start : start + block]


def require_same_space(first: PathLike, second: PathLike, force: bool = False) -> None:
    """Refuse two embedding files of different teacher spaces unless ``force``; files without a sidecar are let through.

    Raises:
        DataError: both have sidecars and their ``space`` differs.
    """
    one, two = read_info(first), read_info(second)
    if force or one is None or two is None or one.space == two.space:
        return
    raise DataError(
        f"{first} is in the teacher space {one.space} but {second} in {two.space}: their cosines mean nothing. "
        "Embed both with encoders of one teacher, or insist with --force."
    )
