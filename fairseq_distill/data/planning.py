"""The plan of each epoch of a training run: what is drawn, and how it is batched."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from fairseq_distill import defaults
from fairseq_distill.data.batching import EpochPlan, MaskedText, Visits, plan_epoch
from fairseq_distill.data.corpora import Collection
from fairseq_distill.data.curriculum import WITHIN_EPOCH, Curriculum, Plateau
from fairseq_distill.data.mask_units import MaskText
from fairseq_distill.data.queueing import visits_of
from fairseq_distill.data.sampling import corpus_weights, draw_epoch, draw_span
from fairseq_distill.errors import CheckpointError

_PERMUTED = 1 << 24  # sentences of which an order is made at once


@dataclass
class EpochPlanner:
    """Plans that are functions of the seed, the epoch, the options and the ends of ``plateau`` stages, so that a resumed run finds the same.

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
        free_updates: the curriculum's last update was not given by the user, so that of a checkpoint stands.
        queue: longest teacher queue of the contrastive loss; 0 for none.
        epoch_sentences: most sentences drawn to be distilled in an epoch; more take several epochs.
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
    free_updates: bool = False
    queue: int = 0
    epoch_sentences: int = defaults.EPOCH_SENTENCES
    plateau: Plateau = field(init=False)
    _first_updates: Dict[int, int] = field(default_factory=lambda: {1: 0})  # of the epochs, as far as known
    _ends: Dict[int, Visits] = field(default_factory=dict)  # the last sentences of the epochs planned so far

    def __post_init__(self) -> None:
        self.plateau = Plateau(self.curriculum)

    def plan(self, epoch: int) -> EpochPlan:
        """The batches of an epoch, counted from 1."""
        rng = np.random.default_rng([self.seed, epoch])
        draws = self._draw_distilled(epoch, rng)
        first, changes, n = self.first_update(epoch), self.plateau.changes, self.curriculum.increments
        plan = plan_epoch(
            self._visits(draws, self.curriculum.stage(first, changes), rng),
            lambda indices, part: self.distil.shown_lengths(indices, part, n),
            lambda update: (self.curriculum.stage(update, changes), self.curriculum.next_change(update, changes)),
            first,
            self.processes * self.update_freq[min(epoch, len(self.update_freq)) - 1],
            self.max_tokens,
            self.max_sentences,
            rng,
            self._masked(draws, rng),
        )
        self._first_updates[epoch + 1] = first + plan.updates
        if self.queue:
            n = len(plan.distil.indices)
            self._ends[epoch] = visits_of(plan)[np.arange(max(0, n - self.queue), n)]  # a copy: the plan need not stay
        return plan

    def distilled_before(self, epoch: int) -> Visits:
        """The last ``queue`` sentences that the epochs before this one distil, with the parts shown; fewer where there were fewer."""
        found = Visits(np.empty(0, np.int64), np.empty(0, np.int16))
        while epoch > 1 and len(found) < self.queue:
            epoch -= 1
            if epoch not in self._ends:
                self.plan(epoch)
            found = self._ends[epoch] + found
        return found[max(0, len(found) - self.queue) :]

    def first_update(self, epoch: int) -> int:
        """The updates before an epoch. 0 for every epoch where no stage depends on it."""
        if self.curriculum.increments == 1 or not (self.curriculum.updates or self.plateau.changes):
            return self._first_updates.get(epoch, 0)
        if epoch not in self._first_updates:
            self._first_updates = {1: 0}
            for before in range(1, epoch):
                self.plan(before)
        return self._first_updates[epoch]

    def _draw_distilled(self, epoch: int, rng: np.random.Generator) -> np.ndarray:
        """One visit of the pairs or a stretch of it, languages by temperature; among them, the teacher's own language in its share."""
        sizes, languages = np.asarray(self.distil.sizes), self.distil.languages()
        own = own_language(self.distil)
        total = n_pairs = int(sizes[~own].sum())
        weights = corpus_weights(np.where(own, 0, sizes), languages, self.temperature)
        n_own = visits_of_own_language(n_pairs, int(sizes[own].sum()), self.self_share)
        if n_own:
            of_own = corpus_weights(np.where(own, sizes, 0), languages, self.temperature)
            total = n_pairs + n_own
            weights = (weights * n_pairs + of_own * n_own) / total
        if total > self.epoch_sentences:
            return draw_span(self.distil.sizes, weights, self.epoch_sentences, self.seed, epoch, rng)
        return draw_epoch(self.distil.sizes, weights, total, rng)

    def _visits(self, draws: np.ndarray, stage: int, rng: np.random.Generator) -> List[Visits]:
        """The draws with the least part that each shows; under ``epoch`` and ``mixed`` one visit a part."""
        policy, n = self.curriculum, self.curriculum.increments
        if stage == n:
            return [Visits(draws, np.full(len(draws), n, dtype=np.int16))]
        lots = [Visits(draws, self.distil.least_parts(n, policy.min_units, draws))]
        if policy.pacing in WITHIN_EPOCH:
            # A pair too short for part j has no j-th visit, else it would come several times as the same part.
            whole = lots[0]
            lots = [whole[rng.permutation(np.flatnonzero(whole.least <= part))] for part in range(1, n + 1)]
            lots = [Visits(lot.indices, np.full_like(lot.least, part)) for part, lot in enumerate(lots, start=1)]
            if policy.pacing == "mixed":
                every = lots[0]
                for lot in lots[1:]:
                    every = every + lot
                lots = [every[rng.permutation(len(every))]]
        if policy.full_share:
            for lot in lots:
                lot.least[rng.random(len(lot)) < policy.full_share] = n
        return lots

    def _mono_share(self, distil_pieces: int) -> float:
        """The wanted share, or less where there is so little monolingual text that it would be repeated too often."""
        available = defaults.MASK_REPEAT * float(self.mask.mono.pieces())
        paired_pieces = distil_pieces * self.tlm_share / (1.0 - self.mask_share - self.tlm_share)
        return min(self.mask_share, available / max(available + distil_pieces + paired_pieces, 1.0))

    def _masked(self, draws: np.ndarray, rng: np.random.Generator) -> Optional[MaskedText]:
        """What is masked beside the sentences to distil; None where there is nothing."""
        if self.mask_share + self.tlm_share <= 0 or not len(self.mask):
            return None
        n = self.curriculum.increments
        mono_share = self._mono_share(int(self.distil.shown_lengths(draws, np.full(len(draws), n), n).sum()))
        if mono_share + self.tlm_share <= 0:
            return None
        return MaskedText(
            mono_share + self.tlm_share,
            lambda pieces, stage: self._draw_masked(pieces, mono_share, stage if self.curriculum.mask else n, rng),
            lambda indices, part: self.mask.shown_lengths(indices, part, n),
        )

    def _draw_masked(self, pieces: int, mono_share: float, stage: int, rng: np.random.Generator) -> Visits:
        """Monolingual units and pairs with about so many pieces in all, divided between them by their shares.

        Args:
            stage: the part shown of monolingual sentences; pairs are always whole.
        """
        n = self.curriculum.increments
        drawn = [Visits(np.empty(0, np.int64), np.empty(0, np.int16))]
        if mono_share > 0:
            mono, wanted = self.mask.mono, pieces * (mono_share / (mono_share + self.tlm_share))
            part = None
            if stage < n:
                part = np.maximum(mono.text.least_parts(n, self.curriculum.min_units), stage).astype(np.int16)
            units = self._draw_units(mono.sizes, mono.languages(), mono.mean_lengths(part, n), wanted, rng)
            drawn.append(Visits(units, np.full(len(units), n, dtype=np.int16) if part is None else part[units]))
        if self.tlm_share > 0 and self.mask.pairs is not None:
            pairs, wanted = self.mask.pairs, pieces * (self.tlm_share / (mono_share + self.tlm_share))
            units = self._draw_units(pairs.sizes, pairs.languages(), pairs.mean_lengths(), wanted, rng)
            drawn.append(Visits(units + self.mask.n_mono, np.full(len(units), n, dtype=np.int16)))
        return sum(drawn[1:], drawn[0])

    def _draw_units(
        self, sizes: List[int], languages: List[str], means: List[float], pieces: float, rng: np.random.Generator
    ) -> np.ndarray:
        weights = corpus_weights(sizes, languages, self.temperature)
        return draw_epoch(sizes, weights, max(1, round(pieces / float(np.dot(weights, means)))), rng)

    # --- what a checkpoint holds

    def state_dict(self, epoch: int) -> Dict[str, Any]:
        """What a run that goes on in or after ``epoch`` cannot compute again, or only slowly."""
        known = {
            number: self._first_updates[number]
            for number in (epoch - 1, epoch, epoch + 1)
            if number in self._first_updates
        }
        return {"policy": asdict(self.curriculum), "first_updates": known, **self.plateau.state_dict()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises:
            CheckpointError: it was trained with another curriculum, so the place in its epoch means nothing here.
        """
        was = state["policy"]
        if self.free_updates and was.get("pacing") == self.curriculum.pacing:
            # A share of --max-update, which may have been raised since.
            self.curriculum = replace(self.curriculum, updates=int(was["updates"]))
        now = asdict(self.curriculum)
        different = [f"{name} {was.get(name)} there, {now[name]} here" for name in now if was.get(name) != now[name]]
        if different:
            raise CheckpointError(
                f"The checkpoint to go on from was trained with another curriculum ({'; '.join(different)}). Give the same "
                "--curriculum options, or begin the data anew with --reset-dataloader."
            )
        self._ends = {}
        self._first_updates = {1: 0, **{int(epoch): int(first) for epoch, first in state["first_updates"].items()}}
        self.plateau = Plateau(self.curriculum)
        self.plateau.load_state_dict(state)


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
    own = own_language(distil)
    if distil.firsts[-1] > _PERMUTED:  # no array of a huge corpus's length
        pairs = _chosen(distil, ~own, max(1, round(most * (1.0 - self_share))) if own.any() else most, rng)
        of_own = _chosen(distil, own, int(len(pairs) * self_share / (1.0 - self_share)), rng)
        return np.sort(np.concatenate([pairs, of_own]))
    order = rng.permutation(int(distil.firsts[-1]))
    is_own = own[distil.corpus_of(order)]
    if is_own.any():
        pairs = order[~is_own][: max(1, round(most * (1.0 - self_share)))]
        order = np.concatenate([pairs, order[is_own][: int(len(pairs) * self_share / (1.0 - self_share))]])
    return np.sort(order[:most])


def _chosen(distil: Collection, corpora: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """int64, at most ``most`` different sentences of some corpora (bool [corpora])."""
    sizes = np.where(corpora, distil.sizes, 0)
    ends = np.cumsum(sizes)
    places = rng.choice(int(ends[-1]), min(int(ends[-1]), most), replace=False)
    corpus = np.searchsorted(ends, places, side="right")
    return places - (ends - sizes)[corpus] + distil.firsts[corpus]
