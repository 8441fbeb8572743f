"""One of several equal parts of long work, spread over processes or machines."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List

from fairseq_distill.errors import ConfigError, DataError
from fairseq_distill.formats.atomic import PathLike
from fairseq_distill.formats.embeddings import sidecar_path


@dataclass(frozen=True)
class Shard:
    """The ``index``-th of ``count`` parts, from 1."""

    index: int
    count: int

    def lines(self, n: int) -> range:
        """Its part of n lines, from 0; the shards of one text differ by at most one line."""
        return range(n * (self.index - 1) // self.count, n * self.index // self.count)

    def file(self, output: PathLike) -> Path:
        """Where its rows go: ``OUT.shard2of8.npy`` for ``OUT.npy``."""
        path = Path(output)
        return path.with_name(f"{path.stem}.shard{self.index}of{self.count}{path.suffix}")


def parse_shard(text: str) -> Shard:
    """``2/8`` as a Shard.

    Raises:
        ConfigError: it is not I/N with 1 <= I <= N.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise ConfigError(f"--shard {text} is not I/N with I from 1 to N, for instance 2/8.")
    return shard


def shards_to_join(output: PathLike, count: int) -> List[Shard]:
    """All ``count`` shards of ``output``.

    Raises:
        DataError: neither the first nor the last is there (the last is what a killed run leaves that was removing them).
    """
    ends = [Shard(index, count).file(output) for index in (1, count)]
    if not any(path.exists() for file in ends for path in (file, sidecar_path(file))):
        raise DataError(f"{ends[0]} does not exist; embed it first: --shard 1/{count}.")
    return [Shard(index, count) for index in range(1, count + 1)]
