"""Near copies differ in one place of their kind, repeat nothing, and come again with the seed."""

import re

import pytest

from fairseq_distill.errors import ConfigError
from fairseq_distill.evaluation.augment import augment, names_of

SENTENCES = [
    "In 2019 the price rose by 3.5 percent, said Amina Yusuf.",
    "Yesterday the two teams met in Nairobi before 10,000 people.",
    "Ministers from Kenya and Ghana will meet Maria Silva on Monday.",
    "This is not a good idea.",
    "nothing here",
    "",
]


def of_kind(found, kind):
    return [
        (line, text) for line, each, text in zip(found.originals.tolist(), found.kinds, found.texts) if each == kind
    ]


def test_each_kind_changes_what_it_says():
    found = augment(SENTENCES, 3)
    blank = re.compile(r"\d")
    for line, text in of_kind(found, "number"):
        assert blank.sub("0", text) == blank.sub("0", SENTENCES[line]) or (line == 1 and "two" not in text)
    assert {line for line, _ in of_kind(found, "number")} == {0, 1}
    names = {"Amina Yusuf", "Maria Silva", "Nairobi", "Kenya", "Ghana", "Monday"}
    entities = of_kind(found, "entity")
    assert {line for line, _ in entities} == {0, 1, 2}
    for line, text in entities:
        assert sum(name in text for name in names) == sum(name in SENTENCES[line] for name in names) or line == 2
        assert text.split()[0] == SENTENCES[line].split()[0]
    assert ("In 2019 the price rose by 3.5 percent, said Maria Silva.") in [text for _, text in entities]
    polarity = [text for _, text in of_kind(found, "causality")]
    assert "This is a good idea." in polarity and "This is not a bad idea." in polarity
    assert "In 2019 the price fell by 3.5 percent, said Amina Yusuf." in polarity
    assert "Ministers from Kenya and Ghana will not meet Maria Silva on Monday." in polarity


def test_nothing_twice_and_no_more_than_asked():
    found = augment(SENTENCES * 2, 2)
    assert len(set(found.texts)) == len(found) and not set(found.texts) & set(SENTENCES)
    counts = {}
    for line, kind in zip(found.originals.tolist(), found.kinds):
        counts[line, kind] = counts.get((line, kind), 0) + 1
    assert max(counts.values()) == 2
    assert all("\n" not in text and "\t" not in text for text in found.texts)


def test_the_seed_decides():
    assert augment(SENTENCES, 2, 1).texts == augment(SENTENCES, 2, 1).texts != augment(SENTENCES, 2, 2).texts


def test_names_and_texts_without_any():
    assert names_of(SENTENCES) == {1: ["Ghana", "Kenya", "Monday", "Nairobi"], 2: ["Amina Yusuf", "Maria Silva"]}
    assert len(augment(["nothing here", ""])) == 0
    with pytest.raises(ConfigError, match="0 near copies"):
        augment(SENTENCES, 0)
