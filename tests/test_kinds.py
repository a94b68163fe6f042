"""Every kind of run is known to the commands, and says of itself what they tell."""

import dataclasses
import re
import subprocess
import sys
from typing import get_args

import pytest

import tasks as sequences
from experiments.__main__ import HELP
from experiments.config.command_line import parse_train, start_of
from experiments.config.lacking import idle
from experiments.config.parts import Config, JudgedConfig, TrainConfig, kind_of
from experiments.config.registry import COMMANDS, DOMAINS, TASKS, at
from experiments.training.domain import Domain, domain_of
from tests.forked import ROOT


def test_every_domain_has_its_tasks_its_configuration_and_its_commands() -> None:
    assert {kind.kind for kind in get_args(Config)} == set(DOMAINS) == set(TASKS.values())
    assert list(TASKS)[: len(sequences.TASKS)] == list(sequences.TASKS)
    for task, domain in TASKS.items():
        kind = kind_of(task)
        assert kind.kind == domain
        assert "kind" not in {field.name for field in dataclasses.fields(kind)}
        brought = domain_of(start_of(task, None, {}))
        assert [name for name in vars(Domain) if not name.startswith("_") and not hasattr(brought, name)] == []


def test_every_command_is_where_it_is_said_to_be() -> None:
    assert all(callable(at(place)) for place in COMMANDS.values())
    assert {line.split()[0] for line in HELP.splitlines() if re.match("  [a-z]", line)} == set(COMMANDS)


def test_a_name_imports_nothing_but_what_it_names() -> None:
    """Neither help nor a misspelt task waits for torch."""
    code = """
import contextlib, io, sys
from experiments.__main__ import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
    assert main(["--help"]) == 0 and main(["train", "cpy"]) == main(["trian"]) == 2
print(told.getvalue(), *{name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "no task is called 'cpy', did you mean 'copy'?" in done.stdout
    assert not {"torch", "tyro", "memnet", "tasks", "numpy"} & set(done.stdout.split())


@pytest.mark.parametrize("kind", get_args(JudgedConfig))
def test_what_may_end_early_says_when(kind: type[TrainConfig]) -> None:
    assert {"solved_at", "cooldown_steps"} <= {field.name for field in dataclasses.fields(kind)}
    assert kind(next(task for task in TASKS if kind_of(task) is kind)).solved_by.startswith("valid/")


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
