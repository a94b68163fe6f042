"""The optimiser of Graves 2013, which the NTM paper calls RMSProp."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class GravesRMSProp(torch.optim.Optimizer):
    """RMSProp in the form of Graves 2013 (arXiv 1308.0850, eqs. 38-41).

        n <- decay n + (1 - decay) e^2        g <- decay g + (1 - decay) e
        step <- momentum step - lr e / sqrt(n - g^2 + floor)        w <- w + step

    torch.optim.RMSprop(centered=True) differs: there the floor stands outside the root.

    params: parameters to train; e is their gradient.
    lr, momentum, decay: as above. floor: added under the root (1e-4 in the paper).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-4,
        momentum: float = 0.9,
        decay: float = 0.95,
        floor: float = 1e-4,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay, "floor": floor})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients as they stand."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    for name in ("square_mean", "mean", "momentum_step"):
                        state[name] = torch.zeros_like(parameter)
                gradient, decay = parameter.grad, group["decay"]
                state["square_mean"].mul_(decay).addcmul_(gradient, gradient, value=1 - decay)
                state["mean"].lerp_(gradient, 1 - decay)
                variance = torch.addcmul(state["square_mean"], state["mean"], state["mean"], value=-1)
                # Rounding can leave it below zero.
                scale = variance.clamp_min_(0).add_(group["floor"]).sqrt_()
                state["momentum_step"].mul_(group["momentum"]).addcdiv_(gradient, scale, value=-group["lr"])
                parameter.add_(state["momentum_step"])
