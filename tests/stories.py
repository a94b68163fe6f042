"""Stories for tests: lists of word ids, and as the tensors that models take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

VOCAB, MAX_WORDS = 8, 4

STORIES = [
    [[1, 2, 3], [4, 2, 5, 6], [1, 7]],
    [[3]],
    [],
    [[5, 5, 1], [2, 6], [7, 3, 2], [4, 1, 2, 2], [6, 2, 1]],
]
QUESTIONS = [[7, 1], [2, 3, 4], [5], [6, 6, 1, 2]]


def padded(sentences: Sequence[Sequence[int]], rows: int, columns: int) -> Tensor:
    result = torch.zeros(rows, columns, dtype=torch.int64)
    for row, words in enumerate(sentences):
        result[row, : len(words)] = torch.tensor(words, dtype=torch.int64)
    return result


def story_of(stories: Sequence[Sequence[Sequence[int]]] = STORIES, sentences: int = 5, words: int = 4) -> Tensor:
    return torch.stack([padded(story, sentences, words) for story in stories])


def question_of(questions: Sequence[Sequence[int]] = QUESTIONS, words: int = 4) -> Tensor:
    return padded(questions, len(questions), words)


def drawn_anew(model: Any, seed: int = 0) -> Any:
    """The model in float64, not training, with every parameter from N(0, 0.5^2), so that no zero hides a mistake.

    It runs as it is defined, one torch operation after the other.
    """
    torch.manual_seed(seed)
    model = model.double().eval()
    if hasattr(model, "backend"):
        model.backend = "eager"
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def weights_of(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def assert_close(actual: Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    expected = expected if isinstance(expected, Tensor) else torch.tensor(np.asarray(expected), dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def stacked(model: Any) -> Tensor:
    """Two copies as one stacked computation, as restarts are trained."""
    model.validate = False
    parameters, buffers = stack_module_state([model, model])

    def run(parameters: Any, buffers: Any) -> Tensor:
        logits: Tensor = functional_call(model, (parameters, buffers), (story_of(), question_of()))
        return logits

    return torch.vmap(run)(parameters, buffers)[0]


def called(model: Any, case: str) -> Tensor:
    """Logits by a call that no compiled operator covers."""
    if case == "torch.func":
        return stacked(model)
    if case == "torch.compile":
        return torch.compile(model, backend="eager")(story_of(), question_of())  # type: ignore[no-any-return]
    if case == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(story_of(), question_of())  # type: ignore[no-any-return]
    assert case == "bfloat16"
    return model.bfloat16()(story_of(), question_of())  # type: ignore[no-any-return]


def overfit(model: nn.Module, story: Tensor, question: Tensor, answer: Tensor, *, rate: float, updates: int) -> float:
    """Train on one batch by Adam and return the share of right answers at rest."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(updates):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(story, question), answer).backward()
        optimizer.step()
    return float((model.eval()(story, question).argmax(-1) == answer).double().mean())


def two_fact_stories(count: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """Two people (1, 2) go to one of three places (3-5), two or three times: where is one of them now?

    Sentences: person 6 place. Questions: 7 person. All stories in which both were somewhere at the end.
    """
    generator = np.random.default_rng(0)
    stories, questions, answers = [], [], []
    for _ in range(count):
        first, place, other, later = generator.integers(3, 6, 4).tolist()
        story = [[1, 6, first], [2, 6, place], [int(generator.integers(1, 3)), 6, other]]
        where = {1: first, 2: place} | {story[2][0]: other}
        if generator.integers(2):
            story.append([1, 6, later])
            where[1] = later
        asked = int(generator.integers(1, 3))
        stories.append(story)
        questions.append([7, asked])
        answers.append(where[asked])
    return story_of(stories, 4), question_of(questions), torch.tensor(answers)
