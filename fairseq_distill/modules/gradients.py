"""The gradient of each objective of an update, to see which of them moves the model."""

from typing import Callable, Dict, Iterable, List

import torch
from torch import Tensor, nn


class ObjectiveGradients:
    """Adds up each objective's gradient over the micro-batches of an update; float32, one vector an objective.

    Measuring takes a backward pass of its own for each objective, which leaves the gradients of training untouched.

    Args:
        parameters: of the model; those without a gradient are left out.
        objectives: all that any process may bring, in one order, so that processes can add their vectors up.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], objectives: Iterable[str]):
        self.parameters: List[nn.Parameter] = [each for each in parameters if each.requires_grad]
        size = sum(each.numel() for each in self.parameters)
        device = self.parameters[0].device
        self.sums = {name: torch.zeros(size, device=device) for name in objectives}

    def add(self, terms: Dict[str, Tensor]) -> None:
        """Add the gradients of one micro-batch's terms, whose graph is kept."""
        for name, term in terms.items():
            if not term.requires_grad:
                continue
            found = torch.autograd.grad(term, self.parameters, retain_graph=True, allow_unused=True)
            self.sums[name] += torch.cat(
                [
                    (torch.zeros_like(parameter) if each is None else each).float().flatten()
                    for parameter, each in zip(self.parameters, found)
                ]
            )

    def norms(self, total: float, add_up: Callable[[Tensor], object]) -> Dict[str, float]:
        """The Euclidean norm of each objective's gradient in the update.

        Args:
            total: what the update's gradient is divided by: the sample size of all processes.
            add_up: adds a tensor up over the processes, in place.
        """
        for gradient in self.sums.values():
            add_up(gradient)
        return {name: float(gradient.norm()) / total for name, gradient in self.sums.items()}
