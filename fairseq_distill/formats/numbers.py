"""Numbers in files that others may have written or damaged: of a size that can be computed with, drawn and stored."""

from typing import Any

LARGEST = 1e100  # in size; products of two are still finite
LARGEST_WHOLE = 2**63 - 1  # what an int64 holds


def finite(value: Any) -> float:
    """``value``, a number or its text, as a float.

    Raises:
        ValueError: it is no number, not finite, or larger than 1e100.
    """
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not abs(number) <= LARGEST:
        raise ValueError(f"{str(value)[:40]!r} is not a finite number of at most {LARGEST:g}")
    return number


def whole(value: Any, least: int = -LARGEST_WHOLE) -> int:
    """``value``, a whole number or its text, as an int.

    Raises:
        ValueError: it is no whole number, below ``least``, or larger than an int64 holds.
    """
    if isinstance(value, str) and len(value) > 40:  # Python itself refuses thousands of digits, in other words
        raise ValueError(f"{value[:40]!r}… is no whole number from {least:,} to {LARGEST_WHOLE:,}")
    number = int(value)
    if not least <= number <= LARGEST_WHOLE:
        raise ValueError(f"{value} is no whole number from {least:,} to {LARGEST_WHOLE:,}")
    return number
