"""Captioners against slow loops, and what must not change what they say."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from memnet import Captioner, greedy
from tasks.captions import Captions

Array = NDArray[np.float64]
SIZES: dict[str, Any] = {
    "image_size": 8,
    "filters": 4,
    "feature_size": 7,
    "embedding_size": 5,
    "hidden_size": 6,
}
VOCABULARY = 9
CELLS = ["lstm", "gru", "rnn-tanh", "rnn-relu"]
KINDS = [*product(CELLS, (False, True), (False, True))]


def make(controller: Any = "lstm", film: bool = False, attention: bool = False, **options: Any) -> Captioner:
    """A model with every number drawn by chance, as it is after training."""
    torch.manual_seed(0)
    sizes = SIZES | options
    model = Captioner(VOCABULARY, controller=controller, film=film, attention=attention, **sizes).double().eval()
    for norm in model.encoder.norms:
        for numbers in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            numbers.data = torch.rand_like(numbers) + 0.5
    return model


def pictures(count: int, film: bool, frames: int = 4) -> Tensor:
    shape = (count, frames, 3, 8, 8) if film else (count, 3, 8, 8)
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def value(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def slow_convolution(image: Array, weight: Array, stride: int) -> Array:
    """3 x 3 filters at every place or every second one, zeros around the picture."""
    side = image.shape[1] // stride
    result = np.zeros((len(weight), side, side))
    for out, row, column in product(range(len(weight)), range(side), range(side)):
        for channel, dy, dx in product(range(len(image)), range(3), range(3)):
            y, x = stride * row + dy - 1, stride * column + dx - 1
            if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
                result[out, row, column] += weight[out, channel, dy, dx] * image[channel, y, x]
    return result


def slow_picture(model: Captioner, image: Array) -> Array:
    """The map of a picture, (place, filter)."""
    encoder = model.encoder
    features = np.stack([4 * (colour - colour.mean()) for colour in image])
    for place, (layer, norm) in enumerate(zip(encoder.layers, encoder.norms, strict=True)):
        features = slow_convolution(features, value(layer.weight), 2 if place < 2 else 1)  # type: ignore[arg-type]
        for channel, plane in enumerate(features):
            mean, variance, scale, bias = (
                value(numbers)[channel] for numbers in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            )
            features[channel] = np.maximum((plane - mean) / np.sqrt(variance + 1e-5) * scale + bias, 0)
    side = features.shape[1]
    return np.stack([features[:, row, column] for row in range(side) for column in range(side)])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def slow_cell(cell: Any, name: str, x: Array, state: list[Array]) -> list[Array]:
    """The next state; its first entry is the output."""
    from_input = value(cell.weight_ih) @ x + value(cell.bias_ih)
    from_hidden = value(cell.weight_hh) @ state[0] + value(cell.bias_hh)
    if name == "lstm":
        i, f, g, o = np.split(from_input + from_hidden, 4)
        memory = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(memory), memory]
    if name == "gru":
        r, z, n = np.split(from_input, 3)
        hr, hz, hn = np.split(from_hidden, 3)
        candidate = np.tanh(n + sigmoid(r + hr) * hn)
        return [(1 - sigmoid(z + hz)) * candidate + sigmoid(z + hz) * state[0]]
    total = from_input + from_hidden
    return [np.tanh(total) if name == "rnn-tanh" else np.maximum(total, 0)]


def slow_logits(model: Captioner, name: str, images: Array, caption: list[int]) -> tuple[Array, list[Array]]:
    """Logits and attention for one picture or film, by the equations of Captioner."""
    count = 2 if name == "lstm" else 1
    if model.reader is None:
        seen = slow_picture(model, images)
    else:
        maps, read = [slow_picture(model, frame) for frame in images], []
        for place in range(len(maps[0])):
            state = [np.zeros(maps[0].shape[1])] * count
            for frame in maps:
                state = slow_cell(model.reader, name, frame[place], state)
            read.append(state[0] + maps[-1][place])
        seen = np.stack(read)
    total = value(model.summarize.weight) @ seen.ravel() + value(model.summarize.bias)
    scaled = (total - total.mean()) / np.sqrt(total.var() + 1e-5)
    summary = np.maximum(scaled * value(model.norm.weight) + value(model.norm.bias), 0)
    start = np.tanh(value(model.start.weight) @ summary + value(model.start.bias))
    state, seen_word = np.split(start, count), np.zeros(model.encoder.slot_width if model.attention else 0)
    logits, attention = [], []
    for word in [0, *caption]:
        state = slow_cell(model.decoder, name, np.concatenate([value(model.words)[word], seen_word]), state)
        if model.attention:
            assert model.key is not None
            assert model.query is not None
            assert model.places is not None
            slots = seen + value(model.places)
            query = value(model.query.weight) @ state[0]
            scores = [query @ (value(model.key.weight) @ slot) / len(slot) ** 0.5 for slot in slots]
            weights = np.exp(scores) / np.sum(np.exp(scores))
            seen_word = sum(weight * slot for weight, slot in zip(weights, slots, strict=True))
            attention.append(weights)
        logits.append(value(model.readout.weight) @ np.concatenate([state[0], seen_word]) + value(model.readout.bias))
    return np.stack(logits), attention


@pytest.mark.parametrize(("controller", "film", "attention"), KINDS)
def test_equations(controller: str, film: bool, attention: bool) -> None:
    model, images = make(controller, film, attention), pictures(2, film)
    lengths = torch.tensor([4, 2]) if film else None
    captions = torch.tensor([[3, 1, 8], [2, 0, 0]])
    trace = model.trace(images, captions, lengths=lengths)
    for row, (frames, words) in enumerate(((4, [3, 1, 8]), (2, [2]))):
        own = images[row, :frames] if film else images[row]
        logits, weights = slow_logits(model, controller, value(own), words)
        np.testing.assert_allclose(value(trace.logits[row, : len(words) + 1]), logits, atol=1e-12)
        assert (trace.attention is not None) == attention
        if trace.attention is not None:
            np.testing.assert_allclose(value(trace.attention[row, : len(words) + 1]), weights, atol=1e-12)


@pytest.mark.parametrize(("controller", "film", "attention"), KINDS)
def test_neighbours_and_padding_change_nothing(controller: str, film: bool, attention: bool) -> None:
    model, images = make(controller, film, attention, num_layers=2), pictures(3, film)
    lengths = torch.tensor([4, 1, 3]) if film else None
    captions = torch.tensor([[3, 1, 8], [2, 0, 0], [4, 4, 0]])
    whole = model(images, captions, lengths=lengths)
    if film:
        # Whatever comes after a film's end.
        images[1, 1:], images[2, 3:] = torch.nan, torch.inf
        assert torch.equal(model(images, captions, lengths=lengths), whole)
    for row, (words, frames) in enumerate(((3, 4), (1, 1), (2, 3))):
        own = images[row : row + 1, :frames] if film else images[row : row + 1]
        alone = model(own, captions[row : row + 1, :words])
        torch.testing.assert_close(alone, whole[row : row + 1, : words + 1], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("film", "attention"), [*product((False, True), repeat=2)])
def test_word_by_word_is_all_at_once(film: bool, attention: bool) -> None:
    model, images = make("lstm", film, attention, num_layers=2), pictures(3, film)
    found = greedy(model.step, model.encode(images), max_words=6).words[:, 0]
    logits = model(images, found)
    best = logits.argmax(-1)
    for row, words in enumerate(found.tolist()):
        count = words.index(0) if 0 in words else len(words)
        assert best[row, :count].tolist() == words[:count]
    state = model.encode(images)
    words = torch.zeros(3, dtype=torch.int64)
    for place in range(found.size(1)):
        single, state = model.step(words, state)
        torch.testing.assert_close(single, logits[:, place])
        words = found[:, place]


def test_no_words_and_one_word() -> None:
    model, images = make(attention=True), pictures(1, False)
    none = model(images, torch.zeros(1, 0, dtype=torch.int64))
    one = model(images, torch.tensor([[5]]))
    assert none.shape == (1, 1, VOCABULARY)
    torch.testing.assert_close(one[:, :1], none)


@pytest.mark.parametrize(("controller", "film", "attention"), KINDS)
def test_gradients_reach_every_weight(controller: str, film: bool, attention: bool) -> None:
    model = make(controller, film, attention)
    model(pictures(4, film), torch.tensor([[3, 1]] * 4)).square().sum().backward()
    without = {name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()}
    assert not without


def test_brightness_of_the_paper_is_not_seen() -> None:
    model, images = make(), pictures(2, False) / 2
    captions = torch.tensor([[1], [2]])
    brighter = images + torch.rand(2, 3, 1, 1, dtype=torch.float64) / 2
    torch.testing.assert_close(model(images, captions), model(brighter, captions))


def test_a_few_pictures_are_learned() -> None:
    torch.manual_seed(0)
    world = Captions()
    _, batch = world.sample(4, part="train", seed=0)
    model = Captioner(len(world.words) + 1, filters=8, feature_size=32, hidden_size=32, attention=True)
    images, captions = torch.from_numpy(batch.images), torch.from_numpy(batch.captions)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = functional.cross_entropy(model(images, captions).transpose(1, 2), functional.pad(captions, (0, 1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        words = greedy(model.step, model.encode(images), max_words=world.max_words).words[:, 0]
    assert [world.decode(row) for row in words.tolist()] == [world.decode(row) for row in captions.tolist()]


WORDS = torch.tensor([[1]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(filters=0), "filters must be at least 1, not 0"),
        (lambda: make(halvings=4), r"channels must be at least 4 numbers from 1 on, not \(4, 8, 8\)"),
        (lambda: make(image_size=10), "size must be a multiple of 4, not 10"),
        (lambda: make("ntm"), "controller must be one of .* not 'ntm'"),
        (lambda: make(hidden_size=0), "hidden_size must be at least 1, not 0"),
        (lambda: make()(pictures(1, True), WORDS), r"images must be \(batch, 3, 8, 8\), not \(1, 4, 3, 8, 8\)"),
        (lambda: make(film=True)(pictures(1, False), WORDS), r"images must be \(batch, frame, 3, 8, 8\), not"),
        (lambda: make()(pictures(1, False)[:, :, :7], WORDS), r"images must be \(batch, 3, 8, 8\), not \(1, 3, 7, 8\)"),
        (lambda: make()(pictures(1, False).float(), WORDS), "images are torch.float32 on cpu, the model is"),
        (lambda: make()(pictures(1, False), WORDS, lengths=torch.tensor([1])), "lengths are for films"),
        (lambda: make(film=True)(pictures(1, True), WORDS, lengths=torch.tensor([5])), "lengths must be 1..4, not 5"),
        (lambda: make(film=True)(pictures(1, True), WORDS, lengths=torch.tensor([0])), "lengths must be 1..4, not 0"),
        (
            lambda: make(film=True)(pictures(1, True), WORDS, lengths=torch.tensor([1.0])),
            r"lengths must be integers \(1,\)",
        ),
        (lambda: make()(pictures(2, False), WORDS), r"captions must be int64 \(2, time\)"),
        (lambda: make()(pictures(1, False), WORDS + VOCABULARY), "captions must hold ids 0..8, not 10..10"),
        (lambda: make()(pictures(1, False), torch.tensor([[0, 1]])), "0 after their words alone"),
    ],
)
def test_what_cannot_be(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
