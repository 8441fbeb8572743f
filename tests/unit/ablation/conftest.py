"""The programs of recipes/ablation find each other in their own folder; so do the tests."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPO / "recipes" / "ablation"))

NOUNS = "child dog river house teacher market mountain doctor farmer song road school king garden letter boat".split()
VERBS = "sees loves finds builds follows remembers sells paints hears visits".split()
ADJECTIVES = "old small green quiet happy broken famous cold rich strange".split()


def invented(word, shift):
    """A word of an invented language: the English one turned round, its letters moved on."""
    return "".join(chr((ord(letter) - 97 + shift) % 26 + 97) for letter in reversed(word))


def sentence_pairs(n, seed, shift):
    rng, found = random.Random(seed), {}
    while len(found) < n:
        words = [rng.choice(kind) for kind in (ADJECTIVES, NOUNS, VERBS, ADJECTIVES, NOUNS)]
        found["The {} {} {} the {} {}.".format(*words)] = (
            " ".join(invented(words[i], shift) for i in (2, 1, 0, 4, 3)) + "."
        )
    return list(found.items())


@pytest.fixture(scope="session")
def write_corpus():
    """Write ``ROOT/bitext/CORPUS/eng-LANG/{train,dev}`` with invented text."""

    def write(root, corpus, lang, n_train, n_dev, seed=1, shift=7):
        folder = root / "bitext" / corpus / f"eng-{lang}"
        folder.mkdir(parents=True)
        pairs = sentence_pairs(n_train + n_dev, seed, shift)
        for part, some in (("train", pairs[:n_train]), ("dev", pairs[n_train:])):
            for side, lines in zip(("eng", lang), zip(*some)):
                (folder / f"{part}.{side}").write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def random_wrong():
    """Which sentences of some development sets were wrong, at random: the margins differ in a few."""

    def draw(seed, sizes, share=0.4):
        rng = np.random.default_rng(seed)
        wrong = {}
        for name, n in sizes.items():
            distance = rng.random(n) < share
            wrong[name] = {
                "absolute": distance ^ (rng.random(n) < 0.1),
                "distance": distance,
                "ratio": distance ^ (rng.random(n) < 0.02),
            }
        return wrong

    return draw
