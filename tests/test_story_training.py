"""Training on stories: restarts that do not touch, the schedule, the choice, and that stopping changes nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from experiments.__main__ import main
from experiments.base.progress import Progress
from experiments.base.seeds import generator_for
from experiments.config.form import from_yaml, started
from experiments.domains.stories.models import make_models
from experiments.domains.stories.published import published_for
from experiments.domains.stories.restarts import stack, unstack
from experiments.domains.stories.testing import measure
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_metrics
from experiments.runs.outcomes import choose
from experiments.training.loading import load_run
from experiments.training.optimizers import SGD
from experiments.training.running import take_up
from experiments.training.updates import UpdatesByCopy
from memnet import MemN2N
from tasks.babi import TASK_NAMES, examples_of, file_name, generate, write_stories
from tests.babi_release import DATA, needs_release
from tests.running import ROOT, assert_has_finished
from tests.story_runs import MEMN2N, MODELS, TINY, WORLD, config_of, train, trainer_of
from tests.test_training import assert_same_run, die_at, go_on, without_clock
from tests.unpainted import drawn


def clip(parameters: list[nn.Parameter], limit: float) -> None:
    """As clip_grad_norm_, but exactly."""
    norm = torch.cat([one.grad.flatten() for one in parameters if one.grad is not None]).norm()
    for one in parameters:
        assert one.grad is not None
        one.grad *= (limit / norm).clamp_max(1)


@pytest.mark.parametrize("name", ["memn2n-restarts", "entnet-restarts", "kv"])
def test_restarts_trained_together_equal_each_trained_alone(name: str, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run", *MODELS[name], "--clip-norm", "2")
    config, data = trainer.objective.config, trainer.objective.data
    alone = [model.double().train() for model in make_models(config, data.sizes)]
    trainer.model.double()
    drawn = generator_for("train", config.run.seed)
    makers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizers = [
        makers[config.training.optimizer](model.parameters(), lr=config.training.learning_rate) for model in alone
    ]
    progress = Progress(1)
    for _ in range(8):
        batch = data.draw(config.training.restarts * config.training.batch_size, drawn)
        given: dict[str, Tensor] = {"story_lengths": batch.lengths}
        if isinstance(alone[0], MemN2N):
            given["times"] = alone[0].draw_times(batch.lengths, batch.story.size(1), drawn)
        for restart, (model, optimizer) in enumerate(zip(alone, optimizers, strict=True)):
            if isinstance(model, MemN2N):
                model.linear_start = trainer.step < trainer.objective.schedule.first_steps
            rows = slice(restart * config.training.batch_size, (restart + 1) * config.training.batch_size)
            logits = model(batch.story[rows], batch.question[rows], **{key: one[rows] for key, one in given.items()})
            optimizer.zero_grad()
            functional.cross_entropy(logits, batch.answer[rows], reduction="sum").backward()
            groups = (
                [[one] for one in model.parameters()]
                if config.training.clip == "matrix"
                else [list(model.parameters())]
            )
            for group in groups:
                clip(group, 2.0)
            optimizer.step()
        trainer.update(progress)
    for restart, model in enumerate(alone):
        found = unstack(trainer.model, config.training.restarts, restart)
        for key, parameter in model.named_parameters():
            torch.testing.assert_close(found.get_parameter(key), parameter, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["memn2n-restarts", "kv", "lstm"])
def test_groups_of_like_length_change_rounding_only(name: str, tmp_path: Path) -> None:
    trainers = [
        trainer_of(tmp_path / str(groups), *MODELS[name], "--length-groups", groups, task="1,2,4") for groups in (1, 3)
    ]
    for trainer in trainers:
        trainer.model.double()
        for _ in range(6):
            trainer.update(Progress(1))
    for one, other in zip(*(trainer.model.parameters() for trainer in trainers), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    for one, other in zip(*(trainer.objective.kept for trainer in trainers), strict=True):
        assert one["wrong"] == other["wrong"]
        assert one["loss"] == pytest.approx(other["loss"])


def test_restarts_begin_differently_and_read_different_questions(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run", *MODELS["memn2n-restarts"])
    for parameter in trainer.model.parameters():
        assert not torch.equal(parameter[0], parameter[1])
    trainer.update(Progress(1))
    assert len(set(trainer.objective.kept[0]["loss"])) == 3


@pytest.mark.parametrize("scope", ["matrix", "model"])
@pytest.mark.parametrize("restarts", [1, 3])
def test_gradients_are_clipped_for_each_restart(scope: Any, restarts: int) -> None:
    lead = (restarts,) if restarts > 1 else ()
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(*lead, 4, 3)), nn.Parameter(torch.zeros(*lead, 5))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape)
        if restarts > 1:
            parameter.grad *= torch.tensor([0.01, 1.0, 100.0]).view(3, *[1] * (parameter.dim() - 1))
    before = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    norms = UpdatesByCopy(0.1, 1.5, copies=restarts, scope=scope).clip(SGD(parameters, 0.1, 0.0).gather())
    for restart in range(restarts):
        mine = [one[restart] if restarts > 1 else one for one in before]
        single = [nn.Parameter(torch.zeros_like(one)) for one in mine]
        for one, gradient in zip(single, mine, strict=True):
            one.grad = gradient.clone()
        for group in [[one] for one in single] if scope == "matrix" else [single]:
            clip(group, 1.5)
        assert norms[restart].item() == pytest.approx(torch.cat([one.flatten() for one in mine]).norm().item())
        for one, parameter in zip(single, parameters, strict=True):
            found = parameter.grad[restart] if restarts > 1 else parameter.grad
            torch.testing.assert_close(found, one.grad, rtol=1e-6, atol=1e-7)


def test_no_limit_leaves_gradients() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.full((3,), 1e6)
    UpdatesByCopy(0.1, None).clip(SGD([parameter], 0.1, 0.0).gather())
    assert parameter.grad.eq(1e6).all()


def test_a_restart_that_is_lost_does_not_touch_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [trainer_of(tmp_path / name, *MODELS["memn2n-restarts"]) for name in ("one", "other")]
    with torch.no_grad():
        for parameter in runs[1].model.parameters():
            parameter[1] = torch.nan
    for trainer in runs:
        for _ in range(3):
            trainer.update(Progress(1))
    for parameter, other in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        assert torch.equal(parameter[0], other[0])
        assert torch.equal(parameter[2], other[2])
    assert "the loss of restart 1 is nan" in capsys.readouterr().err
    row = runs[1].objective.scores()
    assert row["restarts"] == 2
    assert row["loss"] == row["loss"]


def test_the_linear_start_and_then_the_rate_halved(tmp_path: Path) -> None:
    options = ["--linear-start-epochs", "2", "--epochs", "7", "--halve-every", "3", "--learning-rate", "0.4"]
    trainer = trainer_of(tmp_path / "run", *options)
    assert (trainer.objective.schedule.epoch, trainer.last_step) == (6, 54)
    epochs = []
    for epoch in range(9):
        for trainer.step in (6 * epoch, 6 * epoch + 5):
            epochs.append((trainer.step < trainer.objective.schedule.first_steps, trainer.learning_rate))
    assert epochs[::2] == epochs[1::2]
    # Epochs 3 and 6 after the linear start begin with half the rate, as in the original code.
    assert [rate for _, rate in epochs[::2]] == [0.4] * 4 + [0.2] * 3 + [0.1] * 2
    assert [linear for linear, _ in epochs[::2]] == [True] * 2 + [False] * 7
    trainer.step = 11
    trainer.update(Progress(1))
    assert isinstance(trainer.model, MemN2N)
    assert trainer.model.linear_start
    trainer.update(Progress(1))
    assert not trainer.model.linear_start


def test_the_choice_is_by_error_then_loss_and_never_by_the_test() -> None:
    def restart(train: float, valid: float, loss: float) -> dict[str, float]:
        return {"train_error": train, "train_loss": loss, "valid_error": valid, "valid_loss": loss}

    scores = [restart(1, 5, 0.1), restart(0, 7, 0.3), restart(0, 6, 0.2), restart(0, 4, float("nan"))]
    assert choose(scores, "train") == 2
    assert choose(scores, "valid") == 3
    assert choose([restart(0, 0, 0.2), restart(0, 0, 0.2)], "train") == 0


def test_no_question_is_lost(tmp_path: Path) -> None:
    single = config_of(tmp_path, "--questions", "65", "--max-sentences", "3", task="2").learned.data()
    joint = config_of(tmp_path, "--questions", "65", task="1,4,15").learned.data()
    assert single.train is not None
    assert joint.train is not None
    assert [len(part.answer) for part in (single.train, single.valid[2], single.tests[2])] == [59, 6, 20]
    examples = examples_of(generate(2, 65, seed=0))
    number = single.vocabulary.number
    assert single.train.answer.tolist() + single.valid[2].answer.tolist() == [number(one.answer) for one in examples]
    assert single.train.story.size(1) == 3
    assert single.sizes.max_sentences == max(len(one.facts) for one in examples[:59])
    last = [[number(word) for word in sentence] for sentence in examples[7].facts[-3:]]
    kept = single.train.rows(torch.tensor([7]))
    assert [[word for word in sentence if word] for sentence in kept.story[0].tolist()] == last
    assert (len(joint.train.answer), joint.tests.keys(), joint.valid.keys()) == (177, {1, 4, 15}, {1, 4, 15})
    assert joint.name == "generated 65"
    generator = torch.Generator().manual_seed(0)
    drawn = joint.draw(4000, generator).answer
    assert set(drawn.tolist()) == set(joint.train.answer.tolist())


def test_the_validation_of_joint_training_is_random_and_does_not_move(tmp_path: Path) -> None:
    one, again = (config_of(tmp_path, "--seed", seed, task="1,2").learned.data() for seed in (0, 5))
    alone = config_of(tmp_path, task="1").learned.data()
    assert torch.equal(one.valid[1].story, again.valid[1].story)
    assert one.digest() == again.digest()
    assert one.digest() != alone.digest()
    words = [" ".join(one.vocabulary.words[number] for number in row) for row in one.valid[1].story.flatten(1).tolist()]
    last = [
        " ".join(alone.vocabulary.words[number] for number in row) for row in alone.valid[1].story.flatten(1).tolist()
    ]
    assert words != last


def run_until(folder: Path, stop_at: int, *options: str) -> None:
    """Train as `train` does, but die without a word after a number of steps."""
    trainer = trainer_of(folder, *options)
    take_up(trainer.folder, trainer)
    die_at(trainer, stop_at)


@pytest.mark.parametrize("name", ["memn2n-restarts", "entnet-restarts", "ntm"])
def test_a_killed_run_resumed_equals_one_never_stopped(name: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(whole, *MODELS[name]) == 0
    run_until(killed, 12, *MODELS[name])
    if name == "memn2n-restarts":
        assert load_run(killed).model.vocab_size > 10
        assert main(["evaluate", str(killed)]) == 0
    assert main(["train", "--resume", str(killed)]) == 0
    assert_same_run(whole, killed)
    for file in ("weights.safetensors", "evaluation.json", "vocabulary.json"):
        assert (whole / file).read_bytes() == (killed / file).read_bytes()


@drawn()
@pytest.mark.parametrize("name", ["memn2n-layerwise", "kv-window", "entnet-restarts", "lstm"])
def test_a_run_is_loaded_as_it_was_tested(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(run, *MODELS[name]) == 0
    config, vocabulary, model = load_run(run)
    assert not model.training
    assert model.validate
    result = json.loads((run / "result.json").read_text())
    row = json.loads((run / "evaluation.json").read_text())[0]
    assert row["scores"]["error_percent"] == row["each"]["error_percent"][result["selection"]["chosen"]]
    again = measure(model, 1, config.learned.data().tests[1])[0]
    assert again == [row["scores"]["error_percent"]]
    assert model.vocab_size == len(vocabulary)


def test_the_world_model_stopped_and_resumed(tmp_path: Path) -> None:
    options = ["train", "world-model", *WORLD, "--num-slots", "3", "--out"]
    assert main([*options, str(tmp_path / "whole"), "--epochs", "3"]) == 0
    assert main([*options, str(tmp_path / "stopped")]) == 0
    assert "--epochs 4" in assert_has_finished(tmp_path / "stopped", "--epochs", "1")
    assert main(["train", "--resume", str(tmp_path / "stopped"), "--epochs", "3"]) == 0
    expected, found = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "stopped"))
    for key, tensor in expected.items():
        assert torch.equal(tensor, found[key]), key
    rows = json.loads((tmp_path / "whole" / "evaluation.json").read_text())
    assert [row["at"]["length"] for row in rows] == [20, 30, 40, 50, 60, 70, 80]
    assert {row["on"] for row in rows} == {"world model"}


def test_same_seed_same_run_and_other_seed_another(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        go_on(trainer_of(tmp_path / name, *MEMN2N, "--seed", seed))
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert without_clock(tmp_path / "one") != without_clock(tmp_path / "other")


def test_stories_from_files_are_not_called_released_and_must_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, texts = tmp_path / "run", tmp_path / "texts"
    texts.mkdir()
    for split, seed in (("train", 0), ("test", 0)):
        stories = generate(1, 60, seed=seed, split=split)
        (texts / file_name(1, split)).write_text("".join(write_stories(stories, 1)))
    options = ["babi", *TINY[4:], "--recipe", "paper/memn2n-1k", *MEMN2N, "--babi-data", str(texts), "--epochs", "1"]
    assert main(["train", *options, "--out", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "files 1k" in printed
    assert "bAbI 1k" not in printed
    assert "published" not in printed
    assert json.loads((run / "vocabulary.json").read_text())["stories"] == "files 1k"
    moved = texts.rename(tmp_path / "moved")
    assert main(["train", "--resume", str(run), "--babi-data", str(moved), "--epochs", "2"]) == 0
    path = moved / file_name(1, "train")
    path.write_text(path.read_text().replace("kitchen", "hallway"))
    words = (run / "vocabulary.json").read_bytes()
    capsys.readouterr()
    assert main(["train", "--resume", str(run), "--babi-data", str(moved), "--epochs", "3"]) == 2
    assert "was trained on other stories" in capsys.readouterr().err
    assert (run / "vocabulary.json").read_bytes() == words


def test_a_model_stacked_and_unstacked_is_the_same(tmp_path: Path) -> None:
    config = config_of(tmp_path, *MODELS["entnet-restarts"])
    models = make_models(config, config.learned.data().sizes)
    stacked = stack(models)
    for restart, model in enumerate(models):
        for key, parameter in unstack(stacked, 2, restart).named_parameters():
            assert torch.equal(parameter, model.get_parameter(key))


@drawn()
def test_a_run_leaves_everything_in_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(run, *MODELS["memn2n-restarts"], task="1,16") == 0
    printed = capsys.readouterr().out
    assert {path.name for path in run.iterdir()} == {
        *("config.yaml", "metrics.jsonl", "checkpoint.safetensors", "weights.safetensors", "vocabulary.json"),
        *("about.json", "commands.json"),
        *("result.json", "evaluation.json", "answers.jsonl", "figures", ".lock"),
    }
    assert from_yaml(RunFolder(run).config) == config_of(run, *MODELS["memn2n-restarts"], "--out", "None", task="1,16")
    result = json.loads((run / "result.json").read_text())
    assert (result["steps"], result["questions_seen"], result["trained_on"]) == (52, 416, "generated 60")
    assert len(result["selection"]["restarts"]) == 3
    rows = json.loads((run / "evaluation.json").read_text())
    assert [(row["at"]["task"], row["count"], len(row["each"]["error_percent"])) for row in rows] == [
        (1, 20, 3),
        (16, 20, 3),
    ]
    for shown in ("1 single-supporting-fact", "16 basic-induction", "generated 60", "mean of 2", "±", str(run)):
        assert shown in printed
    assert "bAbI" not in printed
    assert "published" not in printed


@needs_release
def test_released_questions_are_named_and_stand_beside_published_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMNET_BABI", str(DATA))
    run, own = tmp_path / "run", tmp_path / "own"
    small = ["--restarts", "2", "--linear-start-epochs", "1", "--epochs", "1", *TINY[-8:]]
    assert main(["train", "babi", "--task", "16", "--recipe", "paper/memn2n-1k", *small, "--out", str(run)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"16 basic-induction +1000 +[0-9.]+ +[0-9.]+ +[0-9.]+ ± [0-9.]+ +1\.3\n", printed)
    assert "bAbI 1k" in printed
    assert from_yaml(RunFolder(run).config).learned.babi_data == str(DATA)
    assert train(own, *MEMN2N, task="16") == 0
    capsys.readouterr()
    assert main(["evaluate", str(own), "--babi-data", str(DATA)]) == 0
    printed = capsys.readouterr().out
    assert "bAbI 1k" in printed
    assert "published" not in printed
    rows = json.loads((own / "evaluation.json").read_text())
    assert [(row["on"], row["as_trained"], row["count"]) for row in rows] == [
        ("bAbI 1k", False, 1000),
        ("generated 60", True, 20),
    ]


def test_published_columns_stand_beside_their_own_setting_only() -> None:
    def column(name: str, trained_on: str = "bAbI 1k", **changed: Any) -> str | None:
        config = started("babi", name).changed(**changed)
        found = published_for(config, trained_on, trained_on)
        return found and found["name"]

    assert column("paper/memn2n-1k") == "MemN2N PE LS RN"
    assert column("paper/memn2n-1k", time_noise=0.0) == "MemN2N PE LS"
    assert column("paper/memn2n-1k", time_noise=0.0, linear_start_epochs=0) == "MemN2N PE"
    assert column("paper/memn2n-1k", numbers="1-20") is None
    assert column("paper/memn2n-1k", "generated 1k") is None
    assert column("paper/memn2n-1k", "files 1k") is None
    assert column("paper/memn2n-joint-1k") == "MemN2N 3 hops RN joint"
    assert column("paper/memn2n-joint-1k", numbers="1-19") is None
    assert column("paper/memn2n-10k") == "MemN2N PE LS RN"
    assert column("paper/memn2n-10k-relu") == "MemN2N PE LS RN, d=100, ReLU"
    assert column("paper/entnet-10k", max_sentences=130) == "EntNet"
    assert column("paper/lstm-1k") == "LSTM"
    everything = json.loads((ROOT / "experiments" / "published" / "story_tests.json").read_text())
    for one in everything["babi"]:
        assert one["errors"].keys() == {str(task) for task in TASK_NAMES}
        assert sum(one["errors"].values()) / 20 == pytest.approx(one["mean"], abs=0.06)


def test_a_summary_of_tasks_and_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = []
    for task, seed in (("1", 0), ("1", 1), ("16", 0)):
        runs.append(str(tmp_path / f"q{task}-s{seed}"))
        assert train(Path(runs[-1]), *MODELS["memn2n-restarts"], "--seed", seed, task=task) == 0
    out = tmp_path / "result"
    capsys.readouterr()
    assert main(["summarize", *runs, "--out", str(out), "--made-by", "for task in 1 16"]) == 0
    assert capsys.readouterr().out == (tmp_path / "result.md").read_text()
    text = (tmp_path / "result.md").read_text()
    for shown in (
        "for task in 1 16",
        "| 1 single-supporting-fact | 6 |",
        "mean of 2",
        "generated 60",
        "training questions",
    ):
        assert shown in text
    assert "bAbI" not in text
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    (table,) = json.loads((tmp_path / "result.json").read_text())["tables"]
    first, second = table["rows"]
    errors = [row["test_error"] for row in first["restarts"]]
    kept = [json.loads((Path(run) / "evaluation.json").read_text())[0]["each"]["error_percent"] for run in runs]
    assert errors == [*kept[0], *kept[1]]
    assert first["mean"] == pytest.approx(sum(errors) / 6)
    assert first["deviation"] == pytest.approx(torch.tensor(errors, dtype=torch.float64).std().item())
    assert first["best"] == min(errors)
    lowest = min((row["train_error"], row["train_loss"]) for row in first["restarts"])
    assert (first["chosen"]["train_error"], first["chosen"]["train_loss"]) == lowest
    assert first["error"] == first["chosen"]["test_error"]
    assert table["means"]["error"] == pytest.approx((first["error"] + second["error"]) / 2)
    assert table["failed"]["error"] == (first["error"] > 5) + (second["error"] > 5)
    for more, words in (
        ([runs[0]], "same seed, 0, on 1 single"),
        ([str(tmp_path / "joint")], "has joint '1,16', the first run None"),
        ([str(tmp_path / "kv")], "has model 'kv'"),
    ):
        if not (path := Path(more[0])).exists():
            task = "1,16" if path.name == "joint" else "1"
            assert train(path, *MODELS["kv" if path.name == "kv" else "memn2n-restarts"], task=task) == 0
        capsys.readouterr()
        assert main(["summarize", *runs, *more, "--out", str(tmp_path / "other")]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()


@pytest.mark.slow
def test_the_default_run_learns_the_first_task(tmp_path: Path) -> None:
    """Until a restart answers every validation question: a third of its steps."""
    options = ["--babi-data", "generated", "--stop-when-solved", "True", "--tracker", "none"]
    assert main(["train", "babi", "--task", "1", *options, "--out", str(tmp_path / "r")]) == 0
    (row,) = json.loads((tmp_path / "r" / "evaluation.json").read_text())
    assert row["scores"]["error_percent"] <= 1.0


def test_a_small_default_run_learns_something(tmp_path: Path) -> None:
    options = ["--questions", "300", "--test-questions", "100", "--embedding-size", "20", "--batch-size", "32"]
    assert train(tmp_path / "run", *MEMN2N, *options, "--epochs", "60") == 0
    (row,) = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert min(row["each"]["error_percent"]) < 20


def test_a_run_that_answers_every_validation_question_stops(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    more = ["--model", "entnet", "--num-slots", "4", "--epochs", "40", "--embedding-size", "16"]
    assert train(folder, *more, "--stop-when-solved", "True", task="20") == 0
    rows = read_metrics(folder / "metrics.jsonl")
    errors = {row["step"]: row["valid/lowest_error_percent"] for row in rows if "valid/lowest_error_percent" in row}
    *earlier, last = sorted(errors)
    assert errors[last] == 0
    assert all(errors[step] > 0 for step in earlier)
    steps = json.loads((folder / "result.json").read_text())["steps"]
    assert steps == last < 40 * (54 // 8)
    assert main(["train", "babi", "--resume", str(folder)]) == 0
    assert json.loads((folder / "result.json").read_text())["steps"] == steps
