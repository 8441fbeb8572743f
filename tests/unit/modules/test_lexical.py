"""The closed-form bag of pieces equals a dense ridge regression."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fairseq_distill.modules import lexical
from fairseq_distill.modules.lexical import LexicalPath, fit_lexical_table


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
