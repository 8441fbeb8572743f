"""data_prep's scripts find each other in their own folder; so do its tests."""

import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "data_prep"), str(Path(__file__).parent)]

WORDS = "lala kufi moso tene wiru basha dogo nyumba kitu samaki jua mvua shamba".split()
ENGLISH = "sleep door many four fish big small house thing river sun rain field".split()


def sentence_pairs(n, seed=1, language=WORDS):
    """``n`` distinct made-up sentence pairs: (English, other), word for word."""
    rng = random.Random(seed)
    pairs = {}
    while len(pairs) < n:
        words = [rng.randrange(len(language)) for _ in range(rng.randint(4, 9))]
        english = " ".join(ENGLISH[w] for w in words).capitalize() + "."
        pairs[english] = " ".join(language[w] for w in words).capitalize() + "."
    return list(pairs.items())


def write_pairs(prefix, pairs, langs=("eng", "swa")):
    """Write ``PREFIX.eng`` and ``PREFIX.swa``."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for lang, side in zip(langs, zip(*pairs)):
        Path(f"{prefix}.{lang}").write_text("".join(line + "\n" for line in side), encoding="utf-8")
    return prefix


@pytest.fixture(scope="session")
def made_up():
    return sentence_pairs


@pytest.fixture(scope="session")
def write():
    return write_pairs
