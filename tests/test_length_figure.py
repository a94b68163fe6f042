"""Errors over length are the given ones, zeros and missing values included."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.figures.lengths import length_figure
from experiments.figures.style import save_figure
from tests.figure_parts import crosses, panels, words

pytestmark = pytest.mark.pictures


def length_row(length: int, rate: float, slots: int | None = 128, sequences: int = 1000) -> dict[str, Any]:
    return {
        "length": length,
        "line": "no memory" if slots is None else f"{slots:,} slots",
        "exact_share": (1 - rate) ** (8 * length),
        "bit_error_rate": rate,
        "wrong_bits_per_sequence": 8 * length * rate,
        "bits_per_sequence": 20 * length * rate,
        "count": sequences,
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
            chosen = sorted((row["length"], scale * row[key]) for row in rows if row["line"] == f"{slots:,} slots")
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
        assert named[title].get_ylim()[0] == 0
        assert 0 in named[title].get_yticks()
        assert named[title].yaxis.get_major_formatter()(0, 0) == "0"
    guessing = [one for one in named[RATE].lines if one.get_linestyle() == ":"]
    assert {level for one in guessing for _, level in one.get_xydata()} == {0.5}
    key = ("128 slots, n = 1,000", "2,048 slots, n = 1,000 (200 at 1,000)", "trained at 1 to 20 vectors", "no error")
    for text in (*key, "without learning"):
        assert text in words(figure)


def test_no_errors_at_all_and_a_model_without_memory() -> None:
    figure = length_figure([length_row(length, 0.0, None) for length in (20, 40)], (20, 20), "bits")
    # A panel of zeros and nothing else would tell nothing more.
    assert set(panels(figure)) == {SHARE, RATE}
    low, high = panels(figure)[RATE].get_ylim()
    assert low == 0
    assert 0.5 < high < 1
    for text in ("no memory, n = 1,000", "trained at 20 bits", "no error"):
        assert text in words(figure)


def test_errors_that_are_not_finite_or_missing_are_marked(tmp_path: Path) -> None:
    rows = [length_row(20, 0.0), length_row(40, math.nan), length_row(80, 0.1), length_row(100, 0.1)]
    rows[2]["bit_error_rate"] = None
    del rows[3]["bit_error_rate"]
    figure = length_figure(rows, (1, 20), "vectors")
    assert {x for x, _ in crosses(panels(figure)[RATE])} == {40, 80}
    assert {x for x, _ in crosses(panels(figure)[WRONG])} == {40}
    assert "not finite" in words(figure)
    save_figure(figure, tmp_path / "nan.png")
    # What no test has is no panel: by attractors, of sentences too short for any.
    for row in rows:
        row.pop("bit_error_rate", None)
    assert set(panels(length_figure(rows, (1, 20), "vectors"))) == {SHARE, WRONG}


def test_odd_lengths(tmp_path: Path) -> None:
    empty = length_figure([], (1, 20), "vectors")
    assert not empty.axes
    assert "no tests yet" in words(empty)
    save_figure(empty, tmp_path / "empty.png")
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
