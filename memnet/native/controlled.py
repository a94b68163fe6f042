"""Cells of a controller and a memory over whole sequences through controlled.h, see memnet.native."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import Linear

from memnet.cells import AnswerRun, Cell, Room, Softened, StraightRun
from memnet.native import build, reuse
from memnet.state import State, state_tensors, with_leaves

# What a layer has, in the order of the tables of a Problem: for what it sees from below, and for its own hidden state.
_OF_PROJECTIONS = ("weight", "bias", "recurrent", "recurrent_bias")


class Steps(Protocol):
    """A cell, as far as every such operator reads it: what its names mean is told by memnet.NTMCell."""

    controller: Cell
    input_size: int
    slot_size: int
    num_reads: int


class HeadSteps(Steps, Protocol):
    """One whose heads look for slots."""

    num_writes: int
    norm_floor: float


class Problem(ctypes.Structure):
    """Problem in controlled.h; those of a memory's own come after it."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "time", "input_size", "layers", "hidden_size", "controller")),
        *((name, ctypes.c_int64) for name in ("slots", "width", "reads", "writes", "keep", "segment")),
        *((name, ctypes.c_int64) for name in ("deep", "deep_size", "steered")),
        ("norm_floor", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("lengths", "input", *_OF_PROJECTIONS, "first", "last", "features")),
        *((name, ctypes.c_void_p) for name in ("room", "d_features", "d_last", "d_input")),
        *((f"d_{name}", ctypes.c_void_p) for name in (*_OF_PROJECTIONS, "first")),
    ]


Own = TypeVar("Own", bound=Problem)


def as_built(controller: Cell, steering: object) -> bool:
    """Whether a cell's controller, and the linear layer after it, are those that controlled.h computes."""
    kinds = {type(layer) for layer in build.layers_of(controller)}
    known = type(steering) is Linear and len(kinds) == 1 and kinds <= build.LAYERS
    return known and not getattr(controller, "skip", False)


def problem_of(kind: type[Own], cell: Steps, input: Tensor, *, slots: int, **own: float) -> Own:
    """The sizes of a call, with those of the memory's own."""
    layers = build.layers_of(cell.controller)
    return kind(
        batch=input.size(0),
        time=input.size(1),
        input_size=cell.input_size,
        layers=len(layers),
        hidden_size=cell.controller.output_size,
        controller=build.KINDS[build.kind_of(layers[0])],
        slots=slots,
        width=cell.slot_size,
        reads=cell.num_reads,
        **own,
    )


def problem_of_heads(kind: type[Own], cell: HeadSteps, input: Tensor, state: Any, **own: float) -> Own:
    """The same of heads that look for slots."""
    heads = {"writes": cell.num_writes, "norm_floor": cell.norm_floor}
    return problem_of(kind, cell, input, slots=state.memory.size(1), **heads, **own)


class Plan:
    """A cell's parameters, and what they are to the operator.

    layers:   of the controller. steering: the linear layer that tells the memory what to do.
    deep:     linear layers above the controller, ReLU between them, of which the last tells it more; or none.
    more:     further parameters, by their names in the operator's Problem; their gradients are there as d_{name}.
    Attribute projections: of each layer, of all deep ones but the last, of the steering one and of the last deep one,
    where among the parameters its weight, bias, and those of its own hidden state are, None where it has none; written:
    all of these; places: these and the further ones; gates: of each layer.
    """

    def __init__(
        self,
        operator: build.Operator,
        named: Sequence[tuple[str, Tensor]],
        layers: Sequence[Any],
        steering: Linear,
        more: Mapping[str, Tensor],
        deep: Sequence[Linear] = (),
    ) -> None:
        self.operator = operator
        self.names, self.parameters = zip(*named, strict=True)
        places: dict[int, int] = {id(one): place for place, one in enumerate(self.parameters)}
        own = [(one.weight_ih, one.bias_ih, one.weight_hh, one.bias_hh) for one in layers]
        own += [(one.weight, one.bias, None, None) for one in (*deep[:-1], steering, *deep[-1:])]
        self.projections = [tuple(None if one is None else places[id(one)] for one in each) for each in own]
        self.steering = places[id(steering.weight)]
        self.gates = [len(one.gates) for one in layers]
        self.told = [places[id(one.weight)] for one in deep[-1:]]
        self.written = {place for each in self.projections for place in each if place is not None}
        self.more = {name: places[id(one)] for name, one in more.items()}
        self.places = {*self.written, *self.more.values()}

    def of(self, named: Sequence[tuple[str, Tensor]]) -> bool:
        """Whether these are the parameters of this plan."""
        known = zip(self.names, self.parameters, strict=True)
        return len(named) == len(self.names) and all(
            name == other and one is own for (name, one), (other, own) in zip(named, known, strict=True)
        )

    def tables(self, values: Sequence[Tensor | None]) -> dict[str, list[Tensor | None]]:
        """What belongs to the parameters, in their order, as the tables of a Problem by their names."""
        columns = zip(*self.projections, strict=True)
        return {
            name: [None if place is None else values[place] for place in column]
            for name, column in zip(_OF_PROJECTIONS, columns, strict=True)
        }

    def more_of(self, values: Sequence[Tensor | None], before: str = "") -> dict[str, Tensor | None]:
        """What belongs to the further parameters, by their names in a Problem, with something before each."""
        return {f"{before}{name}": values[place] for name, place in self.more.items()}

    def given(self, parameters: Sequence[Tensor]) -> dict[str, Any]:
        """All parameters by their names in a Problem."""
        return {**self.tables(parameters), **self.more_of(parameters)}

    def check(
        self,
        problem: Problem,
        lengths: Tensor | None,
        input: Tensor,
        first: Sequence[Tensor],
        shapes: Sequence[tuple[int, ...]],
        parameters: Sequence[Tensor],
    ) -> None:
        """ValueError for sizes that C++ does not take. shapes: see `Call`."""
        batch, hidden, width = problem.batch, problem.hidden_size, problem.width
        given = [input, *first]
        expected: list[tuple[int, ...]] = [(batch, problem.time, problem.input_size)]
        expected += [(batch, hidden)] * (len(first) - 1 - len(shapes))
        expected += [(batch, problem.reads, width), *((batch, *shape) for shape in shapes)]
        if lengths is not None:
            given, expected = [*given, lengths], [*expected, (batch,)]
        # Of each projection what it gives, and what it sees from below.
        sizes = [(count * hidden, hidden) for count in self.gates]
        sizes[0] = (sizes[0][0], problem.input_size + problem.reads * width)
        sizes += [(problem.deep_size, problem.deep_size if layer else hidden) for layer in range(problem.deep)]
        sizes.append((parameters[self.steering].size(0), hidden))
        sizes += [(parameters[place].size(0), problem.deep_size) for place in self.told]
        for places, (size, below) in zip(self.projections, sizes, strict=True):
            every = ((size, below), (size,), (size, hidden), (size,))
            for place, shape in zip(places, every, strict=True):
                if place is not None:
                    given.append(parameters[place])
                    expected.append(shape)
        build.check_shapes(given, expected)


# Of every cell that was run, as long as it lives.
_plans: WeakKeyDictionary[Steps, Plan] = WeakKeyDictionary()


def plan_of(
    operator: build.Operator,
    cell: Steps,
    steering: Linear,
    more: Mapping[str, Tensor] | None = None,
    deep: Sequence[Linear] = (),
) -> Plan:
    """The cell's plan, made anew where its parameters are others than before; see Plan."""
    named, known = build.named_parameters(cast(Cell, cell)), _plans.get(cell)
    if known is None or not known.of(named):
        known = _plans[cell] = Plan(operator, named, build.layers_of(cell.controller), steering, more or {}, deep)
    return known


class Rounding(Protocol):
    """A cell whose actions may be rounded, see memnet.structures."""

    @property
    def rounding(self) -> bool: ...


class Call(NamedTuple):
    """What an operator is told of sequences of one shape.

    problem:  sizes and options. plan: what the parameters are to it.
    shapes:   of the state's tensors after the controller's and the reads.
    rounding: who tells, as the mode of the moment has it, of a field `rounded` of the problem; None without such.
    """

    problem: Any
    plan: Plan
    shapes: Sequence[tuple[int, ...]]
    rounding: Rounding | None = None


class Sequences(NamedTuple):
    """Cells of one kind over whole sequences: see those of Cell by like names, whose cell comes first.

    as_built: tells of a cell whether its parts are those that the operator computes.
    call:     sizes of a call, for a cell, an input and a state that `refusal` has nothing against.
    softened: what of a first state is a softmax, for a cell and a state.
    """

    operator: build.Operator
    as_built: Callable[[Any], bool]
    call: Callable[[Any, Tensor, Any], Call]
    softened: Callable[[Any, Any], Sequence[Softened]] = lambda cell, state: ()

    def refusal(self, cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
        """Why the operator cannot run a cell on this input and state, None where it can.

        own: whether the cell is of the class that the operator computes, not of one that takes after it, and reads and
        emits what it was built to.
        """
        return build.refusal(self.operator, cell, input, state, own=own, as_built=self.as_built)

    def unroll(self, cell: Steps, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """What memnet.unroll.unroll returns."""
        problem, plan, shapes, *_ = self.call(cell, input, state)
        lengths = None if lengths is None else lengths.to(torch.int64, copy=True).contiguous()
        tensors = [input, *state_tensors(state), *plan.parameters]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            plainly = partial(build.unroll_plainly, cast(Cell, cell), lengths, plan.names)
            features, *last = _Unroll.apply(plan, problem, plainly, lengths, shapes, *tensors)  # type: ignore[no-untyped-call]
        else:
            features, last, _ = forward(plan, problem, lengths, shapes, tensors, keep=False)
        return features, with_leaves(state, last)

    def straight(
        self, cell: Steps, input: Tensor, state: State, gradients: Mapping[int, Tensor], room: Room
    ) -> StraightRun:
        return Straight(self.call(cell, input, state), input, state, gradients, room, self.softened(cell, state))

    def answering(self, cell: Steps, input: Tensor, state: State) -> AnswerRun:
        return Answering(self.call(cell, input, state), input, state)


class Straight:
    """What Cell.straight returns; see cells.StraightRun."""

    def __init__(
        self,
        call: Call,
        input: Tensor,
        state: State,
        gradients: Mapping[int, Tensor],
        shared: Room,
        softened: Sequence[Softened],
    ) -> None:
        (problem, plan, shapes, self._rounding), self.softened = call, softened
        self._plan, self._problem, self._library = plan, problem, build.library(plan.operator, input.dtype)
        leaves, parameters = state_tensors(state), plan.parameters
        first = [one.detach().clone(memory_format=torch.contiguous_format) for one in leaves]
        plan.check(problem, None, input, first, shapes, parameters)
        room = shared.take(_prepared(self._library, problem, keep=True), input)
        self.features = _features_of(problem, input)
        own = [gradients.get(id(one)) for one in parameters]
        self.written = {id(parameters[place]) for place in plan.places if own[place] is not None}
        self._d_tables, self._again = _apart(plan.tables(own))
        # The problem tells where they are, and keeps none.
        self.first, self._last, self._room = first, [torch.empty_like(one) for one in first], room
        self.d_first = [
            torch.empty_like(one) if leaf.requires_grad else None for one, leaf in zip(first, leaves, strict=True)
        ]
        self._added = [one for one in plan.more_of(own).values() if one is not None]
        self._addresses, self._forms = list[int](), build.forms(parameters)
        self._kept = build.fill(
            problem,
            first=first,
            last=self._last,
            features=self.features,
            room=room,
            d_last=[None] * len(first),
            d_first=self.d_first,
            **{f"d_{name}": table for name, table in self._d_tables.items()},
            **plan.more_of(own, "d_"),
        )

    def forward(self, input: Tensor) -> None:
        parameters = self._plan.parameters
        build.check_forms(parameters, self._forms)
        if (addresses := [one.data_ptr() for one in parameters]) != self._addresses:
            self._addresses, self._weights = addresses, build.fill(self._problem, **self._plan.given(parameters))
        self._problem.input = input.data_ptr()
        if self._rounding is not None:
            self._problem.rounded = self._rounding.rounding
        build.run(self._plan.operator, self._library.forward, self._problem)

    def backward(self, d_features: Tensor) -> None:
        for one in self._added:
            one.zero_()
        self._problem.d_features = d_features.data_ptr()
        build.run(self._plan.operator, self._library.backward, self._problem)
        for whole, more in self._again:
            whole += more


class Answering:
    """What Cell.answering returns; see cells.AnswerRun."""

    def __init__(self, call: Call, input: Tensor, state: State) -> None:
        problem, plan, shapes, *_ = call
        parameters = plan.parameters
        plan.check(problem, None, input, state_tensors(state), shapes, parameters)
        self._operator, self._library = plan.operator, build.library(plan.operator, input.dtype)
        self._numbers, self._problem = _prepared(self._library, problem, keep=False), problem
        self.reads = {id(parameters[place]) for place in plan.places}
        self._weights = build.fill(problem, **plan.given(parameters))

    def __call__(self, input: Tensor, first: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        # Several may be under way at a time.
        problem = type(self._problem).from_buffer_copy(self._problem)
        features, last = _features_of(problem, input), [torch.empty_like(one) for one in first]
        build.call(
            self._operator,
            self._library.forward,
            problem,
            input=input,
            first=first,
            last=last,
            features=features,
            room=input.new_empty(self._numbers),
        )
        return features, last


def forward(
    plan: Plan,
    problem: Problem,
    lengths: Tensor | None,
    shapes: Sequence[tuple[int, ...]],
    tensors: Sequence[Tensor],
    *,
    keep: bool,
    own: Mapping[str, Tensor | None] | None = None,
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Features, last state, and what a backward pass needs (if `keep`).

    tensors: input; leaves of the state; parameters of the cell.
    own:     what else the memory's operator is given, by its names in its Problem.
    """
    input, *rest = map(build.in_order, tensors)
    compiled = build.library(plan.operator, input.dtype)
    count = len(rest) - len(plan.parameters)
    first, parameters = rest[:count], rest[count:]
    plan.check(problem, lengths, input, first, shapes, parameters)
    room = reuse.empty(input, _prepared(compiled, problem, keep=keep))
    last = [torch.empty_like(one) for one in first]
    features = _features_of(problem, input)
    build.call(
        plan.operator,
        compiled.forward,
        problem,
        lengths=lengths,
        input=input,
        first=first,
        last=last,
        features=features,
        room=room,
        **plan.given(parameters),
        **(own or {}),
    )
    return features, last, room


def _features_of(problem: Problem, like: Tensor) -> Tensor:
    """Room for them: the controller's output and the reads of every step."""
    return reuse.empty(like, problem.batch, problem.time, problem.hidden_size + problem.reads * problem.width)


def _prepared(compiled: ctypes.CDLL, problem: Problem, *, keep: bool) -> int:
    """How many numbers a call keeps; completes its sizes."""
    problem.keep = keep
    # The memory's state is kept once in so many steps, and computed again between them.
    problem.segment = max(1, round(1.5 * problem.time**0.5))
    compiled.numbers_of_room.restype = ctypes.c_int64
    return int(compiled.numbers_of_room(ctypes.byref(problem)))


class _Unroll(torch.autograd.Function):
    """(plan, problem, the same plainly, lengths, shapes, tensors as for forward) to features and state leaves."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, problem: Problem, plainly: Any, lengths: Any, shapes: Any, *tensors: Tensor
    ) -> Any:
        features, last, room = forward(plan, problem, lengths, shapes, tensors, keep=True)
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.problem, ctx.plainly = plan, problem, plainly
        ctx.save_for_backward(lengths, room, *tensors)
        return features, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        (lengths, room, *tensors), wanted = ctx.saved_tensors, ctx.needs_input_grad[5:]
        if build.wants_plain_gradients(gradients):
            found = build.plain_gradients(ctx.plainly, tensors, gradients, wanted)
        else:
            problem = type(ctx.problem).from_buffer_copy(ctx.problem)
            given = build.gradients_in_order(gradients)
            found = backward(ctx.plan, problem, lengths, room, tensors, given, wanted)
        return None, None, None, None, None, *found


def backward(
    plan: Plan,
    problem: Problem,
    lengths: Tensor | None,
    room: Tensor,
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Sequence[bool],
    own: Mapping[str, Tensor | None] | None = None,
) -> list[Tensor | None]:
    """Gradients of the tensors that want one, from those of features and last state; own as for `forward`."""
    leaves = len(gradients) - 1
    parameters, wants = [build.in_order(one) for one in tensors[1 + leaves :]], wanted[1 + leaves :]
    d_input = torch.empty_like(tensors[0], memory_format=torch.contiguous_format) if wanted[0] else None
    pairs = zip(tensors[1 : 1 + leaves], wanted[1 : 1 + leaves], strict=True)
    d_first = [room.new_empty(one.shape) if want else None for one, want in pairs]
    d_parameters: list[Tensor | None] = [None] * len(parameters)
    for place in plan.written:
        d_parameters[place] = torch.empty_like(parameters[place]) if wants[place] else None
    for place in plan.more.values():
        d_parameters[place] = torch.zeros_like(parameters[place]) if wants[place] else None
    d_tables, again = _apart(plan.tables(d_parameters))
    build.call(
        plan.operator,
        build.library(plan.operator, room.dtype).backward,
        problem,
        lengths=lengths,
        room=room,
        d_features=gradients[0],
        d_last=gradients[1:],
        d_input=d_input,
        d_first=d_first,
        **plan.given(parameters),
        **{f"d_{name}": table for name, table in d_tables.items()},
        **plan.more_of(d_parameters, "d_"),
        **(own or {}),
    )
    for whole, more in again:
        whole += more
    return [d_input, *d_first, *d_parameters]


def _apart(
    tables: dict[str, list[Tensor | None]],
) -> tuple[dict[str, list[Tensor | None]], list[tuple[Tensor, Tensor]]]:
    """The tables with each tensor once; and what stood in several places, as a layer may, with another in its place."""
    seen, again = set[int](), list[tuple[Tensor, Tensor]]()
    for table in tables.values():
        for place, one in enumerate(table):
            if one is not None and id(one) in seen:
                table[place] = other = torch.empty_like(one)
                again.append((one, other))
            seen.add(id(one))
    return tables, again
