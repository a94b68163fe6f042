"""The Differentiable Neural Computer against slow loops, and what must hold of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from memnet.functional.addressing import cosine_similarity, masked_cosine_similarity
from memnet.functional.allocation import allocation, allocations, in_steps, next_usage, retention, sorted_allocation
from memnet.functional.links import follow_links, next_links, next_precedence, read_by_modes, sharpen_links
from memnet.models.dnc import DNC, DNCState
from tests import slow_dnc as slow

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several heads": {"num_reads": 2, "num_writes": 3},
    "masked": {"masked": True, "mask_floor": 0.1, "num_reads": 2},
    "deallocating": {"deallocate": True, "num_reads": 2},
    "sharp links": {"sharp_links": True, "num_writes": 2},
    "all": {"masked": True, "deallocate": True, "sharp_links": True, "num_reads": 2, "num_writes": 2},
    "content alone": {"linked": False, "num_reads": 2},
    "normalized": {"normalized": True},
    "one slot": {"num_slots": 1},
    "feed-forward": {"controller": "feedforward", "num_layers": 2},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))


def drawn(**options: Any) -> DNC:
    """A DNC in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = DNC(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=shape))


def one_hot(slot: int, slots: int = 6) -> Tensor:
    return torch.eye(slots, dtype=torch.float64)[slot]


def assert_equal(actual: Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------------------------------------------- the whole step


@every_option
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    """From slots that are not alike, whose order rounding does not decide."""
    model = drawn(**options)
    cell, batch, slots = model.cell, 2, model.num_slots
    state = model.initial_state(batch)._replace(memory=normal(batch, slots, 4), usage=uniform(batch, slots))
    how = {"deallocate": cell.deallocate, "sharp": cell.sharp_links, "linked": cell.linked}
    fields = ("memory", "usage", "precedence", "links")
    for input in normal(batch, 7, 3).unbind(1):
        output, after, watched = cell.watched_step(cell.project(input), state)
        for row in range(batch):
            before = slow.SlowMemory(
                **{name: getattr(state, name)[row].detach().numpy() for name in fields},
                reads=state.read_weights[row].detach().numpy(),
                writes=state.write_weights[row].detach().numpy(),
            )
            told = {name: part[row].detach().numpy() for name, part in watched.interface._asdict().items()}
            if not cell.masked:
                told |= {f"{kind}_mask": np.ones_like(told[f"{kind}_key"]) for kind in ("read", "write")}
            expected = slow.step(before, told, **how)
            for name in fields:
                assert_equal(getattr(after, name)[row], getattr(expected, name))
            assert_equal(after.read_weights[row], expected.reads)
            assert_equal(after.write_weights[row], expected.writes)
            assert_equal(after.reads[row], expected.reads @ expected.memory)
        assert_equal(output[:, -after.reads[0].numel() :], after.reads.flatten(1))
        state = after


@every_option
def test_chunks_equal_the_whole(options: dict[str, Any]) -> None:
    model, input = drawn(**options), normal(2, 7, 3)
    whole, last = model(input)
    first, state = model(input[:, :3])
    second, state = model(input[:, 3:], state)
    assert_equal(torch.cat([first, second], 1), whole)
    assert_equal(state.memory, last.memory)


@every_option
def test_every_parameter_has_a_finite_gradient_from_an_empty_memory(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = DNC(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options))
    model(torch.randn(2, 6, 3))[0].square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_reads_of_this_step_reach_the_output_and_those_of_the_last_the_controller() -> None:
    model = drawn(controller="feedforward")
    state = model.initial_state(1)
    other = state._replace(reads=torch.ones_like(state.reads))
    one, two = (model(normal(1, 1, 3), at) for at in (state, other))
    assert not torch.equal(one[1].memory, two[1].memory)
    assert_equal(one[0][:, 0] - two[0][:, 0], model.readout(_seen(model, state)) - model.readout(_seen(model, other)))


def _seen(model: DNC, state: DNCState) -> Tensor:
    output, _ = model.cell(normal(1, 1, 3)[:, 0], state)
    return output


def test_the_number_of_slots_is_free() -> None:
    model = drawn()
    model.num_slots = 11
    output, state = model(normal(1, 20, 3))
    assert output.isfinite().all()
    assert state.links.shape == (1, 1, 11, 11)


def test_without_a_gradient_of_usage_the_output_is_the_same() -> None:
    models = [drawn(usage_gradient=kept) for kept in (True, False)]
    (one, _), (two, _) = (model(normal(2, 6, 3)) for model in models)
    assert torch.equal(one, two)
    grads = [
        torch.autograd.grad(out.square().sum(), model.cell.interface.weight)[0]
        for out, model in zip((one, two), models, strict=True)
    ]
    assert not torch.allclose(*grads)


def test_a_normalized_interface_has_no_mean_and_no_size_of_its_own() -> None:
    model, plain, input = drawn(normalized=True), drawn(), normal(1, 1, 3)
    nn.init.ones_(model.cell.norm.weight)
    nn.init.zeros_(model.cell.norm.bias)
    told = [
        one.cell.watched_step(one.cell.project(input[:, 0]), one.initial_state(1))[2].interface
        for one in (model, plain)
    ]
    # Keys and what is added are as they are emitted, and the others squashed: all are one vector.
    key, other = told[0].write_key.flatten(), told[1].write_key.flatten()
    assert_equal((key - key.mean()) / key.std(), (other - other.mean()) / other.std())
    before = model(normal(2, 5, 3))[0]
    with torch.no_grad():
        model.cell.interface.weight.mul_(7)
        model.cell.interface.bias.mul_(7).add_(3)
    assert_equal(model(normal(2, 5, 3))[0], before, 1e-5)


@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_what_bypasses_the_memory_is_dropped_out_in_training_alone(backend: Any) -> None:
    model, whole, input = drawn(bypass_dropout=0.5), drawn(), normal(2, 40, 3)
    for one in (model, whole):
        one.backend = backend
    assert_equal(model.eval()(input)[0], whole(input)[0])
    output, last = model.train().unroll(input, model.initial_state(2))
    expected, state = whole.unroll(input, whole.initial_state(2))
    assert_equal(last.memory, state.memory)
    assert_equal(output[..., 5:], expected[..., 5:])
    kept = output[..., :5] != 0
    assert 0.4 < kept.double().mean() < 0.6
    assert_equal(output[..., :5], expected[..., :5] * kept * 2)
    gradient = torch.autograd.grad(output.sum(), model.cell.controller.weight_ih, create_graph=True)[0]
    assert gradient.isfinite().all()
    gradient.square().sum().backward()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_slots": 0}, "num_slots"),
        ({"num_reads": 0}, "num_reads"),
        ({"mask_floor": 0.1}, "mask_floor 0.1 is for masked"),
        ({"bypass_dropout": 1.0}, "bypass_dropout must be in"),
        ({"masked": True, "mask_floor": 1.0}, "mask_floor must be in"),
        ({"linked": False, "sharp_links": True}, "sharp_links needs links"),
        ({"norm_floor": float("nan")}, "norm_floor"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        DNC(3, 2, **options)


# ---------------------------------------------------------------------------------------------------- allocation


def test_what_is_read_and_freed_is_not_in_use() -> None:
    read = one_hot(2).view(1, 1, 6)
    retained = retention(read, torch.ones(1, 1, 1, dtype=torch.float64))
    usage = next_usage(torch.ones(1, 6, dtype=torch.float64), torch.zeros(1, 1, 6, dtype=torch.float64), retained)
    assert_equal(usage[0], 1 - one_hot(2))


@pytest.mark.parametrize("ties", [False, True])
def test_allocation_by_pairs_is_that_by_order(ties: bool) -> None:
    usage = uniform(5, 9)
    if ties:
        usage = (3 * usage).round() / 4 + 0.1
    assert_equal(allocation(usage), sorted_allocation(usage), 1e-14)
    assert_equal(allocation(usage).sum(-1), 1 - usage.prod(-1))
    for row, used in zip(allocation(usage), usage, strict=True):
        assert_equal(row, slow.free_list(used.numpy()))
    assert gradcheck(allocation, uniform(2, 5).requires_grad_())


def test_rounding_does_not_decide_which_slot_is_next() -> None:
    usage = torch.full((1, 5), 0.3, dtype=torch.float64)
    noisy = usage - 1e-16 * torch.arange(5)
    assert not torch.equal(usage, noisy)
    for one in (allocation, sorted_allocation):
        assert_equal(one(noisy), one(usage), 1e-14)


def test_small_differences_of_usage_decide_in_float32() -> None:
    usage = torch.tensor([[1e-4, 0.0, 5e-5]])
    assert allocations(usage, torch.ones(1, 1, 1))[0, 0].tolist() == pytest.approx([0, 1, 0], abs=1e-4)
    assert_equal(allocation(usage + 1e-5), sorted_allocation(usage + 1e-5), 1e-6)
    first, second = torch.full((1, 1000), 0.3), torch.full((1, 1000), 0.3) + 6e-8 * torch.arange(1000).remainder(3)
    assert not torch.equal(first, second)
    assert torch.equal(in_steps(first), in_steps(second))


def test_allocation_moves_with_the_slots() -> None:
    usage, order = uniform(1, 7), torch.tensor([3, 0, 6, 2, 5, 1, 4])
    assert_equal(allocation(usage[:, order]), allocation(usage)[:, order])


def test_an_empty_memory_is_written_at_one_slot() -> None:
    first, second = allocations(torch.zeros(1, 6, dtype=torch.float64), torch.ones(1, 2, 1, dtype=torch.float64))[0]
    assert_equal(first, one_hot(0), 1e-5)
    assert_equal(second, one_hot(int(second.argmax())), 1e-5)
    assert second.argmax() != 0  # which the first has taken


# ---------------------------------------------------------------------------------------------------- links


def written(*slots: int) -> tuple[Tensor, Tensor]:
    """Links and precedence after writes to single slots, one after the other."""
    links, precedence = torch.zeros(1, 1, 6, 6, dtype=torch.float64), torch.zeros(1, 1, 6, dtype=torch.float64)
    for slot in slots:
        weights = one_hot(slot).view(1, 1, 6)
        links, precedence = next_links(links, weights, precedence), next_precedence(precedence, weights)
    return links, precedence


def test_links_are_followed_both_ways() -> None:
    links, precedence = written(2, 0, 5)
    assert_equal(precedence[0, 0], one_hot(5))
    for start, later, earlier in ((2, one_hot(0), torch.zeros(6).double()), (0, one_hot(5), one_hot(2))):
        forward, backward = follow_links(links, one_hot(start).view(1, 1, 6))
        assert_equal(forward[0, 0, 0], later)
        assert_equal(backward[0, 0, 0], earlier)


def test_no_write_changes_no_link() -> None:
    links, precedence = written(2, 0, 5)
    nothing = torch.zeros(1, 1, 6, dtype=torch.float64)
    assert torch.equal(next_links(links, nothing, precedence), links)
    assert torch.equal(next_precedence(precedence, nothing), precedence)


def test_rows_and_columns_of_links_stay_below_one() -> None:
    links, precedence = torch.zeros(3, 2, 5, 5, dtype=torch.float64), torch.zeros(3, 2, 5, dtype=torch.float64)
    for seed in range(30):
        weights = torch.softmax(2 * normal(3, 2, 5, seed=seed), -1) * uniform(3, 2, 1, seed=seed)
        links, precedence = next_links(links, weights, precedence), next_precedence(precedence, weights)
        for total in (links.sum(-1), links.sum(-2), precedence.sum(-1)):
            assert (total <= 1 + 1e-12).all()
        assert (links >= 0).all()
        assert (links.diagonal(dim1=-2, dim2=-1) == 0).all()


def test_sharpness_1_leaves_a_distribution_and_a_large_one_its_peak() -> None:
    weights = torch.softmax(normal(2, 3, 5), -1)
    assert_equal(sharpen_links(weights, torch.ones(1, dtype=torch.float64)), weights, 1e-5)
    peak = torch.nn.functional.one_hot(weights.argmax(-1), 5).double()
    assert_equal(sharpen_links(weights, torch.full((1,), 1e4, dtype=torch.float64)), peak, 1e-5)
    nothing = sharpen_links(torch.zeros(2, 5, dtype=torch.float64), torch.full((1,), 3.0, dtype=torch.float64))
    assert torch.equal(nothing, torch.zeros_like(nothing))


def test_a_link_that_rounding_left_below_zero_is_sharpened_as_none() -> None:
    weights, reads = torch.tensor([[[1.0, 1e-9]]]), torch.tensor([[[0.0, 1.0]]])
    links = next_links(torch.tensor([[[[0.0, 0.5], [0.0, 0.0]]]]), weights, torch.zeros(1, 1, 2))
    assert links.min() < 0
    forward, sharpness = follow_links(links.requires_grad_(), reads)[0], torch.tensor([1.5], requires_grad=True)
    sharp = sharpen_links(forward, sharpness)
    assert (sharp == 0).all()
    assert all(one.isfinite().all() for one in torch.autograd.grad(sharp.sum(), [links, sharpness]))


def test_modes_choose_where_to_read() -> None:
    backward, content, forward = uniform(1, 2, 1, 6), uniform(1, 2, 6, seed=1), uniform(1, 2, 1, 6, seed=2)
    for mode, expected in enumerate((backward[:, :, 0], content, forward[:, :, 0])):
        modes = one_hot(mode, 3).expand(1, 2, 3)
        assert_equal(read_by_modes(backward, content, forward, modes), expected)


# ---------------------------------------------------------------------------------------------------- masks


def test_a_mask_of_ones_masks_nothing_and_masked_columns_do_not_count() -> None:
    memory, key = normal(2, 5, 4), normal(2, 3, 4, seed=1)
    assert_equal(masked_cosine_similarity(memory, key, torch.ones_like(key)), cosine_similarity(memory, key))
    mask = torch.tensor([1.0, 1, 0, 0], dtype=torch.float64).expand(2, 3, 4)
    assert_equal(masked_cosine_similarity(memory, key, mask), cosine_similarity(memory[..., :2], key[..., :2]))
