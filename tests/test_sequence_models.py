"""What every sequence module keeps, one list of models through one suite of properties."""

from __future__ import annotations

import copy
import inspect
import itertools
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call, grad, stack_module_state

import memnet
from memnet.abilities import HoldsState
from memnet.models.entnet import EntNetCell
from memnet.sequence import RecurrentModule, SequenceModule
from memnet.state import State, detach_state, map_state, state_tensors
from tests.own_cell import LeakyCell

INPUT, OUTPUT, BATCH, TIME = 3, 2, 4, 6


def small_ntm(**options: Any) -> memnet.NTM:
    """An NTM that runs as it is defined."""
    model = memnet.NTM(INPUT, OUTPUT, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options))
    model.backend = "eager"
    return model


def automatic(model: memnet.NTM) -> memnet.NTM:
    """The model on the native backend, as far as that goes and there is a compiler."""
    model.backend = "auto"
    return model


MODELS: dict[str, Callable[..., SequenceModule]] = {
    "rnn-tanh": lambda: memnet.RNN(INPUT, OUTPUT, hidden_size=5),
    "rnn-relu-skip": lambda: memnet.RNN(INPUT, OUTPUT, hidden_size=5, nonlinearity="relu", num_layers=2, skip=True),
    "lstm": lambda: memnet.LSTM(INPUT, OUTPUT, hidden_size=5),
    "lstm-stacked": lambda: memnet.LSTM(INPUT, OUTPUT, hidden_size=5, num_layers=2),
    "lstm-of-the-paper": lambda: memnet.LSTM(
        INPUT, OUTPUT, hidden_size=5, num_layers=3, skip=True, recurrent_bias=False, learned_initial_state=True
    ),
    "gru": lambda: memnet.GRU(INPUT, OUTPUT, hidden_size=5),
    "gru-stacked": lambda: memnet.GRU(INPUT, OUTPUT, hidden_size=5, num_layers=2, learned_initial_state=True),
    "ntm-feedforward": lambda: small_ntm(controller="feedforward"),
    "ntm-rnn-tanh": lambda: small_ntm(controller="rnn-tanh", shift_range=2),
    "ntm-lstm": lambda: small_ntm(controller="lstm"),
    "ntm-lstm-stacked": lambda: small_ntm(controller="lstm", num_layers=2),
    "ntm-gru": lambda: small_ntm(controller="gru"),
    "ntm-many-heads": lambda: small_ntm(controller="feedforward", num_reads=2, num_writes=3),
    "ntm-shift-range-0": lambda: small_ntm(shift_range=0),
    "ntm-shift-range-3": lambda: small_ntm(shift_range=3, num_slots=7, controller="rnn-relu"),
    "ntm-one-slot": lambda: small_ntm(shift_range=0, num_slots=1),
    "ntm-content": lambda: small_ntm(addressing="content", memory_init="random"),
    "ntm-location": lambda: small_ntm(addressing="location", controller="feedforward", num_layers=2),
    "ntm-before-write": lambda: small_ntm(read_order="before-write", num_reads=2),
    "ntm-trained-random-memory": lambda: small_ntm(memory_init="random", trainable_memory=True),
    "ntm-trained-constant-memory": lambda: small_ntm(memory_init="constant", trainable_memory=True, num_reads=2),
    "ntm-as-one-operator": lambda: automatic(small_ntm(num_layers=2, num_reads=2, weights_init="learned")),
    "ntm-own-controller": lambda: small_ntm(
        controller=LeakyCell, num_layers=2, num_reads=2, learned_initial_state=True, memory_init="learned"
    ),
    "ntm-learned-start": lambda: small_ntm(
        learned_initial_state=True, weights_init="learned", memory_init="learned", num_reads=2
    ),
}

# The options that change what a DNC does.
DNCS: dict[str, dict[str, Any]] = {
    "dnc": {},
    "dnc-feedforward": {"controller": "feedforward", "num_reads": 2},
    "dnc-msd": {"masked": True, "mask_floor": 0.1, "deallocate": True, "sharp_links": True},
    "dnc-many-heads": {"num_reads": 2, "num_writes": 3, "sharp_links": True},
    "dnc-content": {"linked": False, "learned_initial_state": True, "normalized": True},
    "dnc-normalized-lstm": {"linked": False, "normalized": True, "controller": "normalized-lstm"},
    "dnc-one-slot": {"num_slots": 1},
}
LRUAS: dict[str, dict[str, Any]] = {
    "lrua": {"num_reads": 2},
    "lrua-strength": {"num_reads": 1, "learned_strength": True, "controller": "feedforward"},
}
SAMS: dict[str, dict[str, Any]] = {
    "sam": {"num_reads": 2, "slots_per_read": 2},
    "sam-dense": {"num_reads": 1, "slots_per_read": 6, "controller": "gru", "num_layers": 2},
    "sam-feedforward": {"num_reads": 2, "slots_per_read": 5, "controller": "feedforward"},
}
SDNCS: dict[str, dict[str, Any]] = {
    "sdnc-dense": {"num_reads": 1, "slots_per_read": 6, "links_per_slot": 6, "controller": "feedforward"},
    "sdnc": {"num_reads": 2, "slots_per_read": 2, "links_per_slot": 3},
}
# Of one layer each but the last.
DELTAS: dict[str, dict[str, Any]] = {
    "linear-attention": {"rule": "sum", "features": "elu"},
    "deltanet": {"strength": "twice", "convolution": 2},
    "gated-deltanet": {"decay": "head"},
    "log-linear": {"decay": "head", "num_levels": 4},
    "kda": {"decay": "channel", "convolution": 2},
    "delta-product": {"decay": "head", "num_factors": 2, "strength": "closed", "num_layers": 2},
}
SMALL_LAYERS = {"hidden_size": 4, "num_layers": 1, "num_heads": 2}
SIZED = {"key_size": 3, "value_size": 4}
MODELS |= {
    name: partial(
        kind, INPUT, OUTPUT, **({"hidden_size": 5, "num_layers": 1, "expansion": 1, "num_heads": 2} | options)
    )
    for kind, several in (
        (memnet.DeltaNet, {name: SIZED | options for name, options in DELTAS.items()}),
        (memnet.MLSTM, {"mlstm": SIZED}),
        (
            memnet.Mamba,
            {
                name: {"head_size": 3, "state_size": 4, "rotation": name != "mamba"}
                for name in ("mamba-turned", "mamba")
            },
        ),
        (
            memnet.TTT,
            {name: {"head_size": 3, "mini_batch": 4, "memory": name[4:]} for name in ("ttt-linear", "ttt-mlp")},
        ),
        (memnet.Titans, {"titans": {"head_size": 3, "mini_batch": 4}}),
        (memnet.Mesa, {"mesa-exact": SIZED | {"solver": "exact"}, "mesa": SIZED | {"num_steps": 4}}),
        (memnet.RWKV7, {"rwkv-7": {"head_size": 3, "rank": 2}}),
    )
    for name, options in several.items()
}
MODELS |= {
    "fast-weights": lambda: memnet.FastWeights(INPUT, OUTPUT, hidden_size=5, inner_steps=2),
    "relational-memory": lambda: memnet.RelationalMemory(INPUT, OUTPUT, num_slots=3, num_heads=2, head_size=2),
    "slstm": lambda: memnet.SLSTM(INPUT, OUTPUT, hidden_size=6, num_layers=1, num_heads=2),
    **{
        name: partial(
            *(memnet.RecurrentMemoryTransformer, INPUT, OUTPUT),
            **SMALL_LAYERS,
            segment_length=4,
            num_memory=2,
            key_size=key_size,
        )
        for name, key_size in (("rmt", 0), ("armt", 3))
    },
    "transformer": partial(memnet.Transformer, INPUT, OUTPUT, hidden_size=8, num_heads=2, num_slots=4),
}
STACKS: dict[str, dict[str, Any]] = {
    "stack-rnn": {"num_stacks": 2, "num_tops": 2, "pushed_values": "linear", "controller": "lstm"},
}
NEURAL_STACKS: dict[str, dict[str, Any]] = {
    "neural-queue": {"structure": "queue", "num_structures": 2, "controller": "feedforward"},
    "neural-deque": {"structure": "deque", "controller": "gru"},
}
TAPES: dict[str, dict[str, Any]] = {
    "tape-rnn": {"jump": True, "write_units": 4, "controller": "lstm"},
    "baby-ntm": {"rule": "rotate-and-add", "write_units": 0, "num_tapes": 2},
}
MODELS |= {
    name: partial(kind, INPUT, OUTPUT, **({"hidden_size": 5, "num_slots": 6, "slot_size": 4} | options))
    for kind, several in (
        (memnet.DNC, DNCS),
        (memnet.LRUA, LRUAS),
        (memnet.SAM, SAMS),
        (memnet.SDNC, SDNCS),
        (memnet.StackRNN, STACKS),
        (memnet.NeuralStack, NEURAL_STACKS),
        (memnet.Tape, TAPES),
    )
    for name, options in several.items()
}

every_model = pytest.mark.parametrize("name", MODELS)
# Of every class the last, and one that is native: for what is not the cells' own doing.
OF_A_CLASS = {type(make()): name for name, make in MODELS.items()}
one_of_a_class = pytest.mark.parametrize("name", [*OF_A_CLASS.values(), "ntm-as-one-operator"])
some_models = pytest.mark.parametrize("name", ["rnn-tanh", "gru-stacked", "ntm-lstm-stacked"])
every_ntm = pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("ntm")])


def fresh(name: str, seed: int = 0, **options: Any) -> Any:
    """The model as it is built, in float64; options where it is a partial, which they change."""
    torch.manual_seed(seed)
    return MODELS[name](**options).double()


def drawn_anew(name: str, seed: int = 0, **options: Any) -> Any:
    """The model in float64 with every parameter from N(0, 0.5^2), so that no zero or identity hides a mistake."""
    model = fresh(name, seed, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def input_of(batch: int = BATCH, time: int = TIME, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, time, INPUT)))


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def assert_states_close(actual: State, expected: State, tolerance: float = 1e-12) -> None:
    for one, other in zip(state_tensors(actual), state_tensors(expected), strict=True):
        assert_close(one, other, tolerance)


def assert_states_equal(actual: State, expected: State) -> None:
    for one, other in zip(state_tensors(actual), state_tensors(expected), strict=True):
        assert torch.equal(one, other)


def rows_of(state: State, rows: slice | list[int]) -> State:
    return map_state(lambda tensor: tensor[rows], state)


def weightings(state: State) -> Tensor:
    return torch.cat([state.read_weights, state.write_weights], 1)


@every_model
def test_shapes(name: str) -> None:
    model = fresh(name)
    for batch, time in ((1, 1), (1, 4), (3, 1), (3, 4)):
        output, state = model(input_of(batch, time))
        assert output.shape == (batch, time, OUTPUT)
        start = model.initial_state(batch)
        assert type(state) is type(start)
        assert [tensor.shape for tensor in state_tensors(state)] == [tensor.shape for tensor in state_tensors(start)]
        assert all(len(tensor) == batch for tensor in state_tensors(start))


@every_model
def test_a_first_state_may_be_changed_in_place(name: str) -> None:
    """Of what is not learned no number stands for two, in the state or in the model, but where slots are all alike."""
    model = fresh(name)
    start = model.initial_state(BATCH)
    alike = {id(getattr(start, part, None)) for part in ("memory", "read_weights", "age")}
    state = [one for one in state_tensors(start) if one.numel() and not one.requires_grad]
    state = [one for one in state if id(one) not in alike or 0 not in one.stride()]
    own = {one.data_ptr() for one in (*model.parameters(), *model.buffers())}
    for place, one in enumerate(state):
        assert not own & {one.data_ptr()}
        before = [other.clone() for other in state]
        one[0] += 1
        changed = [not torch.equal(other, old) for other, old in zip(state, before, strict=True)]
        assert changed == [other == place for other in range(len(state))]
        assert torch.equal(one[1:], before[place][1:])


@every_ntm
def test_weightings_are_distributions_over_slots(name: str) -> None:
    model = drawn_anew(name)
    state = model.initial_state(BATCH)
    for chunk in input_of(time=8).split(2, 1):
        assert (weightings(state) >= 0).all()
        assert_close(weightings(state).sum(-1), torch.ones(BATCH, weightings(state).size(1), dtype=torch.float64))
        _, state = model(chunk, state)


@every_model
def test_chunks_that_pass_the_state_on_equal_the_whole(name: str) -> None:
    model, input = drawn_anew(name), input_of()
    whole, last = model(input)
    outputs, state = [], None
    for chunk in input.split([1, 3, 2], 1):
        output, state = model(chunk, state)
        outputs.append(output)
    assert_close(torch.cat(outputs, 1), whole)
    assert_states_close(state, last)


@every_model
def test_a_call_is_steps_of_the_cell_and_the_readout(name: str) -> None:
    model, input = drawn_anew(name), input_of()
    whole, last = model(input)
    state = model.initial_state(BATCH)
    for time in range(TIME):
        output, state = model.cell(input[:, time], state)
        assert_close(model.readout(output), whole[:, time])
    assert_states_close(state, last)


@every_model
def test_rows_do_not_see_their_neighbours(name: str) -> None:
    model, input, lengths = drawn_anew(name), input_of(batch=4), torch.tensor([6, 0, 3, 5])
    together, last = model(input, lengths=lengths)
    for row in range(4):
        alone, state = model(input[row : row + 1], lengths=lengths[row : row + 1])
        assert_close(alone[0], together[row])
        assert_states_close(state, rows_of(last, [row]))


@every_model
def test_rows_end_at_their_length(name: str) -> None:
    """Zero outputs after the end, and the state of the last real step: what the shorter sequence gives alone."""
    model, input, lengths = drawn_anew(name), input_of(batch=5), [0, 1, 4, 6, 3]
    output, last = model(input, lengths=torch.tensor(lengths))
    assert_states_equal(rows_of(last, [0]), model.initial_state(1))
    for row, length in enumerate(lengths):
        assert (output[row, length:] == 0).all()
        if length > 0:
            alone, state = model(input[row : row + 1, :length])
            assert_close(output[row, :length], alone[0])
            assert_states_close(rows_of(last, [row]), state)


@one_of_a_class
def test_full_lengths_change_nothing(name: str) -> None:
    model, input = drawn_anew(name), input_of()
    plain, state = model(input)
    output, last = model(input, lengths=torch.full((BATCH,), TIME))
    assert torch.equal(output, plain)
    assert_states_equal(last, state)


@one_of_a_class
def test_lengths_zero_leave_the_state_alone(name: str) -> None:
    model = drawn_anew(name)
    _, state = model(input_of())
    output, last = model(input_of(seed=1), state, lengths=torch.zeros(BATCH, dtype=torch.int64))
    assert (output == 0).all()
    assert_states_equal(last, state)


@every_model
def test_padding_content_does_not_matter(name: str) -> None:
    model, input, lengths = drawn_anew(name), input_of(), torch.tensor([6, 2, 0, 5])
    padding = torch.arange(TIME) >= lengths.unsqueeze(1)
    results = []
    for filler in (0.0, 1e3):
        padded = input.masked_fill(padding.unsqueeze(-1), filler).requires_grad_()
        output, state = model(padded, lengths=lengths)
        gradients = torch.autograd.grad(output.square().sum(), [padded, *model.parameters()])
        assert (gradients[0][padding] == 0).all()
        results.append([output, *state_tensors(state), *gradients])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@every_model
def test_output_does_not_depend_on_later_input(name: str) -> None:
    model, input = drawn_anew(name), input_of()
    output, _ = model(input)
    for time in range(1, TIME):
        changed, _ = model(torch.cat([input[:, :time], 10 * input_of(seed=1)[:, time:]], 1))
        assert torch.equal(changed[:, :time], output[:, :time])
        assert not torch.isclose(changed[:, time], output[:, time]).any()


def test_the_state_of_a_sequence_is_counted() -> None:
    assert memnet.LSTM(3, 2, hidden_size=5, num_layers=2).state_floats == 2 * 2 * 5
    attention = memnet.Transformer(3, 2, hidden_size=8, num_layers=2, num_heads=2, num_slots=7)
    assert attention.state_floats == 2 * (7 * 2 * 8 + 1)
    attention.num_slots = 9
    assert attention.state_floats == 2 * (9 * 2 * 8 + 1)
    delta = memnet.DeltaNet(3, 2, num_layers=3, num_heads=2, key_size=4, value_size=5, convolution=4)
    assert delta.state_floats == 3 * (2 * 4 * 5 + 3 * 2 * (4 + 4 + 5))
    ntm = small_ntm(controller="lstm", num_layers=1, num_reads=1, num_writes=1)
    # The controller's two states, what was read, the memory, and where both heads were.
    assert ntm.state_floats == 2 * 5 + 4 + 6 * 4 + 2 * 6
    assert memnet.EntNet(9, max_words=3, embedding_size=4, num_slots=6).state_floats == 6 * 4
    assert isinstance(ntm, HoldsState)
    assert not isinstance(memnet.MemN2N(9, max_words=3, max_sentences=4), HoldsState)


@pytest.mark.parametrize("name", ["rnn-relu-skip", "lstm-of-the-paper", "ntm-feedforward", "ntm-lstm", "ntm-gru"])
def test_columns_of_weights_are_cut_once_a_call(name: str) -> None:
    """Not at every step, since the backward pass of each cut fills a whole matrix."""
    model = fresh(name)
    wide = {id(one) for key, one in model.named_parameters() if key.endswith("weight_ih")}

    def uses(time: int) -> int:
        """How often weights of the input come up in the graph of a call."""
        waiting, seen, count = [model(input_of(time=time))[0].grad_fn], set(), 0
        while waiting:
            for node, _ in waiting.pop().next_functions:
                count += id(getattr(node, "variable", None)) in wide
                if node is not None and node not in seen:
                    seen.add(node)
                    waiting.append(node)
        return count

    assert uses(2) == uses(5)


@one_of_a_class
def test_detached_state_cuts_gradients(name: str) -> None:
    model = drawn_anew(name)
    first = input_of().requires_grad_()
    _, state = model(first)
    detached = detach_state(state)
    assert type(detached) is type(state)
    assert_states_equal(detached, state)
    assert not any(tensor.requires_grad for tensor in state_tensors(detached))
    for carried, reaches in ((state, True), (detached, False)):
        output, _ = model(input_of(seed=1), carried)
        (gradient,) = torch.autograd.grad(output.sum(), first, allow_unused=True, retain_graph=True)
        assert (gradient is not None) == reaches


@every_model
def test_gradients_reach_every_earlier_step(name: str) -> None:
    model, input = fresh(name), input_of().requires_grad_()
    output, _ = model(input)
    (gradient,) = torch.autograd.grad(output[:, -1].sum(), input)
    assert gradient.isfinite().all()
    assert (gradient.abs().amax((0, 2)) > 0).all()


@every_model
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = fresh(name)
    model(input_of())[0].square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        # What values of zero are bound to does not matter yet.
        idle = ".associations." in key and "value" not in key
        assert (parameter.grad.abs().max() > 0) != idle, key


@every_model
def test_gradients_equal_finite_differences(name: str) -> None:
    model = drawn_anew(name)
    names = [key for key, _ in model.named_parameters()]
    lengths = torch.tensor([3, 2])
    # A count of steps has no gradient.
    moved = [one.requires_grad for one in state_tensors(model(input_of(batch=2, time=3))[1])]

    def run(input: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        output, state = functional_call(
            model, dict(zip(names, parameters, strict=True)), (input,), {"lengths": lengths}
        )
        return output, *itertools.compress(state_tensors(state), moved)

    inputs = [input_of(batch=2, time=3).requires_grad_(), *model.parameters()]
    assert gradcheck(run, inputs, fast_mode=True, atol=1e-6, rtol=1e-4)


@every_model
def test_state_keeps_its_dtype(name: str) -> None:
    model = fresh(name)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        model.to(dtype)
        start = model.initial_state(BATCH)
        output, state = model(input_of().to(dtype), start, lengths=torch.tensor([6, 5, 0, 1]))
        assert output.dtype == dtype
        kept = [tensor.dtype for tensor in state_tensors(start)]
        assert [tensor.dtype for tensor in state_tensors(state)] == kept
        # A memory is kept in float32 at least.
        assert {*kept} <= {dtype, torch.promote_types(dtype, torch.float32)}
        assert all(tensor.isfinite().all() for tensor in state_tensors(state))


@every_model
def test_autocast_leaves_the_state_in_float32(name: str) -> None:
    model, input, lengths = drawn_anew(name).float(), input_of().float(), torch.tensor([6, 5, 0, 1])
    expected, _ = model(input, lengths=lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = model(input, lengths=lengths)
        assert output.dtype == torch.bfloat16
        for half_input, ends in ((input, lengths), (input.bfloat16(), None), (input, None)):
            _, after = model(half_input, state, lengths=ends)
            assert all(tensor.dtype == torch.float32 for tensor in state_tensors(state) + state_tensors(after))
    assert_close(output.float(), expected, 0.1)
    if name.startswith("ntm"):
        assert_close(weightings(after).sum(-1), torch.ones(weightings(after).shape[:2]), 1e-5)
    output.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@one_of_a_class
def test_resetting_puts_the_chosen_rows_back_alone(name: str) -> None:
    model = drawn_anew(name)
    _, state = model(input_of())
    reset = model.reset_state(state, torch.tensor([True, False, False, True]))
    assert type(reset) is type(state)
    assert_states_equal(rows_of(reset, [0, 3]), model.initial_state(2))
    assert_states_equal(rows_of(reset, [1, 2]), rows_of(state, [1, 2]))


@some_models
@pytest.mark.parametrize(
    "rows",
    [
        torch.tensor([1, 0, 0, 1]),
        torch.tensor([1.0, 0, 0, 1]),
        torch.ones(BATCH, 1, dtype=torch.bool),
        torch.tensor(True),
        torch.ones(BATCH - 1, dtype=torch.bool),
        torch.ones(1, dtype=torch.bool),
    ],
    ids=["integers", "floats", "two axes", "no axis", "too short", "one row"],
)
def test_resetting_refuses_wrong_rows(name: str, rows: Tensor) -> None:
    model = fresh(name)
    with pytest.raises(ValueError, match="rows"):
        model.reset_state(model.initial_state(BATCH), rows)


@one_of_a_class
def test_two_calls_give_the_same_bits(name: str) -> None:
    model, input = drawn_anew(name).eval(), input_of()
    first, second = model(input), model(input)
    assert torch.equal(first[0], second[0])
    assert_states_equal(first[1], second[1])


@every_model
def test_a_trace_is_the_call_and_tells_all_steps_in_parts(name: str) -> None:
    """Bit for bit, with a state and lengths, in one row of one step, too; and by what no class of models adds to it."""
    for batch, time, lengths in ((BATCH, TIME, torch.tensor([TIME, 0, 2, 5])), (1, 1, None)):
        model, input = drawn_anew(name), input_of(batch, time)
        model.backend = "eager"
        with torch.no_grad():
            state = model(input_of(batch, 2, seed=1))[1]
            output, last = model(input, state, lengths=lengths)
            traces = [
                watch(model, input, state, lengths=lengths) for watch in (type(model).trace, SequenceModule.trace)
            ]
        for one in traces:
            assert torch.equal(one.output, output)
            assert_states_equal(one.state, last)
        assert len({part.name for part in traces[0].parts}) == len(traces[0].parts) >= ("feedforward" not in name)
        for part, other in zip(*(one.parts for one in traces), strict=True):
            assert part[:2] == other[:2]
            assert torch.equal(part.values, other.values)
            assert part.values.dtype == torch.float64
            assert part.values.shape[:2] == (batch, time)
            assert part.values.dim() == 1 + len(part.axes)
            assert part.axes[0] == "time"
            if part.kind in ("read", "write"):
                assert part.values.min() >= 0
                assert part.values.sum(-1).max() <= 1 + 1e-12
            if part.kind == "gate":
                assert 0 <= part.values.min() <= part.values.max() <= 1


@every_model
def test_the_given_state_and_input_stay_as_they_are(name: str) -> None:
    model, input = drawn_anew(name), input_of()
    _, state = model(input_of(seed=1))
    state_before, input_before = map_state(torch.clone, state), input.clone()
    model(input, state, lengths=torch.tensor([6, 2, 0, 5]))
    assert_states_equal(state, state_before)
    assert torch.equal(input, input_before)


@one_of_a_class
def test_interleaved_sequences_do_not_mix(name: str) -> None:
    model = drawn_anew(name)
    inputs = input_of(seed=1), input_of(seed=2)
    expected = [model(input) for input in inputs]
    states: list[State] = [None, None]
    for time in range(TIME):
        for which in range(2):
            output, states[which] = model(inputs[which][:, time : time + 1], states[which])
            assert_close(output, expected[which][0][:, time : time + 1])
    for which in range(2):
        assert_states_close(states[which], expected[which][1])


@one_of_a_class
def test_a_state_dict_holds_the_whole_model(name: str) -> None:
    model, other, input = drawn_anew(name, seed=0), drawn_anew(name, seed=1), input_of()
    expected, state = model(input)
    assert not torch.equal(other(input)[0], expected)
    other.load_state_dict(model.state_dict())
    output, last = other(input)
    assert torch.equal(output, expected)
    assert_states_equal(last, state)


@every_model
def test_nothing_stays_behind_when_a_model_moves(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    for module in model.modules():
        assert not any(isinstance(value, Tensor) for value in vars(module).values())
    for destination in (torch.float64, torch.device("meta")):
        model.to(destination)
        tensors = [*model.parameters(), *model.buffers(), *state_tensors(model.initial_state(2))]
        for tensor in tensors:
            assert destination in (tensor.dtype, tensor.device)


@one_of_a_class
def test_a_duplicate_computes_the_same_and_shares_nothing(name: str) -> None:
    model, input = drawn_anew(name), input_of()
    expected, state = model(input)
    for duplicate in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        twin = duplicate(model)
        output, last = twin(input, duplicate(detach_state(model.initial_state(BATCH))))
        assert torch.equal(output, expected)
        assert_states_equal(last, state)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
    assert torch.equal(model(input)[0], expected)


@one_of_a_class
def test_checkpointing_changes_no_gradient(name: str) -> None:
    """From a given state, learned ones too, over segments that do not divide the time, past the ends of rows."""
    model, input, lengths = drawn_anew(name), input_of().requires_grad_(), torch.tensor([6, 0, 3, 5])
    results = []
    for model.checkpoint_steps in (None, 1, 4):
        chunk, state = model(input[:, :5])
        output, last = model(input, state, lengths=lengths)
        loss = chunk.sum() + output.square().sum() + sum(tensor.sum() for tensor in state_tensors(last))
        gradients = torch.autograd.grad(loss, [input, *model.parameters()])
        results.append([chunk, output, *state_tensors(last), *gradients])
    for expected, *others in zip(*results, strict=True):
        for other in others:
            assert_close(other, expected)


@every_model
def test_vmap_over_stacked_parameters_agrees_with_a_loop(name: str) -> None:
    """Outputs, states and gradients: several seeds can train at once."""
    models, input = [drawn_anew(name, seed) for seed in range(3)], input_of()
    parameters, buffers = stack_module_state(models)

    def call(parameters: Any, buffers: Any) -> Any:
        return functional_call(models[0], (parameters, buffers), (input,))

    def loss(parameters: Any, buffers: Any) -> Tensor:
        return call(parameters, buffers)[0].square().sum()

    outputs, states = torch.vmap(call)(parameters, buffers)
    gradients = torch.vmap(grad(loss))(parameters, buffers)
    for index, model in enumerate(models):
        output, state = model(input)
        assert_close(outputs[index], output)
        assert_states_close(map_state(lambda tensor, index=index: tensor[index], states), state)
        output.square().sum().backward()
        for key, parameter in model.named_parameters():
            assert_close(gradients[key][index], parameter.grad, 1e-10)


# Warnings of torch's compiler about torch's own code.
compiling = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
    "ignore:.torch.jit.* is deprecated:DeprecationWarning",
)


def assert_compiling_changes_nothing(name: str) -> None:
    """Outputs, states and gradients: whole sequences, checkpointed or not, chunks and lengths."""
    model, input, lengths = drawn_anew(name), input_of(), torch.tensor([5, 2, 0, 6])
    results = []
    for backend in ("eager", "compile"):
        model.backend = backend
        output, state = model(input)
        chunk, last = model(input[:, :2], state, lengths=torch.tensor([2, 1, 0, 2]))
        model.checkpoint_steps = 4
        padded, end = model(input, lengths=lengths)
        model.checkpoint_steps = None
        loss = output.square().sum() + chunk.sum() + padded.square().sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        results.append([output, chunk, padded, *gradients, *state_tensors(last), *state_tensors(end)])
    for one, other in zip(*results, strict=True):
        assert_close(one, other, 1e-10)


@compiling
@pytest.mark.parametrize("name", ["lstm-stacked", "ntm-many-heads"])
def test_a_compiled_model_agrees_with_eager_without_graph_breaks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's tracer, without the code that it would generate."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    assert_compiling_changes_nothing(name)


@compiling
@pytest.mark.slow
@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("name", "trained"), [("gru", True), ("ntm-location", False)])
def test_a_model_in_compiled_code_agrees_with_eager(name: str, trained: bool) -> None:
    from torch._inductor import config as inductor

    torch.compiler.reset()
    model, input = drawn_anew(name), input_of()
    results = []
    for backend in ("eager", "compile"):
        model.backend = backend
        # Else torch compiles ten programs to see whether the compiler knows this processor's vectors.
        with inductor.patch({"cpp.vec_isa_ok": True}), torch.set_grad_enabled(trained):
            output, state = model(input, lengths=torch.tensor([5, 2, 0, 6]))
            gradients = torch.autograd.grad(output.square().sum(), list(model.parameters())) if trained else ()
        results.append([output, *gradients, *state_tensors(state)])
    for one, other in zip(*results, strict=True):
        assert_close(one, other, 1e-10)


# One of every kind of step and of initial state.
COMPILED: dict[str, Callable[[], RecurrentModule]] = {
    name: MODELS[name]
    for name in (
        "rnn-tanh",
        "lstm-of-the-paper",
        "gru",
        "ntm-many-heads",
        "ntm-location",
        "ntm-learned-start",
    )
} | {"entnet": lambda: RecurrentModule(EntNetCell(INPUT, 5))}


def counted_graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """The graphs that torch.compile makes from now on; they run as they are."""
    graphs = []

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    return graphs


@compiling
@pytest.mark.parametrize(("name", "batch"), [*((name, 1) for name in COMPILED), ("ntm-many-heads", 4), ("entnet", 4)])
def test_training_is_one_graph_and_inference_another(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the length, with lengths, and in chunks with a state that is carried on or detached."""
    graphs = counted_graphs(monkeypatch)
    model = COMPILED[name]().double()
    model.backend = "compile"

    def use() -> None:
        for time in (1, 2, 5):
            output, last = model.unroll(input_of(batch, time), model.cell.initial_state(batch))
            output, last = model.unroll(input_of(batch, time), last)
            if output.requires_grad:
                output.sum().backward()
            lengths = torch.arange(batch) % (time + 1)
            model.unroll(input_of(batch, time), detach_state(last), lengths=lengths)

    use()
    assert len(graphs) == 1
    with torch.inference_mode():
        use()
    assert len(graphs) == 2
    use()
    assert len(graphs) == 2


@compiling
def test_compiled_models_do_not_count_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch keeps eight variants of a function and then falls back to eager."""
    graphs = counted_graphs(monkeypatch)
    for hidden_size in range(1, 12):
        model = memnet.RNN(INPUT, OUTPUT, hidden_size=hidden_size)
        model.backend = "compile"
        with torch.inference_mode():
            model(input_of().float())
    assert len(graphs) == 11


@compiling
def test_a_duplicate_of_a_compiled_model_has_a_step_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    model, input = drawn_anew("gru"), input_of()
    model.backend = "compile"
    expected, _ = model(input)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_close(twin(input)[0], expected)
        nn.init.zeros_(twin.readout.bias)
        for parameter in twin.cell.parameters():
            nn.init.zeros_(parameter)
        assert (twin(input)[0] == 0).all()
    assert torch.equal(model(input)[0], expected)


@some_models
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (input_of()[0], r"3\).*\(6, 3\)"),
        (input_of().unsqueeze(0), r"3\).*\(1, 4, 6, 3\)"),
        (input_of()[..., :2], r"3\).*\(4, 6, 2\)"),
        (input_of()[:, :0], r"\(4, 0, 3\)"),
        (input_of()[:0], r"\(0, 6, 3\)"),
        (input_of().float(), "float32.*float64"),
        (input_of().long(), "int64.*float64"),
        (input_of().to("meta"), "meta.*cpu"),
    ],
    ids=["two axes", "four axes", "features", "no step", "no row", "dtype", "integers", "device"],
)
def test_a_wrong_input_is_refused(name: str, wrong: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fresh(name)(wrong)


@some_models
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.tensor([6.0, 6, 6, 6]), "float32"),
        (torch.tensor([True] * 4), "bool"),
        (torch.tensor([6, 6, 6]), r"\(4,\).*\(3,\)"),
        (torch.tensor([[6], [6], [6], [6]]), r"\(4,\).*\(4, 1\)"),
        (torch.tensor(6), r"\(4,\).*\(\)"),
        (torch.tensor([6, -1, 6, 6]), r"0\.\.6.*-1\.\.6"),
        (torch.tensor([6, 2, 7, 6]), r"0\.\.6.*2\.\.7"),
        (torch.tensor([6, 6, 6, 6], device="meta"), "meta.*cpu"),
    ],
    ids=["floats", "bools", "too few", "two axes", "no axis", "negative", "too long", "device"],
)
def test_wrong_lengths_are_refused(name: str, wrong: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fresh(name)(input_of(), lengths=wrong)


@some_models
def test_a_wrong_batch_size_is_refused(name: str) -> None:
    model = fresh(name)
    with pytest.raises(ValueError, match=r"\(3, .*\(4, "):
        model(input_of(), model.initial_state(3))
    with pytest.raises(ValueError, match="0"):
        model.initial_state(0)


@some_models
@pytest.mark.parametrize("destination", [torch.float32, "meta"], ids=str)
def test_a_state_of_another_dtype_or_device_is_refused(name: str, destination: Any) -> None:
    model = fresh(name)
    state = map_state(lambda tensor: tensor.to(destination), model.initial_state(BATCH))
    with pytest.raises(ValueError, match=f"{destination}.*"):
        model(input_of(), state)


def bare(state: State) -> Tensor:
    return state_tensors(state)[0]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("lstm", lambda: fresh("ntm-lstm").initial_state(BATCH)),
        ("ntm-lstm", lambda: fresh("lstm").initial_state(BATCH)),
        ("ntm-lstm", lambda: fresh("ntm-gru").initial_state(BATCH)),
        ("ntm-lstm", lambda: fresh("ntm-many-heads").initial_state(BATCH)),
        ("ntm-lstm", lambda: fresh("ntm-shift-range-3").initial_state(BATCH)),
        ("ntm-lstm", lambda: fresh("ntm-lstm").initial_state(BATCH)._replace(memory=None)),
        ("ntm-lstm", lambda: fresh("ntm-lstm").initial_state(BATCH)[:-1]),
        ("ntm-lstm", lambda: fresh("ntm-lstm").initial_state(BATCH).memory),
        ("lstm-stacked", lambda: fresh("lstm").initial_state(BATCH)),
        ("lstm", lambda: fresh("rnn-tanh").initial_state(BATCH)),
        ("lstm", lambda: fresh("gru-stacked").initial_state(BATCH)),
        ("gru-stacked", lambda: fresh("lstm").initial_state(BATCH)),
        ("rnn-tanh", lambda: bare(fresh("rnn-tanh").initial_state(BATCH))),
        ("rnn-tanh", lambda: "hidden"),
        ("rnn-tanh", lambda: {"hidden": bare(fresh("rnn-tanh").initial_state(BATCH))}),
        ("rnn-tanh", lambda: 1.0),
    ],
    ids=[
        "an NTM's for an LSTM",
        "an LSTM's for an NTM",
        "another controller's",
        "other heads'",
        "other slots'",
        "no memory",
        "last part missing",
        "memory alone",
        "one layer's for two",
        "an RNN's for an LSTM",
        "two GRU layers' for an LSTM",
        "an LSTM's for two GRU layers",
        "a bare tensor",
        "a string",
        "a dict",
        "a number",
    ],
)
def test_another_models_state_is_refused(name: str, wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="state"):
        fresh(name)(input_of(), wrong())


# ------------------------------------------------------------------------------------------------- models of a cell


class Own(SequenceModule):
    """A model that names its cell and nothing else."""

    cell_type = memnet.GRUCell


class Fixed(Own):
    """One with a constructor of its own."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(INPUT, OUTPUT, hidden_size=width)


@pytest.mark.parametrize(
    ("model", "cell", "options"),
    [
        (memnet.NTM, memnet.NTMCell, {"num_slots": 6, "controller": "gru"}),
        (memnet.LSTM, partial(memnet.cells.make_controller, "lstm"), {"hidden_size": 5, "num_layers": 2, "skip": True}),
        (Own, memnet.GRUCell, {"hidden_size": 5}),
    ],
)
def test_a_model_is_its_cell_and_takes_its_options(
    model: type[SequenceModule], cell: Callable[..., memnet.cells.Cell], options: dict[str, Any]
) -> None:
    made, told = [], inspect.signature(model)
    for make in (lambda: model(INPUT, OUTPUT, **options), lambda: SequenceModule(cell(INPUT, **options), OUTPUT)):
        torch.manual_seed(0)
        made.append(make().state_dict())
    assert list(made[0]) == list(made[1])
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)
    assert list(told.parameters)[:2] == ["input_size", "output_size"]
    assert options.keys() <= told.parameters.keys() <= {"output_size", *inspect.signature(cell).parameters}
    assert all(not isinstance(one.annotation, str) for one in told.parameters.values())


def test_a_constructor_of_its_own_is_what_a_model_is_asked_for() -> None:
    class Heir(Fixed):
        """One that adds nothing."""

    assert [*inspect.signature(Fixed).parameters] == [*inspect.signature(Heir).parameters] == ["width"]
    assert isinstance(Heir(width=3).cell, memnet.GRUCell)
    assert [*inspect.signature(SequenceModule).parameters] == ["input_size", "output_size", "options"]
    assert [*inspect.signature(memnet.GRU(INPUT, OUTPUT)).parameters] == ["args", "kwargs"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: memnet.NTM(INPUT, OUTPUT, num_slot=3), "unexpected keyword argument 'num_slot'"),
        (lambda: SequenceModule(INPUT, OUTPUT), "SequenceModule has no cell_type, so it needs a cell, not 3"),
        (lambda: SequenceModule(memnet.GRUCell(3, 4), 2, skip=True), "skip cannot be given beside it"),
    ],
)
def test_options_that_a_cell_has_not_are_refused(make: Callable[[], object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        make()
