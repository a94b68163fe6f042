"""What models did, in parts: what each part is, its numbers, and a cell that nobody knows beside the test."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import memnet
from experiments.domains.sequences.pictures import look_at_sequence, pictured_sequence, sequence_view
from experiments.domains.stories.answers import answer_rows
from experiments.domains.stories.data import Questions
from experiments.domains.stories.looks import look_at_questions
from experiments.domains.stories.pictures import story_view
from experiments.figures.memory import memory_figure
from experiments.figures.style import save_figure
from experiments.figures.trace import episode_arrays, panels_of
from experiments.inspector.watch import show_parts
from experiments.training.looks import Look
from experiments.training.pictures import draw_views
from memnet import Part, trace
from memnet.abilities import CountsWords, DrawsAges, HasBackend, HasSlots, ReadsWords, StartsLinear, Traced
from memnet.cells import StackedCell
from tasks import TASKS
from tasks.babi import Vocabulary, encode, examples_of, generate
from tests.figure_parts import panels
from tests.figure_parts import shown as shown_in

SIZE = 9


def described(parts: Any) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {part.name: (part.kind, part.axes) for part in parts}


def story_of() -> tuple[Tensor, Tensor, Tensor]:
    """Two stories of three and one sentences, of at most two words, and questions."""
    story = torch.tensor([[[1, 2], [3, 0], [4, 5]], [[6, 0], [0, 0], [0, 0]]])
    return story, torch.tensor([[7, 1], [8, 0]]), torch.tensor([3, 1])


STORY_MODELS: dict[str, Any] = {
    "memn2n": lambda: memnet.MemN2N(SIZE, max_words=2, embedding_size=4, num_hops=2),
    "kv-window": lambda: memnet.KeyValueMemoryNetwork(SIZE, max_words=2, embedding_size=4, memories="window"),
    "entnet": lambda: memnet.EntNet(SIZE, max_words=2, embedding_size=4, num_slots=3),
    "entnet-tied": lambda: memnet.EntNet(SIZE, max_words=2, embedding_size=4, keys=[5, 2]),
    "reader": lambda: memnet.StoryReader(memnet.NTM(SIZE, SIZE, hidden_size=4, num_slots=5, slot_size=3), SIZE),
    "lstm": lambda: memnet.StoryReader(memnet.LSTM(SIZE, SIZE, hidden_size=4), SIZE),
}


def test_the_parts_of_an_ntm() -> None:
    model = memnet.NTM(3, 2, hidden_size=4, num_layers=2, num_slots=6, slot_size=5, num_reads=3, num_writes=2)
    found = model.trace(torch.randn(2, 7, 3))
    heads = ("time", "head")
    steering = {"key": "width", "strength": None, "gate": None, "shift": "offset", "sharpening": None}
    assert described(found.parts) == {
        "memory": ("memory", ("time", "slot", "width")),
        "write": ("write", (*heads, "slot")),
        "read": ("read", (*heads, "slot")),
        "read vector": ("signal", (*heads, "width")),
        **{
            f"{kind} {name}": ("signal", (*heads, axis) if axis else heads)
            for name, axis in steering.items()
            for kind in ("read", "write")
        },
        "write erase": ("signal", (*heads, "width")),
        "write add": ("signal", (*heads, "width")),
        **{
            f"controller {name} state, layer {k}": ("signal", ("time", "unit"))
            for k in (1, 2)
            for name in ("hidden", "cell")
        },
    }
    values = {part.name: part.values for part in found.parts}
    assert torch.equal(values["memory"], found.memory)
    assert torch.equal(values["read"], found.read_weights)
    assert torch.equal(values["read strength"], found.heads.strength[:, :, :3, 0])
    assert torch.equal(values["write shift"], found.heads.shift[:, :, 3:])
    assert torch.equal(values["write add"], found.heads.add)
    assert torch.equal(values["controller cell state, layer 2"][:, -1], found.state.controller[1].cell)
    by_content = memnet.NTM(3, 2, addressing="content", memory_init="random").trace(torch.randn(1, 1, 3))
    assert not {"read gate", "read shift", "read sharpening"} & {part.name for part in by_content.parts}


def test_the_parts_of_recurrent_networks() -> None:
    over = ("time", "unit")
    gru = memnet.GRU(3, 2, hidden_size=4).trace(torch.randn(2, 7, 3))
    assert described(gru.parts) == {
        "hidden state": ("signal", over),
        "reset gate": ("gate", over),
        "update gate": ("gate", over),
    }
    assert torch.equal(gru.parts[2].values, gru.gates.update)
    mixed = StackedCell([memnet.GRUCell(3, 4), memnet.RNNCell(4, 5)])
    found = memnet.SequenceModule(mixed, 2).trace(torch.randn(2, 7, 3))
    names = ["hidden state, layer 1", "reset gate, layer 1", "update gate, layer 1", "hidden state, layer 2"]
    assert [part.name for part in found.parts] == names


def test_tensors_of_states_are_known_by_their_shapes() -> None:
    inner = memnet.LSTMState(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4))
    states = (torch.zeros(2, 3), inner, (torch.zeros(2, 3, 5, 6), torch.zeros(2, 3, 7, 5, 6)))
    assert described(trace.state_parts(states)) == {
        "state 1": ("signal", ("time",)),
        "state 2 hidden": ("signal", ("time", "unit")),
        "state 2 cell": ("signal", ("time", "unit")),
        "state 3 1": ("memory", ("time", "slot", "width")),
        "state 3 2": ("memory", ("time", "axis 1", "slot", "width")),
    }
    assert described(trace.state_parts(torch.zeros(2, 3, 4))) == {"state": ("signal", ("time", "unit"))}


@pytest.mark.parametrize("name", STORY_MODELS)
def test_a_story_model_tells_what_it_looked_at(name: str) -> None:
    torch.manual_seed(0)
    model = STORY_MODELS[name]().eval()
    model.backend = "eager"
    story, question, lengths = story_of()
    with torch.no_grad():
        found = model.trace(story, question, story_lengths=lengths)
        assert torch.equal(found.logits, model(story, question, story_lengths=lengths))
    told = described(found.parts)
    assert all(part.values.dim() == 1 + len(part.axes) and len(part.values) == 2 for part in found.parts)
    if name == "memn2n":
        assert told == {"": ("read", ("hop", "sentence"))}
        model.linear_start = True
        assert described(model.trace(story, question).parts) == {"": ("signal", ("hop", "sentence"))}
    elif name == "kv-window":
        assert told == {"": ("read", ("hop", "sentence")), "attention by word": ("signal", ("hop", "sentence", "word"))}
    elif name.startswith("entnet"):
        assert told == {
            "": ("gate", ("sentence", "slot")),
            "memory": ("memory", ("slot", "width")),
            "attention": ("read", ("slot",)),
        }
    names = {axis: ids.tolist() for axis, ids in trace.names_of(found).items()}
    if name in ("reader", "lstm"):
        assert names == {"time": [[1, 2, 3, 4, 5, 7, 1, 0], [6, 8, 0, -1, -1, -1, -1, -1]]}
        assert trace.lengths_of(trace.names_of(found))["time"].tolist() == found.lengths.tolist()
    else:
        assert names == ({"slot": [[5, 2]] * 2} if name == "entnet-tied" else {})


@pytest.mark.parametrize("scores", ["additive", None])
def test_a_translator_tells_where_words_were_read_from(scores: Any) -> None:
    source, target = torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([[1, 2], [3, 0]])
    if scores is None:
        assert memnet.EncoderDecoder(5, 5).trace(source, target).parts == []
    else:
        found = memnet.AttentionEncoderDecoder(5, 5, scores=scores).trace(source, target)
        assert described(found.parts) == {"attention": ("read", ("word", "source"))}


def entropy(weights: Any) -> float:
    return -sum(w * math.log2(w) for w in np.asarray(weights).flatten().tolist() if w)


def test_the_numbers_of_parts_are_means_over_what_is_real() -> None:
    chance = np.random.default_rng(0)
    write, read = chance.dirichlet(np.ones(5), (2, 4, 2)), chance.dirichlet(np.ones(5), (2, 3, 4))
    gates, alone, attention = (
        chance.uniform(size=(2, 4, 3)),
        chance.uniform(size=(2, 4, 3)),
        chance.dirichlet(np.ones(5), 2),
    )
    parts = [
        Part("write", "write", torch.from_numpy(write), ("time", "head", "slot")),
        Part("read", "read", torch.from_numpy(read), ("layer", "time", "slot")),
        Part("read", "attention", torch.from_numpy(attention), ("slot",)),
        Part("gate", "", torch.from_numpy(gates), ("time", "slot")),
        Part("gate", "usage", torch.from_numpy(gates), ("time", "slot")),
        Part("gate", "forget", torch.from_numpy(alone), ("time", "unit")),
        Part("signal", "other", torch.from_numpy(alone), ("time", "unit")),
    ]
    steps = [(0, time) for time in range(4)] + [(1, time) for time in range(2)]
    found = trace.numbers(parts, {"time": torch.tensor([4, 2])})
    expected = {
        **{
            f"entropy/write-head-{k + 1}": np.mean([entropy(write[row, time, k]) for row, time in steps])
            for k in (0, 1)
        },
        **{
            f"entropy/read-layer-{k + 1}": np.mean([entropy(read[row, k, time]) for row, time in steps])
            for k in range(3)
        },
        "entropy/attention": np.mean([entropy(one) for one in attention]),
        "memory/slots_used": np.mean([2 ** entropy(write[row, :end].mean((0, 1))) for row, end in ((0, 4), (1, 2))]),
    }
    for prefix in ("gate", "gate/usage"):
        expected[f"{prefix}/mean"] = np.mean([gates[row, time] for row, time in steps])
        expected[f"{prefix}/open_share"] = np.mean([gates[row, time] > 0.5 for row, time in steps])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    assert trace.numbers([Part("read", "", torch.ones(1, 2, 1), ("hop", "sentence"))]) == {
        "entropy/hop-1": 0,
        "entropy/hop-2": 0,
    }


def test_models_are_asked_what_they_can() -> None:
    ntm, memn2n, reader = memnet.NTM(3, 2), STORY_MODELS["memn2n"](), STORY_MODELS["lstm"]()
    abilities = (Traced, HasBackend, HasSlots, ReadsWords, DrawsAges, StartsLinear, CountsWords)
    found = {
        model: [ability.__name__ for ability in abilities if isinstance(model, ability)]
        for model in (ntm, memn2n, reader, memnet.EncoderDecoder(3, 3), torch.nn.Linear(1, 1))
    }
    assert list(found.values()) == [
        ["Traced", "HasBackend", "HasSlots"],
        ["Traced", "HasBackend", "DrawsAges", "StartsLinear", "CountsWords"],
        ["Traced", "HasBackend", "ReadsWords"],
        ["Traced"],
        [],
    ]


# ------------------------------------------------------------------------------- a model that nobody has heard of


class FastState(NamedTuple):
    """fast_weights: (batch, value, key)."""

    fast_weights: Tensor


class FastWeightCell(memnet.Cell):
    """A Hebbian memory, A' = decay A + v k^T / 2, read by a query; all are tanh of what is linear in the input."""

    def __init__(self, input_size: int, *, key_size: int = 3, value_size: int = 4, decay: float = 0.9) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, value_size
        self.sizes, self.decay = (key_size, value_size, key_size), decay
        self.vectors = nn.Linear(input_size, sum(self.sizes))

    def initial_state(self, batch_size: int) -> FastState:
        key_size, value_size, _ = self.sizes
        return FastState(self.vectors.weight.new_zeros(batch_size, value_size, key_size))

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        return (nn.functional.linear(input, self.vectors.weight, self.vectors.bias),)

    def step(self, projected: tuple[Tensor, ...], state: FastState) -> tuple[Tensor, FastState]:
        key, value, query = torch.tanh(projected[0]).split(self.sizes, -1)
        after = self.decay * state.fast_weights + 0.5 * value.unsqueeze(-1) * key.unsqueeze(-2)
        return (after @ query.unsqueeze(-1)).squeeze(-1), FastState(after)


class FastWeights(memnet.SequenceModule):
    """A FastWeightCell over time."""

    cell_type = FastWeightCell


def test_a_cell_that_says_nothing_of_itself_is_traced_looked_at_and_drawn(tmp_path: Path) -> None:
    """Nothing but the thirty lines above knows it: its memory is in looks and figures, and in a reader's, too."""
    torch.manual_seed(0)
    task = TASKS["copy"]()
    model: Any = FastWeights(task.input_size, task.output_size)
    batch = pictured_sequence(task, 5)
    with torch.no_grad():
        found = model.trace(batch.input)
    assert described(found.parts) == {"fast weights": ("memory", ("time", "slot", "width"))}
    assert torch.equal(found.output, model(batch.input)[0])
    last = found.parts[0].values[0, -1]
    assert torch.equal(last, found.state.fast_weights[0])
    look = look_at_sequence(model, task, batch)
    maps = {panel.title: panel for row in look.panels for panel in row}
    assert look.numbers == {}
    title = next(title for title in maps if title.startswith("fast weights at the end"))
    np.testing.assert_array_equal(maps[title].values, last.numpy().T)
    figure = memory_figure(sequence_view(model, task, pictured_sequence(task, 5)).episode)
    np.testing.assert_allclose(shown_in(panels(figure)["Fast weights at the end"]).T, last.numpy())
    save_figure(figure, tmp_path / "memory.png")
    (shown,) = show_parts([found.parts])
    (state,) = shown["states"]
    assert (state["name"], state["values"]["shape"]) == ("fast weights", [11, 12])
    assert (state["axes"], state["width"]) == (("slot", "width"), 3)

    examples = examples_of(generate(1, 4, seed=0))
    vocabulary = Vocabulary.of(examples)
    reader = memnet.StoryReader(FastWeights(6, len(vocabulary)), len(vocabulary))
    files = draw_views(tmp_path, {"1": story_view(reader, vocabulary, encode(examples[:1], vocabulary))}, "own")
    assert [file.name for file in files] == ["memory-1.png"]


def test_parts_are_drawn_by_their_kind_and_axes() -> None:
    """As a DNC and a transformer would tell them, of rows of unlike length; a state of its own with neither memory."""
    draw = torch.Generator().manual_seed(0)

    def part(kind: Any, name: str, *axes: str) -> Part:
        sizes = {"time": 6, "head": 2, "layer": 3, "slot": 5, "width": 4, "mode": 3, "position": 6, "unit": 7}
        return Part(kind, name, torch.rand(2, *(sizes[axis] for axis in axes), generator=draw), axes)

    link, usage = part("matrix", "link", "time", "slot", "slot"), part("gate", "usage", "time", "slot")
    hidden = part("signal", "hidden state", "time", "unit")
    dnc = [
        link,
        part("write", "write", "time", "head", "slot"),
        usage,
        part("gate", "read mode", "time", "head", "mode"),
        hidden,
    ]
    ends, over = panels_of(dnc, {"time": torch.tensor([4, 6])})
    np.testing.assert_array_equal(ends[0].values, link.values[0, 3].T)
    drawn = {panel.title: panel.values for row in over for panel in row}
    assert list(drawn) == [
        "write weighting of head 1, slots over time",
        "usage, slots over time",
        "read mode of head 1, modes over time",
        "write weighting of head 2, slots over time",
        "read mode of head 2, modes over time",
    ]
    np.testing.assert_array_equal(drawn["usage, slots over time"], usage.values[0, :4].T)
    assert all(len(row) <= 2 for row in over)

    attention = part("read", "attention", "layer", "head", "time", "position")
    ends, over = panels_of([attention, hidden])
    drawn = {panel.title: panel.values for row in over for panel in row}
    assert (len(ends), len(drawn)) == (0, 6)
    title = "attention weighting of layer 3 head 1, positions over time"
    np.testing.assert_array_equal(drawn[title], attention.values[0, 2, 0].T)
    weights = episode_arrays([attention, hidden])["read_weights"]
    np.testing.assert_array_equal(weights[:, 4], attention.values[0, 2, 0])
    assert panels_of([hidden])[1][0][0].title == "hidden state, units over time, from -1 to 1"
    assert panels_of([]) == ([], [])
    assert episode_arrays([hidden]) == {"kept": {}}


class Bag(memnet.StoryModel):
    """Answers by the words of the story, and says nothing of itself."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__(vocab_size)
        self.weight = nn.Parameter(torch.randn(vocab_size, vocab_size))

    def forward(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> Tensor:
        return self.weight[story].sum((1, 2))


def test_a_model_of_stories_that_says_nothing_has_an_answer_alone(tmp_path: Path) -> None:
    examples = examples_of(generate(1, 4, seed=0))
    vocabulary = Vocabulary.of(examples)
    batch, model = encode(examples[:2], vocabulary), Bag(len(vocabulary))
    assert draw_views(tmp_path, {"1": story_view(model, vocabulary, encode(examples[:1], vocabulary))}, "own") == []
    questions = Questions(batch.story, batch.story_lengths, batch.question, batch.answer)
    assert look_at_questions(model, vocabulary, questions, 2) == Look({}, [])
    rows = answer_rows(model, vocabulary, {1: questions}, "task")
    assert [(row["looked_at"], row["weight"]) for row in rows] == [(None, None)] * 2
