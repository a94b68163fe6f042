"""What the tests of figures share: made-up results, and what a figure shows, read back from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.figures.memory import Episode


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


def beyond(figure: Figure) -> list[str]:
    """What is written beyond the figure's right edge."""
    canvas = FigureCanvasAgg(figure)
    right = figure.bbox.width
    return [text.get_text() for text in figure.texts if text.get_window_extent(canvas.get_renderer()).x1 > right]


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


def rows_of(values: list[float], every: int = 100) -> list[dict[str, Any]]:
    """Training rows with these bits, a validation in every second one."""
    rows: list[dict[str, Any]] = []
    for k, value in enumerate(values, start=1):
        rows.append({"step": k, "sequences": every * k, "train/bits_per_sequence": value})
        if k % 2 == 0:
            rows[-1] |= {"valid/bits_per_sequence": value / 2, "valid/wrong_bits_per_sequence": value / 4}
    return rows
