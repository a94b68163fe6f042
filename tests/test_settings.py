"""What a setting is, how its difference from a recipe is told, and that a copy of a run counts once."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from experiments.config.command_line import parse_train, start_of
from experiments.config.parts import from_yaml
from experiments.config.registry import TASKS
from experiments.config.settings import differences, setting_of
from experiments.dashboard.collect import Collector
from experiments.domains.sequences.recipes import recipe_names, task_of
from experiments.domains.stories.recipes import story_recipe, story_recipe_names
from tests.made_up_runs import copy_run, story_run
from tests.test_report import reported, table

STARTS = [
    *((task, "default", "generated") for task in TASKS),
    *((task_of(name), name, None) for name in recipe_names()[1:]),
    *(("world-model" if "world" in name else "babi", name, "/data/babi") for name in story_recipe_names()[1:]),
]


@pytest.mark.parametrize(("task", "name", "stories"), STARTS)
def test_a_recipe_does_not_differ_from_itself(task: str, name: str, stories: str | None) -> None:
    more = {"babi_data": stories} if task == "babi" else {}
    config: Any = start_of(task, name, {})
    assert differences(dataclasses.replace(config, seed=3, threads=2, log_every=7, **more)) == ""


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("copy --model gru --steps 60 --hidden-size 20", "hidden size 20, steps 60"),
        ("copy --skip True --recurrent-bias False --model lstm", "skip on, recurrent bias off"),
        ("copy --clip-norm None --learning-rate 1e-5", "learning rate 1e-05, clip norm not set"),
        ("copy --model lstm --num-slots 8 --addressing content", ""),
        ("copy --controller lstm --num-slots 8", "num slots 8"),
        ("copy --controller gru", ""),
        ("copy --controller lstm --weight-noise 0.02", "weight noise 0.02"),
        ("copy --addressing content-and-location", "addressing content-and-location"),
        ("copy --addressing content-and-location --num-slots 128", "num slots 128, addressing content-and-location"),
        ("copy --recipe paper/copy-lstm --skip False", "skip off"),
        ("babi --task 1,2 --babi-data /data/b", "joint 1-2, stories released"),
        ("babi --recipe paper/memn2n-1k --babi-data generated", "stories generated"),
        ("babi --model entnet --halve-every None", "halve every not set"),
        ("text --text /data/a/book.txt --hidden-size 7", "text book.txt, hidden size 7"),
    ],
)
def test_every_difference_is_told_in_words(args: str, told: str) -> None:
    assert differences(parse_train(args.split())) == told


def test_options_of_other_models_make_no_other_setting() -> None:
    first, second, third = (
        setting_of(parse_train(["copy", "--model", "lstm", *more]))
        for more in ([], ["--num-slots", "8"], ["--forget-bias", "3"])
    )
    assert first == second != third


def test_a_copy_counts_once_and_an_ended_run_before_others(tmp_path: Path) -> None:
    copy_run(tmp_path / "a", 0, ended=False)
    copy_run(tmp_path / "b", 0, solved=800)
    copy_run(tmp_path / "c", 0, solved=800, threads=2)
    copy_run(tmp_path / "d", 1, solved=None)
    copy_run(tmp_path / "small", 0, solved=None, num_slots=64)
    story_run(tmp_path / "q1", 1)
    story_run(tmp_path / "q1-again", 1)
    data = Collector(tmp_path, tmp_path).read()
    names = [run["name"] for run in data["runs"]]
    assert {run["name"]: names[run["copy_of"]] for run in data["runs"] if run["copy_of"] is not None} == {
        "a": "b",
        "c": "b",
        "q1-again": "q1",
    }
    groups = {group["setting"]: group for group in data["groups"] if group["subject"] == "copy"}
    assert [names[place] for place in groups[""]["runs"]] == ["b", "d"]
    assert (groups[""]["solved"], groups[""]["copies"], groups["num slots 64"]["copies"]) == (1, 2, 0)
    ((column,),) = (table["columns"] for table in data["tables"])
    assert column["cells"]["1"]["restarts"] == 2
    report = reported(tmp_path)
    rows = table(report, "copy: seeds that solved it")
    assert [(row["model"]["text"], row["solved"]["text"]) for row in rows] == [
        ("NTM, feed-forward", "1 of 2"),
        ("NTM, feed-forward (num slots 64)", "0 of 1"),
    ]
    left = (tmp_path / "report.md").read_text().splitlines()[-1]
    assert "a (stopped)" in left
    assert "c (has the setting and seed of b)" in left


def test_a_run_whose_recipe_is_gone_is_told_from_the_default(tmp_path: Path) -> None:
    run = copy_run(tmp_path / "run", num_slots=64)
    config = (run / "config.yaml").read_text().replace("recipe: default", "recipe: paper/gone")
    (run / "config.yaml").write_text(config)
    assert differences(from_yaml(run / "config.yaml")) == "num slots 64"
    lost = dataclasses.replace(story_recipe("default", "babi", None), recipe="gone", model="gone", num_hops=9)  # type: ignore[arg-type]
    assert "num hops 9" in differences(lost)
