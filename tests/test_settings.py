"""What a setting is, how its difference from a recipe is told, and that a copy of a run counts once."""

from pathlib import Path
from typing import Any

import pytest

from experiments.config.command_line import parse_train
from experiments.config.form import from_yaml, started
from experiments.config.recipes import recipe_names, recipes_of
from experiments.config.registry import DOMAINS, TASKS
from experiments.dashboard.collect import Collector
from experiments.training.about import differences
from tests.made_up_runs import copy_run, story_run
from tests.test_report import reported, table

STARTS = [
    *((task, "default", "generated") for task in TASKS),
    *((recipes_of(one)[name]["task"]["name"], name, "/data/babi") for one in DOMAINS for name in recipe_names(one)),
]


@pytest.mark.parametrize(("task", "name", "stories"), STARTS)
def test_a_recipe_does_not_differ_from_itself(task: str, name: str, stories: str | None) -> None:
    more = {"babi_data": stories} if task == "babi" else {}
    config: Any = started(task, name)
    assert differences(config.changed(seed=3, threads=2, log_every=7, **more)) == ""


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("copy --model gru --steps 60 --hidden-size 20", "hidden size 20, steps 60"),
        ("copy --skip True --recurrent-bias False --model lstm", "skip on, recurrent bias off"),
        ("copy --clip-norm None --learning-rate 1e-5", "learning rate 1e-05, clip norm not set"),
        ("copy --model lstm", ""),
        ("copy --controller lstm --num-slots 8", "num slots 8"),
        ("copy --controller gru", ""),
        ("copy --controller lstm --weight-noise 0.03", "weight noise 0.03"),
        ("copy --addressing content-and-location", "addressing content-and-location"),
        ("copy --addressing content-and-location --num-slots 128", "num slots 128, addressing content-and-location"),
        ("copy --recipe paper/copy-lstm --skip False", "skip off"),
        ("babi --task 1,2 --babi-data /data/b", ""),
        ("babi --model entnet --halve-every None", "halve every not set"),
        ("text --text /data/a/book.txt --hidden-size 7", "text book.txt, hidden size 7"),
    ],
)
def test_every_difference_is_told_in_words(args: str, told: str) -> None:
    assert differences(parse_train(args.split())) == told


def test_options_of_other_models_make_no_other_setting() -> None:
    first, second, third = (
        parse_train(["copy", "--model", "lstm", *more], lenient=True).setting
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
