"""Sentences to vectors by onnxruntime, sentencepiece and NumPy; nothing else is needed, and no part of fairseq_distill.

    from encode import Encoder

    vectors = Encoder("FOLDER").encode(["one sentence", "another"])    # float32 [2, E], not of unit length

``fairseq-export --format onnx`` copies this file as ``encode.py`` into each folder that it writes.
"""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any, List, Optional, Sequence, Union

import numpy as np
import sentencepiece


class Encoder:
    """An exported student.

    Args:
        folder: where ``model.onnx``, ``config.json`` and ``spm.model`` lie.
        providers: onnxruntime's, in order of preference; None: the CPU.
    """

    def __init__(self, folder: Union[str, Path], providers: Optional[Sequence[Any]] = None):
        from onnxruntime import InferenceSession  # here, so that the ids can be had without it

        self.read_text_path(folder)
        self.session = InferenceSession(Path(folder) / "model.onnx", providers=providers or ["CPUExecutionProvider"])

    def read_text_path(self, folder: Union[str, Path]) -> None:
        """Read what :meth:`ids` needs."""
        self.config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        self.rules = [(re.compile(pattern), replacement) for pattern, replacement in self.config["punctuation"]]
        self.table = np.array(self.config["ids"], dtype=np.int64)  # SentencePiece's id -> the student's
        self.spm = sentencepiece.SentencePieceProcessor(model_proto=(Path(folder) / "spm.model").read_bytes())

    def normalise(self, line: str) -> str:
        """LASER's: characters of category C to spaces, Moses' punctuation rules, lower case, white space folded."""
        line = "".join(" " if unicodedata.category(character)[0] == "C" else character for character in line)
        for pattern, replacement in self.rules:
            line = pattern.sub(replacement, line)
        return re.sub(r"\s+", " ", line.strip().lower()).strip()

    def ids(self, lines: Sequence[str]) -> List[np.ndarray]:
        """int64 ids of each line, EOS at the end."""
        begin, end = [self.config["bos"]] * self.config["prepend_bos"], [self.config["eos"]]
        most = self.config["max_length_pieces"] - len(begin) - 1
        rows = self.spm.encode([self.normalise(line) for line in lines], out_type=int)
        return [np.concatenate([begin, self.table[row[:most]], end]).astype(np.int64) for row in rows]

    def encode(self, lines: Sequence[str], batch_size: int = 32) -> np.ndarray:
        """float32 [N, E], one row for each line; lines of like length go together."""
        rows = self.ids(lines)
        vectors = np.empty((len(rows), self.config["dim"]), dtype=np.float32)
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(rows), batch_size):
            chosen = order[start : start + batch_size]
            tokens = np.full((len(chosen), len(rows[chosen[-1]])), self.config["pad"], dtype=np.int64)
            for place, number in enumerate(chosen):
                tokens[place, : len(rows[number])] = rows[number]
            vectors[chosen] = self.session.run(["embedding"], {"input_ids": tokens})[0]
        return vectors
