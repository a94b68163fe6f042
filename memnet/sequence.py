"""From a cell to a sequence: the interface of every recurrent model, and how its steps run."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from memnet.answers import Answers
from memnet.cells import AnswerRun, Cell, Room, StraightRun
from memnet.checks import check_lengths, check_tensor, overrides
from memnet.native import build
from memnet.pretrained import Pretrained
from memnet.recompute import recomputed
from memnet.settings import Described
from memnet.state import (
    State,
    count_numbers,
    describe_state,
    map_state,
    packed,
    select_rows,
    state_tensors,
    under_autocast,
    with_leaves,
)
from memnet.straight import Straight
from memnet.torch_private import has_global_hooks
from memnet.trace import SequenceTrace, Trace
from memnet.unroll import Step, hooked, unroll

Backend: TypeAlias = Literal["auto", "eager", "compile", "native", "chunked"]


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=7)


def _with_standard_strides(tensor: Tensor) -> Tensor:
    strides = [1]
    for size in reversed(tensor.shape[1:]):
        strides.append(strides[-1] * size)
    return tensor if tensor.stride() == tuple(reversed(strides)) else packed(tensor)


def _with_gradient(tensor: Tensor) -> Tensor:
    return tensor if tensor.requires_grad or not tensor.is_floating_point() else tensor.detach().requires_grad_()


class BackendModule(Described):
    """A module that runs as one torch operation after the other, or some faster way.

    Attribute backend: how it runs, "auto" at first. It is no part of the weights and may be set at any time.
        "auto":    "native" where it covers the call and is faster, else "chunked" where there is such a form,
                   else "eager".
        "eager":   one torch operation after the other, the definition, the same to the last bit wherever it runs.
        "native":  through one operator, see memnet.native, with derivatives of any order; what it does not cover
                   (torch.func, forward mode, autocast, tracing, other cells) runs eagerly, with a warning that says
                   why. Most are compiled, which needs a C++ compiler (seconds once, told on stderr), for the CPU in
                   float32 or float64; of sparse access memories a slower one needs none, for any device and dtype.
    Attribute backend_used: what the last call ran, None before the first; backend_refusal: why that was not "native"
    where "native" or "auto" was asked for, else None.
    """

    def __init__(self) -> None:
        super().__init__()
        self._backend: Backend = "auto"
        self.backend_used: Backend | None = None
        self.backend_refusal: str | None = None

    @property
    def backend(self) -> Backend:
        """How it runs."""
        return self._backend

    @backend.setter
    def backend(self, value: Backend) -> None:
        if value not in get_args(Backend):
            raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, not {value!r}")
        if reason := self._missing(value):
            raise ValueError(reason)
        self._backend = value

    def _missing(self, backend: Backend) -> str | None:
        """What to tell who asks for a backend that this module does not have."""
        if backend not in ("compile", "chunked"):
            return None
        return (
            f'backend "{backend}" is for steps, which {type(self).__name__} has not; take "auto", "eager" or "native"'
        )

    def _without_native(self) -> Backend:
        """What "auto" runs where "native" cannot."""
        return "eager"

    def _choose_backend(self, refusal: Callable[[], str | None]) -> Backend:
        """What this call is to run.

        refusal: tells why "native" cannot, None where it can.
        """
        used, refused = self.backend, None
        if used in ("auto", "native"):
            refused = refusal()
            otherwise = self._without_native() if used == "auto" else "eager"
            used = "native" if refused is None else otherwise
        self._tell(used, refused)
        if self.backend == "native" and refused is not None:
            _warn_once(f'backend "native" cannot run this: {refused}. Running eagerly instead')
        return used

    def _tell(self, used: Backend, refused: str | None) -> None:
        """Keep what this call runs; a module's attributes are slow to set."""
        if (used, refused) != (self.backend_used, self.backend_refusal):
            self.backend_used, self.backend_refusal = used, refused


class RecurrentModule(BackendModule):
    """A cell to be run over time, and how its steps run.

    Attribute backend: how steps run, see BackendModule.
        "compile": the step through torch.compile (needs a C++ compiler; half a minute once, then about twice as fast
                   at every length). torch keeps eight variants of a model's step (by batch size, slots, training or
                   not); further ones run eagerly, with a line of torch on stderr that names the reason.
        "chunked": many steps at once, of models whose recurrence has such a form, on any device and with derivatives of
                   any order; the same as "eager" to rounding. Of a Stack layers without such a form run as in "auto".
        "native":  as BackendModule has it; of a Stack where an operator covers any of its layers: the others run as in
                   "auto".
    Attribute checkpoint_steps: for long sequences, after how many steps the state is kept for the backward pass, which
    computes the steps between again, so many at a time; None keeps everything. The gradient is the same to rounding,
    the time that of one more forward pass. Kept of T steps are T / checkpoint_steps states, and of checkpoint_steps
    steps everything: together least, and growing as sqrt(T), where checkpoint_steps is about sqrt(T). It is no part
    of the weights, does nothing in `trace` or without gradients, and gives first derivatives of the model's own
    parameters alone (not those of torch.func); RuntimeError where more is asked for.
    """

    cell: Cell

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.checkpoint_steps = None
        self._compiled: Step | None = None

    def _native_refusal(self, input: Tensor, state: State) -> str | None:
        reason = self.cell.native_refusal(input, state)
        return self.cell.native_loss(input, state) if reason is None and self.backend == "auto" else reason

    def _missing(self, backend: Backend) -> str | None:
        if backend == "native" and not self.cell.has_native:
            return f'backend "native" has no operator for {type(self).__name__}; take "auto", "eager" or "compile"'
        if backend == "chunked" and not self.cell.has_scan:
            return f'backend "chunked" has no form for {type(self).__name__}; take "auto", "eager" or "compile"'
        return None

    def _without_native(self) -> Backend:
        return "chunked" if self.cell.has_scan else "eager"

    @property
    def checkpoint_steps(self) -> int | None:
        """Steps between two states that are kept for the backward pass, None to keep everything."""
        return self._checkpoint_steps

    @checkpoint_steps.setter
    def checkpoint_steps(self, value: int | None) -> None:
        if value is not None and value < 1:
            raise ValueError(f"checkpoint_steps must be at least 1 or None, not {value}")
        self._checkpoint_steps = value

    def unroll(
        self, input: Tensor, state: State, *, lengths: Tensor | None = None, step: Step | None = None
    ) -> tuple[Tensor, State]:
        """`unroll` of the cell by the chosen backend; a given step is run as it is."""
        if step is None:
            backend = self._choose_backend(partial(self._native_refusal, input, state))
        else:
            backend = self.backend_used = "eager"
        if backend in ("compile", "chunked") and hooked(*self.cell.modules()):
            backend = self.backend_used = "eager"
        if backend == "native":
            run = self.cell.unroll_native
        elif backend == "chunked":
            run = self.cell.scan
        elif backend == "compile":
            run = self._unroll_compiled
        else:
            run = partial(unroll, self.cell, step=step)
        every = self.checkpoint_steps
        if every is None or every >= input.size(1) or step is not None or not torch.is_grad_enabled():
            return run(input, state, lengths=lengths)
        outputs: list[Tensor] = []
        for first, part in zip(range(0, input.size(1), every), input.split(every, 1), strict=True):
            rest = None if lengths is None else (lengths - first).clamp(0, part.size(1))
            output, state = self._run_twice(run, part, state, rest)
            outputs.append(output)
        return torch.cat(outputs, 1), state

    def _run_twice(
        self, run: Callable[..., tuple[Tensor, State]], input: Tensor, state: State, lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """`run`, of which the backward pass keeps input and state alone."""

        def flat(input: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
            output, last = run(input, with_leaves(state, leaves), lengths=lengths)
            return output, *state_tensors(last)

        output, *leaves = recomputed(flat, [input, *state_tensors(state)], lambda: list(self.cell.parameters()))
        return output, with_leaves(state, leaves)

    def _unroll_compiled(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        # All that torch.compile looks at is alike at every step, so that it makes one graph.
        state = map_state(packed, state)
        trained = any(tensor.requires_grad for tensor in (input, *self.cell.parameters(), *state_tensors(state)))
        if trained and torch.is_grad_enabled():
            state = map_state(_with_gradient, state)
        return unroll(self.cell, input, state, lengths=lengths, step=self._compiled_step())

    def _compiled_step(self) -> Step:
        if self._compiled is None:
            cell = self.cell

            def step(projected: tuple[Any, ...], state: State) -> tuple[Tensor, State]:
                output, state = cell.step(projected, state)
                return output, map_state(_with_standard_strides, state)

            # By its code object torch counts a function's variants: each model gets one of its own.
            step.__code__ = step.__code__.replace()
            self._compiled = torch.compile(step, dynamic=False)
        return self._compiled

    def __getstate__(self) -> dict[str, Any]:
        # A copy compiles its own step.
        return self.__dict__ | {"_compiled": None}


class _Signature:
    """The parameters of a sequence module's constructor, for who asks its class: those of its cell_type.

    An output_size that the cell has, too, is the model's here. Those of the constructor itself where a class brings one
    of its own: early 3.11 would read an inherited __new__ in its place.
    """

    def __get__(self, module: object, owner: type["SequenceModule"]) -> inspect.Signature | None:
        nearest = next(one for one in owner.__mro__ if vars(one).keys() & {"cell_type", "__init__"})
        if module is not None:
            return None
        if "__init__" in vars(nearest) or owner.cell_type is None:
            constructor = inspect.signature(owner.__init__)
            return constructor.replace(parameters=[*constructor.parameters.values()][1:])
        signature = inspect.signature(owner.cell_type, eval_str=True)
        input_size, *options = signature.parameters.values()
        output_size = input_size.replace(name="output_size")
        options = [one for one in options if one.name != output_size.name]
        return signature.replace(parameters=[input_size, output_size, *options], return_annotation=None)


class SequenceModule(RecurrentModule, Pretrained):
    """A cell over time with a linear readout: the interface of every recurrent model.

    input_size:  features of the input; or a cell, which is then the one that is run.
    output_size: features of the readout.
    options:     of the cell.
    Class attribute cell_type: what makes a cell of input_size and options. A model need name nothing else: its options
    are those of its cell, written once, also where `inspect.signature` or `help` are asked.
    Attribute backend: see RecurrentModule.
    """

    cell_type: ClassVar[Callable[..., Cell] | None] = None
    __signature__ = _Signature()

    def __init__(self, input_size: int | Cell, output_size: int, **options: Any) -> None:
        """TypeError for options that the cell has not, or for a size where there is no cell_type."""
        cell = input_size
        if not isinstance(cell, Cell):
            # Of the class, since a function would be bound to an instance.
            if (make := type(self).cell_type) is None:
                raise TypeError(f"{type(self).__name__} has no cell_type, so it needs a cell, not {input_size!r}")
            cell = make(cell, **options)
        elif options:
            raise TypeError(f"a cell has its options already: {', '.join(options)} cannot be given beside it")
        super().__init__(cell)
        if output_size < 1:
            raise ValueError(f"output_size must be at least 1, not {output_size}")
        self.readout = nn.Linear(cell.output_size, output_size)
        self.input_size, self.output_size = cell.input_size, output_size
        self._answers: Answers | None = None

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        # A cell that was given has its options already.
        given = isinstance(found.get("input_size"), dict)
        return {name: found[name] for name in ("input_size", "output_size")} if given else found

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_answers": None}

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step of `batch_size` sequences."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        return self.cell.initial_state(batch_size)

    @property
    def state_floats(self) -> int:
        """Numbers that the state of one sequence holds, by which memories of different kinds are compared."""
        return count_numbers(self.initial_state(1))

    def reset_state(self, state: State, rows: Tensor) -> State:
        """The state with the rows where `rows` (batch,) bool is true put back to the initial state."""
        if rows.dtype != torch.bool or rows.dim() != 1:
            raise ValueError(f"rows must be a bool tensor (batch,), not {rows.dtype} {tuple(rows.shape)}")
        self._check_layout(state)
        batch_size = state_tensors(state)[0].size(0)
        if rows.size(0) != batch_size:
            raise ValueError(f"rows must be ({batch_size},) as the state's batch, not ({rows.size(0)},)")
        self._check_state(state, rows.size(0))
        return select_rows(rows, self.initial_state(rows.size(0)), state)

    def forward(
        self,
        input: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        scored: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run over whole sequences, or over the next chunk of them.

        input:   (batch, time, input_size).
        state:   what an earlier call returned, or None for the initial state. Chunks that pass the state on
                 equal the whole; detach_state between them truncates backpropagation.
        lengths: (batch,) integer, real steps of each row (0..time). Outputs after them are zero, and the state
                 returned is the one after each row's last real step.
        scored:  (batch, time) bool, the steps whose output is asked for; None for all. The readout is computed at these
                 alone, which saves most of the time where outputs are many and questions few.
        Returns  output (batch, time, output_size), before any squashing, and the state; with scored the output is
                 (step, output_size), of the asked steps of the first row, then of the second, and so on.
        Raises   ValueError for a wrong shape, dtype or device, naming both; TypeError for what is no tensor.
        """
        return self._run(input, state, lengths, scored=scored)

    def straight(self) -> Straight | None:
        """Gradients without a graph, where an operator computes the cell; None where there is none.

        Nor is there for a model that brings anything of its own on the way from input to output.
        """
        ways = ("forward", "_run", "unroll", "initial_state")
        able = self.cell.has_native and overrides(self.cell, Cell, ("straight",))
        return Straight(self) if able and not overrides(self, SequenceModule, ways) else None

    def run_straight(
        self, input: Tensor, state: State, gradients: Mapping[int, Tensor], room: Room
    ) -> StraightRun | None:
        """The cell's, for sequences of this shape; None where only `forward` can run them as it is set."""
        self._check(input, None)
        if type(self.readout) is not nn.Linear or self.checkpoint_steps is not None:
            return None
        if self._choose_backend(partial(self._native_refusal, input, state)) != "native":
            return None
        return self.cell.straight(input, state, gradients, room)

    def answer_run(self, input: Tensor) -> tuple[AnswerRun, State] | None:
        """As run_straight, without gradients, with the first state."""
        self._check(input, None)
        if type(self.readout) is not nn.Linear:
            return None
        state = self.initial_state(input.size(0))
        if self._choose_backend(partial(self._native_refusal, input, state)) != "native":
            return None
        run = self.cell.answering(input, state)
        return None if run is None else (run, state)

    def _answered(self, input: Tensor) -> tuple[Tensor, State] | None:
        """What _run returns of an input alone, where no gradient is wanted; None where that may not be known."""
        if torch.is_grad_enabled() or not self.cell.has_native or not isinstance(input, Tensor):
            return None
        if not overrides(self.cell, Cell, ("answering",)):
            return None
        if has_global_hooks() or build.switched_off() is not None or build.unusual_call([input]) is not None:
            return None
        if self._answers is not None and self._answers.hold(self):
            if (known := self._answers(self, input)) is not None:
                self._tell("native", None)
            return known
        usual = not overrides(self, SequenceModule, ("unroll", "initial_state"))
        plain = build.unusual_call([*self.parameters(), *self.buffers()]) is None
        self._answers = Answers(self) if usual and plain else None
        return None

    def trace(self, input: Tensor, state: State | None = None, *, lengths: Tensor | None = None) -> SequenceTrace:
        """Run as `forward` does and keep what the cell tells of every step, see Cell.parts.

        Arguments and errors as for forward. What is kept of steps after a row's length means nothing.
        """
        output, states, watched, last = self._watch(input, state, lengths)
        return Trace(output, self.cell.parts(states, watched), last)

    def _watch(self, input: Tensor, state: State | None, lengths: Tensor | None) -> tuple[Tensor, State, Any, State]:
        """What forward returns, and between output and state the cell's states and what steered it, step by step."""
        kept: list[tuple[State, Any]] = []

        def step(projected: tuple[Any, ...], state: State) -> tuple[Tensor, State]:
            output, state, watched = self.cell.watched_step(projected, state)
            kept.append((state, watched))
            return output, state

        output, last = self._run(input, state, lengths, step)
        states, watched = (map_state(lambda *steps: torch.stack(steps, 1), *one) for one in zip(*kept, strict=True))
        return output, states, watched, last

    def _run(
        self,
        input: Tensor,
        state: State | None,
        lengths: Tensor | None,
        step: Step | None = None,
        scored: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        if (state, lengths, step, scored) == (None, None, None, None) and (known := self._answered(input)) is not None:
            return known
        lengths = self._check(input, lengths)
        if scored is not None and (scored.dtype != torch.bool or scored.shape != input.shape[:2]):
            raise ValueError(f"scored must be bool {tuple(input.shape[:2])}, not {scored.dtype} {tuple(scored.shape)}")
        past = None
        if lengths is not None:
            past = (torch.arange(input.size(1), device=lengths.device) >= lengths.unsqueeze(1)).unsqueeze(-1)
            # Whatever is in the padding, a NaN too, must not reach a gradient.
            input = input.masked_fill(past, 0.0)
        if state is None:
            state = self.initial_state(input.size(0))
        else:
            self._check_state(state, input.size(0))
        features, state = self.unroll(input, state, lengths=lengths, step=step)
        if scored is not None:
            features, past = features[scored], None if past is None else past[scored]
        output = self.readout(features)
        return output if past is None else output.masked_fill(past, 0.0), state

    def _check(self, input: Tensor, lengths: Tensor | None) -> Tensor | None:
        """The lengths as int64, after a look at both."""
        weight = self.readout.weight
        check_tensor("input", input, f"(batch, time, {self.input_size})")
        if input.dim() != 3 or input.size(-1) != self.input_size or 0 in input.shape:
            raise ValueError(
                f"input must be (batch, time, {self.input_size}) with at least one row and one step, "
                f"not {tuple(input.shape)}"
            )
        if input.device != weight.device:
            raise ValueError(f"input is on {input.device}, the model on {weight.device}")
        if not input.is_floating_point() or (input.dtype != weight.dtype and not under_autocast(input)):
            raise ValueError(f"input is {input.dtype}, the model {weight.dtype}")
        return None if lengths is None else check_lengths("lengths", lengths, input, input.size(1))

    def _check_layout(self, state: State) -> None:
        expected = describe_state(self.initial_state(1))
        if describe_state(state) != expected:
            raise ValueError(f"state must be {expected}, not {describe_state(state)}")

    def _check_state(self, state: State, batch_size: int) -> None:
        self._check_layout(state)
        given, expected = state_tensors(state), state_tensors(self.initial_state(batch_size))
        for one, other in zip(given, expected, strict=True):
            if not self._same_form(one, other):
                raise ValueError(
                    f"state holds {one.dtype} {tuple(one.shape)} on {one.device} "
                    f"where {other.dtype} {tuple(other.shape)} on {other.device} is expected"
                )

    @staticmethod
    def _same_form(given: Tensor, expected: Tensor) -> bool:
        return (given.shape, given.dtype, given.device) == (expected.shape, expected.dtype, expected.device)
