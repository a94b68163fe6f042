"""Models that were kept do what their tables say, load by name and by their class, and are never trained over."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import memnet
from experiments.__main__ import main
from experiments.config.form import from_yaml
from experiments.runs.kept import PRETRAINED, pretrained_names
from experiments.training.loading import load_run
from tests.babi_release import DATA
from tests.running import TINY
from tests.story_runs import train as train_stories
from tests.test_command_line import refused

Capture = pytest.CaptureFixture[str]
MOST_BYTES = 6 * 2**20


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a task, and one on stories with two restarts."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "copy", *TINY, "--steps", "6", "--out", str(folder / "ntm")]) == 0
    assert train_stories(folder / "stories", "--restarts", "2") == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told_by(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "evaluation.json").read_text())
    return rows


@pytest.mark.parametrize("name", pretrained_names())
def test_a_pretrained_model_reaches_again_what_its_table_says(name: str, here: Path) -> None:
    told, config = told_by(PRETRAINED / name), from_yaml(PRETRAINED / name / "config.yaml")
    asked: list[object] = []
    if config.domain == "sequences":
        asked = ["--length", told[0]["at"]["length"], "--sequences", told[0]["count"]]
    if config.task.name == "babi":
        if not DATA.exists():
            pytest.skip(f"the bAbI release is not at {DATA}; set MEMNET_BABI")
        asked = ["--babi-data", DATA]
    assert main(["evaluate", name, *map(str, asked)]) == 0
    again = {repr((row["on"], row["at"])): row["scores"] for row in told_by(here / "runs" / "pretrained" / name)}
    for row in told[: 1 if config.domain == "sequences" else None]:
        assert again[repr((row["on"], row["at"]))] == pytest.approx(row["scores"], rel=0.02, abs=1e-3), row["at"]


def test_pretrained_models_are_small_and_whole() -> None:
    assert pretrained_names()
    for name in pretrained_names():
        assert {"config.yaml", "about.json", "result.json"} <= {path.name for path in (PRETRAINED / name).iterdir()}
        assert told_by(PRETRAINED / name)
        assert "changes" not in json.loads((PRETRAINED / name / "result.json").read_text())["versions"]["commit"]
    assert sum(path.stat().st_size for path in PRETRAINED.rglob("*")) < MOST_BYTES


@pytest.mark.parametrize("name", ["ntm", "stories"])
def test_a_kept_model_is_that_of_its_run(name: str, runs: Path, here: Path) -> None:
    assert main(["keep", str(runs / name), "kept"]) == 0
    before, after = load_run(runs / name), load_run("kept")
    alone = getattr(memnet, type(before.model).__name__).from_pretrained("kept")
    for key, value in before.model.state_dict().items():
        assert torch.equal(value, after.model.state_dict()[key])
        assert torch.equal(value, alone.state_dict()[key])
    told = told_by(here / "kept")
    assert main(["evaluate", "kept", *(["--sequences", "2"] if name == "ntm" else [])]) == 0
    for row, again in zip(told, told_by(here / "kept"), strict=True):
        assert again["scores"] == pytest.approx(row["scores"], rel=1e-5)
    assert main(["show", "kept"]) == 0
    assert str(runs) not in "".join(path.read_text() for path in here.glob("kept/*.json"))


def test_what_is_no_new_folder_or_no_ended_run_is_not_kept(runs: Path, here: Path, capsys: Capture) -> None:
    (here / "full").mkdir()
    (here / "full" / "file").touch()
    assert "full is there already" in refused(capsys, "keep", runs / "ntm", "full")
    shutil.copytree(runs / "ntm", "stopped")
    (here / "stopped" / "result.json").unlink()
    assert "has not ended" in refused(capsys, "keep", "stopped", "kept")
    assert not (here / "kept").exists()


def test_what_cannot_be_written_leaves_nothing(
    runs: Path, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("experiments.runs.kept.shutil.copy", full)
    assert "No space left" in refused(capsys, "evaluate", "copy")
    monkeypatch.setattr("memnet.pretrained.write_whole", full)
    assert "No space left" in refused(capsys, "keep", runs / "ntm", "kept")
    assert [path.name for path in here.rglob("*") if path.is_file()] == []
    assert not (here / "kept").exists()


def test_what_ships_is_never_written_to(here: Path) -> None:
    place = PRETRAINED / "copy"
    before = {path: path.read_bytes() for path in place.iterdir()}
    assert main(["evaluate", str(place), "--length", "3", "--sequences", "2"]) == 0
    assert {path: path.read_bytes() for path in place.iterdir()} == before
    assert len(told_by(here / "runs" / "pretrained" / "copy")) > len(told_by(place))


def test_a_kept_model_is_not_trained_on(runs: Path, here: Path, capsys: Capture) -> None:
    assert main(["keep", str(runs / "ntm"), "kept"]) == 0
    files = {path: path.read_bytes() for path in (here / "kept").iterdir()}
    assert "without its training" in refused(capsys, "train", "--resume", "kept")
    assert {path: path.read_bytes() for path in files} == files


def test_a_name_means_the_run_in_its_folder_first_and_never_another_model(
    runs: Path, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.runs.kept.PRETRAINED", here / "pretrained")
    assert main(["keep", str(runs / "ntm"), "pretrained/mine"]) == 0
    monkeypatch.chdir(here / "pretrained" / "mine")
    assert "pretrained models: mine" in refused(capsys, "evaluate", "other")
    assert load_run("mine").config == load_run("pretrained/mine").config == load_run("runs/pretrained/mine").config
    copied = Path("runs/pretrained/mine/model.safetensors")
    copied.write_bytes(copied.read_bytes()[:-1])
    assert "another model" in refused(capsys, "evaluate", "mine")
    shutil.copytree(runs / "stories", "mine")
    assert load_run("mine").config.domain == "stories"
