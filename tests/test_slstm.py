"""sLSTM against a slow loop without its stabiliser, and what must hold of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from memnet import NTM, SLSTM, SLSTMCell
from memnet.models.slstm import SLSTMState, scalar_memory


def drawn(hidden_size: int = 6, num_heads: int = 2) -> SLSTMCell:
    torch.manual_seed(0)
    cell = SLSTMCell(3, hidden_size, num_heads=num_heads).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    return cell


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_every_step_is_that_of_the_slow_loop() -> None:
    """Unit by unit, by exponentials as the paper first writes them, with R block by block."""
    cell, state, width = drawn(), drawn().initial_state(1), 3
    weight, bias, mixing, gain = (
        one.detach().numpy() for one in (cell.weight_ih, cell.bias_ih, cell.weight_hh, cell.norm_weight)
    )
    hidden, kept, normalizer = np.zeros(6), np.zeros(6), np.zeros(6)
    for input in normal(1, 7, 3).unbind(1):
        output, state = cell(input, state)
        before = np.array(hidden)
        for unit in range(6):
            head, place = divmod(unit, width)
            gates = []
            for gate in range(4):
                row = gate * 6 + unit
                total = bias[row] + sum(weight[row, k] * float(input[0, k]) for k in range(3))
                own = mixing[head, gate * width + place]
                gates.append(total + sum(own[k] * before[head * width + k] for k in range(width)))
            let_in, forget = math.exp(gates[0]), sigmoid(gates[1])
            kept[unit] = forget * kept[unit] + let_in * math.tanh(gates[2])
            normalizer[unit] = forget * normalizer[unit] + let_in
            hidden[unit] = sigmoid(gates[3]) * kept[unit] / normalizer[unit]
        torch.testing.assert_close(state.hidden[0], torch.from_numpy(hidden))
        heads = hidden.reshape(2, width)
        spread = np.sqrt(heads.var(1, keepdims=True) + 1e-5)
        expected = ((heads - heads.mean(1, keepdims=True)) / spread).flatten() * gain
        torch.testing.assert_close(output[0], torch.from_numpy(expected))


def test_the_result_does_not_depend_on_the_stabilizer() -> None:
    """Another m with c and n scaled to it is the same state."""
    state = SLSTMState(*normal(3, 2, 6).abs(), torch.zeros(2, 6).double())
    other = state._replace(
        stabilizer=state.stabilizer - 7, cell=state.cell * math.exp(7), normalizer=state.normalizer * math.exp(7)
    )
    emitted = normal(2, 4, 6, seed=1)
    torch.testing.assert_close(scalar_memory(state, emitted)[0].hidden, scalar_memory(other, emitted)[0].hidden)


@pytest.mark.parametrize("size", [-500.0, 500.0])
def test_gates_of_any_size_are_finite_with_their_gradients(size: float) -> None:
    cell = SLSTMCell(3, 4, num_heads=2)
    state, input = cell.initial_state(2), torch.randn(2, 5, 3)
    emitted = torch.full((2, 4, 4), size, requires_grad=True)
    after, gates = scalar_memory(scalar_memory(state, emitted)[0], -emitted)
    (gradient,) = torch.autograd.grad(after.hidden.sum(), emitted)
    assert all(one.isfinite().all() for one in (*after, *gates, gradient))
    assert SLSTM(3, 2, hidden_size=4, num_heads=2)(input)[0].isfinite().all()


def test_a_whole_forget_gate_makes_it_a_mean_and_it_drives_a_memory() -> None:
    """With f = 1 and equal input gates, c / n is the mean of all candidates."""
    state, candidates = SLSTMState(*[torch.zeros(1, 2).double()] * 4), normal(5, 2)
    for candidate in candidates:
        emitted = torch.stack([torch.zeros(2), torch.full((2,), 1e3), candidate, torch.full((2,), 1e3)]).double()
        state, _ = scalar_memory(state, emitted.unsqueeze(0))
    torch.testing.assert_close(state.hidden[0], candidates.tanh().mean(0))
    assert NTM(3, 2, controller=SLSTMCell, hidden_size=8)(torch.randn(2, 4, 3))[0].shape == (2, 4, 2)
    with pytest.raises(ValueError, match="hidden_size must be num_heads 4 times two or more, not 4"):
        SLSTMCell(3, 4)


def test_it_learns_parity() -> None:
    """A state that no sum of the inputs tells: ones so far, even or odd, of five bits."""
    torch.manual_seed(0)
    model, generator, losses = SLSTM(1, 2, hidden_size=16, num_layers=1), torch.Generator().manual_seed(0), []
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(70):
        bits = torch.randint(2, (64, 5), generator=generator)
        loss = cross_entropy(model(bits.unsqueeze(-1).float())[0].flatten(0, 1), (bits.cumsum(1) % 2).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.1 < 0.6 < losses[0]
