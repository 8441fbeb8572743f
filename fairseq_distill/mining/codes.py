"""What the entries of a block stand for: cosines, as float32 or in 16 bits."""

from dataclasses import dataclass
from typing import Union

import numpy as np


class Float32Code:
    """Cosines themselves; padding is -inf."""

    dtype = np.dtype(np.float32)
    lowest: float = -np.inf  # entries that count are greater
    least = -np.inf  # the value of those that count is greater

    def values(self, entries: np.ndarray) -> np.ndarray:
        """float32 cosines of entries."""
        return entries

    def limit(self, floor: np.ndarray) -> np.ndarray:
        """Entries whose values are above ``floor`` float32 are all greater than this."""
        return floor


class BFloat16Code:
    """The bits of bfloat16 numbers, read as integers: these order only what is not negative, so the rest never counts."""

    dtype = np.dtype(np.int16)
    lowest: float = 0
    least = 0.0

    def values(self, entries: np.ndarray) -> np.ndarray:
        return (entries.astype(np.int32) << 16).view(np.float32)

    def limit(self, floor: np.ndarray) -> np.ndarray:
        # Cut, not rounded: at or below the floor.
        return (np.maximum(floor, np.float32(0)).view(np.int32) >> 16).astype(np.int16)


@dataclass(frozen=True)
class LinearCode:
    """Entry e stands for values from e * unit to (e + 1) * unit, and is given out as their middle."""

    unit: float
    dtype = np.dtype(np.int16)
    lowest: float = -(1 << 15)
    least = -np.inf

    def values(self, entries: np.ndarray) -> np.ndarray:
        return (entries.astype(np.float32) + np.float32(0.5)) * np.float32(self.unit)

    def limit(self, floor: np.ndarray) -> np.ndarray:
        # One lower than the entry of the floor: what the conversions round is far less than a unit.
        entries = np.floor(floor.astype(np.float64) / self.unit - 0.5) - 1
        return np.clip(entries, self.lowest, -1 - self.lowest).astype(np.int16)


Code = Union[Float32Code, BFloat16Code, LinearCode]
