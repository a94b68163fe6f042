"""W&B: what is really written where, in which mode, and that nothing is asked or told."""

from __future__ import annotations

import math
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile, cut, read_metrics
from experiments.runs.tracking import Names, start_tracker
from experiments.runs.wandb_environment import has_key, resolve_mode
from experiments.training.running import new_run_id
from tests.running import TINY
from tests.tracked import CONFIG, KEY, PROGRAM, clean_environment, curve, python, row, run_folders, start
from tests.wandb_log import read_run


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clean_environment(tmp_path, monkeypatch)


def test_an_offline_run_is_whole_and_where_it_should_be(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4), "red").save(tmp_path / "weights.png")
    tracker = start(tmp_path)
    for step in range(1, 6):
        tracker.log(row(step))
    tracker.log({"step": 6, "sequences": 96, "train/loss": math.nan, "eval/bits": math.inf})
    tracker.image("memory/write_weights", tmp_path / "weights.png", 96)
    tracker.summary({"eval/best": 0.25})
    print("loss 0.5")
    tracker.finish(exit_code=3)

    assert run_folders(tmp_path) == [tracker.folder]
    assert tracker.folder is not None
    assert tracker.folder.name.endswith("-copy-ntm-s0")
    assert not (tracker.folder / "files" / "output.log").exists()
    assert str(tracker.folder) in tracker.notice
    assert tracker.url is None
    assert capfd.readouterr() == ("loss 0.5\n", "")
    log = read_run(tracker.folder)
    about = log.run
    assert (about.run_id, about.display_name, about.run_group) == ("copy-ntm-s0", "copy-ntm-s0", "copy-ntm")
    assert (about.project, about.job_type, list(about.tags)) == ("memnet", "train", ["copy", "ntm"])
    assert {key: value for key, value in log.config.items() if key != "_wandb"} == CONFIG
    assert log.step_metrics == {"*": "sequences"}
    assert curve(log)[:5] == [(16 * step, 1 / (step + 1)) for step in range(1, 6)]
    assert math.isnan(log.history[5]["train/loss"])
    assert log.history[5]["eval/bits"] == math.inf
    picture = log.history[6]["memory/write_weights"]
    assert log.history[6]["sequences"] == 96
    assert (tracker.folder / "files" / picture["path"]).read_bytes() == (tmp_path / "weights.png").read_bytes()
    assert log.summary["eval/best"] == 0.25
    assert log.exit_code == 3


def test_a_resumed_run_has_the_whole_curve_once(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    first = start(tmp_path)
    with MetricsFile(metrics) as file:
        for step in range(1, 13):
            file.append(row(step))
            first.log(row(step))
    first.finish(exit_code=1)

    cut(metrics, step=10)
    second = start(tmp_path, run_id=first.run_id)
    second.replay(read_metrics(metrics))
    for step in range(11, 16):
        second.log(row(step))
    second.finish(exit_code=0)

    assert first.folder is not None
    assert second.folder is not None
    assert set(run_folders(tmp_path)) == {first.folder, second.folder}
    older, newer = read_run(first.folder), read_run(second.folder)
    assert newer.run.run_id == older.run.run_id
    assert newer.run.run_group == older.run.run_group
    assert curve(newer) == [(16 * step, 1 / (step + 1)) for step in range(1, 16)]
    assert newer.exit_code == 0


def test_a_forgotten_run_does_not_swallow_the_next(tmp_path: Path) -> None:
    start(tmp_path)
    tracker = start(tmp_path, run_id="copy-ntm-s1")
    assert tracker.run_id == "copy-ntm-s1"
    tracker.finish(exit_code=0)


def test_a_run_that_is_not_ours_goes_on(tmp_path: Path) -> None:
    program = f"""
import sys, threading, wandb
from experiments.__main__ import main
run = wandb.init(mode="offline", dir=sys.argv[1], settings=wandb.Settings(silent=True))
def train():
    options = ["--steps", "2", "--backend", "eager", "--out", sys.argv[1] + "/" + "n" * 150]
    codes.append(main(["train", "copy", *{TINY!r}[:-2], *options]))
codes = []
thread = threading.Thread(target=train)
thread.start()
thread.join()
wandb.log({{"mine": 1}})
run.finish()
print(codes, wandb.run)
"""
    result = python(program, tmp_path)
    assert result.stdout.splitlines()[-1] == "[0] None", result.stderr
    assert "warning" not in result.stderr
    theirs, ours = sorted((read_run(folder) for folder in run_folders(tmp_path)), key=lambda run: len(run.run.run_id))
    assert [row["mine"] for row in theirs.history] == [1]
    assert len(ours.history) > 1


def test_a_run_of_a_script_is_joined_under_a_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    joined = ["train", "copy", *TINY[:-2], "--steps", "5", "--wandb-prefix", "ours", "--out", str(tmp_path / "run")]
    assert main(joined) == 2
    assert "error: --wandb-prefix ours logs into a run of W&B that a script has open" in capfd.readouterr().err
    assert main([*joined, "--seeds", "2"]) == 2
    assert "--wandb-prefix ours is for one run" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WANDB_RUN_ID", "theirs")
    run = wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(silent=True))
    wandb.log({"mine": 1})
    assert main(joined) == 0
    own = start(tmp_path)  # without a prefix, and theirs has taken the identifier
    own.finish(0)
    assert own.run_id == "copy-ntm-s0"
    wandb.log({"mine": 2})
    run.finish()
    wandb.teardown()
    assert "warning" not in capfd.readouterr().err
    (log,) = [read_run(folder) for folder in run_folders(tmp_path) if folder != own.folder]
    assert [row["mine"] for row in log.history if "mine" in row] == [1, 2]
    steps = [row["step"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert [row["ours/step"] for row in log.history if "ours/step" in row] == steps
    assert log.step_metrics["ours/*"] == "ours/sequences"
    assert log.config["ours"]["model"]["hidden_size"] == 12
    assert "ours/test/exact_share/length-20" in log.summary
    assert log.exit_code == 0


def test_the_variables_of_wandb_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        "WANDB_PROJECT": "theirs",
        "WANDB_ENTITY": "team",
        "WANDB_RUN_ID": "their-id",
        "WANDB_NAME": "their-name",
        "WANDB_RUN_GROUP": "their-group",
        "WANDB_JOB_TYPE": "sweep",
        "WANDB_TAGS": "a,b",
        "WANDB_DIR": str(tmp_path / "elsewhere"),
    }
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    tracker = start(tmp_path)
    tracker.finish(exit_code=0)
    assert tracker.run_id == "their-id"
    assert run_folders(tmp_path) == []
    assert run_folders(tmp_path / "elsewhere") == [tracker.folder]
    assert tracker.folder is not None
    about = read_run(tracker.folder).run
    assert (about.project, about.entity, about.run_id) == ("theirs", "team", "their-id")
    assert (about.display_name, about.run_group, about.job_type) == ("their-name", "their-group", "sweep")
    assert list(about.tags) == ["a", "b"]


@pytest.mark.parametrize(
    ("asked", "environment", "mode"),
    [
        (None, {}, "offline"),
        (None, {"WANDB_MODE": ""}, "offline"),
        (None, {"WANDB_MODE": "disabled"}, "disabled"),
        ("offline", {"WANDB_MODE": "online"}, "offline"),
        ("offline", {"WANDB_DISABLED": "true"}, "offline"),
        (None, {"WANDB_DISABLED": "True", "WANDB_MODE": "online"}, "disabled"),
        (None, {"WANDB_DISABLED": "false"}, "offline"),
        (None, {"WANDB_MODE": "dryrun"}, "offline"),
    ],
)
def test_the_mode(asked: str | None, environment: dict[str, str], mode: str) -> None:
    assert resolve_mode(asked, environment) == mode


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(UserError, match=r"'ofline', did you mean 'offline'\? .*offline, online, shared, disabled"):
        resolve_mode("ofline", {})
    with pytest.raises(UserError, match=r"'xyz' \(there are"):
        resolve_mode(None, {"WANDB_MODE": "xyz"})


def test_online_needs_a_good_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs a key: run `wandb login`"):
        resolve_mode("online", {})
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(UserError, match="40"):
        resolve_mode("online", {})
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert resolve_mode("online", os.environ) == "online"
    assert resolve_mode(None, {"WANDB_MODE": "run"}) == resolve_mode(None, {"WANDB_SWEEP_ID": "s"}) == "online"
    assert resolve_mode(None, {"WANDB_MODE": "shared", "WANDB_SWEEP_ID": "s"}) == "shared"


@pytest.mark.parametrize(("mode", "told"), [(None, "fine"), ("online", "W&B online needs a key: run `wandb login`")])
def test_no_question_in_a_terminal(tmp_path: Path, mode: str | None, told: str) -> None:
    program = f"""
from experiments.__main__ import main
from experiments.base.files import UserError
try:
    exec({PROGRAM!r})
    tracker.log(row(1))
    tracker.finish(0)
    print("fine")
except UserError as error:
    print(error)
"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | ({"WANDB_MODE": mode} if mode else {}),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert process.wait(timeout=20) == 0
        assert select.select([ours], [], [], 1.0)[0]
        shown = os.read(ours, 65536).decode()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert shown.startswith(told)
    assert len(shown.splitlines()) == 1


def test_no_host_name_is_looked_up_while_offline(tmp_path: Path) -> None:
    watch = """
import sys
sys.addaudithook(lambda event, details: event == "socket.getaddrinfo" and print(event, *details))
"""
    result = python(watch + PROGRAM + "tracker.log(row(0)); tracker.finish(0)", tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(("kind", "mode"), [("none", "offline"), ("wandb", "disabled")])
def test_no_tracker_leaves_nothing(tmp_path: Path, kind: Any, mode: str) -> None:
    tracker = start_tracker(kind, run_folder=tmp_path, run_id="id", names=Names("", "", ()), config={}, mode=mode)
    tracker.log(row(1))
    tracker.replay([row(1)])
    tracker.image("picture", "absent.png", 16)
    tracker.summary({})
    tracker.finish(exit_code=0)
    assert (tracker.run_id, tracker.url, tracker.folder, tracker.notice) == ("id", None, None, "")
    assert list(tmp_path.iterdir()) == []


def test_without_wandb_installed(tmp_path: Path) -> None:
    program = f"""
import sys
import experiments.runs.tracking as tracking
from pathlib import Path
assert "wandb" not in sys.modules
sys.modules["wandb"] = None
tracking.start_tracker(
    "none", run_folder=Path("runs/x"), run_id="x", names=tracking.Names("x", "x", ()), config={{}}, mode="offline"
).finish(0)
try:
    exec({PROGRAM!r})
except tracking.UserError as error:
    print(error)
"""
    result = python(program, tmp_path)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1
    assert "pip install 'wandb>=0.31'" in result.stdout
    assert "--tracker none" in result.stdout


def test_runs_have_readable_identifiers_that_wandb_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, expected in {
        "copy-ntm-s0": "copy-ntm-s0",
        "ten/s3": "ten-s3",
        "a:b <c>/s3": "a-b-c-s3",
        "é #1": "é-1",
        "n" * 200: "n" * 55 + "-" + sha256(b"n" * 200).hexdigest()[:8],
    }.items():
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "config.yaml").touch()
        monkeypatch.chdir(place)
        run_id = new_run_id(RunFolder("."))
        assert run_id[:-5] == expected
        tracker = start(tmp_path, run_id=run_id)
        tracker.finish(0)
        assert tracker.folder is not None
        assert read_run(tracker.folder).run.run_id == run_id


def test_a_variable_that_wandb_refuses_is_told_with_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "")
    start(tmp_path).finish(0)
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "soon")
    start(tmp_path).finish(0)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: W&B: ")
    assert all(word in line for word in ("init_timeout", "'soon'", "nothing is tracked"))
    with pytest.raises(UserError, match=r"init_timeout.*'soon'"):
        has_key()
