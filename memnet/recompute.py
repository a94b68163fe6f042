"""Memory for time: a function whose backward pass computes it again instead of keeping what lies within."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import get_device_states, set_device_states

Function = Callable[..., tuple[Tensor, ...]]
Parameters = Callable[[], list[nn.Parameter]]


def recomputed(function: Function, inputs: Sequence[Tensor], parameters: Parameters) -> tuple[Tensor, ...]:
    """function(*inputs), of which only the inputs are kept for the backward pass.

    function:   of the tensors given, the parameters, and what it draws from torch's generators, which it draws again;
                else it computes the same whenever it is called.
    parameters: what else the function computes with.
    Unlike torch.utils.checkpoint it keeps no graph either, which for small tensors is as large as they are.
    First derivatives only. RuntimeError in a backward pass that is itself differentiated, and where the parameters
    were others then, as within torch.func.functional_call.
    """
    results: tuple[Tensor, ...] = _Recomputed.apply(  # type: ignore[no-untyped-call]
        function, parameters, len(inputs), *inputs, *parameters()
    )
    return results


class _Recomputed(torch.autograd.Function):
    """(function, parameters, number of inputs, inputs, parameters) to the function's results."""

    @staticmethod
    def forward(
        ctx: Any, function: Function, parameters: Parameters, count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        kind = tensors[0].device.type
        ctx.set_materialize_grads(False)
        ctx.function, ctx.parameters, ctx.count = function, parameters, count
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.random = torch.get_rng_state(), get_device_states(*tensors)
        ctx.save_for_backward(*tensors)
        return function(*tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        needed = ctx.needs_input_grad[3:]
        tensors = list(ctx.saved_tensors)
        if any(one is not other for one, other in zip(tensors[ctx.count :], ctx.parameters(), strict=True)):
            raise RuntimeError("checkpointed steps cannot be computed again: the parameters are others now")
        if torch.is_grad_enabled():
            raise RuntimeError("checkpointed steps give first derivatives alone; set checkpoint_steps to None for more")
        for index in range(ctx.count):
            tensors[index] = tensors[index].detach().requires_grad_(needed[index])
        here, (devices, there) = ctx.random
        with torch.random.fork_rng(devices), torch.enable_grad(), torch.autocast(*ctx.autocast):
            torch.set_rng_state(here)
            set_device_states(devices, there)
            results = ctx.function(*tensors[: ctx.count])
        reached = [
            (result, gradient)
            for result, gradient in zip(results, gradients, strict=True)
            if result.requires_grad and gradient is not None
        ]
        wanted = [tensor for tensor, need in zip(tensors, needed, strict=True) if need]
        outputs, given = zip(*reached, strict=True)
        found = iter(torch.autograd.grad(outputs, wanted, given, allow_unused=True))
        return None, None, None, *(next(found) if need else None for need in needed)
