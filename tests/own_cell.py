"""A cell as somebody writes one who knows no more of memnet than that there is an initial state and a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import memnet
from memnet.cells import StackedCell


class LeakyCell(memnet.Cell):
    """h' = leak h + (1 - leak) tanh(W x)

    input_size, output_size: features of input and state.
    leak: share of the state that stays.
    """

    def __init__(self, input_size: int, output_size: int = 4, *, leak: float = 0.5) -> None:
        super().__init__()
        self.input_size, self.output_size, self.leak = input_size, output_size, leak
        self.weight = nn.Parameter(torch.randn(output_size, input_size))

    def initial_state(self, batch_size: int) -> tuple[Tensor]:
        return (self.weight.new_zeros(batch_size, self.output_size),)

    def step(self, projected: tuple[Any, ...], state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        hidden = self.leak * state[0] + (1 - self.leak) * torch.tanh(projected[0] @ self.weight.T)
        hidden = hidden.to(state[0].dtype)
        return hidden, (hidden,)


class DroppingCell(memnet.LSTMCell):
    """An LSTM half of whose output is dropped."""

    def step(self, projected: tuple[Any, ...], state: Any) -> tuple[Tensor, Any]:
        output, state = super().step(projected, state)
        return functional.dropout(output, 0.5), state


class DroppingStack(StackedCell):
    """A single LSTM as a stack, half of whose output is dropped."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__([memnet.LSTMCell(input_size, hidden_size)])

    def step(self, projected: tuple[Any, ...], state: Any) -> tuple[Tensor, Any]:
        output, state = super().step(projected, state)
        return functional.dropout(output, 0.5), state


class CountingCell(memnet.FeedForwardCell):
    """A layer that counts its steps, in whole numbers."""

    def initial_state(self, batch_size: int) -> Any:
        return (torch.zeros(batch_size, dtype=torch.int64, device=self.weight_ih.device),)

    def step(self, projected: tuple[Any, ...], state: Any) -> tuple[Tensor, Any]:
        (count,) = state
        return torch.tanh(projected[0]) / (1 + count.unsqueeze(-1)), (count + 1,)
