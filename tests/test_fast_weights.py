"""Fast weights against slow loops, as attention to the past, and what must hold of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from memnet import FastWeights, FastWeightsCell
from memnet.functional.fast_weights import attend_to_past, bind
from tests.slow_equations import Array


def drawn(**options: Any) -> FastWeightsCell:
    torch.manual_seed(0)
    cell = FastWeightsCell(3, 5, **options).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    return cell


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("options", [{}, {"inner_steps": 3, "decay": 0.5, "rate": 1.5}, {"normalized": False}])
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    """The fast weights as the sum over all past hidden states that they stand for."""
    cell, past = drawn(**options), list[Array]()
    weights = {name: one.detach().numpy() for name, one in cell.named_parameters()}
    state, hidden = cell.initial_state(1), np.zeros(5)

    def squashed(total: Array) -> Array:
        if cell.norm is not None:
            total = (total - total.mean()) / np.sqrt(total.var() + 1e-5)
            total = total * weights["norm.weight"] + weights["norm.bias"]
        return np.maximum(total, 0)

    for input in normal(1, 6, 3).unbind(1):
        output, state = cell(input, state)
        slow = weights["weight_hh"] @ hidden + weights["weight_ih"] @ input[0].numpy() + weights["bias_ih"]
        inner = squashed(slow)
        for _ in range(cell.inner_steps):
            recalled = np.zeros(5)
            for age, one in enumerate(reversed(past)):
                recalled += cell.rate * cell.decay**age * one * float(one @ inner)
            inner = squashed(slow + recalled)
        hidden = inner
        past.append(hidden)
        torch.testing.assert_close(output[0], torch.from_numpy(hidden))


def test_the_matrix_is_attention_to_the_past() -> None:
    past, query, fast = normal(2, 9, 5), normal(2, 5, seed=1), torch.zeros(2, 5, 5).double()
    for hidden in past.unbind(1):
        fast = bind(fast, hidden, 0.9, 0.5)
    torch.testing.assert_close((fast @ query.unsqueeze(-1)).squeeze(-1), attend_to_past(past, query, 0.9, 0.5))
    torch.testing.assert_close(fast, fast.mT)


def test_without_a_rate_it_is_a_recurrent_network_with_layer_normalisation() -> None:
    """However often its empty weights are asked; what it was before does not come back."""
    once, often = (drawn(rate=0.0, inner_steps=steps) for steps in (1, 4))
    state, other = once.initial_state(2), often.initial_state(2)
    for input in normal(2, 5, 3).unbind(1):
        expected = torch.relu(once.norm(once.project(input)[0] + once.recurrent(state.hidden)))  # type: ignore[misc]
        hidden, state = once(input, state)
        again, other = often(input, other)
        torch.testing.assert_close(hidden, expected)
        torch.testing.assert_close(again, expected)


def test_values_that_cannot_be_are_refused() -> None:
    for options in ({"decay": 1.5}, {"rate": -1.0}):
        with pytest.raises(ValueError, match="decay must be in"):
            drawn(**options)
    with pytest.raises(ValueError, match="inner_steps must be at least 1, not 0"):
        drawn(inner_steps=0)


def test_it_learns_which_value_a_key_had() -> None:
    """Two keys of four, each with a value of two beside it, then one of the keys."""
    torch.manual_seed(0)
    model, generator, losses = FastWeights(6, 2, hidden_size=32), torch.Generator().manual_seed(0), []
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        keys = torch.rand(64, 4, generator=generator).argsort(1)[:, :2]
        values, asked = torch.randint(2, (64, 2), generator=generator), torch.randint(2, (64, 1), generator=generator)
        shown = torch.cat([one_hot(keys, 4), one_hot(values, 2)], -1)
        last = torch.cat([one_hot(keys.gather(1, asked), 4), torch.zeros(64, 1, 2, dtype=torch.int64)], -1)
        output = model(torch.cat([shown, last], 1).float())[0][:, -1]
        loss = cross_entropy(output, values.gather(1, asked).squeeze(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.1 < 0.6 < losses[0]
