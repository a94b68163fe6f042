"""Counting floating-point operations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from experiments.benchmark.cases import STEPS, Case, make_example, make_model
from memnet.abilities import CountsWords, GoesByStep, HasBackend

_aten = torch.ops.aten
# Pointwise as torch sees it, but nothing is computed.
_COPIES = {_aten.clone, _aten._to_copy, _aten.copy_, _aten._foreach_copy_, _aten.fill_, _aten.detach, _aten.where}
# Not pointwise as torch sees it, but they go through every number once.
_PASSES = {
    *(_aten.sum, _aten.mean, _aten.linalg_vector_norm, _aten.embedding_dense_backward),
    *(_aten._softmax, _aten._softmax_backward_data, _aten._log_softmax, _aten._log_softmax_backward_data),
    *(_aten._prelu_kernel, _aten._prelu_kernel_backward),
}


class Flop(NamedTuple):
    """Floating-point operations of one step.

    products: of matrix products, two for each multiplication with its addition.
    others:   one for each number that any other arithmetic goes through, fused or not: sums, softmax, norms, ...
    """

    products: int
    others: int

    @property
    def total(self) -> int:
        return self.products + self.others


def count_flop(case: Case) -> Flop:
    """Operations of a case's forward pass and, in training, its backward pass, as the eager model runs it, and of a
    whole step's update.

    A MemN2N counts with its sentences read word by word, the definition: as counts of words, which is faster on a
    CPU, most of its multiplications are by zero.
    """
    one = dataclasses.replace(case, seeds=1)
    model, example = make_model(one, 0), make_example(one)
    if isinstance(model, CountsWords):
        model.counted = False
    if isinstance(model, GoesByStep) and isinstance(model, HasBackend):
        model.backend = "eager"
    step = STEPS[case.mode](model)
    counted = count_operations(lambda: step(example))
    return Flop(case.seeds * counted.products, case.seeds * counted.others)


def count_operations(function: Callable[[], object]) -> Flop:
    """Operations of whatever a function computes with plain torch, its backward pass included."""
    with _Counter() as counter:
        function()
    return Flop(counter.products, counter.others)


class _Counter(TorchDispatchMode):
    """Sees every operation; torch's own FlopCounterMode, whose formulas these are, trips over views made in no_grad."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products = self.others = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        operation = function._overloadpacket
        if operation in flop_registry:
            self.products += flop_registry[operation](*args, **(kwargs or {}), out_val=result)
        elif operation.__name__.startswith("_foreach_") and operation not in _COPIES:
            self.others += sum(one.numel() for one in args[0])
        elif operation in _PASSES or (torch.Tag.pointwise in function.tags and operation not in _COPIES):
            results = result if isinstance(result, tuple) else (result,)
            if any(one.is_floating_point() for one in results):
                self.others += max(one.numel() for one in (*args, *results) if isinstance(one, Tensor))
        return result
