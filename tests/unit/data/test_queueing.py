"""The teacher queue against a list that grows update by update."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.curriculum import Curriculum
from fairseq_distill.data.mask_units import MaskText, MonolingualText
from fairseq_distill.data.planning import EpochPlanner
from fairseq_distill.data.queueing import TeacherQueue
from tests.unit.data.test_corpora import STARTS, part


@pytest.fixture
def collection():
    return Collection([part("aaa", 20, 1, increments=3), part("bbb", 11, 2, increments=3)], 10, STARTS)


def planner(collection, processes, update_freq, queue, curriculum=Curriculum(3, 8)):
    empty = MaskText(MonolingualText([], 10, STARTS))
    return EpochPlanner(collection, empty, curriculum, 1.0, 0.0, 3, processes, [update_freq], 30, 100, queue=queue)


def queue_of(collection, epochs, epoch, size, log=None):
    def embed(visits):
        if log is not None:
            log.append(len(visits))
        return collection.teacher(visits.indices, visits.least, 3)

    return TeacherQueue(size, epochs.plan(epoch), epochs.distilled_before(epoch), embed)


@pytest.mark.parametrize("processes, update_freq", [(4, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("size", [5, 70])
def test_the_queue_of_each_update_is_what_the_updates_before_it_showed(collection, processes, update_freq, size):
    """Over three epochs, with parts that grow and last updates that are not full; the same for any division of an update."""
    epochs = planner(collection, processes, update_freq, size)
    history, uneven = [], 0
    for epoch in (1, 2, 3):
        plan = epochs.plan(epoch)
        uneven += len(plan) % 4
        found = queue_of(collection, epochs, epoch, size)
        for first in range(0, len(plan), 4):
            expected = np.array(history[-size:], dtype=np.float32).reshape(-1, 3)
            for batch in range(first, min(first + 4, len(plan))):
                assert_array_equal(found.rows(batch), expected)
            for batch in range(first, min(first + 4, len(plan))):
                rows = collection.teacher(
                    plan.distil[batch], plan.distil_part[plan.distil.starts[batch] : plan.distil.starts[batch + 1]], 3
                )
                history.extend(rows.tolist())
    assert uneven, "every update is full: the test must have an uneven one"


def test_a_run_that_starts_in_the_middle_finds_the_same_queue(collection):
    early, late = planner(collection, 1, 2, 50), planner(collection, 1, 2, 50)
    for epoch in (1, 2):
        early.plan(epoch)
    unbroken = queue_of(collection, early, 3, 50)
    rows = [unbroken.rows(batch) for batch in range(5)]
    resumed = queue_of(collection, late, 3, 50)
    assert_array_equal(resumed.rows(4), rows[4])
    assert_array_equal(resumed.rows(1), rows[1])  # and back


def test_each_teacher_row_is_read_once(collection):
    log = []
    epochs = planner(collection, 1, 1, 12, Curriculum())
    found = queue_of(collection, epochs, 2, 12, log)
    n = len(epochs.plan(2))
    for batch in range(n):
        found.rows(batch)
        found.rows(batch)
    assert sum(log) == 12 + int(epochs.plan(2).distil.starts[n - 1])
