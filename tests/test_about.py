"""Every run says what is to be told of it; whoever shows runs reads that and knows neither task nor model."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.config.command_line import parse_train
from experiments.runs import handover
from experiments.runs.about import About, read_about, write_about
from experiments.runs.board import Follower
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_metrics
from experiments.suite.outcome import read_outcome
from tests import story_runs, text_runs
from tests.made_up_runs import made_up_about, made_up_run
from tests.running import TINY

CAPTIONS = "--filters 2 --feature-size 4 --embedding-size 4 --hidden-size 4 --batch-size 2 --valid-scenes 2"
TRANSLATE = "--sentences 40 --valid-sentences 4 --test-sentences 2 --max-length 4 --embedding-size 4 --hidden-size 4"
COMMON = ["--tracker", "none", "--log-every", "2", "--valid-every", "2"]
RUNS: dict[str, list[str]] = {
    "sequences": ["copy", *TINY, "--steps", "4"],
    "stories": ["babi", *story_runs.TINY, *story_runs.MODELS["memn2n-restarts"], "--epochs", "1"],
    "text": ["text", *text_runs.TINY, "--text", "markov", "--steps", "4"],
    "translation": ["translate", *TRANSLATE.split(), *COMMON, "--steps", "2", "--solved-at", "101"],
    "captions": ["captions", *CAPTIONS.split(), *COMMON, "--steps", "2", "--test-scenes", "4"],
}


@pytest.mark.parametrize("domain", RUNS)
def test_a_run_says_what_is_to_be_told_of_it(domain: str, tmp_path: Path) -> None:
    """Names in it are those of its files."""
    assert main(["train", *RUNS[domain], "--seed", "3", "--out", str(tmp_path)]) == 0
    about, config = read_about(tmp_path), parse_train([*RUNS[domain], "--seed", "3"])
    assert (about["domain"], about["task"], about["seed"]) == (domain, RUNS[domain][0], 3)
    assert about["setting"] == config.setting
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
    with pytest.raises(UserError, match=r"one of memnet 0\.1"):
        read_about(tmp_path)


@pytest.fixture
def made_up() -> About:
    """What a run of a model and a task tells that nobody here knows."""
    return made_up_about()


def test_it_is_written_as_it_is_read(made_up: About, tmp_path: Path) -> None:
    write_about(tmp_path, made_up)
    assert read_about(tmp_path) == made_up


def test_suites_boards_results_and_the_tracker_tell_of_a_run_that_nobody_knows(tmp_path: Path) -> None:
    runs = [made_up_run(tmp_path / f"s{seed}", seed) for seed in range(2)]
    follower = Follower(runs[0])
    follower.look()
    assert (follower.share, follower.words) == (20 / 30, ["valid mazes lost 0.05"])  # solved: ten steps are left
    assert str(read_outcome(runs[0])) == "done, solved after 640 mazes"
    about, tests = read_about(runs[0]), RunFolder(runs[0]).read_tests()
    assert handover.test_points(about, tests) == [{"test/lost": 2.0}, {"test/lost": 10.0}]
    told = {"test/lost/level-easy": 2.0, "test/lost/level-hard": 10.0}
    solved = {"outcome/solved": 1, "outcome/sequences_to_solve": 640}
    assert handover.outcome(about, tests, RunFolder(runs[0]).read_result()) == told | solved
    write_about(runs[0], made_up_about(solved=None))
    assert str(read_outcome(runs[0])) == "done, 6.0 % lost on tests"
    assert read_outcome(runs[0]).solved is False
    write_about(runs[0], about)
    assert main(["summarize", *map(str, runs), "--out", str(tmp_path / "both")]) == 0
    text = (tmp_path / "both.md").read_text()
    assert text.startswith("# escape, 5 x 5, Random walker, recipe default (width 24), 2 seeds")
    assert "| easy without a loop | 50 | 2.5 ± 0.707 | 2 |" in text
