"""Sparse access memory against slow loops, and as one operator whose memory is rolled back."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from memnet import SAM, state_tensors
from memnet.functional.sparse import (
    nearest_slots,
    next_age,
    put_rows,
    put_rows_,
    slot_scales,
    top_slots,
    write_sparsely,
    written_rows,
)
from memnet.native import near_slots, sam, sam_compiled
from tests import slow_sam as slow
from tests.by_heart import losses_by_heart
from tests.compiler import needs_compiler
from tests.own_cell import CountingCell, DroppingCell, DroppingStack

OPTIONS: dict[str, dict[str, Any]] = {
    "two of six": {"num_reads": 2, "slots_per_read": 2},
    "one of six": {"num_reads": 1, "slots_per_read": 1, "used_above": 0.3},
    "all, as a dense cell": {"num_reads": 2, "slots_per_read": 6},
    "feed-forward": {"num_reads": 3, "slots_per_read": 4, "controller": "feedforward"},
    "own layers": {"num_reads": 2, "slots_per_read": 3, "controller": "gru", "num_layers": 2},
}
STATUS = Path("/proc/self/status")
MANY = {"num_reads": 2, "slots_per_read": 2, "num_slots": 1100}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
# The operator made of torch's operations, and the compiled one.
every_form = pytest.mark.parametrize("form", ["plain", pytest.param("compiled", marks=needs_compiler)], indirect=True)


@pytest.fixture
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which operator runs."""
    if request.param == "plain":
        monkeypatch.setattr(sam_compiled, "refusal", lambda *_: "not in this test")
    return str(request.param)


def drawn(backend: str = "eager", **options: Any) -> SAM:
    """One in float64 with every parameter from N(0, 1)."""
    torch.manual_seed(0)
    model = SAM(3, 2, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    model.backend = backend  # type: ignore[assignment]
    return model


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def assert_equal(actual: Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------------------- the step


@every_option
def test_every_step_is_that_of_the_slow_loops(options: dict[str, Any]) -> None:
    model = drawn(**options)
    # From contents of their own in every slot, so that none are equally near.
    state = model.initial_state(2)._replace(memory=normal(2, 6, 4, seed=1))
    for input in normal(2, 8, 3).unbind(1):
        output, after, watched = model.cell.watched_step(model.cell.project(input), state)
        for row in range(2):
            before = slow.SlowSlots(
                *(one[row].detach().numpy() for one in (state.memory, state.age, state.read_weights))
            )
            told = {name: part[row].detach().numpy() for name, part in watched.told._asdict().items()}
            expected, writes = slow.step(before, told, model.cell.slots_per_read, model.cell.used_above)
            assert_equal(after.memory[row], expected.memory)
            assert_equal(after.age[row], expected.age)
            assert_equal(after.read_weights[row], expected.reads)
            assert_equal(after.reads[row], expected.reads @ expected.memory)
            written = torch.zeros(writes.shape).double()
            assert_equal(written.scatter_add(-1, watched.slots[row], watched.weights[row]), writes)
        assert_equal(output[:, -after.reads[0].numel() :], after.reads.flatten(1))
        state = after


def test_of_equal_scores_the_first_are_taken() -> None:
    assert top_slots(torch.tensor([[0.0, 2.0, 1.0, 1.0, 1.0, -3.0]]), 3).tolist() == [[1, 2, 3]]
    assert top_slots(torch.zeros(1, 9), 2).tolist() == [[0, 1]]
    scores = torch.randn(5, 40)
    assert torch.equal(top_slots(scores, 7), scores.topk(7).indices.sort(-1).values)
    assert top_slots(torch.zeros(1, 999), 2).tolist() == [[0, 1]]
    for size in (1024, 1500):  # in blocks, the last of them short
        scores = torch.randn(3, size).round()
        assert torch.equal(top_slots(scores, 4), scores.sort(stable=True, descending=True).indices[:, :4].sort().values)
    for size in (5, 1025):
        assert (
            top_slots(torch.full((1, size), torch.nan), 2).max() < size
        )  # that what has gone wrong is seen, and breaks nothing


def test_the_nearest_slots_are_those_of_the_largest_cosine() -> None:
    memory, key = normal(2, 30, 5), normal(2, 3, 5, seed=1)
    cosines = torch.cosine_similarity(key.unsqueeze(2), memory.unsqueeze(1), dim=-1)
    assert torch.equal(nearest_slots(memory, key, 4), cosines.topk(4).indices.sort(-1).values)
    # A slot that holds nothing is at a right angle to every key, whatever the floor.
    memory = torch.tensor([[[-1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [2.0, 0.1]]])
    for floor in (0.0, 1e-6):
        assert nearest_slots(memory, torch.tensor([[[3.0, 0.0]]]), 2, floor).tolist() == [[[1, 3]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nearest_slots_are_nearer_than_others_but_for_half_the_digits(dtype: torch.dtype) -> None:
    """Of many slots that are about as near, those taken: the first of what is alike, and hardly farther than any."""
    resolution = math.sqrt(torch.finfo(dtype).eps)
    key = torch.tensor([[[1.0, 0]]], dtype=dtype)
    angles = torch.linspace(0, 3, 40, dtype=torch.float64).unsqueeze(0).mul(math.sqrt(resolution)).flip(-1)
    memory = torch.stack([angles.cos(), angles.sin()], -1).to(dtype)
    taken = nearest_slots(memory, key, 3)[0, 0]
    left = angles[0].cos().index_fill(0, taken, -1.0).max()
    assert left - angles[0].cos()[taken].min() < 2 * resolution
    alike = nearest_slots(memory[:, :1].expand(-1, 40, -1), key, 3)
    assert alike.tolist() == [[[0, 1, 2]]]
    close = torch.tensor([[[1.0, math.sqrt(resolution) / 2], [1.0, 0.0]]], dtype=dtype)
    assert nearest_slots(close, key, 1).item() == 0


def test_a_slot_that_comes_up_twice_is_written_once_and_gives_one_gradient() -> None:
    memory = normal(1, 5, 2).requires_grad_()
    slots, weights = write_sparsely(
        torch.tensor([[[1, 3]]]),
        torch.tensor([[[0.25, 0.75]]]).double(),
        torch.tensor([[3]]),
        *torch.full((2, 1, 1, 1), 0.5).double(),
    )
    places = slots.flatten(1)
    rows = written_rows(memory[:, places[0]], slots, weights, torch.ones(1, 1, 2).double(), torch.tensor([[3]]))
    new = put_rows(memory, places, rows)
    assert_equal(new[0, 3], [0.4375, 0.4375])  # emptied, and then 0.5 (0.5 * 0.75 + 0.5)
    assert_equal(new[0, 1], memory[0, 1] + 0.0625)
    (gradient,) = torch.autograd.grad(new.sum(), memory)
    assert_equal(gradient[0], (torch.arange(5) != 3).double().unsqueeze(-1).expand(5, 2))


def test_age_counts_from_the_last_use_that_is_above_the_threshold() -> None:
    age = torch.tensor([[4.0, 4.0, 4.0]])
    slots, weights = torch.tensor([[0, 1, 1]]), torch.tensor([[0.2, 0.15, 0.1]])
    assert next_age(age, slots, weights, 0.2).tolist() == [[5, 0, 5]]
    assert not next_age(age.requires_grad_(), slots, weights, 0.2).requires_grad


# ------------------------------------------------------------------------------------------------- one operator


@every_form
@pytest.mark.parametrize("options", [*OPTIONS.values(), MANY], ids=[*OPTIONS, "few of many"])
@pytest.mark.parametrize("lengths", [None, [7, 0, 3, 5]])
def test_as_one_operator_nothing_changes(options: dict[str, Any], lengths: list[int] | None, form: str) -> None:
    """Outputs and states, by torch's operations to the bit, and every gradient, also through a state carried on."""
    ends = None if lengths is None else torch.tensor(lengths)
    results = []
    for backend in ("eager", "native"):
        model, input = drawn(backend, **options), normal(4, 7, 3).requires_grad_()
        memory = normal(4, model.num_slots, 4, seed=1)
        memory[:, 6:] = 0  # of many slots those that are never reached
        start = model.initial_state(4)._replace(memory=memory.requires_grad_())
        chunk, state = model(input[:, :3], start)
        output, last = model(input, state, lengths=ends)
        assert model.backend_used == backend
        found = [chunk, output, *state_tensors(last)]
        loss = sum(one.sin().sum() * (1 + number) for number, one in enumerate(found))
        gradients = torch.autograd.grad(loss, [input, start.memory, *model.parameters()])
        results.append((found, gradients))
    for one, other in zip(results[0][0], results[1][0], strict=True):
        assert_equal(other, one, 0.0 if form == "plain" else 1e-10)
    for one, other in zip(results[0][1], results[1][1], strict=True):
        assert_equal(other, one, 1e-10)


@every_form
def test_a_row_without_a_step_keeps_all_that_it_read_and_its_gradient(form: str) -> None:
    results = []
    for backend in ("eager", "native"):
        model = drawn(backend, num_reads=2, slots_per_read=3)
        weights = torch.full((2, 2, 6), 1 / 6, dtype=torch.float64, requires_grad=True)
        age = model.initial_state(2).age.clone().requires_grad_()
        state = model.initial_state(2)._replace(read_weights=weights, age=age)
        _, last = model(normal(2, 5, 3), state, lengths=torch.tensor([5, 0]))
        assert torch.equal(last.read_weights[1], weights[1])
        loss = (last.read_weights * normal(2, 2, 6)).sum() + (last.age * normal(2, 6, seed=1)).sum()
        results.append(torch.autograd.grad(loss, [weights, age]))
    for one, other in zip(*results, strict=True):
        assert_equal(other, one, 1e-10)
        assert other[1].all()


@every_form
def test_an_age_that_asks_for_no_gradient_has_none(form: str) -> None:
    for backend in ("eager", "native"):
        model = drawn(backend)
        _, state = model(normal(2, 3, 3))
        _, last = model(normal(2, 3, 3), state)
        assert not last.age.requires_grad
        assert last.memory.requires_grad


def test_a_normalized_controller_is_run_by_it() -> None:
    results = []
    for backend in ("eager", "native"):
        model = drawn(backend, num_reads=1, slots_per_read=2, controller="normalized-lstm")
        output, _ = model(normal(2, 5, 3))
        results.append([output, *torch.autograd.grad(output.square().sum(), [*model.parameters()])])
    assert model.backend_used == "native"
    for one, other in zip(*results, strict=True):
        assert_equal(other, one, 1e-10)


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell of its memory so")
def test_many_zeros_are_a_process_own() -> None:
    """Memory that a process shares with those it starts is counted apart."""

    def shared() -> str:
        return next(line for line in STATUS.read_text().splitlines() if line.startswith("RssShmem"))

    before, zeros = shared(), sam._zeros(torch.empty(1).expand(1 << 21))
    assert zeros.add_(1).sum() == 1 << 21
    assert shared() == before


def test_the_memory_is_rolled_back_to_the_bit() -> None:
    model, kept = drawn(num_reads=2, slots_per_read=2, num_slots=12).float(), []
    state = model.initial_state(3)._replace(memory=normal(3, 12, 4).float())
    with torch.no_grad():
        results, *_ = sam.run(model.cell, normal(3, 30, 3).float(), state, torch.tensor([30, 4, 0]), kept)
    memory = results[-3].clone()
    assert not torch.equal(memory[:2], state.memory[:2])
    assert len([*sam.rolled_back(memory, kept)]) == 30
    assert torch.equal(memory, state.memory)


@needs_compiler
def test_the_compiled_operator_rolls_the_memory_back_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rolled, backward = [], sam_compiled.controlled.backward

    def watched(*args: Any) -> Any:
        rolled.append(args[-1]["memory"])
        return backward(*args)

    monkeypatch.setattr(sam_compiled.controlled, "backward", watched)
    model = drawn("native", num_reads=2, slots_per_read=2, num_slots=12).float()
    state = model.initial_state(3)._replace(memory=normal(3, 12, 4).float())
    output, last = model(normal(3, 30, 3).float(), state, lengths=torch.tensor([30, 4, 0]))
    assert not torch.equal(last.memory[:2], state.memory[:2])
    for _ in range(2):  # the last memory is still there for a second time
        output.sum().backward(retain_graph=True)
    assert len(rolled) == 2
    assert all(torch.equal(one, state.memory) for one in rolled)


@needs_compiler
def test_of_equal_cosines_and_ages_the_compiled_operator_takes_the_first_slots() -> None:
    """Of a memory whose slots are all alike, and in blocks of them that end within a vector."""
    for slots in (1, 5, 67):
        model = drawn("native", num_reads=1, slots_per_read=min(3, slots), num_slots=slots)
        state = model.initial_state(1)._replace(memory=torch.ones(1, slots, 4).double())
        _, last = model(normal(1, 1, 3), state)
        assert last.memory[0, 1:].eq(1).all()  # the first was emptied, and written
        assert not last.memory[0, 0].eq(1).any()
        eager = drawn(num_reads=1, slots_per_read=min(3, slots), num_slots=slots)
        _, expected = eager(normal(1, 1, 3), state)
        assert torch.equal(last.read_weights.nonzero(), expected.read_weights.nonzero())


def test_what_the_compiled_operator_does_not_cover_is_told_by_name() -> None:
    def told(state: Any = None, **options: Any) -> str | None:
        model = drawn(num_reads=1, slots_per_read=2, **options)
        state = model.initial_state(2) if state is None else state
        return sam_compiled.refusal(model.cell, normal(2, 5, 3), state)

    assert told(controller="normalized-lstm") == "it computes no normalized-lstm, and no layers of several kinds"
    assert "float32" in str(told(drawn(num_reads=1, slots_per_read=2).float().initial_state(2)))


class _Held:
    """A tensor that is kept for the backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@every_form
def test_what_is_kept_does_not_grow_with_the_memory_and_goes_with_the_graph(form: str) -> None:
    numbers = {}
    for slots in (16, 4096):
        for steps in (5, 9):
            model, held = drawn("native", num_reads=2, slots_per_read=2, num_slots=slots), weakref.WeakSet[_Held]()

            def keep(tensor: Tensor, held: weakref.WeakSet[_Held] = held) -> _Held:
                held.add(one := _Held(tensor.detach()))
                return one

            with saved_tensors_hooks(keep, lambda one: one.tensor):
                output, _ = model(normal(1, steps, 3), lengths=torch.tensor([4]))
            numbers[slots, steps] = sum(one.tensor.numel() for one in held)
            output.sum().backward()
            assert not held  # though the output is still there
    # Of a step 24 numbers that stood in the slots written, and as many again of what it began with and chose.
    assert numbers[16, 9] - numbers[16, 5] == numbers[4096, 9] - numbers[4096, 5] > 4 * 48


def test_lengths_are_looked_at_once_and_may_change_after_the_call() -> None:
    class Waits(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.count += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    gradients = []
    for backend in ("eager", "native"):
        model, lengths = drawn(backend, num_reads=1, slots_per_read=2), torch.tensor([6, 2])
        output, _ = model(normal(2, 6, 3), lengths=lengths)
        lengths.zero_()
        output.sum().backward()
        gradients.append(model.cell.interface.weight.grad)
    assert_equal(gradients[1], gradients[0], 1e-10)
    with torch.no_grad(), Waits() as waits:
        sam.run(model.cell, normal(2, 6, 3), model.initial_state(2), torch.tensor([6, 2]), None)
    assert waits.count == 2  # the shortest length, and where the memory ends


@every_form
def test_higher_derivatives_are_those_of_the_steps(form: str) -> None:
    results = []
    for backend in ("eager", "native"):
        model, input = drawn(backend, num_reads=1, slots_per_read=2), normal(1, 3, 3).requires_grad_()
        (first,) = torch.autograd.grad(model(input)[0].sin().sum(), input, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), input)[0])
    assert_equal(results[1], results[0], 1e-10)


def test_what_it_does_not_cover_runs_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model = drawn("auto", num_reads=1, slots_per_read=2)
    hook = model.cell.interface.register_forward_hook(lambda *_: None)
    model(normal(1, 3, 3))
    assert (model.backend_used, model.backend_refusal) == ("eager", "it runs no hooks")
    hook.remove()
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    model(normal(1, 3, 3))
    assert (model.backend_used, model.backend_refusal) == ("eager", "MEMNET_NATIVE is 0")


@pytest.mark.parametrize("form", ["plain"], indirect=True)
def test_it_is_chosen_where_it_is_faster(form: str) -> None:
    model, input = drawn("auto", num_reads=1, slots_per_read=2), normal(1, 3, 3)
    model(input)
    told = "so small a memory is trained faster step by step"
    assert (model.backend_used, model.backend_refusal) == ("eager", told)
    with torch.no_grad():
        model(input)
    assert model.backend_used == "native"
    model.num_slots = 1 << 15
    model(input)
    assert model.backend_used == "native"


@pytest.mark.parametrize("controller", [DroppingCell, DroppingStack, CountingCell])
def test_controllers_that_may_not_be_the_same_when_asked_again_run_step_by_step(controller: Any) -> None:
    gradients = []
    for backend in ("eager", "auto"):
        model = drawn(backend, num_reads=1, slots_per_read=2, controller=controller)
        torch.manual_seed(1)
        model(normal(2, 4, 3))[0].sum().backward()
        gradients.append(model.cell.interface.weight.grad)
    assert model.backend_refusal == "it computes memnet's own cells as they were built"
    assert torch.equal(*gradients)


# ------------------------------------------------------------------------------------------------- very many slots


def test_an_index_finds_nearly_all_that_a_scan_finds_and_follows_what_changes() -> None:
    pytest.importorskip("faiss")
    memory, key = normal(2, 5000, 8).float(), normal(2, 3, 8, seed=1).float()
    index, scales = near_slots.NearSlots(memory), slot_scales(memory, 1e-6)

    def found() -> tuple[Tensor, Tensor]:
        return index.nearest(memory, key, 4, scales), nearest_slots(memory, key, 4)

    near, nearest = found()
    assert (near.unsqueeze(-1) == nearest.unsqueeze(-2)).any(-1).float().mean() > 0.8
    slots = torch.tensor([[7, 4999, 20], [1, 2, 4000]])
    put_rows_(memory, slots, 2 * key)
    index.change(slots, 2 * key)
    scales = slot_scales(memory, 1e-6)
    near, nearest = found()
    for head in range(3):
        assert (near[:, head] == slots[:, head : head + 1]).any(-1).all()


def test_a_memory_of_very_many_slots_is_searched_by_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which gives what the scan gives, where it looks into all of its lists."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(near_slots, "EXACT_SLOTS", 500)
    results = []
    for approximate in (False, True):
        monkeypatch.setattr(near_slots, "_PROBED", 1000)
        model = drawn("native", **MANY, approximate=approximate).float()
        state = model.initial_state(3)._replace(memory=normal(3, 1100, 4, seed=1).float())
        output, last = model(normal(3, 7, 3).float(), state, lengths=torch.tensor([7, 0, 4]))
        output.sum().backward()
        results.append([output, *state_tensors(last), *(one.grad for one in model.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_an_index_that_is_not_installed_is_refused_by_the_name_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"approximate needs faiss.* pip install 'memnet-torch\[index\]'"):
        drawn(**MANY, approximate=True)


# ------------------------------------------------------------------------------------------------- sizes, learning


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"slots_per_read": 0}, "slots_per_read must be at least 1, not 0"),
        ({"slots_per_read": 7}, "slots_per_read 7 needs at least 7 slots, not 6"),
        ({"num_reads": 7}, "num_reads 7 needs at least 7 slots, not 6"),
        ({"used_above": 1.0}, "used_above must be in"),
    ],
)
def test_sizes_that_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        drawn(**options)


def test_fewer_slots_than_are_read_cannot_be_set() -> None:
    model = drawn(num_reads=1, slots_per_read=4)
    with pytest.raises(ValueError, match="slots_per_read 4 needs at least 4 slots, not 3"):
        model.num_slots = 3
    model.num_slots = 50
    assert model(normal(1, 2, 3))[1].memory.shape == (1, 50, 4)


def test_a_small_batch_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    model, input, answer = (
        SAM(3, 1, hidden_size=16, num_slots=32, slot_size=8),
        torch.randn(8, 4, 3),
        torch.rand(8).round(),
    )
    loss = nn.functional.binary_cross_entropy_with_logits
    losses = losses_by_heart(model, lambda: loss(model(input)[0][:, -1, 0], answer))
    assert losses[-1] < 0.05
