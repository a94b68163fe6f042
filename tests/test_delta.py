"""The delta rule and its kin against slow loops, and the identities that tie them together."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memnet import DeltaCell, DeltaNet
from memnet.functional.associations import associate, associate_chunks, corrected, recalled
from memnet.functional.levels import LevelMemory, advanced, associate_levels_chunks, level_between
from memnet.models.delta import log_decays, strengths
from tests import slow_mixers as slow
from tests.test_mixers import MIXERS, assert_equal, assert_is, drawn, normal

DELTAS = [name for name in MIXERS if isinstance(MIXERS[name](), DeltaCell)]


@pytest.mark.parametrize("name", DELTAS)
def test_a_layer_is_that_of_the_slow_loops(name: str) -> None:
    sizes = ("num_heads", "key_size", "value_size", "num_factors")
    assert_is(
        name,
        slow.delta_layer,
        *sizes,
        "rule",
        "decay",
        "strength",
        "features",
        "output_gate",
        "num_levels",
        "convolved_strength",
    )


def test_keys_and_queries_have_their_length_and_gates_their_range() -> None:
    cell: Any = drawn("delta product")
    _, _, told = cell.watched_step(cell.project(10 * normal(2, 3)), cell.initial_state(2))
    assert_equal(told.key.square().sum(-1), torch.ones(2, 2, 3), 1e-3)
    assert_equal(told.query.square().sum(-1) * 4, torch.ones(2, 2), 1e-3)
    ends = torch.tensor([-1e3, 0.0, 1e3])
    unit, twice = [0, 0.5, 1], [0, 1, 2]
    for kind, expected in (("sigmoid", unit), ("hard", unit), ("twice", twice), ("closed", twice)):
        assert strengths(ends, kind).tolist() == pytest.approx(expected)  # type: ignore[arg-type]
    assert strengths(torch.tensor([-4.0, 4.0]), "hard").tolist() == [0, 1]
    assert strengths(torch.tensor(4.0), "closed") == 2 > strengths(torch.tensor(4.0), "twice")
    assert float(log_decays(ends[1], torch.tensor(0.7), torch.tensor(0.0))) == pytest.approx(
        -math.exp(0.7) * math.log(2)
    )


def test_what_is_written_with_a_hard_strength_of_0_stays_to_the_bit() -> None:
    """The strength hangs on the token before: after the mark it writes, and then nothing for whatever long."""
    cell = DeltaCell(
        2, 2, num_heads=1, key_size=1, value_size=2, strength="hard", convolution=2, convolved_strength=True
    )
    mark, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    with torch.no_grad():
        cell.projection.weight[4] = 20 * (mark - other)  # the strength's row; what it sees is the step before alone
        cell.convolution.weight[4] = torch.tensor([[1.0, 0.0]])  # type: ignore[union-attr]
    start = torch.stack([mark, other]).unsqueeze(0)
    with torch.inference_mode():
        _, written = cell.scan(start, cell.initial_state(1), None)
        _, later = cell.scan(other.expand(1, 5000, 2), written, None)
    assert float(written.memory.abs().sum()) > 0  # type: ignore[union-attr]
    assert torch.equal(later.memory, written.memory)  # type: ignore[arg-type]


def test_elu_features_are_attention_by_a_kernel() -> None:
    """Each step reads a mean of all values so far, weighted by phi(q) phi(k) (Katharopoulos et al. 2020, eqs. 8, 9)."""
    cell: Any = drawn("linear attention, elu")
    input = normal(1, 6, 3)
    told, _ = cell.prepare(cell.project(input)[0], cell.initial_state(1).tail, None)
    output, _ = cell.scan(input, cell.initial_state(1), None)
    similar = torch.einsum("bthk,bshk->bhts", told.query, told.key[..., 0, :]).tril()
    assert (told.query > 0).all()
    reads = torch.einsum("bhts,bshv->bthv", similar, told.value[..., 0, :])
    assert_equal(output, cell.output(cell.emit(reads, told)))
    means = reads[..., :-1] / reads[..., -1:]
    assert_equal(means[:, 0], told.value[:, 0, :, 0, :-1])


# ------------------------------------------------------------------------------------------------- identities


def tokens(time: int = 9, factors: int = 1, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """A memory and what steers it, with keys of length one: (1, time, head, factor, ...)."""
    key = nn.functional.normalize(normal(1, time, 2, factors, 4, seed=seed), dim=-1)
    value, query = normal(1, time, 2, factors, 3, seed=seed + 1), normal(1, time, 2, 4, seed=seed + 2)
    return normal(1, 2, 4, 3, seed=seed + 3), {"query": query, "key": key, "value": value}


def test_without_decay_the_gated_rule_is_the_plain_one_bit_for_bit() -> None:
    memory, told = tokens()
    strength = torch.sigmoid(normal(1, 9, 2, 1, 1, seed=5))
    told |= {"value": told["value"] * strength, "erase": told["key"] * strength}
    for plain, gated in zip(
        associate_chunks(memory, **told),
        associate_chunks(memory, **told, log_decay=torch.zeros(1, 9, 2, 1)),
        strict=True,
    ):
        assert torch.equal(plain, gated)
    channels = associate_chunks(memory, **told, log_decay=torch.zeros(1, 9, 2, 4).double())
    assert_equal(channels[0], associate_chunks(memory, **told)[0])


def test_a_decay_for_all_channels_is_one_for_each() -> None:
    memory, told = tokens()
    decay = -torch.rand(1, 9, 2, 1).double()
    one = associate_chunks(memory, **told, erase=told["key"], log_decay=decay, chunk_size=4)
    each = associate_chunks(memory, **told, erase=told["key"], log_decay=decay.expand(-1, -1, -1, 4), chunk_size=4)
    assert_equal(one[0], each[0])
    assert_equal(one[1], each[1])


def test_with_strength_zero_a_memory_only_decays() -> None:
    memory, told = tokens()
    nothing = {"query": told["query"], "key": told["key"], "value": 0 * told["value"], "erase": 0 * told["key"]}
    decay = -torch.rand(1, 9, 2, 1).double()
    assert_equal(associate_chunks(memory, **nothing, log_decay=decay)[1], memory * decay.sum(1).exp().unsqueeze(-1))


def test_orthonormal_keys_of_strength_one_are_a_look_up() -> None:
    """Also of a key that was bound before: what it was bound to is gone."""
    keys = torch.linalg.qr(normal(4, 4))[0]
    memory = torch.zeros(1, 1, 4, 3).double()
    first, second = normal(4, 3), normal(4, 3, seed=1)
    for values in (first, second):
        for key, value in zip(keys, values, strict=True):
            memory = corrected(memory, key.view(1, 1, 4), value.view(1, 1, 3), key.view(1, 1, 4))
    for key, value in zip(keys, second, strict=True):
        assert_equal(recalled(memory, key.view(1, 1, 4))[0, 0], value)


def test_of_strength_one_the_last_key_returns_its_value() -> None:
    memory, told = tokens()
    told["query"] = told["key"][..., 0, :]
    reads, _ = associate_chunks(memory, **told, erase=told["key"], chunk_size=4)
    assert_equal(reads, told["value"][..., 0, :])


def test_of_strength_two_a_token_reflects_the_memory() -> None:
    """Lengths stay, and the same reflection twice is none."""
    memory, told = tokens(1)
    key = told["key"][:, 0, :, 0]
    once = corrected(memory, key, 0 * told["value"][:, 0, :, 0], 2 * key)
    assert_equal(once.square().sum((-1, -2)), memory.square().sum((-1, -2)))
    assert_equal(corrected(once, key, 0 * told["value"][:, 0, :, 0], 2 * key), memory)
    assert (once - memory).abs().max() > 0.1


def test_several_factors_a_token_are_the_chunked_rule_on_the_longer_sequence() -> None:
    memory, told = tokens(7, factors=3)
    decay = -torch.rand(1, 7, 2, 1).double()
    product = associate_chunks(memory, **told, erase=told["key"], log_decay=decay, chunk_size=4)
    key, value = (told[name].transpose(2, 3).flatten(1, 2).unsqueeze(3) for name in ("key", "value"))
    long = torch.zeros(1, 21, 2, 1).double()
    long[:, ::3] = decay
    query = told["query"].repeat_interleave(3, 1)
    reads, last = associate_chunks(memory, query, key, value, erase=key, log_decay=long, chunk_size=5)
    assert_equal(product[0], reads[:, 2::3])
    assert_equal(product[1], last)


def test_two_factors_of_strength_two_rotate() -> None:
    """The product of two reflections, which one factor cannot be (Siems et al. 2025)."""
    angle = torch.tensor(0.3).double()
    first, second = (
        torch.tensor([[1.0, 0.0]]).double(),
        torch.stack([torch.cos(angle / 2), torch.sin(angle / 2)]).view(1, 2),
    )
    key = torch.stack([first, second], 1).unsqueeze(1)
    memory = normal(1, 1, 2, 3)
    _, turned = associate(memory, torch.zeros(1, 1, 2).double(), key, torch.zeros(1, 1, 2, 3).double(), erase=2 * key)
    rotation = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)]).view(2, 2)
    assert_equal(turned, rotation @ memory)


# ------------------------------------------------------------------------------------------------- levels


def test_levels_are_the_buckets_of_a_fenwick_tree() -> None:
    """Every token up to t lies in one, and with too few levels what is older lies in the last."""
    for time in range(70):
        expected = {token: level for level, tokens in slow.buckets(time) for token in tokens}
        assert sorted(expected) == list(range(time + 1))
        for count in (1, 2, 4, 8):
            found = level_between(torch.tensor(time), torch.arange(time + 1), count)
            assert found.tolist() == [min(expected[token], count - 1) for token in range(time + 1)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_with_all_scales_one_levels_are_the_memory_without(count: int) -> None:
    """Whatever it holds at first."""
    memory, told = tokens(23)
    told |= {"erase": told["key"], "log_decay": -torch.rand(1, 23, 2, 1).double()}
    levels = nn.functional.pad(memory.unsqueeze(2), (0, 0, 0, 0, 0, count - 1))
    first = LevelMemory(levels, torch.zeros(1))
    reads, last = associate_levels_chunks(first, torch.ones(1, 23, 2, count).double(), **told, chunk_size=5)
    expected = associate_chunks(memory, **told, chunk_size=5)
    assert_equal(reads, expected[0])
    assert_equal(last.levels.sum(2), expected[1])


@pytest.mark.parametrize("start", [3, 8, 15, 16, 2**20 - 3])
def test_positions_stay_exact_and_tell_the_same_levels(start: int) -> None:
    """A position less what no level tells apart has the levels of the true one, in bounds."""
    count, steps = 4, 40
    kept = advanced(torch.zeros(1), start, count)
    for true in range(start, start + steps):
        assert 0 <= float(kept) < 16
        now = kept.long()
        ago = torch.arange(1, min(true, 8) + 1)
        assert torch.equal(level_between(now, now - ago, count), level_between(torch.tensor(true), true - ago, count))
        kept = advanced(kept, 1, count)


@pytest.mark.parametrize("count", [1, 5, 24])
def test_many_tokens_at_once_leave_the_position_exact(count: int) -> None:
    """In float32, which has no more whole numbers beside each other than the largest number of levels needs."""
    span = 2 ** (count - 1)
    for start, steps in ((0, span), (span - 1, 1), (2 * span - 1, 2), (2 * span - 1, 3 * span + 1)):
        expected = start + steps
        expected = expected if expected < 2 * span else span + expected % span
        assert int(advanced(torch.tensor([float(start)]), steps, count)) == expected


def test_options_that_cannot_be_are_refused() -> None:
    for options, told in (
        ({"features": "elu"}, 'features "elu" need rule "sum"'),
        ({"decay": "all"}, "decay must be one of none, head, channel, not 'all'"),
        ({"num_factors": 0}, "num_factors must be at least 1, not 0"),
        ({"num_levels": -1}, "num_levels must be at least 0, not -1"),
        ({"num_levels": 25}, "num_levels must be at most 24, not 25"),
        ({"convolution": -1}, "convolution must be at least 0, not -1"),
        ({"convolution": 0, "convolved_strength": True}, "needs rule \"delta\" and a convolution, got 'delta' and 0"),
    ):
        with pytest.raises(ValueError, match=told):
            DeltaNet(3, 2, **options)
    cell = DeltaCell(3, 5)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, not 0"):
        cell.chunk_size = 0
