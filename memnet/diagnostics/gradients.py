"""What becomes of a gradient on its way back through time.

With the step s_t = f(x_t, s_{t-1}) and a loss L of the outputs, backpropagation through time is

    dL/dW = sum_t  dL/ds_t  d+s_t/dW        d+: with W as step t uses it and s_{t-1} held fixed
    ds_T/ds_{T-k} = J_T J_{T-1} ... J_{T-k+1}        J_t = ds_t/ds_{t-1}

The product, the propagation term, shrinks or grows exponentially in k unless the network is made to keep it (Hochreiter
1991; Bengio et al. 1994; Pascanu et al. 2013, section 2). A state is all tensors of a cell's State, flattened and put
one behind the other. Everything runs the cell eagerly and leaves the gradients of its weights alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from memnet.cells import Cell
from memnet.state import State, map_state, state_tensors

Loss: TypeAlias = Callable[[Tensor], Tensor]
"""A scalar from the cell's outputs (batch, time, output_size), differentiable by torch.func."""

# Numbers of Jacobians that are computed at once.
_AT_ONCE = 1 << 21


class Propagation(NamedTuple):
    """The propagation terms ds_T/ds_{T-k} of the last k steps, each kept as exp(log_scale) times matrix.

    lags:       (lag,) int64, k.
    matrices:   (batch, lag, size, size), the largest entry of size one, or zero throughout.
    log_scales: (batch, lag), minus infinity where the product is zero.
    """

    lags: Tensor
    matrices: Tensor
    log_scales: Tensor


class SlotGradients(NamedTuple):
    """Which memory slots a gradient reaches.

    shares:        (batch, slot), each slot's part of the squared gradient; sums to one, or zero where there is none.
    never_touched: (batch, slot) bool, true where the share is negligible.
    """

    shares: Tensor
    never_touched: Tensor


def flatten_state(state: State) -> Tensor:
    """A state as one vector a row: (batch, size). ValueError for a state without tensors."""
    tensors = state_tensors(state)
    if not tensors:
        raise ValueError(f"{type(state).__name__} holds no tensor: this cell remembers nothing")
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def state_jacobians(cell: Cell, input: Tensor, state: State | None = None) -> Tensor:
    """The Jacobian of every step's state with respect to the state before.

        J_t = ds_t/ds_{t-1}

    input:   (batch, time, input_size).
    state:   the state before the first step, None for the cell's initial one.
    Returns  (batch, time, size, size), [row, column] the derivative of s_t[row] with respect to s_{t-1}[column].
    Raises   ValueError for an input of another shape, or a cell without state.
    """
    with torch.no_grad():
        blocks = list(_jacobians(cell, input, state))
    return torch.cat(blocks[::-1]).transpose(0, 1)


def propagation(
    cell: Cell, input: Tensor, state: State | None = None, *, lags: Sequence[int] | None = None
) -> Propagation:
    """The propagation terms of the last k steps, for many k (Pascanu et al. 2013, eq. 5).

        ds_T/ds_{T-k} = J_T J_{T-1} ... J_{T-k+1}

    One product serves all k, and is rescaled after every step, so that no factor of 1e-300 or 1e300 loses it.
    input, state: as for state_jacobians.
    lags:    the k that are kept, 1..time; None for all of them.
    Returns  Propagation, the lags in ascending order.
    Raises   ValueError for lags that cannot be, for a Jacobian that is not finite, and as state_jacobians does.
    """
    steps = input.size(1)
    kept = list(range(1, steps + 1)) if lags is None else sorted(set(lags))
    if not kept or kept[0] < 1 or kept[-1] > steps:
        raise ValueError(f"lags must be within 1..{steps}, at least one, not {list(lags or [])}")
    wanted, matrices, log_scales = set(kept), [], []
    lag, product, log_scale = 0, None, input.new_zeros(input.size(0))
    with torch.no_grad():
        for jacobian in (one for block in _jacobians(cell, input, state) for one in block.flip(0).unbind(0)):
            lag += 1
            product = jacobian if product is None else product @ jacobian
            scale = product.abs().amax((1, 2))
            if not bool(scale.isfinite().all()):
                raise ValueError(f"the Jacobian of step {steps - lag + 1} is not finite")
            product = product / torch.where(scale > 0, scale, 1.0).view(-1, 1, 1)
            log_scale = log_scale + scale.log()
            if lag in wanted:
                matrices.append(product)
                log_scales.append(log_scale)
            if lag == kept[-1]:
                break
    return Propagation(torch.tensor(kept), torch.stack(matrices, 1), torch.stack(log_scales, 1))


def log_norms(terms: Propagation) -> Tensor:
    """Natural logarithms of the spectral norms: (batch, lag), minus infinity for zero.

    log |ds_T/ds_{T-k}|, the most by which a gradient can grow over k steps. exp of it may under- or overflow.
    """
    norms: Tensor = torch.linalg.matrix_norm(terms.matrices, ord=2)
    return terms.log_scales + norms.log()


def state_gradients(cell: Cell, input: Tensor, loss: Loss, state: State | None = None) -> State:
    """The gradient of a loss with respect to the state that each step starts from.

        dL/ds_{t-1} = sum over steps u >= t of  dL/do_u  do_u/ds_{t-1}        o_u the output of step u

    input, state: as for state_jacobians.
    loss:    a scalar from the cell's outputs (batch, time, output_size).
    Returns  a State whose tensors have a time axis after the batch: [:, t] belongs to the state before step t, from 0
             on; k = time - t steps lie between it and the end.
    Raises   ValueError for an input of another shape.
    """
    check_input(cell, input)
    before = cell.initial_state(input.size(0)) if state is None else state
    before = map_state(Tensor.detach, before)
    nudges = map_state(lambda tensor: torch.zeros_like(tensor).expand(input.size(1), *tensor.shape), before)

    def total(moves: list[Tensor]) -> Tensor:
        now, outputs = before, []
        # The gradient for a move of the state is the gradient for the state.
        for inputs, *move in zip(input.unbind(1), *(one.unbind(0) for one in moves), strict=True):
            rest = iter(move)
            output, now = cell(inputs, map_state(lambda tensor, rest=rest: tensor + next(rest), now))
            outputs.append(output)
        return loss(torch.stack(outputs, 1))

    with torch.no_grad():
        found = iter(grad(total)(state_tensors(nudges)))
    return map_state(lambda _: next(found).transpose(0, 1), before)


def state_gradient_norms(gradients: State) -> Tensor:
    """Norms over all tensors of what state_gradients returned: (batch, time)."""
    norms: Tensor = torch.linalg.vector_norm(torch.cat([one.flatten(2) for one in state_tensors(gradients)], 2), dim=2)
    return norms


def weight_contributions(cell: Cell, input: Tensor, loss: Loss, state: State | None = None) -> dict[str, Tensor]:
    """Every weight's gradient, split by the step at which the weight was used.

        dL/dW = sum_t  dL/ds_t  d+s_t/dW        the terms of the sum (Pascanu et al. 2013, eqs. 3-4)

    input, state, loss: as for state_gradients.
    Returns  by parameter name (time + 1, *shape of the weight): [0] its use in the initial state, [t] by step t, from 1
             on. They sum to the whole gradient, and take that many times its memory.
    Raises   ValueError for an input of another shape.
    """
    check_input(cell, input)
    network, steps = _Network(cell), input.size(1)

    def total(uses: dict[str, Tensor]) -> Tensor:
        at = [dict(zip(uses, one, strict=True)) for one in zip(*(use.unbind(0) for use in uses.values()), strict=True)]
        now = functional_call(network, at[0], (input, None)) if state is None else state
        outputs = []
        for inputs, weights in zip(input.unbind(1), at[1:], strict=True):
            output, now = functional_call(network, weights, (inputs, now))
            outputs.append(output)
        return loss(torch.stack(outputs, 1))

    shared = {name: weight.detach().expand(steps + 1, *weight.shape) for name, weight in network.named_parameters()}
    with torch.no_grad():
        found: dict[str, Tensor] = grad(total)(shared)
    return {name.removeprefix("cell."): part for name, part in found.items()}


def slot_gradients(memory: Tensor, *, negligible: float = 1e-6) -> SlotGradients:
    """The share of a gradient that reaches each slot of a memory.

        share(i) = sum_t |dL/dM_t(i)|^2 / sum_j sum_t |dL/dM_t(j)|^2

    memory:     (batch, time, slot, width), what state_gradients returned for the memory: `.memory` of an NTM's,
                `.memories` of an EntNet's.
    negligible: the share at or below which a slot counts as never touched; all do where there is no gradient.
    Raises      ValueError for another number of axes.
    """
    if memory.dim() != 4:
        raise ValueError(f"memory must be (batch, time, slot, width), not {tuple(memory.shape)}")
    # Scaled first, since squares of small gradients underflow.
    largest = memory.abs().amax((1, 2, 3), keepdim=True)
    energy = (memory / torch.where(largest > 0, largest, 1.0)).square().sum((1, 3))
    shares = energy / energy.sum(1, keepdim=True).clamp(min=torch.finfo(energy.dtype).tiny)
    return SlotGradients(shares, shares <= negligible)


class _Network(nn.Module):
    """A cell whose initial state is a call, too."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input: Tensor, state: State | None) -> State:
        return self.cell.initial_state(input.size(0)) if state is None else self.cell(input, state)


def check_input(cell: Cell, input: Tensor) -> None:
    """ValueError for anything but a sequence that the cell can read."""
    if input.dim() != 3 or input.size(-1) != cell.input_size or 0 in input.shape:
        raise ValueError(
            f"input must be (batch, time, {cell.input_size}) with at least one row and one step, "
            f"not {tuple(input.shape)}"
        )


def _jacobians(cell: Cell, input: Tensor, state: State | None) -> Iterable[Tensor]:
    """The Jacobians of blocks of steps, (step, batch, size, size), the last steps first."""
    check_input(cell, input)
    now = cell.initial_state(input.size(0)) if state is None else state
    projected = [part.transpose(0, 1) for part in cell.project(input)]
    before = []
    for parts in zip(*(part.unbind(0) for part in projected), strict=True):
        before.append(flatten_state(now))
        now = cell.step(parts, now)[1]
    states = torch.stack(before)
    steps, batch, size = states.shape
    at_once = max(1, _AT_ONCE // (batch * size * size))
    for end in range(steps, 0, -at_once):
        block = slice(max(0, end - at_once), end)
        rows = tuple(part[block].flatten(0, 1) for part in projected)
        yield _jacobian(cell, rows, states[block].flatten(0, 1), now).unflatten(0, (-1, batch))


def _jacobian(cell: Cell, projected: tuple[Tensor, ...], before: Tensor, like: State) -> Tensor:
    """The Jacobians of one step for many rows, each (size, size): rows of a batch do not know of each other.

    before: (row, size). like: a state of the same layout.
    """
    sizes = [tensor[0].numel() for tensor in state_tensors(like)]

    def step(flat: Tensor) -> Tensor:
        parts = iter(flat.split(sizes, 1))
        state = map_state(lambda tensor: next(parts).unflatten(1, tensor.shape[1:]), like)
        return flatten_state(cell.step(projected, state)[1])

    rows, size = before.shape
    pull_back = vjp(step, before)[1]
    directions = torch.eye(size, dtype=before.dtype, device=before.device).unsqueeze(1).expand(-1, rows, -1)
    jacobian: Tensor = vmap(pull_back)(directions)[0]
    return jacobian.transpose(0, 1)
