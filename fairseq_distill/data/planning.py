"""The plan of each epoch of a training run: what is drawn, and how it is batched."""

from dataclasses import dataclass, field
from typing import Dict, Sequence

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.data.batching import EpochPlan, plan_epoch
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.curriculum import Curriculum
from fairseq_distill.data.sampling import corpus_weights, draw_epoch


@dataclass
class EpochPlanner:
    """Plans that are functions of the seed, the epoch and the options alone, so that a resumed run finds the same.

    Attributes:
        distil, mask: the corpora to distil and to mask; ``mask`` may hold none.
        curriculum: which part of a sentence an update shows.
        temperature: of the sampling over languages, >= 1.
        mask_share: wanted share of an update's pieces that is monolingual text, in [0, 1).
        seed: of every draw.
        processes: how many share an update.
        update_freq: batches of an update on one process, for each epoch; the last holds for all later ones.
        max_tokens: bound on the padded pieces of a batch.
        max_sentences: bound on the sentences to distil in a batch.
    """

    distil: Collection
    mask: Collection
    curriculum: Curriculum
    temperature: float
    mask_share: float
    seed: int
    processes: int
    update_freq: Sequence[int]
    max_tokens: int
    max_sentences: int
    _updates: Dict[int, int] = field(default_factory=dict)  # of the epochs planned so far

    def plan(self, epoch: int) -> EpochPlan:
        """The batches of an epoch, counted from 1."""
        rng = np.random.default_rng([self.seed, epoch])
        weights = corpus_weights(self.distil.sizes, self.distil.languages(), self.temperature)
        draws = draw_epoch(self.distil.sizes, weights, int(sum(self.distil.sizes)), rng)
        plan = plan_epoch(
            draws,
            lambda part: self.distil.lengths(part, self.curriculum.increments),
            lambda update: (self.curriculum.increment(update), self.curriculum.next_change(update)),
            self._first_update(epoch),
            self.processes * self.update_freq[min(epoch, len(self.update_freq)) - 1],
            self.max_tokens,
            self.max_sentences,
            rng,
            lambda pieces: self._draw_masked(pieces, rng),
            self.mask.lengths(),
            self._mask_share(int(self.distil.lengths()[draws].sum())),
        )
        self._updates[epoch] = -(-len(plan) // plan.group)
        return plan

    def _first_update(self, epoch: int) -> int:
        """The updates before an epoch, which only a curriculum needs to know, and only while it still cuts sentences."""
        first = 0
        if self.curriculum.increments > 1:
            for before in range(1, epoch):
                if before not in self._updates:
                    self.plan(before)
                first += self._updates[before]
                if first >= self.curriculum.updates:
                    break
        return first

    def _mask_share(self, distil_pieces: int) -> float:
        """The wanted share, or less where there is so little monolingual text that it would be repeated too often."""
        available = defaults.MASK_REPEAT * float(self.mask.lengths().sum())
        return min(self.mask_share, available / max(available + distil_pieces, 1.0))

    def _draw_masked(self, pieces: int, rng: np.random.Generator) -> np.ndarray:
        weights = corpus_weights(self.mask.sizes, self.mask.languages(), self.temperature)
        means = [part.sequences.lengths.mean() for part in self.mask.parts]
        return draw_epoch(self.mask.sizes, weights, max(1, round(pieces / float(np.dot(weights, means)))), rng)
