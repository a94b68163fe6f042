"""Recurrent cells: the controllers that every model shares, and the recurrent baselines.

A cell is one step, split where speed wants it: `project` holds what depends on the input alone (computed
for all time steps at once by a sequence), `step` the rest. `forward` is both, for one step at a time, and calls the
cells within it as modules, so that their hooks run.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.checks import check_choice, check_sizes
from memnet.settings import Described
from memnet.state import State
from memnet.trace import Part, state_parts

ControllerName: TypeAlias = Literal["feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm", "gru"]
RecurrentName: TypeAlias = Literal["rnn-tanh", "rnn-relu", "lstm", "gru"]
RecurrentInit: TypeAlias = Literal["default", "uniform", "identity"]


class FeedForwardState(NamedTuple):
    """The state of a cell that remembers nothing."""


class RNNState(NamedTuple):
    """hidden: (batch, hidden)."""

    hidden: Tensor


class LSTMState(NamedTuple):
    """hidden, cell: (batch, hidden)."""

    hidden: Tensor
    cell: Tensor


class LSTMGates(NamedTuple):
    """What an LSTM let in, kept and let out: (batch, hidden), in (0, 1)."""

    input: Tensor
    forget: Tensor
    output: Tensor


class GRUGates(NamedTuple):
    """How much of the past a GRU let into its candidate, and how much of it stays: (batch, hidden), in (0, 1)."""

    reset: Tensor
    update: Tensor


class Softened(NamedTuple):
    """Weightings of a first state that are the softmax of a weight, alike for every row of the batch.

    logits: (head, slot). places, rows: which of the state's tensors they are, and which heads each has.
    """

    logits: Tensor
    places: tuple[int, ...]
    rows: tuple[slice, ...]


class StraightRun(Protocol):
    """Sequences of one shape by an operator, without a graph, with all in place that it needs; see Cell.straight.

    features: (batch, time, output_size), of the last forward.
    written:  ids of the parameters that have a gradient by it.
    first:    the tensors of the state before the first step. d_first: gradients of those that want one.
    softened: what of them is made so.
    """

    features: Tensor
    written: set[int]
    first: list[Tensor]
    d_first: list[Tensor | None]
    softened: Sequence[Softened]

    def forward(self, input: Tensor) -> None:
        """Compute the features."""

    def backward(self, d_features: Tensor) -> None:
        """Write the gradients of the parameters, and of the state's tensors."""


class AnswerRun(Protocol):
    """Sequences of one shape by an operator, without gradients, with all found that it needs; see Cell.answering.

    reads: ids of the parameters that it looks at in every call.
    """

    reads: set[int]

    def __call__(self, input: Tensor, first: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Features and the last state's tensors, from those of the first, all in order as C++ reads them."""


class Room:
    """Numbers that runs have in common, of which one is under way at a time."""

    numbers: Tensor | None = None

    def take(self, count: int, like: Tensor) -> Tensor:
        """So many numbers, of the kind that `like` has."""
        if self.numbers is None or self.numbers.numel() < count:
            self.numbers = like.new_empty(count)
        return self.numbers


class Cell(Described):
    """One step of a recurrent network.

    input_size, output_size: features of one step's input and output.
    has_native: whether there is an operator for the step over whole sequences, see memnet.native.
    has_scan:   whether there is a form of it for many steps at once, see scan.
    """

    input_size: int
    output_size: int
    has_native = False
    has_scan = False

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step of `batch_size` sequences."""
        raise NotImplementedError

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        """The part of a step that depends on the input alone, for any leading axes; by default the input as it is.

        input:  (..., input_size); of a cell with input_weights its first columns are enough.
        Returns tensors (..., units).
        """
        return (input,)

    def input_weights(self) -> tuple[Tensor, ...]:
        """By which matrices (units, input_size) what `project` returns is linear in the input, one for each tensor.

        The input of a cell that tells them may come in parts: `project` takes the first columns, and brings the biases;
        what other columns do is their product with the same columns of the weights. () where it must be whole.
        """
        return ()

    def shared(self) -> Any:
        """Tensors that are the same at every step, such as columns of weights, as a nested tuple; None for nothing.

        A sequence makes them once and gives them to `step` behind what is projected; a step without them makes its own.
        """
        return None

    def step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State]:
        """One step from projected input, and what is shared: (batch, output_size) and the next state."""
        raise NotImplementedError

    def watched_step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State, Any]:
        """`step`, with what steered it beside its results: a NamedTuple of tensors, batch first, or () for nothing."""
        return *self.step(projected, state), ()

    def parts(self, states: State, watched: Any) -> list[Part]:
        """What the cell did, for who looks at it; by default the tensors of its states by their names and shapes.

        states, watched: of all steps what watched_step gave, with a time axis after the batch; watched is () where
                         nobody watched.
        """
        return state_parts(states)

    def forward(self, input: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: input (batch, input_size) to output (batch, output_size) and the next state."""
        return self.step(self.project(input), state)

    def recurrent_matrices(self) -> dict[str, Tensor]:
        """The weights (hidden, hidden) by which the hidden state reaches the next step, by name; cells within it apart.

        Views: who changes one changes the cell.
        """
        return {}

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        """Why the operator does not cover a sequence (batch, time, input_size), None where it does."""
        return "there is no operator for it"

    def native_loss(self, input: Tensor, state: State) -> str | None:
        """Why "auto" runs a sequence that the operator covers step by step, None where the operator is faster."""
        return None

    def unroll_native(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """What memnet.unroll.unroll returns, from the operator."""
        raise NotImplementedError

    def straight(self, input: Tensor, state: State, gradients: Mapping[int, Tensor], room: Room) -> StraightRun | None:
        """Sequences like this one, which the operator covers, to be run again and again; None where it cannot be.

        gradients: where those of the parameters are to be written, by a parameter's id. room: for what is kept.
        """
        return None

    def answering(self, input: Tensor, state: State) -> AnswerRun | None:
        """Sequences like this one, which the operator covers, to be run again and again without gradients.

        As long as nothing but numbers change. None where it cannot be.
        """
        return None

    def scan(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """What memnet.unroll.unroll returns, many steps at once: to rounding what `step`, the definition, gives."""
        raise NotImplementedError


def together(projected: tuple[Any, ...], shared: Any) -> tuple[Any, ...]:
    """What a step takes: projected input and, behind it, what all steps share."""
    return projected if shared is None else (*projected, shared)


def parted(cell: Cell, given: tuple[Any, ...]) -> tuple[tuple[Tensor, ...], Any]:
    """The projected input within what a step was given, and what all steps of the cell share, made where it lacks."""
    *projected, last = given
    return (given, cell.shared()) if isinstance(last, Tensor) else (tuple(projected), last)


def added(projected: tuple[Tensor, ...], input: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Projected input with that of further columns, by the weights of these."""
    return tuple(one + functional.linear(input, weight) for one, weight in zip(projected, weights, strict=True))


class WatchedCell(Cell):
    """A cell that brings `watched_step`, of which `step` is all but what steered it."""

    def step(self, projected: tuple[Any, ...], state: State) -> tuple[Tensor, State]:
        output, state, _ = self.watched_step(projected, state)
        return output, state


class _LayerCell(Cell):
    """A layer with torch.nn's parameter names: weight_ih, weight_hh, bias_ih, bias_hh.

    input_size, hidden_size: features. recurrent: whether weight_hh exists.
    recurrent_bias: whether bias_hh exists (torch.nn's cells have it; most papers have one bias a gate).
    learned_initial_state: train the state before the first step (else zeros).
    Class attribute gates: what a hidden unit's rows in the weights are for, in their order.
    """

    gates: tuple[str, ...] = ("hidden",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: bool = True,
        recurrent_bias: bool = True,
        initial_states: Sequence[str] = (),
        learned_initial_state: bool = False,
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        self.input_size, self.output_size, self.hidden_size = input_size, hidden_size, hidden_size
        units = len(self.gates) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(units, input_size))
        self.bias_ih = nn.Parameter(torch.empty(units))
        self.weight_hh = nn.Parameter(torch.empty(units, hidden_size)) if recurrent else None
        self.bias_hh = nn.Parameter(torch.empty(units)) if recurrent and recurrent_bias else None
        self._initial_names = tuple(f"initial_{name}" for name in initial_states)
        for name in self._initial_names:
            self.register_parameter(name, nn.Parameter(torch.zeros(hidden_size)) if learned_initial_state else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights from U(-1/sqrt(hidden), 1/sqrt(hidden)), as torch.nn's cells do; initial states 0."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name in self._initial_names:
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -bound, bound)

    def initial_tensors(self, batch_size: int) -> tuple[Tensor, ...]:
        """The initial state's tensors in order: the learned ones for every row, or zeros."""
        learned = [getattr(self, name) for name in self._initial_names]
        return tuple(
            self.weight_ih.new_zeros(batch_size, self.hidden_size) if one is None else one.expand(batch_size, -1)
            for one in learned
        )

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        whole = input.size(-1) == self.input_size
        weight = self.weight_ih if whole else self.weight_ih[:, : input.size(-1)]
        return (functional.linear(input, weight, self.bias_ih),)

    def input_weights(self) -> tuple[Tensor, ...]:
        return (self.weight_ih,)

    def recurrent_matrices(self) -> dict[str, Tensor]:
        if self.weight_hh is None:
            return {}
        return dict(zip(self.gates, self.weight_hh.detach().chunk(len(self.gates)), strict=True))

    def parts(self, states: State, watched: Any) -> list[Part]:
        """Its states, as "hidden state", and its gates, as "forget gate"."""
        found = [part._replace(name=f"{part.name} state") for part in state_parts(states)]
        gates = [part._replace(kind="gate", name=f"{part.name} gate") for part in state_parts(watched)]
        return found + gates

    def recurrent(self, hidden: Tensor) -> Tensor:
        """The part of a step that is linear in the hidden state: (batch, units)."""
        assert self.weight_hh is not None
        return functional.linear(hidden, self.weight_hh, self.bias_hh)


class SequenceOperator(NamedTuple):
    """What a cell does over whole sequences: see those of Cell by like names, whose cell comes first."""

    refusal: Callable[[Cell, Tensor, State], str | None]
    unroll: Callable[[Cell, Tensor, State, Tensor | None], tuple[Tensor, State]]
    answering: Callable[[Cell, Tensor, State], AnswerRun]
    straight: Callable[[Cell, Tensor, State, Mapping[int, Tensor]], StraightRun]


class NativeCell(Cell):
    """A layer of a recurrent network, or several, with an operator: memnet.models.recurrent brings the two together."""

    has_native = True
    operator: ClassVar[SequenceOperator]

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        return self.operator.refusal(self, input, state)

    def unroll_native(self, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        return self.operator.unroll(self, input, state, lengths)

    def answering(self, input: Tensor, state: State) -> AnswerRun:
        return self.operator.answering(self, input, state)

    def straight(self, input: Tensor, state: State, gradients: Mapping[int, Tensor], room: Room) -> StraightRun:
        return self.operator.straight(self, input, state, gradients)


class FeedForwardCell(_LayerCell):
    """A layer without memory, h = tanh(W x + b): the feed-forward controller.

    input_size, hidden_size: features.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, recurrent=False)

    def initial_state(self, batch_size: int) -> FeedForwardState:
        return FeedForwardState()

    def step(self, projected: tuple[Any, ...], state: FeedForwardState) -> tuple[Tensor, FeedForwardState]:
        return torch.tanh(projected[0]), state


class RNNCell(NativeCell, _LayerCell):
    """Elman's recurrent cell, h' = f(W x + b + U h + c), equal to torch.nn.RNNCell on the same weights.

    nonlinearity:   "tanh" or "relu".
    recurrent_init: "identity", that of Le et al. 2015 (arXiv 1504.00941; with "relu" their IRNN): U = I, b = c = 0,
                    W ~ N(0, 0.001^2); "uniform", that of torch.nn's cells; "default": "identity" for "relu", "uniform"
                    for "tanh".
    Others: see LSTMCell.
    Raises ValueError for any other value.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        recurrent_init: RecurrentInit = "default",
        recurrent_bias: bool = True,
        learned_initial_state: bool = False,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'nonlinearity must be "tanh" or "relu", not {nonlinearity!r}')
        check_choice("recurrent_init", recurrent_init, RecurrentInit)
        self.nonlinearity = nonlinearity
        if recurrent_init == "default":
            recurrent_init = "identity" if nonlinearity == "relu" else "uniform"
        self.recurrent_init = recurrent_init
        super().__init__(
            input_size,
            hidden_size,
            recurrent_bias=recurrent_bias,
            initial_states=("hidden",),
            learned_initial_state=learned_initial_state,
        )

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.recurrent_init == "identity":
            assert self.weight_hh is not None
            nn.init.eye_(self.weight_hh)
            nn.init.normal_(self.weight_ih, std=0.001)
            for bias in (self.bias_ih, self.bias_hh):
                if bias is not None:
                    nn.init.zeros_(bias)

    def initial_state(self, batch_size: int) -> RNNState:
        return RNNState(*self.initial_tensors(batch_size))

    def step(self, projected: tuple[Any, ...], state: RNNState) -> tuple[Tensor, RNNState]:
        total = projected[0] + self.recurrent(state.hidden)
        hidden = torch.tanh(total) if self.nonlinearity == "tanh" else torch.relu(total)
        hidden = hidden.to(state.hidden.dtype)
        return hidden, RNNState(hidden)


class LSTMCell(NativeCell, WatchedCell, _LayerCell):
    """Long short-term memory with forget gate, equal to torch.nn.LSTMCell on the same weights.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W x + b + U h + c
        c' = f c + i g        h' = o tanh(c')

    input_size, hidden_size: features.
    recurrent_bias: a second bias on the recurrent part, c, as torch.nn has it.
    learned_initial_state: train the state before the first step (else zeros).
    forget_bias: added to the forget gate's bias at initialisation (Gers et al. 2000; Jozefowicz et al. 2015).
    """

    gates = ("input", "forget", "candidate", "output")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        recurrent_bias: bool = True,
        learned_initial_state: bool = False,
    ) -> None:
        self.forget_bias = forget_bias
        super().__init__(
            input_size,
            hidden_size,
            recurrent_bias=recurrent_bias,
            initial_states=("hidden", "cell"),
            learned_initial_state=learned_initial_state,
        )

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.bias_ih[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    def initial_state(self, batch_size: int) -> LSTMState:
        return LSTMState(*self.initial_tensors(batch_size))

    def watched_step(self, projected: tuple[Any, ...], state: LSTMState) -> tuple[Tensor, LSTMState, LSTMGates]:
        total = self.gate_sums((projected[0] + self.recurrent(state.hidden)).to(state.cell.dtype))
        input_gate, forget_gate, candidate, output_gate = total.chunk(4, -1)
        gates = LSTMGates(torch.sigmoid(input_gate), torch.sigmoid(forget_gate), torch.sigmoid(output_gate))
        cell = gates.forget * state.cell + gates.input * torch.tanh(candidate)
        hidden = gates.output * torch.tanh(cell)
        return hidden, LSTMState(hidden, cell), gates

    def gate_sums(self, total: Tensor) -> Tensor:
        """What is squashed, from the sums of all gates, (batch, units)."""
        return total


class NormalizedLSTMCell(LSTMCell):
    """An LSTM with layer norm within (Ba et al. 2016, arXiv 1607.06450): every gate is normalised over its units.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of gain n(W x + b + U h) + shift        n(s) = (s - mean s) / std s

    With it a DNC has the controller of Franke et al. 2018 (arXiv 1807.02658). Ba et al. normalise W x, U h and c' each
    on its own; here it is their sum in every gate, and not the cell.

    input_size, learned_initial_state: see LSTMCell. hidden_size: units, at least two: one alone would become zero.
    forget_bias: that of the forget gate's shift.
    Raises ValueError for any other size.
    """

    has_native = False

    def __init__(
        self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0, learned_initial_state: bool = False
    ) -> None:
        check_sizes(2, hidden_size=hidden_size)
        super().__init__(
            input_size,
            hidden_size,
            forget_bias=forget_bias,
            recurrent_bias=False,
            learned_initial_state=learned_initial_state,
        )
        self.gain = nn.Parameter(torch.empty(len(self.gates), hidden_size))
        self.shift = nn.Parameter(torch.empty(len(self.gates), hidden_size))
        self._reset_norm()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if "gain" in self._parameters:
            self._reset_norm()

    def _reset_norm(self) -> None:
        nn.init.ones_(self.gain)
        nn.init.zeros_(self.shift)
        nn.init.constant_(self.shift[self.gates.index("forget")], self.forget_bias)

    def gate_sums(self, total: Tensor) -> Tensor:
        normed = functional.layer_norm(total.unflatten(-1, self.gain.shape), (self.hidden_size,))
        return (normed * self.gain + self.shift).flatten(-2)


class GRUCell(NativeCell, WatchedCell, _LayerCell):
    """Gated recurrent unit, equal to torch.nn.GRUCell on the same weights.

    r, z = sigmoid of their W x + b + U h + c        n = tanh(W x + b + r (U h + c))
    h' = (1 - z) n + z h

    input_size, hidden_size, recurrent_bias, learned_initial_state: see LSTMCell.
    """

    gates = ("reset", "update", "candidate")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent_bias: bool = True,
        learned_initial_state: bool = False,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            recurrent_bias=recurrent_bias,
            initial_states=("hidden",),
            learned_initial_state=learned_initial_state,
        )

    def initial_state(self, batch_size: int) -> RNNState:
        return RNNState(*self.initial_tensors(batch_size))

    def watched_step(self, projected: tuple[Any, ...], state: RNNState) -> tuple[Tensor, RNNState, GRUGates]:
        dtype, size = state.hidden.dtype, self.hidden_size
        from_input = projected[0].to(dtype)
        from_hidden = self.recurrent(state.hidden).to(dtype)
        gates = torch.sigmoid(from_input[..., : 2 * size] + from_hidden[..., : 2 * size])
        reset, update = gates.chunk(2, -1)
        candidate = torch.tanh(from_input[..., 2 * size :] + reset * from_hidden[..., 2 * size :])
        hidden = torch.lerp(candidate, state.hidden, update)
        return hidden, RNNState(hidden), GRUGates(reset, update)


class StackedCell(NativeCell, WatchedCell):
    """Layers of cells, each feeding the next.

    layers: the cells from input to output.
    skip:   every layer also sees the input (its first columns) and every layer reaches the output, as in
            Graves 2013 and the LSTM baselines of Graves et al. 2014; else a plain stack.
    """

    def __init__(self, layers: Sequence[Cell], *, skip: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.skip, self.has_native = skip, all(isinstance(layer, NativeCell) and layer.has_native for layer in layers)
        self.input_size = layers[0].input_size
        self.output_size = sum(layer.output_size for layer in layers) if skip else layers[-1].output_size

    def initial_state(self, batch_size: int) -> tuple[State, ...]:
        return tuple(layer.initial_state(batch_size) for layer in self._cells())

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        first, *above = self._cells()
        if not self.skip:
            return first.project(input)
        if not self.input_weights():
            return (input,)
        return tuple(part for layer in (first, *above) for part in layer.project(input))

    def input_weights(self) -> tuple[Tensor, ...]:
        weights = [layer.input_weights() for layer in (self._cells() if self.skip else self._cells()[:1])]
        return tuple(one[:, : self.input_size] for of_layer in weights for one in of_layer) if all(weights) else ()

    def shared(self) -> tuple[Any, ...]:
        """Of every layer, its weights of the layer below where they are apart from those of the input, and its own."""
        apart = self.skip and bool(self.input_weights())
        return tuple(
            (tuple(one[:, self.input_size :] for one in layer.input_weights()) if apart else (), layer.shared())
            for layer in self._cells()
        )

    def watched_step(
        self, projected: tuple[Any, ...], state: tuple[State, ...]
    ) -> tuple[Tensor, tuple[State, ...], tuple[Any, ...]]:
        """`step`, with what every layer's own gives beside its results."""
        projected, shared = parted(self, projected)
        outputs: list[Tensor] = []
        states: list[State] = []
        watched: list[Any] = []
        for layer, layer_state, (weights, own) in zip(self._cells(), state, shared, strict=True):
            below = outputs[-1:]
            if weights:
                seen, projected = projected[: len(weights)], projected[len(weights) :]
                seen = added(seen, below[0], weights) if below else seen
            elif self.skip:
                seen = layer.project(torch.cat([*projected, *below], -1))
            else:
                seen = layer.project(*below) if below else projected
            output, layer_state, steered = layer.watched_step(together(seen, own), layer_state)
            outputs.append(output)
            states.append(layer_state)
            watched.append(steered)
        return (torch.cat(outputs, -1) if self.skip else outputs[-1]), tuple(states), tuple(watched)

    def forward(self, input: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        outputs: list[Tensor] = []
        states: list[State] = []
        for layer, layer_state in zip(self._cells(), state, strict=True):
            seen = [input, *outputs[-1:]] if self.skip else [input, *outputs][-1:]
            output, layer_state = layer(torch.cat(seen, -1), layer_state)
            outputs.append(output)
            states.append(layer_state)
        return (torch.cat(outputs, -1) if self.skip else outputs[-1]), tuple(states)

    def parts(self, states: tuple[State, ...], watched: tuple[Any, ...]) -> list[Part]:
        """Those of all layers; the names of layer 1 end in ", layer 1"."""
        layers = zip(self._cells(), states, watched or [()] * len(states), strict=True)
        return [
            part._replace(name=f"{part.name}, layer {number}")
            for number, (layer, *of_layer) in enumerate(layers, start=1)
            for part in layer.parts(*of_layer)
        ]

    def _cells(self) -> list[Cell]:
        return list(self.layers)  # type: ignore[arg-type]


_CONTROLLERS: dict[str, Callable[..., Cell]] = {
    "feedforward": FeedForwardCell,
    "rnn-tanh": partial(RNNCell, nonlinearity="tanh"),
    "rnn-relu": partial(RNNCell, nonlinearity="relu"),
    "lstm": LSTMCell,
    "normalized-lstm": NormalizedLSTMCell,
    "gru": GRUCell,
}


def make_controller(
    controller: ControllerName | Cell | Callable[..., Cell],
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    skip: bool = False,
    forget_bias: float = 1.0,
    recurrent_init: RecurrentInit = "default",
    recurrent_bias: bool = True,
    learned_initial_state: bool = False,
) -> Cell:
    """A controller: one cell, or a StackedCell of num_layers of them.

    controller: "feedforward", "rnn-tanh", "rnn-relu", "lstm", "normalized-lstm" or "gru"; a class of cells, or whatever
                else makes one of input size and hidden size, or of the input size alone; or a cell itself, which is
                then the only layer, with its own output size.
    The other options are those of the cells; an option that a cell's maker does not have is not used by it.
    Raises ValueError for an unknown name, num_layers < 1, and a cell that reads another number of features; TypeError
    for what is no cell and makes none.
    """
    if num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, not {num_layers}")
    if isinstance(controller, Cell):
        if num_layers > 1:
            raise ValueError(f"a cell is one layer, not {num_layers}; give its class, or what else makes one")
        return _checked_cell(controller, input_size)
    if isinstance(controller, str) and controller not in _CONTROLLERS:
        *names, last = _CONTROLLERS
        raise ValueError(f'controller must be {", ".join(names)} or {last}, not "{controller}"')
    make = _CONTROLLERS[controller] if isinstance(controller, str) else controller
    if not callable(make) or isinstance(make, nn.Module):
        raise TypeError(f"controller must be a name, a memnet.Cell or what makes one, not {make!r}")
    options: dict[str, Any] = {
        "forget_bias": forget_bias,
        "recurrent_init": recurrent_init,
        "recurrent_bias": recurrent_bias,
        "learned_initial_state": learned_initial_state,
    }
    parameters = inspect.signature(make).parameters
    # What a partial has chosen stays so.
    asked = parameters.keys() - getattr(make, "keywords", {}).keys()
    # A maker of one parameter has units of its own.
    takes = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    several = sum(2 if one.kind is one.VAR_POSITIONAL else one.kind in takes for one in parameters.values()) > 1
    units = [hidden_size] if several else []
    options = {name: value for name, value in options.items() if name in asked}
    layers: list[Cell] = []
    for _ in range(num_layers):
        below = layers[-1].output_size + input_size * skip if layers else input_size
        layers.append(_checked_cell(make(below, *units, **options), below))
    return layers[0] if num_layers == 1 else StackedCell(layers, skip=skip)


def _checked_cell(cell: object, input_size: int) -> Cell:
    if not isinstance(cell, Cell):
        raise TypeError(f"a controller must be a memnet.Cell, not {type(cell).__module__}.{type(cell).__name__}")
    if cell.input_size != input_size:
        raise ValueError(f"a controller that reads {input_size} features is needed, not one of {cell.input_size}")
    return cell
