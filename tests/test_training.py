"""Training: what it learns, what it leaves, and that stopping changes nothing."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.config.command_line import parse_train
from experiments.config.form import from_yaml, started
from experiments.domains.sequences import commands
from experiments.domains.sequences.curriculum import Curriculum
from experiments.domains.sequences.evaluation import evaluate, validation_batches
from experiments.domains.sequences.models import make_model, training_lengths
from experiments.domains.sequences.training import SequenceObjective
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, read_metrics
from experiments.runs.reading import read_run
from experiments.runs.tracking import Tracker
from experiments.training.optimizers import GravesRMSProp
from experiments.training.running import NOT_SOLVED, make_trainer, take_up, verdict
from experiments.training.trainer import Trainer
from experiments.training.updates import Noise
from tasks import TASKS, BitTask
from tests.configurations import configured
from tests.forked import Forked
from tests.running import TINY, assert_has_finished, start, tiny
from tests.unpainted import drawn

MODELS = {
    "rmsprop-noise-lstm": [
        *("--optimizer", "rmsprop", "--clip-value", "1", "--clip-norm", "None", "--weight-noise", "0.02"),
        *("--controller", "lstm", "--num-reads", "2", "--learned-initial-state", "True", "--memory-init", "learned"),
    ],
    "anew": ["--restart-after", "8", "--keep-best", "True", "--curriculum", "growing"],
    "growing-gru": ["--model", "gru", "--curriculum", "growing", "--growing-start", "1", "--growing-threshold", "2"],
}


def train(folder: Path, *more: object) -> int:
    return main(["train", "copy", *tiny("--steps", 24, "--out", folder, *more)])


def without_clock(folder: Path) -> list[dict[str, object]]:
    rows = read_metrics(folder / "metrics.jsonl")
    return [{key: value for key, value in row.items() if not key.startswith("perf/")} for row in rows]


def checkpoint_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint.safetensors")


def assert_same_run(one: Path, other: Path) -> None:
    assert without_clock(one) == without_clock(other)
    expected, found = checkpoint_tensors(one), checkpoint_tensors(other)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def die_at(trainer: Trainer[Any], stop_at: int) -> None:
    """Train, but die without a word after a number of steps."""

    class Died(Exception):
        pass

    class Dying(Tracker):
        def log(self, row: object) -> None:
            if trainer.step >= stop_at:
                raise Died

    with MetricsFile(trainer.folder.metrics) as metrics, pytest.raises(Died):
        trainer.train(metrics, Dying("id"), Progress(1))


def go_on(trainer: Trainer[Any]) -> None:
    """Train as `train` does, from the folder's checkpoint on if there is one, without tests and figures."""
    assert take_up(trainer.folder, trainer) is not None
    with MetricsFile(trainer.folder.metrics) as metrics:
        trainer.train(metrics, Tracker("id"), Progress(1))


def trainer_of(folder: Path, *options: str) -> Trainer[Any]:
    """The training of a new run, or of the one that is there."""
    if folder.exists():
        return make_trainer(parse_train(["--resume", str(folder)]), RunFolder(folder), "id")
    config = parse_train(["copy", *tiny("--steps", 24, "--out", folder, *options)])
    return make_trainer(config, RunFolder.create(config), "id")


def run_until(folder: Path, stop_at: int, *options: str) -> None:
    """Train as `train` does, but die without a word after a number of steps."""
    die_at(trainer_of(folder, *options), stop_at)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_a_killed_run_resumed_equals_one_never_stopped(tmp_path: Path, options: list[str]) -> None:
    go_on(trainer_of(tmp_path / "whole", *options))
    for stop_at in (6, 9, 20):
        killed = tmp_path / f"killed-{stop_at}"
        run_until(killed, stop_at, *options)
        go_on(trainer_of(killed))
        assert_same_run(tmp_path / "whole", killed)


def test_same_seed_same_run_and_other_seed_another(tmp_path: Path) -> None:
    for name, seed in (("one", "3"), ("two", "3"), ("other", "4")):
        go_on(trainer_of(tmp_path / name, "--seed", seed))
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert without_clock(tmp_path / "one") != without_clock(tmp_path / "other")


def test_a_finished_run_can_be_resumed_with_more_steps(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--cooldown-steps", "0") == 0
    before = (tmp_path / "run" / "weights.safetensors").read_bytes()
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "30"]) == 0
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 30
    assert from_yaml(RunFolder(tmp_path / "run").config).training.steps == 30
    assert "--steps 60" in assert_has_finished(tmp_path / "run", "--steps", "20")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() != before
    go_on(trainer_of(tmp_path / "whole", "--cooldown-steps", "0", "--steps", "30"))
    generators = [checkpoint_tensors(tmp_path / name)["generator"] for name in ("run", "whole")]
    assert torch.equal(*generators)


LONG = ["--steps", "250"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing has stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    go_on(trainer_of(folder, *LONG))
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_leave_a_checkpoint_that_goes_on(
    tmp_path: Path, whole: Path, number: int, code: int
) -> None:
    run = tmp_path / "run"
    process = start("train", "copy", *TINY, *LONG, "--out", run)
    while not (run / "metrics.jsonl").exists() or len(read_metrics(run / "metrics.jsonl")) < 5:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    go_on(trainer_of(run))
    assert_same_run(whole, run)


@pytest.mark.parametrize("seconds", [0.0, 0.4, 1.0])
def test_ctrl_c_while_starting_stops_in_one_line(tmp_path: Path, seconds: float) -> None:
    run = tmp_path / "run"
    process = start("train", "copy", *TINY[:-2], "--steps", "100000", "--out", run)
    while not (run / "config.yaml").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped" in errors
    assert "Traceback" not in errors


def test_kill_9_loses_nothing_that_was_checkpointed(tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    process = start("train", "copy", *TINY, *LONG, "--out", run)
    while not (run / "metrics.jsonl").exists() or len(read_metrics(run / "metrics.jsonl")) < 9:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert main(["evaluate", str(run), "--length", "3", "--sequences", "2"]) == 0
    assert main(["train", "--resume", str(run)]) == 0
    assert_same_run(whole, run)


def test_a_run_that_died_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    go_on(trainer_of(tmp_path / "whole"))
    trainer_of(tmp_path / "died")
    assert main(["train", "--resume", str(tmp_path / "died")]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "died")


@drawn()
def test_a_run_leaves_everything_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(run, "--seed", 7, "--solved-at", 0.01) == NOT_SOLVED
    printed = capsys.readouterr().out
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "checkpoint.safetensors",
        *("about.json", "commands.json"),
        "weights.safetensors",
        "result.json",
        "evaluation.json",
        "failures.jsonl",
        "figures",
        ".lock",
    }
    assert {path.name for path in (run / "figures").iterdir()} == {
        "memory-3.png",
        "memory-120.png",
        "learning-curve.png",
        "error-by-length.png",
        "training",
    }
    assert from_yaml(RunFolder(run).config) == started("copy").changed(
        seed=7,
        hidden_size=12,
        num_slots=16,
        slot_size=6,
        max_length=3,
        batch_size=4,
        valid_sequences=6,
        test_sequences=2,
        log_every=3,
        valid_every=5,
        checkpoint_every=4,
        cooldown_steps=6,
        tracker="none",
        steps=24,
    )
    result = json.loads((run / "result.json").read_text())
    assert (result["steps"], result["sequences"]) == (24, 96)
    assert [row["at"]["length"] for row in json.loads((run / "evaluation.json").read_text())] == [20, 40, 80, 120]
    for shown in ("exactly right", "bit error rate", str(run), "experiments evaluate", "experiments show"):
        assert shown in printed
    assert "copy: not solved in 96 sequences" in printed
    assert f"experiments train --resume {run} --steps 48" in printed
    assert "addressing by location, noise of 0.02 on the weights" in printed


def test_weight_noise_moves_the_weights_for_one_step_only(tmp_path: Path) -> None:
    options = {"steps": 1, "cooldown_steps": 0, "valid_every": 9, "log_every": 9, "tracker": "none"}
    config = configured("copy", weight_noise=0.1, out=str(tmp_path / "run"), **options)  # type: ignore[arg-type]
    trainer = make_trainer(config, RunFolder.create(config), "id")
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    with trainer.noisy():
        moved = torch.cat([(tensor - before[name]).flatten() for name, tensor in trainer.model.state_dict().items()])
        draws = moved[moved != 0]
        assert len(draws) == sum(parameter.numel() for parameter in trainer.model.parameters())
        assert draws.std().item() == pytest.approx(0.1, rel=0.02)
        assert abs(draws.mean().item()) < 0.002
        logits, _ = trainer.model(torch.ones(1, 3, trainer.objective.data.input_size))
        logits.sum().backward()
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    gradients = [parameter.grad.clone() for parameter in trainer.model.parameters() if parameter.grad is not None]
    trainer.model.zero_grad()
    logits, _ = trainer.model(torch.ones(1, 3, trainer.objective.data.input_size))
    logits.sum().backward()
    clean = [parameter.grad for parameter in trainer.model.parameters() if parameter.grad is not None]
    assert any(not torch.allclose(one, other) for one, other in zip(gradients, clean, strict=True))


@pytest.mark.parametrize("noise", [0.2, 0.0, None])
def test_noise_of_the_cooldown_begins_when_the_rate_falls(tmp_path: Path, noise: float | None) -> None:
    options = {"steps": 8, "cooldown_steps": 5, "cooldown_noise": noise, "tracker": "none"}
    config = configured("copy", weight_noise=0.1, out=str(tmp_path / "run"), **options)  # type: ignore[arg-type]
    trainer = make_trainer(config, RunFolder.create(config), "id")
    (first, *_) = trainer.model.parameters()
    own, seen = first.detach().clone(), []
    for trainer.step in range(8):
        with trainer.noisy():
            seen.append(float((first.detach() - own).std()))
    later = 0.1 if noise is None else noise
    # The rate of the step that begins it is still whole.
    assert seen == pytest.approx([0.1] * 4 + [later] * 4, rel=0.15)
    trainer.step, trainer.solved_step = 2, 1
    with trainer.noisy():
        assert float((first.detach() - own).std()) == pytest.approx(later, rel=0.15)


def test_noise_hangs_on_seed_and_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was drawn before it, and whoever moves the weights, also where they do not lie in order."""

    def moved(seed: int, *steps: int) -> torch.Tensor:
        torch.manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(3, 7)), torch.nn.Parameter(torch.randn(20))]
        before, noise = [one.detach().clone() for one in weights], Noise(weights, seed)
        weights[0].data = before[0].t().contiguous().t() if len(steps) == 2 else before[0].clone()
        for step in steps:
            with noise.added(0.1, step):
                found = torch.cat([(one - own).flatten() for one, own in zip(weights, before, strict=True)])
            assert all(map(torch.equal, weights, before))
        return found.detach()

    known = moved(1, 70)
    torch.testing.assert_close(moved(1, *range(71)), known)
    torch.testing.assert_close(moved(1, 3, 70), known)
    assert not any(torch.allclose(other, known) for other in (moved(1, 69), moved(1, 6), moved(2, 70)))
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    torch.testing.assert_close(moved(1, 64, 65, 70), known)


@pytest.mark.parametrize("curriculum", ["uniform", "growing"])
def test_batches_that_are_drawn_ahead_are_those_that_would_be_drawn_and_can_be_given_back(curriculum: str) -> None:
    options: Any = {"curriculum": curriculum, "growing_start": 2, "batch_size": 2, "max_length": 6}
    objective = SequenceObjective(configured("copy", **options), TASKS["copy"]())
    model: Any = objective.new_model()
    ahead, plain = (torch.Generator().manual_seed(3) for _ in range(2))
    for step in range(60):
        for one, other in zip(objective.draw(model, step, ahead), objective._draw(plain), strict=True):
            assert torch.equal(one, other)
        # While lessons grow, the next may be longer.
        assert torch.equal(ahead.get_state(), plain.get_state()) == (curriculum == "growing" or step == 52)
        if step in (20, 52):
            objective.give_back(ahead)
            assert torch.equal(ahead.get_state(), plain.get_state())


def test_solving_is_noticed_and_stops_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Any model "solves" a task whose threshold is above its error.
    assert train(tmp_path / "run", "--solved-at", 1000) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["sequences_to_solve"] == 5 * 4
    assert result["steps"] == 5 + 6
    printed = capsys.readouterr()
    assert "solved after 20 sequences" in printed.out
    assert "--resume" not in printed.out
    assert "solved after 20 sequences" in printed.err


def test_an_agent_does_not_take_what_is_not_solved_for_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [verdict(solved=solved) for solved in (True, False)] == [0, NOT_SOLVED]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    assert verdict(solved=False) == 0


def test_what_is_stuck_begins_again_and_the_best_weights_are_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A high rate at the end spoils what was best; a run that begins again is one that began with those weights."""
    options = ["--restart-after", 10, "--solved-at", 1e-9, "--keep-best", "True", "--cooldown-steps", 0]
    assert train(tmp_path / "run", *options, "--steps", 30) == NOT_SOLVED
    assert capsys.readouterr().err.count("begins again with new weights") == 2
    run = tmp_path / "run"
    assert json.loads((run / "result.json").read_text())["begun"] == 3
    rows = [row for row in read_metrics(run / "metrics.jsonl") if "valid/bits_per_sequence" in row]
    last = [row["valid/bits_per_sequence"] for row in rows if row["step"] > 20]
    config, trained = from_yaml(run / "config.yaml"), load_file(run / "weights.safetensors")
    model = make_model(config)
    model.load_state_dict(trained)
    batches = validation_batches(TASKS["copy"](), training_lengths(config), 6, config.run.seed)
    assert evaluate(model, TASKS["copy"](), batches)["bits_per_sequence"] == min(last)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tasks import Copy

    honest, calls = Copy.losses, []

    def breaking(self: Copy, logits: torch.Tensor, batch: object) -> torch.Tensor:
        calls.extend([1] * torch.is_grad_enabled())  # validation has none
        return honest(self, logits, batch) * (torch.nan if len(calls) == 11 else 1.0)

    monkeypatch.setattr(Copy, "losses", breaking)
    assert train(tmp_path / "run") == 1
    told = capsys.readouterr().err
    assert "step 11" in told
    assert "checkpoint.safetensors" in told
    assert "--clip-norm" in told
    assert read_run(tmp_path / "run").status == "diverged"
    monkeypatch.setattr(Copy, "loss", honest)
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    go_on(trainer_of(tmp_path / "whole"))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_rmsprop_is_the_one_of_graves_2013() -> None:
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(3, dtype=torch.float64))
    optimizer = GravesRMSProp([parameter], lr=0.01, momentum=0.9)
    value, n, g, delta = parameter.detach().clone(), [0.0] * 3, [0.0] * 3, [0.0] * 3
    for _ in range(20):
        gradient = torch.randn(3, dtype=torch.float64)
        parameter.grad = gradient.clone()
        optimizer.gather()
        optimizer.step()
        for i in range(3):
            e = gradient[i].item()
            n[i] = 0.95 * n[i] + 0.05 * e * e
            g[i] = 0.95 * g[i] + 0.05 * e
            delta[i] = 0.9 * delta[i] - 0.01 * e / (n[i] - g[i] ** 2 + 1e-4) ** 0.5
            value[i] += delta[i]
    assert torch.allclose(parameter, value, rtol=1e-12)


def test_rmsprop_bears_large_constant_gradients() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer = GravesRMSProp([parameter], lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(600):
        parameter.grad = 100 + torch.rand(4, generator=generator)
        optimizer.gather()
        optimizer.step()
    assert parameter.isfinite().all()


def test_curricula_draw_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(**options: object) -> set[int]:
        curriculum = Curriculum(configured("copy", **options).training, (2, 6))
        return {curriculum.draw(generator) for _ in range(300)}

    assert drawn(curriculum="uniform") == {2, 3, 4, 5, 6}
    assert drawn(curriculum="fixed") == {6}
    assert drawn(curriculum="growing", growing_start=3) == {2, 3}
    growing = Curriculum(configured("copy", curriculum="growing", growing_start=3).training, (2, 6))
    for _ in range(19):
        growing.report(0.05)
    assert growing.limit == 3
    growing.report(0.05)
    assert growing.limit == 4
    for _ in range(40):
        growing.report(0.5)
    assert growing.limit == 4


@pytest.mark.parametrize(
    "options",
    [
        ["--controller", "feedforward", "--learning-rate", "0.005", "--num-slots", "6", "--slot-size", "10"],
        ["--controller", "lstm", "--learning-rate", "0.01", "--num-slots", "6", "--slot-size", "10"],
        ["--model", "gru", "--hidden-size", "40", "--learning-rate", "0.01"],
        ["--model", "rnn-tanh", "--hidden-size", "40", "--learning-rate", "0.005"],
    ],
    ids=lambda options: options[1],
)
def test_every_model_learns_a_small_copy(tmp_path: Path, options: list[str]) -> None:
    small = [
        "--num-layers",
        "1",
        "--max-length",
        "1",
        "--hidden-size",
        "32",
        "--steps",
        "600",
        "--cooldown-steps",
        "100",
    ]
    more = [
        "--valid-sequences",
        "50",
        "--valid-every",
        "50",
        "--test-sequences",
        "1",
        "--tracker",
        "none",
        "--solved-at",
        "0.1",
        "--valid-length",
        "1",
    ]
    assert main(["train", "copy", *small, *more, *options, "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["sequences_to_solve"] is not None


# Tasks of long dependencies are trained in tests of their own.
@drawn()
@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if issubclass(task, BitTask)])
def test_every_task_trains_and_is_tested_and_drawn(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    length = TINY.index("--max-length")
    tiny = [*TINY[:length], *TINY[length + 2 :]]
    options = ["--steps", "2", "--valid-every", "2", "--valid-sequences", "2", "--out", str(run)]
    # With keys of four bits there are no more than sixteen pairs.
    few = task == "key-value-recall"
    assert main(["train", task, "--model", "ntm", *tiny, *options, *(["--num-bits", "4"] if few else [])]) == 0
    rows = json.loads((run / "evaluation.json").read_text())
    tested = [*TASKS[task].test_lengths] * (1 + len(TASKS[task].variants))
    assert [row["at"]["length"] for row in rows] == ([16] if few else tested)
    assert ("optimal bits/seq" in capsys.readouterr().out) == (task == "dynamic-ngrams")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (run / "figures").rglob("*.png"))


def test_what_was_trained_on_random_graphs_is_tested_on_a_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    tiny = "--model lstm --hidden-size 5 --batch-size 2 --steps 2 --valid-sequences 3 --test-sequences 2 --tracker none"
    lessons = "--lessons True --curriculum growing --growing-start 1"
    assert main(["train", "relation-inference", *tiny.split(), *lessons.split(), "--out", str(run)]) == 3
    again = ["evaluate", str(run), "--length", "2", "--sequences", "4"]
    assert main([*again, "--variant", "family"]) == 0
    rows = json.loads((run / "evaluation.json").read_text())
    told = {(row["at"]["length"], row["at"].get("variant"), row["as_trained"], row["count"]) for row in rows}
    assert told == {
        *((length, None, True, 2) for length in (1, 2, 3)),
        *((length, "family", False, 4 if length == 2 else 2) for length in (1, 2, 3)),
    }
    capsys.readouterr()
    assert main([*again, "--repeats", "3"]) == 2
    assert "has no repeats" in capsys.readouterr().err


def test_a_length_that_cannot_be_tested_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, test_at = trainer_of(tmp_path / "run"), commands.test_at

    def unlucky(model: Any, task: Any, length: int, **options: Any) -> Any:
        if length == 40:
            raise UserError("no luck")
        return test_at(model, task, length, **options)

    monkeypatch.setattr(commands, "test_at", unlucky)
    rows = commands.finish(trainer, trainer.folder).tested.rows
    assert [row["at"]["length"] for row in rows] == [20, 80, 120]
    assert "warning: not tested at 40 vectors: no luck" in capsys.readouterr().err


@pytest.mark.parametrize("controller", ["feedforward", "rnn-relu", "lstm"])
def test_the_smallest_sizes_train(controller: str, tmp_path: Path) -> None:
    least = "--num-slots 1 --shift-range 0 --slot-size 1 --hidden-size 1 --batch-size 1 --max-length 1 --steps 3"
    least += " --solved-at None"
    rest = f"--valid-sequences 1 --test-sequences 1 --valid-every 1 --tracker none --controller {controller}"
    assert main(["train", "copy", *least.split(), *rest.split(), "--out", str(tmp_path / "run")]) == 0


def test_two_runs_at_once_get_two_folders(tmp_path: Path) -> None:
    both = [Forked("experiments", "train", "copy", *TINY, "--steps", "5", folder=tmp_path) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "copy-ntm-feedforward-s0",
        "copy-ntm-feedforward-s0-2",
    ]


def test_validation_takes_some_of_very_many_lengths() -> None:
    task = TASKS["copy"]()
    batches = validation_batches(task, (1, 100_000), 3, 0)
    assert [(batch.input.size(0), (batch.input.size(1) - 1) // 2) for batch in batches] == [
        (1, 1),
        (1, 50_000),
        (1, 100_000),
    ]
    assert [batch.input.size(0) for batch in validation_batches(task, (1, 3), 7, 0)] == [3, 3, 3]
