"""A cell as somebody writes one who knows no more of memnet than that there is an initial state and a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import memnet


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
