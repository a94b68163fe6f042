"""python -m experiments dashboard push: a workspace and a report of W&B over the runs of a folder."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import tyro

from experiments.base.files import UserError, write_whole
from experiments.base.provenance import command_line
from experiments.config.command_line import parse
from experiments.dashboard.view import Chart, logged_keys, sections
from experiments.runs.folder import RUNS, RunFolder
from experiments.runs.groups import copies_of
from experiments.runs.handover import run_id_of
from experiments.runs.reading import find_runs, read_run
from experiments.runs.wandb_environment import PROJECT, has_key, import_wandb, set_up

INSTALL = "pip install -e '.[workspaces]'"
WORKSPACE, REPORT = "wandb-workspace.json", "wandb-report.json"


@dataclasses.dataclass(frozen=True)
class PushOptions:
    """Make a workspace and a report of W&B that show the runs below a folder, which `sync --wandb-mode online` sends.

    Without a key, or offline, both are written into the folder as JSON.
    """

    folder: tyro.conf.Positional[str] = str(RUNS)
    """Where the runs are, at any depth."""
    entity: str | None = None
    """User or team of W&B; None for WANDB_ENTITY, else the key's own."""
    project: str | None = None
    """Project of W&B; None for WANDB_PROJECT, else memnet."""
    wandb_mode: Literal["offline", "online"] | None = None
    """Weights & Biases mode; None for WANDB_MODE, else online where there is a key."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """The runs of a folder: their ids, and what has been logged, in all and by task."""

    name: str
    ids: list[str]
    keys: set[str]
    by_task: dict[str, tuple[list[str], set[str]]]


def push(args: Sequence[str]) -> int:
    """Send workspace and report and print where they are, or write them."""
    options = parse(PushOptions, "dashboard push", args)
    folder = Path(options.folder)
    shown = read_shown(folder)
    ws, wr = import_workspaces()
    project = options.project or os.environ.get("WANDB_PROJECT") or PROJECT
    mode = options.wandb_mode or os.environ.get("WANDB_MODE") or None
    online = mode in (None, "online") and has_key()
    if options.wandb_mode == "online" and not online:
        raise UserError("--wandb-mode online needs a key: run `wandb login` or set WANDB_API_KEY")
    if not online:
        _write(folder, make_workspace(ws, wr, shown, "", project), make_report(ws, wr, shown, "", project))
        return 0
    try:
        entity = options.entity or os.environ.get("WANDB_ENTITY") or import_wandb().Api().default_entity
        for page in (make_workspace(ws, wr, shown, entity, project), make_report(ws, wr, shown, entity, project)):
            print(page.save().url, flush=True)
    except Exception as error:
        raise UserError(f"W&B took no workspace or report: {str(error).partition(chr(10))[0]}") from None
    return 0


def read_shown(folder: Path) -> Shown:
    """What is to be shown, copies of runs left out; UserError where no run of the folder can be read."""
    ids, everything, by_task = list[str](), set[str](), dict[str, tuple[list[str], set[str]]]()
    paths = find_runs(folder)
    runs = [read_run(path) for path in paths]
    copies = copies_of(runs)
    for place, (path, run) in enumerate(zip(paths, runs, strict=True)):
        if place in copies:
            print(f"left out: {path} is a copy of {paths[copies[place]]}", file=sys.stderr)
            continue
        try:
            if (about := run.about) is None or run.troubles:
                raise UserError(run.troubles[0] if run.troubles else f"{path} is being made")
            folder_of_run = RunFolder(path)
            run_id, keys = run_id_of(folder_of_run), logged_keys(folder_of_run, about, run.logged)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        ids.append(run_id)
        everything |= keys
        of_task = by_task.setdefault(about["task"], ([], set()))
        of_task[0].append(run_id)
        of_task[1].update(keys)
    if not ids:
        raise UserError(f"no run in {folder} can be read")
    return Shown(folder.resolve().name, ids, everything, by_task)


def import_workspaces() -> tuple[Any, Any]:
    """The modules for workspaces and for reports, or a UserError that tells how to install them."""
    set_up(import_wandb())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # By name, so that types can be checked where it is not installed.
            workspaces = import_module("wandb_workspaces.workspaces")
            reports = import_module("wandb_workspaces.reports.v2")
    except ImportError as error:
        raise UserError(f"dashboard push needs wandb-workspaces ({error}): {INSTALL}") from None
    return workspaces, reports


def make_workspace(ws: Any, wr: Any, shown: Shown, entity: str, project: str) -> Any:
    """A workspace of these runs, grouped by task and model."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"memnet: {shown.name}",
        sections=[
            ws.Section(name=name, panels=[make_panel(wr, chart) for chart in charts], is_open=True)
            for name, charts in sections(shown.keys).items()
        ],
        settings=ws.WorkspaceSettings(x_axis="sequences"),
        runset_settings=ws.RunsetSettings(filters=ws.And(_is_one_of(ws, shown.ids)), groupby=[ws.Metric("Group")]),
    )


def make_report(ws: Any, wr: Any, shown: Shown, entity: str, project: str) -> Any:
    """A report: for each task its charts, over its own runs."""
    blocks: list[Any] = [
        wr.P(text=f"{len(shown.ids)} runs; bands go from the lowest to the highest seed of a setting.")
    ]
    for task, (ids, keys) in shown.by_task.items():
        blocks.append(wr.H1(text=task))
        for name, charts in sections(keys).items():
            # One with an entity asks the server for the project.
            where = {"entity": entity, "project": project} if entity else {}
            by = "Group" if charts[0].by == "Group" else f"config.{charts[0].by}"
            runs = wr.Runset(**where, name=task, filters=ws.And(_is_one_of(ws, ids)), groupby=[by])
            panels = [make_panel(wr, chart) for chart in charts]
            blocks += [wr.H2(text=name), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=entity, project=project, title=f"memnet: {shown.name}", blocks=blocks)


def make_panel(wr: Any, chart: Chart) -> Any:
    """A panel of W&B."""
    metrics = list(chart.metrics)
    by = chart.by if chart.by == "Group" else wr.Config(chart.by)
    grouped = {"groupby": by, "groupby_aggfunc": chart.together, "groupby_rangefunc": "minmax"}
    if chart.kind == "line":
        scales = {"log_x": chart.log_x, "log_y": chart.log_y}
        return wr.LinePlot(title=chart.title, x=chart.x, y=metrics, **grouped, **scales)
    if chart.kind == "bars":
        return wr.BarPlot(title=chart.title, metrics=metrics, **grouped)
    if chart.kind == "pictures":
        return wr.MediaBrowser(title=chart.title, media_keys=metrics, gallery_axis="step")
    return wr.WeavePanelSummaryTable(table_name=metrics[0])


def _is_one_of(ws: Any, ids: Sequence[str]) -> Any:
    return ws.Metric("ID").isin(list(ids))


def _write(folder: Path, workspace: Any, report: Any) -> None:
    for name, made in ((WORKSPACE, workspace), (REPORT, report)):
        content = made._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
        write_whole(folder / name, json.dumps(content, indent=1) + "\n")
        print(folder / name)
    online = ("--wandb-mode", "online")
    print(
        f"not sent, W&B is offline or has no key; to send: wandb login, then {command_line('sync', folder, *online)} "
        f"and {command_line('dashboard', 'push', folder, *online)}",
        file=sys.stderr,
    )
