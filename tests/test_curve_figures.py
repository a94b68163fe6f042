"""Learning curves and seeds show the numbers they were given, and the paper's curves are the published ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.base import curves
from experiments.domains.sequences.about import PUBLISHED, paper_curves
from experiments.figures.curves import learning_curve_figure, seeds_figure, settings_figure
from experiments.figures.style import MODELS, Measure, save_figure
from tests.figure_parts import crosses, line, rows_of, words

pytestmark = pytest.mark.pictures


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


def test_one_seed_stands_alone_beside_what_is_best_possible() -> None:
    figure = seeds_figure({"0": [(1, 4.0), (2, 3.0)]}, target_bits=None, optimum=2.5)
    for shown in ("the seed", "best possible", "1 seed"):
        assert shown in words(figure)
    for never in ("median", "middle half", "at or below"):
        assert never not in words(figure)
    assert len(figure.axes[0].collections) == 0


@pytest.mark.parametrize("seeds", [{}, {"0": []}, {"0": [(1.6, 70.0)]}, {"0": [(1.0, math.nan)], "1": [(2.0, 0.0)]}])
def test_odd_seeds_make_a_figure(seeds: dict[str, curves.Curve], tmp_path: Path) -> None:
    save_figure(seeds_figure(seeds), tmp_path / "odd.png")


# ---------------------------------------------------------------- the paper


def test_settings_are_medians_of_their_runs() -> None:
    one, other = [(1.0, 8.0), (2.0, 4.0)], [(1.0, 6.0), (2.0, math.inf)]
    figure = settings_figure({"a": [one], "b": [one, other, other]}, {"lstm": [(1.0, 9.0)]}, "two")
    (axes,) = figure.axes
    np.testing.assert_allclose(line(axes, "a, 1 run"), one)
    np.testing.assert_allclose(line(axes, "b, 3 runs"), other)
    assert crosses(axes) == {(2.0, 0.98)}
    assert "paper: LSTM" in words(figure)


def test_the_paper_has_curves_for_every_task_and_model() -> None:
    for task in ("copy", "repeat-copy", "associative-recall", "dynamic-ngrams", "priority-sort"):
        found = paper_curves(task)
        assert set(found) == {"ntm-feedforward", "ntm-lstm", "lstm"}
        for curve in found.values():
            x, y = curves.columns(curve)
            assert len(x) > 50
            assert (np.diff(x) > 0).all()
            assert (y >= 0).all()
            assert x[-1] in (500.0, 995.5, 995.6, 1000.0)
    assert paper_curves("babi") == {}


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
    head = PUBLISHED.read_text()[:600]
    for text in ("1410.5401", "digitised", "thousands", "bits per sequence"):
        assert text in head


def test_a_curve_of_one_point_is_seen_over_what_the_run_counts() -> None:
    bits = Measure("bits_per_character", "bits per character", "bits/char")
    rows = [{"characters": 10, "sequences": 1, "train/bits_per_character": 2.0}]
    axes = learning_curve_figure(rows, measure=bits, criterion=bits, seen="characters").axes[0]
    assert "o" in [one.get_marker() for one in axes.lines]
    assert line(axes, "training").tolist() == [[0.01, 2]]
    assert axes.get_xlabel() == "characters seen in training, thousands"


def test_a_learning_curve_of_restarts_shows_mean_and_best() -> None:
    error = Measure("error_percent", "wrong answers, %", "%")
    rows: list[dict[str, Any]] = [
        {"sequences": 1000, "train/error_percent": 80.0, "train/linear_start": True},
        {"sequences": 2000, "train/error_percent": 50.0, "train/linear_start": True},
        {"sequences": 2000, "valid/error_percent": 60.0, "valid/lowest_error_percent": 55.0},
        {"sequences": 3000, "train/error_percent": math.nan, "train/linear_start": False},
        {"sequences": 4000, "valid/error_percent": 6.0, "valid/lowest_error_percent": 0.0},
    ]
    usual: dict[str, Any] = {"measure": error, "criterion": error, "solved_at": None, "seen": "questions"}
    figure = learning_curve_figure(rows, title="one run", restarts=10, **usual)
    (axes,) = figure.axes
    np.testing.assert_array_equal(line(axes, "training, mean of 10 restarts")[:2], [[1, 80], [2, 50]])
    np.testing.assert_array_equal(line(axes, "validation, mean of 10 restarts"), [[2, 60], [4, 6]])
    np.testing.assert_array_equal(line(axes, "validation, best restart"), [[2, 55], [4, 0]])
    assert (axes.get_yscale(), axes.get_ylim()[0]) == ("linear", 0)
    assert [one.get_width() for one in axes.patches] == [2]
    assert "not finite (1 value)" in words(figure)
    assert "last validation: 6 %, mean of 10 restarts" in words(figure)
    assert "restart" not in words(learning_curve_figure(rows, **usual))
    assert "no values yet" in words(learning_curve_figure([], **usual))
