"""Regression in context against least squares by numpy, and a memory of least squares that does it by hand."""

import math

import numpy as np
import pytest
import torch

from memnet import MesaCell, SequenceModule
from tasks import InContextRegression
from tests.batches import random_logits, rows_of, seeded


def guesses(given, noise):
    """By step, from the input alone: the least squared error and noise^2 |w|^2, of a system with rows for both."""
    points, values = given[::2, :-1].astype(float), given[1::2, -1].astype(float)
    found = {}
    for count, point in enumerate(points):
        rows = np.concatenate([points[:count], noise * np.eye(points.shape[1])])
        right = np.concatenate([values[:count], np.zeros(points.shape[1])])
        found[2 * count] = float(np.linalg.lstsq(rows, right, rcond=None)[0] @ point)
    return found


@pytest.mark.parametrize("task", [InContextRegression(), InContextRegression(1, 1.0), InContextRegression(3, 0.01)])
def test_points_and_values_alternate_and_the_best_guess_is_least_squares(task):
    batch = task.sample(12, length=(1, 9), generator=seeded())
    best = task.least_squares(batch)
    for row, (given, target, mask) in enumerate(rows_of(batch)):
        assert mask.tolist() == [step % 2 == 0 for step in range(len(given))]
        assert not given[::2, -1].any()
        assert not given[1::2, :-1].any()
        np.testing.assert_array_equal(target[:-1:2, 0], given[1::2, -1])
        for step, guess in guesses(given, task.noise).items():
            assert float(best[row, step]) == pytest.approx(guess, abs=1e-6)


def test_weights_points_and_noise_are_normal():
    task = InContextRegression(3, 0.5)
    batch = task.sample(4000, length=12, generator=seeded(1))
    points, values = batch.input[:, ::2, :-1].double(), batch.target[:, ::2].double()
    weights = torch.linalg.lstsq(points, values).solution
    assert float(points.std()) == pytest.approx(1, abs=0.01)
    left = (values - points @ weights).square().sum(1) / (13 - 3)
    assert float(left.mean()) == pytest.approx(0.25, abs=0.01)
    # What least squares find of weights of variance 1 scatters by the noise.
    inverse = torch.linalg.inv(points.transpose(1, 2) @ points).diagonal(dim1=1, dim2=2).mean()
    assert float(weights.square().mean()) == pytest.approx(1 + 0.25 * float(inverse), abs=0.05)
    assert float(values.square().mean()) == pytest.approx(task.baselines(12)["baseline_mse"], rel=0.03)


def test_scores_against_loops():
    task = InContextRegression(2, 0.3)
    batch = task.sample(30, length=(2, 7), generator=seeded())
    best = task.least_squares(batch).float()
    logits = best + 0.2 * random_logits(batch)
    squares, optima, lasts, best_lasts, close = [], [], [], [], []
    for row, (given, target, _) in enumerate(rows_of(batch)):
        own = guesses(given, 0.3)
        squares += [(float(logits[row, step]) - target[step, 0]) ** 2 for step in own]
        optima += [(guess - target[step, 0]) ** 2 for step, guess in own.items()]
        lasts, best_lasts = [*lasts, squares[-1]], [*best_lasts, optima[-1]]
        close.append(abs(float(logits[row, len(given) - 1]) - own[len(given) - 1]) < 0.1)
    scores = task.summarize(task.metrics(logits, batch))
    assert 0 < sum(close) < 30
    assert scores == {
        "mse": pytest.approx(np.mean(squares), rel=1e-5),
        "optimal_mse": pytest.approx(np.mean(optima), rel=1e-5),
        "last_ratio": pytest.approx(sum(lasts) / sum(best_lasts), rel=1e-5),
        "exact_share": pytest.approx(np.mean(close)),
    }
    assert float(task.loss(logits, batch)) == pytest.approx(sum(squares) / 30, rel=1e-5)
    optimal = task.summarize(task.metrics(best, batch))
    assert (optimal["last_ratio"], optimal["exact_share"]) == (pytest.approx(1), 1)
    assert optimal["mse"] == pytest.approx(optimal["optimal_mse"])
    assert not task.metrics(torch.full_like(logits, math.nan), batch)["exact"].any()
    text = task.render(batch, 3, logits)
    assert text.count("least squares") == text.count("predicted") == int(batch.mask[3].sum())
    for make, message in (
        (lambda: InContextRegression(0), "dimensions must be a whole number of at least 1, got 0"),
        (lambda: InContextRegression(noise=0.0), "noise must be a number above 0, got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def by_hand(task, **options):
    """A MesaNet cell that does the least squares of the task.

    SiLU, the norm of keys and that of what is read are all but linear in small numbers: z / 2, 1000 k, and 316 o.
    Linear keys may be of any size.
    """
    size, tiny = task.dimensions, 1.0 if options.get("linear_keys") else 1e-6
    cell = MesaCell(
        size + 1, 1, num_heads=1, key_size=size, value_size=1, least_ridge=0.0, convolution=2, **options
    ).double()
    model = SequenceModule(cell, 1).double()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        point = tiny * torch.eye(size + 1, dtype=torch.float64)[:size]
        cell.projection.weight[: 2 * size] = torch.cat([point, point])
        cell.projection.weight[2 * size, size] = tiny
        # A query is the point at this step, a key that of the step before, where a value stands here.
        cell.convolution.weight[:size, 0, 1] = cell.convolution.weight[size:, 0, 0] = 1
        cell.gate_bias.fill_(40)
        scale = tiny if cell.linear_keys else tiny / 2 / 1e-3
        cell.ridge.fill_(math.log(math.expm1((scale * task.noise) ** 2)))
        if cell.norm_weight is None:
            cell.output.weight.fill_(1 / tiny)
        else:
            cell.norm_weight.fill_(math.sqrt(1e-5) / tiny)
            cell.output.weight.fill_(1)
        model.readout.weight.fill_(1)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "exact"},
        {"num_steps": 12},
        {"solver": "exact", "output_norm": False},
        {"solver": "exact", "output_norm": False, "linear_keys": True},
    ],
)
@pytest.mark.parametrize("backend", ["eager", "chunked"])
def test_mesa_with_weights_set_by_hand_is_least_squares(options, backend):
    task = InContextRegression()
    batch = task.sample(20, length=(1, 30), generator=seeded(2))
    model = by_hand(task, **options)
    model.backend = backend
    with torch.no_grad():
        found, _ = model(batch.input.double())
        first, state = model(batch.input[:, :17].double())
        second, _ = model(batch.input[:, 17:].double(), state)
    best = task.least_squares(batch)
    torch.testing.assert_close(found[batch.mask], best[batch.mask], atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat([first, second], 1), found, atol=1e-6, rtol=0)
    scores = task.summarize(task.metrics(found, batch))
    assert (scores["exact_share"], scores["last_ratio"]) == (1, pytest.approx(1, abs=1e-4))
