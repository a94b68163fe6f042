"""The heat table of tasks and models: what stands in its cells, and that a page of results draws its own numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from experiments.__main__ import main
from experiments.figures.results import HeatCell, StatePoint, heat_figure, states_figure
from experiments.report.results import PAGE, RESULTS, TABLES, page, pictures, read
from tests.figure_parts import beyond, shown
from tests.test_command_line import refused

Capture = pytest.CaptureFixture[str]
CELLS = {
    ("parity", "LSTM"): HeatCell(100.0, 100.0, 99.5),
    ("parity", "NTM"): HeatCell(99.99, 99.96, None),
    ("sorting", "LSTM"): HeatCell(None, None, 50.0),
    ("sorting", "tape"): HeatCell(55.55, 20.0, None),
}


def told(figure: Any) -> dict[tuple[str, str], list[str]]:
    """What is written in each cell, from above, by the names of its row and its column."""
    (axes,) = figure.axes
    tasks, models = ([one.get_text() for one in axis.get_ticklabels()] for axis in (axes.yaxis, axes.xaxis))
    cells: dict[tuple[str, str], list[str]] = {}
    for text in sorted(axes.texts, key=lambda one: one.get_position()[1]):
        column, row = (round(place) for place in text.get_position())
        cells.setdefault((tasks[row], models[column]), []).append(text.get_text())
    return cells


def test_a_cell_has_the_mean_the_worst_seed_and_the_published_number() -> None:
    figure = heat_figure(CELLS, "a title", "a note")
    assert told(figure) == {
        ("parity", "LSTM"): ["100", "published 99.5"],
        ("parity", "NTM"): ["99.9"],  # only all is 100
        ("sorting", "LSTM"): ["\N{EN DASH}", "published 50"],
        ("sorting", "tape"): ["55.5 (20.0)"],
    }
    (axes,) = figure.axes
    assert np.array_equal(shown(axes).T, [[100, 99.99, np.nan], [np.nan, np.nan, 55.55]], equal_nan=True)
    assert beyond(figure) == []


def test_points_of_all_sizes_are_named_where_no_name_meets_another_or_a_point() -> None:
    points = {
        (task, f"a model {number}"): StatePoint(3000 + 100 * (number % 3), 100 - number // 4, (90, 100))
        for task in ("one", "another")
        for number in range(8)
    } | {("one", "large"): StatePoint(60_000, 100, (100, 100))}
    figure = states_figure(points, "a title")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    assert [(axes.get_title("left"), len(axes.texts)) for axes in figure.axes] == [("one", 9), ("another", 8)]
    for axes in figure.axes:
        boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[number + 1 :])
            (line, *_) = axes.containers
            assert not any(box.contains(*place) for place in axes.transData.transform(line[0].get_xydata()))
    assert beyond(figure) == []


def folder_of(path: Path, shares: dict[str, float | None], **table: Any) -> Path:
    rows = [{"what": f"parity, {name}", "result": name, "published": 50.0} for name in ("LSTM", "none")]
    about = {"title": "T", "about": "Told.", "score": "right_share", "picture": "heat", "rows": rows}
    (path / TABLES).write_text(yaml.safe_dump({"about": [], "tables": [about | table]}))
    (path / "LSTM.json").write_text(json.dumps({"tests": {"right_share": {"by_seed": shares}}}))
    return path


def test_a_pictures_numbers_are_those_of_the_results(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"0": 1.0, "1": 0.5})
    ((name, figure),) = pictures(read(folder))
    assert (name, told(figure)) == (
        "heat.png",
        {("parity", "LSTM"): ["75.0 (50.0)", "published 50"], ("parity", "none"): ["\N{EN DASH}", "published 50"]},
    )
    assert main(["results", str(folder)]) == 0
    assert "![T](heat.png)" in (folder / PAGE).read_text()
    assert (folder / "heat.png").read_bytes().startswith(b"\x89PNG")


def test_a_seed_without_a_number_is_told(tmp_path: Path) -> None:
    ((_, figure),) = pictures(read(folder_of(tmp_path, {"0": 1.0, "1": None})))
    assert told(figure)[("parity", "LSTM")][0] == "no number"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"score": "nats_per_step"}, "'T' has a picture, and no score that is a share"),
        ({"rows": [{"what": "parity", "result": "LSTM"}]}, "is called 'task, model', not 'parity'"),
    ],
)
def test_what_cannot_be_drawn_is_told(table: dict[str, Any], words: str, tmp_path: Path, capsys: Capture) -> None:
    assert words in refused(capsys, "results", folder_of(tmp_path, {"0": 1.0}, **table))
    assert not (tmp_path / PAGE).exists()


def test_every_picture_of_the_page_is_there() -> None:
    text, names = page(read(RESULTS))[0], [name for name, _ in pictures(read(RESULTS))]
    assert names
    for name in names:
        assert f"]({name})" in text
        assert (RESULTS / name).is_file()
