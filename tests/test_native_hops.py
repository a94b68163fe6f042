"""Compiled hops over the sentences of stories are the plain ones: queries, attention and every gradient."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from memnet import MemN2N
from memnet.functional.addressing import attention_weights
from memnet.native import hops as native_hops
from tests.compiler import needs_compiler
from tests.stories import MAX_WORDS, VOCAB, drawn_anew, question_of, story_of

pytestmark = needs_compiler


def plain(
    query: Tensor,
    sentences: list[Tensor],
    hop_tables: list[tuple[int, int]],
    lengths: Tensor,
    empty: Tensor,
    update: Tensor | None,
    *,
    linear: bool,
    relu: bool,
) -> tuple[Tensor, Tensor]:
    """Eq. 1, 2 and 4, one after the other; what stands after a story's end is not read."""
    present = torch.arange(sentences[0].size(1)) < lengths.unsqueeze(-1)
    sentences = [one.masked_fill(~present.unsqueeze(-1), 0) for one in sentences]
    queries, attention = [], []
    for key, value in hop_tables:
        scores = (sentences[key] * query.unsqueeze(1)).sum(-1)
        weights = scores if linear else attention_weights(scores, present, empty)
        read = (weights.unsqueeze(-1) * sentences[value]).sum(1)
        query = (query if update is None else functional.linear(query, update)) + read
        query = torch.relu(query) if relu else query
        queries.append(query)
        attention.append(weights)
    return torch.stack(queries, 1), torch.stack(attention, 1)


def drawn_call(draw: random.Random, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Any sizes, stories without sentences, a memory without empty slots, and any part of it trained."""
    batch, slots, hops = draw.choice([1, 2, 5]), draw.choice([1, 2, 7, 8, 9, 33, 50]), draw.choice([1, 2, 3, 5])
    width = draw.choice([1, 2, 7, 8, 9, 15, 16, 17, 20, 33, 70])
    tables = draw.choice([1, 2, hops + 1])

    def number(*shape: int) -> Tensor:
        made = torch.randn(*shape, dtype=dtype)
        if draw.random() < 0.2:
            made = torch.randn(*shape[::-1], dtype=dtype).permute(*range(len(shape) - 1, -1, -1))
        return made.requires_grad_(draw.random() < 0.8)

    return {
        "query": number(batch, width),
        "sentences": [number(batch, slots, width) for _ in range(tables)],
        "hop_tables": [(draw.randrange(tables), draw.randrange(tables)) for _ in range(hops)],
        "lengths": torch.randint(0, slots + 1, (batch,)),
        "empty": torch.randint(0, 3, (batch,)),
        "update": number(width, width) if draw.random() < 0.5 else None,
        "linear": draw.random() < 0.3,
        "relu": draw.random() < 0.5,
    }


def leaves_of(call: dict[str, Any]) -> list[Tensor]:
    numbers = [call["query"], *call["sentences"], call["update"]]
    return [one for one in numbers if one is not None and one.requires_grad]


def results(run: Any, call: dict[str, Any], counted: tuple[bool, bool]) -> list[Tensor]:
    """Queries and attention, and the gradients of a random loss on those of them that count."""
    found = run(**call)
    generator = torch.Generator().manual_seed(7)
    noise = [torch.randn(one.shape, generator=generator).to(one) for one in found]
    leaves = leaves_of(call)
    parts = [0 * leaf.sum() for leaf in leaves]
    parts += [(one * other).sum() for one, other, counts in zip(found, noise, counted, strict=True) if counts]
    gradients = torch.autograd.grad(torch.stack(parts).sum(), leaves) if leaves else []
    return [*(one.detach() for one in found), *gradients]


@pytest.mark.parametrize("seed", range(40))
def test_hops_and_every_gradient_equal_the_plain_ones(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    call = drawn_call(draw)
    assert native_hops.refusal(call["query"], *call["sentences"]) is None
    counted = (draw.random() < 0.8, draw.random() < 0.5)
    expected, found = (results(run, call, counted) for run in (plain, native_hops.hops))
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        # Without a softmax numbers grow from hop to hop.
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10 * max(1, float(other.abs().max())))


@pytest.mark.parametrize("seed", range(100, 110))
def test_single_precision_and_inference(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    call = {**drawn_call(draw, torch.float32), "linear": False}
    trained = native_hops.hops(**call)
    with torch.no_grad():
        found = native_hops.hops(**call)
    for one, other, expected in zip(found, trained, plain(**call), strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(0)
    query, table, update = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 3), (2, 4, 3), (3, 3)))
    given = [one.requires_grad_() for one in (query, table, update)]

    def run(query: Tensor, table: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
        places = torch.tensor([4, 1]), torch.tensor([0, 2])
        return native_hops.hops(query, [table], [(0, 0)] * 2, *places, update, linear=False, relu=False)

    assert gradcheck(run, given)


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        for seed in range(20):
            test_hops_and_every_gradient_equal_the_plain_ones(seed)
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_graph_can_be_walked_twice_and_changed_tensors_are_noticed() -> None:
    query, table = torch.randn(2, 3, requires_grad=True), torch.randn(2, 4, 3, requires_grad=True)
    lengths = torch.tensor([4, 2])
    queries, _ = native_hops.hops(
        query, [table], [(0, 0)], lengths, torch.zeros_like(lengths), None, linear=False, relu=True
    )
    first, second = (torch.autograd.grad(queries.sum(), [query, table], retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    with torch.no_grad():
        table.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        queries.sum().backward()


@pytest.mark.parametrize("length", [-1, 5])
def test_lengths_beyond_the_memory_are_refused(length: int) -> None:
    with pytest.raises(IndexError, match="index out of range"):
        native_hops.hops(
            torch.ones(1, 3), [torch.ones(1, 4, 3)], [(0, 0)], torch.tensor([length]), torch.tensor([0]), None,
            linear=False, relu=False,
        )  # fmt: skip


def test_tensors_of_another_size_are_refused_by_name() -> None:
    right = {
        "query": torch.ones(2, 3),
        "sentences": [torch.ones(2, 4, 3)] * 2,
        "lengths": torch.ones(2, dtype=torch.int64),
        "empty": torch.ones(2, dtype=torch.int64),
        "update": torch.ones(3, 3),
    }
    wrong = {
        "query": torch.ones(1, 3),
        "sentences": [torch.ones(2, 4, 3), torch.ones(2, 5, 3)],
        "lengths": torch.ones(3, dtype=torch.int64),
        "empty": torch.ones(1, dtype=torch.int64),
        "update": torch.ones(2, 3),
    }
    for name in wrong:
        call: dict[str, Any] = {**right, name: wrong[name]}
        with pytest.raises(ValueError, match=r"is given where \(.*\) is expected"):
            native_hops.hops(**call, hop_tables=[(0, 1)], linear=False, relu=False)


@pytest.mark.parametrize("options", [{}, {"tying": "layerwise", "nonlinearity": "relu"}, {"mask_empty": True}])
@pytest.mark.parametrize("linear", [False, True])
def test_a_memory_network_watched_natively_saw_the_same(options: dict[str, Any], linear: bool) -> None:
    model = drawn_anew(MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=5, **options)).double().eval()
    model.linear_start = linear
    traces = []
    for backend in ("eager", "native"):
        model.backend = backend
        traces.append(model.trace(story_of(), question_of()))
        assert model.backend_used == backend
    for one, other in zip(*traces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
