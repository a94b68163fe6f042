"""Compiled operators: when they run, how they are built, and what is told where they cannot."""

from __future__ import annotations

import copy
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

import memnet
from memnet import sequence
from memnet.native import build, ntm
from tests.compiler import needs_compiler
from tests.forked import Forked

pytestmark = needs_compiler


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
    for kind in (memnet.NeuralStack, memnet.SLSTM, memnet.FastWeights):
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
