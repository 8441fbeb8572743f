"""Progressive distillation: which part of a sentence pair is shown at which update; docs/curriculum.md explains it.

The LASER3 paper (Heffernan et al. 2022, section on progressive distillation) sends incremental versions of a sentence
pair to teacher and student, but gives neither the unit nor the schedule. A :class:`Curriculum` says both. The stage of an
update is a pure function of its number, and under ``plateau`` also of the list of updates at which earlier stages ended.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from fairseq_distill.errors import ConfigError

CURRICULA = ("none", "progressive")
BY_UPDATE = ("linear", "root", "step")  # stages by the number of the update
WITHIN_EPOCH = ("epoch", "mixed")  # no stages: each pair comes as each of its parts in every epoch
PACINGS = (*BY_UPDATE, "plateau", *WITHIN_EPOCH)
UNITS = ("words", "pieces")


@dataclass(frozen=True)
class Curriculum:
    """A policy of growing parts.

    Attributes:
        increments: number n of parts; part j of n shows ceil(j / n of the words). 1 means whole sentences throughout.
        updates: the update from which on whole sentences are shown. 0 means never, or under ``plateau`` when the last
            stage is reached; ``linear``, ``root`` and ``step`` need it to be > 0 when increments > 1.
        pacing: ``linear`` gives every part equally many updates; ``root`` leaves the short ones sooner (the part is
            the square root of the progress, Platanios et al. 2019); ``step`` shows the shortest part, then the whole;
            ``plateau`` goes on to the next part when validation no longer improves; ``epoch`` visits each pair as each
            part in every epoch, short parts first; ``mixed`` the same in random order.
        unit: what the student's side is cut at, ``words`` or ``pieces``; the teacher's is cut at words.
        min_units: no part shorter than so many words (or pieces) of the student's side is shown, but a longer one.
        full_share: share of the draws that are shown whole from the start, in [0, 1).
        mask: whether monolingual sentences are cut to the same part.
        patience: validations without improvement after which ``plateau`` goes on.
    """

    increments: int = 1
    updates: int = 0
    pacing: str = "linear"
    unit: str = "words"
    min_units: int = 1
    full_share: float = 0.0
    mask: bool = False
    patience: int = 1

    def __post_init__(self) -> None:
        if self.pacing not in PACINGS:
            raise ConfigError(f"pacing {self.pacing!r} is none of {', '.join(PACINGS)}")
        if self.unit not in UNITS:
            raise ConfigError(f"unit {self.unit!r} is none of {', '.join(UNITS)}")
        least = 1 if self.increments > 1 and self.pacing in BY_UPDATE else 0
        if self.increments < 1 or self.updates < least:
            raise ConfigError(f"{self.increments} increments over {self.updates} updates are no curriculum")
        if self.min_units < 1 or self.patience < 1 or not 0 <= self.full_share < 1:
            raise ConfigError(
                f"a curriculum's least number of words ({self.min_units}) and its patience ({self.patience}) must be 1 or "
                f"more, and the share of whole sentences ({self.full_share:g}) in [0, 1)"
            )

    def stage(self, update: int, changes: Sequence[int] = ()) -> int:
        """The part j, from 1 to ``increments``, that update number ``update`` (from 0) shows at least.

        Args:
            update: number of the update.
            changes: for ``plateau``, the updates at which the stages after the first began, ascending.
        """
        if self.increments == 1 or (self.updates and update >= self.updates):
            return self.increments
        if self.pacing == "plateau":
            return min(self.increments, 1 + sum(change <= update for change in changes))
        if self.pacing not in ("linear", "root"):
            return 1
        # Parts 1 to n - 1 share the time before `updates`. Whole numbers: 29 / 100 * 100 is below 29 in floats.
        bands = self.increments - 1
        if self.pacing == "root":  # floor(bands * sqrt(update / updates))
            return 1 + math.isqrt(update * bands * bands // self.updates)
        return 1 + update * bands // self.updates

    def next_change(self, update: int, changes: Sequence[int] = ()) -> Optional[int]:
        """The first update after ``update`` that shows another part; None when there is none, as far as is known."""
        current = self.stage(update, changes)
        if current == self.increments:
            return None
        if self.pacing not in ("linear", "root"):
            known = [change for change in changes if change > update] if self.pacing == "plateau" else []
            return min(known + [self.updates] * (self.updates > 0), default=None)
        low, high = update, self.updates  # stage() never falls, so the change can be halved towards
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.stage(middle) == current else (low, middle)
        return high


@dataclass
class Plateau:
    """The stages of ``plateau`` so far: a new one begins with the next epoch when xsim has not improved for long enough.

    An epoch is planned as a whole, so that a resumed run finds its place in it; hence a new stage begins with an epoch.

    Attributes:
        curriculum: the policy.
        changes: the updates at which the stages after the first begin, ascending; the last may lie ahead.
        best: the lowest validation xsim so far, in percent.
        waited: validations since it, or since the last stage began.
    """

    curriculum: Curriculum
    changes: List[int] = field(default_factory=list)
    best: Optional[float] = None
    waited: int = 0

    def observe(self, xsim: float, update: int, next_epoch: int) -> bool:
        """Take note of a validation; True when it ends the stage.

        Args:
            xsim: in percent, lower is better.
            update: updates done.
            next_epoch: number of the first update of the next epoch, >= update.
        """
        better = self.best is None or xsim < self.best
        if better:
            self.best = xsim
        # A validation at the very update at which a stage begins says nothing about that stage.
        pending = bool(self.changes) and self.changes[-1] >= update
        if pending or self.curriculum.stage(update, self.changes) == self.curriculum.increments:
            return False
        self.waited = 0 if better else self.waited + 1
        if self.waited < self.curriculum.patience:
            return False
        self.changes.append(next_epoch)
        self.waited = 0
        return True

    def state_dict(self) -> Dict[str, Any]:
        """Plain numbers for the checkpoint."""
        return {"changes": list(self.changes), "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.changes, self.best, self.waited = list(state["changes"]), state["best"], int(state["waited"])
