"""The plan of each epoch of a training run: what is drawn, and how it is batched."""

from dataclasses import dataclass, field
from typing import Dict, Sequence, Union

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.data.batching import EpochPlan, plan_epoch
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.curriculum import Curriculum
from fairseq_distill.data.mask_units import MaskText, MonolingualText, PairedText
from fairseq_distill.data.sampling import corpus_weights, draw_epoch


@dataclass
class EpochPlanner:
    """Plans that are functions of the seed, the epoch and the options alone, so that a resumed run finds the same.

    Attributes:
        distil: the corpora to distil.
        mask: the text for MLM; it may hold none.
        curriculum: which part of a sentence an update shows.
        temperature: of the sampling over languages, >= 1.
        mask_share: wanted share of an update's pieces that is monolingual text, in [0, 1).
        seed: of every draw.
        processes: how many share an update.
        update_freq: batches of an update on one process, for each epoch; the last holds for all later ones.
        max_tokens: bound on the padded pieces of a batch.
        max_sentences: bound on the sentences to distil in a batch.
        tlm_share: share of an update's pieces that is masked sentence pairs, in [0, 1).
        self_share: wanted share of the sentences to distil that are the teacher's own language, in [0, 1).
    """

    distil: Collection
    mask: MaskText
    curriculum: Curriculum
    temperature: float
    mask_share: float
    seed: int
    processes: int
    update_freq: Sequence[int]
    max_tokens: int
    max_sentences: int
    tlm_share: float = 0.0
    self_share: float = 0.0
    _updates: Dict[int, int] = field(default_factory=dict)  # of the epochs planned so far

    def plan(self, epoch: int) -> EpochPlan:
        """The batches of an epoch, counted from 1."""
        rng = np.random.default_rng([self.seed, epoch])
        draws = self._draw_distilled(rng)
        mono_share = self._mono_share(int(self.distil.lengths()[draws].sum()))
        plan = plan_epoch(
            draws,
            lambda part: self.distil.lengths(part, self.curriculum.increments),
            lambda update: (self.curriculum.increment(update), self.curriculum.next_change(update)),
            self._first_update(epoch),
            self.processes * self.update_freq[min(epoch, len(self.update_freq)) - 1],
            self.max_tokens,
            self.max_sentences,
            rng,
            lambda pieces: self._draw_masked(pieces, mono_share, rng),
            self.mask.lengths(),
            mono_share + self.tlm_share,
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

    def _draw_distilled(self, rng: np.random.Generator) -> np.ndarray:
        """One visit of the pairs, languages by temperature; among them, the teacher's own language in its share."""
        sizes, languages = np.asarray(self.distil.sizes), self.distil.languages()
        own = own_language(self.distil)
        n_pairs = int(sizes[~own].sum())
        weights = corpus_weights(np.where(own, 0, sizes), languages, self.temperature)
        n_own = visits_of_own_language(n_pairs, int(sizes[own].sum()), self.self_share)
        if not n_own:
            return draw_epoch(self.distil.sizes, weights, n_pairs, rng)
        of_own = corpus_weights(np.where(own, sizes, 0), languages, self.temperature)
        total = n_pairs + n_own
        return draw_epoch(self.distil.sizes, (weights * n_pairs + of_own * n_own) / total, total, rng)

    def _mono_share(self, distil_pieces: int) -> float:
        """The wanted share, or less where there is so little monolingual text that it would be repeated too often."""
        available = defaults.MASK_REPEAT * float(self.mask.mono.lengths().sum())
        paired_pieces = distil_pieces * self.tlm_share / (1.0 - self.mask_share - self.tlm_share)
        return min(self.mask_share, available / max(available + distil_pieces + paired_pieces, 1.0))

    def _draw_masked(self, pieces: int, mono_share: float, rng: np.random.Generator) -> np.ndarray:
        """Monolingual units and pairs with about so many pieces in all, divided between them by their shares."""
        drawn = []
        if mono_share > 0:
            drawn.append(self._draw_units(self.mask.mono, pieces * (mono_share / (mono_share + self.tlm_share)), rng))
        if self.tlm_share > 0 and self.mask.pairs is not None:
            wanted = pieces * (self.tlm_share / (mono_share + self.tlm_share))
            drawn.append(self._draw_units(self.mask.pairs, wanted, rng) + self.mask.n_mono)
        return np.concatenate(drawn)

    def _draw_units(
        self, text: Union[MonolingualText, PairedText], pieces: float, rng: np.random.Generator
    ) -> np.ndarray:
        weights = corpus_weights(text.sizes, text.languages(), self.temperature)
        mean = float(np.dot(weights, text.mean_lengths()))
        return draw_epoch(text.sizes, weights, max(1, round(pieces / mean)), rng)


def own_language(distil: Collection) -> np.ndarray:
    """bool [corpora], which are the teacher's own language (``self``); none where there is nothing else to distil."""
    own = np.array([part.corpus.kind == "self" for part in distil.parts], dtype=bool)
    return own & ~own.all()


def visits_of_own_language(n_pairs: int, n_own: int, share: float) -> int:
    """How many sentences of the teacher's own language come with one visit of the pairs.

    So many that they have their share of all, but no sentence more often than MASK_REPEAT times.
    """
    return int(min(n_pairs * share / (1.0 - share), defaults.MASK_REPEAT * n_own))


def sentences_to_fit(distil: Collection, most: int, self_share: float, rng: np.random.Generator) -> np.ndarray:
    """int64, ascending: at most ``most`` sentences for the lexical path, of the teacher's own language no more than its share."""
    order = rng.permutation(int(distil.firsts[-1]))
    own = own_language(distil)[distil.corpus_of(order)]
    if own.any():
        pairs = order[~own][: max(1, round(most * (1.0 - self_share)))]
        order = np.concatenate([pairs, order[own][: int(len(pairs) * self_share / (1.0 - self_share))]])
    return np.sort(order[:most])
