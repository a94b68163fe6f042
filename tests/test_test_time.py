"""Memories that learn while they read, against loops that know no formula of a gradient, and at their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import grad

from memnet import TTT, Mesa, MesaCell, Titans, TitansCell, TTTCell
from memnet.functional.associations import associate_chunks
from memnet.functional.inner_learning import Norm, gelu_slope, gradients, network, normalized_slope, outer
from memnet.functional.least_squares import conjugate_gradients, solved
from memnet.inner import InnerMemory, InnerSteered
from memnet.models.mesa import MesaMemory, MesaSteered
from memnet.state import state_tensors
from tests import slow_mixers as slow
from tests.test_mixers import assert_equal, assert_is, drawn, normal

# ------------------------------------------------------------------------------------------------- one step


@pytest.mark.parametrize("name", ["ttt-linear", "ttt-mlp", "titans-linear", "titans-mlp"])
def test_a_layer_goes_along_the_gradient_of_the_loss(name: str) -> None:
    """As slow loops do, over the end of mini-batches."""
    options = ("num_heads", "head_size", "mini_batch", "learning_rate")
    assert_is(name, slow.inner_layer, *options, tolerance=1e-7)


@pytest.mark.parametrize("name", ["mesa", "mesa, exact", "mesa, linear"])
def test_a_layer_of_mesa_is_that_of_the_slow_loops(name: str) -> None:
    sizes = ("num_heads", "key_size", "value_size")
    assert_is(name, slow.mesa_layer, *sizes, "least_ridge", "output_gate", "linear_keys", tolerance=1e-9)


def test_gradients_are_those_of_autograd() -> None:
    """Also that of layer normalisation, whose three terms are all divided by the standard deviation."""
    layers = [normal(1, 1, 4, 6, seed=1), normal(1, 1, 7, 3, seed=2)]
    for norm in (None, Norm(normal(1, 1, 3, seed=4), normal(1, 1, 3, seed=5))):
        key, value = normal(1, 1, 5, 4 if norm is None else 3), normal(1, 1, 5, 3, seed=3)
        if norm is not None:
            layers = [normal(1, 1, 3, 6, seed=1), layers[1]]

        def loss(layers: list[Tensor], key: Tensor = key, value: Tensor = value, norm: Norm | None = norm) -> Tensor:
            return (network(layers, key, norm) - value).square().sum() / 2

        found = [outer(one, torch.ones(1, 1, 5, 1).double()) for one in gradients(layers, key, value, norm)]
        for one, other in zip(found, grad(loss)(layers), strict=True):
            assert_equal(one, other)
    values, target, norm = normal(5, 4), normal(5, 4, seed=1), Norm(normal(4, seed=2), normal(4, seed=3))

    def normed(values: Tensor) -> Tensor:
        return (nn.functional.layer_norm(values, (4,), norm.weight, norm.bias, 1e-6) - target).square().sum() / 2

    assert_equal(normalized_slope(values, target, norm), grad(normed)(values))
    assert_equal(gelu_slope(values), grad(lambda one: nn.functional.gelu(one, approximate="tanh").sum())(values))


@pytest.mark.parametrize("name", ["ttt-linear", "ttt-mlp", "titans-linear", "titans-mlp"])
def test_sequences_in_parts_at_any_step_equal_the_whole(name: str) -> None:
    """In the midst of mini-batches, of rows that are in other places of theirs."""
    cell: Any = drawn(name)
    input, lengths = normal(3, 17, 3), torch.tensor([17, 9, 12])
    whole, last = cell.scan(input, cell.initial_state(3), lengths)
    state, outputs = cell.initial_state(3), []
    for begin, part in zip((0, 1, 6, 8), input.split([1, 5, 2, 9], 1), strict=True):
        output, state = cell.scan(part, state, (lengths - begin).clamp(0, part.size(1)))
        outputs.append(output)
    real = torch.arange(17) < lengths.unsqueeze(1)
    assert_equal(torch.cat(outputs, 1)[real], whole[real])
    for one, other in zip(state_tensors(state), state_tensors(last), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("memory", ["linear", "mlp"])
@pytest.mark.parametrize("kind", [TTT, Titans])
def test_what_learns_by_default_does_not_grow_without_end_before_it_is_trained(
    kind: type[TTT] | type[Titans], memory: Any
) -> None:
    """Where keys are alike, too, so that all tokens of a mini-batch change the memory in one direction."""
    torch.manual_seed(0)
    model = kind(3, 2, num_layers=1, hidden_size=12, memory=memory)
    input = torch.cat([torch.ones(2, 800, 3), torch.randn(2, 800, 3)])
    with torch.no_grad():
        _, state = model(input)
    assert all((one.abs() < 100).all() for one in state_tensors(state))


# ------------------------------------------------------------------------------------------------- identities


def linear(kind: type[TTTCell] | type[TitansCell], mini_batch: int) -> Any:
    """A cell with a linear network without normalisation, and a memory that begins at zero, four features wide."""

    class Plain(kind):  # type: ignore[misc, valid-type]
        biased, norm = False, None

    cell: Any = Plain(3, 5, num_heads=2, head_size=4, memory="linear", mini_batch=mini_batch).double()
    with torch.no_grad():
        cell.layers[0].zero_()
    return cell


def inner_tokens(time: int = 9) -> tuple[InnerSteered, dict[str, Tensor]]:
    """What steers it, with keys of length one, and the same for a memory of associations."""
    key = nn.functional.normalize(normal(1, time, 2, 4), dim=-1)
    query, value = normal(1, time, 2, 4, seed=1), normal(1, time, 2, 4, seed=2)
    rate, none = torch.sigmoid(normal(1, time, 2, seed=3)), torch.zeros(1, time, 0).double()
    strength = rate[..., None, None]
    told = {
        "query": query,
        "key": key.unsqueeze(-2),
        "value": strength * value.unsqueeze(-2),
        "erase": strength * key.unsqueeze(-2),
    }
    return InnerSteered(query, key, value, rate, none, none, key), told


def test_ttt_of_one_token_a_mini_batch_is_the_delta_rule() -> None:
    cell, (steered, told) = linear(TTTCell, 1), inner_tokens()
    memory = cell.first_memory(1)
    reads, last = cell.remember_all(memory, steered, None)
    expected, associations = associate_chunks(torch.zeros(1, 2, 4, 4).double(), **told)
    assert_equal(reads, expected)
    assert_equal(last.start[0], associations)


def test_ttt_of_one_mini_batch_from_zero_is_linear_attention() -> None:
    """Where the factor of each token is one."""
    cell, (steered, told) = linear(TTTCell, 9), inner_tokens()
    with torch.no_grad():
        cell.token_factors.copy_(1 - 1 / torch.arange(1, 10).double())
    reads, _ = cell.remember_all(cell.first_memory(1), steered, None)
    del told["erase"]
    assert_equal(reads, associate_chunks(torch.zeros(1, 2, 4, 4).double(), **told)[0])


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_titans_without_momentum_is_the_delta_rule_and_with_decay_not_the_gated_one(decay: float) -> None:
    """It predicts before it decays, where Gated DeltaNet predicts from what is left."""
    cell, (steered, told) = linear(TitansCell, 1), inner_tokens()
    kept = torch.full((1, 9, 2), 1 - decay).double().log()
    steered = steered._replace(log_momentum=torch.full((1, 9, 2), -1e3).double(), log_kept=kept)
    reads, _ = cell.remember_all(cell.first_memory(1), steered, None)
    gated, _ = associate_chunks(torch.zeros(1, 2, 4, 4).double(), **told, log_decay=kept.unsqueeze(-1))
    if decay:
        assert (reads - gated).abs().max() > 0.01
    else:
        assert_equal(reads, gated)


def test_momentum_goes_on_where_nothing_new_is_learned() -> None:
    """One token, and then only rates of zero: the weights go on by a geometric series."""
    cell, (steered, _) = linear(TitansCell, 4), inner_tokens(9)
    rate = torch.zeros(1, 9, 2).double()
    rate[:, 0] = 1
    half, kept = torch.full((1, 9, 2), 0.5).double().log(), torch.zeros(1, 9, 2).double()
    steered = steered._replace(rate=rate, log_momentum=half, log_kept=kept)
    _, last = cell.remember_all(cell.first_memory(1), steered, None)
    once = steered.key[:, 0].unsqueeze(-1) * steered.value[:, 0].unsqueeze(-2)
    assert_equal(last.current[0], once * sum(0.5**step for step in range(9)))


# ------------------------------------------------------------------------------------------------- MesaNet


def mesa_tokens(time: int = 9) -> MesaSteered:
    key = nn.functional.normalize(normal(1, time, 2, 4), dim=-1)
    query, value = normal(1, time, 2, 4, seed=1), normal(1, time, 2, 3, seed=2)
    ones = torch.ones(1, time, 2).double()
    return MesaSteered(query, key, value, ones, 0 * ones, value[..., :0])


def mesa(ridge: float, **options: Any) -> Any:
    """A cell whose Lambda is this in every channel."""
    cell: Any = MesaCell(3, 5, num_heads=2, key_size=4, value_size=3, least_ridge=0.0, **options).double()
    nn.init.constant_(cell.ridge, np.log(np.expm1(ridge)) if ridge < 30 else ridge)
    return cell


@pytest.mark.parametrize("solver", ["exact", "conjugate-gradients"])
def test_mesa_without_decay_is_recursive_least_squares(solver: Any) -> None:
    """P <- P - P k k^T P / (1 + k^T P k), W <- W + (v - W k) k^T P (Sherman & Morrison), from P = I / lambda."""
    steered, cell = mesa_tokens(), mesa(0.5, solver=solver)
    reads, _ = cell.remember_all(cell.first_memory(1), steered, None)
    for head in range(2):
        inverse, weights = np.eye(4) / 0.5, np.zeros((3, 4))
        for time in range(9):
            key, value, query = (one[0, time, head].numpy() for one in (steered.key, steered.value, steered.query))
            gain = inverse @ key / (1 + key @ inverse @ key)
            weights = weights + np.outer(value - weights @ key, gain)
            inverse = inverse - np.outer(gain, key @ inverse)
            assert_equal(reads[0, time, head], weights @ query, 1e-10)


def test_mesa_of_a_large_ridge_is_linear_attention_and_of_a_small_one_a_look_up() -> None:
    steered = mesa_tokens()
    cell = mesa(1e7)
    reads, _ = cell.remember_all(cell.first_memory(1), steered, None)
    told = {"key": steered.key.unsqueeze(-2), "value": steered.value.unsqueeze(-2)}
    expected, _ = associate_chunks(torch.zeros(1, 2, 4, 3).double(), steered.query, **told)
    assert_equal(1e7 * reads, expected, 1e-5)
    keys = torch.linalg.qr(normal(4, 4))[0].view(1, 4, 1, 4).expand(-1, -1, 2, -1)
    asked = mesa_tokens(4)._replace(key=keys, query=keys)
    cell = mesa(1e-9)
    assert_equal(cell.remember_all(cell.first_memory(1), asked, None)[0], asked.value, 1e-6)


def test_mesa_solves_in_both_ways_alike() -> None:
    steered = mesa_tokens()._replace(log_decay=-torch.rand(1, 9, 2).double())
    memory = MesaMemory(torch.eye(4).double().expand(1, 2, 4, 4), normal(1, 2, 4, 3, seed=7))
    exact, many, few = (mesa(0.5, **one) for one in ({"solver": "exact"}, {}, {"num_steps": 1}))
    reads = [cell.remember_all(memory, steered, None)[0] for cell in (exact, many, few)]
    assert_equal(reads[0], reads[1])
    assert (reads[0] - reads[2]).abs().max() > 1e-4
    for options, told in (({"solver": "lu"}, "solver must be one of"), ({"least_ridge": 1.0}, "least_ridge must be")):
        with pytest.raises(ValueError, match=told):
            Mesa(3, 2, **options)


def test_conjugate_gradients_solve_within_as_many_steps_as_there_are_numbers() -> None:
    half = normal(3, 5, 5)
    matrix, target = half @ half.transpose(-1, -2), normal(3, 5, seed=1)

    def product(vector: Tensor) -> Tensor:
        return (matrix @ vector.unsqueeze(-1)).squeeze(-1) + vector

    expected = solved(matrix, torch.ones(3, 5).double(), target)
    assert_equal(product(expected), target)
    assert_equal(conjugate_gradients(product, target, torch.zeros(3, 5).double(), 5), expected, 1e-8)
    assert_equal(conjugate_gradients(product, target, expected, 0), expected)


def test_memories_of_networks_say_what_they_hold() -> None:
    memory: InnerMemory = drawn("ttt-mlp").initial_state(2).memory
    assert [tuple(one.shape) for one in memory.start] == [(2, 2, 4, 12), (2, 2, 13, 3)]
    assert memory.current == ()
    assert len(drawn("titans-mlp").initial_state(2).memory.current) == 2
