"""Errors over the length of the test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.figures import style
from experiments.figures.style import Axes, Figure, Measure, Rows

if TYPE_CHECKING:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

ERRORS = (
    Measure("exact_share", "Sequences exactly right, %", "", percent=True),
    Measure("bit_error_rate", "Wrong bits, share of scored bits", "", chance=0.5),
    Measure("wrong_bits_per_sequence", "Wrong bits per sequence", ""),
)
# Pixels from one row of panels to the next.
_BELOW = 104


def length_figure(
    rows: Rows, trained: Sequence[int] | None, unit: str, title: str = "", errors: Sequence[Measure] = ERRORS
) -> Figure:
    """Errors over the test length; unless others are given sequences exactly right, bit error rate, wrong bits.

    rows:    one a test, with "length", the errors by their names, "count" of examples, and "line", in words what else
             than the length tests differ in. "baseline_" and the name of an error, where there, is what needs no
             learning, drawn as a dotted line, as is chance.
    trained: shortest and longest length in training, shaded; None where nobody says it.
    unit:    what a length counts, such as "vectors".
    errors:  a panel each, where it says something: not where no test has it, nor where all are zero and there is no
             line to compare with.

    Errors begin at zero; a test without an error is a hollow mark there. The key tells the number of examples of a
    point. A value that is None or not finite is a cross at the upper edge. ValueError for lengths below 1.
    """
    lengths = sorted({float(row["length"]) for row in rows})
    if (trained and not 1 <= trained[0] <= trained[1]) or any(length < 1 for length in lengths):
        raise ValueError(f"lengths must be at least 1, not {trained} in training and {lengths} in tests")
    named = dict.fromkeys(row["line"] for row in rows)
    lines = {words: style.LINES[k % len(style.LINES)] for k, words in enumerate(named)}
    telling = [error for error in errors if _tells(rows, error)]
    with style.styled():
        ends = " to ".join(dict.fromkeys(map(str, trained or ())))
        marks = _marks(rows, lines, f"{ends} {unit}" if trained else "", telling)
        wide = style.figure_width()
        across = max(1, min(len(telling), wide // 340))
        pitch = (wide - 36) // across
        tall = 310 if across >= min(len(telling), 3) else 200
        figure = style.new_figure(94 + (tall + _BELOW) * -(-len(telling) // across), title, 80)
        for k, error in enumerate(telling):
            row, column = divmod(k, across)
            axes = style.add_axes(figure, 80 + pitch * column, 94 + (tall + _BELOW) * row, pitch - 78, tall)
            shown, size = style.written_to_fit(error.words, 9, pitch - 60)
            axes.set_title(shown, fontsize=size)
            axes.grid(True, axis="y")
            for words, (colour, marker) in lines.items():
                _draw_errors(axes, [row for row in rows if row["line"] == words], error, colour, marker)
            baseline = _baseline(rows, error)
            axes.plot(*baseline, color=style.INK, linewidth=1, linestyle=":", marker="_")
            if error.percent:
                axes.set_ylim(0, 102)
            else:
                values = [_number(row, error.name) for row in rows if error.name in row]
                style.error_scale(axes, np.array([*values, *baseline[1]]), finest=-9, from_zero=True)
            axes.set_xlabel(f"test length, {unit}")
            _length_scale(axes, lengths, trained)
        style.key_below(figure, marks, 80)
        if not telling:
            figure.text(0.5, 0.5, "no tests yet", ha="center", color=style.GREY)
    return figure


def _tells(rows: Rows, error: Measure) -> bool:
    """Whether a panel of the error would not be empty."""
    values = [_number(row, error.name) for row in rows if error.name in row]
    return any(values) or bool(values and (error.percent or _baseline(rows, error)[0]))


def _number(row: Mapping[str, Any], key: str) -> float:
    value = row[key]
    return math.nan if value is None else float(value)


def _baseline(rows: Rows, error: Measure) -> tuple[list[float], list[float]]:
    """Lengths, and what needs no learning at each."""
    name = f"baseline_{error.name}"
    chance = {} if error.chance is None else {name: error.chance}
    known = sorted({(float(row["length"]), float(one[name])) for row in rows if name in (one := {**chance, **row})})
    return [length for length, _ in known], [value for _, value in known]


def _draw_errors(axes: Axes, rows: Rows, measure: Measure, colour: str, marker: str) -> None:
    """One error of the tests of one line; zeros hollow, what is not finite at the upper edge."""
    ordered = sorted((row for row in rows if measure.name in row), key=lambda row: float(row["length"]))
    length = np.array([float(row["length"]) for row in ordered])
    error = np.array([_number(row, measure.name) for row in ordered])
    look: dict[str, Any] = {"color": colour, "marker": marker, "clip_on": False}
    if measure.percent:
        axes.plot(length, 100 * error, markersize=4.5, linewidth=1.4, **look)
    else:
        axes.plot(length, error, markersize=4.5, linewidth=1.4, **look)
        none = error == 0
        axes.plot(length[none], error[none], linestyle="", markersize=6, markerfacecolor="white", zorder=4, **look)
    style.mark_lost(axes, length[~np.isfinite(error)])


def _length_scale(axes: Axes, lengths: Sequence[float], trained: Sequence[int] | None) -> None:
    """A logarithmic axis numbered at the tested lengths as far as there is room, the trained range shaded."""
    low, high = min([*lengths, *(trained or ())]), max([*lengths, *(trained or ())])
    style.numbered_log_scale(axes, lengths, (low, high))
    if trained is None:
        return
    start, stop = trained if trained[0] < trained[1] else (trained[0] / 1.02, trained[1] * 1.02)
    axes.axvspan(start, stop, color=style.SHADE, alpha=0.5, linewidth=0, zorder=0.5)


def _marks(
    rows: Rows, lines: Mapping[str, tuple[str, str]], trained: str, errors: Sequence[Measure]
) -> list[Line2D | Patch]:
    """What stands in the key."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Line2D | Patch] = []
    for words, (colour, marker) in lines.items():
        label = words + _sizes([row for row in rows if row["line"] == words])
        marks.append(Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.4, label=label))
    if trained:
        marks.append(Patch(color=style.SHADE, alpha=0.5, linewidth=0, label=f"trained at {trained}"))
    if any(_baseline(rows, error)[0] for error in errors):
        marks.append(Line2D([], [], color=style.INK, linewidth=1, linestyle=":", label="without learning"))
    if any(row.get(error.name) == 0 for row in rows for error in errors if not error.percent):
        look: dict[str, Any] = {"color": style.INK, "marker": "o", "markerfacecolor": "white", "markersize": 6}
        marks.append(Line2D([], [], linestyle="", label="no error", **look))
    if any(not math.isfinite(_number(row, error.name)) for error in errors for row in rows if error.name in row):
        marks.append(Line2D([], [], linestyle="", color=style.VERMILION, marker="x", markersize=5, label="not finite"))
    return marks


def _sizes(rows: Rows) -> str:
    """How many examples a point stands for: ", n = 1,000", and where some have others ", n = 1,000 (10 at 300)"."""
    counts = [(int(row["length"]), int(row["count"])) for row in rows if row.get("count")]
    if not counts:
        return ""
    usual, _ = Counter(count for _, count in counts).most_common(1)[0]
    others = [f"{count:,} at {length:,}" for length, count in sorted(set(counts)) if count != usual]
    return f", n = {usual:,}" + (f" ({', '.join(others)})" if others else "")
