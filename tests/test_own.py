"""Models and tasks in a file of a user's: trained, resumed, in suites and on pages like ours; mistakes are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from experiments.__main__ import main
from experiments.config.command_line import parse_train
from experiments.config.form import from_mapping
from experiments.config.models import made
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder
from experiments.suite.commands import read_plan
from experiments.suite.jobs import make_jobs
from experiments.training.loading import load_run
from experiments.training.running import make_trainer
from memnet import LanguageModel, StoryReader
from tests.running import ROOT
from tests.story_runs import TINY as STORIES
from tests.test_command_line import refused
from tests.test_training import assert_same_run, die_at
from tests.unpainted import drawn

Capture = pytest.CaptureFixture[str]
OWN = re.findall(r"```python\n(# my\.py.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
FEW = "--batch-size 4 --valid-sequences 6 --test-sequences 2 --log-every 3 --valid-every 5 --checkpoint-every 4"
ARGS = f"{FEW} --cooldown-steps 6 --max-length 3 --steps 24 --solved-at None --tracker none".split()
WRONG = '''
from torch import nn
import torch
from memnet import Cell
from tasks import Batch, BitTask, Copy

class Nothing:
    pass

class Bare(nn.Module):
    def __init__(self, input_size, output_size, width=3):
        super().__init__()

class Wants(nn.Module):
    def __init__(self, input_size: int, output_size: int, words: int) -> None:
        super().__init__()

class Breaks(nn.Module):
    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        raise KeyError("no luck")

class Named(nn.Module):
    def __init__(self, input_size: int, output_size: int, *, name: str = "x") -> None:
        super().__init__()

class Wide(Copy):
    def sample(self, batch_size, *, length, generator):
        batch = super().sample(batch_size, length=length, generator=generator)
        return batch._replace(target=batch.input)

class Late(Copy):
    def sample(self, batch_size, *, length, generator):
        raise KeyError("no luck")

class None_(Copy):
    def sample(self, batch_size, *, length, generator):
        return 3

class Lacks(BitTask):
    name = "lacks"

    def sample(self, batch_size, *, length, generator):
        return 3

class Half(BitTask):
    pass

class Untold(Copy):
    def __init__(self, delay=3):
        super().__init__()

class Clashing(Cell):
    """A cell. seed: units. num_bits, numbers: nothing."""

    def __init__(self, input_size: int, *, seed: int = 5, num_bits: int = 2, numbers: int = 4) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, seed
        self.emit = nn.Linear(input_size, seed)

    def initial_state(self, batch_size):
        return (self.emit.weight.new_zeros(batch_size, 1),)

    def step(self, projected, state):
        return self.emit(projected[0]), state

class Unread(nn.Module):
    def __init__(self, input_size: int, output_size: int, *, width: "Unknown" = 3) -> None:
        super().__init__()

class Leaves(nn.Module):
    def __init__(self, input_size: int, output_size: int) -> None:
        raise SystemExit(3)

class LeavingTask(Copy):
    def __init__(self) -> None:
        raise SystemExit(4)

class Seven(Copy):
    test_lengths = 7

class Nowhere(Copy):
    test_lengths = ()

class Endless(Copy):
    length_range = (1, None)

class Far(Copy):
    def sample(self, batch_size, *, length, generator):
        if length == 80:
            raise ValueError("80 is too long")
        return super().sample(batch_size, length=length, generator=generator)

class Drifting(Copy):
    def __init__(self, *, k: int = 3, share: float = 0.5) -> None:
        super().__init__()
        self.k, self.share = k + 1, torch.tensor(100 * share)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside of the checkout with what the README has as my.py, and what is wrong in every way."""
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(OWN)
    Path("wrong.py").write_text(WRONG)
    Path("raising.py").write_text("x = 1\nraise ValueError('oh')\n")
    return tmp_path


@pytest.mark.usefixtures("own")
@drawn()
def test_a_model_on_a_task_is_trained_resumed_and_shown_like_ours(capsys: Capture) -> None:
    asked = ["my.py:MyTask", "--model", "my.py:MyModel", "--width", "6", *ARGS]
    assert main(["train", *asked]) == 0
    whole = Path("runs/MyTask-MyModel-s0")
    assert "exactly right" in capsys.readouterr().out
    config = parse_train([*asked, "--out", "killed"])
    die_at(make_trainer(config, RunFolder.create(config), "id"), 9)
    assert main(["train", "--resume", "killed"]) == 0
    assert_same_run(whole, Path("killed"))
    about, saved = read_about(whole), yaml.safe_load((whole / "config.yaml").read_text())
    assert (about["task"], about["model"], about["curve"]["metric"]) == ("MyTask", "MyModel", "bits_per_sequence")
    assert about["differences"].startswith("width 6, batch size 4")
    assert saved["model"] == {"name": f"{Path.cwd()}/my.py:MyModel", "width": 6}
    assert {path.name for path in (whole / "figures").glob("*.png")} >= {"memory-3.png", "error-by-length.png"}
    for command in ("inspect", "evaluate", "dashboard", "report"):
        more = ["--length", "3", "--sequences", "2"] if command == "evaluate" else []
        assert main([command, str(whole), *more]) == 0, capsys.readouterr().err
    assert "MyModel" in (whole / "inspect.html").read_text()
    assert "MyModel" in (whole / "report.md").read_text()


@pytest.mark.parametrize("place", ["my.py", "my"])
def test_a_run_refuses_a_file_that_has_changed(
    place: str, own: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(own)
    assert main(["train", "copy", "--model", f"{place}:MyModel", *ARGS, "--steps", "2", "--out", "run"]) == 0
    model = load_run("run")[2]
    assert type(model).__name__ == "MyModel"
    with open("my.py", "a") as file:
        file.write("# changed\n")
    for command in ("train --resume", "evaluate", "inspect", "show"):
        assert f"{place} has changed since run began" in refused(capsys, *command.split(), "run")
    Path("my.py").unlink()
    assert "my.py" in refused(capsys, "evaluate", "run")


@pytest.mark.usefixtures("own")
def test_a_cell_drives_an_ntm_and_reads_stories_and_text() -> None:
    ntm = parse_train(["copy", "--controller", "my.py:MyModel", "--num-layers", "1", *ARGS])
    assert ntm.label == "copy-ntm-MyModel"
    assert type(made(ntm, input_size=9, output_size=8).cell.controller).__name__ == "MyModel"
    assert list(ntm.files) == [f"{Path.cwd()}/my.py:MyModel"]
    story = parse_train(["babi", "--model", "my.py:MyModel", "--width", "4", "--embedding-size", "6", *STORIES])
    assert isinstance(made(story, vocab_size=9, max_words=4, max_sentences=5, longest_story=5), StoryReader)
    text = parse_train(["text", "--model", "my.py:MyModel"])
    assert isinstance(made(text, num_symbols=7), LanguageModel)


@pytest.mark.usefixtures("own")
def test_a_suite_of_both_with_ours_runs_outside_of_the_checkout() -> None:
    options = {name.lstrip("-").replace("-", "_"): value for name, value in zip(ARGS[::2], ARGS[1::2], strict=True)}
    part = {"task": ["copy", "my.py:MyTask"], "model": ["my.py:MyModel", "lstm"], **options, "steps": 2}
    Path("two.yaml").write_text(yaml.safe_dump({"parts": [part]}, sort_keys=False))
    jobs = make_jobs(read_plan(Path("two.yaml"), None), None)
    here = f"{Path.cwd()}/my.py"
    assert [job.name for job in jobs] == [
        f"{task}-{model}-s0" for task in ("copy", "MyTask") for model in ("MyModel", "lstm")
    ]
    assert jobs[2].args[:2] == (f"{here}:MyTask", f"--model={here}:MyModel")
    assert main(["train", *jobs[2].args, "--out", "out"]) == 0


RECIPES = """
fast:
  about: Quick.
  task: {name: copy}
  model: {name: my.py:MyModel, width: 7}
  training: {steps: 5}
  when:
    - if: {model: lstm}
      training: {steps: 6}
bare: {training: {stepz: 3}}
lost: {from: nowhere}
none: 3
part: {modell: {name: lstm}}
when: {when: 5}
dash: {when: {if: {model: lstm}}}
more: {when: [{training: {steps: 3}, from: lost}]}
list: {from: [fast]}
base: {from: {fast: 1}}
name: {model: {name: 5}}
late: {from: name}
"""


@pytest.mark.usefixtures("own")
def test_a_recipe_may_be_of_a_users_file(capsys: Capture) -> None:
    Path("mine.yaml").write_text(RECIPES)
    own, ours = (parse_train(["copy", "--recipe", "mine.yaml:fast", *more]) for more in ([], ["--model", "lstm"]))
    assert (own.model.short, own.model.options["width"], own.training.steps) == ("MyModel", 7, 5)
    assert (ours.model.name, ours.model.options["hidden_size"], ours.training.steps) == ("lstm", 100, 6)
    assert own.recipe == "mine.yaml:fast"
    for name, told in (
        ("copy --recipe mine.yaml:bare", "training has no option 'stepz', did you mean 'steps'"),
        ("copy --recipe mine.yaml:lost", "is from 'nowhere', expected the name of another recipe"),
        ("copy --recipe mine.yaml:fats", "mine.yaml has no recipe called 'fats', did you mean 'fast'"),
        ("copy --recipe mine.yaml:none", "recipe none: it is 3, expected a mapping"),
        ("copy --recipe mine.yaml:part", "recipe part: no part is called 'modell', did you mean 'model'"),
        ("copy --recipe mine.yaml:when", "recipe when: when is 5, expected a list"),
        ("copy --recipe mine.yaml:dash", "recipe dash: when is a mapping, expected a list"),
        ("copy --recipe mine.yaml:more", "recipe more: no part is called 'from'"),
        ("copy --recipe mine.yaml:list", "recipe list: from is a list, expected a text"),
        ("copy --recipe mine.yaml:base", "recipe base: from is a mapping, expected a text"),
        ("copy --recipe mine.yaml:name", "recipe name: model.name is 5, expected a text"),
        ("copy --recipe mine.yaml:late", "recipe name: model.name is 5, expected a text"),
        ("adding --recipe mine.yaml:fast", "is for copy, not adding"),
        ("copy --recipe none.yaml:fast", "cannot read recipes from none.yaml: there is no such file"),
    ):
        assert told in refused(capsys, "train", *name.split())


@pytest.mark.usefixtures("own")
def test_a_users_recipes_are_read_within_limits(capsys: Capture) -> None:
    """Aliases of aliases, each ten times the one before, would be a text of a gigabyte."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 10)}]" for one in range(1, 9)]
    files = {
        "bomb": "\n".join([*lines, "mine: {task: {name: copy}, training: {steps: *a8}}"]),
        "loop": "mine: &m {task: {name: copy}, training: {steps: 1, x: *m}}",
        "deep": f"mine: {'[' * 60}{']' * 60}",
    }
    for name, told in (
        ("bomb", "line 5, column 15: expected fewer or shorter values; what an alias stands for counts each time"),
        ("loop", "line 1, column 55: the alias *m stands within what it stands for"),
        ("deep", "line 1, column 57: expected at most 50 lists and mappings in one another"),
    ):
        Path(f"{name}.yaml").write_text(files[name])
        line = refused(capsys, "train", "copy", "--recipe", f"{name}.yaml:mine")
        assert f"cannot read recipes from {name}.yaml, {told}" in line


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("train nowhere.py:T", "task nowhere.py:T: there is no file nowhere.py"),
        ("train nowhere.at_all:T", "task nowhere.at_all:T: no module is called nowhere"),
        ("train my.py:Mytask", "my.py has nothing called 'Mytask'"),
        ("train my.py:MyModel", "my.py:MyModel is no task: expected a class of tasks.Task"),
        ("train raising.py:T", r"raising.py:T: .*raising.py, line 2: ValueError: oh"),
        ("train copy --model raising.py:M", r"raising.py, line 2: ValueError: oh"),
        ("train copy --model wrong.py:Nothing", "wrong.py:Nothing is no model: expected a class of torch.nn.Module"),
        ("train copy --model my.py:MyTask", "my.py:MyTask is no model"),
        ("train copy --model wrong.py:Bare", "its option width has no annotation, expected a type: width: int = ..."),
        ("train copy --model wrong.py:Wants", "takes input_size, output_size, words: expected a model of sequences"),
        ("train copy --model wrong.py:Breaks", r"wrong.py, line 21: KeyError: 'no luck'"),
        ("train copy --model wrong.py:Named", "its option name clashes with its own name"),
        ("train translate --model my.py:MyModel", "takes input_size, output_size: expected a model of translation"),
        ("train copy --controller my.py:Nothing", "my.py has nothing called 'Nothing'"),
        ("train copy --controller shutil:rmtree", "shutil:rmtree, <function rmtree .*: expected a torch.nn.Module"),
        ("train copy --controller my.py:MyTask", "--controller cannot be .*my.py:MyTask.*: expected a torch.nn.Module"),
        ("train copy --controller os:getpid", "--controller cannot be os:getpid, <built-in function getpid>: expected"),
        ("train copy --controller torch.nn:Linear", "ntm: TypeError: a controller must be a memnet.Cell"),
        ("train copy --model wrong.py:Unread", "wrong.py:Unread: its annotations cannot be read: NameError: .*Unknown"),
        ("train copy --model wrong.py:Unread --help", "its annotations cannot be read"),
        ("train copy --model wrong.py:Leaves", r"wrong.py, line \d+: SystemExit: 3"),
        ("train wrong.py:LeavingTask", r"wrong.py, line \d+: SystemExit: 4"),
        ("train wrong.py:Seven", r"test_lengths is 7, expected tuple\[int, ...\] that is not empty"),
        ("train wrong.py:Nowhere", r"test_lengths is \(\), expected tuple\[int, ...\] that is not empty"),
        ("train wrong.py:Endless", r"length_range is \(1, None\), expected tuple\[int, int\]"),
        ("train wrong.py:Wide", r"sample gives target of shape \(2, 3, 9\), expected \(2, 3, 8\)"),
        ("train wrong.py:Late", r"wrong.py, line 34: KeyError: 'no luck'"),
        ("train wrong.py:Far", "80 is too long"),
        ("train wrong.py:None_", "sample gives 3, expected a tasks.Batch"),
        ("train wrong.py:Lacks", "wrong.py:Lacks has no length_unit: expected all that tasks.Task names"),
        ("train wrong.py:Half", "abstract"),
        ("train wrong.py:Untold", "its option delay has no annotation"),
        ("train copy --model my.py:MyModel --num-slots 3", "MyModel on copy has no option --num-slots"),
        ("train copy --model wrong.py:Clashing --num-bits 4", "--num-bits: it is --task-num-bits or --model-num-bits"),
        ("tasks", "no command is called 'tasks'"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_wrong_is_one_line(args: str, told: str, capsys: Capture) -> None:
    assert re.search(told, refused(capsys, *args.split()))
    assert not Path("runs").exists()


@pytest.mark.usefixtures("own")
def test_names_that_clash_are_told_apart() -> None:
    config = parse_train(
        ["copy", "--model", "wrong.py:Clashing", "--seed", "3", "--model-seed", "4", "--task-num-bits", "2"]
    )
    assert (config.run.seed, config.model.options["seed"], config.learned.output_size) == (3, 4, 2)
    assert config.changed(model_num_bits=9).model.options["num_bits"] == 9
    assert config.other_than(config.changed(model_seed=6).mapping()) == ("model_seed", 6, 4)
    # Saved before there were these two: the seed is not its default.
    before = {part: {} if part == "model" else own for part, own in config.mapping().items()}
    before["model"] = {"name": config.model.name}
    assert config.other_than(before) == ("model_seed", 5, 4)
    assert config.changed(model_seed=5).other_than(before) is None
    stories = parse_train(["babi", "--task", "2", "--model", "wrong.py:Clashing", "--model-numbers", "5"])
    assert (stories.learned.numbers, stories.model.options["numbers"]) == ("2", 5)


@pytest.mark.usefixtures("own")
def test_a_task_is_made_from_what_was_asked_for_whatever_it_keeps() -> None:
    config = parse_train(["wrong.py:Drifting", "--k", "7"])
    saved = config.mapping()
    again = from_mapping(saved, "config.yaml").changed(steps=3)
    assert (saved["task"]["k"], again.learned.k, again.learned.share) == (7, 8, 50.0)
    assert again.mapping()["task"] == saved["task"]
