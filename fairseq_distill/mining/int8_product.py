"""Blocks of cosines by products of int8, several times as fast as float32 where the processor has VNNI instructions.

A unit row x is turned by a random rotation, which is the same for all, so that no element stands out; with one scale s for
all rows and a random number w in [-1/2, 1/2) for each element, also the same for all rows, it becomes
q = round(x / s + w), and x' = s (q - w) stands for it (subtractive dither). Whatever the rows are, the elements of
x' - x are then independent over the choice of w, of mean 0 and uniform in [-s/2, s/2], and those of rows and of columns are
independent of each other. So x'y' - xy = (x' - x)y' + x(y' - y) is sub-Gaussian with the variance s^2 (|y'|^2 + 1) / 12,
and no cosine of a search is off by more than :meth:`Int8Product.bounds` says but with the probability FAILURE. Cauchy and
Schwarz, which need no chance, would allow for five times as much, and many times the candidates.

x'y' / s^2 = q r - q v - r w + w v for a column r with its own v. The last three, rounded to integers, are part of the
product: some elements more on both sides, digits on the one and what they count on the other.

Source of the dither: Schuchman (1964), Dither Signals and Their Effect on Quantization Noise.
"""

from typing import Any, List

import numpy as np

from fairseq_distill.mining.codes import LinearCode
from fairseq_distill.mining.products import RELEASED, TorchProduct, additions, padded
from fairseq_distill.mining.rows import UnitRows, Workers, spans
from fairseq_distill.mining.topk import Bounds

FAILURE = 1e-6  # probability that a search holds any value outside its bound
_SEED = 20_220_525
_MOST = 126.0  # of |x / s|: with the dither it stays within 127
_FACTOR = 32  # width of the Hadamard matrix that is one part of the rotation
_DIGITS, _BASE = 4, 127  # a correction is as many numbers of up to 127, counted 127 times each, and one counted once
_EXTRA = 16  # elements more in a row: both sides' digits and counts, and zeros
_ROWS = 256  # multiplied at a time: their int32 sums stay in the cache


class Int8Product(TorchProduct):
    """Blocks of cosines by products of int8, given out in 16 bits; padding is the lowest of them."""

    name = "int8"

    def __init__(self, height: int, width: int, dim: int, workers: Workers):
        super().__init__(height, width, dim, workers)
        turned = self.unit_width(dim)
        random = np.random.default_rng([_SEED, turned])
        inner, outer = (self.torch.from_numpy(part) for part in _rotation(turned, random))
        self._parts = inner, outer.t().contiguous()
        dither = random.uniform(-0.5, 0.5, (2, turned)).astype(np.float32)
        self._dither = self.torch.from_numpy(dither)
        self._constant = float(dither[0].astype(np.float64) @ dither[1])
        self.scale = 0.0

    @staticmethod
    def row_bytes(dim: int) -> int:
        return Int8Product.unit_width(dim) + _EXTRA

    @staticmethod
    def unit_width(dim: int) -> int:
        return -(-dim // _FACTOR) * _FACTOR

    @staticmethod
    def room_bytes(height: int, width: int) -> int:
        return 2 * height * width + 4 * min(height, _ROWS) * width

    def _make_room(self, height: int, width: int, at_once: int) -> None:
        super()._make_room(height, width, at_once)
        self.sums = self.torch.empty(min(height, _ROWS) * width, dtype=self.torch.int32)

    def empty(self, n: int) -> Any:
        return self.torch.empty(n, self.row_bytes(self.dim), dtype=self.torch.int8)

    def bounds(self, one: UnitRows, two: UnitRows) -> Bounds:
        """The same for all rows, from the largest element after the rotation; sets the scale."""
        width = self.unit_width(self.dim)
        length = float(self._dither.double().norm(dim=1).max())
        least = length / (_BASE * _BASE * _DIGITS - length * width**0.5)  # corrections have room for (|q| + |w|)|v|
        scale = self.scale = max(max(self._largest(one), self._largest(two)) * 1.0001 / _MOST, least)
        most = 1.0 + scale * width**0.5 / 2  # |y'|
        variance = scale**2 * (most**2 + 1.0) / 12
        # Too high or too low; an approximate search compares a pair from both sides.
        error = (2 * variance * np.log(4.0 * one.n * two.n / FAILURE)) ** 0.5
        self._shift = max(0, int(np.ceil(np.log2((most / scale) ** 2 / ((1 << 15) - 1)))))
        unit = scale**2 * 2.0**self._shift
        self.code = LinearCode(unit)
        # Rotation and cosine are rounded as float32 sums are; a correction by half of 1, and half a unit is cut off.
        slack = np.asarray(2 * (error + 2 * additions(width) + scale**2 + unit / 2))
        return Bounds(slack, slack, 0.0, 4, 24)

    def _largest(self, rows: UnitRows) -> float:
        found: List[float] = [0.0]

        def measure(unit: Any, low: int, high: int) -> None:
            least, most = self._turn(unit).aminmax()
            found.append(max(float(most), -float(least)))

        for low, high in spans(0, rows.n, RELEASED):
            self._each(measure, rows, low, high)
            rows.release_if_large()
        rows.release()
        return max(found)

    def _turn(self, unit: Any) -> Any:
        """Rotated rows [n, E]; ``unit`` float32 [n, E] stays."""
        inner, outer = self._parts
        n, count = len(unit), len(outer)
        turned = (unit.reshape(n * count, _FACTOR) @ inner).view(n, count, _FACTOR)
        return self.torch.matmul(outer, turned).view(n, count * _FACTOR)

    def _convert(self, unit: Any, into: Any, first: bool) -> None:
        assert self.scale > 0, "bounds come before rows"
        own, other = self._dither if first else self._dither.flip(0)
        levels = self._turn(unit).mul_(1.0 / self.scale).add_(own).round_()
        levels.clamp_(-_BASE, _BASE)  # of centroids, which the scale was not made for
        width = levels.shape[1]
        correction = (0.5 * self._constant - levels @ other).round_()
        tens = (correction / _BASE).trunc_()
        steps = self.torch.arange(_DIGITS, dtype=self.torch.float32) * _BASE
        digits = (tens.abs()[:, None] - steps).clamp_(0, _BASE) * tens.sign()[:, None]
        start = width + (0 if first else _DIGITS + 1)
        counts = width + (_DIGITS + 1 if first else 0)
        into[:, :width] = levels
        into[:, width:] = 0
        into[:, start : start + _DIGITS] = digits
        into[:, start + _DIGITS] = correction - _BASE * tens
        into[:, counts : counts + _DIGITS] = _BASE
        into[:, counts + _DIGITS] = 1

    def hold(self, unit: np.ndarray, first: bool) -> Any:
        held, width = self.empty(len(unit)), self.unit_width(self.dim)
        for low, high in spans(0, len(unit), 1024):
            wide = self.torch.zeros(high - low, width)
            wide[:, : self.dim] = self.torch.from_numpy(unit[low:high])
            self._convert(wide, held[low:high], first)
        return held

    def scores(self, held: Any, centres: Any) -> np.ndarray:
        return self.torch._int_mm(held, centres.t()).float().mul_(self.scale**2).numpy()

    def multiply(self, height: int, width: int, first: int = 0) -> np.ndarray:
        tall, wide = padded(height), padded(width)
        block = self.cosines[: tall * wide].view(tall, wide)
        columns = self.two[first : first + wide].t()
        for low, high in spans(0, tall, _ROWS):
            sums = self.sums[: (high - low) * wide].view(high - low, wide)
            self.torch._int_mm(self.one[low:high], columns, out=sums)
            block[low:high] = sums.bitwise_right_shift_(self._shift)
        entries: np.ndarray = block.numpy()
        entries[height:] = entries[:, width:] = self.code.lowest
        return entries

    def within_bound(self, block: np.ndarray) -> bool:
        """Whether a sample of the block just made is what integers give."""
        rows, columns = (np.linspace(0, size - 1, 32).astype(int) for size in block.shape)
        exact = self.one[rows].numpy().astype(np.int64) @ self.two[columns].numpy().astype(np.int64).T
        found = block[np.ix_(rows, columns)]
        return bool(((found == exact >> self._shift) | (found == self.code.lowest)).all())


def _rotation(width: int, random: np.random.Generator) -> "tuple[np.ndarray, np.ndarray]":
    """Two orthogonal float32 matrices [32, 32] and [width / 32, width / 32] without large elements, with random signs."""
    inner = np.ones((1, 1))
    while len(inner) < _FACTOR:
        inner = np.block([[inner, inner], [inner, -inner]])
    count = width // _FACTOR
    place = np.arange(count)
    outer = (
        np.cos(np.pi / count * (place[:, None] + 0.5) * place) * (2.0 / count) ** 0.5
    )  # the discrete cosine transform
    outer[:, 0] *= 0.5**0.5
    parts = []
    for part in (inner / _FACTOR**0.5, outer):
        signs = random.choice([-1.0, 1.0], len(part))
        parts.append((signs[:, None] * part).astype(np.float32))
    return parts[0], parts[1]
