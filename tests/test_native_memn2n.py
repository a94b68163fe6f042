"""Compiled end-to-end memories are the plain ones: answers, attention and every gradient, alone and as copies."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

from memnet import MemN2N
from memnet.abilities import AnswersCopies
from memnet.encoding import TimeNoise, WordTable, draw_time_noise, last_filled, noisy_ages
from memnet.native import memn2n as native
from tests.compiler import needs_compiler
from tests.stories import MAX_WORDS, VOCAB, drawn_anew, question_of, story_of

pytestmark = needs_compiler


def drawn_model(draw: random.Random) -> MemN2N:
    """Of any sizes and options, training or not."""
    model = MemN2N(
        draw.choice([2, 5, 12, 30]),
        max_words=draw.choice([1, 2, 4, 7]),
        embedding_size=draw.choice([1, 2, 7, 8, 9, 16, 17, 20, 33, 50]),
        num_hops=draw.choice([1, 2, 3, 5]),
        tying=draw.choice(["adjacent", "layerwise"]),
        encoding=draw.choice(["bag-of-words", "position-paper", "position-facebook"]),
        max_sentences=draw.choice([1, 4, 9, 30]),
        time_noise=draw.choice([0, 0.1, 0.5]),
        nonlinearity=draw.choice([None, "relu"]),
        mask_empty=draw.random() < 0.5,
        score_times=draw.random() < 0.5,
    )
    model = drawn_anew(model, draw.randrange(1000)).train(draw.random() < 0.7)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter *= 0.3  # without a softmax numbers grow from hop to hop
    model.linear_start, model.counted = draw.random() < 0.3, draw.random() < 0.5
    return model


def drawn_call(draw: random.Random, model: MemN2N) -> dict[str, Any]:
    """Stories of any length, some empty, some with nils in between, of given lengths or not."""
    batch, sentences = draw.choice([1, 3, 6]), draw.choice([1, 3, 8, 20])
    story = torch.randint(0, model.vocab_size, (batch, sentences, draw.choice([1, model.max_words])))
    question = torch.randint(0, model.vocab_size, (batch, draw.choice([1, model.max_words])))
    if draw.random() < 0.3:
        question = torch.nn.functional.pad(question, (0, 2))[:, : model.max_words + 1]
        story = story.mT.contiguous().mT
    if draw.random() < 0.3:
        story[:, -2:] = 0
    lengths = torch.randint(0, sentences + 1, (batch,)) if draw.random() < 0.6 else None
    return {"story": story, "question": question, "story_lengths": lengths}


def close(one: Tensor, other: Tensor) -> None:
    assert one.shape == other.shape
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10 * max(1, float(other.detach().abs().max())))


def results(model: MemN2N, call: dict[str, Any], counted: tuple[bool, bool, bool]) -> list[Tensor]:
    """Logits, attention and queries, and the gradients of a random loss on those of them that count."""
    torch.manual_seed(1)
    found = model.trace(**call)
    parts = [found.logits, found.attention, found.queries]
    noise = [torch.randn(one.shape, dtype=one.dtype) for one in parts]
    weights = list(model.parameters())
    losses = [0 * one.sum() for one in weights]
    losses += [(one * other).sum() for one, other, counts in zip(parts, noise, counted, strict=True) if counts]
    gradients = torch.autograd.grad(torch.stack(losses).sum(), weights)
    return [*(one.detach() for one in parts), *gradients]


@pytest.mark.parametrize("seed", range(60))
def test_answers_and_every_gradient_equal_the_plain_ones(seed: int) -> None:
    draw = random.Random(seed)
    model = drawn_model(draw)
    call = drawn_call(draw, model)
    counted = (draw.random() < 0.8, draw.random() < 0.5, draw.random() < 0.5)
    found = {}
    for backend in ("eager", "native"):
        model.backend = backend
        found[backend] = results(model, call, counted)
        assert (model.backend_used, model.backend_refusal) == (backend, None)
    for one, other in zip(found["native"], found["eager"], strict=True):
        close(one, other)


def stacked(models: list[MemN2N]) -> MemN2N:
    """Parameters with an axis for the copy in front."""
    model = copy.deepcopy(models[0])
    for name, parameter in model.named_parameters():
        parameter.data = torch.stack([one.get_parameter(name).data for one in models])
    return model


@pytest.mark.parametrize("seed", range(200, 220))
@pytest.mark.parametrize("shared", [False, True])
def test_copies_answer_and_learn_as_each_alone(shared: bool, seed: int) -> None:
    draw = random.Random(seed)
    first = drawn_model(draw).eval()
    models = [first, *(drawn_anew(copy.deepcopy(first), place) for place in (1, 2))]
    for model in models:
        for parameter in model.parameters():
            parameter.data *= 0.3
    calls = [drawn_call(draw, first)] * 3
    lengths = [torch.randint(0, calls[0]["story"].size(1) + 1, calls[0]["story"].shape[:1]) for _ in range(3)]
    if not shared:
        calls = [{name: one if one is None else one.flip(0).roll(place, 0) for name, one in calls[0].items()}
                 for place in range(3)]  # fmt: skip
    calls = [call | {"story_lengths": lengths[0 if shared else place]} for place, call in enumerate(calls)]
    expected = torch.stack([model(**call) for model, call in zip(models, calls, strict=True)])
    noise = torch.randn(expected.shape, dtype=expected.dtype)
    gradients = [torch.autograd.grad((expected * noise).sum(), list(model.parameters()), retain_graph=True)
                 for model in models]  # fmt: skip

    together = stacked(models)
    together.backend = "auto"
    assert isinstance(together, AnswersCopies)
    names = ("story", "story_lengths", "question")
    given = [calls[0][name] if shared else torch.stack([call[name] for call in calls]) for name in names]
    found = together.answer_copies(*given)
    assert found is not None
    close(found, expected)
    found_gradients = torch.autograd.grad((found * noise).sum(), list(together.parameters()), create_graph=False)
    for one, others in zip(found_gradients, zip(*gradients, strict=True), strict=True):
        close(one, torch.stack(others))


def test_copies_have_second_derivatives() -> None:
    models = [drawn_anew(MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=3), seed) for seed in (0, 1)]
    together, found = stacked(models), []
    together.backend = "auto"
    lengths = last_filled(story_of().amax(-1))
    answered = together.answer_copies(story_of(), lengths, question_of())
    assert answered is not None
    for logits, model in ((answered, together), *((model(story_of(), question_of()), model) for model in models)):
        weights = list(model.parameters())
        first = torch.autograd.grad(logits.sin().sum(), weights, create_graph=True)
        found.append(torch.autograd.grad(torch.stack([one.square().sum() for one in first]).sum(), weights))
    for one, others in zip(found[0], zip(*found[1:], strict=True), strict=True):
        close(one, torch.stack(others))


def test_gradients_equal_finite_differences() -> None:
    model = drawn_anew(MemN2N(4, max_words=2, embedding_size=2, num_hops=2, tying="layerwise", max_sentences=3))
    model.backend = "native"
    names, weights = zip(*model.named_parameters(), strict=True)
    story, question = torch.tensor([[[1, 2], [3, 0]]]), torch.tensor([[3, 1]])

    def run(*weights: Tensor) -> Any:
        logits: Tensor = functional_call(model, dict(zip(names, weights, strict=True)), (story, question))
        assert model.backend_used == "native"
        return logits

    assert gradcheck(run, weights)


@pytest.mark.parametrize("seed", range(100, 110))
def test_single_precision_and_inference(seed: int) -> None:
    draw = random.Random(seed)
    model = drawn_model(draw).float().eval()
    call = drawn_call(draw, model)
    model.linear_start = False
    expected = model(**call)
    model.backend = "native"
    trained = model(**call)
    with torch.no_grad():
        assert torch.equal(model(**call), trained)
    torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-4)


def test_no_number_comes_from_memory_that_was_not_written() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        for seed in range(20):
            test_answers_and_every_gradient_equal_the_plain_ones(seed)
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_graph_can_be_walked_twice_and_changed_tensors_are_noticed() -> None:
    for changed in ("story", "weight"):
        model, story = MemN2N(VOCAB, max_words=MAX_WORDS).eval(), story_of()
        model.backend = "native"
        loss = model(story, question_of(), story_lengths=torch.tensor([3, 1, 0, 5])).square().sum()
        weights = list(model.parameters())
        first, second = (torch.autograd.grad(loss, weights, retain_graph=True) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        with torch.no_grad():
            (story if changed == "story" else weights[-1]).add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_only_what_is_trained_has_a_gradient() -> None:
    model = drawn_anew(MemN2N(VOCAB, max_words=MAX_WORDS, tying="layerwise"))
    model.backend = "native"
    model.embeddings[1].requires_grad_(False)
    assert model.question is not None
    model.question.requires_grad_(False)
    model(story_of(), question_of()).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name in ("embeddings.1.weight", "question.weight"))


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("what", ["word", "question", "length", "age"])
def test_ids_lengths_and_ages_that_cannot_be_are_refused(what: str) -> None:
    model = MemN2N(VOCAB, max_words=MAX_WORDS).eval()
    model.backend, model.validate = "native", False
    story, question = story_of(), question_of()
    call: dict[str, Any] = {"story_lengths": torch.tensor([3, 1, 0, 5]), "times": torch.ones(4, 5, dtype=torch.int64)}
    for wrong in (-1, {"length": 6, "age": model.max_sentences + 1}.get(what, VOCAB)):
        place = {"word": story[3, 4], "question": question[0], "length": call["story_lengths"], "age": call["times"][0]}
        before = place[what][0].clone()
        place[what][0] = wrong
        with pytest.raises(IndexError, match="index out of range"):
            model(story, question, **call)
        place[what][0] = before
    model(story, question, **call)


def test_weights_of_another_size_are_refused_by_name() -> None:
    for place in ("embeddings", "question", "answer", "update"):
        model = MemN2N(VOCAB, max_words=MAX_WORDS, tying="layerwise", embedding_size=4).eval()
        model.backend = "native"
        if place == "update":
            model.update = nn.Parameter(torch.ones(4, 3))
        else:
            table = model.embeddings[1] if place == "embeddings" else getattr(model, place)
            table.weight = nn.Parameter(torch.ones(3, 4))
        with pytest.raises(ValueError, match=r"is given where \(.*\) is expected"):
            model(story_of(), question_of())


class _Halved(WordTable):
    def forward(self) -> Tensor:
        return super().forward() / 2


@pytest.mark.parametrize("what", ["a table of another class", "a hook of a table"])
def test_what_it_does_not_compute_runs_eagerly(what: str) -> None:
    model = MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=3).eval()
    before, calls = model(story_of(), question_of()), list[Any]()
    assert model.backend_used == "native"
    if what == "a hook of a table":
        model.embeddings[0].register_forward_hook(lambda *given: calls.append(given))
    else:
        table = _Halved(model.num_words, 3)
        table.weight = model.embeddings[0].weight
        model.embeddings[0] = table
    after = model(story_of(), question_of())
    assert model.backend_used == "eager"
    assert ("hooks" if what == "a hook of a table" else "word tables") in str(model.backend_refusal)
    hooked = what == "a hook of a table"
    assert bool(calls) == hooked
    assert torch.allclose(before, after) == hooked


@pytest.mark.parametrize("way", ["read", "draw_times", "_answer_plainly", "_sentences", "_hop_tables", "forward"])
def test_a_model_with_a_way_of_its_own_goes_it(way: str) -> None:
    seen, usual = list[str](), getattr(MemN2N, way)

    def own(*given: Any, **more: Any) -> Any:
        seen.append(way)
        return usual.fget(*given) if isinstance(usual, property) else usual(*given, **more)

    kind = type("Own", (MemN2N,), {way: property(own) if isinstance(usual, property) else own})
    model: MemN2N = kind(VOCAB, max_words=MAX_WORDS)
    model(story_of(), question_of())
    assert seen
    assert model.backend_used == ("native" if way == "forward" else "eager")
    lengths = last_filled(story_of().amax(-1))
    assert stacked([model, model]).answer_copies(story_of(), lengths, question_of()) is None


def test_what_is_made_elsewhere_by_default_does_not_matter() -> None:
    model = MemN2N(VOCAB, max_words=MAX_WORDS, embedding_size=29).eval()
    story, question = story_of(), question_of()
    with torch.device("meta"):
        found = model(story, question)
    assert model.backend_used == "native"
    assert torch.equal(found, model(story, question))


# ---------------------------------------------------------------------------------------------- lengths and ages


@pytest.mark.parametrize("seed", range(20))
def test_ages_and_lengths_are_the_plain_ones(seed: int) -> None:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    sentences, noise, oldest = draw.choice([1, 2, 7, 50]), draw.choice([0.1, 0.5, 1]), draw.choice([3, 50, 100])
    lengths = torch.randint(0, sentences + 1, (30,))
    drawn = draw_time_noise(lengths, sentences, noise)
    if seed % 2:
        # Many that drew alike.
        drawn = TimeNoise(drawn.blanks, drawn.draws.mul(8).floor() / 8)
    expected = noisy_ages(lengths, sentences, noise, drawn).clamp_max(oldest)
    assert torch.equal(native.noisy_ages(lengths, sentences, noise, *drawn, oldest=oldest), expected)
    story = torch.randint(0, 2, (30, sentences, 3)) * (torch.arange(sentences) < lengths.unsqueeze(1)).unsqueeze(-1)
    assert torch.equal(native.count_sentences(story, torch.float32), last_filled(story.amax(-1)))


def test_lengths_beyond_the_memory_have_no_ages() -> None:
    lengths = torch.tensor([4])
    with pytest.raises(IndexError, match="index out of range"):
        native.noisy_ages(lengths, 3, 0.1, *draw_time_noise(lengths, 3, 0.1), oldest=3)
