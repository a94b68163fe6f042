"""How weights follow their gradients: the optimizer, the limits on a gradient, and noise on the weights."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from experiments.base.seeds import generator_for
from experiments.training.optimizers import SGD, Adam, Gradients, GravesRMSProp, Optimizer, RMSProp
from memnet.native.update import Shift, refusal


@dataclasses.dataclass(frozen=True)
class Updates:
    """What every training has; see the options of these names."""

    learning_rate: float
    clip_norm: float | None
    optimizer: Literal["adam", "rmsprop", "plain-rmsprop", "sgd"] = "adam"
    momentum: float = 0.9
    clip_value: float | None = None
    weight_noise: float = 0.0
    cooldown_noise: float | None = None
    weight_average: float | None = None

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """Each works element by element, so that copies stay independent."""
        optimizer = self._optimizer(model)
        if self.weight_average is not None:
            optimizer.keep_average(self.weight_average)
        return optimizer

    def _optimizer(self, model: nn.Module) -> Optimizer:
        weights, rate, momentum = model.parameters(), self.learning_rate, self.momentum
        if self.optimizer == "rmsprop":
            return GravesRMSProp(weights, lr=rate, momentum=momentum)
        if self.optimizer == "plain-rmsprop":
            return RMSProp(weights, lr=rate, momentum=momentum)
        if self.optimizer == "sgd":
            return SGD(weights, lr=rate, momentum=momentum)
        return Adam(weights, lr=rate, betas=(momentum, 0.999))

    def clip(self, gradients: Gradients) -> Tensor:
        """Clip the gradient, by value and then by norm; returns its norm before, () or (copy,)."""
        if gradients.compiled is not None:
            return gradients.compiled.limit(self.clip_value, self.clip_norm)
        norm = _norm(gradients)
        if self.clip_value is not None:
            for vector in gradients.vectors:
                vector.clamp_(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            left = norm if self.clip_value is None else _norm(gradients)
            length = float(left) + 1e-6
            # What is no number, too, reaches every gradient.
            if not length <= self.clip_norm:
                for vector in gradients.vectors:
                    vector.mul_(self.clip_norm / length)
        return norm

    def averaged(self, optimizer: Optimizer) -> AbstractContextManager[None]:
        """The weights as they are judged, afterwards as they are trained."""
        return nullcontext() if self.weight_average is None else _instead(optimizer.weights, optimizer.averages())

    def noise(self, *, cooling: bool) -> float:
        """The deviation of the noise on the weights. cooling: whether the learning rate has begun to fall."""
        return self.cooldown_noise if cooling and self.cooldown_noise is not None else self.weight_noise


# Steps after which noise has a generator of its own, so that it hangs on seed and step alone.
_STEPS_OF_NOISE = 64


class Noise:
    """Gaussian noise that moves weights, which afterwards are as before, with the gradient of the moved ones."""

    def __init__(self, weights: Sequence[nn.Parameter], seed: int) -> None:
        self._weights: list[Tensor] = [*weights]
        drawn = torch.empty(sum(weight.numel() for weight in weights))
        parts = drawn.split([weight.numel() for weight in weights])
        self._parts = [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]
        self._shift = Shift(self._weights, drawn) if refusal([*self._weights, drawn]) is None else None
        self._seed, self._generator, self._next = seed, torch.Generator(), -1

    def _draw(self, step: int) -> None:
        block, past = divmod(step, _STEPS_OF_NOISE)
        if past == 0 or step != self._next:
            self._generator, self._next = generator_for("noise", self._seed, block), step - past
        for _ in range(self._next, step + 1):
            for part in self._parts:
                part.normal_(generator=self._generator)
        self._next = step + 1

    @contextmanager
    def added(self, scale: float, step: int) -> Iterator[None]:
        """Within it, weights are moved by the noise of a step, of so large a deviation."""
        self._draw(step)
        if self._shift is not None and self._shift.add(scale):
            try:
                yield
            finally:
                self._shift.take_away()
            return
        pairs = zip(self._weights, self._parts, strict=True)
        with _instead(self._weights, [weight.detach() + scale * part.to(weight.device) for weight, part in pairs]):
            yield


@contextmanager
def _instead(weights: Sequence[Tensor], others: Sequence[Tensor]) -> Iterator[None]:
    """Other values in place of the weights, which are as before in the end."""
    own = [weight.detach() for weight in weights]
    before = [weight.clone() for weight in own]
    torch._foreach_copy_(own, list(others))
    try:
        yield
    finally:
        torch._foreach_copy_(own, before)


@torch.no_grad()
def go_on_from(others: Iterable[Tensor], optimizer: Optimizer) -> None:
    """Give weights other values, of which the optimizer knows nothing."""
    for weight, other in zip(optimizer.weights, others, strict=True):
        weight.copy_(other)
    optimizer.forget()


def _norm(gradients: Gradients) -> Tensor:
    """Of all of them; 0 of none."""
    if not gradients.each:
        return torch.zeros(())
    first, *more = gradients.vectors
    if not more:
        return _wide(lambda kind: torch.linalg.vector_norm(first, dtype=kind))
    return _wide(lambda kind: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients.vectors, 2, kind))))


def _wide(norm_in: Callable[[torch.dtype | None], Tensor]) -> Tensor:
    """Norms, taken in float64 where squares overflow: those of float32 do from 2e19 on, long before its numbers."""
    norm = norm_in(None)
    overflows = norm.isinf().any() if norm.dim() else math.isinf(norm)
    return norm_in(torch.float64).to(norm.dtype) if overflows else norm


@dataclasses.dataclass(frozen=True)
class UpdatesByCopy(Updates):
    """Of stacked models, each of which has a gradient of its own; by norm alone.

    scope:  "matrix" limits each parameter alone, by its Euclidean norm (the original MemN2N, whose code takes MATLAB's
            norm of a matrix, the largest singular value); "model" all parameters of a copy together.
    """

    copies: int = 1
    scope: Literal["matrix", "model"] = "model"

    def clip(self, gradients: Gradients) -> Tensor:
        """Scale the gradients of each copy down to a norm of at most `clip_norm`; returns (copy,) the norms before.

        The gradient of a copy whose norm is no number is zero after it.
        """
        if not gradients.each:
            return torch.zeros(self.copies)
        rows = [gradient.reshape(self.copies, -1) for gradient in gradients.each]
        norms = _wide(lambda kind: torch.stack([torch.linalg.vector_norm(row, dim=1, dtype=kind) for row in rows]))
        total = _wide(lambda kind: torch.linalg.vector_norm(norms, dim=0, dtype=kind))
        if self.copies > 1 and not total.isfinite().all():
            for row in rows:
                row[~total.isfinite()] = 0
        if self.clip_norm is not None:
            scales = (
                (self.clip_norm / (norms if self.scope == "matrix" else total.expand_as(norms)))
                .clamp_max(1.0)
                .nan_to_num(0.0)
            )
            for gradient, scale in zip(gradients.each, scales, strict=True):
                # Of one copy there is no axis for the copy.
                gradient.mul_(scale.view(self.copies, *[1] * (gradient.dim() - 1)) if self.copies > 1 else scale)
        return total
