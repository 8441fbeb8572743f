"""Whole batches in threads of their own: on a CPU they wait for each other once a batch, not at every operation."""

from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterable, List, TypeVar

import torch

_MOST = 8  # threads; what Python does between the operations is done by one at a time

Item = TypeVar("Item")


def spread(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """``work`` of each item, on a CPU; PyTorch's threads are divided among as many items at a time.

    Where there is but one item, it has all of PyTorch's threads. The first error is raised once all work that began has ended.
    """
    waiting: List[Item] = list(items)
    threads = torch.get_num_threads()
    workers = min(threads, len(waiting), _MOST)
    if workers < 2:
        for item in waiting:
            work(item)
        return
    try:
        with ThreadPoolExecutor(workers, "batch", torch.set_num_threads, (threads // workers,)) as pool:
            for done in [pool.submit(work, item) for item in waiting]:
                done.result()
    finally:
        torch.set_num_threads(threads)  # of MKL, and of threads to come, it is one number for all
