"""The figures show what they were given: read back through matplotlib's objects, not by eye."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from experiments import paper_curves as curves
from experiments.figures import (
    MODELS,
    Episode,
    learning_curve_figure,
    length_figure,
    memory_figure,
    paper_curves,
    save_figure,
    seeds_figure,
)
from memnet import NTM
from tasks import TASKS

ROOT = Path(__file__).parents[1]


def panels(figure: Figure) -> dict[str, Axes]:
    """The axes of a figure by their title."""
    return {axes.get_title("left"): axes for axes in figure.axes if axes.get_title("left")}


def shown(axes: Axes) -> np.ndarray:
    """The values of the one image of a panel, (time, row), NaN where masked."""
    (image,) = axes.images
    return np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan).T


def crosses(axes: Axes) -> set[tuple[float, float]]:
    """Where the panel has crosses."""
    return {(x, y) for line in axes.lines if line.get_marker() == "x" for x, y in line.get_xydata()}


def line(axes: Axes, label: str) -> np.ndarray:
    """The points of the line with that label, (point, 2)."""
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return np.asarray(found.get_xydata())


def words(figure: Figure) -> str:
    """All that is written in the figure apart from ticks and axis labels."""
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += axes.texts
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
        texts += [axes.title, axes._left_title, axes._right_title]
    return "\n".join(text.get_text() for text in texts)


def episode(length: int = 6, slots: int = 20, heads: int = 1, start: int = 0, seed: int = 0) -> Episode:
    """A copy of `length` vectors as a trained NTM would do it: the write head walks, then the read head."""
    draw = np.random.default_rng(seed)
    steps = 2 * length + 1
    bits = draw.integers(0, 2, (length, 8)).astype(float)
    inputs, targets = np.zeros((steps, 9)), np.zeros((steps, 8))
    inputs[:length, :8], inputs[length, 8], targets[length + 1 :] = bits, 1, bits
    write, read = np.zeros((2, steps, heads, slots))
    for step in range(steps):
        for head in range(heads):
            write[step, head, (start + 3 * head + min(step, length)) % slots] = 1
            read[step, head, (start + 3 * head + max(step - length - 1, 0)) % slots] = 1
    return Episode(
        inputs=inputs,
        targets=targets,
        outputs=np.abs(targets - 0.2 * draw.random((steps, 8))),
        mask=np.arange(steps) > length,
        add=draw.normal(size=(steps, heads, 5)),
        reads=draw.normal(size=(steps, heads, 5)),
        write_weights=write,
        read_weights=read,
    )


# ---------------------------------------------------------------- memory


def test_every_panel_shows_its_array() -> None:
    one = episode()
    named = panels(memory_figure(one, "copy"))
    for title, values in {
        "Inputs": one.inputs,
        "Targets": one.targets,
        "Outputs": one.outputs,
        "Added vectors": one.add[:, 0],
        "Read vectors": one.reads[:, 0],
        "Write weighting": one.write_weights[:, 0],
        "Read weighting": one.read_weights[:, 0],
    }.items():
        np.testing.assert_array_equal(shown(named[title]), values, err_msg=title)
        left, right, bottom, top = named[title].images[0].get_extent()
        assert (left, right, bottom, top) == (-0.5, 12.5, values.shape[1] - 0.5, -0.5)
        assert (named[title].get_xlim(), named[title].get_ylim()) == ((left, right), (bottom, top))
    assert len(named) == 7
    for title in ("Inputs", "Targets", "Outputs", "Write weighting", "Read weighting"):
        assert named[title].images[0].get_clim() == (0, 1)
    largest = max(np.abs(one.add).max(), np.abs(one.reads).max())
    assert named["Added vectors"].images[0].get_clim() == named["Read vectors"].images[0].get_clim()
    assert named["Read vectors"].images[0].get_clim() == (-largest, largest)


def test_wrong_bits_are_marked_where_they_are_and_only_there() -> None:
    one = episode()
    one.outputs[8, 3] = 1 - one.targets[8, 3]
    one.outputs[9, 0] = one.outputs[9, 1] = 0.5
    one.targets[9, :2] = 0, 1
    one.outputs[12, 7] = math.nan
    one.outputs[2, 1] = 1  # not scored
    figure = memory_figure(one)
    named = panels(figure)
    assert crosses(named["Outputs"]) == {(8, 3), (9, 0), (9, 1), (12, 7)}
    assert not crosses(named["Targets"])
    assert "4 of 48 scored bits wrong" in words(figure)
    assert "wrong bit" in words(figure)
    assert "not finite" in words(figure)
    clean = memory_figure(episode())
    assert "0 of 48 scored bits wrong" in words(clean)
    assert "wrong bit\n" not in words(clean)
    assert not crosses(panels(clean)["Outputs"])


def test_wrong_agrees_with_the_task() -> None:
    task = TASKS["copy"]()
    batch = task.sample(3, length=(1, 5), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(batch.target.shape, generator=torch.Generator().manual_seed(1))
    expected = task.metrics(logits, batch)["wrong_bits"].tolist()
    arrays = (batch.input, batch.target, logits.sigmoid(), batch.mask)
    assert [Episode(*(array[k].numpy() for array in arrays)).wrong.sum() for k in range(3)] == expected


@pytest.mark.parametrize("mask", ["0110010", "000", "1"])
def test_unscored_steps_are_shaded(mask: str) -> None:
    scored = np.array([digit == "1" for digit in mask])
    bits = np.zeros((len(mask), 2))
    named = panels(memory_figure(Episode(bits, bits, bits, scored)))
    for title in ("Targets", "Outputs"):
        (spans,) = named[title].collections
        inside = [
            any(path.vertices[:, 0].min() < step < path.vertices[:, 0].max() for path in spans.get_paths())
            for step in range(len(mask))
        ]
        np.testing.assert_array_equal(inside, ~scored)
    assert not named["Inputs"].collections


def test_heads_have_panels_of_their_own() -> None:
    one = episode(heads=4, slots=30)
    one.add, one.write_weights = one.add[:, :2], one.write_weights[:, :2]
    named = panels(memory_figure(one))
    assert len(named) == 3 + 2 + 2 + 4 + 4
    np.testing.assert_array_equal(shown(named["Read weighting, head 3"]), one.read_weights[:, 2])
    np.testing.assert_array_equal(shown(named["Added vectors, head 2"]), one.add[:, 1])
    boxes = [axes.get_position() for axes in named.values()]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def slot_labels(axes: Axes) -> dict[int, int]:
    """What the slot axis says at each of its rows."""
    bottom, top = axes.get_ylim()
    format_tick = axes.yaxis.get_major_formatter()
    return {row: int(format_tick(row, 0)) for row in range(math.ceil(top), math.ceil(bottom))}


@pytest.mark.parametrize(("start", "first", "last"), [(40, 38, 48), (0, 0, 8), (124, 122, 4), (121, 119, 127)])
def test_of_a_large_memory_only_used_slots_are_shown_under_their_own_numbers(start: int, first: int, last: int) -> None:
    one = episode(slots=128, start=start)
    figure = memory_figure(one)
    for title, weights in (("Write weighting", one.write_weights), ("Read weighting", one.read_weights)):
        axes = panels(figure)[title]
        slots = list(slot_labels(axes).values())
        assert (slots[0], slots[-1], len(slots)) == (first, last, (last - first) % 128 + 1)
        np.testing.assert_array_equal(shown(axes), weights[:, 0][:, slots])
        # The row of the image at which a slot is written carries that slot's number.
        step, row = np.argwhere(shown(axes) == 1)[-1]
        assert slots[row] == weights[step, 0].argmax()
    stretch = f"{first} to {last}" if first < last else f"{first} to 127 and 0 to {last}"
    assert f"Shown are slots {stretch} of 128;" in words(figure)


def test_a_diffuse_weighting_shows_all_slots_on_a_scale_of_its_own() -> None:
    one = episode(slots=200)
    one.write_weights[:], one.read_weights[:] = 1 / 200, 1 / 200
    one.read_weights[3, 0, 7] = 0.008
    axes = panels(memory_figure(one))["Read weighting"]
    assert shown(axes).shape == (13, 200)
    assert axes.images[0].get_clim() == (0, 0.008)


def test_single_cells_of_a_huge_weighting_survive() -> None:
    steps, slots = 2001, 2048
    weights = np.zeros((steps, 1, slots))
    weights[np.arange(steps), 0, np.arange(steps)] = 1
    bits = np.random.default_rng(0).integers(0, 2, (steps, 1)).astype(float)
    figure = memory_figure(Episode(bits, bits, bits, np.ones(steps, bool), write_weights=weights))
    named = panels(figure)
    values = shown(named["Write weighting"])
    assert max(values.shape) <= 450
    assert (values.max(axis=0) == 1).sum() > 0.95 * values.shape[1]
    assert (values.max(axis=1) == 1).all()
    assert named["Write weighting"].get_xlim() == (-0.5, 2000.5)
    inputs = shown(named["Inputs"])
    joined = math.ceil(steps / 450)
    np.testing.assert_allclose(inputs[0], bits[:joined].mean())
    np.testing.assert_allclose(inputs[-1], bits[joined * (len(inputs) - 1) :].mean())
    left, right, _, _ = named["Inputs"].images[0].get_extent()
    assert (left, right) == (-0.5, joined * len(inputs) - 0.5)


def test_not_a_number_has_a_colour_and_ruins_nothing_else(tmp_path: Path) -> None:
    one = episode(slots=128)
    one.add[2, 0, 1] = math.nan
    one.reads[:] = math.nan
    one.write_weights[3] = math.inf
    one.read_weights[:] = math.nan
    figure = memory_figure(one)
    named = panels(figure)
    assert np.argwhere(np.isnan(shown(named["Added vectors"]))).tolist() == [[2, 1]]
    assert np.isnan(shown(named["Write weighting"])).any(axis=1).nonzero()[0].tolist() == [3]
    image = named["Added vectors"].images[0]
    assert to_rgba(image.cmap.get_bad()) not in {to_rgba(image.cmap(x)) for x in np.linspace(0, 1, 256)}
    assert image.get_clim()[1] == np.nanmax(np.abs(one.add))
    save_figure(figure, tmp_path / "nan.png")


def test_a_model_without_memory_and_one_that_only_reads() -> None:
    one = episode()
    plain = memory_figure(Episode(one.inputs, one.targets, one.outputs, one.mask))
    assert set(panels(plain)) == {"Inputs", "Targets", "Outputs"}
    reader = Episode(one.inputs, one.targets, one.outputs, one.mask, read_weights=one.read_weights)
    assert set(panels(memory_figure(reader))) == {"Inputs", "Targets", "Outputs", "Read weighting"}
    for figure in (plain, memory_figure(reader)):
        assert panels(figure)["Inputs"].get_xlabel() == "time step"


def test_signed_inputs_are_shown_as_such() -> None:
    one = episode()
    one.inputs[2, 3] = -0.7
    assert panels(memory_figure(one))["Inputs"].images[0].get_clim() == (-1, 1)


def test_one_step_one_slot_one_channel(tmp_path: Path) -> None:
    one = np.ones((1, 1))
    cube = np.ones((1, 1, 1))
    figure = memory_figure(Episode(one, one, 0 * one, one[0] > 0, 0 * cube, 0 * cube, cube, cube))
    assert crosses(panels(figure)["Outputs"]) == {(0, 0)}
    assert panels(figure)["Read vectors"].images[0].get_clim() == (-1, 1)
    assert [tick for tick in panels(figure)["Read weighting"].get_xticks() if abs(tick) < 0.5] == [0]
    save_figure(figure, tmp_path / "one.png")


def test_the_trace_of_an_ntm_fits() -> None:
    task = TASKS["associative-recall"]()
    batch = task.sample(2, length=2, generator=torch.Generator().manual_seed(0))
    net = NTM(task.input_size, task.output_size, num_reads=2, hidden_size=8, num_slots=40)
    with torch.no_grad():
        trace = net.trace(batch.input)
    row = [
        batch.input,
        batch.target,
        trace.output.sigmoid(),
        batch.mask,
        trace.heads.add,
        trace.reads,
        trace.write_weights,
        trace.read_weights,
    ]
    figure = memory_figure(Episode(*(tensor[1].numpy() for tensor in row)))
    assert len(panels(figure)) == 3 + 1 + 2 + 1 + 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("outputs", np.zeros((13, 7)), r"outputs \(13, 7\) and targets \(13, 8\)"),
        ("outputs", np.full((13, 8), 3.0), "look like logits"),
        ("mask", np.ones((13, 1), bool), r"mask must have 1 axes, 13 steps first, not shape \(13, 1\)"),
        ("add", np.zeros((12, 1, 5)), r"add must have 3 axes, 13 steps first, not shape \(12, 1, 5\)"),
        ("read_weights", np.zeros((13, 1, 8)), r"same slots, not \[8, 20\]"),
        ("inputs", np.zeros((0, 9)), "inputs must have 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: np.ndarray, message: str) -> None:
    arrays = vars(episode())
    with pytest.raises(ValueError, match=message):
        Episode(**{**arrays, name: value})


# ---------------------------------------------------------------- learning curves


def rows_of(values: list[float], every: int = 100) -> list[dict[str, Any]]:
    """Training rows with these bits, a validation in every second one."""
    rows: list[dict[str, Any]] = []
    for k, value in enumerate(values, start=1):
        rows.append({"step": k, "sequences": every * k, "train/bits_per_sequence": value})
        if k % 2 == 0:
            rows[-1] |= {"valid/bits_per_sequence": value / 2, "valid/wrong_bits": value / 4}
    return rows


def test_a_learning_curve_shows_every_value() -> None:
    values = [100.0, 80.0, 5.0, 0.4, 0.002, 0.001]
    published = paper_curves("copy")
    figure = learning_curve_figure(rows_of(values), published, "copy, one seed", model="ntm-lstm")
    axes = figure.axes[0]
    thousands = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    np.testing.assert_allclose(line(axes, "training"), np.stack([thousands, values], 1))
    np.testing.assert_allclose(line(axes, "validation"), [[0.2, 40], [0.4, 0.2], [0.6, 0.0005]])
    assert line(axes, "training, running median").shape == (6, 2)
    for model, curve in published.items():
        np.testing.assert_array_equal(line(axes, f"paper: {MODELS[model][0]}"), curve)
    low, high = axes.get_ylim()
    assert low < 0.0005
    assert high > 100
    # 100 and 0.001 are both to be read: each decade has its room.
    place = axes.transData.transform([(0, 0.001), (0, 0.01), (0, 10), (0, 100)])[:, 1]
    assert place[1] - place[0] > 40
    assert place[3] - place[2] > 40
    assert "copy, one seed" in words(figure)
    assert "last validation: 0.0005 bits, 0.00025 wrong bits" in words(figure)
    assert axes.get_xlabel() == "sequences seen in training, thousands"
    assert axes.get_ylabel() == "cross-entropy, bits per sequence"
    assert {one.get_color() for one in axes.lines if one.get_label().startswith("training")} == {MODELS["ntm-lstm"][1]}


def test_exact_zeros_are_inside_the_axes() -> None:
    axes = learning_curve_figure(rows_of([10.0, 1.0, 0.1, 0.0, 0.0, 0.0])).axes[0]
    assert axes.get_ylim()[0] < 0
    assert 0 in axes.get_yticks()
    height = axes.transData.transform([(0, 0), (0, 0.1)])[:, 1]
    assert height[1] - height[0] > 15


def test_the_mark_stands_at_the_first_solved_validation() -> None:
    rows = rows_of([50.0] * 4 + [0.02] * 2 + [9.0] * 2 + [0.01] * 4)
    figure = learning_curve_figure(rows)
    assert "solved at 0.6 thousand sequences: under 0.01 wrong bits" in words(figure)
    (mark,) = [one for one in figure.axes[0].lines if list(one.get_ydata()) == [0, 1]]
    assert mark.get_xdata() == [0.6, 0.6]
    assert "solved at 1 thousand" in words(learning_curve_figure(rows, solved_at=0.004))
    assert "solved" not in words(learning_curve_figure(rows, solved_at=0.0025))
    assert "solved" not in words(learning_curve_figure(rows, solved_at=None))


def test_wrong_bits_are_read_under_the_name_the_trainer_writes() -> None:
    rows = [{"sequences": 100, "valid/bits_per_sequence": 0.5, "valid/wrong_bits_per_sequence": 0.001}]
    text = words(learning_curve_figure(rows))
    assert "solved at 0.1 thousand" in text
    assert "0.001 wrong bits per sequence" in text


def test_values_that_are_not_finite_are_marked() -> None:
    figure = learning_curve_figure(rows_of([10.0, math.nan, 5.0, 2.0, math.inf]))
    assert {round(x, 6) for x, _ in crosses(figure.axes[0])} == {0.2, 0.5}
    assert "not finite (3 values)" in words(figure)


def test_a_narrow_range_has_a_linear_scale_and_the_optimum() -> None:
    rows = [{"sequences": 1000 * k, "valid/bits_per_sequence": 130.0 + 10 / k} for k in range(1, 9)]
    axes = learning_curve_figure(rows, paper_curves("dynamic-ngrams"), optimum=132.3).axes[0]
    assert axes.get_yscale() == "linear"
    low, high = axes.get_ylim()
    assert 100 < low < 131
    assert 160 < high < 180
    assert line(axes, "best possible, 132.3 bits")[:, 1].tolist() == [132.3, 132.3]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 1}],
        [{"sequences": 0, "train/bits_per_sequence": 0.0}],
        [{"sequences": 16, "train/bits_per_sequence": math.nan, "valid/bits_per_sequence": math.nan}],
        [{"sequences": 16, "train/bits_per_sequence": 80.0, "valid/bits_per_sequence": None}],
        rows_of([1e-30, 1e30, 0.0]),
    ],
)
def test_odd_rows_make_a_figure(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    save_figure(learning_curve_figure(rows, optimum=0.0), tmp_path / "odd.png")


def test_running_median_against_a_slow_loop() -> None:
    values = np.random.default_rng(0).normal(size=200)
    curve = [(float(k), float(value)) for k, value in enumerate(values)]
    curve[50] = (50.0, math.nan)
    kept = [pair for pair in curve if math.isfinite(pair[1])]
    expected = [(x, float(np.median([y for _, y in kept[max(0, k - 4) : k + 5]]))) for k, (x, _) in enumerate(kept)]
    assert curves.running_median(curve) == expected
    assert curves.running_median(curve, points=3) == [expected[0], expected[99], expected[-1]]
    assert curves.running_median([]) == []


# ---------------------------------------------------------------- seeds


def test_seeds_show_each_seed_their_median_and_quartiles() -> None:
    draw = np.random.default_rng(0)
    values = draw.uniform(0.01, 50, (5, 4))
    seeds = {str(k): [(float(x + 1), float(y)) for x, y in enumerate(row)] for k, row in enumerate(values)}
    figure = seeds_figure(seeds, paper_curves("copy"), model="ntm-feedforward")
    axes = figure.axes[0]
    np.testing.assert_allclose(line(axes, "median of the seeds")[:, 1], np.median(values, axis=0))
    drawn = [np.asarray(one.get_xydata()).tolist() for one in axes.lines]
    for seed in seeds.values():
        assert [list(pair) for pair in seed] in drawn
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    for k in range(4):
        inside = corners[corners[:, 0] == k + 1][:, 1]
        np.testing.assert_allclose([inside.min(), inside.max()], np.quantile(values[:, k], [0.25, 0.75]))
    assert "paper: LSTM" in words(figure)


def test_a_seed_that_stopped_keeps_its_value_and_nan_is_the_worst() -> None:
    seeds: dict[str, curves.Curve] = {
        "0": [(1, 4.0), (2, 0.5)],
        "1": [(1, 5.0), (2, 3.0), (3, 2.0)],
        "2": [(1, 6.0), (2, math.nan), (3, math.nan)],
    }
    x, quartiles = curves.quartiles_of_seeds(list(seeds.values()))
    assert x.tolist() == [1, 2, 3]
    assert quartiles[1].tolist() == [5, 3, 2]
    assert np.isinf(quartiles[2]).tolist() == [False, True, True]
    figure = seeds_figure(seeds)
    assert sorted(x for x, _ in crosses(figure.axes[0])) == [2, 3]
    # The band goes on beyond the upper edge where its end is infinite.
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert corners[corners[:, 0] == 3][:, 1].max() > 1e6
    assert "3 seeds, 0 at or below 0.1 bits" in words(figure)
    assert "3 seeds, 2 at or below 2 bits" in words(seeds_figure(seeds, target_bits=2.0))


@pytest.mark.parametrize("seeds", [{}, {"0": []}, {"0": [(1.6, 70.0)]}, {"0": [(1.0, math.nan)], "1": [(2.0, 0.0)]}])
def test_odd_seeds_make_a_figure(seeds: dict[str, curves.Curve], tmp_path: Path) -> None:
    save_figure(seeds_figure(seeds), tmp_path / "odd.png")


# ---------------------------------------------------------------- lengths


def length_row(length: int, rate: float, slots: int | None = 128, sequences: int = 1000) -> dict[str, Any]:
    return {
        "length": length,
        "num_slots": slots,
        "exact_share": (1 - rate) ** (8 * length),
        "bit_error_rate": rate,
        "wrong_bits_per_sequence": 8 * length * rate,
        "bits_per_sequence": 20 * length * rate,
        "sequences": sequences,
    }


SHARE, RATE, WRONG = "Sequences exactly right, %", "Wrong bits, share of scored bits", "Wrong bits per sequence"
KEYS = {SHARE: "exact_share", RATE: "bit_error_rate", WRONG: "wrong_bits_per_sequence"}


def test_errors_over_length_are_the_given_ones_zeros_included() -> None:
    rows = [length_row(120, 0.02), length_row(20, 0.0), length_row(40, 1e-4)]
    rows += [length_row(20, 0.0, 2048), length_row(1000, 0.0, 2048, 200)]
    figure = length_figure(rows, (1, 20), "vectors", "copy")
    named = panels(figure)
    for title, key in KEYS.items():
        axes, scale = named[title], 100 if title == SHARE else 1
        drawn = [np.asarray(one.get_xydata()) for one in axes.lines if one.get_linestyle() == "-"]
        assert len(drawn) == 2
        for points, slots in zip(drawn, (128, 2048), strict=True):
            chosen = sorted((row["length"], scale * row[key]) for row in rows if row["num_slots"] == slots)
            np.testing.assert_allclose(points, chosen)
        assert axes.get_xscale() == "log"
        assert axes.get_xlim()[0] < 1
        assert axes.get_xlim()[1] > 1000
        assert axes.get_xlabel() == "test length, vectors"
        assert axes.patches[0].get_x() == 1
        assert axes.patches[0].get_width() == 19
    for title in (RATE, WRONG):
        hollow = [one for one in named[title].lines if one.get_markerfacecolor() == "white"]
        assert [list(map(tuple, one.get_xydata())) for one in hollow] == [[(20, 0)], [(20, 0), (1000, 0)]]
        assert named[title].get_ylim()[0] < 0
        assert 0 in named[title].get_yticks()
        assert named[title].yaxis.get_major_formatter()(0, 0) == "0"
    for text in ("128 slots", "2,048 slots", "trained at 1 to 20 vectors", "no error in 200 to 1,000 sequences"):
        assert text in words(figure)


def test_no_errors_at_all_and_a_model_without_memory() -> None:
    figure = length_figure([length_row(length, 0.0, None) for length in (20, 40)], (20, 20), "bits")
    for title in (RATE, WRONG):
        axes = panels(figure)[title]
        low, high = axes.get_ylim()
        assert low < 0 < high
        assert list(axes.get_yticks()) == [0]
    for text in ("no memory", "trained at 20 bits", "no error in 1,000 sequences"):
        assert text in words(figure)


def test_errors_that_are_not_finite_or_missing_are_marked(tmp_path: Path) -> None:
    rows = [length_row(20, 0.0), length_row(40, math.nan), length_row(80, 0.1)]
    del rows[2]["bit_error_rate"]
    figure = length_figure(rows, (1, 20), "vectors")
    assert {x for x, _ in crosses(panels(figure)[RATE])} == {40, 80}
    assert {x for x, _ in crosses(panels(figure)[WRONG])} == {40}
    assert "not finite" in words(figure)
    save_figure(figure, tmp_path / "nan.png")


def test_odd_lengths(tmp_path: Path) -> None:
    save_figure(length_figure([], (1, 20), "vectors"), tmp_path / "empty.png")
    save_figure(length_figure([length_row(1, 1e-12, 1)], (1, 1), "vectors"), tmp_path / "one.png")
    length_figure([length_row(10 + k, 0.1, k) for k in range(20)], (1, 20), "vectors")
    for rows, trained in (([length_row(0, 0.0)], (1, 20)), ([], (0, 20)), ([], (20, 1))):
        with pytest.raises(ValueError, match="at least 1"):
            length_figure(rows, trained, "vectors")


def test_decades_are_written_out() -> None:
    rows = [length_row(20, 0.0), length_row(30, 1e-7), length_row(40, 0.5), length_row(10**5, 0.5)]
    format_tick = panels(length_figure(rows, (1, 20), "vectors"))[WRONG].yaxis.get_major_formatter()
    values = (0, 1e-7, 1e-4, 0.001, 1, 10, 1e4)
    assert [format_tick(value, 0) for value in values] == ["0", "10⁻⁷", "10⁻⁴", "0.001", "1", "10", "10,000"]


# ---------------------------------------------------------------- the paper


def test_the_paper_has_curves_for_every_task_and_model() -> None:
    for task in TASKS:
        found = paper_curves(task)
        assert set(found) == {"ntm-feedforward", "ntm-lstm", "lstm"}
        for curve in found.values():
            x, y = curves.columns(curve)
            assert len(x) > 50
            assert (np.diff(x) > 0).all()
            assert (y >= 0).all()
            assert x[-1] in (500.0, 995.5, 995.6, 1000.0)
    with pytest.raises(ValueError, match="no published curves for 'babi', only for copy, "):
        paper_curves("babi")


@pytest.mark.parametrize(
    ("task", "model", "thousands", "bits"),
    [
        ("copy", "ntm-feedforward", 35, 2.40),
        ("copy", "lstm", 205, 1.95),
        ("repeat-copy", "ntm-lstm", 25, 13.6),
        ("associative-recall", "ntm-feedforward", 45, 0.22),
        ("dynamic-ngrams", "ntm-lstm", 505, 133.0),
        ("priority-sort", "lstm", 505, 68.8),
    ],
)
def test_values_that_were_also_read_off_by_hand(task: str, model: str, thousands: float, bits: float) -> None:
    _, nearest = min(paper_curves(task)[model], key=lambda pair: abs(pair[0] - thousands))
    assert nearest == pytest.approx(bits, rel=0.01)


def test_the_file_says_where_the_numbers_come_from() -> None:
    head = curves.PUBLISHED.read_text()[:600]
    for text in ("1410.5401", "digitised", "thousands", "bits per sequence"):
        assert text in head


# ---------------------------------------------------------------- files and imports


def test_a_png_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curve.png"
    figure = learning_curve_figure(rows_of([10.0, 1.0, 0.1]))
    save_figure(figure, path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (1200, 770)
    from matplotlib.image import imread

    assert len(np.unique(imread(path)[:, :, 0])) > 20
    save_figure(figure, path)
    assert path.read_bytes() == data

    def half(self: Figure, file: Any, **_: Any) -> None:
        file.write(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"as \.png, not as 'curve\.pdf'"):
        save_figure(figure, tmp_path / "curve.pdf")


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path: Path) -> None:
    run_python(f"""
import sys
from experiments import figures
assert not [name for name in sys.modules if name.startswith(("matplotlib", "torch", "wandb"))]
figures.paper_curves("copy")
assert "matplotlib" not in sys.modules
figures.save_figure(figures.learning_curve_figure([]), {str(tmp_path / "empty.png")!r})
assert "matplotlib.figure" in sys.modules and "matplotlib.pyplot" not in sys.modules
""")


def test_without_matplotlib_one_line_says_what_to_install() -> None:
    run_python("""
import sys
sys.modules["matplotlib"] = None
from experiments.files import UserError
from experiments.figures import learning_curve_figure
try:
    learning_curve_figure([])
except UserError as error:
    assert str(error) == "figures need matplotlib: pip install matplotlib", error
else:
    raise AssertionError
""")


def test_the_callers_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    import matplotlib

    save_figure(memory_figure(episode()), tmp_path / "plain.png")
    with matplotlib.rc_context({"axes.facecolor": "black", "savefig.dpi": 33, "font.size": 30}):
        before = dict(matplotlib.rcParams)
        save_figure(memory_figure(episode()), tmp_path / "set.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "set.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_models_have_colours_of_their_own() -> None:
    colours = [colour for _, colour in MODELS.values()]
    assert len(set(colours)) == len(colours)
