"""Encoder-decoders: equations against slow loops, padding and neighbours, gradients, and that they learn."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from memnet import AttentionEncoderDecoder, EncoderDecoder, beam_search, greedy
from memnet.functional.attention import additive_scores, dot_scores, recomputed_additive_scores, reverse_sequences

SMALL: dict[str, Any] = {"embedding_size": 2, "hidden_size": 3}
MODELS: dict[str, Callable[[], EncoderDecoder]] = {
    "start": lambda: EncoderDecoder(7, 6, **SMALL),
    "start-reversed-rnn": lambda: EncoderDecoder(7, 6, reverse=True, controller="rnn-tanh", **SMALL),
    "every-step": lambda: EncoderDecoder(7, 6, context="every-step", controller="gru", **SMALL),
    "every-step-stacked": lambda: EncoderDecoder(7, 6, context="every-step", reverse=True, num_layers=2, **SMALL),
    "additive": lambda: AttentionEncoderDecoder(7, 6, **SMALL),
    "additive-reversed": lambda: AttentionEncoderDecoder(7, 6, reverse=True, controller="gru", **SMALL),
    "dot": lambda: AttentionEncoderDecoder(7, 6, scores="dot", **SMALL),
    "dot-stacked": lambda: AttentionEncoderDecoder(7, 6, scores="dot", num_layers=2, controller="rnn-tanh", **SMALL),
}
every_model = pytest.mark.parametrize("name", MODELS)
SOURCE = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [2, 2, 6, 0]])
TARGET = torch.tensor([[1, 2, 5], [3, 0, 0], [4, 4, 0]])


def make(name: str) -> EncoderDecoder:
    torch.manual_seed(0)
    return MODELS[name]().double()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def slow_linear(weight: np.ndarray, x: list[float], bias: np.ndarray | None = None) -> list[float]:
    return [
        sum(weight[row, column] * x[column] for column in range(len(x))) + (0 if bias is None else bias[row])
        for row in range(weight.shape[0])
    ]


def slow_lstm(weights: dict[str, np.ndarray], x: list[float], hidden: list[float], cell: list[float]) -> Any:
    total = [
        one + other
        for one, other in zip(
            slow_linear(weights["weight_ih"], x, weights["bias_ih"]),
            slow_linear(weights["weight_hh"], hidden, weights["bias_hh"]),
            strict=True,
        )
    ]
    size = len(hidden)
    new_hidden, new_cell = [], []
    for k in range(size):
        i, f = sigmoid(total[k]), sigmoid(total[size + k])
        g, o = math.tanh(total[2 * size + k]), sigmoid(total[3 * size + k])
        new_cell.append(f * cell[k] + i * g)
        new_hidden.append(o * math.tanh(new_cell[-1]))
    return new_hidden, new_cell


def slow_logits(model: EncoderDecoder, source: list[int], target: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """One sentence through an LSTM encoder-decoder, number by number: logits and attention."""
    weights = {name: one.detach().numpy() for name, one in model.named_parameters()}
    parts = {
        part: {name.removeprefix(f"{part}."): one for name, one in weights.items() if name.startswith(f"{part}.")}
        for part in ("encoder", "decoder")
    }
    size = model.hidden_size
    hidden, cell = [0.0] * size, [0.0] * size
    outputs = {}
    order = list(range(len(source)))
    for place in reversed(order) if model.reverse else order:
        hidden, cell = slow_lstm(parts["encoder"], list(weights["source_words"][source[place]]), hidden, cell)
        outputs[place] = hidden
    last, logits, attention = hidden, [], []
    for before in [0, *target]:
        context: list[float] = []
        if isinstance(model, AttentionEncoderDecoder):
            scores = []
            for place in order:
                key = slow_linear(weights["key.weight"], outputs[place])
                if model.scores == "dot":
                    scores.append(sum(one * other for one, other in zip(key, hidden, strict=True)))
                else:
                    query = slow_linear(weights["query.weight"], hidden)
                    units = [math.tanh(one + other) for one, other in zip(key, query, strict=True)]
                    scores.append(sum(one * other for one, other in zip(weights["direction"], units, strict=True)))
            shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
            context = [sum(shares[place] * outputs[place][k] for place in order) for k in range(size)]
            attention.append(shares)
        elif model.context == "every-step":
            context = last
        hidden, cell = slow_lstm(parts["decoder"], [*weights["target_words"][before], *context], hidden, cell)
        logits.append(slow_linear(weights["readout.weight"], [*hidden, *context], weights["readout.bias"]))
    return np.array(logits), np.array(attention)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["start", "every-step", "additive", "dot"])
def test_models_equal_slow_loops(kind: str, reverse: bool) -> None:
    torch.manual_seed(1)
    model: EncoderDecoder
    if kind in ("start", "every-step"):
        model = EncoderDecoder(7, 6, context=kind, reverse=reverse, **SMALL)  # type: ignore[arg-type]
    else:
        model = AttentionEncoderDecoder(7, 6, scores=kind, reverse=reverse, **SMALL)  # type: ignore[arg-type]
    model = model.double()
    trace = model.trace(SOURCE, TARGET)
    for row in range(len(SOURCE)):
        source, target = ([word for word in ids[row].tolist() if word] for ids in (SOURCE, TARGET))
        logits, attention = slow_logits(model, source, target)
        np.testing.assert_allclose(trace.logits[row, : len(target) + 1].detach(), logits, atol=1e-12)
        if trace.attention is not None:
            found = trace.attention[row, : len(target) + 1].detach().numpy()
            np.testing.assert_allclose(found[:, : len(source)], attention, atol=1e-12)
            assert not found[:, len(source) :].any()


def test_scores_equal_slow_loops() -> None:
    torch.manual_seed(0)
    keys, query, direction = torch.randn(2, 3, 4), torch.randn(2, 4), torch.randn(4)
    for row in range(2):
        for slot in range(3):
            pairs = list(zip(keys[row, slot].tolist(), query[row].tolist(), direction.tolist(), strict=True))
            additive = sum(v * math.tanh(key + asked) for key, asked, v in pairs)
            dot = sum(key * asked for key, asked, _ in pairs)
            assert float(additive_scores(keys, query, direction)[row, slot]) == pytest.approx(additive, abs=1e-6)
            assert float(dot_scores(keys, query)[row, slot]) == pytest.approx(dot, abs=1e-6)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_recomputed_scores_are_the_same_with_derivatives_of_any_kind() -> None:
    torch.manual_seed(0)
    values = [torch.randn(*sizes, requires_grad=True, dtype=torch.float64) for sizes in ((2, 3, 4), (2, 4), (4,))]
    torch.autograd.gradcheck(recomputed_additive_scores, values, check_forward_ad=True)
    torch.autograd.gradgradcheck(recomputed_additive_scores, values)
    found = []
    for scores in (additive_scores, recomputed_additive_scores):
        loss = scores(*values).sin().sum()
        stacked = [torch.stack([value, -value]).detach() for value in values]
        gradients = torch.autograd.grad(loss, values)
        found.append([loss, *gradients, torch.func.vmap(scores)(*stacked)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_reading_at_every_step_keeps_no_vector_for_every_pair_of_steps() -> None:
    model, kept = make("additive").float(), 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept = max(kept, tensor.numel())
        return tensor

    words = torch.randint(1, 6, (1, 200))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(words, words)
    assert kept <= 200 * 4 * model.hidden_size
    logits, _ = model.step(torch.zeros(1, dtype=torch.int64), model.encode(words))
    assert logits.shape == (1, 6)


def test_only_real_steps_are_reversed() -> None:
    lengths = torch.tensor([4, 2, 0])
    words = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]])
    assert reverse_sequences(words, lengths).tolist() == [[4, 3, 2, 1], [2, 1, 3, 4], [1, 2, 3, 4]]
    values = torch.randn(3, 4, 2)
    assert torch.equal(reverse_sequences(values, lengths)[0], values[0].flip(0))
    assert torch.equal(reverse_sequences(reverse_sequences(values, lengths), lengths), values)


@every_model
def test_rows_know_nothing_of_padding_and_neighbours(name: str) -> None:
    model = make(name)
    whole = model(SOURCE, TARGET)
    wider = model(functional.pad(SOURCE, (0, 3)), functional.pad(TARGET, (0, 2)))
    for row in range(len(SOURCE)):
        read, written = int((SOURCE[row] > 0).sum()), int((TARGET[row] > 0).sum())
        alone = model(SOURCE[row : row + 1, :read], TARGET[row : row + 1, :written])
        torch.testing.assert_close(alone[0], whole[row, : written + 1])
        torch.testing.assert_close(alone[0], wider[row, : written + 1])
        single = greedy(model.step, model.encode(SOURCE[row : row + 1, :read]), max_words=5).words[0, 0]
        together = greedy(model.step, model.encode(SOURCE), max_words=5).words[row, 0]
        assert not together[len(single) :].any()
        assert torch.equal(single, together[: len(single)])


@every_model
def test_one_sentence_of_one_word(name: str) -> None:
    model = make(name)
    source, nothing = torch.tensor([[3]]), torch.zeros(1, 0, dtype=torch.int64)
    trace = model.trace(source, nothing)
    assert trace.logits.shape == (1, 1, 6)
    assert trace.logits.dtype == torch.float64
    if trace.attention is not None:
        assert trace.attention.tolist() == [[[1.0]]]
    for found in (
        greedy(model.step, model.encode(source), max_words=1),
        beam_search(model.step, model.encode(source), beam=1, max_words=1),
    ):
        assert found.words.tolist() == [[[int(trace.logits.argmax())]]]


@every_model
def test_steps_equal_the_whole(name: str) -> None:
    model = make(name)
    logits, state = model(SOURCE, TARGET), model.encode(SOURCE)
    for step in range(TARGET.size(1) + 1):
        words = TARGET[:, step - 1] if step else torch.zeros(3, dtype=torch.int64)
        given, state = model.step(words, state)
        torch.testing.assert_close(given, logits[:, step])


@every_model
def test_the_beam_scores_sentences_as_forward_does(name: str) -> None:
    model = make(name)
    found = beam_search(model.step, model.encode(SOURCE), beam=3, max_words=4)
    for place in range(3):
        words = found.words[:, place]
        chances = torch.log_softmax(model(SOURCE, words), -1)
        for row in range(len(SOURCE)):
            spoken = [word for word in words[row].tolist() if word]
            total = sum(float(chances[row, step, word].detach()) for step, word in enumerate(spoken))
            total += float(chances[row, len(spoken), 0].detach()) if len(spoken) < 4 else 0
            assert float(found.log_probability[row, place].detach()) == pytest.approx(total)


@every_model
def test_a_word_depends_on_the_words_before_it_alone(name: str) -> None:
    model = make(name)
    changed = TARGET.clone()
    changed[0, 1] = 4
    before, after = model(SOURCE, TARGET), model(SOURCE, changed)
    assert torch.equal(before[0, :2], after[0, :2])
    assert not torch.allclose(before[0, 2], after[0, 2])


@every_model
def test_gradients_are_exact_and_reach_every_part(name: str) -> None:
    model = make(name)
    model.validate = False
    names, values = zip(*((name, one.detach().requires_grad_()) for name, one in model.named_parameters()), strict=True)

    def loss(*parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(model, given, (SOURCE[:2], TARGET[:2, :2])).tanh().sum()

    assert torch.autograd.gradcheck(loss, values, fast_mode=True, atol=1e-6, rtol=1e-4)
    for part, gradient in zip(names, torch.autograd.grad(loss(*values), values), strict=True):
        assert gradient.abs().max() > 0, part


def test_attention_finds_every_word_of_the_source() -> None:
    trace = make("additive").trace(SOURCE, TARGET)
    assert trace.attention is not None
    assert trace.attention.shape == (3, 4, 4)
    torch.testing.assert_close(trace.attention.sum(-1), torch.ones(3, 4).double())
    assert make("start").trace(SOURCE, TARGET).attention is None


@pytest.mark.parametrize(
    ("source", "target", "complaint"),
    [
        (torch.tensor([[1, 7]]), TARGET[:1], "source must hold ids 0..6, not 1..7"),
        (torch.tensor([[1, 2]]), torch.tensor([[-1, 2]]), "target must hold ids 0..5, not -1..2"),
        (torch.tensor([[0, 2]]), TARGET[:1], "source must have 0 after its words alone"),
        (torch.tensor([[1], [0]]), TARGET[:2], "every source sentence must have at least one word"),
        (torch.tensor([[1.0]]), TARGET[:1], "source must be int64"),
        (torch.tensor([1, 2]), TARGET[:1], "source must be int64 .* not torch.int64 \\(2,\\)"),
        (SOURCE, TARGET[:2], "of one batch, not of 3 and 2 rows"),
        (torch.zeros(1, 0, dtype=torch.int64), TARGET[:1], "every source sentence must have at least one word"),
    ],
)
def test_bad_input_is_named(source: Tensor, target: Tensor, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make("additive")(source, target)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"controller": "feedforward"}, "controller must be one of rnn-tanh, rnn-relu, lstm, gru"),
        ({"context": "never"}, "context must be one of start, every-step"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
    ],
)
def test_bad_sizes_are_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EncoderDecoder(5, 5, **options)
    with pytest.raises(ValueError, match="scores must be one of additive, dot"):
        AttentionEncoderDecoder(5, 5, scores="sum")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["start", "additive", "dot"])
def test_a_small_model_learns_to_turn_sentences_round(kind: str) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": 12, "hidden_size": 24}
    model: EncoderDecoder = (
        EncoderDecoder(8, 8, **sizes) if kind == "start" else AttentionEncoderDecoder(8, 8, scores=kind, **sizes)  # type: ignore[arg-type]
    )
    lengths = torch.randint(1, 5, (24,))
    source = torch.randint(1, 8, (24, 4)).masked_fill(torch.arange(4) >= lengths.unsqueeze(1), 0)
    target = reverse_sequences(source, lengths)
    right = functional.pad(target, (0, 1))
    scored = functional.pad(target > 0, (1, 0), value=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(source, target)[scored], right[scored])
        loss.backward()
        optimizer.step()
        if loss < 0.03:
            break
    with torch.no_grad():
        found = greedy(model.step, model.encode(source), max_words=5).words[:, 0]
    assert torch.equal(functional.pad(found, (0, 5 - found.size(1)))[:, :4], target)
