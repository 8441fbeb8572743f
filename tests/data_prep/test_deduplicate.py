import random

import clean
import deduplicate
import numpy as np


def rows(pairs, first=1):
    keys = [clean.line_keys([clean.tidy(line) for line in side]) for side in zip(*pairs)]
    if len(keys) == 1:
        keys.append(np.zeros(len(pairs), np.uint64))
    return np.stack([*keys, np.arange(first, first + len(pairs), dtype=np.uint64)], axis=1)


def slow_reasons(corpora, evaluation):
    """With sets of strings: what judge_language must say."""
    form = lambda line: "".join(c for c in line.lower() if c.isalnum())  # noqa: E731
    held, seen, result = {form(line) for line in evaluation}, set(), []
    for corpus in corpora:
        result.append([])
        for pair in corpus:
            key = tuple(map(form, pair))
            if any(side in held for side in key):
                result[-1].append("in_evaluation_set")
            else:
                result[-1].append("duplicate" if key in seen else "kept")
            seen.add(key)
    return result


def test_equal_to_sets_of_strings():
    rng = random.Random(0)
    words = ["moja", "mbili", "tatu", "Moja!", "mbili."]
    line = lambda: " ".join(rng.choice(words) for _ in range(rng.randint(1, 3)))  # noqa: E731
    corpora = [[(line(), line()) for _ in range(n)] for n in (120, 80)]
    evaluation = ["moja tatu", "Mbili mbili"]
    keys = np.unique(clean.line_keys([clean.tidy(text) for text in evaluation]))
    got = deduplicate.judge_language([rows(corpus) for corpus in corpora], keys, 2)
    assert [[deduplicate.REASONS[r] for r in part] for part in got] == slow_reasons(corpora, evaluation)
    assert {r for part in got for r in part} == {0, 1, 2}


def test_a_line_is_dropped_whichever_side_of_the_evaluation_set_has_it():
    keys = np.unique(clean.line_keys(["she wrote", "alisoma"]))
    pairs = [("aliandika", "She wrote:"), ("ALISOMA", "he read"), ("she wrote", "he"), ("alienda", "she went")]
    got = deduplicate.judge_language([rows(pairs)], keys, 2)[0]
    assert [deduplicate.REASONS[r] for r in got] == ["in_evaluation_set"] * 3 + ["kept"]


def test_equal_sources_with_different_translations_stay():
    pairs = [("ndiyo", "yes"), ("ndiyo", "it is so"), ("hapana", "yes"), ("ndiyo", "Yes!")]
    got = deduplicate.judge_language([rows(pairs)], np.empty(0, np.uint64), 2)[0]
    assert got.tolist() == [0, 0, 0, deduplicate.REASONS.index("duplicate")]


def test_swapped_sides_are_not_the_same_pair():
    pairs = [("moja", "one"), ("one", "moja"), ("one", "one"), ("moja", "moja")]
    assert len(set(deduplicate.pair_keys(rows(pairs)).tolist())) == 4


def test_monolingual_lines():
    got = deduplicate.judge_language([rows([("moja",), ("Moja.",), ("mbili",)])], np.empty(0, np.uint64), 1)[0]
    assert got.tolist() == [0, 2, 0]


def test_empty_corpus_among_others():
    empty = np.empty((0, clean.KEY_COLUMNS), np.uint64)
    got = deduplicate.judge_language([empty, rows([("a b", "c")])], np.empty(0, np.uint64), 2)
    assert [len(part) for part in got] == [0, 1]
