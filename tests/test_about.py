"""Every run says what is to be told of it; whoever shows runs reads that and knows neither task nor model."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.config.command_line import parse_train
from experiments.config.settings import setting_of
from experiments.runs.about import About, read_about, write_about
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_metrics
from tests import story_runs, text_runs
from tests.running import TINY

CAPTIONS = "--filters 2 --feature-size 4 --embedding-size 4 --hidden-size 4 --batch-size 2 --valid-scenes 2"
TRANSLATE = "--sentences 40 --valid-sentences 4 --test-sentences 2 --max-length 4 --embedding-size 4 --hidden-size 4"
COMMON = ["--tracker", "none", "--log-every", "2", "--valid-every", "2"]
RUNS: dict[str, list[str]] = {
    "sequences": ["copy", *TINY, "--steps", "4"],
    "stories": ["babi", *story_runs.TINY, *story_runs.MODELS["memn2n-restarts"], "--epochs", "1"],
    "text": ["text", *text_runs.TINY, "--text", "markov", "--steps", "4"],
    "translation": ["translate", *TRANSLATE.split(), *COMMON, "--steps", "2"],
    "captions": ["captions", *CAPTIONS.split(), *COMMON, "--steps", "2", "--test-scenes", "4"],
}


@pytest.mark.parametrize("domain", RUNS)
def test_a_run_says_what_is_to_be_told_of_it(domain: str, tmp_path: Path) -> None:
    """Names in it are those of its files."""
    assert main(["train", *RUNS[domain], "--seed", "3", "--out", str(tmp_path)]) == 0
    about, config = read_about(tmp_path), parse_train([*RUNS[domain], "--seed", "3"])
    assert (about["domain"], about["task"], about["seed"]) == (domain, RUNS[domain][0], 3)
    assert about["setting"] == json.loads(json.dumps(setting_of(config)))
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert about["last_step"] == rows[-1]["step"]
    assert any(f"valid/{about['curve']['metric']}" in row for row in rows)
    if about["solved"] is not None:
        assert any(about["solved"]["metric"] in row for row in rows)
    assert about["data"] == RunFolder(tmp_path).read_result().get("trained_on", "copy")


def test_the_options_that_a_run_goes_on_with_are_told(tmp_path: Path) -> None:
    assert main(["train", *RUNS["text"], "--out", str(tmp_path)]) == 0
    first = read_about(tmp_path)
    assert main(["train", "--resume", str(tmp_path), "--steps", "6"]) == 0
    assert read_about(tmp_path)["last_step"] == 6 == first["last_step"] + 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"format": 2}, "is of another version of memnet: format 2, not 1"),
        ({"tests": {"by": "length"}}, "tests lacks 'unit'"),
        ({"seed": "x"}, "seed is 'x', expected a whole number"),
        ({"solved": 3}, "solved is 3, expected a mapping"),
    ],
)
def test_what_no_run_tells_is_one_line(damage: dict[str, Any], told: str, made_up: About, tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text(json.dumps({**made_up, **damage}))
    with pytest.raises(UserError, match=told):
        read_about(tmp_path)


def test_a_run_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"made by memnet 0\.1"):
        read_about(tmp_path)


@pytest.fixture
def made_up() -> About:
    """What a run of a model and a task tells that nobody here knows."""
    return made_up_about()


def made_up_about(**changed: Any) -> About:
    told: Any = {
        "format": 1,
        "domain": "mazes",
        "task": "escape",
        "subject": "escape, 5 x 5",
        "label": "escape-walker",
        "model": "walker",
        "model_words": "Random walker",
        "by_word": None,
        "recipe": "default",
        "differences": "width 24",
        "setting": {"task": "escape", "model": "walker", "width": 24},
        "seed": 0,
        "examples": "mazes",
        "data": "mazes",
        "parameters": 7,
        "curve": {"metric": "steps", "words": "steps to the exit", "unit": "steps"},
        "solved": {"metric": "valid/lost", "under": 0.1, "unit": "mazes lost", "then_steps": 10},
        "last_step": 100,
        "may_end_early": True,
        "tests": {
            "by": "level",
            "unit": "level",
            "names": {"easy": "without a loop", "hard": "with loops"},
            "trained": None,
            "failed_above": 5.0,
            "together": "mean",
            "scores": [
                {
                    "name": "lost",
                    "words": "mazes lost, %",
                    "heading": "lost %",
                    "unit": "% lost",
                    "format": ".1f",
                    "best": "low",
                }
            ],
        },
        "references": [],
        "published": "",
    }
    made: About = told | changed
    return made


def test_it_is_written_as_it_is_read(made_up: About, tmp_path: Path) -> None:
    write_about(tmp_path, made_up)
    assert read_about(tmp_path) == made_up
