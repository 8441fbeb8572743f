"""The exact search with the product and the choice of candidates on a GPU, by PyTorch.

The GPU says which pairs can be among the k best, in float16 and within a bound on its rounding; these are measured one by one
on the processor, as in :mod:`fairseq_distill.mining.knn`. Rows that the GPU could not decide are searched again there.
Hence the neighbours are the same, bit by bit.
"""

import logging
from typing import Any, Iterator, Optional, Tuple

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.errors import ConfigError
from fairseq_distill.mining.codes import Float32Code
from fairseq_distill.mining.knn import open_sides, search_again
from fairseq_distill.mining.products import additions
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.screen import Neighbours, Progress, empty_neighbours, settle
from fairseq_distill.mining.topk import EMPTY, Candidates, pack

logger = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 8192, 32768  # of a block
_LOADED = 1024  # rows brought to the device in one go
_MEMORY_SHARE = 0.4  # of the device's free memory, for the columns that stay there
_PER_NEIGHBOUR, _SPARE = 2, 24  # candidates of a row: for each neighbour, and beside
_HALF_ROUNDING = 2.0**-11


def check_device(device: str) -> None:
    """Raise a ConfigError, with what to do, unless PyTorch can work on this device ("cpu" is always right)."""
    if device != "cpu":
        _torch_on(device)


def knn_both_on(
    device: str,
    src: np.ndarray,
    tgt: np.ndarray,
    k: int,
    max_memory: int = defaults.MAX_MEMORY,
    names: Tuple[str, str] = ("source embeddings", "target embeddings"),
    index: Tuple[Optional[np.ndarray], Optional[np.ndarray]] = (None, None),
    progress: Optional[Progress] = None,
) -> Tuple[Neighbours, Neighbours]:
    """What :func:`fairseq_distill.mining.knn.knn_both` gives, by the device ``cuda`` or ``cuda:1``.

    Args:
        max_memory: bytes for work buffers of the processor; the device's memory is taken as it is free.

    Raises:
        DataError, ConfigError: as there; PyTorch is missing, or there is no such device.
    """
    torch = _torch_on(device)
    with Workers() as workers:
        one, two = open_sides(src, tgt, k, "auto", names, index, workers)
        search = _DeviceSearch(torch, device, one, two, k, workers, progress)
        search.run()
        forward = search.settle(search.rows, one, two, max_memory)
        backward = search.settle(search.columns, two, one, max_memory)
        return forward, backward


def _torch_on(device: str) -> Any:
    try:
        import torch
    except (ImportError, OSError) as error:
        raise ConfigError(f"--device {device} needs PyTorch, which cannot be loaded here ({error}).") from error
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"{device!r} is no device of PyTorch; use cpu, cuda or cuda:1.") from error
    if kind.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"--device {device}: PyTorch {torch.__version__} sees no GPU here; install a build for CUDA and its driver, "
            "or leave the option out."
        )
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device {device}: there are {torch.cuda.device_count()} GPUs, numbered from 0.")
    return torch


def _works_in_half(torch: Any, device: str) -> bool:
    return torch.device(device).type == "cuda"


class _Best:
    """The best columns of N rows so far, on the device: values float32 [N, C] and columns int64 [N, C]."""

    def __init__(self, torch: Any, n: int, k: int, capacity: int, slack: np.ndarray, relative: float, device: str):
        self.torch, self.k, self.slack, self.relative = torch, k, slack, relative
        self.values = torch.full((n, capacity), -np.inf, device=device)
        self.columns = torch.zeros((n, capacity), dtype=torch.int64, device=device)

    def offer(self, block: Any, start: int, stop: int, first: int) -> None:
        """Columns first... of rows start..stop: a block [stop - start, M]."""
        capacity = self.values.shape[1]
        values, at = block.topk(min(capacity, block.shape[1]), dim=1, sorted=False)
        values = self.torch.cat([self.values[start:stop], values.float()], dim=1)
        columns = self.torch.cat([self.columns[start:stop], at + first], dim=1)
        best, which = values.topk(capacity, dim=1)
        self.values[start:stop], self.columns[start:stop] = best, columns.gather(1, which)

    def candidates(self) -> Candidates:
        """The same on the processor; the places that nothing filled stay empty."""
        n, capacity = self.values.shape
        found = Candidates(n, self.k, capacity, Float32Code(), self.slack, self.relative)
        values, columns = self.values.cpu().numpy(), self.columns.cpu().numpy()
        found.keys[:, :capacity] = np.where(np.isneginf(values), EMPTY, pack(values, columns))
        found.held[:] = (found.keys != EMPTY).sum(axis=1)
        found.dropped[:] = values.min(axis=1)
        return found


class _DeviceSearch:
    """One search: as many columns as the device has room for, then all rows, block by block."""

    def __init__(
        self,
        torch: Any,
        device: str,
        one: UnitRows,
        two: UnitRows,
        k: int,
        workers: Workers,
        progress: Optional[Progress],
    ):
        self.torch, self.device, self.workers, self.progress = torch, device, workers, progress
        self.one, self.two = one, two
        half = _works_in_half(torch, device)
        self.dtype = torch.float16 if half else torch.float32
        lost_one, lost_two = self._rounding(one), self._rounding(two)
        # As in BFloat16Product.bounds; Tensor Cores cut where float32 would round, hence the factor on the additions.
        self.error = (8 if half else 1) * additions(one.dim)
        self.relative = 2.02 * _HALF_ROUNDING if half else 0.0
        forward = 2 * (lost_one + lost_two.max() * (1 + lost_one) + self.error)
        backward = 2 * (lost_two + lost_one.max() * (1 + lost_two) + self.error)
        self.rows = self._best(one.n, min(k, two.n), two.n, forward)
        self.columns = self._best(two.n, min(k, one.n), one.n, backward)

    def run(self) -> None:
        """All blocks."""
        one, two = self.one, self.two
        for left, right in spans(0, two.n, self._stripe()):
            wide = self._load(two, left, right)
            two.release()
            for top, bottom in spans(0, one.n, _HEIGHT):
                tall = self._load(one, top, bottom)
                for start, stop in spans(0, right - left, _WIDTH):
                    block = tall @ wide[start:stop].T
                    if top == left == start == 0:
                        self._check(tall, wide, block)
                    self.rows.offer(block, top, bottom, left + start)
                    self.columns.offer(block.T, left + start, left + stop, top)
                if self.progress is not None:
                    self.progress(left * one.n + bottom * (right - left), one.n * two.n)
                one.release_if_large()
            one.release()

    def _check(self, tall: Any, wide: Any, block: Any) -> None:
        """Whether a sample of a block keeps the bound on its additions and final rounding."""
        rows, columns = (np.linspace(0, size - 1, 32).astype(int) for size in block.shape)
        exact = tall[rows].cpu().double().numpy() @ wide[columns].cpu().double().numpy().T
        values = block[rows][:, columns].cpu().double().numpy()
        if (np.abs(values - exact) > self.error + 0.5 * self.relative * np.abs(exact)).any():
            raise ConfigError(
                f"Products on {self.device} err by up to {np.abs(values - exact).max():.2g}, more than the exact search can "
                "allow for; leave out --device."
            )

    def settle(self, best: _Best, own: UnitRows, other: UnitRows, max_memory: int) -> Neighbours:
        """Exact neighbours from what the device chose."""
        into = empty_neighbours(own.n, best.k)
        undecided = settle(best.candidates(), own, other, 0, into, self.workers)
        search_again(undecided, own, other, into, max_memory, self.workers)
        own.release()
        other.release()
        return into

    def _best(self, n: int, k: int, others: int, slack: np.ndarray) -> _Best:
        # One place more than there are columns stays empty, so that nothing counts as dropped.
        capacity = min(_PER_NEIGHBOUR * k + _SPARE, others + 1)
        return _Best(self.torch, n, k, capacity, slack, self.relative, self.device)

    def _stripe(self) -> int:
        """Columns that stay on the device at a time."""
        if self.torch.device(self.device).type != "cuda":
            return _WIDTH
        free = self.torch.cuda.mem_get_info(self.device)[0]
        return max(_WIDTH, int(_MEMORY_SHARE * free) // (2 * self.one.dim))

    def _load(self, rows: UnitRows, start: int, stop: int) -> Any:
        into = self.torch.empty(stop - start, rows.dim, dtype=self.dtype, device=self.device)
        for low, unit in self._units(rows, start, stop):
            into[low - start : low - start + len(unit)].copy_(unit)
        return into

    def _rounding(self, rows: UnitRows) -> np.ndarray:
        """float64 [N]: Euclidean length of what the device's type takes from each unit row."""
        lost = np.empty(rows.n)
        for low, unit in self._units(rows, 0, rows.n):
            lost[low : low + len(unit)] = (unit - unit.to(self.dtype).float()).norm(dim=1).numpy() * 1.001
            rows.release_if_large()
        rows.release()
        return lost

    def _units(self, rows: UnitRows, start: int, stop: int) -> Iterator[Tuple[int, Any]]:
        """(first row, float32 tensor of unit rows), some at a time."""
        for low, high in spans(start, stop, _LOADED):
            unit = np.empty((high - low, rows.dim), np.float32)
            self.workers.each(lambda s: rows.load(low + s[0], low + s[1], unit[s[0] :]), spans(0, high - low, 128))
            yield low, self.torch.from_numpy(unit)
