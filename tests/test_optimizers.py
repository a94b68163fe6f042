"""Optimizers against torch's own, bit for bit, and what is kept of the weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from experiments.training.optimizers import SGD, Adam, GravesRMSProp, Optimizer, RMSProp
from experiments.training.updates import Updates, UpdatesByCopy, go_on_from
from tests.compiler import needs_compiler

SHAPES = [(7, 5), (3,), (), (33, 2), (40,)]
Make = Callable[[Any], Any]
# Ours and torch's, which keep their states under the same names.
PAIRS: dict[str, tuple[Make, Make]] = {
    "adam": (lambda w: Adam(w, 0.01, (0.8, 0.99)), lambda w: torch.optim.Adam(w, 0.01, (0.8, 0.99))),
    "rmsprop": (lambda w: RMSProp(w, 0.01, 0.7), lambda w: torch.optim.RMSprop(w, 0.01, 0.9, momentum=0.7)),
    "rmsprop alone": (lambda w: RMSProp(w, 0.01, 0.0), lambda w: torch.optim.RMSprop(w, 0.01, 0.9)),
    "sgd": (lambda w: SGD(w, 0.01, 0.7), lambda w: torch.optim.SGD(w, 0.01, 0.7)),
    "sgd alone": (lambda w: SGD(w, 0.01, 0.0), lambda w: torch.optim.SGD(w, 0.01)),
}


def weights() -> list[nn.Parameter]:
    """Of several shapes, one in double precision and one that is not trained."""
    generator = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    frozen = nn.Parameter(torch.ones(4), requires_grad=False)
    return [*made[:2], nn.Parameter(torch.ones(3, dtype=torch.float64)), frozen, *made[2:]]


def give_gradients(both: list[list[nn.Parameter]], step: int) -> None:
    """The same to both; in some steps some weights have none, and one has never any."""
    generator = torch.Generator().manual_seed(step)
    for place, pair in enumerate(zip(*both, strict=True)):
        drawn = torch.randn(pair[0].shape, generator=generator, dtype=pair[0].dtype)
        without = not pair[0].requires_grad or place == 4 or (place == 1 and step % 3 == 0) or (place == 5 and step < 4)
        for weight in pair:
            weight.grad = None if without else drawn.clone()


def assert_same(ours: dict[int, dict[str, Tensor]], theirs: dict[int, dict[str, Tensor]]) -> None:
    assert ours.keys() == {place for place, own in theirs.items() if own}
    for place, own in ours.items():
        assert list(own) == list(theirs[place])
        assert all(
            torch.equal(one, theirs[place][name]) and one.dtype == theirs[place][name].dtype
            for name, one in own.items()
        )


@pytest.mark.parametrize("name", PAIRS)
def test_they_are_torchs_to_the_last_bit_also_when_they_go_on_from_its_state(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    both = [weights(), weights()]
    ours, theirs = (make(own) for make, own in zip(PAIRS[name], both, strict=True))
    for step in range(12):
        if step == 7:
            ours = PAIRS[name][0](both[0])
            ours.restore(theirs.state_dict()["state"])
        ours.lr = theirs.param_groups[0]["lr"] = 0.01 / (1 + step)
        give_gradients(both, step)
        ours.gather()
        ours.step()
        theirs.step()
        assert all(map(torch.equal, *both))
    assert_same(ours.state(), theirs.state_dict()["state"])
    kept = {place: own for place, own in ours.forms().items() if place in ours.state()}
    assert {place: {name: one.shape for name, one in own.items()} for place, own in kept.items()} == {
        place: {name: one.shape for name, one in own.items()} for place, own in ours.state().items()
    }


@needs_compiler
@pytest.mark.parametrize("mean", [None, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*PAIRS, "graves", "graves alone"])
def test_compiled_they_are_the_same_to_rounding(
    name: str, dtype: torch.dtype, mean: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when weights have moved, or do not lie in order, where they are updated plainly."""
    own: dict[str, Make] = {
        "graves": lambda w: GravesRMSProp(w, 0.01),
        "graves alone": lambda w: GravesRMSProp(w, 0.01, 0.0),
    }
    make = own[name] if name in own else PAIRS[name][0]
    both, found = [weights(), weights()], []
    for own_weights in both:
        for one in own_weights:
            one.data = one.data.to(dtype)
        optimizer = make(own_weights)
        if mean is not None:
            optimizer.keep_average(mean)
        for step in range(9):
            optimizer.lr = 0.01 / (1 + step)
            give_gradients([own_weights], step)
            optimizer.gather()
            if step in (3, 5):
                own_weights[0].data = (
                    own_weights[0].data.t().contiguous().t() if step == 3 else 2 * own_weights[0].data.contiguous()
                )
            optimizer.step()
        found.append((own_weights, optimizer.averages(), optimizer.state()))
        compiled = [one.compiled is not None for one in optimizer._together.values()]
        assert compiled == [not found[1:]] * len(compiled)
        monkeypatch.setenv("MEMNET_NATIVE", "0")
    (ours, means, state), (others, other_means, other_state) = found
    near = {"rtol": 1e-12, "atol": 1e-15} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 1e-6}
    for one, other in (*zip(ours, others, strict=True), *zip(means, other_means, strict=True)):
        torch.testing.assert_close(one, other, **near)
    for kept, other_kept in zip(state.values(), other_state.values(), strict=True):
        assert list(kept) == list(other_kept)
        for one, other in zip(kept.values(), other_kept.values(), strict=True):
            torch.testing.assert_close(one, other, **near)


@needs_compiler
@pytest.mark.parametrize("name", [*PAIRS, "graves"])
def test_compiled_they_take_gradients_of_any_size_as_plain_ones_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    large = torch.tensor([1e18, -1e20, 1e24, -1e30, 3e38, float("inf"), float("nan"), 1e-30])
    found = []
    for _ in range(2):
        weight = nn.Parameter(torch.ones(len(large)))
        optimizer = GravesRMSProp([weight], 1e-2) if name == "graves" else PAIRS[name][0]([weight])
        for gradient in (torch.ones_like(large), large, torch.ones_like(large)):
            weight.grad = gradient.clone()
            optimizer.gather()
            optimizer.step()
        found.append(weight.detach())
        monkeypatch.setenv("MEMNET_NATIVE", "0")
    torch.testing.assert_close(*found, rtol=2e-5, atol=1e-6, equal_nan=True)


@needs_compiler
def test_autograd_is_told_that_weights_were_moved() -> None:
    weight = nn.Parameter(torch.ones(4))
    optimizer = Adam([weight], 0.01)
    loss = (weight * weight).sum()
    weight.grad = torch.ones(4)
    optimizer.gather()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("way", ["compiled", "plain"])
@pytest.mark.parametrize(("value", "norm"), [(None, 1.0), (0.5, None), (0.5, 1.0), (None, 1e9)])
def test_limits_on_a_gradient_are_torchs(
    value: float | None, norm: float | None, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMNET_NATIVE", "0" if way == "plain" else "1")
    both = [[one for one in weights() if one.dtype == torch.float32] for _ in range(2)]
    give_gradients(both, 1)
    before = torch.nn.utils.get_total_norm([one.grad for one in both[1] if one.grad is not None])
    if value is not None:
        clip_grad_value_(both[1], value)
    if norm is not None:
        clip_grad_norm_(both[1], norm)
    torch.testing.assert_close(Updates(0.1, norm, clip_value=value).clip(SGD(both[0], 0.1, 0.0).gather()), before)
    for one, other in zip(*both, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("large", [1e25, 3e38])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_gradient_whose_squares_overflow_is_scaled_as_if_it_were_small(large: float, copies: int) -> None:
    values = [torch.tensor([[3.0, -4.0], [1.0, 0.0]]), torch.tensor([[0.5], [2.0]])]
    updates = Updates(0.1, 1.0) if copies == 1 else UpdatesByCopy(0.1, 1.0, copies=copies)
    pairs = [[nn.Parameter(torch.zeros_like(one)) for one in values] for _ in range(2)]
    for weights, factor in zip(pairs, (1.0, large / 8), strict=True):
        for weight, one in zip(weights, values, strict=True):
            weight.grad = one * factor
    small, huge = (updates.clip(SGD(weights, 0.1, 0.0).gather()) for weights in pairs)
    torch.testing.assert_close(huge, small * (large / 8))
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(other.grad, one.grad)


def test_the_gradient_of_a_copy_that_is_no_number_is_left_out() -> None:
    """The other goes on as it would alone."""
    weight = nn.Parameter(torch.zeros(2, 3))
    weight.grad = torch.tensor([[3.0, 4.0, 0.0], [1.0, torch.inf, torch.nan]])
    optimizer = SGD([weight], 1.0, 0.0)
    norms = UpdatesByCopy(1.0, 1.0, copies=2).clip(optimizer.gather())
    assert norms[0] == 5
    assert not norms[1].isfinite()
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([[-0.6, -0.8, 0.0], [0.0, 0.0, 0.0]]))


KINDS: list[Callable[[Any], Optimizer]] = [
    lambda w: Adam(w, 0.1),
    lambda w: GravesRMSProp(w, 0.1),
    lambda w: SGD(w, 0.1, 0.9),
]


def averaged(weights: Any, make: Callable[[Any], Optimizer]) -> Optimizer:
    optimizer = make(weights)
    optimizer.keep_average(0.8)
    return optimizer


every_kind = pytest.mark.parametrize("make", [*KINDS, *[partial(averaged, make=make) for make in KINDS]])


@every_kind
def test_training_goes_on_from_what_was_kept_to_the_last_bit(make: Callable[[Any], Optimizer]) -> None:
    """Also when some weights have been updated less often, which must not change in which order norms are added."""
    updates, both = Updates(0.1, 0.5), [[nn.Parameter(torch.ones(7)) for _ in range(5)] for _ in range(2)]
    whole, parted = map(make, both)
    for step in range(8):
        if step == 4:
            kept = parted.state()
            parted = make(both[1])
            parted.restore(kept)
        generator = torch.Generator().manual_seed(step)
        for place, pair in enumerate(zip(*both, strict=True)):
            drawn = torch.randn(7, generator=generator)
            for weight in pair:
                weight.grad = None if step == 0 and place in (1, 3) else drawn.clone()
        norms = []
        for optimizer in (whole, parted):
            norms.append(updates.clip(optimizer.gather()))
            optimizer.step()
        assert torch.equal(*norms)
        assert all(map(torch.equal, *both))


def test_one_gradient_may_be_replaced_after_they_were_gathered() -> None:
    first, second = both = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
    optimizer = SGD(both, 1.0, 0.0)
    first.grad, second.grad = torch.ones(3), torch.ones(2)
    optimizer.gather()
    first.grad = torch.full((3,), 2.0)
    assert optimizer.gather().vectors[0].tolist() == [2, 2, 2, 1, 1]
    optimizer.step()
    assert (first.tolist(), second.tolist()) == ([-1] * 3, [0] * 2)


@pytest.mark.parametrize("updates", [Updates(0.1, 1.0, clip_value=1.0), UpdatesByCopy(0.1, 1.0, copies=2)])
def test_without_gradients_nothing_moves(updates: Updates) -> None:
    weight = nn.Parameter(torch.ones(2, 3))
    optimizer = SGD([weight], 1.0, 0.9)
    assert not updates.clip(optimizer.gather()).any()
    weight.grad = torch.ones(2, 3)
    optimizer.gather()
    optimizer.zero_grad()
    optimizer.step()
    assert (weight == 1).all()


@every_kind
def test_other_weights_begin_as_if_nothing_had_been(make: Callable[[Any], Optimizer]) -> None:
    both = [weights(), weights()]
    used, fresh = map(make, both)
    give_gradients(both, 1)
    used.gather()
    used.step()
    go_on_from([one.detach().clone() for one in both[1]], used)
    assert used.state().keys() == {0, 1, 2, 6}
    assert not any(one.any() for own in used.state().values() for one in own.values())
    for optimizer in (used, fresh):
        optimizer.gather()
        optimizer.step()
    assert all(map(torch.equal, *both))


@pytest.mark.parametrize("make", KINDS)
def test_the_running_mean_gives_each_update_its_share_also_after_it_began_again(
    make: Callable[[Any], Optimizer],
) -> None:
    own = weights()
    optimizer = averaged(own, make)
    for begun in (0, 7):
        assert all(map(torch.equal, optimizer.averages(), own))
        seen: list[list[Tensor]] = [[] for _ in own]
        for step in range(6):
            give_gradients([own], begun + step)
            optimizer.gather()
            optimizer.step()
            for weight, past in zip(own, seen, strict=True):
                if weight.grad is not None:
                    past.append(weight.detach().clone())
            for mean, past, weight in zip(optimizer.averages(), seen, own, strict=True):
                shares = [0.8**age for age in reversed(range(len(past)))]
                right = (
                    sum(share * one for share, one in zip(shares, past, strict=True)) / sum(shares) if past else weight
                )
                torch.testing.assert_close(mean, right)
        go_on_from([weight.detach() + 1 for weight in own], optimizer)


def test_gradients_that_stand_end_to_end_stay_where_they_are() -> None:
    whole = torch.randn(10)
    for parts, stay in (([whole[:4].view(2, 2), whole[4:]], True), ([whole[:4].view(2, 2), whole[5:]], False)):
        pair = [nn.Parameter(torch.zeros_like(one)) for one in parts]
        for weight, part in zip(pair, parts, strict=True):
            weight.grad = part
        (vector,) = SGD(pair, 0.1, 0.0).gather().vectors
        assert (vector.data_ptr() == whole.data_ptr()) == stay
        assert torch.equal(vector, torch.cat([part.flatten() for part in parts]))
