"""Compiled associations are the plain ones: what is read, the last memory and every gradient."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import memnet
from memnet.functional.associations import associate
from memnet.native.associations import associate_tokens, refusal
from tests.compiler import needs_compiler

pytestmark = needs_compiler


def step_by_step(
    memory: Tensor, query: Tensor, key: Tensor, value: Tensor, erase: Tensor | None, log_decay: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The definition, a token at a time."""
    reads = []
    for token in range(query.size(1)):
        told: dict[str, Any] = {
            name: None if one is None else one[:, token] for name, one in (("erase", erase), ("log_decay", log_decay))
        }
        read, memory = associate(memory, query[:, token], key[:, token], value[:, token], **told)
        reads.append(read)
    return torch.stack(reads, 1), memory


def drawn_call(draw: random.Random, *, most: int = 40, dtype: torch.dtype = torch.float64) -> list[Tensor | None]:
    """Memory, query, key, value, erase, log decay: in any order in memory, some trained; what forgets all, too."""
    batch, heads, factors = (draw.randint(1, 3) for _ in range(3))
    time, keys, values = draw.randint(1, most), draw.choice([1, 3, 8, 9, 17]), draw.choice([1, 2, 8, 9, 16, 17, 40, 70])
    shapes = [(heads, keys, values), (time, heads, keys), (time, heads, factors, keys), (time, heads, factors, values)]
    memory, query, key, value = (torch.randn(batch, *shape, dtype=dtype) for shape in shapes)
    key = functional.normalize(key, dim=-1)
    erase = key * torch.rand(batch, time, heads, factors, 1, dtype=dtype) if draw.random() < 0.7 else None
    log_decay = -torch.rand(batch, time, heads, draw.choice([1, keys]), dtype=dtype) * draw.choice([0.1, 3.0, 200.0])
    if draw.random() < 0.3:
        log_decay[torch.rand(log_decay.shape) < 0.1] = -torch.inf
    if draw.random() < 0.5:
        query, value = (one.transpose(1, 2).contiguous().transpose(1, 2) for one in (query, value))
    given = [memory, query, key, value, erase, log_decay if draw.random() < 0.7 else None]
    return [None if one is None else one.detach().requires_grad_(draw.random() < 0.8) for one in given]


def results(run: Any, given: list[Tensor | None], counted: tuple[bool, bool]) -> list[Tensor]:
    """What was read, the last memory, and the gradients of a random loss on those that count."""
    found = run(given)
    generator = torch.Generator().manual_seed(7)
    noise = [torch.randn(one.shape, generator=generator).to(one) for one in found]
    leaves = [one for one in given if one is not None and one.requires_grad]
    parts = [(one * by).sum() for one, by, counts in zip(found, noise, counted, strict=True) if counts]
    gradients = torch.autograd.grad(sum(parts, sum(0 * one.nan_to_num(neginf=0).sum() for one in leaves)), leaves)
    return [*(one.detach() for one in found), *gradients]


def native(given: list[Tensor | None]) -> tuple[Tensor, Tensor]:
    *four, erase, log_decay = given
    return associate_tokens(*four, erase=erase, log_decay=log_decay)  # type: ignore[arg-type]


def plain(given: list[Tensor | None]) -> tuple[Tensor, Tensor]:
    return step_by_step(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(60))
def test_reads_memory_and_every_gradient_equal_the_plain_ones(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    given = drawn_call(draw)
    if not any(one is not None and one.requires_grad for one in given):
        given[1] = given[1].detach().requires_grad_()  # type: ignore[union-attr]
    assert refusal([one for one in given if one is not None]) is None
    counted = draw.choice([(True, True), (True, False), (False, True)])
    for one, other in zip(results(native, given, counted), results(plain, given, counted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize("seed", range(5))
def test_single_precision_and_inference(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    given = drawn_call(draw, dtype=torch.float32)
    trained = native(given)
    with torch.no_grad():
        found = native(given)
    for one, other, expected in zip(found, trained, plain(given), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        for seed in range(20):
            test_reads_memory_and_every_gradient_equal_the_plain_ones(seed)
    finally:
        torch.use_deterministic_algorithms(False)


def test_gradients_equal_finite_differences_twice() -> None:
    torch.manual_seed(0)
    shapes = [(2, 1, 3, 2), (2, 4, 1, 3), (2, 4, 1, 2, 3), (2, 4, 1, 2, 2), (2, 4, 1, 2, 3), (2, 4, 1, 3)]
    given = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    given[-1] = -given[-1].abs()
    for one in given:
        one.requires_grad_()
    assert gradcheck(lambda *given: native(list(given)), given)
    assert gradgradcheck(lambda *given: native(list(given)), given, fast_mode=True)


def test_tensors_of_another_size_are_refused_by_name() -> None:
    given = [torch.ones(2, 1, 3, 2), torch.ones(2, 4, 1, 3), torch.ones(2, 4, 1, 2, 3), torch.ones(2, 4, 1, 2, 2)]
    good: list[Tensor | None] = [*given, torch.ones(2, 4, 1, 2, 3), -torch.ones(2, 4, 1, 3)]
    native(good)
    for place, wrong in (
        (0, (2, 1, 3, 3)),
        (1, (2, 5, 1, 3)),
        (3, (2, 4, 1, 1, 2)),
        (4, (2, 4, 1, 3)),
        (5, (2, 4, 1, 2)),
    ):
        bad = [torch.ones(wrong) if at == place else one for at, one in enumerate(good)]
        with pytest.raises(ValueError, match=r"is given where .* is expected"):
            native(bad)


@pytest.mark.parametrize("name", ["DeltaNet", "Mamba"])
def test_levels_run_in_chunks(name: str) -> None:
    model = getattr(memnet, name)(3, 2, num_levels=3)
    model(torch.rand(2, 9, 3))
    assert (model.backend_used, model.backend_refusal) == ("chunked", "it computes no levels")


def test_who_watches_or_transforms_sees_chunks() -> None:
    model, input = memnet.DeltaNet(3, 2, hidden_size=6, num_layers=1), torch.rand(2, 9, 3)
    expected, _ = model(input)
    assert (model.backend_used, model.backend_refusal) == ("native", None)
    each = torch.func.vmap(lambda row: model(row.unsqueeze(0))[0].squeeze(0))(input)
    assert model.backend_used == "chunked"
    torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-5)
    seen: list[Any] = []
    model.cell.blocks[0].mixer.convolution.register_forward_hook(lambda *told: seen.append(told))
    model(input)
    assert model.backend_used == "eager"
    assert seen
