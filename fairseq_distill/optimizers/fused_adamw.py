"""``--optimizer fused_adamw``: torch's fused AdamW, one pass over memory on CPU and GPU alike.

fairseq's own Adam makes about ten passes over every tensor on a CPU; for a small student that costs more than its backward pass.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II, OmegaConf

from fairseq_distill.errors import ConfigError


@dataclass
class FusedAdamWConfig(FairseqDataclass):
    adam_betas: Any = field(default=(0.9, 0.98), metadata={"help": "betas, each in [0, 1)"})
    adam_eps: float = field(default=1e-6, metadata={"help": "epsilon, > 0"})
    weight_decay: float = field(default=0.0, metadata={"help": "decoupled weight decay, >= 0"})
    lr: List[float] = II("optimization.lr")


@register_optimizer("fused_adamw", dataclass=FusedAdamWConfig)
class FusedAdamW(FairseqOptimizer):
    """AdamW (Loshchilov and Hutter 2019) as torch implements it, fused."""

    def __init__(self, cfg: FusedAdamWConfig, params: Any):
        super().__init__(cfg)
        self._optimizer = torch.optim.AdamW(params, fused=True, **self.optimizer_config)

    @property
    def optimizer_config(self) -> Dict[str, Any]:
        """The constructor's arguments; they overrule those of a loaded state."""
        lr = self.cfg.lr[0] if isinstance(self.cfg.lr, (list, tuple)) or OmegaConf.is_list(self.cfg.lr) else self.cfg.lr
        betas = self.cfg.adam_betas
        try:
            # From the command line the betas come as text: "(0.9, 0.98)".
            pair = tuple(float(beta) for beta in (betas.strip("()[] ").split(",") if isinstance(betas, str) else betas))
        except ValueError as error:
            raise ConfigError(f"--adam-betas {betas!r} is not a pair of numbers such as '(0.9, 0.98)'.") from error
        if len(pair) != 2:
            raise ConfigError(f"--adam-betas {betas!r} has {len(pair)} numbers instead of 2.")
        return {"lr": float(lr), "betas": pair, "eps": self.cfg.adam_eps, "weight_decay": self.cfg.weight_decay}
