"""How many questions each restart answers wrong, and which restart is chosen by what it learned from."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from experiments.base.files import UserError
from experiments.base.progress import working
from experiments.domains.stories.data import Questions, StoryData, Tests
from experiments.domains.stories.options import StoryConfig
from experiments.domains.stories.restarts import test_logits
from experiments.runs.tests import TestRow
from memnet.story import StoryModel

# Questions at a time, so that what is computed for all restarts stays small.
_BATCH = 250

Row = dict[str, Any]


def measure(stacked: StoryModel, restarts: int, questions: Questions) -> tuple[list[float], list[float]]:
    """Of each restart the wrong answers in percent, and the mean loss of a question in nats; at rest, without noise.

    UserError for stories that the model cannot read.
    """
    device = next(stacked.parameters()).device
    wrong = torch.zeros(restarts, dtype=torch.float64)
    loss = torch.zeros(restarts, dtype=torch.float64)
    count = len(questions.answer)
    training = stacked.training
    stacked.eval()
    try:
        with torch.no_grad():
            for first in range(0, count, _BATCH):
                batch = questions.rows(slice(first, first + _BATCH)).to(device)
                logits = test_logits(stacked, restarts, batch)
                wrong += (logits.argmax(-1) != batch.answer).sum(1).cpu()
                loss += losses_of(logits, batch).double().cpu()
    except ValueError as error:
        raise UserError(f"the model cannot read these stories: {error}") from None
    finally:
        stacked.train(training)
    return (100 * wrong / count).tolist(), (loss / count).tolist()


def losses_of(logits: torch.Tensor, batch: Questions) -> torch.Tensor:
    """The cross-entropy of each restart, summed over its questions; logits (restart, question, word)."""
    answers = batch.answer.view(-1, logits.size(1)).expand(logits.shape[:2])
    losses: torch.Tensor = functional.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none")
    return losses.view(logits.shape[:2]).sum(1)


@working("choosing among the restarts")
def score_restarts(stacked: StoryModel, config: StoryConfig, data: StoryData) -> list[Row]:
    """What each restart can be chosen by: error and loss on the training questions and on those for validation."""
    scores: list[Row] = [{"restart": restart} for restart in range(config.training.restarts)]
    parts = {"train": [data.train] if data.train is not None else [], "valid": list(data.valid.values())}
    for part, tasks in parts.items():
        total = sum(len(one.answer) for one in tasks)
        for questions in tasks:
            share = len(questions.answer) / total
            for row, error, loss in zip(scores, *measure(stacked, config.training.restarts, questions), strict=True):
                row[f"{part}_error"] = row.get(f"{part}_error", 0.0) + share * error
                row[f"{part}_loss"] = row.get(f"{part}_loss", 0.0) + share * loss
    return scores


@working("testing")
def test_rows(
    stacked: StoryModel,
    config: StoryConfig,
    trained_on: str,
    tested_on: str,
    tests: Tests,
    chosen: int,
    unasked: Mapping[int, int] | None = None,
) -> list[TestRow]:
    """One row for each task, or for each length of the world model: the error of every restart in percent.

    chosen:  the restart whose model is kept.
    unasked: by task, questions that count as wrong beside those of the tests; None for none.
    """
    kind = config.learned.tested_by
    rows: list[TestRow] = []
    for number, questions in tests.items():
        asked, wrong = len(questions.answer), (unasked or {}).get(number, 0)
        errors = measure(stacked, config.training.restarts, questions)[0]
        if wrong:
            errors = [(error * asked + 100 * wrong) / (asked + wrong) for error in errors]
        rows.append(
            {
                "on": tested_on,
                "at": {kind: number},
                "as_trained": tested_on == trained_on,
                "count": asked + wrong,
                "scores": {"error_percent": errors[chosen]},
                "baselines": {},
                "each": {"error_percent": errors},
            }
        )
    return rows
