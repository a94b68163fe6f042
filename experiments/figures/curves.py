"""Learning curves, in whatever a run is measured in: of one run, and of many seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from experiments.base.curves import Curve, columns, curve_of_rows, first_below, quartiles_of_seeds, running_median
from experiments.base.names import counted
from experiments.figures import style
from experiments.figures.style import Axes, Curves, Figure, Measure, Rows

# Pixels, about, of a line and of a letter of what stands above the axes.
_LINE, _LETTER = 20, 8.5
BITS = Measure("bits_per_sequence", "cross-entropy, bits per sequence", "bits")
WRONG_BITS = Measure("wrong_bits_per_sequence", "wrong bits per sequence", "wrong bits per sequence")


def learning_curve_figure(
    rows: Rows,
    published: Curves | None = None,
    title: str = "",
    *,
    model: str | None = None,
    measure: Measure = BITS,
    criterion: Measure = WRONG_BITS,
    solved_at: float | None = 0.01,
    optimum: float | None = None,
    baseline: float | None = None,
    seen: str = "sequences",
    restarts: int = 1,
) -> Figure:
    """A score, bits per sequence unless another is given, over the examples seen, from the rows of one metrics.jsonl.

    Training is drawn lightly with its running median in front, validation as points; the ground of updates with a
    linear start is shaded. Values that are not finite stand as crosses at the upper edge.

    published:   curves in (thousand sequences, bits) by model, as from `paper_curves`, drawn behind.
    model:       the name that gives the run its colour, see MODELS.
    measure:     what is drawn; in percent on a linear scale from zero.
    criterion:   what is compared with solved_at.
    solved_at:   value of the criterion in validation; at the first validation below it the run counts as
                 solved, as for the trainer. None: no mark.
    optimum:     the best possible value, drawn as a line.
    baseline:    the value that needs no learning, drawn as a line.
    seen:        what is counted on the horizontal axis: the column of that name, else that of sequences.
    restarts:    of the run; of several all values are means, and a line is the best of them in validation.
    """
    column = seen if any(seen in row for row in rows) else "sequences"
    train = curve_of_rows(rows, f"train/{measure.name}", column)
    valid = curve_of_rows(rows, f"valid/{measure.name}", column)
    reached = curve_of_rows(rows, f"valid/{criterion.name}", column)
    of = f", mean of {restarts} restarts" if restarts > 1 else ""
    note = f"last validation: {valid[-1][1]:.3g} {measure.unit}{of}" if valid else ""
    if valid and reached and criterion != measure:
        note += f", {reached[-1][1]:.3g} {criterion.unit}"
    colour = _look(model)[1]
    with style.styled():
        when = None if solved_at is None else first_below(reached, solved_at)
        told = []
        if when is not None:
            solved = f"solved at {when:.3g} thousand {seen}: under {solved_at:g} {criterion.unit} in validation"
            told = wrap(solved, int((style.figure_width() - 156) / _LETTER))
        figure, axes = _curve_axes(title, note, published, measure, seen, max(1, len(told)))
        if start := [row[column] / 1000 for row in rows if row.get("train/linear_start")]:
            axes.axvspan(0, start[-1], color=style.SHADE, alpha=0.4, linewidth=0, label="linear start")
        if train:
            _draw_curve(axes, train, color=colour, alpha=0.3, linewidth=0.8, label=f"training{of}")
            median = {"color": colour, "linewidth": 1.8, "label": "training, running median"}
            _draw_curve(axes, running_median(train), **median)
        if valid:
            look: dict[str, Any] = {"color": style.INK, "markerfacecolor": "white", "markersize": 4.0}
            look["markeredgewidth"] = 1.0
            axes.plot(*columns(valid), "o", label=f"validation{of}", clip_on=False, zorder=4, **look)
        if restarts > 1 and (best := curve_of_rows(rows, f"valid/lowest_{measure.name}", column)):
            dashes: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (3, 2))}
            _draw_curve(axes, best, color=style.INK, label="validation, best restart", **dashes)
        lines = {"best possible": optimum, "without learning": baseline}
        _finish_curves(figure, axes, [train, valid], published, measure, lines)
        if when is not None:
            _mark_solved(axes, when, "\n".join(told))
    return figure


def seeds_figure(
    curves: Curves,
    published: Curves | None = None,
    title: str = "",
    *,
    model: str | None = None,
    measure: Measure = BITS,
    target_bits: float | None = 0.1,
    optimum: float | None = None,
    baseline: float | None = None,
) -> Figure:
    """One setting with many seeds: each seed thin, their median, and the band of their middle half; one seed alone.

    curves: by seed, in (thousand sequences, value), as from `curve_of_rows`. A seed that
    stopped early counts in median and band with its last value; a value that is not finite counts as
    worse than all others and stands as a cross at the upper edge. The number of seeds that end at or
    below `target_bits` stands at the upper right. The other arguments are those of `learning_curve_figure`.
    """
    every = [list(curve) for curve in curves.values()]
    colour = _look(model)[1]
    note = f"{len(every)} seed{'' if len(every) == 1 else 's'}"
    if target_bits is not None:
        reached = sum(curve[-1][1] <= target_bits for curve in every if curve)
        note += f", {reached} at or below {target_bits:g} bits at the end"
    with style.styled():
        figure, axes = _curve_axes(title, note, published, measure, "sequences")
        if len(every) == 1:
            _draw_curve(axes, every[0], color=colour, linewidth=2.2, label="the seed")
        else:
            _draw_seeds(axes, every, colour, "median of the seeds", "middle half of the seeds", "single seeds")
        _finish_curves(
            figure, axes, every, published, measure, {"best possible": optimum, "without learning": baseline}
        )
    return figure


def settings_figure(
    curves: Mapping[str, Sequence[Curve]],
    published: Curves | None = None,
    title: str = "",
    *,
    measure: Measure = BITS,
    seen: str = "sequences",
) -> Figure:
    """Settings side by side: of each the median of its runs, and the band of their middle half.

    curves: of every run, by what the setting is called, as for `seeds_figure`, whose other arguments these are.
    """
    with style.styled():
        figure, axes = _curve_axes(title, "median, and middle half of the runs", published, measure, seen)
        for place, (name, seeds) in enumerate(curves.items()):
            _draw_seeds(axes, seeds, style.LINES[place % len(style.LINES)][0], f"{name}, {counted(len(seeds), 'run')}")
        every = [curve for seeds in curves.values() for curve in seeds]
        _finish_curves(figure, axes, every, published, measure, {})
    return figure


def _draw_seeds(
    axes: Axes, curves: Sequence[Curve], colour: str, median: str, band: str = "", single: str = ""
) -> None:
    """The median of some seeds, the band of their middle half, and each of them where it has a name."""
    x, quartiles = quartiles_of_seeds(curves)
    if len(x):
        # A band that ends at infinity is drawn to far above the axes.
        lower, _, upper = np.minimum(quartiles, 1e12)
        axes.fill_between(x, lower, upper, color=colour, alpha=0.2, linewidth=0, label=band)
    for k, curve in enumerate(curves if single else []):
        _draw_curve(axes, curve, color=colour, alpha=0.5, linewidth=0.7, label="" if k else single)
    if len(x):
        middle = list(zip(x, quartiles[1], strict=True))
        _draw_curve(axes, middle, color=colour, linewidth=2.2, label=median)


def _look(model: str | None) -> tuple[str, str]:
    """Words and colour for a model; one that is not in MODELS keeps its name."""
    return style.MODELS.get(model or "", (model or "", style.BLUE))


def _curve_axes(
    title: str, note: str, published: Curves | None, measure: Measure, seen: str, lines: int = 1
) -> tuple[Figure, Axes]:
    """Axes for learning curves with the published ones in the background and the note at the upper right.

    lines: that stand between the note and the axes.
    """
    wide = style.figure_width()
    figure = style.new_figure(770, title, 116)
    axes = style.add_axes(figure, 116, 96 + _LINE * (lines - 1), wide - 156, min(500, 0.7 * wide))
    shown, size = style.written_to_fit(note, 8, wide - 60)
    axes.set_title(shown, loc="right", fontsize=size, color=style.GREY, pad=20 + 10 * (lines - 1))
    axes.set_xlabel(f"{seen} seen in training, thousands")
    axes.set_ylabel(measure.words)
    axes.grid(True)
    for model, curve in (published or {}).items():
        if not len(curve):
            continue
        words, colour = _look(model)
        dashes = (0, (4, 1.6))
        axes.plot(*columns(curve), color=colour, linewidth=1.2, linestyle=dashes, alpha=0.65, label=f"paper: {words}")
    return figure, axes


def _draw_curve(axes: Axes, curve: Sequence[tuple[float, float]], **look: Any) -> None:
    """A line, or a dot where there is but one point."""
    axes.plot(*columns(curve), marker="o" if len(curve) == 1 else "", markersize=4, **look)


def _finish_curves(
    figure: Figure,
    axes: Axes,
    curves: Sequence[Curve],
    published: Curves | None,
    measure: Measure,
    lines: Mapping[str, float | None],
) -> None:
    """Scales that hold our curves and where the published ones begin, marks for values not finite, and the key."""
    ours = [columns(curve) for curve in curves if curve]
    theirs = [columns(curve) for curve in (published or {}).values() if len(curve)]
    if ours:
        end = max([x.max() for x, _ in ours] + [1.4 * x[0] for x, _ in theirs])
    else:
        end = max([x.max() for x, _ in theirs], default=1)
        if not theirs:
            axes.text(0.5, 0.5, "no values yet", transform=axes.transAxes, ha="center", color=style.GREY)
    end = 1.02 * end if end > 0 else 1
    axes.set_xlim(0, end)
    lost = np.concatenate([x[~np.isfinite(y)] for x, y in ours] or [np.empty(0)])
    if len(lost):
        label = f"not finite ({len(lost)} value{'' if len(lost) == 1 else 's'})"
        style.mark_lost(axes, lost, label)
    levels = {words: level for words, level in lines.items() if level is not None}
    for dashes, (words, level) in zip((":", "--"), levels.items(), strict=False):
        label = f"{words}, {level:.4g} {measure.unit}"
        axes.axhline(level, color=style.INK, linewidth=1, linestyle=dashes, label=label)
    # One point beyond the edge, since the line to it is seen.
    shown = [y[: np.searchsorted(x, end) + 1] for x, y in ours + theirs]
    if "%" in measure.unit:
        axes.set_ylim(bottom=0)
    else:
        style.error_scale(axes, np.concatenate([*shown, [*levels.values()]]))
    style.key_below(figure, axes.get_legend_handles_labels()[0], 116)


def _mark_solved(axes: Axes, when: float, words: str) -> None:
    """A line at `when` thousand sequences and words above the axes."""
    axes.axvline(when, color=style.GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
    left, right = axes.get_xlim()
    place = (when - left) / (right - left)
    axes.annotate(
        words,
        (when, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 4),
        textcoords="offset points",
        ha="left" if place < 0.4 else "right" if place > 0.6 else "center",
        fontsize=8,
    )
