"""How fast this machine does what a search is made of, measured in about a second."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Optional, Type

import numpy as np

from fairseq_distill.mining.choice import KINDS, fastest_kind
from fairseq_distill.mining.products import Product
from fairseq_distill.mining.rows import UnitRows, Workers, exact_cosines
from fairseq_distill.mining.screen import offer
from fairseq_distill.mining.topk import Bounds

_HEIGHT, _WIDTH, _PAIRS = 1024, 2048, 1 << 14  # of the blocks, and single cosines, that are timed
_BYTES = 64 << 20  # read from each file


@dataclass(frozen=True)
class Machine:
    """Rates, with all threads.

    Attributes:
        kind: the product that a large search uses here, "int8", "bfloat16" or "float32".
        threads: threads that work.
        multiply_s: seconds of one multiplication and addition of the product.
        screen_s: seconds to look at one entry of a block, for its row and for its column.
        load_s: seconds to read one element of a row and bring the row to unit length.
        norm_s: seconds for one element when the lengths of rows are measured.
        cosine_s: seconds to measure one pair exactly.
        read_bytes_s: bytes a second from the files, as they are (in memory or on the disk); None without files.
        resident: bytes that this process takes, libraries included.
    """

    kind: str
    threads: int
    multiply_s: float
    screen_s: float
    load_s: float
    norm_s: float
    cosine_s: float
    read_bytes_s: Optional[float]
    resident: int


def measure_machine(dim: int, dtype: str, precision: str = "auto", files: Iterable[Path] = ()) -> Machine:
    """Time blocks of vectors of width ``dim`` and of ``dtype``.

    Raises:
        ConfigError: what is asked for needs PyTorch, which cannot be loaded.
    """
    name, resident = fastest_kind() if precision == "auto" else precision, 0
    kind: Type[Product] = KINDS[name]
    with Workers(1) as worker:
        small = kind(64, 64, dim, worker)
        ones = np.ones((64, dim), np.float32)
        rows = UnitRows(ones, "rows", None, worker)
        small.bounds(rows, rows)
        small.scores(small.hold(ones, first=True), small.hold(ones, first=False))
        resident = resident_bytes()  # with the libraries and their buffers, without what is timed below
    random = np.random.default_rng(1)
    one, two = (random.standard_normal((size, dim), dtype=np.float32).astype(dtype) for size in (_HEIGHT, _WIDTH))
    with Workers() as workers:
        norm_s = timed(lambda: UnitRows(two, "rows", None, workers)) / two.size
        src, tgt = UnitRows(one, "rows", None, workers), UnitRows(two, "rows", None, workers)
        product = kind(_HEIGHT, _WIDTH, dim, workers)
        bounds = product.bounds(src, tgt)
        load_s = timed(lambda: product.load(tgt, 0, _WIDTH, first=False)) / two.size
        product.load(src, 0, _HEIGHT, first=True)
        multiply_s = timed(lambda: product.multiply(_HEIGHT, _WIDTH)) / (_HEIGHT * _WIDTH * dim)
        screen_s = _screening(product, bounds, src, tgt, workers) / (_HEIGHT * _WIDTH)
        ids, others = random.integers(0, _HEIGHT, _PAIRS), random.integers(0, _WIDTH, _PAIRS)
        out = np.empty(_PAIRS, np.float32)
        cosine_s = timed(lambda: exact_cosines(src, np.sort(ids), tgt, others, workers, out)) / _PAIRS
        rate = _reading(files)
        return Machine(name, workers.threads, multiply_s, screen_s, load_s, norm_s, cosine_s, rate, resident)


def timed(work: Callable[[], object], least_s: float = 0.1) -> float:
    """Seconds of one call, the least of some that take ``least_s`` together; the first is not counted."""
    work()
    best, started = np.inf, time.perf_counter()
    while time.perf_counter() - started < least_s:
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return float(best)


def resident_bytes() -> int:
    """Resident memory of this process now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _screening(product: Product, bounds: Bounds, src: UnitRows, tgt: UnitRows, workers: Workers) -> float:
    """Seconds to screen a block of which nothing new is kept: it is shown again."""
    rows = bounds.candidates(bounds.forward, src.n, 4, product.code)
    columns = bounds.candidates(bounds.backward, tgt.n, 4, product.code)
    product.load(src, 0, src.n, first=True)
    product.load(tgt, 0, tgt.n, first=False)
    block = product.multiply(src.n, tgt.n)
    offer(block, rows, np.arange(src.n), columns, (0, tgt.n), workers)
    rows.threshold[:] = columns.threshold[:] = block.max()
    return timed(lambda: offer(block, rows, np.arange(src.n), columns, (0, tgt.n), workers))


def _reading(files: Iterable[Path]) -> Optional[float]:
    done, seconds = 0, 0.0
    for path in files:
        with open(path, "rb") as stream:
            begun = time.perf_counter()
            done += len(stream.read(_BYTES))
            seconds += time.perf_counter() - begun
    return done / seconds if seconds else None
