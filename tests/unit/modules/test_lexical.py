"""The closed-form bag of pieces equals a dense ridge regression."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fairseq_distill.data.alignment import Counts
from fairseq_distill.modules import lexical
from fairseq_distill.modules.lexical import LexicalPath, fit_lexical_table, table_of_words


def problem(n=60, vocabulary=25, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, n)
    tokens = rng.integers(3, vocabulary, lengths.sum())
    return torch.from_numpy(tokens), torch.from_numpy(lengths), torch.from_numpy(rng.normal(size=(n, dim))).float()


def dense_table(tokens, lengths, teacher, vocabulary, ridge):
    bags, start = np.zeros((len(lengths), vocabulary)), 0
    for row, length in enumerate(lengths.tolist()):
        for token in tokens[start : start + length].tolist():
            bags[row, token] += 1 / np.sqrt(length)
        start += length
    targets = teacher.numpy() / np.linalg.norm(teacher.numpy(), axis=1, keepdims=True)
    return np.linalg.solve(bags.T @ bags + ridge * np.eye(vocabulary), bags.T @ targets), bags


@pytest.mark.parametrize("chunk", [1 << 16, 7])
def test_fit_equals_dense_ridge_regression(chunk, monkeypatch):
    monkeypatch.setattr(lexical, "_CHUNK", chunk)
    tokens, lengths, teacher = problem()
    expected, _ = dense_table(tokens, lengths, teacher, 25, 0.3)
    found = fit_lexical_table(tokens, lengths, teacher, 25, 0.3, iterations=200, tolerance=1e-6)
    assert_allclose(found.numpy(), expected, atol=2e-5)
    assert (found[:3] == 0).all()  # pieces that do not occur


def test_a_prior_is_what_the_penalty_draws_towards():
    tokens, lengths, teacher = problem()
    prior = np.random.default_rng(1).normal(size=(25, 5))
    _, bags = dense_table(tokens, lengths, teacher, 25, 0.7)
    targets = teacher.numpy() / np.linalg.norm(teacher.numpy(), axis=1, keepdims=True)
    scale = ((bags @ prior) * targets).sum() / ((bags @ prior) ** 2).sum()
    left = np.linalg.solve(bags.T @ bags + 0.7 * np.eye(25), bags.T @ (targets - scale * bags @ prior))
    found = fit_lexical_table(
        tokens, lengths, teacher, 25, 0.7, torch.from_numpy(prior).float(), iterations=300, tolerance=1e-6
    )
    assert_allclose(found.numpy(), scale * prior + left, atol=5e-5)
    assert_allclose(found[:3].numpy(), scale * prior[:3], atol=1e-6)  # pieces that do not occur


def test_a_piece_is_the_expected_sum_of_its_words():
    counts = Counts(
        np.array([1, 1, 3]), np.array([0, 2, 1]), np.array([1.5, 0.5, 3.0], dtype=np.float32), np.array([4, 2, 0, 6])
    )
    words = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]])
    assert_allclose(table_of_words(counts, words).numpy(), [[0, 0], [1.75, 1.0], [0, 0], [0, 1.0]])


def test_the_path_multiplies_as_the_fit_assumes():
    tokens, lengths, teacher = problem()
    table, bags = dense_table(tokens, lengths, teacher, 25, 0.3)
    path = LexicalPath(25, 5, padding=1)
    path.set_table(torch.from_numpy(table).float())
    padded, start = torch.full((len(lengths), int(lengths.max())), 1), 0
    for row, length in enumerate(lengths.tolist()):
        padded[row, :length] = tokens[start : start + length]
        start += length
    assert_allclose(path(padded, padded.ne(1).float()).detach().numpy(), bags @ table, atol=1e-5)
