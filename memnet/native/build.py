"""Operators compiled on first use, what they cover, and how they are called; see memnet.native."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Module, Parameter

from memnet.cells import Cell, FeedForwardCell, GRUCell, LSTMCell, NormalizedLSTMCell, RNNCell, StackedCell
from memnet.state import State, state_tensors, under_autocast, with_leaves
from memnet.torch_private import dispatch_mode, has_forward_derivatives, is_batched, is_traced, under_transforms
from memnet.unroll import hooked, unroll

_FLAGS = ["-std=c++17", "-O3", "-march=native", "-funroll-loops", "-fno-math-errno", "-fno-trapping-math"]
_FLAGS += ["-fPIC", "-shared", "-Wno-psabi"]
_FOLDER = Path(__file__).parent
_NAMES = {torch.float32: "float", torch.float64: "double"}
_SIZES = {"float": ctypes.c_float, "double": ctypes.c_double}
# Layers of controllers that operators know; what takes after them may do something else.
LAYERS = {FeedForwardCell, RNNCell, LSTMCell, GRUCell}
# As layers.h counts them.
KINDS = {"feedforward": 0, "tanh": 1, "relu": 2, "lstm": 3, "gru": 4}
_WEIGHTS = ("weight", "bias", "weight_ih", "bias_ih", "weight_hh", "bias_hh")
# Seconds that a compiler may take.
_LONGEST_BUILD = 300.0
_building = threading.Lock()


class Unavailable(Exception):
    """Why a compiled operator cannot be used here."""


_USUAL = ("forward", "backward")


class Operator(NamedTuple):
    """A model's steps in C++.

    model:     its name.
    source:    the file beside this one.
    functions: in it, each of a problem.
    """

    model: str
    source: str
    functions: tuple[str, ...] = _USUAL


# ---------------------------------------------------------------------------------------------- compiling


def library(operator: Operator, dtype: torch.dtype) -> ctypes.CDLL:
    """The operator compiled for one dtype; raises Unavailable with the reason where there is none."""
    if reason := switched_off():
        raise Unavailable(reason)
    with _building:
        found = _library(operator, _NAMES[dtype])
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@cache
def _library(operator: Operator, number: str) -> ctypes.CDLL | str:
    """The library, or the reason why there is none."""
    try:
        compiler = shlex.split(os.environ.get("CXX") or "g++")
    except ValueError as error:
        return f"CXX is no command: {str(error).lower()} in {os.environ['CXX']!r}"
    if not compiler or shutil.which(compiler[0]) is None:
        return f"there is no C++ compiler {shlex.join(compiler)!r}"
    try:
        source = _FOLDER / operator.source
        command = [*compiler, *_FLAGS, f"-DNUMBER={number}"]
        path = _cache_folder() / f"{source.stem}-{number}-{_key(compiler, command, source)}.so"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(path.parent)
            return _load(path, number, operator.functions) or _build(operator, command, path, number)
        except OSError as error:
            print(f"memnet: cannot use {path.parent}: {error.strerror or error}", file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                return _build(operator, command, Path(folder) / path.name, number)
    except subprocess.TimeoutExpired:
        return f"compiling {operator.source} took longer than {_LONGEST_BUILD:g} seconds"
    except Unavailable as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        told = f"compiling {operator.source} failed: {_first_error(error.stderr)}"
        print(f"memnet: {told}", file=sys.stderr)
        return told
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        return f"{operator.source} cannot be compiled: {error}"


def _check_owner(folder: Path) -> None:
    """OSError for a folder into which somebody else may put code."""
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OSError("others may write into it")


def _first_error(told: str) -> str:
    lines = told.strip().splitlines() or ["the compiler says nothing"]
    return next((line for line in lines if "error" in line), lines[0])


def _cache_folder() -> Path:
    if os.environ.get("MEMNET_CACHE"):
        return Path(os.environ["MEMNET_CACHE"]).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memnet"


def _key(compiler: list[str], command: list[str], source: Path) -> str:
    """Of all that the machine code depends on."""
    version = _run([*compiler, "--version"])
    headers = (header.read_text() for header in sorted(_FOLDER.glob("*.h")))
    parts = [source.read_text(), *headers, *command, version, torch.__version__, _processor()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _run(command: list[str]) -> str:
    """What a command of the compiler says; CalledProcessError where it fails, TimeoutExpired where it never ends."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=nothing, stdout=pipe, stderr=pipe, text=True, errors="replace", process_group=0
    ) as process:
        try:
            said, errors = process.communicate(timeout=_LONGEST_BUILD)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said, errors)
    return said


def _load(path: Path, number: str, functions: Sequence[str] = _USUAL) -> ctypes.CDLL | None:
    """The library in a file that ends with its checksum, or None where there is none that is whole and works."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    whole = hashlib.sha256(content[:-32]).digest() == content[-32:]
    try:
        return _opened(path, number, functions) if whole else None
    except OSError:
        return None


def _opened(path: Path, number: str, functions: Sequence[str]) -> ctypes.CDLL:
    """The library in a file; OSError for what is none, or not for this kind of number."""
    library = ctypes.CDLL(str(path))
    try:
        there = all(getattr(library, name) for name in functions)
        size = library.size_of_a_number()
    except AttributeError as error:
        raise OSError(f"it lacks a function ({error})") from None
    if not there or size != ctypes.sizeof(_SIZES[number]):
        raise OSError(f"its numbers have {size} bytes")
    return library


def _build(operator: Operator, command: list[str], path: Path, number: str) -> ctypes.CDLL:
    told = f"memnet: building the native {operator.model} step (a few seconds, once) ..."
    print(told, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        command = [*command, "-o", str(built), str(_FOLDER / operator.source)]
        _run(command)
        try:
            content = built.read_bytes()
            built.write_bytes(content + hashlib.sha256(content).digest())
            found = _opened(built, number, operator.functions)
        except OSError as error:
            reason = " ".join(str(error).replace(f"{built}: ", "").split())
            told = f"compiling {operator.source} gave no library that works: {reason}"
            raise Unavailable(told) from None
        os.replace(built, path)
    return found


# ---------------------------------------------------------------------------------------------- what is covered


def refusal(
    operator: Operator | None, cell: Cell, input: Tensor, state: State, *, own: bool, as_built: Callable[[Any], bool]
) -> str | None:
    """Why an operator cannot run a cell on this input and state, None where it can.

    operator: what is to be compiled; None for one of torch's own operations, which are for any device and dtype.
    own:      whether the cell is of the class that the operator computes, and none that takes after it.
    as_built: tells of the cell whether its parts are those that the operator computes.
    """
    modules = _modules(cell)
    tensors = [input, *state_tensors(state)]
    for module in modules:
        tensors += [one for one in (*module._parameters.values(), *module._buffers.values()) if one is not None]
    if reason := unusual_call(tensors):
        return reason
    if operator is not None and any(type(module) is NormalizedLSTMCell for module in modules):
        return "it computes no NormalizedLSTMCell"
    if not (own and as_built(cell) and all(map(_holds_its_weights, modules))):
        return "it computes memnet's own cells as they were built"
    if hooked(*modules):
        return "it runs no hooks"
    return switched_off() if operator is None else uncomputable(operator, tensors)


def _holds_its_weights(module: Module) -> bool:
    """Whether those of a layer are its parameters, among which an operator looks for them; asked at every call."""
    others = (vars(module), module._buffers)
    return all(held.get(name) is None for held in others for name in _WEIGHTS)


def layers_of(controller: Cell) -> list[Any]:
    """A controller's layers, from the input on; what is no plain stack of layers is one itself."""
    return list(controller.layers) if type(controller) is StackedCell else [controller]


def kind_of(layer: Any) -> str:
    """Which of KINDS a layer is, one of LAYERS."""
    if isinstance(layer, RNNCell):
        return layer.nonlinearity
    return {FeedForwardCell: "feedforward", LSTMCell: "lstm", GRUCell: "gru"}[type(layer)]


def switched_off() -> str | None:
    """Whether the user wants no operators: why."""
    return "MEMNET_NATIVE is 0" if os.environ.get("MEMNET_NATIVE") == "0" else None


def uncomputable(operator: Operator, tensors: Sequence[Tensor]) -> str | None:
    """Whether an operator does not compute with numbers like these, or cannot be compiled: why."""
    if not all(tensor.is_cpu for tensor in tensors):
        away = next(tensor.device for tensor in tensors if not tensor.is_cpu)
        return f"it runs on the CPU, not on {away}"
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1 or not dtypes <= _NAMES.keys():
        return f"it computes in float32 or float64, not in {' and '.join(sorted(map(str, dtypes)))}"
    try:
        library(operator, tensors[0].dtype)
    except Unavailable as error:
        return str(error)
    return None


def _modules(module: Module) -> list[Module]:
    """A module and all within it: what `modules` gives, but this is asked at every call."""
    within = [one for child in module._modules.values() if child is not None for one in _modules(child)]
    return [module, *within]


def named_parameters(module: Module) -> list[tuple[str, Tensor]]:
    """What torch's own method gives, but this is asked at every call."""
    found: dict[int, tuple[str, Tensor]] = {}

    def collect(module: Module, prefix: str) -> None:
        for name, one in module._parameters.items():
            if one is not None:
                found.setdefault(id(one), (prefix + name, one))
        for name, child in module._modules.items():
            if child is not None:
                collect(child, f"{prefix}{name}.")

    collect(module, "")
    return list(found.values())


def unusual_call(tensors: Sequence[Tensor]) -> str | None:
    """Whether somebody watches or transforms the operations, who would not see an operator: why."""
    if under_transforms():
        return "it does not work under torch.func transforms"
    if torch.compiler.is_compiling() or is_traced() is not None:
        return "it does not work inside torch.compile or a trace"
    if under_autocast(tensors[0]):
        return "it does not work under autocast"
    if has_forward_derivatives():
        return "it has no forward-mode derivatives"
    if dispatch_mode() is not None or not {*map(type, tensors)} <= {Tensor, Parameter}:
        return "it computes with plain tensors"
    return None


# ---------------------------------------------------------------------------------------------- higher derivatives


class _Unrolled(Module):
    """A cell over time, for functional_call."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        return unroll(self.cell, input, state, lengths=lengths)


def unroll_plainly(
    cell: Cell, lengths: Tensor | None, names: Sequence[str], input: Tensor, *tensors: Tensor
) -> list[Tensor]:
    """What an operator gives, output and last state, by the plain step.

    names:   of the cell's parameters, as they were when the operator ran.
    tensors: the first state's, then the parameters.
    """
    count = len(tensors) - len(names)
    state = with_leaves(cell.initial_state(1), tensors[:count])
    parameters = {f"cell.{name}": one for name, one in zip(names, tensors[count:], strict=True)}
    output, last = functional_call(_Unrolled(cell), parameters, (input, state, lengths))
    return [output, *state_tensors(last)]


def wants_plain_gradients(gradients: Sequence[Tensor | None]) -> bool:
    """Whether a backward pass from these gradients is itself differentiated or batched, as plain operations can be."""
    batched = (one is not None and is_batched(one) for one in gradients)
    return torch.is_grad_enabled() or under_transforms() or any(batched)


def plain_gradients(
    run: Callable[..., Sequence[Tensor]],
    tensors: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients by torch's own operations, which have derivatives of any order.

    run:       the definition of the operator, from the tensors to its results.
    tensors:   what it was given. gradients: of its results. needed: which tensors want one.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Each a tensor of its own, so that none is reached through another.
        apart = [None if one is None else one.view_as(one) for one in tensors]
        pairs = zip(run(*apart), gradients, strict=True)
        reached = [(one, gradient) for one, gradient in pairs if one.requires_grad and gradient is not None]
        wanted = [one for one, need in zip(apart, needed, strict=True) if need and one is not None]
        if not reached:
            return [None] * len(apart)
        outputs, given = zip(*reached, strict=True)
        found = iter(torch.autograd.grad(outputs, wanted, given, create_graph=again, allow_unused=True))
    return [next(found) if need and one is not None else None for one, need in zip(apart, needed, strict=True)]


# ---------------------------------------------------------------------------------------------- calling


def in_order(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of it, as C++ reads it."""
    if tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return tensor.detach().contiguous().resolve_neg()


def gradients_in_order(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients that there are, each as C++ reads it."""
    return [None if one is None else in_order(one) for one in gradients]


def check_shapes(given: Sequence[Tensor], expected: Sequence[tuple[int, ...]]) -> None:
    """ValueError for any tensor that is not as large as C++ takes it to be."""
    for tensor, shape in zip(given, expected, strict=True):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"a tensor {tuple(tensor.shape)} is given where {shape} is expected")


# How a tensor lies in memory.
Form: TypeAlias = tuple[torch.Size, torch.dtype, tuple[int, ...]]


def forms(tensors: Sequence[Tensor]) -> list[Form]:
    """How tensors lie in memory, wherever."""
    return [(one.shape, one.dtype, one.stride()) for one in tensors]


def check_forms(parameters: Sequence[Tensor], known: Sequence[Form]) -> None:
    """RuntimeError for weights that lie otherwise than they did."""
    if forms(parameters) != known:
        raise RuntimeError("weights have another shape, dtype or order than they had: ask the model again")


def call(
    operator: Operator, function: Any, problem: ctypes.Structure, **tensors: Tensor | Sequence[Tensor | None] | None
) -> None:
    """Run a function of an operator on tensors, or tables of them, by their names in its Problem."""
    kept = fill(problem, **tensors)
    run(operator, function, problem)
    del kept


def fill(problem: ctypes.Structure, **tensors: Tensor | Sequence[Tensor | None] | None) -> list[Any]:
    """Tell a problem where tensors are, or tables of them, by their names in it; returns the tables, to be kept."""
    tables = []
    for field, value in tensors.items():
        if isinstance(value, Tensor):
            setattr(problem, field, value.data_ptr())
        elif value is not None:
            addresses = [None if one is None else one.data_ptr() for one in value]
            tables.append((ctypes.c_void_p * len(addresses))(*addresses))
            setattr(problem, field, ctypes.addressof(tables[-1]))
    return tables


def run(operator: Operator, function: Any, problem: ctypes.Structure) -> None:
    """Run a function of an operator on a problem that is filled in."""
    failed = function(ctypes.byref(problem))
    if failed == 2:
        raise IndexError(f"the native {operator.model} step is given an index out of range")
    if failed:
        raise MemoryError(f"not enough memory for the native {operator.model} step")
