"""Optimizers: those of torch and that of Graves 2013, for weights end to end in a few vectors.

Torch's own go from weight to weight, and import its compiler, which takes longer than many a training. These are the
same to the bit; on the CPU, where there is a compiler, each is one pass over all numbers, and the same to rounding; see
memnet.native.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from typing import NamedTuple

import torch
from torch import Tensor

from memnet.native.update import Update, refusal

# What is kept of a weight, by name.
State = dict[str, Tensor]


class Gradients(NamedTuple):
    """Gradients end to end.

    each:     views of them, in the order of the weights, of all that have one.
    compiled: what keeps them within limits in one pass, where they are one vector; None where nothing does.
    """

    vectors: list[Tensor]
    each: list[Tensor]
    compiled: Update | None = None


class Together:
    """Weights that are updated as one vector: of one dtype and device, and updated equally often, if that is kept.

    gradient: of all, end to end. gradients: views of it, one a weight.
    kept:     what is kept of all, end to end, by name.
    scale:    a vector for what is computed on the way.
    steps:    updates so far.
    compiled: what moves the weights in one pass; None where nothing does.
    """

    compiled: Update | None = None

    def __init__(self, weights: list[Tensor], states: Sequence[State], steps: int) -> None:
        """states: of the weights; from now on they hold views of what is kept here."""
        self.weights, self.steps = weights, steps
        given = [weight.grad for weight in weights if weight.grad is not None]
        # Where they stand end to end already, they stay.
        whole = _end_to_end(given) if len(given) == len(weights) else None
        self.gradient = torch.cat([weight.detach().flatten() for weight in weights]) if whole is None else whole
        self.gradients = self._split(self.gradient) if whole is None else given
        self.scale = torch.zeros_like(self.gradient)
        self.kept = {name: torch.cat([state[name].flatten() for state in states]) for name in states[0]}
        self._parts = {id(self.scale): self._split(self.scale)}
        for name, vector in self.kept.items():
            parts = self._parts[id(vector)] = self._split(vector)
            for state, part in zip(states, parts, strict=True):
                state[name] = part

    def compile(self, rule: str, names: Sequence[str]) -> None:
        """Have the rule of update.cpp move the weights, if it can; names: of what it keeps."""
        kept, averaged = [self.kept[name] for name in names], self.kept.get("averaged")
        able = refusal([*self.weights, self.gradient]) is None
        self.compiled = Update(rule, self.weights, self.gradient, kept, averaged) if able else None

    def parts(self, vector: Tensor) -> list[Tensor]:
        """The views of what is kept, or of `scale`, of the weights' shapes."""
        return self._parts[id(vector)]

    def _split(self, vector: Tensor) -> list[Tensor]:
        parts = vector.split([weight.numel() for weight in self.weights])
        return [part.view(weight.shape) for part, weight in zip(parts, self.weights, strict=True)]

    def gather(self) -> None:
        """Put the gradients end to end; from now on those of the weights are views."""
        given = [weight.grad for weight in self.weights]
        if all(map(is_, given, self.gradients)):
            return
        new = [(one, own) for one, own in zip(given, self.gradients, strict=True) if one is not None and one is not own]
        torch._foreach_copy_([own for _, own in new], [one for one, _ in new])
        for weight, own in zip(self.weights, self.gradients, strict=True):
            weight.grad = own


def _end_to_end(tensors: Sequence[Tensor]) -> Tensor | None:
    """The vector that tensors are views of, one after the other; None where they are not."""
    storage, at = tensors[0].untyped_storage().data_ptr(), tensors[0].storage_offset()
    for one in tensors:
        if one.untyped_storage().data_ptr() != storage or one.storage_offset() != at or not one.is_contiguous():
            return None
        at += one.numel()
    return tensors[0].as_strided((sum(one.numel() for one in tensors),), (1,)) if len(tensors) > 1 else None


class Optimizer(ABC):
    """Moves every number by its own gradient, whatever the others are.

    A weight without a gradient stays as it is, and so does what is kept of it.

    weights: what is trained.
    lr:      the learning rate, which may be set at any time.
    Attribute kept: names of what is kept of a weight, of its shape; counts: whether its updates are kept, as "step".
    rule:    what update.cpp calls this one.
    decay:   see `keep_average`; None without one.
    """

    rule: str
    kept: tuple[str, ...]
    counts = True
    decay: float | None = None

    def __init__(self, weights: Iterable[Tensor], lr: float) -> None:
        self.weights, self.lr = list(weights), lr
        self._states: dict[int, State] = {}
        self._steps: dict[int, int] = {}
        self._places: list[int] = []
        self._together: dict[tuple[int, ...], Together] = {}
        self._gathered: list[Together] = []
        self._each: list[Tensor] = []

    @abstractmethod
    def update(self, own: Together) -> None:
        """Move weights by their gradient; `own.steps` counts this update, too."""

    @abstractmethod
    def numbers(self, own: Together) -> dict[str, float]:
        """The same for what is compiled: the numbers of the rule, see Update."""

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._gathered = []
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def gather(self) -> Gradients:
        """The gradients of all weights that have one, end to end."""
        given = [weight.grad for weight in self.weights]
        places = [place for place, one in enumerate(given) if one is not None]
        if places != self._places:
            self._arrange(places)
        self._gathered = list(self._together.values())
        for own in self._gathered:
            own.gather()
        compiled = self._gathered[0].compiled if len(self._gathered) == 1 else None
        return Gradients([own.gradient for own in self._gathered], self._each, compiled)

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights by the gradients that were gathered."""
        for own in self._gathered:
            own.steps += 1
            share = 0.0 if self.decay is None else (1 - self.decay) / (1 - self.decay**own.steps)
            if own.compiled is not None and own.compiled(share=share, **self.numbers(own)):
                continue
            self.update(own)
            if self.decay is not None:
                torch._foreach_lerp_(own.parts(own.kept["averaged"]), own.weights, share)

    def keep_average(self, decay: float) -> None:
        """Keep a running mean of the weights, too, from the first update on.

        a_t = a_t-1 + (1 - decay) / (1 - decay^t) (w_t - a_t-1)        so that those of w_s have shares of decay^(t-s)

        t counts the updates of a weight alone: one that has no gradient keeps its mean.
        """
        self.decay, self.counts, self.kept = decay, True, (*self.kept, "averaged")

    @torch.no_grad()
    def averages(self) -> list[Tensor]:
        """A copy of the running mean of each weight, or of the weight where there is none."""
        self._note_steps()
        means = {place: own["averaged"] for place, own in self._states.items() if self.decay and self._steps[place]}
        return [means.get(place, weight.detach()).clone() for place, weight in enumerate(self.weights)]

    def state(self) -> dict[int, State]:
        """What is kept of every weight that was updated, by its place; names are torch's."""
        self._note_steps()
        steps = {place: torch.tensor(float(count)) for place, count in self._steps.items()}
        return {
            place: self._whole(steps[place], {name: one.clone() for name, one in own.items()})
            for place, own in sorted(self._states.items())
            if self.counts or own
        }

    def restore(self, state: Mapping[int, State]) -> None:
        """The inverse of `state`."""
        self._places, self._together, self._gathered = [], {}, []
        self._steps = {place: int(own.get("step", 0)) for place, own in state.items()}
        self._states = {
            place: {name: own[name].to(self.weights[place], copy=True) for name in self.kept}
            for place, own in state.items()
        }

    def forms(self) -> dict[int, State]:
        """Tensors like those of `state` when every weight was updated."""
        step = torch.zeros(())
        every = enumerate(self.weights)
        return {place: self._whole(step, dict.fromkeys(self.kept, weight.detach())) for place, weight in every}

    def forget(self) -> None:
        """Set all that is kept to zero."""
        state = self.state().items()
        self.restore({place: {name: torch.zeros_like(one) for name, one in own.items()} for place, own in state})

    def _whole(self, step: Tensor, own: State) -> State:
        return {"step": step, **own} if self.counts else own

    def _note_steps(self) -> None:
        self._steps |= {place: own.steps for places, own in self._together.items() for place in places}

    def _arrange(self, places: list[int]) -> None:
        """Put the weights of these places end to end, each with those that it is like."""
        self._note_steps()
        like: dict[tuple[torch.dtype, torch.device, int], list[int]] = {}
        for place in places:
            weight = self.weights[place]
            self._states.setdefault(place, {name: torch.zeros_like(weight.detach()) for name in self.kept})
            steps = self._steps.setdefault(place, 0) if self.counts else 0
            like.setdefault((weight.dtype, weight.device, steps), []).append(place)
        self._places, self._together = places, {}
        for (_, _, steps), own in like.items():
            weights, states = [self.weights[place] for place in own], [self._states[place] for place in own]
            together = self._together[tuple(own)] = Together(weights, states, steps)
            together.compile(self.rule, [name for name in self.kept if name != "averaged"])
        views = {
            id(one): view
            for own in self._together.values()
            for one, view in zip(own.weights, own.gradients, strict=True)
        }
        self._each = [views[id(self.weights[place])] for place in places]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1).

        m <- beta_1 m + (1 - beta_1) e        v <- beta_2 v + (1 - beta_2) e^2        after t updates
        w <- w - lr / (1 - beta_1^t) m / (sqrt(v / (1 - beta_2^t)) + 1e-8)

    betas: of the gradient's mean and of its square's.
    """

    rule, kept = "adam", ("exp_avg", "exp_avg_sq")

    def __init__(self, weights: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        super().__init__(weights, lr)
        self.betas = betas

    def update(self, own: Together) -> None:
        (of_mean, of_square), mean, square = self.betas, own.kept["exp_avg"], own.kept["exp_avg_sq"]
        mean.lerp_(own.gradient, 1 - of_mean)
        square.mul_(of_square).addcmul_(own.gradient, own.gradient, value=1 - of_square)
        torch.sqrt(square, out=own.scale).div_((1 - of_square**own.steps) ** 0.5).add_(1e-8)
        rate = self.lr / (1 - of_mean**own.steps)
        torch._foreach_addcdiv_(own.weights, own.parts(mean), own.parts(own.scale), -rate)

    def numbers(self, own: Together) -> dict[str, float]:
        (of_mean, of_square), steps = self.betas, own.steps
        rate, scale = self.lr / (1 - of_mean**steps), (1 - of_square**steps) ** -0.5
        return {"rate": rate, "decay": of_mean, "other": of_square, "scale": scale}


class RMSProp(Optimizer):
    """RMSProp as torch has it (Tieleman and Hinton 2012).

    n <- 0.9 n + 0.1 e^2        step <- momentum step + e / (sqrt(n) + 1e-8)        w <- w - lr step
    """

    rule = "rmsprop"

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float) -> None:
        super().__init__(weights, lr)
        self.momentum = momentum
        self.kept = ("square_avg", "momentum_buffer") if momentum else ("square_avg",)

    def update(self, own: Together) -> None:
        square = own.kept["square_avg"].mul_(0.9).addcmul_(own.gradient, own.gradient, value=1 - 0.9)
        torch.sqrt(square, out=own.scale).add_(1e-8)
        if not self.momentum:
            torch._foreach_addcdiv_(own.weights, own.gradients, own.parts(own.scale), -self.lr)
            return
        step = own.kept["momentum_buffer"].mul_(self.momentum).addcdiv_(own.gradient, own.scale)
        torch._foreach_add_(own.weights, own.parts(step), alpha=-self.lr)

    def numbers(self, own: Together) -> dict[str, float]:
        return {"rate": self.lr, "decay": self.momentum}


class SGD(Optimizer):
    """Stochastic gradient descent.

    step <- momentum step + e        w <- w - lr step
    """

    rule, counts = "sgd", False

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float) -> None:
        super().__init__(weights, lr)
        self.momentum = momentum
        self.kept = ("momentum_buffer",) if momentum else ()

    def update(self, own: Together) -> None:
        step = own.gradients
        if self.momentum:
            step = own.parts(own.kept["momentum_buffer"].mul_(self.momentum).add_(own.gradient))
        torch._foreach_add_(own.weights, step, alpha=-self.lr)

    def numbers(self, own: Together) -> dict[str, float]:
        return {"rate": self.lr, "decay": self.momentum}


class GravesRMSProp(Optimizer):
    """RMSProp in the form of Graves 2013 (arXiv 1308.0850, eqs. 38-41).

        n <- 0.95 n + 0.05 e^2        g <- 0.95 g + 0.05 e
        step <- momentum step - lr e / sqrt(n - g^2 + 1e-4)        w <- w + step

    torch.optim.RMSprop(centered=True) differs: there the floor stands outside the root.
    """

    kept = ("square_mean", "mean", "momentum_step")
    rule, counts = "graves", False

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.9) -> None:
        super().__init__(weights, lr)
        self.momentum = momentum

    def update(self, own: Together) -> None:
        square, mean, step = (own.kept[name] for name in GravesRMSProp.kept)
        square.mul_(0.95).addcmul_(own.gradient, own.gradient, value=1 - 0.95)
        mean.lerp_(own.gradient, 1 - 0.95)
        # Rounding can leave the variance below zero.
        torch.addcmul(square, mean, mean, value=-1, out=own.scale).clamp_min_(0).add_(1e-4).sqrt_()
        step.mul_(self.momentum).addcdiv_(own.gradient, own.scale, value=-self.lr)
        torch._foreach_add_(own.weights, own.parts(step))

    def numbers(self, own: Together) -> dict[str, float]:
        return {"rate": self.lr, "decay": self.momentum}
