"""Networks one sentence at a time, written out in NumPy."""

from typing import Dict, List

import numpy as np


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm_direction(steps: np.ndarray, tensors: Dict[str, np.ndarray], suffix: str) -> np.ndarray:
    """[T, H] outputs of one layer in one direction for [T, D]; gates in PyTorch's order: input, forget, cell, output."""
    hidden_width = tensors[f"lstm.weight_hh_{suffix}"].shape[1]
    hidden, cell = np.zeros(hidden_width), np.zeros(hidden_width)
    outputs: List[np.ndarray] = []
    for step in steps:
        gates = tensors[f"lstm.weight_ih_{suffix}"] @ step + tensors[f"lstm.bias_ih_{suffix}"]
        gates = gates + tensors[f"lstm.weight_hh_{suffix}"] @ hidden + tensors[f"lstm.bias_hh_{suffix}"]
        entered, forgotten, new, shown = np.split(gates, 4)
        cell = _sigmoid(forgotten) * cell + _sigmoid(entered) * np.tanh(new)
        hidden = _sigmoid(shown) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)


def lstm_embedding(ids: np.ndarray, tensors: Dict[str, np.ndarray], layers: int) -> np.ndarray:
    """[2 H], the maximum over time of a bidirectional LSTM for one sentence's ids."""
    steps = tensors["embed_tokens.weight"][ids]
    for layer in range(layers):
        forward = lstm_direction(steps, tensors, f"l{layer}")
        backward = lstm_direction(steps[::-1], tensors, f"l{layer}_reverse")[::-1]
        steps = np.concatenate([forward, backward], axis=1)
    return steps.max(axis=0)


def attention_one_sentence(qkv: np.ndarray, heads: int) -> np.ndarray:
    """[L, D] self-attention of one sentence from queries, keys and values side by side, [L, 3 D]."""
    query, key, value = np.split(qkv, 3, axis=1)
    width = query.shape[1] // heads
    mixed = np.zeros_like(query)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part] @ key[:, part].T / np.sqrt(width)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        mixed[:, part] = weights / weights.sum(axis=1, keepdims=True) @ value[:, part]
    return mixed
