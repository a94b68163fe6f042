"""Several seeds at once: each as if it were alone, whatever way they are trained."""

import json
import math
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.__main__ import main
from experiments.base import processes
from experiments.base.files import UserError
from experiments.base.processes import Job, experiments_command, run_jobs
from experiments.base.progress import Progress
from experiments.base.provenance import command_line
from experiments.base.stopping import Stopped
from experiments.config.command_line import parse_train
from experiments.config.form import Config, from_yaml
from experiments.domains.sequences import commands
from experiments.domains.sequences.models import make_model
from experiments.domains.sequences.training import SequenceObjective
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, read_metrics
from experiments.runs.tracking import Tracker
from experiments.training import together
from experiments.training.running import NOT_SOLVED, make_trainer, take_up
from experiments.training.stacking import Stack, gain, train_stacked
from experiments.training.together import choose_way
from experiments.training.trainer import Trainer
from tasks import TASKS, Batch
from tests.configurations import configured
from tests.running import TINY, assert_has_finished, tiny
from tests.test_training import assert_same_run, checkpoint_tensors, without_clock

Capture = pytest.CaptureFixture[str]

MODELS = {
    "lstm": ["--model", "lstm", "--num-layers", "2", "--learned-initial-state", "True"],
    "gru": ["--model", "gru", "--optimizer", "rmsprop", "--clip-value", "0.1"],
    "ntm": ["--memory-init", "random", "--addressing", "content-and-location"],
}
every_model = pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)


def config_of(folder: Path, seed: int, *options: object) -> Config[Any]:
    args = ["copy", *tiny("--steps", 14, "--weight-noise", 0.02, *options, "--seed", seed, "--out", folder)]
    return parse_train([str(arg) for arg in args])


def train_alone(config: Config[Any]) -> None:
    """What `train` does before it tests."""
    folder = RunFolder.create(config)
    trainer = make_trainer(config, folder, "id")
    take_up(folder, trainer)
    with MetricsFile(folder.metrics) as metrics, Progress(1) as progress:
        trainer.train(metrics, Tracker("id"), progress)


@every_model
def test_stacked_gradients_are_those_of_each_alone(options: list[str], tmp_path: Path) -> None:
    """Of weights, data and lengths of their own."""
    config, task = config_of(tmp_path, 0, *options), TASKS["copy"]()
    torch.manual_seed(0)
    models = [make_model(config).double() for _ in range(3)]
    batches = [task.sample(2, length=length, generator=torch.Generator().manual_seed(length)) for length in (3, 1, 5)]
    batches = [Batch(one.input.double(), one.target.double(), one.mask, one.lengths) for one in batches]
    expected = []
    for model, batch in zip(models, batches, strict=True):
        loss = task.loss(model(batch.input)[0], batch)
        expected.append((loss.item(), torch.autograd.grad(loss, list(model.parameters()))))
    counted = Stack(models, SequenceObjective(config, config.learned)).backpropagate(batches)
    for model, counts, (alone, gradients) in zip(models, counted, expected, strict=True):
        assert counts["loss"].item() == pytest.approx(alone, rel=1e-12)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [MODELS["gru"], MODELS["ntm"]], ids=["gru", "ntm"])
def test_stacked_seeds_equal_single_runs_within_rounding(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of metrics and all that is in the checkpoint, with weight noise, validations and the cooldown."""
    for seed in (3, 4, 5):
        train_alone(config_of(tmp_path / f"alone{seed}", seed, *options))
    configs = [config_of(tmp_path / f"s{seed}", seed, *options) for seed in (3, 4, 5)]
    made, data = list[Any](), commands.possible_data
    monkeypatch.setattr(commands, "possible_data", lambda config: made.append(data(config)) or made[-1])
    assert train_stacked(configs, "seeds") == set()
    assert len(made) == 1  # for all
    for seed in (3, 4, 5):
        alone, together = tmp_path / f"alone{seed}", tmp_path / f"s{seed}"
        assert (alone / "config.yaml").read_bytes() == (together / "config.yaml").read_bytes()
        for one, other in zip(without_clock(alone), without_clock(together), strict=True):
            assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
        expected, found = checkpoint_tensors(alone), checkpoint_tensors(together)
        assert torch.equal(expected.pop("generator"), found.pop("generator"))
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


def ending(at: int, seed: int, what: Callable[[], float | None]) -> Any:
    """A Trainer.end that does something more in one seed's step, and may be told another loss."""
    honest = Trainer.end

    def end(trainer: Trainer[Any], counts: dict[str, Tensor], progress: Progress) -> None:
        if (trainer.step, trainer.config.run.seed) == (at, seed) and (loss := what()) is not None:
            counts = {**counts, "loss": torch.tensor(loss)}
        honest(trainer, counts, progress)

    return end


def resumed(configs: Sequence[Config[Any]]) -> list[Config[Any]]:
    return [config.changed(out=None, resume=config.where.out) for config in configs]


def test_a_seed_that_fails_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    configs = [config_of(tmp_path / f"s{seed}", seed, "--model", "gru") for seed in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "end", ending(6, 1, lambda: float("nan")))
        assert train_stacked(configs, "seeds") == {1}
    assert re.search(r"seed 1: error: step 7: .*nan.*s1/checkpoint.safetensors", capsys.readouterr().err)
    last = [read_metrics(tmp_path / f"s{seed}" / "metrics.jsonl")[-1] for seed in range(3)]
    assert [row["step"] for row in last] == [14, 7, 14]
    assert math.isnan(last[1]["train/loss"])
    assert train_stacked(resumed(configs), "seeds") == set()
    train_alone(config_of(tmp_path / "alone", 1, "--model", "gru"))
    for one, other in zip(without_clock(tmp_path / "alone"), without_clock(tmp_path / "s1"), strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_stopped_seeds_go_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [config_of(tmp_path / f"whole{seed}", seed, "--model", "lstm") for seed in range(2)]
    assert train_stacked(whole, "seeds") == set()
    configs = [config_of(tmp_path / f"s{seed}", seed, "--model", "lstm") for seed in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "end", ending(6, 0, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(Stopped, match="SIGTERM"):
            train_stacked(configs, "seeds")
    assert train_stacked(resumed(configs), "seeds") == set()
    for seed in range(2):
        assert_same_run(tmp_path / f"whole{seed}", tmp_path / f"s{seed}")
        assert len(RunFolder(tmp_path / f"s{seed}").commands()) == 2


def without_processes(monkeypatch: pytest.MonkeyPatch, failing: Sequence[int] = ()) -> list[int]:
    """Run jobs within this process, without pictures; some fail. Returns the list of the seeds that will be run."""
    ran: list[int] = []
    monkeypatch.setattr(commands, "draw_run", lambda *_: [])

    def run_jobs(
        jobs: Sequence[Job], at_once: int, tell: Callable[[Job, int], None], look: Callable[[Sequence[Job]], None]
    ) -> None:
        for job in jobs:
            seed = int(job.name.removeprefix("s"))
            ran.append(seed)
            job.log.parent.mkdir(exist_ok=True)
            job.log.write_text("step 1\nerror: no luck\n")
            tell(job, 1 if seed in failing else main(job.command[3:]))

    monkeypatch.setattr(together, "run_jobs", run_jobs)
    return ran


@pytest.mark.parametrize("way", ["stacked", "processes"])
def test_each_seed_gets_a_run_of_its_own(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    group, options = tmp_path / "group", tiny("--model", "gru", "--steps", "8", "--solved-at", "0.01")
    ran = without_processes(monkeypatch, failing=[4])
    args = ["train", "copy", *options, "--seed", "3", "--seeds", "2", "--together", way, "--out", str(group)]
    assert main(args) == 1
    printed = capsys.readouterr()
    assert re.search(f"seeds 3, 4 in .*group: {way} .as asked.", printed.err)
    assert "seed 4: failed with exit code 1: no luck (2 of 2)" in printed.err
    assert "1 of 2" not in printed.out
    assert "failed   4" in printed.out
    monkeypatch.undo()
    again = without_processes(monkeypatch)
    assert main(["train", "--resume", str(group)]) == NOT_SOLVED
    assert (ran, again) == ([3, 4], [4])
    printed = capsys.readouterr()
    assert "0 of 2 seeds" in printed.out
    assert f"summarize {group}/s*" in printed.out
    assert [from_yaml(RunFolder(group / f"s{seed}").config).run.seed for seed in (3, 4)] == [3, 4]
    assert main(["evaluate", str(group / "s3"), "--length", "2", "--sequences", "2"]) == 0
    if way == "processes":
        assert main(["summarize", str(group / "s3"), str(group / "s4"), "--out", str(tmp_path / "both")]) == 0
        assert main(["train", "copy", *options, "--seed", "4", "--out", str(tmp_path / "alone")]) == NOT_SOLVED
        assert_same_run(tmp_path / "alone", group / "s4")
    assert main(["train", "--resume", str(group), "--steps", "10"]) == NOT_SOLVED
    assert again == [4, 3, 4]
    assert from_yaml(RunFolder(group / "s3").config).training.steps == 10
    began = args if way == "stacked" else [*args[:-8], "--seed", "3", "--out", str(group / "s3")]
    assert RunFolder(group / "s3").commands()[0] == command_line(*began)
    assert RunFolder(group / "s3").read_json(group / "s3" / "result.json", {})["resumed_by"]
    for seed in (3, 4):
        assert_has_finished(group / f"s{seed}")


def test_stopped_processes_are_told_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def run_jobs(jobs: Sequence[Job], at_once: int, tell: Callable[[Job, int], None], *_: Any) -> None:
        for job in jobs:
            tell(job, 128 + signal.SIGINT)
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(together, "run_jobs", run_jobs)
    group = tmp_path / "group"
    args = ["train", "copy", *tiny("--model", "gru"), "--seeds", "2", "--together", "processes", "--out", str(group)]
    assert main(args) == 128 + signal.SIGINT
    told = capsys.readouterr().err
    assert "seed 0: stopped (1 of 2)" in told
    assert f"stopped; go on with: python -m experiments train --resume {group}\n" in told


def test_jobs_end_with_their_exit_codes(tmp_path: Path) -> None:
    ended: dict[str, int] = {}
    commands = {"s0": ["--help"], "s1": ["train", "cpoy"]}
    jobs = [Job(name, experiments_command(*args), tmp_path / f"{name}.log") for name, args in commands.items()]
    run_jobs(jobs, 1, lambda job, code: ended.update({job.name: code}), lambda running: None)
    assert ended == {"s0": 0, "s1": 2}
    assert "usage: python -m experiments" in (tmp_path / "s0.log").read_text()
    assert "did you mean 'copy'" in (tmp_path / "s1.log").read_text()


def way_of(monkeypatch: pytest.MonkeyPatch, faster: float, cores: int, **options: Any) -> tuple[str, str]:
    monkeypatch.setattr(together, "gain", lambda *_: faster)
    monkeypatch.setattr(processes, "cores", lambda: cores)
    return choose_way(configured("copy", num_layers=1, **options), 10)


def test_the_faster_way_is_chosen_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert way_of(monkeypatch, 3.1, 2, model="slstm")[0] == "stacked"
    way, reason = way_of(monkeypatch, 3.1, 16, model="slstm")
    assert way == "processes"
    assert "3.1 times" in reason
    assert "10 fit" in reason
    assert way_of(monkeypatch, 3.1, 4, model="slstm", threads=2)[0] == "stacked"
    assert way_of(monkeypatch, 9.0, 2, backend="eager")[0] == "stacked"
    for options in ({"backend": "compile"}, {"truncate": 5}, {"checkpoint_steps": 5}):
        assert way_of(monkeypatch, 9.0, 2, **options)[0] == "processes"
    assert choose_way(configured("babi"), 10)[0] == "processes"


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="the native step needs a C++ compiler")
def test_native_runs_are_not_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert way_of(monkeypatch, 9.0, 2) == ("processes", "the native step is faster than a stack")


def test_the_gain_is_measured() -> None:
    config = configured("copy", model="gru", num_layers=1, hidden_size=4, max_length=2, batch_size=1)
    assert gain(SequenceObjective(config, config.learned), torch.Generator(), 3) > 0


@pytest.mark.parametrize("options", [{"backend": "native"}, {"backend": "compile"}, {"truncate": 3}], ids=str)
def test_what_cannot_be_stacked_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="--together stacked cannot be: --"):
        choose_way(configured("copy", seeds=2, together="stacked", **options), 2)


def test_a_group_that_cannot_be_resumed(tmp_path: Path, capsys: Capture) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (group / "group.json").write_text(json.dumps({"args": ["copy", *TINY], "seeds": [0, 1]}))
    for more, words in (
        (["--seeds", "3"], "own 2 seeds, not 3"),
        (["--together", "apart"], "--together.*'apart'"),
        (["--hidden-size", "0"], "hidden_size|hidden-size"),
    ):
        assert main(["train", "--resume", str(group), *more]) == 2
        assert re.search(words, capsys.readouterr().err)
    assert [path.name for path in group.iterdir()] == ["group.json"]
    (group / "group.json").write_text("{")
    assert main(["train", "--resume", str(group)]) == 2
    assert "group.json" in capsys.readouterr().err


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "too long"])
def test_a_process_that_does_not_end_is_killed(stopped: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It ignores what it is asked, or cannot hear it."""
    monkeypatch.setattr(processes, "GRACE", 0.2)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(100)"
    job = Job("deaf", [sys.executable, "-I", "-S", "-c", code], tmp_path / "log")
    codes: list[int] = []

    def look(running: Sequence[Job]) -> None:
        if stopped and running and job.log.exists() and "deaf" in job.log.read_text():
            os.kill(os.getpid(), signal.SIGTERM)

    queue = processes._List([job], lambda job, code: codes.append(code), look)
    began = time.monotonic()
    if stopped:
        with pytest.raises(Stopped):
            processes.run_queue(queue, 1)
    else:
        processes.run_queue(queue, 1, longest=1.0)
    assert time.monotonic() - began < 30
    assert codes == [-signal.SIGKILL if stopped else processes.TOO_LONG]


def test_the_last_line_of_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(10**12)  # sparse: it takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nerror: no such file\n")
    assert processes.last_line(log) == "no such file"
