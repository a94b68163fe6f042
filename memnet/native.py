"""The NTM over whole sequences as one compiled operator, forward and backward: `backend = "native"`.

The definition is the plain step in memnet.ntm; native.cpp computes the same. It is compiled once, on first use, into
a cache folder: MEMNET_CACHE, else memnet/ in XDG_CACHE_HOME or ~/.cache.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Linear, Parameter
from torch.utils._python_dispatch import _get_current_dispatch_mode

from memnet.cells import FeedForwardCell, GRUCell, LSTMCell, RNNCell, StackedCell, State
from memnet.sequence import map_state, state_tensors, under_autocast

if TYPE_CHECKING:
    from memnet.ntm import NTMCell, NTMState

_FLAGS = ["-std=c++17", "-O3", "-march=native", "-funroll-loops", "-fno-math-errno", "-fno-trapping-math"]
_FLAGS += ["-fPIC", "-shared", "-Wno-psabi"]
_SOURCE = Path(__file__).with_name("native.cpp")
_LAYERS = {FeedForwardCell, RNNCell, LSTMCell, GRUCell}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_NAMES = {torch.float32: "float", torch.float64: "double"}
_building = threading.Lock()


class Unavailable(Exception):
    """Why the compiled operator cannot be used here."""


# ---------------------------------------------------------------------------------------------- compiling


def library(dtype: torch.dtype) -> ctypes.CDLL:
    """The compiled operator for one dtype; raises Unavailable with the reason where there is none."""
    if os.environ.get("MEMNET_NATIVE") == "0":
        raise Unavailable("MEMNET_NATIVE is 0")
    with _building:
        found = _library(_NAMES[dtype])
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@cache
def _library(number: str) -> ctypes.CDLL | str:
    """The library, or the reason why there is none."""
    command = shlex.split(os.environ.get("CXX", "g++"))
    if not command or shutil.which(command[0]) is None:
        return f"there is no C++ compiler {shlex.join(command)!r}"
    try:
        command += [*_FLAGS, f"-DNUMBER={number}"]
        path = _cache_folder() / f"native-{number}-{_key(command)}.so"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(path.parent)
            return _load(path) or _build(command, path)
        except OSError as error:
            print(f"memnet: cannot use {path.parent}: {error.strerror or error}", file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                return _build(command, Path(folder) / path.name)
    except subprocess.CalledProcessError as error:
        return f"compiling native.cpp failed: {_first_error(error.stderr)}"
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        return f"native.cpp cannot be compiled: {error}"


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


def _key(command: list[str]) -> str:
    """Of all that the machine code depends on."""
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout
    parts = [_SOURCE.read_text(), *command, version, torch.__version__, _processor()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _load(path: Path) -> ctypes.CDLL | None:
    """The library in a file that ends with its checksum, or None where there is none that is whole."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    whole = hashlib.sha256(content[:-32]).digest() == content[-32:]
    return ctypes.CDLL(str(path)) if whole else None


def _build(command: list[str], path: Path) -> ctypes.CDLL:
    print("memnet: building the native NTM step (a few seconds, once) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / path.name
        subprocess.run([*command, "-o", str(built), str(_SOURCE)], capture_output=True, text=True, check=True)
        content = built.read_bytes()
        built.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(built, path)
    return ctypes.CDLL(str(path))


# ---------------------------------------------------------------------------------------------- what is covered


def refusal(cell: NTMCell, input: Tensor, state: State) -> str | None:
    """Why the compiled operator cannot run a cell on this input and state, None where it can."""
    tensors = [input, *cell.parameters(), *cell.buffers(), *state_tensors(state)]
    if reason := _unusual_call(tensors) or _unusual_cell(cell):
        return reason
    away = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), None)
    if away is not None:
        return f"it runs on the CPU, not on {away}"
    if len({tensor.dtype for tensor in tensors}) > 1 or input.dtype not in _NAMES:
        return f"it computes in float32 or float64, not in {' and '.join(sorted({str(t.dtype) for t in tensors}))}"
    try:
        library(input.dtype)
    except Unavailable as error:
        return str(error)
    return None


def _unusual_call(tensors: Sequence[Tensor]) -> str | None:
    """Whether somebody watches or transforms the operations, who would not see this one."""
    if torch._C._are_functorch_transforms_active():
        return "it does not work under torch.func transforms"
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return "it does not work inside torch.compile or a trace"
    if under_autocast(tensors[0]):
        return "it does not work under autocast"
    if torch.autograd.forward_ad._current_level >= 0:
        return "it has no forward-mode derivatives"
    if _get_current_dispatch_mode() is not None or any(type(one) not in (Tensor, Parameter) for one in tensors):
        return "it computes with plain tensors"
    return None


def _unusual_cell(cell: NTMCell) -> str | None:
    """Whether the cell's parts are not those that native.cpp computes, or are being watched."""
    from memnet.ntm import NTMCell  # which imports this module

    kinds = {type(layer) for layer in _layers(cell)}
    own = type(cell) is NTMCell and type(cell.heads) is Linear and len(kinds) == 1 and kinds <= _LAYERS
    if not own or getattr(cell.controller, "skip", False) or cell._emitted_sizes() != cell._head_sizes:
        return "it computes memnet's own cells as they were built"
    if any(getattr(module, hooks) for module in cell.modules() for hooks in _HOOKS):
        return "it runs no hooks"
    return None


def _layers(cell: NTMCell) -> list[Any]:
    return list(cell.controller.layers) if isinstance(cell.controller, StackedCell) else [cell.controller]


# ---------------------------------------------------------------------------------------------- calling


class _Problem(ctypes.Structure):
    """Problem in native.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "input_size", "layers", "hidden_size", "controller")),
        *((name, ctypes.c_int64) for name in ("slots", "width", "reads", "writes", "shift_range")),
        *((name, ctypes.c_int64) for name in ("by_content", "by_location", "after_write", "depth", "segment")),
        ("norm_floor", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("lengths", "input", "weight", "bias", "first", "last", "features")),
        *((name, ctypes.c_void_p) for name in ("operand", "units", "cell", "saved_memory", "saved_weights")),
        *((name, ctypes.c_void_p) for name in ("d_features", "d_last", "d_input", "d_units", "d_first")),
    ]


# As native.cpp counts them.
_CONTROLLERS = {"feedforward": 0, "tanh": 1, "relu": 2, "lstm": 3, "gru": 4}


def unroll_ntm(cell: NTMCell, input: Tensor, state: NTMState, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.sequence.unroll returns, for a call that `refusal` has nothing against."""
    layers = _layers(cell)
    projections = [*(_projection(layer) for layer in layers), (cell.heads.weight, cell.heads.bias)]
    problem = _Problem(
        batch=input.size(0),
        time=input.size(1),
        input_size=cell.input_size,
        layers=len(layers),
        hidden_size=cell.controller.output_size,
        controller=_CONTROLLERS[_kind(layers[0])],
        slots=state.memory.size(1),
        width=cell.slot_size,
        reads=cell.num_reads,
        writes=cell.num_writes,
        shift_range=cell.shift_range,
        by_content=cell.addressing != "location",
        by_location=cell.addressing != "content",
        after_write=cell.read_order == "after-write",
        norm_floor=cell.norm_floor,
    )
    lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
    _check_shapes(problem, lengths, input, projections, state)
    tensors = [input, *(tensor for pair in projections for tensor in pair), *state_tensors(state)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        features, *last = _Unroll.apply(problem, lengths, *tensors)  # type: ignore[no-untyped-call]
    else:
        features, last, _ = _forward(problem, lengths, tensors, keep=False)
    rest = iter(last)
    return features, map_state(lambda _: next(rest), state)


def _check_shapes(
    problem: _Problem,
    lengths: Tensor | None,
    input: Tensor,
    projections: Sequence[tuple[Tensor, Tensor]],
    state: NTMState,
) -> None:
    """ValueError for any tensor that is not as large as native.cpp takes it to be."""
    batch, hidden, width, slots = problem.batch, problem.hidden_size, problem.width, problem.slots
    recurrent = hidden * (problem.controller != _CONTROLLERS["feedforward"])
    below = [problem.input_size + problem.reads * width + recurrent]
    below += [hidden + recurrent] * (problem.layers - 1) + [hidden]
    expected: list[tuple[int, ...]] = [(batch, problem.time, problem.input_size)]
    expected += [(weight.size(0), features) for (weight, _), features in zip(projections, below, strict=True)]
    expected += [(weight.size(0),) for weight, _ in projections]
    expected += [(batch, hidden)] * len(state_tensors(state.controller))
    expected += [(batch, problem.reads, width), (batch, slots, width)]
    expected += [(batch, problem.reads, slots), (batch, problem.writes, slots)]
    given = [input, *(weight for weight, _ in projections), *(bias for _, bias in projections), *state_tensors(state)]
    if lengths is not None:
        given, expected = [*given, lengths], [*expected, (batch,)]
    for tensor, shape in zip(given, expected, strict=True):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"a tensor {tuple(tensor.shape)} is given where {shape} is expected")
    if problem.by_location and 2 * problem.shift_range + 1 > slots:
        raise ValueError(f"shift_range {problem.shift_range} needs {2 * problem.shift_range + 1} slots, not {slots}")


def _kind(layer: Any) -> str:
    if isinstance(layer, RNNCell):
        return layer.nonlinearity
    return {FeedForwardCell: "feedforward", LSTMCell: "lstm", GRUCell: "gru"}[type(layer)]


def _projection(layer: Any) -> tuple[Tensor, Tensor]:
    """One matrix (units, features) and bias (units,) for all that a layer sees, its own hidden state last."""
    weight, bias, recurrent, recurrent_bias = layer.weight_ih, layer.bias_ih, layer.weight_hh, layer.bias_hh
    if recurrent is None:
        return weight, bias
    if isinstance(layer, GRUCell):
        # The candidate's two sums stay apart, the hidden state's as a fourth gate.
        size = layer.hidden_size
        weight = torch.cat([weight, weight.new_zeros(size, weight.size(1))])
        recurrent = torch.cat([recurrent[: 2 * size], recurrent.new_zeros(size, size), recurrent[2 * size :]])
        bias = torch.cat([bias, bias.new_zeros(size)])
        if recurrent_bias is not None:
            recurrent_bias = torch.cat([recurrent_bias[: 2 * size], bias.new_zeros(size), recurrent_bias[2 * size :]])
    return torch.cat([weight, recurrent], 1), bias if recurrent_bias is None else bias + recurrent_bias


def _call(function: Any, problem: _Problem, **tensors: Tensor | Sequence[Tensor | None] | None) -> None:
    """Run a function of native.cpp on tensors, or tables of them, by their names in Problem."""
    tables = []
    for field, value in tensors.items():
        if isinstance(value, Tensor):
            setattr(problem, field, value.data_ptr())
        elif value is not None:
            addresses = [None if one is None else one.data_ptr() for one in value]
            tables.append((ctypes.c_void_p * len(addresses))(*addresses))
            setattr(problem, field, ctypes.addressof(tables[-1]))
    if function(ctypes.byref(problem)):
        raise MemoryError("not enough memory for the native NTM step")


def _forward(
    problem: _Problem, lengths: Tensor | None, tensors: Sequence[Tensor], *, keep: bool
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Features, last state, and what a backward pass needs (if `keep`).

    tensors: input; weight and bias of each projection; leaves of the state.
    """
    input, *rest = [tensor.detach().contiguous().resolve_neg() for tensor in tensors]
    compiled = library(input.dtype)
    count = 2 * (problem.layers + 1)
    weights, biases, first = rest[:count:2], rest[1:count:2], rest[count:]
    batch, time = problem.batch, problem.time
    problem.depth = time + 1 if keep else 2
    # Memory and weightings are kept at so many steps, and computed again between them.
    problem.segment = max(1, round(time**0.5))
    # Nothing is written past the end of a row, and products of it must be zero.
    make = input.new_empty if lengths is None else input.new_zeros
    last = [torch.empty_like(one) for one in first]
    features = input.new_empty(batch, time, problem.hidden_size + problem.reads * problem.width)
    operands = [make(problem.depth, batch, weight.size(1)) for weight in weights]
    units = [make(problem.depth - 1, batch, weight.size(0)) for weight in weights]
    has_cells = problem.controller == _CONTROLLERS["lstm"]
    cells = [make(problem.depth, batch, problem.hidden_size) for _ in range(problem.layers * has_cells)]
    saved: list[Tensor] = []
    if keep:
        lanes = compiled.lanes_of_a_vector()
        room = -(-time // problem.segment) * batch * -(-problem.slots // lanes) * lanes
        saved = [input.new_empty(room * width) for width in (problem.width, problem.reads + problem.writes)]
    memory, weightings = saved or (None, None)
    _call(
        compiled.forward,
        problem,
        lengths=lengths,
        input=input,
        weight=weights,
        bias=biases,
        first=first,
        last=last,
        features=features,
        operand=operands,
        units=units,
        cell=cells,
        saved_memory=memory,
        saved_weights=weightings,
    )
    return features, last, [*weights, *operands, *units, *cells, *saved]


class _Unroll(torch.autograd.Function):
    """(problem, lengths, input, weight, bias, ..., state leaves) to features and state leaves."""

    @staticmethod
    def forward(ctx: Any, problem: _Problem, lengths: Tensor | None, *tensors: Tensor) -> Any:
        features, last, kept = _forward(problem, lengths, tensors, keep=True)
        ctx.set_materialize_grads(False)
        ctx.problem, ctx.shapes = problem, [one.shape for one in last]
        ctx.function = library(tensors[0].dtype).backward
        ctx.save_for_backward(lengths, *kept)
        return features, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        lengths, *kept = ctx.saved_tensors
        problem = _Problem.from_buffer_copy(ctx.problem)
        count = problem.layers + 1
        weights, operands, units = (kept[start : start + count] for start in (0, count, 2 * count))
        *cells, memory, weightings = kept[3 * count :]
        d_features, *d_last = [None if one is None else one.contiguous().resolve_neg() for one in gradients]
        needed, *more = ctx.needs_input_grad[2:]
        # Nothing is written past the end of a row.
        make = memory.new_empty if lengths is None else memory.new_zeros
        d_input = make(problem.batch, problem.time, problem.input_size) if needed else None
        d_units = [torch.empty_like(one) for one in units]
        d_first = [
            memory.new_empty(shape) if needed else None
            for shape, needed in zip(ctx.shapes, more[2 * count :], strict=True)
        ]
        _call(
            ctx.function,
            problem,
            lengths=lengths,
            weight=weights,
            operand=operands,
            units=units,
            cell=cells,
            saved_memory=memory,
            saved_weights=weightings,
            d_features=d_features,
            d_last=d_last,
            d_input=d_input,
            d_units=d_units,
            d_first=d_first,
        )
        d_projections: list[Tensor | None] = []
        for index, (delta, operand) in enumerate(zip(d_units, operands, strict=True)):
            flat = delta.flatten(0, 1)
            d_projections.append(flat.t() @ operand[: problem.time].flatten(0, 1) if more[2 * index] else None)
            d_projections.append(flat.sum(0) if more[2 * index + 1] else None)
        return None, None, d_input, *d_projections, *d_first
