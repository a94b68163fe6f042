"""The compiled entity network computes what the plain step does: gates, memories and every gradient."""

from __future__ import annotations

import random
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

from memnet import EntNet, EntNetCell, EntNetState, sequence
from memnet.native import build
from memnet.sequence import RecurrentModule
from tests.compiler import needs_compiler
from tests.stories import MAX_WORDS, VOCAB, called, drawn_anew, question_of, stacked, story_of

pytestmark = needs_compiler


def drawn_cell(draw: random.Random) -> EntNetCell:
    """Any configuration, in float64, with parameters that no zero or identity hides."""
    cell = EntNetCell(
        draw.choice([1, 2, 7, 8, 9, 15, 16, 17, 20, 33]),
        draw.choice([1, 2, 3, 5, 8, 9, 20, 130]),
        gate_bias=draw.random() < 0.5,
        normalization=draw.choice(["unit", "none"]),
    ).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.4)
    return cell


def drawn_sentences(draw: random.Random, width: int) -> Tensor:
    """Sentences, of which some are none: at the start, in the middle, at the end, or all of a row."""
    sentences = torch.randn(draw.choice([1, 2, 5]), draw.choice([1, 2, 9, 20]), width, dtype=torch.float64)
    time = sentences.size(1)
    for row in sentences:
        row[: draw.choice([0, 0, 1, 3])] = 0
        row[time - draw.choice([0, 0, 1, 4, time]) :] = 0
        row[torch.rand(time) < draw.choice([0.0, 0.3])] = 0
    return sentences


def results(
    cell: EntNetCell,
    backend: sequence.Backend,
    sentences: Tensor,
    state: EntNetState | None = None,
    lengths: Tensor | None = None,
    *,
    gates_count: bool = True,
    memories_count: bool = True,
) -> list[Tensor]:
    """Gates, last memories, and the gradients of a random loss on them to all that can have one."""
    module = RecurrentModule(cell)
    module.backend = backend
    gates, last = module.unroll(sentences, state or cell.initial_state(len(sentences)), lengths=lengths)
    assert module.backend_used == backend
    if lengths is not None:
        gates = gates * (torch.arange(gates.size(1)) < lengths.unsqueeze(1)).unsqueeze(-1)
    generator = torch.Generator().manual_seed(7)
    counted = [gates] * gates_count + [last.memories] * memories_count
    loss = sum((tensor * torch.randn(tensor.shape, generator=generator).to(tensor)).sum() for tensor in counted)
    leaves = [*cell.parameters(), sentences, *(state or ())]
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [gates.detach(), last.memories.detach(), *gradients]


def assert_equal_to_eager(*args: Any, tolerance: float = 1e-10, **kwargs: Any) -> None:
    cell, *rest = args
    expected, found = (results(cell, backend, *rest, **kwargs) for backend in ("eager", "native"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(30))
def test_gates_memories_and_every_gradient_equal_the_plain_step(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    cell = drawn_cell(draw)
    sentences = drawn_sentences(draw, cell.input_size).requires_grad_(draw.random() < 0.7)
    batch, time = sentences.shape[:2]
    state = None
    if draw.random() < 0.5:
        memories = torch.randn(batch, cell.output_size, cell.input_size, dtype=torch.float64)
        state = EntNetState(memories.requires_grad_(draw.random() < 0.7))
    lengths = torch.tensor([draw.randint(0, time) for _ in range(batch)]) if draw.random() < 0.5 else None
    counts = draw.choice([(True, True), (True, False), (False, True)])
    assert_equal_to_eager(cell, sentences, state, lengths, gates_count=counts[0], memories_count=counts[1])


@pytest.mark.parametrize("seed", range(60, 70))
def test_float32_is_as_near_the_truth_as_the_plain_step(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    cell = drawn_cell(draw)
    sentences = drawn_sentences(draw, cell.input_size)[:, :6]
    truth = results(cell, "eager", sentences)
    cell, sentences = cell.float(), sentences.float()
    eager, found = (results(cell, backend, sentences) for backend in ("eager", "native"))
    for one, other, true in zip(found, eager, truth, strict=True):
        size = 1 + true.abs().max()
        assert (one - true).abs().max() <= 4 * (other - true).abs().max() + 1e-5 * size


@pytest.mark.parametrize("normalization", ["unit", "none"])
def test_gradients_equal_finite_differences(normalization: Any) -> None:
    torch.manual_seed(0)
    cell = drawn_anew(EntNetCell(3, 4, normalization=normalization).double())
    module, names = RecurrentModule(cell), [name for name, _ in cell.named_parameters(prefix="cell")]
    module.backend = "native"

    class Unroll(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, sentences: Tensor, memories: Tensor) -> tuple[Tensor, Tensor]:
            gates, state = module.unroll(sentences, EntNetState(memories))
            return gates, state.memories

    unroll = Unroll()

    def run(sentences: Tensor, memories: Tensor, *parameters: Tensor) -> Any:
        return functional_call(unroll, dict(zip(names, parameters, strict=True)), (sentences, memories))

    sentences, memories = torch.randn(2, 5, 3).double().requires_grad_(), torch.randn(2, 4, 3).double().requires_grad_()
    assert gradcheck(run, [sentences, memories, *cell.parameters()], atol=1e-6, rtol=1e-4)
    assert module.backend_used == "native"


def test_a_vector_of_length_zero_stays_zero_and_passes_gradients_on() -> None:
    torch.manual_seed(0)
    cell = EntNetCell(3, 2).double()
    nn.init.zeros_(cell.from_memory.bias)
    for layer in (cell.from_memory, cell.from_key, cell.from_sentence):
        nn.init.zeros_(layer.weight)
    memories = torch.zeros(2, 2, 3, dtype=torch.float64)
    memories[1, 1] = 0.5
    sentences = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert_equal_to_eager(cell, sentences, EntNetState(memories.requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("slots", [1, 2, 20])
def test_inference_gives_the_same_bits_as_training(slots: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = RecurrentModule(EntNetCell(11, slots).to(dtype))
    module.backend = "native"
    sentences, lengths = torch.randn(4, 7, 11, dtype=dtype), torch.tensor([7, 0, 3, 1])
    trained, state = module.unroll(sentences, module.cell.initial_state(4), lengths=lengths)
    assert trained.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            gates, last = module.unroll(sentences, module.cell.initial_state(4), lengths=lengths)
        assert torch.equal(gates, trained)
        assert torch.equal(last.memories, state.memories)


@pytest.mark.parametrize("normalization", ["unit", "none"])
def test_where_no_sentence_is_nothing_changes(normalization: Any) -> None:
    """At the end, in between, and before anything was said; and no gradient comes from there."""
    torch.manual_seed(0)
    module = RecurrentModule(EntNetCell(5, 4, normalization=normalization).double())
    module.backend = "native"
    said, silence = torch.randn(2, 5, 5).double(), torch.zeros(2, 2, 5).double()
    _, expected = module.unroll(said, module.cell.initial_state(2))
    _, state = module.unroll(silence, expected)
    assert torch.equal(state.memories, expected.memories)
    sentences = torch.cat([silence, said[:, :2], silence, said[:, 2:], silence], 1).requires_grad_()
    gates, state = module.unroll(sentences, module.cell.initial_state(2))
    torch.testing.assert_close(state.memories, expected.memories, rtol=0, atol=1e-14)
    silent = torch.tensor([True, True, False, False, True, True, False, False, False, True, True])
    assert (gates[:, silent] == 0).all()
    assert (gates[:, ~silent] > 0).all()
    (gates.sum() + state.memories.sum()).backward()
    assert sentences.grad is not None
    assert (sentences.grad[:, silent] == 0).all()
    assert (sentences.grad[:, ~silent] != 0).all()


def test_no_number_stays_no_number() -> None:
    torch.manual_seed(0)
    module, sentences = RecurrentModule(EntNetCell(5, 4)), torch.randn(2, 4, 5)
    sentences[0, 1, 0] = torch.nan
    for backend in ("eager", "native"):
        module.backend = backend
        gates, state = module.unroll(sentences, module.cell.initial_state(2))
        assert gates[0, 0].isfinite().all()
        assert gates[0, 1:].isnan().all()
        assert state.memories[0].isnan().all()
        assert gates[1].isfinite().all()


def test_the_graph_can_be_walked_twice_and_changed_tensors_are_noticed() -> None:
    module, sentences = RecurrentModule(EntNetCell(5, 4)), torch.randn(2, 4, 5)
    module.backend = "native"
    parameters = list(module.parameters())
    for changed in ("weight", "gates"):
        gates, state = module.unroll(sentences, module.cell.initial_state(2))
        loss = gates.sum() + state.memories.sum()
        first, second = (torch.autograd.grad(loss, parameters, retain_graph=True) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        with torch.no_grad():
            (gates if changed == "gates" else module.cell.from_memory.weight).add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_frozen_parts_get_no_gradient() -> None:
    torch.manual_seed(0)
    cell, sentences = drawn_cell(random.Random(3)), torch.randn(2, 4, 1, dtype=torch.float64)
    sentences = sentences.expand(-1, -1, cell.input_size)
    cell.from_memory.requires_grad_(False)
    assert_equal_to_eager(cell, sentences)
    cell.requires_grad_(False)
    assert_equal_to_eager(cell, sentences.clone().requires_grad_())


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        for seed in range(20):
            draw = random.Random(seed)
            torch.manual_seed(seed)
            cell = drawn_cell(draw)
            sentences = drawn_sentences(draw, cell.input_size).requires_grad_()
            lengths = torch.arange(len(sentences)).clamp_max(sentences.size(1))
            assert_equal_to_eager(cell, sentences, None, lengths)
    finally:
        torch.use_deterministic_algorithms(False)


# ---------------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("normalization", ["unit", "none"])
@pytest.mark.parametrize("keys", [{"num_slots": 2}, {"keys": [5, 2, 7]}], ids=["free", "tied"])
@pytest.mark.parametrize("max_sentences", [2, 70])
def test_the_model_answers_and_learns_as_by_the_plain_step(
    normalization: Any, keys: dict[str, Any], max_sentences: int
) -> None:
    torch.manual_seed(0)
    options = {"normalization": normalization, "max_sentences": max_sentences, "embedding_size": 3, **keys}
    model = drawn_anew(EntNet(VOCAB, max_words=MAX_WORDS, **options).double())
    found = []
    for backend in ("eager", "native"):
        model.backend = backend
        trace = model.trace(story_of(), question_of())
        assert model.memory.backend_used == backend
        gradients = torch.autograd.grad(trace.logits.sin().sum() + trace.gates.sin().sum(), list(model.parameters()))
        found.append([*trace, model(story_of(), question_of()), *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def small() -> EntNet:
    torch.manual_seed(0)
    return EntNet(VOCAB, max_words=MAX_WORDS, embedding_size=3, num_slots=2)


def called_otherwise(model: EntNet, case: str) -> Tensor:
    """Logits by a call, or with a part, that the compiled operator does not cover."""
    if case == "hook":
        model.cell.from_memory.register_forward_hook(lambda *_: None)
    elif case == "subclass":
        model.cell.__class__ = type("Other", (EntNetCell,), {})
    elif case == "another activation":
        model.cell.activation = nn.PReLU(init=1.0)
    else:
        return called(model, case)
    return model(story_of(), question_of())


CASES = {
    "torch.func": "torch.func",
    "torch.compile": "torch.compile",
    "autocast": "autocast",
    "bfloat16": "bfloat16",
    "hook": "no hooks",
    "subclass": "as they were built",
    "another activation": "as they were built",
}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_auto_runs_eagerly_what_is_not_covered_and_says_why(case: str) -> None:
    model = small()
    model.backend = "auto"
    expected = model(story_of(), question_of())
    assert (model.memory.backend_used, model.memory.backend_refusal) == ("native", None)
    found = called_otherwise(model, case)
    assert model.memory.backend_used == "eager"
    assert CASES[case] in str(model.memory.backend_refusal)
    rough = case in ("autocast", "bfloat16")
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05 if rough else 1e-5)


def test_native_says_once_why_it_runs_eagerly() -> None:
    sequence._warn_once.cache_clear()
    model = small()
    model.backend = "native"
    with pytest.warns(UserWarning, match='"native" cannot run this: .*torch.func'):
        stacked(model)
    stacked(model)  # a second warning would be an error
    sequence._warn_once.cache_clear()


def test_tensors_of_another_size_are_refused_by_name() -> None:
    module = RecurrentModule(EntNetCell(3, 4))
    module.backend = "native"
    state = module.cell.initial_state(2)
    for sentences, memories, lengths in (
        (torch.ones(2, 5, 3), torch.ones(1, 4, 3), None),
        (torch.ones(2, 5, 3), torch.ones(2, 1, 3), None),
        (torch.ones(2, 5, 3), state.memories, torch.ones(1, dtype=torch.long)),
    ):
        with pytest.raises(ValueError, match=r"is given where \(.*\) is expected"):
            module.unroll(sentences, EntNetState(memories), lengths=lengths)


def test_a_change_of_any_source_is_a_library_of_its_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(build._FOLDER, tmp_path / "sources")
    source, header = (tmp_path / "sources" / name for name in ("entnet.cpp", "numbers.h"))
    monkeypatch.setattr(build, "_FOLDER", tmp_path / "sources")
    keys = [build._key(["g++"], ["g++"], source)]
    for path in (source, header):
        path.write_text(path.read_text() + "\n")
        keys.append(build._key(["g++"], ["g++"], source))
    assert len(set(keys)) == 3
