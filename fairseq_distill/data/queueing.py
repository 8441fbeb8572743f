"""The teacher queue of the contrastive loss: the teacher's embeddings of the sentences that earlier updates distilled.

LASER3-CO (Tan et al. 2023) keeps the last 4,096 teacher embeddings and takes them as negatives. Teacher embeddings are
stored by sentence, and a plan says which sentence every update distils, so nothing has to be kept, sent between
processes or saved: what stands before an update in the plan, and before its epoch in the plans before it, is its queue.
It is the same for any number of processes and micro-batches, and a resumed run finds it again.
"""

from typing import Callable, Tuple

import numpy as np

from fairseq_distill.data.batching import EpochPlan, Visits


def visits_of(plan: EpochPlan) -> Visits:
    """Every sentence that an epoch distils with the part that it shows, in the order of its updates."""
    return Visits(plan.distil.indices, plan.distil_part)


class TeacherQueue:
    """The queue of each update of an epoch.

    Args:
        size: longest queue, > 0; the updates at the very beginning have a shorter one, the first an empty one.
        plan: the epoch.
        before: what was distilled before it, at least the last ``size`` sentences of it, if there are so many.
        embed: the teacher's embeddings of some sentences, float32 [N, E].
    """

    def __init__(self, size: int, plan: EpochPlan, before: Visits, embed: Callable[[Visits], np.ndarray]):
        self.size, self.before, self.embed = size, before, embed
        self.visits, self.group, self.starts = visits_of(plan), plan.group, plan.distil.starts
        # The rows read last, which are most of the next queue, with the first and last position. One tuple: fairseq's
        # reading ahead is a thread.
        self._last: Tuple[int, int, np.ndarray] = (0, 0, np.empty(0))

    def rows(self, batch: int) -> np.ndarray:
        """float32 [at most ``size``, E], oldest first: what the updates before that of ``batch`` distilled."""
        end = len(self.before) + int(self.starts[batch // self.group * self.group])
        begin = max(0, end - self.size)
        last_begin, last_end, rows = self._last
        if last_begin <= begin < last_end <= end:
            rows = rows[begin - last_begin :]
            if end > last_end:
                rows = np.concatenate([rows, self.embed(self._span(last_end, end))])
        else:
            rows = self.embed(self._span(begin, end))
        self._last = (begin, end, rows)
        return rows

    def _span(self, begin: int, end: int) -> Visits:
        """The sentences from position ``begin`` to ``end``, counted from the first in ``before``."""
        first = len(self.before)
        return self.before[begin : min(end, first)] + self.visits[max(begin - first, 0) : max(end - first, 0)]
