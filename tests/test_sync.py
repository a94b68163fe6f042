"""Runs from their folders into W&B, and its workspaces and reports over them: what is really written."""

import json
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.__main__ import main
from experiments.dashboard.view import sections
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import read_metrics
from tests import story_runs
from tests.running import TINY, assert_has_finished, start
from tests.tracked import KEY, clean_environment, run_folders
from tests.unpainted import drawn
from tests.wandb_log import RunLog, read_run
from tests.wandb_server import WandbServer

NO_TRACKER = [*TINY, "--picture-every", "4"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clean_environment(tmp_path, monkeypatch)


def train(folder: Path, *more: object) -> None:
    assert main(["train", "copy", *NO_TRACKER, "--steps", "12", *map(str, more), "--out", str(folder)]) == 0


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not tracked, to be copied."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    train(folder)
    return folder


def synced(folder: Path, *more: str) -> RunLog:
    """The newest run of W&B after a sync."""
    assert main(["sync", str(folder), *more]) == 0
    return read_run(max(run_folders(folder.parent), key=lambda path: path.stat().st_mtime_ns))


def values(log: RunLog, key: str) -> list[Any]:
    return [row[key] for row in log.history if key in row]


def keys_of(log: RunLog) -> set[str]:
    return {key for row in log.history for key in row} | log.summary.keys()


@drawn()
def test_a_resumed_run_is_one_curve_with_pictures_and_tables(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "a run"
    train(run, "--cooldown-steps", 0, "--tracker", "wandb", "--steps", 8)
    assert main(["train", "--resume", str(run), "--steps", "12"]) == 0
    assert_has_finished(run)
    capsys.readouterr()
    first, second = (read_run(folder) for folder in run_folders(tmp_path))
    log = synced(run)
    # Of three folders of one id the last alone has the whole curve.
    assert capsys.readouterr().out == f"wandb sync {shlex.quote(str(run_folders(tmp_path)[-1]))}\n"

    rows = read_metrics(run / "metrics.jsonl")
    assert values(log, "step") == [row["step"] for row in rows]
    written = [row for row in log.history if "step" in row]
    assert all(row.items() <= record.items() for row, record in zip(rows, written, strict=True))
    assert values(log, "sequences") == sorted(values(log, "sequences"))
    drawn = [(row["sequences"], row["figures/training"]["path"]) for row in log.history if "figures/training" in row]
    assert [sequences for sequences, _ in drawn] == [4 * step for step in (4, 8, 12)]
    (folder,) = [path for path in run_folders(tmp_path) if (path / "files" / drawn[0][1]).exists()][-1:]
    for step, (_, path) in zip((4, 8, 12), drawn, strict=True):
        picture = run / "figures" / "training" / f"step-{step:06d}.png"
        assert (folder / "files" / path).read_bytes() == picture.read_bytes()
    (table,) = values(log, "tables/failures")
    content = json.loads((folder / "files" / table["path"]).read_text())
    failures = [json.loads(line) for line in (run / "failures.jsonl").read_text().splitlines()]
    assert [dict(zip(content["columns"], row, strict=True)) for row in content["data"]] == failures
    assert values(log, "test/length") == [20, 40, 80, 120]
    assert log.summary["test/exact_share/length-20"] == 0
    assert "outcome/solved" not in log.summary  # nothing says when it would be
    assert log.exit_code == 0

    # The run that was tracked as it went on left the same.
    def plain(log: RunLog) -> list[dict[str, Any]]:
        left_out = ("_", "tables/")
        return [{key: value for key, value in row.items() if not key.startswith(left_out)} for row in log.history]

    assert plain(second) == plain(log)
    assert log.run.run_id == first.run.run_id
    assert log.run.run_group == second.run.run_group == f"copy-{log.config['setting']}"
    assert first.run.run_group != second.run.run_group  # for fewer steps
    assert list(log.run.tags) == list(second.run.tags)
    assert {k: v for k, v in log.config.items() if k != "_wandb"} == {
        k: v for k, v in second.config.items() if k != "_wandb"
    }
    assert not (tmp_path / "home").exists() or not list((tmp_path / "home").rglob("staging/*"))


@drawn()
def test_stories_have_attention_and_answers(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert story_runs.train(run, *story_runs.MODELS["memn2n"], "--picture-every", 6, "--epochs", 1) == 0
    log = synced(run)
    steps = [int(path.stem[5:]) for path in sorted(run.glob("figures/training/*.png"))]
    assert [row["sequences"] for row in log.history if "figures/training" in row] == [8 * step for step in steps]
    assert {"entropy/hop-1", "gradient/embeddings-1", "figures/attention-1", "tables/answers"} <= keys_of(log)
    (table,) = values(log, "tables/answers")
    assert table["nrows"] == 20
    assert log.summary["outcome/error_percent"] == log.summary["test/error_percent/task-1"]
    assert list(log.run.tags) == ["babi", "memn2n", "generated 60"]


def test_a_stopped_run_ends_as_what_it_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--tracker", "wandb", "--steps", "100000", "--log-every", "20", "--checkpoint-every", "1000"]
    process = start("train", "copy", *TINY, *options, "--valid-every", "20", "--out", run)
    while not (run / "metrics.jsonl").exists() or not read_metrics(run / "metrics.jsonl"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    (folder,) = run_folders(tmp_path)
    log = read_run(folder)
    assert log.exit_code == 128 + signal.SIGTERM
    assert values(log, "step")[-1] == read_metrics(run / "metrics.jsonl")[-1]["step"]
    again = synced(run)
    assert again.exit_code == 1
    assert values(again, "step") == values(log, "step")
    assert "outcome/solved" not in again.summary


def test_a_folder_of_runs_and_what_cannot_be(
    tmp_path: Path, ended: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (0, 1, 2):
        shutil.copytree(ended, tmp_path / "suite" / f"s{seed}")
    (tmp_path / "suite" / "s1" / "checkpoint.safetensors").unlink()
    (tmp_path / "suite" / "half").mkdir()
    (tmp_path / "suite" / "half" / "config.yaml").write_text("task: nothing\n")
    jobs = [
        {"name": f"s{k}", "args": [], "group": "copy-wide", "values": {"hidden_size": "12", "num_slots": "16"}}
        for k in (0, 1)
    ]
    (tmp_path / "suite" / "suite.json").write_text(json.dumps({"suite": "wide", "about": "", "jobs": jobs}))
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    capsys.readouterr()
    assert main(["sync", str(tmp_path / "suite")]) == 1
    monkeypatch.delenv("WANDB_RUN_ID")
    told = capsys.readouterr()
    assert told.out == shlex.join(["wandb", "sync", *map(str, run_folders(tmp_path / "suite"))]) + "\n"
    warning, *others = told.err.splitlines()
    assert "WANDB_RUN_ID=mine names one run" in warning
    told_of = sorted(line.partition(":")[0] for line in others)
    assert told_of == [*(f"{tmp_path}/suite/s{k}" for k in (0, 1)), "left out", "left out"]
    assert f"left out: {tmp_path}/suite/s2 is a copy of {tmp_path}/suite/s0" in others
    logs = [read_run(folder) for folder in run_folders(tmp_path / "suite")]
    assert len({log.run.run_id for log in logs} | {"mine"}) == 3
    # The record of a suite beside them names them.
    tags = ["copy", "ntm-feedforward", "wide", "hidden_size=12", "num_slots=16"]
    assert {log.run.run_group for log in logs} == {"wide/copy-wide-" + logs[0].config["setting"].rpartition("-")[2]}
    assert [list(log.run.tags) for log in logs] == [tags, tags]
    assert {log.config["suite"] for log in logs} == {"wide"}

    assert main(["sync"]) == 2
    assert "sync needs run folders" in capsys.readouterr().err
    assert main(["sync", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["sync", str(tmp_path / "suite" / "half")]) == 2
    assert "error: " in capsys.readouterr().err
    assert main(["sync", str(tmp_path / "suite"), "--wandb-mode", "online"]) == 2
    assert "needs a key: run `wandb login`" in capsys.readouterr().err


def test_a_run_at_work_is_left_alone(ended: Path, capsys: Capture) -> None:
    with RunFolder(ended).locked():
        assert main(["sync", str(ended)]) == 2
    assert "in use by another process" in capsys.readouterr().err


def test_online_it_reaches_the_server(
    tmp_path: Path, ended: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shutil.copytree(ended, tmp_path / "run")
    server = WandbServer()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    try:
        # It would be an artifact, which is more than this server can take.
        (tmp_path / "run" / "failures.jsonl").unlink()
        assert main(["sync", str(tmp_path / "run"), "--wandb-mode", "online"]) == 0
    finally:
        server.stop()
    assert [row["step"] for row in server.history if "step" in row] == [
        row["step"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")
    ]
    assert server.exit_code == 0
    assert f"{server.url}/team/memnet/runs/" in capsys.readouterr().out


def test_workspace_and_report_show_what_is_logged(
    tmp_path: Path, ended: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb_workspaces", reason="needs the extra `workspaces`")
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *host: asked.append(host) or [])
    suite = tmp_path / "suite"
    shutil.copytree(ended, suite / "copy")
    assert story_runs.train(suite / "q1", *story_runs.MODELS["entnet"], "--picture-every", 6, "--epochs", 1) == 0
    logs = [synced(run) for run in (suite / "copy", suite / "q1")]
    shutil.copytree(suite / "copy", suite / "copy-again")
    capsys.readouterr()
    assert main(["dashboard", "push", str(suite)]) == 0
    told = capsys.readouterr()
    assert told.out.split() == [str(suite / "wandb-workspace.json"), str(suite / "wandb-report.json")]
    assert "wandb login" in told.err
    assert f"left out: {suite / 'copy-again'} is a copy of {suite / 'copy'}" in told.err
    assert asked == []
    logged = keys_of(logs[0]) | keys_of(logs[1])
    ids = {log.run.run_id for log in logs}
    for name in ("wandb-workspace.json", "wandb-report.json"):
        text = (suite / name).read_text()
        shown = metrics_in(json.loads(text))
        assert shown - logged == set()
        assert {"valid/bits_per_sequence", "valid/error_percent", "test/bit_error_rate"} <= shown
        assert {"figures/training", "test/error_percent/task-1", "gate/mean", "memory/slots_used"} <= shown
        assert all(f'"{one}"' in text for one in ids)
        assert '"tables/failures"' in text.replace("table.json", "")
    lines = [panel for panel in panels_in(json.loads((suite / "wandb-workspace.json").read_text())) if "xAxis" in panel]
    assert {panel["xAxis"] for panel in lines} == {"sequences", "test/length"}
    assert {(panel["groupBy"], panel["groupAgg"], panel["groupArea"]) for panel in lines} == {
        ("group", "mean", "minmax")
    }


def panels_in(content: Any) -> list[dict[str, Any]]:
    """The settings of all panels, wherever they are."""
    if isinstance(content, list):
        return [panel for one in content for panel in panels_in(one)]
    if not isinstance(content, dict):
        return []
    own = [content["config"]] if "viewType" in content and "config" in content else []
    return own + [panel for one in content.values() for panel in panels_in(one)]


def metrics_in(content: Any) -> set[str]:
    """Every name of something logged that the panels use."""
    found: set[str] = set()
    for panel in panels_in(content):
        found.update(panel.get("metrics", []), panel.get("mediaKeys", []))
        if "xAxis" in panel:
            found.add(panel["xAxis"])
    return found


def test_nothing_is_charted_that_is_not_there() -> None:
    assert sections({"train/loss", "step"}) == {}
    (charts,) = sections({"sequences", "train/loss"}).values()
    assert [chart.metrics for chart in charts] == [["train/loss"]]


def test_push_and_its_bad_input(tmp_path: Path, ended: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb_workspaces", reason="needs the extra `workspaces`")
    assert main(["dashboard", "push", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    shutil.copytree(ended, tmp_path / "runs" / "run")
    capsys.readouterr()
    assert main(["dashboard", "push", str(tmp_path / "runs"), "--wandb-mode", "online"]) == 2
    assert "needs a key: run `wandb login`" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    assert main(["dashboard", "push", str(tmp_path / "runs")]) == 2
    assert "pip install -e '.[workspaces]'" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "runs")
    (tmp_path / "runs" / "run").rename(tmp_path / "runs" / "push")
    assert main(["dashboard", "./push"]) == 0
    assert (tmp_path / "runs" / "push" / "dashboard.html").exists()
