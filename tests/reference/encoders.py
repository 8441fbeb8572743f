"""Encoders whose vectors are known without a model: a sentence's digest decides them."""

import hashlib
import threading
from typing import List, Sequence

import numpy as np


class Killed(BaseException):
    """Stands for SIGKILL inside one process: nothing that catches errors catches it."""


class HashEncoder:
    """Each sentence's vector is a function of its text alone.

    Attributes:
        seen: every sentence that was embedded, in order.
        kill_after: raise :class:`Killed` when so many sentences have been embedded.
        bad: a sentence whose vector holds NaN.
    """

    space = "hash:space"
    pooling = "mean"
    normaliser = "none"

    def __init__(self, dim: int = 6, name: str = "hash:1", kill_after: int = 10**9, bad: str = "\0"):
        self.dim, self.name, self.kill_after, self.bad = dim, name, kill_after, bad
        self.seen: List[str] = []

    def vector(self, sentence: str) -> np.ndarray:
        """float32 [E], never zero."""
        if sentence == self.bad:
            return np.full(self.dim, np.nan, np.float32)
        seed = hashlib.sha256(sentence.encode("utf-8")).digest()[:8]
        return np.random.default_rng(int.from_bytes(seed, "big")).standard_normal(self.dim).astype(np.float32)

    def vectors(self, sentences: Sequence[str]) -> np.ndarray:
        """float32 [N, E], what an embedding file of these lines must hold."""
        return np.stack([self.vector(sentence) for sentence in sentences])

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        self.seen += sentences
        if len(self.seen) > self.kill_after:
            raise Killed
        return self.vectors(sentences)


class PreparingHashEncoder(HashEncoder):
    """The same vectors, with the text work apart.

    Attributes:
        threads: the names of the threads that prepared.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.threads: List[str] = []

    def prepare(self, sentences: Sequence[str]) -> List[bytes]:
        self.threads.append(threading.current_thread().name)
        return [sentence.encode("utf-8") for sentence in sentences]

    def encode_prepared(self, prepared: List[bytes]) -> np.ndarray:
        return self.encode([line.decode("utf-8") for line in prepared])
