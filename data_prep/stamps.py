"""Redo only what changed: a step is skipped while its inputs, options and code stay the same and its outputs are there.

Each step leaves ``DATA/stamps/NAME.json``, written after its outputs, with one hash over the checksums of its inputs,
its options and its source files, and the checksum and size of each output. A step that was killed leaves no stamp and
runs again; one whose input comes out the same is not followed by the steps after it.
"""

import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from fairseq_distill.errors import DataError
from fairseq_distill.formats import manifest
from fairseq_distill.formats.atomic import PathLike, make_folder, sha256_file, write_text
from fairseq_distill.formats.json_file import from_json, load_json

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "fairseq_distill"
_SETTLED_NS = 2_000_000_000  # a file younger than this may yet change within one tick of the file system's clock


@dataclass
class Step:
    """One step on one corpus, or on all together.

    Attributes:
        name: name of its stamp, unique in the data directory.
        inputs: files it reads, in a fixed order.
        outputs: files it makes.
        options: what else decides its outputs; JSON values.
        code: its source files; a change of one of them makes it run again.
    """

    name: str
    inputs: List[Path]
    outputs: List[Path]
    options: Dict[str, Any] = field(default_factory=dict)
    code: List[Path] = field(default_factory=list)


@dataclass
class _Stamp:
    """What a stamp's file holds; ``outputs`` are [bytes, SHA-256] by path."""

    key: str
    outputs: Dict[str, List[Any]]
    result: Any


class Stamps:
    """The stamps of a data directory, and a cache of checksums so that a file that lies still is read once."""

    def __init__(self, data: PathLike):
        self.data = Path(data)
        self.folder = self.data / "stamps"
        self._cache_path = self.folder / "checksums.json"
        self._checksums: Dict[str, Tuple[int, int, int, str]] = {}
        if self._cache_path.is_file():
            try:
                for path, (size, time_ns, inode, digest) in load_json(self._cache_path).items():
                    self._checksums[path] = int(size), int(time_ns), int(inode), str(digest)
            except (OSError, ValueError, TypeError, AttributeError, OverflowError):  # damaged: only a cache
                self._checksums = {}
                logger.warning(f"{self._cache_path} is not readable; all checksums are computed again")

    def checksum(self, path: PathLike) -> str:
        """The SHA-256 of a file, from the cache when size, time and inode are those of the last reading.

        Raises:
            DataError: the file does not exist, or cannot be read.
        """
        file = Path(path)
        try:
            state = file.stat()
        except OSError as error:
            raise DataError(
                f"{file} does not exist; make it with data_prep/prepare.sh from an earlier --stage."
            ) from error
        seen = (state.st_size, state.st_mtime_ns, state.st_ino)
        known = self._checksums.get(os.path.abspath(file))
        if known is not None and tuple(known[:3]) == seen:
            return known[3]
        digest = sha256_file(file)
        if time.time_ns() - state.st_mtime_ns > _SETTLED_NS:
            self._checksums[os.path.abspath(file)] = (*seen, digest)
        return digest

    def _key(self, step: Step) -> str:
        parts = {
            "options": step.options,
            "inputs": [self.checksum(path) for path in step.inputs],
            "code": [self.checksum(path) for path in step.code],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _stamp_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read(self, name: str) -> Optional[_Stamp]:
        try:
            stamp = from_json(_Stamp, load_json(self._stamp_path(name)))
        except (OSError, ValueError, TypeError):  # never written, or damaged: the step runs again
            return None
        whole = all(len(made) == 2 and isinstance(made[0], int) for made in stamp.outputs.values())
        return stamp if whole else None

    def is_current(self, step: Step) -> bool:
        """Whether the step has run with these inputs, options and code, and its outputs are as it left them."""
        stamp = self._read(step.name)
        if stamp is None or stamp.key != self._key(step):
            return False
        for path in step.outputs:
            made = stamp.outputs.get(os.path.relpath(path, self.data))
            if made is None or not path.is_file() or path.stat().st_size != made[0] or self.checksum(path) != made[1]:
                return False
        return True

    def forget(self, step: Step) -> None:
        """Take back the stamp before the outputs are made anew; the manifest goes with it, as it no longer holds."""
        (self.data / manifest.NAME).unlink(missing_ok=True)
        self._stamp_path(step.name).unlink(missing_ok=True)

    def record(self, step: Step, result: Any = None) -> None:
        """Write the stamp of a step whose outputs are complete.

        Args:
            step: what has run.
            result: what :meth:`result` gives back later; a JSON value.
        """
        outputs = {
            os.path.relpath(path, self.data): [path.stat().st_size, self.checksum(path)] for path in step.outputs
        }
        make_folder(self.folder)
        stamp = {"key": self._key(step), "outputs": outputs, "result": result}
        write_text(self._stamp_path(step.name), json.dumps(stamp, indent=1) + "\n")

    def save(self) -> None:
        """Keep the checksums for the next command."""
        make_folder(self.folder)
        write_text(self._cache_path, json.dumps(self._checksums))

    def result(self, name: str) -> Any:
        """What the step recorded when it ran.

        Raises:
            DataError: it has not run.
        """
        stamp = self._read(name)
        if stamp is None:
            raise DataError(
                f"{self.data} has no stamp of the step {name}; run data_prep/prepare.sh from an earlier --stage."
            )
        return stamp.result

    def run(self, step: Step, action: Callable[[], Any]) -> Any:
        """Run ``action`` unless the step is current; its result, from now or from then."""
        if self.is_current(step):
            logger.info(f"unchanged: {step.name}")
            return self.result(step.name)
        self.forget(step)
        for path in step.outputs:
            make_folder(path.parent)
        result = action()
        self.record(step, result)
        return result
