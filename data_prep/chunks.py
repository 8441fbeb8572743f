"""Long files in parts: read in chunks, worked on by all cores, results in the order of the lines."""

import itertools
import os
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Deque, Iterable, Iterator, List, TypeVar

from fairseq_distill.errors import DataError

T = TypeVar("T")
R = TypeVar("R")

CHUNK_LINES = 20_000  # a second of work or less; results depend on it in nothing but the members of a .gz file


def available_workers(wanted: int = 0) -> int:
    """How many processes to use: ``wanted``, or all cores this process may run on when it is 0."""
    return wanted if wanted > 0 else len(os.sched_getaffinity(0))


def in_chunks(lines: Iterable[T], size: int = CHUNK_LINES) -> Iterator[List[T]]:
    """Lists of ``size`` items, the last one shorter."""
    iterator = iter(lines)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """``map`` over processes: results in order, and never more than a few items in memory.

    ``Pool.imap`` would read all items ahead; here the next one is read when a result is taken. A single item, or a
    single worker, is worked on in this process.

    Raises:
        DataError: a worker was killed, most likely for memory.
    """
    iterator = iter(items)
    head = list(itertools.islice(iterator, 2))
    if workers == 1 or len(head) < 2:
        yield from map(function, itertools.chain(head, iterator))
        return
    waiting: Deque[Any] = deque()
    with ProcessPoolExecutor(workers) as pool:
        try:
            for item in itertools.chain(head, iterator):
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "A worker process was killed, most likely because the memory was full; "
                "run the command again with fewer --workers."
            ) from error
        finally:
            for future in waiting:
                future.cancel()
