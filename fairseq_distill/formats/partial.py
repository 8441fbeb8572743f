"""Rows of an embedding file in the making: appended in whole chunks, found again by the next run after a kill.

A hidden folder beside the output holds ``rows`` (the header's place, then row after row) and ``state.json``, which is
renamed into place only after the rows it counts are on the disk. What lies behind the counted rows is cut off.
"""

import contextlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np

from fairseq_distill.errors import DataError
from fairseq_distill.formats.atomic import PathLike, disk_error, require_alone, require_file_place, write_text
from fairseq_distill.formats.embeddings import (
    EmbeddingInfo,
    checked_dtype,
    embedding_file_bytes,
    header_bytes,
    read_info,
    sidecar_path,
    write_info,
)
from fairseq_distill.formats.json_file import load_json


def partial_folder(output: PathLike) -> Path:
    """Where the rows of ``output`` lie while they are made."""
    path = Path(output)
    return path.with_name(f".{path.name}.partial")


def read_partial_key(output: PathLike) -> Optional[Dict[str, Any]]:
    """The key of an unfinished run for ``output``, or None when there is none that can be gone on with."""
    try:
        key = load_json(partial_folder(output) / "state.json")["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, dict) else None


def sweep_partial(output: PathLike) -> None:
    """Remove what a run has left beside an output that is whole: it was killed at its very end. A run at work is let be."""
    with contextlib.suppress(OSError, DataError), open(partial_folder(output) / "lock", "ab") as lock:
        require_alone(lock.fileno(), output)
        shutil.rmtree(partial_folder(output), ignore_errors=True)


def is_current(path: PathLike, info: EmbeddingInfo, n: int, dim: int, dtype: str, raw: bool = False) -> bool:
    """Whether ``path`` is a whole file of this shape whose sidecar says ``info``, however its encoder was spelt."""
    if not Path(path).is_file() or Path(path).stat().st_size != embedding_file_bytes(n, dim, dtype, raw):
        return False
    try:
        found = read_info(path)
    except DataError:
        return False
    return found is not None and _comparable(found) == _comparable(info)


def _comparable(info: EmbeddingInfo) -> Dict[str, Any]:
    fields = asdict(info)
    fields["extra"] = {name: value for name, value in info.extra.items() if name != "spec"}
    return fields


class PartialRows:
    """Rows that survive a kill. Use as a context manager; the folder stays on an error, for the next run.

    Args:
        output: the file to be made; its folder must exist.
        key: everything that decides the rows. Rows made under another key are thrown away.
        dim: width of a row.
        dtype: ``float32`` or ``float16``.
        raw: leave no place for a ``.npy`` header.

    Attributes:
        n: rows that are safely there.

    Raises:
        DataError: the folder cannot be made, another process is making the same output, or what bears its name is no file.
    """

    def __init__(self, output: PathLike, key: Dict[str, Any], dim: int, dtype: str = "float32", raw: bool = False):
        self.output, self.raw = Path(output), raw
        self.folder = partial_folder(output)
        self.dim, self.dtype = dim, np.dtype(checked_dtype(dtype))
        # As JSON gives it back, so that tuples and lists compare equal.
        self.key = json.loads(json.dumps({**key, "dim": dim, "dtype": dtype, "raw": raw}))
        self.n = 0
        self._start = 0 if raw else len(header_bytes(0, dim, dtype))
        self._file = self.folder / "rows"

    def __enter__(self) -> "PartialRows":
        require_file_place(self.output)
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = open(self.folder / "lock", "w", encoding="ascii")
            self._require_alone()
            self._adopt_finished()
            self.n = self._rows_on_disk()
            # Unbuffered: what could not be written must not be tried again when the file is closed.
            self._stream = open(self._file, "r+b" if self._file.exists() else "w+b", buffering=0)
            self._stream.truncate(self._start + self.n * self._row_bytes)
            self._stream.seek(0, os.SEEK_END)  # the header's place is zeros until finish()
        except OSError as error:
            raise disk_error(error, self.output) from error
        return self

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.dtype.itemsize

    def _require_alone(self) -> None:
        try:
            require_alone(self._lock.fileno(), self.output)
        except DataError:
            self._lock.close()
            raise

    def _state(self) -> Dict[str, Any]:
        try:
            state = load_json(self.folder / "state.json")
        except (OSError, ValueError):
            return {}
        counts = [state.get("n", 0), state.get("finishing", 0)] if isinstance(state, dict) else [-1]
        whole = all(isinstance(count, int) and count >= 0 for count in counts)
        return state if whole and state.get("key") == self.key else {}

    def _adopt_finished(self) -> None:
        # Killed between the renaming of the rows and the writing of the sidecar: take the rows back.
        n = self._state().get("finishing")
        expected = -1 if n is None else self._start + n * self._row_bytes
        if not self._file.exists() and self.output.is_file() and self.output.stat().st_size == expected:
            os.replace(self.output, self._file)

    def _rows_on_disk(self) -> int:
        n = int(self._state().get("n", 0))
        size = self._file.stat().st_size if self._file.exists() else 0
        return n if size >= self._start + n * self._row_bytes else 0

    def append(self, rows: np.ndarray) -> None:
        """Add rows [M, E], already of the file's type; they are on the disk when this returns.

        Raises:
            DataError: the disk is full.
        """
        assert rows.shape[1:] == (self.dim,) and rows.dtype == self.dtype, f"{rows.dtype} {rows.shape} do not fit"
        try:
            self._write(np.ascontiguousarray(rows).data.cast("B") if rows.size else memoryview(b""))
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise disk_error(error, self.output) from error
        self.n += len(rows)
        self._write_state()

    def _write(self, data: memoryview) -> None:
        while len(data):  # a nearly full disk takes a part, and refuses the rest
            data = data[self._stream.write(data) :]

    def _write_state(self, **more: Any) -> None:
        write_text(self.folder / "state.json", json.dumps({"key": self.key, "n": self.n, **more}) + "\n")

    def array(self) -> np.ndarray:
        """[n, E], a read-only memory map of the rows that are there."""
        if self.n == 0:
            return np.empty((0, self.dim), self.dtype)
        return np.memmap(self._file, self.dtype, "r", self._start, (self.n, self.dim))

    def finish(self, info: EmbeddingInfo) -> None:
        """Give the rows their header and final name, write the sidecar, remove the folder."""
        try:
            if not self.raw:
                self._stream.seek(0)
                self._write(memoryview(header_bytes(self.n, self.dim, self.dtype.name)))
            os.fsync(self._stream.fileno())
            self._write_state(finishing=self.n)
            sidecar_path(self.output).unlink(missing_ok=True)  # it described what lay here before
            os.replace(self._file, self.output)
        except OSError as error:
            raise disk_error(error, self.output) from error
        write_info(self.output, info)
        self.discard()

    def discard(self) -> None:
        """Remove the folder; nothing can be appended any more."""
        self._stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if self.n == 0:  # nothing that the next run could use
            self.discard()
        self._stream.close()
        self._lock.close()
