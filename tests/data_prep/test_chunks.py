import os
import signal

import pytest
from chunks import in_chunks, ordered_map

from fairseq_distill.errors import DataError


def square(x):
    return x * x


def killed(x):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers):
    assert list(ordered_map(square, range(40), workers)) == [x * x for x in range(40)]


def test_items_are_not_read_ahead_of_the_results():
    read = []

    def items():
        for x in range(100):
            read.append(x)
            yield x

    results = ordered_map(square, items(), 2)
    next(results)
    assert len(read) < 10
    results.close()


def test_a_killed_worker_is_one_sentence():
    with pytest.raises(DataError, match="fewer --workers"):
        list(ordered_map(killed, range(4), 2))


def test_chunks():
    assert list(in_chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(in_chunks([], 2)) == []
