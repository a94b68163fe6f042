"""Strings of two symbols, read and then to be given backwards or as they were: what stacks and queues are for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from memnet import SequenceModule


def strings(count: int, length: int, generator: torch.Generator, *, backwards: bool = True) -> tuple[Tensor, Tensor]:
    """Input (count, 2 * length, 3), whose last channel marks where the answer begins, and target (count, length)."""
    symbols = torch.randint(2, (count, length), generator=generator)
    input = torch.zeros(count, 2 * length, 3)
    input[:, :length, :2] = one_hot(symbols, 2).float()
    input[:, length, 2] = 1
    return input, symbols.flip(1) if backwards else symbols


def learn(
    model: SequenceModule, *, length: int = 4, steps: int = 80, rate: float = 1e-2, backwards: bool = True
) -> tuple[float, float]:
    """Train on strings of one length; the first loss and the mean of the last five, in nats a symbol."""
    torch.manual_seed(0)
    optimizer, generator = torch.optim.Adam(model.parameters(), rate), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(steps):
        input, target = strings(64, length, generator, backwards=backwards)
        loss = cross_entropy(model(input)[0][:, length:].flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses[0], sum(losses[-5:]) / 5
