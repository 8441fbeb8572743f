"""Word alignment: equal to loops over dictionaries, finds an invented dictionary, stays within its bounds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fairseq_distill.data import alignment
from fairseq_distill.data.alignment import Sequences, align, number_words, sentences_within
from tests.reference.alignment import align as slow_align


def sequences(lists):
    return Sequences(np.array([x for row in lists for x in row], dtype=np.int64), np.array([len(row) for row in lists]))


def invented(n=40, seed=0, vocabulary=12, shortest=1):
    """Pairs in which piece p stands for word (5 p) % vocabulary, in another order."""
    rng = np.random.default_rng(seed)
    pieces = [rng.integers(0, vocabulary, rng.integers(shortest, 7)).tolist() for _ in range(n)]
    words = [rng.permutation([(5 * piece) % vocabulary for piece in row]).tolist() for row in pieces]
    return pieces, words


@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("diagonal", [0.0, 2.0])
def test_equals_the_slow_version(iterations, diagonal, monkeypatch):
    monkeypatch.setattr(alignment.defaults, "ALIGNMENT_LENGTH", 4)
    pieces, words = invented()
    words = [row[: max(1, len(row) - 1)] for row in words]  # sides of different length
    found = align(sequences(pieces), sequences(words), 12, 12, iterations, diagonal)
    expected = slow_align(list(zip(pieces, words)), iterations, diagonal, alignment.defaults.ALIGNMENT_NULL, 4)
    got = {(int(p), int(w)): float(c) for p, w, c in zip(found.pieces, found.words, found.counts)}
    assert got.keys() == expected.keys()
    assert_allclose([got[key] for key in expected], list(expected.values()), rtol=1e-4, atol=1e-6)
    assert_array_equal(found.occurrences, np.bincount([p for row in pieces for p in row[:4]], minlength=12))


def test_sentences_are_taken_in_lots_and_cells_in_portions(monkeypatch):
    random = np.random.default_rng(3)
    pieces, words = ([random.integers(0, 12, n).tolist() for n in random.integers(0, 9, 30)] for _ in range(2))
    whole = align(sequences(pieces), sequences(words), 12, 12)
    monkeypatch.setattr(alignment, "_SENTENCES", 4)
    monkeypatch.setattr(alignment, "_PORTION", 7)
    cut = align(sequences(pieces), sequences(words), 12, 12)
    for name in ("pieces", "words", "counts", "occurrences"):
        assert np.array_equal(getattr(cut, name), getattr(whole, name))


def test_finds_an_invented_dictionary():
    pieces, words = invented(400)
    found = align(sequences(pieces), sequences(words), 12, 12)
    table = np.zeros((12, 12))
    table[found.pieces, found.words] = found.counts
    assert_array_equal(table.argmax(1), [(5 * piece) % 12 for piece in range(12)])
    assert (table.max(1) > 0.8 * table.sum(1)).all()
    assert (table.sum(1) <= found.occurrences + 1e-3).all()


def test_a_sentence_without_words_counts_for_nothing():
    pieces, words = invented(30)
    alone = align(sequences(pieces), sequences(words), 12, 12)
    beside = align(sequences([*pieces, [0]]), sequences([*words, []]), 12, 12)
    assert_array_equal(alone.pieces, beside.pieces)
    assert_allclose(alone.counts, beside.counts, rtol=0.02, atol=0.02)  # the share of piece 0 has changed a little


def test_different_numbers_of_sentences_are_refused():
    with pytest.raises(ValueError, match="2 sentences on one side, 1 on the other"):
        align(sequences([[1], [2]]), sequences([[1]]), 3, 3)


def test_words_are_numbered_as_they_come():
    words, n = number_words(["The cat, the dog!", "", "a cat"])
    assert n == 6 and words.lengths.tolist() == [6, 0, 2]
    assert words.items.tolist() == [0, 1, 2, 0, 3, 4, 5, 1]


def test_the_bound_on_cells():
    pieces, words = sequences([[1, 2], [3], [4, 5, 6]]), sequences([[1], [2, 3], [4, 5]])
    assert [sentences_within(pieces, words, cells) for cells in (1, 2, 4, 9, 10)] == [0, 1, 2, 2, 3]
    assert pieces.head(2).items.tolist() == [1, 2, 3]
    assert pieces.take(np.array([2, 0])).items.tolist() == [4, 5, 6, 1, 2]
