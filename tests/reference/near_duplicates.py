"""Near-duplicates by comparing every line with every other, as sets of strings."""

import functools

from fairseq_distill.data.near_duplicates import comparable

comparable = functools.lru_cache(maxsize=None)(comparable)


@functools.lru_cache(maxsize=None)
def grams(line, n=5):
    """The n-grams of a line with a space on either side; a shorter line is one."""
    padded = f" {comparable(line)} "
    return {padded[i : i + n] for i in range(max(1, len(padded) - n + 1))}


def jaccard(one, two, n=5):
    shared = len(grams(one, n) & grams(two, n))
    return shared / (len(grams(one, n)) + len(grams(two, n)) - shared)


def closest(lines, indexed, threshold, n=5):
    """(similarity, number of the indexed line) of each line, the first of equals; 0 and -1 where none is near. Equal lines come before all
    others, empty ones are near to none."""
    found = []
    for line in lines:
        scores = [
            (comparable(line) == comparable(other), jaccard(line, other, n)) if comparable(other) else (False, -1.0)
            for other in indexed
        ]
        best = max(range(len(scores)), key=lambda i: (*scores[i], -i), default=None)
        near = comparable(line) and best is not None and scores[best][1] >= threshold
        found.append((scores[best][1], best) if near else (0.0, -1))
    return found


def hit(lines, indexed, threshold, n=5):
    """Whether any line is near to it, for each indexed line."""
    lines = [line for line in lines if comparable(line)]
    return [
        bool(comparable(other)) and any(jaccard(line, other, n) >= threshold for line in lines) for other in indexed
    ]
