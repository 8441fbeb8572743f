"""Each objective's gradient norm and weight, now and then, among fairseq's metrics. Registers nothing."""

from typing import Any, Dict, Optional

from fairseq.distributed import utils as distributed
from fairseq.logging import metrics

from fairseq_distill.modules.gradients import ObjectiveGradients


class GradientMeter:
    """Measures every ``interval``-th update; 0 measures none.

    The norm is that of the whole update's gradient from one objective, its weight included: over all processes and
    micro-batches, before clipping. So it can be held against ``gnorm``, the norm of all of them together.
    """

    def __init__(self, interval: int):
        self.interval = interval
        self.gradients: Optional[ObjectiveGradients] = None
        self.total = 0.0
        self.weights: Dict[str, float] = {}

    def before_batch(self, sample: Dict[str, Any], model: Any, criterion: Any, update: int) -> None:
        """Let the criterion hand over this batch's terms if the update, counted from 0, is to be measured."""
        criterion.gradients = None
        if not self.interval or (update + 1) % self.interval:
            self.gradients = None
            return
        if self.gradients is None:
            self.weights = criterion.weights()
            self.gradients = ObjectiveGradients(model.parameters(), self.weights)
        self.total = sample["update_total"]
        if not sample["filler"]:
            criterion.gradients = self.gradients

    def after_update(self) -> None:
        """Log what was measured; on every process, as they add their gradients up."""
        if self.gradients is None:
            return
        measured, self.gradients = self.gradients, None
        group = distributed.get_data_parallel_group()
        many = distributed.get_data_parallel_world_size() > 1
        for name, norm in measured.norms(
            self.total, lambda gradient: distributed.all_reduce(gradient, group=group) if many else None
        ).items():
            metrics.log_scalar(f"gnorm_{name}", norm, round=4)
            metrics.log_scalar(f"weight_{name}", self.weights[name], round=4)
