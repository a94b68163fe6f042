"""Numbers about weightings and gradients, against slow loops and by their properties."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from memnet import GRU, LSTM, NTM, EntNet, MemN2N, StoryReader, gradient_norms, slots_used, weighting_entropy
from tests.stories import question_of, story_of


def slow_entropy(weights: np.ndarray) -> float:
    total = 0.0
    for weight in weights:
        if weight > 0:
            total -= weight * math.log2(weight)
    return total


def weightings(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    weights = torch.softmax(5 * torch.randn(*shape, generator=generator, dtype=torch.float64), -1)
    return weights.where(weights > 1e-3, 0.0)


def test_entropy_is_the_sum_over_slots() -> None:
    weights = weightings(3, 4, 10)
    assert (weights == 0).any()
    expected = [[slow_entropy(row) for row in rows] for rows in weights.numpy()]
    torch.testing.assert_close(weighting_entropy(weights), torch.tensor(expected, dtype=torch.float64))


def test_slots_used_is_the_perplexity_of_the_mean() -> None:
    weights = weightings(2, 5, 3, 10)
    expected = []
    for episode in weights.numpy():
        mean = np.zeros(10)
        for step in episode:
            for head in step:
                mean += head / 15
        expected.append(2 ** slow_entropy(mean))
    torch.testing.assert_close(slots_used(weights), torch.tensor(expected, dtype=torch.float64))


def test_units() -> None:
    assert weighting_entropy(torch.full((8,), 1 / 8)) == pytest.approx(3)
    assert weighting_entropy(nn.functional.one_hot(torch.tensor(2), 8).float()) == 0
    walk = torch.eye(16)[:6].unsqueeze(1)
    assert slots_used(walk) == pytest.approx(6)
    assert slots_used(walk[:1]) == 1


def grown(model: nn.Module) -> nn.Module:
    """The model with a gradient in every parameter."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return model


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (NTM(3, 2), "controller read-heads write-heads output"),
        (NTM(3, 2, memory_init="learned"), "initial-state controller read-heads write-heads output"),
        (LSTM(3, 2, num_layers=2), "layers-1 layers-2 output"),
        (GRU(3, 2, num_layers=1), "cell output"),
        (MemN2N(8, max_words=4, tying="layerwise"), "update embeddings-1 embeddings-2 question answer"),
        (EntNet(8, max_words=4), "sentence-mask question-mask memory words answers from-read"),
        (StoryReader(NTM(5, 8), 8), "words controller read-heads write-heads output"),
    ],
)
def test_the_parts_make_up_the_whole_gradient(model: nn.Module, parts: str) -> None:
    norms = gradient_norms(grown(model))
    assert list(norms) == parts.split()
    whole = math.sqrt(sum(float((one.grad**2).sum()) for one in model.parameters() if one.grad is not None))
    assert math.sqrt(sum(float(norm) ** 2 for norm in norms.values())) == pytest.approx(whole, rel=1e-5)


def test_read_and_write_heads_are_told_apart() -> None:
    model = NTM(3, 2, num_reads=2, num_writes=3, num_slots=8, slot_size=4)
    hidden = torch.randn(1, model.cell.heads.in_features)
    heads = model.cell.parameters_of_heads(model.cell.heads(hidden))
    reading = sum(part[:, :2].sum() for part in heads[:5])
    reading.backward()
    norms = gradient_norms(model)
    assert norms["write-heads"] == 0
    assert norms["read-heads"] > 0
    model.zero_grad()
    heads = model.cell.parameters_of_heads(model.cell.heads(hidden))
    writing = sum(part[:, 2:].sum() for part in heads[:5]) + heads.erase.sum() + heads.add.sum()
    writing.backward()
    norms = gradient_norms(model)
    assert norms["read-heads"] == 0
    assert norms["write-heads"] > 0
    assert model.cell.write_features().sum() == 3 * (4 + 1 + 1 + 3 + 1) + 3 * 4 * 2


def test_copies_are_apart_and_parts_without_a_gradient_are_left_out() -> None:
    single, stacked = MemN2N(8, max_words=4), MemN2N(8, max_words=4)
    single(story_of(), question_of()).sum().backward()
    for one, parameter in zip(single.parameters(), stacked.parameters(), strict=True):
        assert one.grad is not None
        parameter.data = torch.stack([one.data, one.data])
        parameter.grad = torch.stack([one.grad, 2 * one.grad])
    alone, both = gradient_norms(single), gradient_norms(stacked, 2)
    assert list(alone) == list(both) == [f"embeddings-{k}" for k in (1, 2, 3, 4)]
    for part, norm in alone.items():
        torch.testing.assert_close(both[part], torch.cat([norm, 2 * norm]))
    assert gradient_norms(NTM(3, 2)) == {}
