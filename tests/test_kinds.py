"""Every kind of run is known to the commands, and says of itself what they tell."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Literal

import pytest
import torch

import memnet
import tasks as sequences
from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.config.command_line import parse_train
from experiments.config.fields import CHANGEABLE
from experiments.config.form import started
from experiments.config.options import Place, options_of, sizes_of
from experiments.config.registry import COMMANDS, DOMAINS, HELP, SEQUENCE_SIZES, TASKS, at
from experiments.domains.sequences.models import check_task, training_lengths
from experiments.training.domain import Domain, domain_of
from memnet.cells import ControllerName
from tests.forked import ROOT


def test_every_task_has_its_domain_a_start_and_its_commands() -> None:
    assert list(TASKS)[: len(sequences.TASKS)] == list(sequences.TASKS)
    assert {at(place).domain for place in TASKS.values()} == set(DOMAINS)
    for task, place in TASKS.items():
        config = started(task)
        assert config.learned.domain == config.domain == at(place).domain
        brought = domain_of(config)
        needed = {*Domain.__annotations__, *vars(Domain)}
        assert all(hasattr(brought, name) for name in needed if not name.startswith("_"))


@pytest.mark.parametrize(
    "options",
    [
        "mqar --pairs 64",
        "selective-copying --tokens 300 --min-length 300",
        "needles --needles 26 --queries 26 --values 20 --min-length 546",
        "fuzzy-recall --keys 40 --values 40 --most 40",
        "babi-noise --number 3 --babi-data generated --questions 60 --test-questions 60",
        "key-value-recall --num-bits 3",
    ],
)
def test_tasks_of_any_size_are_trained_and_tested_at_lengths_that_there_are(options: str) -> None:
    config = parse_train(options.split())
    check_task(config)
    task, (low, high) = config.learned, training_lengths(config)
    assert task.within(low) == low <= high == task.within(high)
    assert not {*task.length_range, *task.test_lengths} <= {*task.lengths_to_train, *task.lengths_to_test(high)}


def test_every_task_is_told_of() -> None:
    assert {kind.__name__ for kind in sequences.TASKS.values()} <= {*sequences.__all__}


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


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            "copy --controller rnn-tanh --forget-bias 1",
            "ntm on copy has no option --forget-bias with --controller rnn-tanh: it is one of --controller lstm",
        ),
        ("copy --controller lstm --forget-bias 1", None),
        ("copy --controller feedforward --learned-initial-state True", None),
        ("copy --model lstm --num-slots=7", "lstm on copy has no option --num-slots: it is one of --model ntm"),
        ("copy --model gru --shift_range 2", "gru on copy has no option --shift-range: it is one of --model ntm"),
        (
            "babi --model entnet --num-hops 9",
            "entnet on babi has no option --num-hops: it is one of --model memn2n, --model kv",
        ),
        (
            "world-model --model entnet --embedding one-hot",
            "entnet on world-model has no option --embedding: it is one of --model ntm",
        ),
        ("babi --model lstm --max-sentences 9 --hidden-size 4 --embedding one-hot", None),
        ("text --model lstm --num-slots 4", "lstm on text has no option --num-slots: it is one of --model ntm"),
        (
            "translate --context start",
            "attention on translate has no option --context: it is one of --model encoder-decoder",
        ),
        (
            "translate --model encoder-decoder --scores=additive",
            "encoder-decoder on translate has no option --scores: it is one of --model attention",
        ),
        (
            "translate --controller gru --forget-bias 1",
            "attention on translate has no option --forget-bias with --controller gru: it is one of --controller lstm",
        ),
        (
            "captions --model gru --controller gru",
            "gru on captions has no option --controller: it is one of --model attention",
        ),
        (
            "captions --model gru --forget-bias 1",
            "gru on captions has no option --forget-bias: it is one of --model lstm, --model attention",
        ),
        ("captions --model attention --forget-bias 1 --filters 8 --things 1", None),
        ("babi --min-length 7", "memn2n on babi has no option --min-length: it is one of world-model"),
        ("world-model --most-words 7", "entnet on world-model has no option --most-words: it is one of babi"),
    ],
)
def test_an_option_that_the_model_has_not_is_refused(args: str, told: str | None) -> None:
    if told is None:
        parse_train(args.split())
    else:
        # Other models may have it, too.
        with pytest.raises(UserError, match=f"^{re.escape(told)}(, --model [^,]*){{,3}}( and [0-9]+ others)?$"):
            parse_train(args.split())


@pytest.mark.parametrize("task", TASKS)
def test_a_resumed_run_may_be_followed_otherwise_but_is_the_same(task: str) -> None:
    marked = {name for _, name in started(task).form.marked(CHANGEABLE)}
    assert {"tracker", "threads", "picture_every", "wandb_notes"} <= marked
    assert marked & {"steps", "epochs"}
    assert not marked & {"task", "model", "seed", "batch_size", "learning_rate", "hidden_size", "device", "backend"}


@pytest.mark.parametrize(
    ("args", "others", "own"),
    [
        ("copy", ["skip", "recurrent-init", "forget-bias"], ["num-slots", "controller", "steps", "wandb-mode"]),
        ("copy --controller lstm", ["skip"], ["forget-bias"]),
        ("copy --model=lstm", ["num-slots", "controller"], ["skip", "forget-bias", "hidden-size"]),
        ("babi --model entnet", ["num-hops", "tying", "embedding", "min-length"], ["num-slots", "task", "restarts"]),
        ("world-model", ["task", "size", "num-hops"], ["min-length", "gate-bias"]),
        ("text --model ntm", [], ["num-slots", "embedding"]),
        ("translate --model encoder-decoder", ["scores"], ["context", "reverse", "beam"]),
        ("captions --model gru", ["controller", "forget-bias"], ["filters", "things"]),
    ],
)
def test_help_shows_the_options_of_the_chosen_model_and_task(
    args: str, others: list[str], own: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        parse_train([*args.split(), "--help"])
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert end.value.code == 0
    assert re.findall(r"^  (--[\w-]+)(?: \S+)?\s+\(default", told, re.MULTILINE) == []  # nothing is said of it
    assert max(map(len, lines)) <= 80
    shown = {word.removeprefix("--") for line in lines for word in re.findall(r"--[\w-]+", line[:40])}
    assert not shown & set(others)
    assert set(own) <= shown


def test_options_are_refused_but_to_agents_of_a_sweep_which_give_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "copy", "--beam", "3"]) == 2
    assert "ntm on copy has no option --beam: it is one of translate" in capsys.readouterr().err
    args = ["train", "copy", "--model=lstm", "--num_slots=7", "--min_length=30"]
    assert main(args) == 2
    assert "--num-slots" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    assert main(args) == 2
    assert "the shortest training length, 30" in capsys.readouterr().err


EVERY_MODEL = {model.place: at(model.place) for one in DOMAINS.values() for model in one.models.values()}
OTHERS = [at(place) for place in (*TASKS.values(), *(one.reader for one in DOMAINS.values() if one.reader))]


@pytest.mark.parametrize("make", [*EVERY_MODEL.values(), *OTHERS])
def test_every_option_is_explained(make: Callable[..., object]) -> None:
    """In a line of its own, none of which only sends its readers elsewhere."""
    for name, one in options_of(make).items():
        assert re.match("(?!see |those of |as in ).", one.meaning), name


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_data_tell_is_all_that_models_must_be_told(domain: str) -> None:
    known = DOMAINS[domain]
    for model in known.models.values():
        make = at(model.place)
        assert sizes_of(make) <= {*known.sizes, *SEQUENCE_SIZES}
        assert set(model.fixed) | set(model.only) | set(model.sizes) <= set(options_of(make))
        assert set(model.sizes.values()) <= set(known.sizes)


def test_options_are_read_where_they_are_written() -> None:
    class Cell(memnet.GRUCell):
        """A cell.

        Prose: no entry.
        size: first line
              and second. leak: how much
        is forgotten is no part of it.
        """

        def __init__(
            self,
            input_size: int,
            *,
            size: int = 3,
            leak: float | None = None,
            kind: Literal["a", "b"] = "a",
            pair: tuple[int, int] = (1, 2),
            tensor: torch.Tensor | None = None,
            recurrent_bias: bool = True,
        ) -> None:
            super().__init__(input_size, size)

    class Own(memnet.SequenceModule):
        """A model. kind: says the cell nothing of.

        kind: the model's own word.
        """

        cell_type = Cell

    found = options_of(Own)
    assert {name: (one.default, one.meaning) for name, one in found.items()} == {
        "size": (3, "first line and second"),
        "leak": (None, "how much"),
        "kind": ("a", "the model's own word."),
        "pair": ((1, 2), ""),
        "recurrent_bias": (True, "a second bias on the recurrent part, c, as torch.nn has it."),
    }
    assert found["leak"].kind == float | None
    # Of a name or an object the command line gives the name.
    assert options_of(memnet.NTM)["controller"].kind == ControllerName | Place
    assert sizes_of(Own) == {"input_size", "output_size"}
