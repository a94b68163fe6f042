"""Every kind of run is known to the commands, and says of itself what they tell."""

import dataclasses
import importlib.util
from typing import get_args

import pytest

from experiments.config.command_line import parse_train
from experiments.config.kinds import KINDS
from experiments.config.lacking import idle
from experiments.config.parts import ALL_TASKS, Config, JudgedConfig, TrainConfig, kind_of
from tasks import TASKS


def test_every_configuration_but_that_of_sequences_has_its_commands() -> None:
    assert {TrainConfig, *KINDS} == set(get_args(Config))
    assert all(kind_of(task) is TrainConfig for task in TASKS)
    assert {kind_of(task) for task in ALL_TASKS} == {TrainConfig, *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_names_its_package(kind: type[Config]) -> None:
    assert importlib.util.find_spec(f"experiments.domains.{kind.kind}.commands") is not None
    assert "kind" not in {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", get_args(JudgedConfig))
def test_what_may_end_early_says_when(kind: type[TrainConfig]) -> None:
    assert {"solved_at", "cooldown_steps"} <= {field.name for field in dataclasses.fields(kind)}
    assert kind(next(task for task in ALL_TASKS if kind_of(task) is kind)).solved_by.startswith("valid/")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("copy --controller rnn-tanh --forget-bias 1", "ntm with the controller rnn-tanh has no --forget-bias"),
        ("copy --controller lstm --forget-bias 1", ""),
        ("copy --model lstm --num-slots=7 --shift-range 2", "lstm has no --num-slots, --shift-range"),
        ("babi --model entnet --num-hops 9", "entnet has no --num-hops"),
        ("babi --model lstm --max-sentences 9 --hidden-size 4", ""),
        ("text --model lstm --num-slots 4", "lstm has no --num-slots"),
        ("translate --context start --forget-bias 1", "attention with the controller lstm has no --context"),
        (
            "translate --model encoder-decoder --scores=additive",
            "encoder-decoder with the controller lstm has no --scores",
        ),
        ("translate --controller gru --forget-bias 1", "attention with the controller gru has no --forget-bias"),
        ("captions --model gru --controller gru --forget-bias 1", "gru has no --controller, --forget-bias"),
    ],
)
def test_an_option_that_the_model_has_not_is_told(args: str, told: str) -> None:
    config = parse_train(args.split())
    assert idle(config, args.split()).partition(":")[0] == told
