"""Mamba-2, mLSTM and RWKV-7 against slow loops, and to what each of them comes at its limits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet import MLSTM, Mamba, MambaCell, MLSTMCell
from memnet.functional.associations import associate_chunks
from memnet.models.mamba import MambaMemory, MambaSteered, angles, turned
from memnet.models.mlstm import MLSTMMemory, MLSTMSteered, stabilizers
from memnet.models.rwkv7 import RWKV7Steered, transition_factors
from memnet.unroll import unroll
from tests import slow_mixers as slow
from tests.test_mixers import assert_equal, assert_is, drawn, normal

# ------------------------------------------------------------------------------------------------- Mamba-2


@pytest.mark.parametrize("name", ["mamba", "mamba, turned", "mamba, levels"])
def test_a_layer_of_mamba_is_that_of_the_slow_loops(name: str) -> None:
    assert_is(name, slow.mamba_layer, "num_heads", "head_size", "state_size", "num_groups", "rotation", "num_levels")


def test_mamba_forgets_what_was_before_a_long_interval_and_all_heads_of_a_group_share_keys() -> None:
    cell: Any = drawn("mamba, turned")
    _, _, told = cell.watched_step(cell.project(normal(2, 3)), cell.initial_state(2))
    assert torch.equal(told.write[:, 0], told.write[:, 1])
    assert not torch.equal(told.write[:, 1], told.write[:, 2])
    long = told._replace(log_decay=torch.full_like(told.log_decay, -1e3))
    memories = (MambaMemory(torch.full((2, 4, 4, 2), fill).double(), told.turn) for fill in (0.0, 5.0))
    first, second = (cell.remember(memory, long)[1].memory for memory in memories)
    assert torch.equal(first, second)
    with pytest.raises(ValueError, match="num_groups must divide num_heads 2, not 3"):
        Mamba(3, 2, num_groups=3)


def test_mamba_begins_between_the_rates_and_intervals_that_are_asked_for() -> None:
    torch.manual_seed(0)
    cell: Any = MambaCell(
        3, 5, num_heads=200, head_size=1, state_size=1, first_rates=(0.01, 0.1), first_intervals=(0.2, 3)
    )
    for found, low, high in ((cell.log_rate.exp(), 0.01, 0.1), (functional.softplus(cell.decay_bias), 0.2, 3)):
        assert 0.999 * low < found.min() < 1.2 * low
        assert 0.9 * high < found.max() < 1.001 * high
    wrong: list[Any] = [(2, 1), (0, 1), (1,), (math.nan, 1), (1, math.inf), ("1", "2"), None]
    for ends in wrong:
        with pytest.raises(ValueError, match="first_rates must be two numbers above 0, the first at most the second"):
            Mamba(3, 2, first_rates=ends)


def test_without_decay_and_of_intervals_one_mamba_is_linear_attention() -> None:
    cell: Any = drawn("mamba")
    steered, _ = cell.prepare(cell.project(normal(2, 9, 3))[0], cell.initial_state(2).tail, None)
    steered = steered._replace(interval=torch.ones_like(steered.interval), log_decay=0 * steered.log_decay)
    reads, _ = cell.remember_all(cell.initial_state(2).memory, steered, None)
    scores = torch.einsum("bthk,bshk->bhts", steered.read, steered.write).tril()
    assert_equal(reads, torch.einsum("bhts,bshv->bthv", scores, steered.value))


def test_rotations_of_half_a_turn_tell_whether_a_number_is_odd() -> None:
    """Set by hand, at any length: what was written once has the sign of the ones since. Without rotation it has not."""
    bits, none = torch.randint(2, (3, 1000, 1, 1), generator=torch.Generator().manual_seed(0)).double(), torch.zeros(0)
    cell: Any = MambaCell(3, 5, num_heads=1, head_size=1, state_size=2, rotation=True).double()
    vector = torch.tensor([1.0, 0.0]).double().expand(3, 1000, 1, 2)
    value = torch.zeros(3, 1000, 1, 1).double()
    value[:, 0] = 1
    ones = torch.ones_like(value)
    steered = MambaSteered(value, vector, vector, ones, 0 * ones, bits / 2, value, none.expand(3, 1000, 1, 0))
    reads, last = cell.remember_all(cell.first_memory(3), steered, None)
    expected = 1 - 2 * ((bits.cumsum(1) - bits[:, :1]) % 2)
    assert_equal(reads, expected, 1e-9)
    assert_equal(turned(vector[:, 0], torch.tensor(0.25, dtype=torch.float64).view(1, 1, 1)), vector[:, 0].flip(-1))
    assert torch.equal(turned(vector, none), vector)
    assert torch.equal(last.angle.flatten(), bits.sum((1, 2, 3)) / 2 % 1)
    with pytest.raises(ValueError, match="state_size must be even for a rotation, not 3"):
        Mamba(3, 2, state_size=3, rotation=True)


def test_angles_keep_their_digits_over_long_sequences() -> None:
    first, turn = torch.tensor([[0.7]]), (1.3 + normal(1, 20001, 1)).float()
    found = angles(first, turn)
    wrong = found.double() - (first.double() + turn.double().cumsum(1))
    assert (math.pi * wrong).sin().abs().max() < 2e-4
    assert (found >= 0).all()
    assert (found <= 1).all()


# ------------------------------------------------------------------------------------------------- mLSTM


@pytest.mark.parametrize("name", ["mlstm", "mlstm, convolved"])
def test_a_layer_of_mlstm_is_that_of_the_slow_loops(name: str) -> None:
    assert_is(name, slow.mlstm_layer, "num_heads", "key_size", "value_size", "gate_cap")


def steered_mlstm(time: int, scale: float = 1.0) -> MLSTMSteered:
    vectors = [normal(2, time, 2, 4, seed=seed) for seed in range(3)]
    log_input, forget = (scale * normal(2, time, 2, seed=seed) for seed in (3, 4))
    return MLSTMSteered(*vectors, log_input, nn.functional.logsigmoid(forget), vectors[0])


def test_what_mlstm_reads_does_not_depend_on_where_its_stabiliser_begins_and_is_the_parallel_form() -> None:
    """h_t = sum_s D_ts (q_t . k_s) v_s / max(|sum_s D_ts (q_t . k_s)|, 1), D_ts the product of gates (appendix)."""
    cell: Any = MLSTMCell(3, 5, num_heads=2, key_size=4, value_size=4).double()
    steered, zeros = steered_mlstm(20), torch.zeros(2, 2, 4, 4).double()
    total = steered.log_forget.cumsum(1)
    between = total.unsqueeze(2) - total.unsqueeze(1) + steered.log_input.unsqueeze(1)
    weights = torch.einsum("bthk,bshk->btsh", steered.query, steered.key) * between.exp()
    weights = weights * torch.ones(20, 20).tril().view(1, 20, 20, 1)
    divisor = weights.sum(2).abs().clamp(min=1).unsqueeze(-1)
    expected = torch.einsum("btsh,bshv->bthv", weights, steered.value) / divisor
    for first in (0.0, -7.0, 9.0):
        memory = MLSTMMemory(zeros, zeros[..., 0], torch.full((2, 2), first).double())
        reads, _ = cell.remember_all(memory, steered, None)
        assert_equal(reads, expected, 1e-11)
        for time, one in enumerate(zip(*(part.unbind(1) for part in steered), strict=True)):
            read, memory = cell.remember(memory, MLSTMSteered(*one))
            assert_equal(read, expected[:, time], 1e-11)


def test_stabilisers_of_all_steps_are_those_one_by_one() -> None:
    log_forget, log_input, first = -normal(2, 21, 3).abs(), 4 * normal(2, 21, 3, seed=1), normal(2, 3, seed=2)
    log_input[:, 5] = -torch.inf
    found = stabilizers(first, log_forget, log_input)
    for time in range(21):
        first = torch.maximum(log_forget[:, time] + first, log_input[:, time])
        assert_equal(found[:, time], first)


def test_huge_gates_stay_finite_and_are_capped_where_asked() -> None:
    cell: Any = MLSTMCell(3, 5, num_heads=2, key_size=4, value_size=4).double()
    steered, zeros = steered_mlstm(20, 80.0), torch.zeros(2, 2, 4, 4).double()
    reads, last = cell.remember_all(MLSTMMemory(zeros, zeros[..., 0], zeros[..., 0, 0]), steered, None)
    assert all(one.isfinite().all() for one in (reads, *last))
    cell = drawn("mlstm")
    told = cell.watched_step(cell.project(1e3 * normal(1, 3)), cell.initial_state(1))[2]
    assert told.log_input.abs().max() <= 15
    with pytest.raises(ValueError, match="gate_cap must be at least 0, not -1"):
        MLSTM(3, 2, gate_cap=-1)


def test_tiny_gates_without_a_cap_have_gradients() -> None:
    """In float32, also where exp(-m) would be infinite."""
    cell = MLSTMCell(3, 5, num_heads=2, key_size=4, value_size=4, gate_cap=0.0)
    nn.init.constant_(cell.gate_bias[0], -120)
    nn.init.constant_(cell.gate_bias[1], -5)
    input = normal(2, 40, 3).float()
    output, last = cell.scan(input, cell.initial_state(2), None)
    assert last.memory.stabilizer.max() < -89  # type: ignore[union-attr]
    for result in (output, unroll(cell, input, cell.initial_state(2))[0]):
        assert all(one.isfinite().all() for one in torch.autograd.grad(result.sum(), list(cell.parameters())))


def test_open_gates_without_a_normaliser_are_linear_attention() -> None:
    cell: Any = MLSTMCell(3, 5, num_heads=2, key_size=4, value_size=4).double()
    steered = steered_mlstm(9)
    steered = steered._replace(log_input=0 * steered.log_input, log_forget=0 * steered.log_forget)
    zeros = torch.zeros(2, 2, 4, 4).double()
    _, last = cell.remember_all(MLSTMMemory(zeros, zeros[..., 0], zeros[..., 0, 0]), steered, None)
    assert_equal(last.memory, torch.einsum("bthk,bthv->bhkv", steered.key, steered.value))


# ------------------------------------------------------------------------------------------------- RWKV-7


def test_a_layer_of_rwkv_is_that_of_the_slow_loops() -> None:
    assert_is("rwkv-7", slow.rwkv7_layer, "num_heads", "head_size")


def test_rwkv_mixes_each_input_with_the_one_before() -> None:
    cell: Any = drawn("rwkv-7")
    with torch.no_grad():
        cell.shift.zero_()
        cell.shift[3] = 1
    input = normal(1, 4, 3)
    told, tail = cell.prepare(input, cell.initial_state(1).tail, None)
    assert_equal(told.value[0, 1:].flatten(1), cell.value(input)[0, :-1])
    assert_equal(told.receptance[0].flatten(1), cell.receptance(input)[0])
    assert (told.value[0, 0] == 0).all()
    assert torch.equal(tail, input[:, -1:])


def steered_rwkv(**changed: Tensor) -> RWKV7Steered:
    key = nn.functional.normalize(normal(1, 9, 2, 4), dim=-1)
    steered = RWKV7Steered(normal(1, 9, 2, 4, seed=1), 0 * key, key, 0 * key, key, normal(1, 9, 2, 4, seed=2), key)
    return steered._replace(**changed)


def test_without_decay_and_of_one_rate_rwkv_is_the_delta_rule() -> None:
    """The removal key the key itself, k~ = a k."""
    strength = torch.sigmoid(normal(1, 9, 2, 1, seed=3))
    plain = steered_rwkv()
    steered = steered_rwkv(rate=strength.expand(1, 9, 2, 4), key=strength * plain.key)
    memory = normal(1, 2, 4, 4, seed=4)
    told = {"key": plain.key.unsqueeze(-2), "value": (strength * plain.value).unsqueeze(-2)}
    erase = (strength * plain.key).unsqueeze(-2)
    expected = associate_chunks(memory, plain.receptance, **told, erase=erase)
    for one, other in zip(associate_chunks(memory, **transition_factors(steered)), expected, strict=True):
        assert_equal(one, other)


def test_of_rate_zero_rwkv_is_linear_attention_with_a_decay_for_each_channel() -> None:
    steered = steered_rwkv(log_decay=-torch.rand(1, 9, 2, 4).double())
    memory = normal(1, 2, 4, 4, seed=4)
    told = {"key": steered.key.unsqueeze(-2), "value": steered.value.unsqueeze(-2), "log_decay": steered.log_decay}
    expected = associate_chunks(memory, steered.receptance, **told)
    for one, other in zip(associate_chunks(memory, **transition_factors(steered)), expected, strict=True):
        assert_equal(one, other)
