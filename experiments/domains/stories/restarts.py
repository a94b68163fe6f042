"""Several independent initialisations of a model as one computation.

A stacked model is a copy of the model whose every parameter has a leading axis for the restart. No operation mixes
restarts, so that each is trained as if it were alone. A single one stays the plain model.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from experiments.domains.stories.data import Questions
from memnet.abilities import AnswersCopies
from memnet.story import StoryModel


def stack(models: Sequence[StoryModel]) -> StoryModel:
    """Models of one shape as one stacked model."""
    stacked = copy.deepcopy(models[0])
    if len(models) > 1:
        for name, parameter in stacked.named_parameters():
            parameter.data = torch.stack([model.get_parameter(name).data for model in models])
    return stacked


def unstack(stacked: StoryModel, restarts: int, restart: int) -> StoryModel:
    """One of the restarts as a plain model."""
    model = copy.deepcopy(stacked)
    if restarts > 1:
        for parameter in model.parameters():
            parameter.data = parameter.data[restart].clone()
    return model


def train_logits(stacked: StoryModel, restarts: int, batch: Questions, times: Tensor | None) -> Tensor:
    """Logits (restart, question, word), each restart reading questions of its own.

    batch: restarts x questions, one restart's after the other's.
    times: (restarts x question, sentence) ages of the sentences, for a model that takes them.
    """
    own = [part.unflatten(0, (restarts, -1)) for part in batch[:3]]
    if times is not None:
        own.append(times.unflatten(0, (restarts, -1)))
    # These questions come from our own data, and vmap cannot look at values.
    validate, stacked.validate = stacked.validate, False
    try:
        if restarts == 1:
            return _call(stacked, {}, *(part.squeeze(0) for part in own)).unsqueeze(0)
        return _of_several(stacked, own, 0)
    finally:
        stacked.validate = validate


def by_length(
    batch: Questions, times: Tensor | None, restarts: int, groups: int
) -> Iterator[tuple[Questions, Tensor | None]]:
    """What `train_logits` takes in groups of like length: each restart's questions from the shortest story on."""
    if groups == 1:
        yield batch, times
        return
    own = torch.arange(len(batch.lengths), device=batch.lengths.device).view(restarts, -1)
    order = own.gather(1, batch.lengths.view(restarts, -1).argsort(1))
    for part in order.tensor_split(groups, 1):
        rows = batch.rows(part.flatten())
        yield rows, None if times is None else times[part.flatten(), : rows.story.size(1)]


def test_logits(stacked: StoryModel, restarts: int, batch: Questions) -> Tensor:
    """Logits (restart, question, word), all restarts reading the same questions."""
    if restarts == 1:
        return _call(stacked, {}, *batch[:3]).unsqueeze(0)
    return _of_several(stacked, batch[:3], None)


def _of_several(stacked: StoryModel, given: Sequence[Tensor], axis: int | None) -> Tensor:
    """Logits (restart, question, word).

    given: stories, lengths, questions and perhaps ages. axis: of the restarts in them, None where all read the same.
    """
    if isinstance(stacked, AnswersCopies) and (answered := stacked.answer_copies(*given)) is not None:
        return answered
    axes = (0, *[axis] * len(given))
    logits: Tensor = torch.vmap(partial(_call, stacked), axes)(dict(stacked.named_parameters()), *given)
    return logits


def _call(
    model: StoryModel,
    parameters: dict[str, Tensor],
    story: Tensor,
    lengths: Tensor,
    question: Tensor,
    times: Tensor | None = None,
) -> Tensor:
    given = {"story_lengths": lengths} | ({} if times is None else {"times": times})
    logits: Tensor = functional_call(model, parameters, (story, question), given)
    return logits
