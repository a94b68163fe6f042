"""Every kind of run is known to the commands, and says of itself what they tell."""

import dataclasses
import importlib.util
from typing import get_args

import pytest

from experiments.config import ALL_TASKS, Config, JudgedConfig, TrainConfig, kind_of
from experiments.kinds import KINDS
from tasks import TASKS


def test_every_configuration_but_that_of_sequences_has_its_commands() -> None:
    assert {TrainConfig, *KINDS} == set(get_args(Config))
    assert all(kind_of(task) is TrainConfig for task in TASKS)
    assert {kind_of(task) for task in ALL_TASKS} == {TrainConfig, *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_names_its_package(kind: type[Config]) -> None:
    assert importlib.util.find_spec(f"experiments.{kind.kind}.commands") is not None
    assert "kind" not in {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", get_args(JudgedConfig))
def test_what_may_end_early_says_when(kind: type[TrainConfig]) -> None:
    assert {"solved_at", "cooldown_steps"} <= {field.name for field in dataclasses.fields(kind)}
    assert kind(next(task for task in ALL_TASKS if kind_of(task) is kind)).solved_by.startswith("valid/")
