"""The compiled NTM computes what the plain step does: outputs, states and every gradient."""

from __future__ import annotations

import copy
import importlib.util
import os
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

import memnet
from memnet import sequence
from memnet.native import build, ntm
from memnet.state import State, detach_state, map_state, state_tensors
from tests.compiler import needs_compiler
from tests.forked import ROOT, Forked

pytestmark = needs_compiler


def drawn_model(draw: random.Random) -> memnet.NTM:
    """Any configuration, in float64, with parameters that no zero or identity hides."""
    shift_range = draw.randint(0, 3)
    model = memnet.NTM(
        3,
        2,
        controller=draw.choice(["feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru"]),
        hidden_size=draw.randint(1, 21),
        num_layers=draw.randint(1, 3),
        num_slots=draw.choice([2 * shift_range + 1, 8, 9, 16, 17, 20]),
        slot_size=draw.randint(1, 9),
        num_reads=draw.randint(1, 3),
        num_writes=draw.randint(1, 3),
        shift_range=shift_range,
        addressing=draw.choice(["content-and-location", "content-and-location", "content", "location"]),
        read_order=draw.choice(["before-write", "after-write"]),
        memory_init=draw.choice(["constant", "learned", "random"]),
        weights_init=draw.choice(["first", "learned"]),
        learned_initial_state=draw.choice([True, False]),
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def results(
    model: memnet.NTM,
    backend: sequence.Backend,
    input: Tensor,
    state: State = None,
    lengths: Tensor | None = None,
    *,
    output_counts: bool = True,
    state_counts: bool = True,
) -> list[Tensor]:
    """Output, final state, and the gradients of a random loss on them to all that can have one."""
    model.backend = backend
    output, last = model(input, state, lengths=lengths)
    assert model.backend_used == backend
    generator = torch.Generator().manual_seed(7)
    counted = [output] * output_counts + state_tensors(last) * state_counts
    loss = sum((tensor * torch.randn(tensor.shape, generator=generator).to(tensor)).sum() for tensor in counted)
    leaves = [*model.parameters(), input, *([] if state is None else state_tensors(state))]
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [output.detach(), *state_tensors(detach_state(last)), *gradients]


def assert_equal_to_eager(*args: Any, tolerance: float = 1e-10, **kwargs: Any) -> None:
    model, *rest = args
    expected, found = (results(model, backend, *rest, **kwargs) for backend in ("eager", "native"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def drawn_input(draw: random.Random, most: int = 12) -> Tensor:
    return torch.randn(draw.choice([1, 2, 3, 9, 17]), draw.randint(1, most), 3, dtype=torch.float64)


def drawn_state(model: memnet.NTM, batch: int) -> State:
    """A state in the middle of a sequence, every part of it a leaf."""
    with torch.no_grad():
        _, state = model(torch.randn(batch, 3, 3, dtype=torch.float64))
    return map_state(lambda tensor: tensor.clone().requires_grad_(), state)


@pytest.mark.parametrize("seed", range(30))
def test_outputs_state_and_every_gradient_equal_the_plain_step(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model, input = drawn_model(draw), drawn_input(draw).requires_grad_(draw.random() < 0.7)
    batch, time = input.shape[:2]
    state = drawn_state(model, batch) if draw.random() < 0.5 else None
    lengths = torch.tensor([draw.randint(0, time) for _ in range(batch)]) if draw.random() < 0.5 else None
    counts = draw.choice([(True, True), (True, False), (False, True)])
    assert_equal_to_eager(model, input, state, lengths, output_counts=counts[0], state_counts=counts[1])


@pytest.mark.parametrize("seed", range(60, 70))
def test_float32_is_as_near_the_truth_as_the_plain_step(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model, input = drawn_model(draw), drawn_input(draw, most=6)
    truth = results(model, "eager", input)
    model, input = model.float(), input.float()
    eager, found = (results(model, backend, input) for backend in ("eager", "native"))
    for one, other, true in zip(found, eager, truth, strict=True):
        size = 1 + true.abs().max()
        assert (one - true).abs().max() <= 4 * (other - true).abs().max() + 1e-5 * size


@pytest.mark.parametrize("controller", ["feedforward", "lstm", "gru"])
def test_gradients_equal_finite_differences(controller: Any) -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, controller=controller, hidden_size=4, num_slots=5, slot_size=3, num_reads=2).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    model.backend = "native"
    names = [name for name, _ in model.named_parameters()]
    layout = drawn_state(model, 2)

    def run(input: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        leaves = iter(rest[len(names) :])
        parameters = dict(zip(names, rest, strict=False))
        state = map_state(lambda _: next(leaves), layout)
        output, last = torch.func.functional_call(model, parameters, (input, state))
        return output, *state_tensors(last)

    inputs = [torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True), *model.parameters()]
    assert gradcheck(run, [*inputs, *state_tensors(layout)], fast_mode=True, atol=1e-6, rtol=1e-4)
    assert model.backend_used == "native"


@pytest.mark.parametrize("seed", range(5))
def test_chunks_equal_the_whole(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model, input = drawn_model(draw), torch.randn(3, 9, 3, dtype=torch.float64)
    model.backend = "native"
    whole, last = model(input)
    expected = torch.autograd.grad(whole.square().sum() + last.memory.sum(), list(model.parameters()))
    outputs, state = [], None
    for chunk in input.split([1, 5, 3], 1):
        output, state = model(chunk, state)
        outputs.append(output)
    found = torch.autograd.grad(torch.cat(outputs, 1).square().sum() + state.memory.sum(), list(model.parameters()))
    for one, other in zip(
        [*outputs, *state_tensors(state), *found],
        [*whole.split([1, 5, 3], 1), *state_tensors(last), *expected],
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("slots", [1, 2, 100])
def test_inference_gives_the_same_bits_as_training(slots: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, num_slots=slots, shift_range=0).to(dtype)
    model.backend = "native"
    input, lengths = torch.randn(11, 7, 3, dtype=dtype), torch.tensor([7, 0, 3, 1, 7, 6, 5, 4, 2, 1, 0])
    trained, state = model(input, lengths=lengths)
    assert trained.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            output, last = model(input, lengths=lengths)
        assert torch.equal(output, trained)
        assert all(
            torch.equal(one, other) for one, other in zip(state_tensors(last), state_tensors(state), strict=True)
        )


def test_padding_does_not_matter_even_where_it_is_no_number() -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, hidden_size=5, num_slots=6, slot_size=4)
    model.backend = "native"
    input, lengths = torch.randn(3, 5, 3), torch.tensor([5, 2, 0])
    padding = (torch.arange(5) >= lengths.unsqueeze(1)).unsqueeze(-1)
    expected = results(model, "native", input.masked_fill(padding, 0.0), None, lengths)
    found = results(model, "native", input.masked_fill(padding, torch.nan), None, lengths)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_no_number_stays_no_number() -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, hidden_size=5, num_slots=20, slot_size=4)
    input = torch.randn(2, 4, 3)
    input[0, 1, 0] = torch.nan
    for backend in ("eager", "native"):
        model.backend = backend
        output, state = model(input)
        assert output[0, 0].isfinite().all()
        assert output[0, 1:].isnan().all()
        assert output[1].isfinite().all()
        assert state.memory[0].isnan().all()


@pytest.mark.parametrize("size", [30.0, 300.0, 3000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_saturated_heads_keep_finite_gradients(size: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, hidden_size=8, num_slots=20, slot_size=4, num_reads=2).to(dtype)
    nn.init.normal_(model.cell.heads.bias, std=size)
    input = torch.randn(3, 6, 3, dtype=dtype)
    eager, found = (results(model, backend, input) for backend in ("eager", "native"))
    for one, other in zip(found, eager, strict=True):
        assert one.isfinite().all()
        tolerance = 1e-8 if dtype == torch.float64 else 1e-2
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_the_graph_can_be_walked_twice_and_changed_weights_are_noticed() -> None:
    model, input = memnet.NTM(3, 2, hidden_size=5, num_slots=6), torch.randn(2, 4, 3)
    model.backend = "native"
    output, _ = model(input)
    parameters = list(model.parameters())
    first = torch.autograd.grad(output.sum(), parameters, retain_graph=True)
    second = torch.autograd.grad(output.sum(), parameters, retain_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    with torch.no_grad():
        model.cell.heads.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_frozen_parts_get_no_gradient() -> None:
    torch.manual_seed(0)
    model, input = memnet.NTM(3, 2, hidden_size=5, num_slots=6).double(), torch.randn(2, 4, 3, dtype=torch.float64)
    model.cell.controller.requires_grad_(False)
    assert_equal_to_eager(model, input)
    model.requires_grad_(False)
    assert_equal_to_eager(model, input.requires_grad_())


def test_threads_do_not_meet() -> None:
    torch.manual_seed(0)
    model, inputs = memnet.NTM(3, 2, hidden_size=20), torch.randn(8, 4, 12, 3)
    model.backend = "native"
    with torch.no_grad():
        expected = [model(input)[0] for input in inputs]
        found: list[Any] = [None] * 8

        def run(index: int) -> None:
            with torch.no_grad():
                found[index] = model(inputs[index])[0]

        threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


# ---------------------------------------------------------------------------------------------- choosing a backend


@pytest.fixture
def forgetful() -> Iterator[None]:
    """The library is looked for anew, and each refusal is told again."""
    forget()
    yield
    forget()


def forget() -> None:
    build._library.cache_clear()
    sequence._warn_once.cache_clear()


def small() -> memnet.NTM:
    torch.manual_seed(0)
    return memnet.NTM(3, 2, hidden_size=5, num_slots=6, slot_size=4)


INPUT = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))


def test_other_models_refuse_the_backend_and_auto_is_eager_for_them() -> None:
    for kind in (memnet.RNN, memnet.LSTM, memnet.GRU):
        model = kind(3, 2)
        with pytest.raises(ValueError, match=f"native.*no operator for {kind.__name__}"):
            model.backend = "native"
        model.backend = "auto"
        model(INPUT)
        assert model.backend_used == "eager"


def test_auto_takes_the_compiled_operator_and_a_trace_is_eager() -> None:
    model = small()
    assert (model.backend, model.backend_used) == ("auto", None)
    output, _ = model(INPUT)
    assert model.backend_used == "native"
    torch.testing.assert_close(model.trace(INPUT).output, output)
    assert model.backend_used == "eager"
    assert copy.deepcopy(model).backend == "auto"


def call(model: memnet.NTM, case: str) -> None:
    """A call that the compiled operator does not cover."""
    if case == "bfloat16":
        model.bfloat16()(INPUT.bfloat16())
    elif case == "meta":
        model.to("meta")(INPUT.to("meta"))
    elif case == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(INPUT)
    elif case == "torch.func":
        torch.vmap(lambda one: model(one.unsqueeze(0))[0])(INPUT)
    else:
        torch.compile(model, backend="eager")(INPUT)


@pytest.mark.parametrize("case", ["bfloat16", "autocast", "torch.func", "meta"])
@pytest.mark.usefixtures("forgetful")
def test_what_is_not_covered_runs_eagerly_and_says_why_once(case: str) -> None:
    model = small()
    model.backend = "native"
    with pytest.warns(UserWarning, match=f'"native" cannot run this: .*{case}'):
        call(model, case)
    call(model, case)  # a second warning would be an error
    assert model.backend_used == "eager"


@pytest.mark.parametrize("case", ["bfloat16", "autocast", "torch.func", "meta", "torch.compile"])
def test_auto_runs_eagerly_what_is_not_covered(case: str) -> None:
    model = small()
    model.backend = "auto"
    call(model, case)
    assert model.backend_used == "eager"


def changed(model: memnet.NTM, case: str) -> None:
    """Make of the cell something that ntm.cpp does not know."""
    cell = model.cell
    if case == "subclass":
        cell.__class__ = type("Other", (memnet.NTMCell,), {})
    elif case == "attribute":
        cell.shift_range = 2
    elif case == "hook":
        cell.heads.register_forward_hook(lambda *_: None)
    else:
        prune.random_unstructured(cell.heads, "weight", amount=0.5)


@pytest.mark.parametrize("case", ["subclass", "attribute", "hook", "pruned"])
def test_a_cell_that_is_not_as_it_was_built_runs_eagerly(case: str) -> None:
    model = small()
    changed(model, case)
    model.backend = "auto"
    output, _ = model(INPUT)
    assert model.backend_used == "eager"
    model.backend = "eager"
    assert torch.equal(output, model(INPUT)[0])


def test_whoever_watches_operations_sees_the_plain_step() -> None:
    model = small().requires_grad_(False)
    model.backend = "auto"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(lambda input: model(input)[0], INPUT, check_trace=False)
        assert torch.allclose(traced(INPUT + 1), model(INPUT + 1)[0])
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(INPUT, torch.ones_like(INPUT))
            assert torch.autograd.forward_ad.unpack_dual(model(dual)[0]).tangent is not None
    with FlopCounterMode(display=False) as counter:
        model(INPUT)
    assert counter.get_total_flops() > 0


def test_tensors_of_another_size_are_refused_by_name() -> None:
    model = small()
    model.backend = "native"
    for input, state, lengths in (
        (INPUT, model.initial_state(1), None),
        (INPUT[..., :2], model.initial_state(len(INPUT)), None),
        (INPUT, model.initial_state(len(INPUT)), torch.ones(len(INPUT) + 1, dtype=torch.long)),
        (INPUT, model.initial_state(len(INPUT))._replace(memory=torch.zeros(len(INPUT), 5, 9)), None),
    ):
        with pytest.raises(ValueError, match=r"is given where \(.*\) is expected"):
            model.unroll(input, state, lengths=lengths)


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    model = small().double()
    lengths = torch.tensor([0, *range(1, len(INPUT))]).clamp_max(INPUT.size(1))
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        gradients = []
        for backend in ("eager", "native"):
            model.backend = backend
            input = INPUT.double().requires_grad_()
            features, state = model.unroll(input, model.initial_state(len(input)), lengths=lengths)
            real = torch.arange(input.size(1)) < lengths.unsqueeze(1)
            (features[real].sum() + state.memory.sum()).backward()
            gradients.append(input.grad)
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-10)
    finally:
        torch.use_deterministic_algorithms(False)


def test_lengths_may_change_after_the_call() -> None:
    model = small()
    model.backend = "native"
    lengths = torch.full((len(INPUT),), 2)
    output, _ = model(INPUT, lengths=lengths)
    lengths.zero_()
    output.sum().backward()


def test_a_negated_view_keeps_its_sign() -> None:
    model = memnet.NTM(1, 2, hidden_size=5, num_slots=6, slot_size=4)
    input = torch.tensor([[[1 + 2j]]]).conj().imag
    assert input.is_neg()
    eager, _ = model(input)
    model.backend = "native"
    assert torch.allclose(model(input)[0], eager, atol=1e-6)


SCRIPT = """
import sys, torch, memnet
torch.manual_seed(0)
model = memnet.NTM(3, 2, hidden_size=5, num_slots=6, slot_size=4)
model.backend = "native"
with torch.no_grad():
    model(torch.ones(1, 2, 3))
print(model.backend_used)
"""


@pytest.fixture
def compiler(tmp_path: Path) -> str:
    """What gives at once what g++ has built, for CXX."""
    small()(INPUT)
    build._library.cache_clear()
    found = build.library(ntm._OPERATOR, torch.float32)
    (tmp_path / "built").write_bytes(Path(found._name).read_bytes()[:-32])
    copies = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && sleep 0.2 && cp "$0" "$2"; shift; done; exit 0'
    return f"sh -c '{copies}' {tmp_path / 'built'}"


def script(**environment: str | None) -> Forked:
    """A process that runs an NTM natively; None takes a variable out of its environment."""
    changed = {**os.environ, **environment}
    return Forked("-c", SCRIPT, environment={name: value for name, value in changed.items() if value is not None})


def outcome(process: Forked) -> tuple[str, str]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.strip(), errors


def test_processes_that_build_at_once_all_run_and_later_ones_find_it_built(tmp_path: Path, compiler: str) -> None:
    cache = tmp_path / "deep" / "cache"
    settings = {"MEMNET_CACHE": str(cache), "CXX": compiler}
    processes = [script(**settings) for _ in range(2)]
    for process in processes:
        backend, errors = outcome(process)
        assert backend == "native"
        assert errors == "memnet: building the native NTM step (a few seconds, once) ...\n"
    (built,) = cache.iterdir()
    assert outcome(script(**settings)) == ("native", "")
    whole = built.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]):
        built.write_bytes(damaged)
        assert build._load(built, "float") is None
    backend, errors = outcome(script(**settings))
    assert backend == "native"
    assert "building" in errors
    assert build._load(built, "float") is not None


def test_the_cache_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMNET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build._cache_folder() == tmp_path / "memnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert build._cache_folder() == Path.home() / ".cache" / "memnet"
    monkeypatch.setenv("MEMNET_CACHE", str(tmp_path / "mine"))
    assert build._cache_folder() == tmp_path / "mine"


def test_a_cache_folder_that_cannot_be_written_is_told_and_done_without(tmp_path: Path, compiler: str) -> None:
    (tmp_path / "file").touch()
    backend, errors = outcome(script(MEMNET_CACHE=str(tmp_path / "file" / "cache"), CXX=compiler))
    assert backend == "native"
    assert f"cannot use {tmp_path / 'file' / 'cache'}" in errors
    assert "building" in errors


# A compiler that writes what is no library to the file after -o.
JUNK = """sh -c 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo junk > "$2"; shift; done; exit 0' -"""


@pytest.mark.usefixtures("forgetful")
def test_a_compiler_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "sh -c 'sleep 100; true'")
    monkeypatch.setattr(build, "_LONGEST_BUILD", 0.2)
    model = small()
    model.backend = "auto"
    model(INPUT)
    assert model.backend_refusal == "compiling ntm.cpp took longer than 0.2 seconds"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"MEMNET_NATIVE": "0"}, "MEMNET_NATIVE is 0"),
        ({"PATH": "/nowhere"}, "no C++ compiler 'g++'"),
        ({"CXX": "no-such-compiler"}, "no C++ compiler 'no-such-compiler'"),
        ({"CXX": "false"}, "compiling ntm.cpp failed"),
        ({"CXX": "g++ '-O2"}, "CXX is no command: no closing quotation"),
        ({"CXX": "sh -c 'printf \\377 >&2; exit 1'"}, "compiling ntm.cpp failed"),
        ({"CXX": JUNK}, "compiling ntm.cpp gave no library that works"),
    ],
    ids=["switched off", "no compiler", "another", "failing", "unbalanced quotes", "no UTF-8", "writes junk"],
)
def test_without_a_library_it_runs_eagerly_with_one_line(
    environment: dict[str, str], reason: str, tmp_path: Path
) -> None:
    backend, errors = outcome(script(MEMNET_CACHE=str(tmp_path), **{"CXX": None, **environment}))
    assert backend == "eager"
    assert errors.count("Warning") == 1
    assert reason in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("forgetful")
def test_auto_without_a_library_is_eager_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    model = small()
    model.backend = "auto"
    model(INPUT)
    assert model.backend_used == "eager"
    assert model.backend_refusal == "MEMNET_NATIVE is 0"
    model.backend = "eager"
    model(INPUT)
    assert model.backend_refusal is None


def test_importing_builds_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MEMNET_CACHE": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", "import memnet; memnet.NTM(3, 2).backend = 'native'"], env=environment, check=True
    )
    assert list(tmp_path.iterdir()) == []


def test_a_private_name_that_torch_does_not_have_is_answered_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("memnet.torch_private")
    assert spec is not None
    assert spec.loader is not None
    for place, name in (
        ("torch.nn.modules.module", "_has_any_global_hook"),
        ("torch._C", "_are_functorch_transforms_active"),
        ("torch._C", "_get_tracing_state"),
        ("torch._C._functorch", "is_legacy_batchedtensor"),
        ("torch.utils._python_dispatch", "_get_current_dispatch_mode"),
    ):
        monkeypatch.delattr(importlib.import_module(place), name)
    monkeypatch.delattr(torch.autograd.forward_ad, "_current_level")
    lacking = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lacking)
    derived = lacking.has_forward_derivatives()
    monkeypatch.undo()
    assert derived
    assert lacking.has_global_hooks()
    for name in ("under_transforms", "is_batched", "is_traced", "dispatch_mode"):
        assert getattr(lacking, name)(torch.zeros(1)) is True
        monkeypatch.setattr(build, name, getattr(lacking, name))
    assert build.unusual_call([torch.zeros(1)]) is not None
    assert build.wants_plain_gradients([torch.zeros(1)])
