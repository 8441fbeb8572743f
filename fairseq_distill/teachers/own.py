"""A user's own teacher: any object with one method ``encode``, from a Python file of the user's. See docs/teachers.md.

The file is run. So it is named only on a command line: a teacher that a data directory's manifest names is not opened.
"""

import hashlib
import importlib.util
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, Dict, Sequence

import numpy as np

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import sha256_file
from fairseq_distill.modules.pooling import POOLINGS

logger = logging.getLogger(__name__)


class OwnTeacher:
    """An object of the user's as a SentenceEncoder.

    Args:
        path: ``FILE.py:NAME``; NAME is a class, a function that gives an object, or an object.
        options: handed to the class or function, as text.

    Attributes:
        name: ``python:`` and a hash of the object's ``fingerprint``, if it has one; else of the file, NAME and the options.
        space: what the object says, else its name.
        pooling, normaliser: what the object says, else ``mean`` and ``none``.

    Raises:
        ConfigError: the file or NAME does not exist, or making the object fails.
        DataError: ``encode`` does not give one finite row for each sentence.
    """

    def __init__(self, path: str, **options: str):
        file, colon, self._wanted = path.rpartition(":")
        if not colon or not file or not self._wanted:
            raise ConfigError(f"python:{path} must name a file and what is in it: python:FILE.py:NAME.")
        self.file = Path(file)
        if not self.file.is_file():
            raise ConfigError(f"{self.file} does not exist; a teacher of your own is named python:FILE.py:NAME.")
        self.teacher = self._make(options)
        if not callable(getattr(self.teacher, "encode", None)):
            kind = type(self.teacher).__name__
            raise ConfigError(f"{path} gives a {kind} without a method encode(sentences); see docs/teachers.md.")
        self.pooling = str(getattr(self.teacher, "pooling", "mean"))
        if self.pooling not in POOLINGS:
            raise ConfigError(f"{path}: its pooling {self.pooling!r} is none of {', '.join(POOLINGS)}.")
        self.normaliser = str(getattr(self.teacher, "normaliser", "none"))
        self.name = f"python:{self._digest(options)}"
        self.space = str(getattr(self.teacher, "space", self.name))
        self.dim = int(self._rows(["one sentence"]).shape[1])
        logger.info(f"teacher {self.name} | width {self.dim} | pooling {self.pooling} | {path}")

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        rows = self._rows(sentences)
        if rows.shape[1] != self.dim:
            raise DataError(
                f"{self.file}: encode() gave rows of {rows.shape[1]:,} numbers, and of {self.dim:,} before."
            )
        return rows

    def _rows(self, sentences: Sequence[str]) -> np.ndarray:
        found = self.teacher.encode(list(sentences))
        if hasattr(found, "detach"):  # a tensor, on a GPU perhaps
            found = found.detach().cpu()
        rows = np.asarray(found, dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(sentences):
            raise DataError(
                f"{self.file}: encode() gave an array of shape {rows.shape} for {len(sentences):,} sentences; it must give "
                "[sentences, width], row i for sentence i."
            )
        return rows

    def _make(self, options: Dict[str, str]) -> Any:
        module_name = f"own_teacher_{hashlib.sha256(os.fsencode(self.file.resolve())).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(module_name, self.file)
        if spec is None or spec.loader is None:
            raise ConfigError(f"{self.file} is no Python file; its name must end in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        folder = str(self.file.resolve().parent)
        if folder not in sys.path:  # as when Python runs a file: what lies beside it can be imported
            sys.path.append(folder)
        try:
            spec.loader.exec_module(module)
            found = getattr(module, self._wanted, None)
            made = found(**options) if callable(found) else found
        except Exception as error:  # a user's own code may raise anything
            raise ConfigError(f"{self.file}: {self._wanted} fails with {type(error).__name__}: {error}") from error
        if made is None:
            names = ", ".join(name for name in vars(module) if not name.startswith("_"))
            raise ConfigError(f"{self.file} has no {self._wanted}, or it gave nothing. It has: {names}.")
        if options and not callable(found):
            raise ConfigError(f"{self.file}: {self._wanted} is an object already and takes no options.")
        return made

    def _digest(self, options: Dict[str, str]) -> str:
        stated = getattr(self.teacher, "fingerprint", None)
        parts = [str(stated)] if stated is not None else [sha256_file(self.file), self._wanted, options]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()[:16]
