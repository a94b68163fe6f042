"""Causal Transformers against slow loops, with windows, chunks and caches, and what must hold of their positions."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from memnet import AttentionCell, Transformer
from memnet.functional.self_attention import alibi_slopes, rotate
from memnet.models.transformer import Positions
from memnet.sequence import SequenceModule
from tests.reversing import learn
from tests.slow_equations import Array

every_position = pytest.mark.parametrize("positions", ["rotary", "alibi", "none"])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def slow_score(query: Array, key: Array, back: int, head: int, positions: str) -> float:
    """The score of a key so many steps before its query; rotary embedding in complex numbers."""
    half = len(query) // 2
    if positions != "rotary":
        product = float(sum(a * b for a, b in zip(query, key, strict=True)))
    else:
        product = float(sum(query[2 * half :] * key[2 * half :]))
        for j in range(half):
            turned = complex(key[j], key[j + half]) * cmath.exp(-1j * back * 10000 ** (-j / half))
            product += (complex(query[j], query[j + half]) * turned.conjugate()).real
    slope = 2 ** (-8 * (head + 1) / 2) if positions == "alibi" else 0.0
    return product / math.sqrt(len(query)) - slope * back


@every_position
@pytest.mark.parametrize(("window", "width"), [(3, 4), (9, 4), (3, 5)])
def test_every_step_attends_as_the_slow_loops_do(positions: Positions, window: int, width: int) -> None:
    """Step by step and all at once, of more steps than the window holds and of fewer, heads of even and odd width."""
    size = 2 * width
    torch.manual_seed(0)
    cell = AttentionCell(3, size, num_heads=2, num_slots=window, positions=positions).double()
    input = normal(1, 8, 3)
    query, key, value = (one[0].detach().numpy() for one in cell.projection(input).split(size, -1))
    expected = np.zeros((8, size))
    for t in range(8):
        for head in range(2):
            own = slice(width * head, width * (head + 1))
            seen = range(max(0, t - window + 1), t + 1)
            scores = [math.exp(slow_score(query[t, own], key[s, own], t - s, head, positions)) for s in seen]
            for s, score in zip(seen, scores, strict=True):
                expected[t, own] += score / sum(scores) * value[s, own]
    model = SequenceModule(cell, size).double()
    model.readout.weight.data = torch.eye(size).double()
    model.readout.bias.data.zero_()
    cell.output.weight.data = torch.eye(size).double()
    for model.backend in ("chunked", "eager"):
        torch.testing.assert_close(model(input)[0][0], torch.from_numpy(expected))


@pytest.mark.parametrize("width", [6, 7, 1])
def test_turning_keeps_lengths_and_tells_differences_alone(width: int) -> None:
    vectors, other = normal(5, width), normal(5, width, seed=1)
    turned = rotate(vectors, torch.arange(5))
    torch.testing.assert_close(turned.norm(dim=-1), vectors.norm(dim=-1))
    torch.testing.assert_close(turned[0], vectors[0])
    products = [(rotate(vectors, torch.arange(k, k + 5)) * rotate(other, torch.arange(k + 3, k + 8))) for k in (0, 70)]
    torch.testing.assert_close(products[0].sum(-1), products[1].sum(-1))


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [(1, [2**-8]), (2, [2**-4, 2**-8]), (8, [2**-k for k in range(1, 9)]), (3, [2**-4, 2**-8, 2**-2])],
)
def test_slopes_are_those_of_alibi(heads: int, slopes: list[float]) -> None:
    assert alibi_slopes(heads) == slopes


def test_without_positions_the_order_of_earlier_steps_does_not_count() -> None:
    for positions, same in (("none", True), ("rotary", False), ("alibi", False)):
        torch.manual_seed(0)
        model = Transformer(3, 2, hidden_size=8, num_layers=1, num_heads=2, positions=positions).double()
        input = normal(1, 6, 3)
        shuffled = torch.cat([input[:, :5].flip(1), input[:, 5:]], 1)
        assert torch.allclose(model(input)[0][:, -1], model(shuffled)[0][:, -1], atol=1e-12) == same


def test_the_window_is_no_part_of_the_weights() -> None:
    torch.manual_seed(0)
    model, input = Transformer(3, 2, hidden_size=8, num_heads=2, num_slots=2).double(), normal(2, 9, 3)
    narrow = model(input)[0]
    model.num_slots = 9
    wide, state = model(input)
    assert state[0].memory.shape == (2, 9, 16)
    assert state[0].filled.tolist() == [9, 9]
    torch.testing.assert_close(wide[:, :2], narrow[:, :2])
    assert not torch.isclose(wide[:, 4:], narrow[:, 4:]).any()
    model.num_slots = 50
    torch.testing.assert_close(model(input)[0], wide)


def test_a_trace_tells_what_was_attended_to() -> None:
    model = Transformer(3, 2, hidden_size=8, num_heads=2, num_slots=4).double()
    read = next(part for part in model.trace(normal(1, 6, 3)).parts if part.kind == "read")
    assert read.axes == ("time", "head", "slot")
    torch.testing.assert_close(read.values.sum(-1), torch.ones(1, 6, 2).double())
    assert (read.values[0, 0] > 0).tolist() == [[False, False, False, True]] * 2


def test_sizes_that_cannot_be_are_refused() -> None:
    for options, told in (
        ({"num_heads": 3}, "num_heads 3 must divide hidden_size, not 8"),
        ({"num_slots": 0}, "num_slots must be at least 1, not 0"),
        ({"positions": "sine"}, "positions must be one of rotary, alibi, none"),
    ):
        with pytest.raises(ValueError, match=told):
            Transformer(3, 2, **({"hidden_size": 8, "num_heads": 2} | options))


def test_it_learns_to_copy() -> None:
    torch.manual_seed(0)
    first, last = learn(Transformer(3, 2, hidden_size=16, num_heads=2, num_slots=8), backwards=False)
    assert last < 0.1 < 0.6 < first
