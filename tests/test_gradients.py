"""python -m experiments gradients, and the look into a network that is being trained."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from experiments.__main__ import main
from experiments.base.seeds import generator_for
from experiments.domains.sequences.gradient_flow import gradient_row
from experiments.domains.sequences.training import SequenceObjective
from experiments.figures.gradients import gradient_flow_figure
from experiments.gradients.measuring import clipping, half_life, lags_of, propagated
from experiments.gradients.networks import AT_REST, DRIVEN, NETWORKS
from experiments.gradients.tables import power
from experiments.runs.metrics import read_metrics
from experiments.training.stacking import Stack
from memnet import GRU, LSTM, NTM, RNN, RNNState
from memnet.functional.initialization import spectral_radius_
from memnet.state import map_state, state_tensors
from memnet.unroll import unroll
from tasks import TASKS, Batch
from tests.configurations import configured
from tests.forked import Forked
from tests.running import TINY
from tests.unpainted import drawn

Capture = pytest.CaptureFixture[str]
SMALL = ["--steps", "12", "--before", "5", "--seeds", "2"]


def test_the_command_as_a_person_runs_it(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    process = Forked("experiments", "gradients", *SMALL, "--seed", "3", "--out", out, painted=True)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    text = (out / "gradients.md").read_text()
    assert told == text
    assert text.startswith(
        "Made by `python -m experiments gradients --steps 12 --before 5 --seeds 2 --seed 3 --out folder`"
    )
    assert errors.splitlines()[-3:] == [str(out / f"gradients.{ending}") for ending in ("md", "json", "png")]
    data = json.loads((out / "gradients.json").read_text())
    assert data["lags"] == list(range(1, 13))
    assert data["options"]["clip_norm"] == 1.0
    for network in NETWORKS:
        assert f"| {network.name} | " in text
        assert np.array(data["log10_norms"][network.name]).shape == (2, 12)
    assert "](gradients.png)" in text
    picture = (out / "gradients.png").read_bytes()
    assert struct.unpack(">II", picture[16:24])[0] == 1200


def test_json_and_one_step(tmp_path: Path, capsys: Capture) -> None:
    assert main(["gradients", "--steps", "1", "--before", "0", "--seeds", "1", "--json", "--out", str(tmp_path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == json.loads((tmp_path / "gradients.json").read_text())
    # One step has no older half, so that nothing comes from it.
    assert all(one["log10_old"] == [None] for one in data["clipping"].values())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--steps", "0"], "--steps must be at least 1, not 0"),
        (["--steps", "9999"], "--steps must be at most 2000, not 9999"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--before", "-1"], "--before must be at least 0, not -1"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--clip-norm", "nan"], "--clip-norm must be a finite number, not nan"),
        (["--stepp", "3"], "did you mean '--steps'"),
        (["--out", "file"], "file"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["gradients", *options]) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("network", AT_REST, ids=lambda network: network.name)
def test_at_rest_the_propagation_term_is_a_power_of_the_matrix(network: Any) -> None:
    cell, input, _ = network.drawn(1, 20, 3)
    assert not input.any()
    matrix = cell.weight_hh.detach().numpy()
    assert f"radius {np.abs(np.linalg.eigvals(matrix)).max():.1f}" in network.name
    expected = [math.log10(np.linalg.norm(np.linalg.matrix_power(matrix, lag), 2)) for lag in lags_of(20)]
    np.testing.assert_allclose(propagated(network, [1], 20, 3)[0], expected, rtol=1e-8, atol=1e-8)


def test_networks_are_drawn_as_they_are_called() -> None:
    assert len({network.name for network in NETWORKS}) == len(NETWORKS) == 14
    for network in NETWORKS:
        (one, input, _), (other, _, _) = network.drawn(0, 3, 2), network.drawn(1, 3, 2)
        assert bool(input.any()) == (network not in AT_REST)
        # The identity has nothing drawn but what the input goes through.
        assert not torch.equal(next(one.parameters()), next(other.parameters()))
    glorot, he = (next(one for one in DRIVEN if name in one.name).drawn(0, 1, 0)[0] for name in ("Glorot", "He"))
    assert 0.8 * 32**-0.5 < glorot.weight_hh.std() < 1.2 * 32**-0.5
    assert glorot.weight_hh.abs().max() < (6 / 64) ** 0.5
    assert 0.8 * 16**-0.5 < he.weight_hh.std() < 1.2 * 16**-0.5


@pytest.mark.parametrize("network", [AT_REST[2], DRIVEN[0]], ids=["exploding", "vanishing"])
def test_clipping_bounds_the_norm_and_keeps_all_shares(network: Any) -> None:
    steps, bound = 15, 0.5
    found = clipping(network, [0, 1], steps, 2, bound)
    assert found.norms.shape == found.clipped.shape == (2, len(lags_of(steps)))
    np.testing.assert_allclose(found.old, found.old_clipped, rtol=1e-10, atol=1e-10)
    assert (found.clipped <= math.log10(bound) + 1e-12).all()
    loose = clipping(network, [0, 1], steps, 2, 1e9)
    np.testing.assert_array_equal(loose.clipped, loose.norms)
    cell, input, state = network.drawn(0, steps, 2)
    outputs, _ = unroll(cell, input, state)
    output, weights = outputs[:, -1], list(cell.parameters())
    directions = torch.eye(cell.output_size, dtype=torch.float64)
    parts = [torch.autograd.grad(output[0] @ one, weights, retain_graph=True) for one in directions]
    by_output = torch.stack([torch.cat([part.flatten() for part in one]) for one in parts])
    # The loss looks along a direction of length one.
    low, high = torch.linalg.svdvals(by_output)[[-1, 0]].log10()
    assert low - 1e-9 <= found.norms[0, -1] <= high + 1e-9


def test_what_came_before_is_no_part_of_what_is_measured() -> None:
    network = NETWORKS[-1]
    (cell, whole, start), (_, rest, state) = network.drawn(0, 7, 0), network.drawn(0, 4, 3)
    assert torch.equal(whole[:, 3:], rest)
    expected = unroll(cell, whole[:, :3], start)[1]
    torch.testing.assert_close(state_tensors(state), state_tensors(expected))


def test_half_lives() -> None:
    half = math.log10(0.5)
    assert half_life([1, 2, 4, 8], np.array([0.5, 1.0, 2.0, 4.0]) * half) == pytest.approx(2)
    assert half_life([1, 2], np.array([2.0, 4.0]) * half) == pytest.approx(0.5)
    assert half_life([1, 2, 3], np.array([2.0, 0.0, 2.0]) * half) == pytest.approx(2.5)
    assert half_life([1, 2], np.array([2.0, 0.9]) * half) is None
    assert half_life([1, 2], np.array([0.0, -math.inf])) == 1


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (0.0, "1"),
        (-1, "0.1"),
        (3, "1,000"),
        (-400.5, "3.2e-401"),
        (57.3, "2.0e57"),
        (-4.00001, "1.0e-4"),
        (-math.inf, "0"),
    ],
)
def test_numbers_are_told_where_they_are_no_floats_any_more(log: float, text: str) -> None:
    assert power(log) == text


@pytest.mark.parametrize("radius", [0.0, 0.8, 1.0, 1.3])
def test_a_matrix_of_a_given_radius(radius: float) -> None:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.empty(20, 20))
    assert spectral_radius_(parameter, radius) is parameter
    assert torch.linalg.eigvals(parameter.detach()).abs().max() == pytest.approx(radius, rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "radius", "complaint"),
    [((2, 3), 1.0, r"\(2, 3\)"), ((2, 2), -1.0, "not -1.0"), ((2, 2), math.nan, "not nan")],
)
def test_impossible_radii_are_refused(shape: tuple[int, int], radius: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        spectral_radius_(torch.zeros(shape), radius)


def train(folder: Path, *more: str) -> None:
    assert main(["train", "copy", *TINY, "--steps", "9", "--out", str(folder), *more]) == 0


@drawn()
def test_a_look_changes_nothing_and_is_kept(tmp_path: Path) -> None:
    train(tmp_path / "plain")
    train(tmp_path / "looked", "--gradient-flow-every", "4")
    plain, looked = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("plain", "looked"))
    assert plain.keys() == looked.keys()
    assert all(torch.equal(plain[name], looked[name]) for name in plain)
    rows = read_metrics(tmp_path / "looked" / "metrics.jsonl")
    seen = [row["step"] for row in rows if "gradients/norm/lag-1" in row]
    assert seen == [4, 8, 9]
    own = {key for row in rows for key in row if not key.startswith(("perf/", "gradients/"))}
    assert own == {
        key for row in read_metrics(tmp_path / "plain" / "metrics.jsonl") for key in row if "perf/" not in key
    }
    # A copy of 3 vectors takes 7 steps.
    assert {key for key in rows[-1] if "norm/lag" in key} == {f"gradients/norm/lag-{lag}" for lag in (1, 2, 5, 7)}
    assert (tmp_path / "looked" / "figures" / "gradient-flow.png").exists()
    assert not (tmp_path / "plain" / "figures" / "gradient-flow.png").exists()


def test_stacked_models_are_looked_into_as_each_alone() -> None:
    """The weights of one are views of those of all."""
    task = TASKS["copy"]()
    models = [GRU(task.input_size, task.output_size, hidden_size=4) for _ in range(2)]
    alone = [gradient_row(model, task, 2, seed=0) for model in models]
    config = configured("copy", valid_sequences=1)
    Stack(models, SequenceObjective(config, config.learned))
    assert [gradient_row(model, task, 2, seed=0) for model in models] == alone


@pytest.mark.parametrize("every", ["0", "-3"])
def test_an_interval_is_at_least_one(every: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", "copy", "--gradient-flow-every", every, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == f"error: --gradient-flow-every must be at least 1, not {every}\n"


NAMES = {
    "rnn": {"radius/hidden"},
    "lstm": {f"radius/layers.{k}.{gate}" for k in (0, 1) for gate in ("input", "forget", "candidate", "output")}
    | {f"gate/layers.{k}.{gate}" for k in (0, 1) for gate in ("input", "forget", "output")}
    | {f"time_scale/layers.{k}.forget" for k in (0, 1)},
    "ntm": {f"radius/controller.{gate}" for gate in ("reset", "update", "candidate")}
    | {"gate/controller.reset", "gate/controller.update", "time_scale/controller.update", "slots_never_touched"},
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_row_is_that_of_plain_autograd(kind: str) -> None:
    task = TASKS["copy"]()
    sizes = (task.input_size, task.output_size)
    torch.manual_seed(0)
    model: Any = {
        "rnn": lambda: RNN(*sizes, hidden_size=4),
        "lstm": lambda: LSTM(*sizes, hidden_size=4, num_layers=2),
        "ntm": lambda: NTM(*sizes, hidden_size=4, num_slots=5, slot_size=3, controller="gru"),
    }[kind]()
    row = gradient_row(model, task, 2, seed=7)
    assert row == gradient_row(model, task, 2, seed=7) != gradient_row(model, task, 2, seed=8)
    assert model.readout.weight.dtype == torch.float32
    assert all(weight.grad is None for weight in model.parameters())
    assert all(math.isfinite(value) for value in row.values())
    assert row.keys() == {f"gradients/{name}" for name in {f"norm/lag-{lag}" for lag in (1, 2, 5)} | NAMES[kind]}
    batch = task.sample(4, length=2, generator=generator_for("valid", 7, 1))
    for lag in (1, 2, 5):
        _, state = model.double()(batch.input[:, : 5 - lag].double()) if lag < 5 else (None, model.initial_state(4))
        state = map_state(lambda tensor: tensor.detach().requires_grad_(), state)
        output, _ = model(batch.input[:, 5 - lag :].double(), state)
        mask = batch.mask[:, 5 - lag :].unsqueeze(-1)
        entropy = nn.functional.binary_cross_entropy_with_logits(
            output, batch.target[:, 5 - lag :].double(), reduction="none"
        )
        parts = torch.autograd.grad((entropy * mask).sum(), state_tensors(state), allow_unused=True)
        norms = torch.cat([part.flatten(1) for part in parts if part is not None], 1).norm(dim=1)
        assert row[f"gradients/norm/lag-{lag}"] == pytest.approx(float(norms.mean()), rel=1e-9)


def test_norms_count_from_the_end_of_each_sequence() -> None:
    """Sequences of repeat-copy differ in length; what pads them is no step back."""
    task = TASKS["repeat-copy"]()
    torch.manual_seed(0)
    model = GRU(task.input_size, task.output_size, hidden_size=4)
    row = gradient_row(model, task, 2, seed=0)
    batch = task.sample(4, length=2, generator=generator_for("valid", 0, 1))
    assert len(batch.lengths.unique()) > 1
    norms = []
    for place, steps in enumerate(batch.lengths.tolist()):
        one = Batch(*(part[place : place + 1, :steps] for part in batch[:3]), batch.lengths[place : place + 1])
        _, state = model.double()(one.input[:, :-1].double())
        hidden = state.hidden.detach().requires_grad_()
        last, _ = model(one.input[:, -1:].double(), RNNState(hidden))
        earlier = last.new_zeros(1, steps - 1, task.output_size)
        norms.append(torch.autograd.grad(task.loss(torch.cat([earlier, last], 1), one), hidden)[0].norm())
    assert row["gradients/norm/lag-1"] == pytest.approx(float(torch.stack(norms).mean()), rel=1e-9)
    assert f"gradients/norm/lag-{int(batch.lengths.min())}" in row


def test_a_figure_of_norms_that_are_lost() -> None:
    rows: list[dict[str, Any]] = [
        {"step": step, "gradients/norm/lag-1": one, "gradients/norm/lag-5": two}
        for step, one, two in ((1, 0.5, 0.0), (2, math.inf, 1e-30), (3, math.nan, math.nan))
    ]
    axes = gradient_flow_figure(rows, "lost").axes[0]
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    np.testing.assert_array_equal(drawn, [[0.5, np.nan], [np.nan, 1e-30], [np.nan, np.nan]])
    low, high = axes.get_ylim()
    assert low <= 1e-30
    assert 0.5 < high <= 1
    assert gradient_flow_figure(rows[2:], "all of them").axes[0].lines


def test_learning_stands_beside_the_gradients_of_runs(tmp_path: Path, capsys: Capture) -> None:
    looked = [
        "--gradient-flow-every",
        "10",
        "--steps",
        "20",
        "--valid-every",
        "10",
        "--tracker",
        "none",
        "--solved-at",
        "None",
    ]
    small = ["--hidden-size", "8", "--num-layers", "1", "--max-length", "12", "--batch-size", "4"]
    for model in ("rnn-tanh", "lstm"):
        args = ["train", "adding", "--model", model, *small, *looked, "--valid-sequences", "8"]
        assert main([*args, "--out", str(tmp_path / model)]) == 0
    args = ["train", "copy", *TINY, "--steps", "4", "--tracker", "none", "--out", str(tmp_path / "blind")]
    assert main(args) == 0
    capsys.readouterr()
    runs = [str(tmp_path / model) for model in ("rnn-tanh", "lstm")]
    assert main(["gradients", *runs, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (tmp_path / "trained-gradients.md").read_text()
    data = json.loads((tmp_path / "trained-gradients.json").read_text())
    first, _ = data["table"]["rows"]
    looks = [row for row in read_metrics(tmp_path / "rnn-tanh" / "metrics.jsonl") if "gradients/norm/lag-1" in row]
    assert first[3]["value"] == pytest.approx(1 / 6)
    assert first[5]["value"] == looks[0]["gradients/norm/lag-12"] / looks[0]["gradients/norm/lag-1"]
    assert first[5]["runs"] == [runs[0]]
    assert not (tmp_path / "gradients.md").exists()
    assert struct.unpack(">II", (tmp_path / "trained-gradients.png").read_bytes()[16:24]) == (1200, 80 + 2 * 340)
    assert main(["gradients", str(tmp_path / "blind"), "--out", str(tmp_path)]) == 2
    assert "expected a run that was trained with --gradient-flow-every" in capsys.readouterr().err
