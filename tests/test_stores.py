"""Memories without time: each against what it is at its limits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

from memnet import EpisodicMemory, ProductKeyMemory
from memnet.functional.hopfield import (
    hebbian_step,
    hebbian_weights,
    hopfield_energy,
    hopfield_retrieved,
    hopfield_step,
)
from memnet.functional.product_keys import best_products
from memnet.functional.pseudo_inverse import pseudo_inverse
from tests.test_mixers import assert_equal, normal

# ------------------------------------------------------------------------------------------------- Hopfield


def test_a_step_of_hopfield_is_attention() -> None:
    patterns, state = normal(2, 7, 5), normal(2, 3, 5, seed=1)
    expected = nn.functional.scaled_dot_product_attention(state, patterns, patterns)
    assert_equal(hopfield_step(patterns, state, 1 / math.sqrt(5)), expected)


def test_energies_are_those_of_the_equation_and_fall_to_the_patterns() -> None:
    patterns, state = normal(6, 16), normal(6, 16) + 0.3 * normal(6, 16, seed=1)
    energy = hopfield_energy(patterns, state, 2.0)
    for one, own in zip(state, energy, strict=True):
        alike = math.log(sum(math.exp(2 * float(one @ x)) for x in patterns)) / 2
        rest = float(one @ one) / 2 + math.log(6) / 2 + max(float(x @ x) for x in patterns) / 2
        assert float(own) == pytest.approx(rest - alike)
    for _ in range(3):
        state = hopfield_step(patterns, state, 2.0)
        last, energy = energy, hopfield_energy(patterns, state, 2.0)
        assert (energy <= last + 1e-12).all()
        assert (energy >= 0).all()
    assert_equal(hopfield_retrieved(patterns, normal(6, 16) + 0.3 * normal(6, 16, seed=1), 2.0, 5), patterns, 1e-3)


def test_with_little_sharpness_all_patterns_are_one_mean() -> None:
    patterns = normal(6, 16)
    found = hopfield_retrieved(patterns, patterns, 1e-6, 2)
    assert_equal(found, patterns.mean(0).expand(6, -1), 1e-4)


def test_few_binary_patterns_are_fixed_and_mended_and_many_are_not() -> None:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(2, (60, 100), generator=generator) * 2.0 - 1
    weights = hebbian_weights(patterns[:5])
    assert (weights.diagonal() == 0).all()
    assert torch.equal(hebbian_step(weights, patterns[:5]), patterns[:5])
    broken = patterns[:5].clone()
    broken[:, :10] *= -1
    assert torch.equal(hebbian_step(weights, broken), patterns[:5])
    assert not torch.equal(hebbian_step(hebbian_weights(patterns), patterns), patterns)
    assert torch.equal(hebbian_step(torch.zeros(100, 100), patterns), patterns)


# ------------------------------------------------------------------------------------------------- product keys


def test_the_best_of_all_pairs_are_found() -> None:
    query, keys = normal(5, 2, 6), normal(2, 2, 7, 3, seed=1)
    for count in (1, 3, 7):
        scores, places = best_products(query, keys, count)
        for row in range(5):
            for head in range(2):
                first, second = keys[head, 0] @ query[row, head, :3], keys[head, 1] @ query[row, head, 3:]
                best = (first.unsqueeze(1) + second).flatten().topk(count)
                assert_equal(scores[row, head], best.values)
                assert torch.equal(places[row, head], best.indices)


def test_a_product_key_memory_is_a_softmax_over_what_it_reads() -> None:
    torch.manual_seed(0)
    memory, input = ProductKeyMemory(4, 3, num_keys=5, key_size=6, num_heads=2, num_read=5).double(), normal(2, 3, 4)
    query, expected = memory.query(input).unflatten(-1, (2, -1)), torch.zeros(2, 3, 3).double()
    for head in range(2):
        halves = query[..., head, :].split(3, -1)
        first, second = (half @ own.T for half, own in zip(halves, memory.keys[head], strict=True))
        scores = (first.unsqueeze(-1) + second.unsqueeze(-2)).flatten(-2)
        kept = scores.topk(5, -1)
        weights = torch.zeros_like(scores).scatter(-1, kept.indices, torch.softmax(kept.values, -1))
        expected = expected + weights @ memory.values
    assert_equal(memory(input), expected)
    memory(input).sum().backward()
    assert memory.values.grad is not None
    assert 0 < (memory.values.grad.abs().sum(1) > 0).sum() <= 25


def test_with_as_many_as_one_key_every_value_is_read() -> None:
    memory = ProductKeyMemory(4, 3, num_keys=1, key_size=2, num_heads=3, num_read=1)
    assert_equal(memory(torch.rand(2, 4)), 3 * memory.values.expand(2, -1), 1e-6)


# ------------------------------------------------------------------------------------------------- Larimar


def test_an_episode_is_read_as_it_was_written() -> None:
    torch.manual_seed(0)
    memory, episode = EpisodicMemory(6, 8).double(), normal(2, 6, 8)
    assert_equal(memory(episode, episode), episode, 1e-9)
    other = normal(2, 3, 8, seed=5)
    found = memory(episode, other)
    assert_equal(memory.read(found, memory.write(episode)), found, 1e-9)
    assert (found - other).abs().max() > 0.1
    longer = normal(2, 7, 8)
    assert (memory(longer, longer) - longer).abs().max() > 0.01


def test_addresses_and_memory_are_least_squares() -> None:
    torch.manual_seed(0)
    memory, episode = EpisodicMemory(4, 8).double(), normal(1, 3, 8)
    address = torch.linalg.lstsq(memory.memory.T, episode[0].T).solution.T
    expected = torch.linalg.lstsq(address.detach(), episode[0], driver="gelsd").solution
    assert_equal(memory.write(episode)[0], expected, 1e-9)


def test_steps_come_to_the_pseudo_inverse_and_three_from_a_small_start_do_not() -> None:
    matrix = normal(2, 5, 8)
    exact = pseudo_inverse(matrix)
    assert_equal(matrix @ exact, torch.eye(5).double().expand(2, -1, -1), 1e-9)
    assert_equal(pseudo_inverse(matrix, 40), exact, 1e-9)
    few = pseudo_inverse(matrix, 3, 5e-4)
    assert ((few - exact).norm() / exact.norm()) > 0.5
    torch.manual_seed(0)
    memory, episode = EpisodicMemory(6, 8, num_steps=40).double(), normal(2, 4, 8)
    assert_equal(memory(episode, episode), episode, 1e-6)


# ------------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("memory", [EpisodicMemory(4, 5), ProductKeyMemory(5, 5, num_keys=3, key_size=4, num_read=2)])
def test_gradients_equal_finite_differences_and_a_folder_keeps_it(memory: nn.Module, tmp_path: Path) -> None:
    memory = memory.double()
    names, episode = [name for name, _ in memory.named_parameters()], normal(1, 3, 5)
    given = (episode, episode) if isinstance(memory, EpisodicMemory) else (episode,)

    def run(*parameters: Tensor) -> Tensor:
        output: Tensor = functional_call(memory, dict(zip(names, parameters, strict=True)), given)
        return output

    assert gradcheck(run, [*memory.parameters()], atol=1e-5)
    memory.float().save_pretrained(tmp_path / "memory")  # type: ignore[operator]
    again = type(memory).from_pretrained(tmp_path / "memory")  # type: ignore[attr-defined]
    told = tuple(one.float() for one in given)
    assert torch.equal(memory(*told), again(*told))


def test_what_cannot_be_is_refused() -> None:
    for options, told in (
        ({"key_size": 3}, "key_size must be even, not 3"),
        ({"num_read": 9, "num_keys": 4}, "num_read must be at most num_keys 4, not 9"),
    ):
        with pytest.raises(ValueError, match=told):
            ProductKeyMemory(3, 2, **options)
    with pytest.raises(ValueError, match=r"input must be \(\.\.\., 3\), not \(2, 4\)"):
        ProductKeyMemory(3, 2)(torch.rand(2, 4))
    with pytest.raises(ValueError, match=r"encodings must be \(batch, step, 3\), not \(2, 3\)"):
        EpisodicMemory(4, 3).write(torch.rand(2, 3))
    with pytest.raises(ValueError, match=r"queries must be \(batch, query, 3\), not \(2, 3\)"):
        EpisodicMemory(4, 3).read(torch.rand(2, 3), torch.rand(1, 4, 3))
