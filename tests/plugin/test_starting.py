"""The teacher's rows that a start is fitted to: read when they are asked for, but of an online teacher each once."""

import numpy as np
import torch

from fairseq_distill.tasks.starting import TeacherRows


class Pairs:
    """Ten sentences, whose row is their number; notes what was read."""

    def __init__(self, online):
        self.online, self.read = online, []

    def teacher(self, indices, part, dim):
        self.read.append(indices.tolist())
        return np.repeat(indices[:, None].astype(np.float32), dim, axis=1)


def test_rows_are_read_in_slices():
    pairs = Pairs(None)
    rows = TeacherRows(pairs, np.array([1, 3, 5, 7]), 1, 2)
    assert pairs.read == []
    some = rows.take(np.array([3, 0]))
    assert torch.equal(rows[1:3], torch.tensor([[3.0, 3], [5, 5]])) and torch.equal(some[:1], torch.tensor([[7.0, 7]]))
    assert pairs.read == [[3, 5], [7]]


def test_an_online_teacher_embeds_a_sentence_once():
    pairs = Pairs(object())
    rows = TeacherRows(pairs, np.array([1, 3, 5, 7]), 1, 2)
    some = rows.take(np.array([3, 0]))
    assert torch.equal(rows[1:3], torch.tensor([[3.0, 3], [5, 5]])) and torch.equal(some[:1], torch.tensor([[7.0, 7]]))
    assert pairs.read == [[1, 3, 5, 7]]
