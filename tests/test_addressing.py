"""Equations 5 to 9 of Graves et al. 2014 against slow loops, and what must hold where they are delicate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from memnet.functional.addressing import (
    content_weights,
    cosine_similarity,
    interpolate_weights,
    sharpen_weights,
    shift_weights,
)
from tests import slow_equations as slow

SIZES = [(1, 1, 1, 1), (1, 1, 5, 3), (1, 3, 2, 1), (3, 1, 4, 2), (2, 3, 7, 4), (1, 2, 128, 20)]
"""(batch, head, slot, width)."""

sizes = pytest.mark.parametrize(("batch", "head", "slot", "width"), SIZES)
both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def distribution(*shape: int, seed: int = 0) -> Tensor:
    """Weightings over the last axis, from spread out to sharp."""
    return torch.softmax(2 * normal(*shape, seed=seed), -1)


def uniform(low: float, high: float, *shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, size=shape))


def one_hot(slot: int, slots: int) -> Tensor:
    return torch.eye(slots, dtype=torch.float64)[slot].view(1, 1, slots)


def assert_equal(actual: Tensor, expected: np.ndarray | Tensor, tolerance: float = 1e-13) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


@sizes
def test_similarity_is_equation_6(batch: int, head: int, slot: int, width: int) -> None:
    memory, key = normal(batch, slot, width), normal(batch, head, width, seed=1)
    expected = [
        [[slow.similarity(key[b, h].numpy(), memory[b, i].numpy()) for i in range(slot)] for h in range(head)]
        for b in range(batch)
    ]
    assert_equal(cosine_similarity(memory, key), np.array(expected))


def test_similarity_ignores_the_size_of_vectors() -> None:
    memory, key = normal(2, 5, 3), normal(2, 2, 3, seed=1)
    assert_equal(cosine_similarity(1e-4 * memory, 1e4 * key), cosine_similarity(memory, key))


def test_norms_below_epsilon_count_as_epsilon() -> None:
    memory, key = torch.tensor([[[0.01, 0.0], [0.0, 0.2]]]), torch.tensor([[[3.0, 4.0]]])
    assert_equal(cosine_similarity(memory, key, epsilon=0.1), torch.tensor([[[0.1 * 0.6, 0.8]]]), 1e-6)


@both_dtypes
@pytest.mark.parametrize("zero", ["memory", "key", "both", "one slot"])
def test_zero_vectors_have_similarity_zero_and_finite_gradients(zero: str, dtype: torch.dtype) -> None:
    memory, key = normal(2, 4, 3).to(dtype), normal(2, 2, 3, seed=1).to(dtype)
    if zero in ("memory", "both"):
        memory.zero_()
    if zero in ("key", "both"):
        key.zero_()
    if zero == "one slot":
        memory[:, 2] = 0
    memory.requires_grad_()
    key.requires_grad_()
    similarity = cosine_similarity(memory, key)
    silent = similarity[..., 2] if zero == "one slot" else similarity
    assert (silent == 0).all()
    weights = content_weights(memory, key, torch.full((2, 2, 1), 5.0, dtype=dtype))
    if zero != "one slot":
        assert_equal(weights, torch.full_like(weights, 0.25), 1e-7)
    (weights.square().sum() + similarity.sum()).backward()
    assert memory.grad is not None
    assert key.grad is not None
    assert memory.grad.isfinite().all()
    assert key.grad.isfinite().all()


@sizes
def test_content_addressing_is_equation_5(batch: int, head: int, slot: int, width: int) -> None:
    memory, key = normal(batch, slot, width), normal(batch, head, width, seed=1)
    strength = uniform(0, 20, batch, head, 1, seed=2)
    expected = [
        [slow.by_content(memory[b].numpy(), key[b, h].numpy(), float(strength[b, h, 0])) for h in range(head)]
        for b in range(batch)
    ]
    assert_equal(content_weights(memory, key, strength), np.array(expected))


def test_a_strong_key_finds_its_slot_and_strength_zero_finds_none() -> None:
    memory = normal(1, 6, 4)
    key = memory[:, [4, 1]]
    strong = content_weights(memory, key, torch.full((1, 2, 1), 1e4, dtype=torch.float64))
    assert_equal(strong, torch.cat([one_hot(4, 6), one_hot(1, 6)], 1))
    none = content_weights(memory, key, torch.zeros(1, 2, 1, dtype=torch.float64))
    assert_equal(none, torch.full_like(none, 1 / 6))


@pytest.mark.parametrize("strength", [0.0, 1.0, 1e2, 1e4, 1e6])
def test_content_addressing_is_finite_for_any_strength(strength: float) -> None:
    memory, key = normal(1, 9, 3).float().requires_grad_(), normal(1, 1, 3, seed=1).float().requires_grad_()
    weights = content_weights(memory, key, torch.full((1, 1, 1), strength))
    assert_equal(weights.sum(-1), torch.ones(1, 1), 1e-6)
    weights[0, 0, 3].backward()
    assert memory.grad is not None
    assert key.grad is not None
    assert memory.grad.isfinite().all()
    assert key.grad.isfinite().all()


@sizes
def test_interpolation_is_equation_7(batch: int, head: int, slot: int, width: int) -> None:
    content, previous = distribution(batch, head, slot), distribution(batch, head, slot, seed=1)
    gate = uniform(0, 1, batch, head, 1, seed=2)
    expected = [
        [slow.interpolated(content[b, h].numpy(), previous[b, h].numpy(), float(gate[b, h, 0])) for h in range(head)]
        for b in range(batch)
    ]
    assert_equal(interpolate_weights(content, previous, gate), np.array(expected))


def test_gate_one_takes_the_content_and_gate_zero_the_past() -> None:
    content, previous = distribution(2, 3, 5), distribution(2, 3, 5, seed=1)
    gate = torch.ones(2, 3, 1, dtype=torch.float64)
    assert torch.equal(interpolate_weights(content, previous, gate), content)
    assert torch.equal(interpolate_weights(content, previous, 0 * gate), previous)


@pytest.mark.parametrize("shift_range", [0, 1, 2, 3])
@pytest.mark.parametrize("extra_slots", [0, 1, 6])
@pytest.mark.parametrize(("batch", "head"), [(1, 1), (3, 2)])
def test_shifting_is_equation_8(batch: int, head: int, extra_slots: int, shift_range: int) -> None:
    slot = 2 * shift_range + 1 + extra_slots
    weights, shift = distribution(batch, head, slot), distribution(batch, head, 2 * shift_range + 1, seed=1)
    offsets = range(-shift_range, shift_range + 1)
    expected = [
        [
            slow.shifted(weights[b, h].numpy(), dict(zip(offsets, shift[b, h].tolist(), strict=True)))
            for h in range(head)
        ]
        for b in range(batch)
    ]
    assert_equal(shift_weights(weights, shift), np.array(expected))


@pytest.mark.parametrize("shift_range", [0, 1, 2, 3])
def test_offset_k_moves_slot_i_to_i_plus_k_and_wraps_around(shift_range: int) -> None:
    slots = 7
    for index, offset in enumerate(range(-shift_range, shift_range + 1)):
        shift = one_hot(index, 2 * shift_range + 1)
        for slot in range(slots):
            moved = shift_weights(one_hot(slot, slots), shift)
            assert torch.equal(moved, one_hot((slot + offset) % slots, slots)), (offset, slot)


@both_dtypes
@pytest.mark.parametrize("shift_range", [0, 1, 2, 3])
def test_shifting_preserves_sums(shift_range: int, dtype: torch.dtype) -> None:
    weights = distribution(2, 3, 128).to(dtype)
    shifted = shift_weights(weights, distribution(2, 3, 2 * shift_range + 1, seed=1).to(dtype))
    assert shifted.dtype == dtype
    assert_equal(shifted.sum(-1), torch.ones(2, 3, dtype=dtype), 1e-5 if dtype == torch.float32 else 1e-13)


def delicate_weights(kind: str, slots: int) -> Tensor:
    if kind == "uniform":
        return torch.full((1, 1, slots), 1 / slots, dtype=torch.float64)
    return one_hot(slots // 2, slots) if kind == "one-hot" else distribution(1, 1, slots)


delicate = pytest.mark.parametrize("kind", ["uniform", "one-hot", "random"])
gammas = pytest.mark.parametrize("gamma", [1, 10, 50, 200])


@both_dtypes
@delicate
@gammas
@pytest.mark.parametrize("slots", [1, 2, 128])
def test_sharpening_sums_to_one_with_finite_gradients(slots: int, gamma: int, kind: str, dtype: torch.dtype) -> None:
    weights = delicate_weights(kind, slots).to(dtype).requires_grad_()
    sharpening = torch.full((1, 1, 1), float(gamma), dtype=dtype, requires_grad=True)
    sharpened = sharpen_weights(weights, sharpening)
    assert sharpened.isfinite().all()
    assert (sharpened >= 0).all()
    assert_equal(sharpened.sum(-1), torch.ones(1, 1, dtype=dtype), 1e-5 if dtype == torch.float32 else 1e-12)
    (sharpened * normal(1, 1, slots, seed=3).to(dtype)).sum().backward()
    assert weights.grad is not None
    assert sharpening.grad is not None
    assert weights.grad.isfinite().all()
    assert sharpening.grad.isfinite().all()


@delicate
@gammas
@pytest.mark.parametrize("slots", [1, 2, 128])
def test_sharpening_is_equation_9_in_exact_arithmetic(slots: int, gamma: int, kind: str) -> None:
    weights = delicate_weights(kind, slots)
    expected = slow.sharpened_exactly(weights[0, 0].numpy(), gamma)
    actual = sharpen_weights(weights, torch.full((1, 1, 1), float(gamma), dtype=torch.float64))
    assert_equal(actual[0, 0], expected, 1e-12)


@sizes
def test_sharpening_is_equation_9_for_every_head(batch: int, head: int, slot: int, width: int) -> None:
    weights, sharpening = distribution(batch, head, slot), uniform(1, 6, batch, head, 1, seed=1)
    expected = [
        [slow.sharpened(weights[b, h].numpy(), float(sharpening[b, h, 0])) for h in range(head)] for b in range(batch)
    ]
    assert_equal(sharpen_weights(weights, sharpening), np.array(expected))


def test_sharpening_one_changes_nothing() -> None:
    weights = torch.cat([distribution(1, 2, 6), one_hot(3, 6)], 1)
    assert_equal(sharpen_weights(weights, torch.ones(1, 3, 1, dtype=torch.float64)), weights)


def test_sharpening_makes_what_differs_from_uniform_grow_by_its_power() -> None:
    differences = normal(1, 2, 128)
    differences -= differences.mean(-1, keepdim=True)
    weights, sharpening = (1 + 1e-7 * differences) / 128, uniform(1, 5, 1, 2, 1)
    grown = (sharpen_weights(weights, sharpening) * 128 - 1) / 1e-7
    assert_equal(grown, sharpening * differences, 1e-4)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (cosine_similarity, (normal(2, 3, 2), normal(2, 2, 2, seed=1))),
        (content_weights, (normal(2, 3, 2), normal(2, 2, 2, seed=1), uniform(1, 5, 2, 2, 1))),
        (interpolate_weights, (distribution(2, 2, 3), distribution(2, 2, 3, seed=1), uniform(0.1, 0.9, 2, 2, 1))),
        (shift_weights, (distribution(2, 2, 5), distribution(2, 2, 3, seed=1))),
        (shift_weights, (distribution(2, 1, 5), distribution(2, 1, 5, seed=1))),
        (sharpen_weights, (distribution(2, 2, 4), uniform(1, 5, 2, 2, 1))),
    ],
    ids=["similarity", "content", "interpolate", "shift three", "shift five", "sharpen"],
)
def test_gradients_equal_finite_differences(function: object, arguments: tuple[Tensor, ...]) -> None:
    assert gradcheck(function, [argument.clone().requires_grad_() for argument in arguments])
