"""The text of one language with hidden lines in it, put together line by line in lists."""

from typing import Callable, List, Sequence, Set, Tuple

import numpy as np


def hidden_text(
    own: Sequence[str],
    rows: Sequence[int],
    absent: Sequence[int],
    mono: Sequence[Tuple[str, Sequence[str]]],
    bitext: str,
    evaluation: Set[int],
    key: Callable[[str], int],
    seed: int,
) -> Tuple[List[str], List[str]]:
    """Lines and their origins; arguments as in data_prep/hide_pairs.py, with ``key`` of a line."""
    found = [(own[row], f"{bitext}\t{row + 1}") for row in rows]
    taken = {key(own[row]) for row in (*rows, *absent)} | evaluation
    for path, side in mono:
        for number, line in enumerate(side, start=1):
            if line and key(line) not in taken:
                found.append((line, f"{path}\t{number}"))
            taken.add(key(line))
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[place][0] for place in order], [found[place][1] for place in order]
