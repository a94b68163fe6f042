"""Pictures of runs: memory over time, learning curves, error against length, seeds beside one another.

Every function returns a matplotlib Figure, 1200 pixels wide, and `save_figure` writes it as PNG.
matplotlib is imported when the first figure is made, through its object API: there is no pyplot,
no window and no figure that stays in memory, and the caller's matplotlib settings change nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments.files import UserError, write_whole
from experiments.paper_curves import (
    Curve,
    columns,
    curve_of_rows,
    first_below,
    paper_curves,
    quartiles_of_seeds,
    running_median,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.ticker import MaxNLocator

__all__ = [
    "MODELS",
    "Episode",
    "curve_of_rows",
    "learning_curve_figure",
    "length_figure",
    "memory_figure",
    "paper_curves",
    "save_figure",
    "seeds_figure",
]

Array: TypeAlias = NDArray[Any]
Curves: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]
Rows: TypeAlias = Sequence[Mapping[str, Any]]

WIDTH, DPI = 1200, 150  # pixels, pixels an inch

# Colours that readers with any colour vision tell apart (Okabe and Ito).
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, ORANGE, SKY = "#cc79a7", "#e69f00", "#56b4e9"
INK, GREY, SHADE = "#3c3c3c", "#707070", "#c7d8e5"

# The words and the colour of a model, the same in all figures.
MODELS = {
    "ntm-feedforward": ("NTM, feed-forward controller", BLUE),
    "ntm-lstm": ("NTM, LSTM controller", VERMILION),
    "lstm": ("LSTM", GREEN),
    "gru": ("GRU", PURPLE),
    "ntm-gru": ("NTM, GRU controller", ORANGE),
    "ntm-rnn-tanh": ("NTM, tanh RNN controller", SKY),
}

STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG, all of it or nothing; the folder must exist.

    ValueError for a name that does not end in .png, OSError where the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a figure is saved as .png, not as {Path(path).name!r}")
    picture = io.BytesIO()
    with _style():
        figure.savefig(picture, format="png", metadata={"Software": None})
    write_whole(path, picture.getvalue())


@contextmanager
def _style() -> Iterator[None]:
    """Our settings on top of matplotlib's own defaults, and the caller's back at the end."""
    try:
        from matplotlib import style
    except ImportError:
        raise UserError("figures need matplotlib: pip install matplotlib") from None
    with style.context(STYLE, after_reset=True):
        yield


def _new_figure(height: float, title: str, left: float) -> Figure:
    """An empty figure `height` pixels high with a title that begins at pixel `left`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)
    figure.text(left / WIDTH, 1 - 26 / height, title, fontsize=11, fontweight="bold", va="center")
    return figure


def _add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels, measured from the upper left corner of the figure."""
    down = figure.get_figheight() * DPI
    return figure.add_axes((left / WIDTH, 1 - (top + height) / down, width / WIDTH, height / down))


# ---------------------------------------------------------------- one episode in memory

# Below this weight at all steps a slot counts as never used.
USED = 0.01
# A memory up to this size is shown whole.
FEW_SLOTS = 32
NOT_FINITE = "#ffc24d"


@dataclass(eq=False)
class Episode:
    """One sequence and what a model did with it; numpy arrays, time first, without padding.

    inputs:        (time, input_size).
    targets:       (time, output_size), zeros and ones.
    outputs:       (time, output_size), probabilities of a one; may hold NaN.
    mask:          (time,) bool, true where a prediction is scored.
    add:           (time, head, width), the vectors added to memory, or None.
    reads:         (time, head, width), the vectors read, or None.
    write_weights: (time, head, slot), or None.
    read_weights:  (time, head, slot), or None.

    Of row `i` of an NTMTrace: outputs = trace.output[i].sigmoid(), add = trace.heads.add[i], the
    others by their names. ValueError for shapes that do not fit and outputs outside 0 to 1.
    """

    inputs: Array
    targets: Array
    outputs: Array
    mask: Array
    add: Array | None = None
    reads: Array | None = None
    write_weights: Array | None = None
    read_weights: Array | None = None

    def __post_init__(self) -> None:
        steps = len(self.inputs)
        for name in self.__dataclass_fields__:
            if getattr(self, name) is None:
                continue
            axes = 1 if name == "mask" else 2 if name in ("inputs", "targets", "outputs") else 3
            array = np.asarray(getattr(self, name), dtype=bool if name == "mask" else float)
            if array.ndim != axes or 0 in array.shape or len(array) != steps:
                raise ValueError(f"{name} must have {axes} axes, {steps} steps first, not shape {array.shape}")
            setattr(self, name, array)
        if self.targets.shape != self.outputs.shape:
            raise ValueError(f"outputs {self.outputs.shape} and targets {self.targets.shape} differ in shape")
        slots = {array.shape[2] for array in _present(self.write_weights, self.read_weights)}
        if len(slots) > 1:
            raise ValueError(f"write_weights and read_weights must be over the same slots, not {sorted(slots)}")
        if np.any((self.outputs < 0) | (self.outputs > 1)):
            raise ValueError("outputs must be probabilities from 0 to 1; these look like logits")

    @property
    def wrong(self) -> Array:
        """(time, output_size) bool: scored and not on the right side of 1/2, as exactly 1/2 and NaN are not."""
        right = np.where(self.targets > 0.5, self.outputs > 0.5, self.outputs < 0.5)
        return ~right & self.mask[:, None]


def memory_figure(episode: Episode, title: str = "") -> Figure:
    """One episode over time, like figure 6 of Graves et al. 2014: what is written and what is read.

    On the left inputs, added vectors and write weightings, on the right targets, outputs, read
    vectors and read weightings, one panel a head; a model without memory has no such panels. Of a
    large memory only the stretch of slots with a weight of 0.01 or more at some step is shown; where
    the heads walk over the end of the memory, slot 0 follows the last. Where cells are smaller than
    pixels, weightings show the largest of the cells that share a pixel, the other panels their mean.
    """
    with _style():
        page = _MemoryPage(episode, title)
        page.draw_bits()
        page.draw_vectors()
        page.draw_weightings()
        page.draw_key()
        page.label_time()
    return page.figure


class _MemoryPage:
    """A memory figure in the making; places are in pixels from the upper left corner."""

    LEFT, COLUMN, GAP = 84, 450, 106
    # The line over a panel, the space between blocks of panels, the key, and the time axis.
    HEADER, SPACE, KEY, FOOTER = 32, 12, 74, 58
    # The least height of a panel with room for the words beside it.
    LEAST = 64

    def __init__(self, episode: Episode, title: str) -> None:
        self.episode = episode
        self.steps = len(episode.inputs)
        self.slots_shown = ""
        self.lowest: dict[int, Axes] = {}
        inputs, outputs = episode.inputs.shape[1], episode.targets.shape[1]
        channel = min(160 / max(inputs, outputs), 16)
        self.input_height, self.output_height = (max(round(channel * size), self.LEAST) for size in (inputs, outputs))
        # With nothing below the inputs their time axis comes between them and the key.
        alone = episode.add is None and episode.write_weights is None
        key = self.HEADER + self.input_height + (self.FOOTER + 8 if alone else 14)
        vectors = _present(episode.add, episode.reads)
        weights = _present(episode.write_weights, episode.read_weights)
        heads = [max((array.shape[1] for array in arrays), default=0) for arrays in (vectors, weights)]
        width = max((array.shape[2] for array in vectors), default=0)
        self.vector_height = max(min(6 * width, 120 if heads[0] == 1 else 70), self.LEAST)
        self.weight_height = {1: 230, 2: 170, 3: 130}.get(heads[1], 105)
        tops = [44 if title else 6]
        tops.append(tops[0] + max(key + self.KEY, 2 * (self.HEADER + self.output_height)))
        for count, height in zip(heads, (self.vector_height, self.weight_height), strict=True):
            tops.append(tops[-1] + (self.SPACE + count * (self.HEADER + height) if count else 0))
        self.bits_top, self.vectors_top, self.weights_top, bottom = tops
        self.key_top = self.bits_top + key
        self.figure = _new_figure(bottom + self.FOOTER, title, self.LEFT)

    def draw_bits(self) -> None:
        """Inputs, targets and outputs, with what is wrong and what is not scored."""
        episode, wrong = self.episode, self.episode.wrong
        low, high = _span(episode.inputs)
        axes = self.panel(0, self.bits_top, self.input_height, "Inputs", "channel")
        # Both maps are white at 0 and black at 1; below 0 is red.
        drawn = self.image(axes, episode.inputs, "RdGy" if low < 0 else "Greys", low, high)
        if (low, high) != (0, 1):
            self.bar(drawn, 0, self.bits_top, self.input_height)
        axes = self.panel(1, self.bits_top, self.output_height, "Targets", "channel")
        self.image(axes, episode.targets, "Greys", 0, 1)
        self.shade_unscored(axes)
        top = self.bits_top + self.HEADER + self.output_height
        axes = self.panel(1, top, self.output_height, "Outputs", "channel")
        drawn = self.image(axes, episode.outputs, "Greys", 0, 1)
        self.bar(drawn, 1, top, self.output_height, "probability")
        self.shade_unscored(axes)
        scored = int(episode.mask.sum()) * wrong.shape[1]
        note = f"{wrong.sum():,} of {scored:,} scored bits wrong" if scored else "no step is scored"
        axes.set_title(note, loc="right", pad=4, fontsize=7.5, color=GREY)
        cell = min(self.COLUMN / self.steps, self.output_height / wrong.shape[1])
        size = min(max(0.7 * cell, 6), 11) * 72 / DPI
        axes.plot(*np.nonzero(wrong), "x", color=VERMILION, markersize=size, markeredgewidth=max(size / 4.5, 0.8))

    def draw_vectors(self) -> None:
        """Added and read vectors on one scale, so that what comes back can be compared with what was stored."""
        added, read = self.episode.add, self.episode.reads
        high = max((_largest(array) for array in _present(added, read)), default=0) or 1.0
        panels = self.heads(
            self.vectors_top, self.vector_height, "element", {"Added vectors": added, "Read vectors": read}
        )
        for axes, values in panels:
            drawn = self.image(axes, values, "RdBu_r", -high, high)
        if panels:
            self.bar(drawn, 1, self.vectors_top + self.SPACE, self.vector_height, "value")

    def draw_weightings(self) -> None:
        """Write and read weightings, with the same slots and the same scale in all panels."""
        from matplotlib.ticker import FuncFormatter

        written, read = self.episode.write_weights, self.episode.read_weights
        arrays = _present(written, read)
        if not arrays:
            return
        slots = arrays[0].shape[2]
        first, count = _used_slots(arrays)
        shown = np.arange(first, first + count) % slots
        if count < slots:
            stretch = f"{shown[0]} to {shown[-1]}" if first >= 0 else f"{shown[0]} to {slots - 1} and 0 to {shown[-1]}"
            self.slots_shown = f"Shown are slots {stretch} of {slots};\nthe others stay below a weight of {USED:g}."
        # Weights that are spread over many slots have a scale of their own.
        peak = max(_largest(array) for array in arrays)
        high = peak if 0 < peak < 0.5 else 1.0
        panels = self.heads(
            self.weights_top, self.weight_height, "slot", {"Write weighting": written, "Read weighting": read}
        )
        for axes, values in panels:
            drawn = self.image(axes, values[:, shown], "Purples", 0, high, first, largest=True)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda slot, _: f"{round(slot) % slots}"))
        self.bar(drawn, 1, self.weights_top + self.SPACE, self.weight_height, "weight")

    def draw_key(self) -> None:
        """What the marks mean, as far as they occur, and which slots are shown."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        episode = self.episode
        marks: list[Line2D | Patch] = []
        if episode.wrong.any():
            marks.append(Line2D([], [], color=VERMILION, marker="x", linestyle="none", markersize=5, label="wrong bit"))
        if not episode.mask.all():
            marks.append(Patch(color=SHADE, alpha=0.8, label="not scored"))
        arrays = _present(*(getattr(episode, name) for name in episode.__dataclass_fields__))
        if not all(np.isfinite(array).all() for array in arrays):
            marks.append(Patch(color=NOT_FINITE, label="not finite"))
        axes = _add_axes(self.figure, self.LEFT, self.key_top, self.COLUMN, self.KEY)
        axes.set_axis_off()
        axes.legend(handles=marks, loc="upper left", borderaxespad=0, borderpad=0, ncols=3, handlelength=1.4)
        axes.text(0, 0.6 if marks else 1, self.slots_shown, fontsize=7.5, color=GREY, va="top")

    def panel(self, column: int, top: float, height: float, title: str, rows: str) -> Axes:
        """Empty axes in column 0 or 1, with the line of their title at `top`."""
        left = self.LEFT + column * (self.COLUMN + self.GAP)
        axes = _add_axes(self.figure, left, top + self.HEADER, self.COLUMN, height)
        axes.set_title(title, pad=4)
        axes.set_ylabel(rows)
        axes.spines[:].set_visible(True)
        axes.tick_params(labelbottom=False, length=2.5)
        self.lowest[column] = axes
        return axes

    def heads(
        self, top: float, height: float, rows: str, named: Mapping[str, Array | None]
    ) -> list[tuple[Axes, Array]]:
        """Empty axes for every head of two arrays (time, head, row), each with what belongs there, (time, row)."""
        panels = []
        for column, (title, values) in enumerate(named.items()):
            heads = [] if values is None else list(values.swapaxes(0, 1))
            for k, of_head in enumerate(heads):
                name = f"{title}, head {k + 1}" if len(heads) > 1 else title
                place = top + self.SPACE + k * (self.HEADER + height)
                panels.append((self.panel(column, place, height, name, rows), of_head))
        return panels

    def image(
        self, axes: Axes, values: Array, colours: str, low: float, high: float, first: int = 0, largest: bool = False
    ) -> AxesImage:
        """Show values (time, row), rows numbered from `first`, made no finer than the pixels."""
        import matplotlib

        pooled, wide = _pool(values, 0, self.COLUMN, largest)
        pooled, tall = _pool(pooled, 1, int(axes.bbox.height), largest)
        drawn = axes.imshow(
            pooled.T,
            cmap=matplotlib.colormaps[colours].with_extremes(bad=NOT_FINITE),
            vmin=low,
            vmax=high,
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, wide * pooled.shape[0] - 0.5, first + tall * pooled.shape[1] - 0.5, first - 0.5),
        )
        # The last of the pooled cells may reach beyond the end.
        axes.set_xlim(-0.5, self.steps - 0.5)
        axes.set_ylim(first + values.shape[1] - 0.5, first - 0.5)
        axes.xaxis.set_major_locator(_whole_ticks(7))
        axes.yaxis.set_major_locator(_whole_ticks(4))
        return drawn

    def bar(self, drawn: AxesImage, column: int, top: float, height: float, label: str = "") -> None:
        """A colour bar at the right of the panel with its title at `top`."""
        left = self.LEFT + column * (self.COLUMN + self.GAP) + self.COLUMN + 9
        axes = _add_axes(self.figure, left, top + self.HEADER, 9, height)
        low, high = drawn.get_clim()
        bar = self.figure.colorbar(drawn, cax=axes, ticks=[low, (low + high) / 2, high], format="%.2g")
        bar.outline.set_linewidth(0.4)
        axes.tick_params(length=2, labelsize=7)
        axes.set_ylabel(label if height > 80 else "", fontsize=7.5)

    def shade_unscored(self, axes: Axes) -> None:
        """Shade the steps that are not scored."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.episode.mask, [True]])))
        spans = [(float(start) - 0.5, float(stop - start)) for start, stop in edges.reshape(-1, 2)]
        axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), facecolor=SHADE, alpha=0.8, linewidth=0)

    def label_time(self) -> None:
        """Number the time steps under the lowest panel of each column."""
        for axes in self.lowest.values():
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("time step")


def _present(*arrays: Array | None) -> list[Array]:
    return [array for array in arrays if array is not None]


def _largest(values: Array) -> float:
    """The largest finite magnitude, 0 if there is none."""
    return float(np.abs(values).max(initial=0, where=np.isfinite(values)))


def _span(values: Array) -> tuple[float, float]:
    """Ends of a colour scale: from 0 to 1 or more, from minus to plus as far if a value is negative."""
    high = max(_largest(values), 1)
    return (-high if np.any(values < 0) else 0), high


def _whole_ticks(count: int) -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)


def _used_slots(weights: Sequence[Array]) -> tuple[int, int]:
    """(first, count) of the shortest stretch of slots, round the end too, that holds all that are ever used.

    weights: arrays (time, head, slot). `first` is negative where the stretch goes over the end of
    the memory. All slots if they are few, if none is used or if little would be saved.
    """
    slots = weights[0].shape[2]
    used = np.flatnonzero(np.any([np.any(array >= USED, axis=(0, 1)) for array in weights], axis=0))
    if slots <= FEW_SLOTS or not len(used):
        return 0, slots
    gaps = np.diff(used, append=used[0] + slots)
    widest = int(gaps.argmax())
    first, count = int(used[(widest + 1) % len(used)]), slots - int(gaps[widest]) + 1
    margin = max(2, count // 20)
    start, stop = first - margin, first + count + margin
    if first + count <= slots:
        start, stop = max(start, 0), min(stop, slots)
    elif start >= 0:
        start, stop = start - slots, stop - slots
    return (start, stop - start) if stop - start < 0.9 * slots else (0, slots)


def _pool(values: Array, axis: int, limit: int, largest: bool) -> tuple[Array, int]:
    """Join neighbours along an axis until at most `limit` cells are left; returns them and how many each joins."""
    size = values.shape[axis]
    joined = -(-size // limit)
    if joined == 1:
        return values, 1
    starts = np.arange(0, size, joined)
    if largest:
        return np.maximum.reduceat(values, starts, axis), joined
    counts = np.diff(starts, append=size)
    return np.add.reduceat(values, starts, axis) / (counts[:, None] if axis == 0 else counts), joined


# ---------------------------------------------------------------- learning curves


def learning_curve_figure(
    rows: Rows,
    published: Curves | None = None,
    title: str = "",
    *,
    model: str | None = None,
    solved_at: float | None = 0.01,
    optimum: float | None = None,
) -> Figure:
    """Bits per sequence over the sequences seen, from the rows of one metrics.jsonl.

    Training is drawn lightly with its running median in front, validation as points. Values that
    are not finite stand as crosses at the upper edge.

    published:   curves in (thousand sequences, bits) by model, as from `paper_curves`, drawn behind.
    model:       the name that gives the run its colour, see MODELS.
    solved_at:   wrong bits per validation sequence; at the first validation with fewer the run counts as
                 solved, as for the trainer. None: no mark.
    optimum:     the best possible bits per sequence, drawn as a line.
    """
    train = curve_of_rows(rows, "train/bits_per_sequence")
    valid = curve_of_rows(rows)
    wrong = curve_of_rows(rows, "valid/wrong_bits_per_sequence") or curve_of_rows(rows, "valid/wrong_bits")
    note = f"last validation: {valid[-1][1]:.3g} bits" if valid else ""
    note += f", {wrong[-1][1]:.3g} wrong bits per sequence" if valid and wrong else ""
    colour = _look(model)[1]
    with _style():
        figure, axes = _curve_axes(title, note, published)
        if train:
            _draw_curve(axes, train, color=colour, alpha=0.3, linewidth=0.8, label="training")
            _draw_curve(axes, running_median(train), color=colour, linewidth=1.8, label="training, running median")
        if valid:
            look: dict[str, Any] = {"color": INK, "markerfacecolor": "white", "markersize": 4.0, "markeredgewidth": 1.0}
            axes.plot(*columns(valid), "o", label="validation", clip_on=False, zorder=4, **look)
        _finish_curves(figure, axes, [train, valid], published, optimum)
        when = None if solved_at is None else first_below(wrong, solved_at)
        if when is not None:
            _mark_solved(axes, when, f"under {solved_at:g} wrong bits in validation")
    return figure


def seeds_figure(
    curves: Curves,
    published: Curves | None = None,
    title: str = "",
    *,
    model: str | None = None,
    target_bits: float | None = 0.1,
    optimum: float | None = None,
) -> Figure:
    """One setting with many seeds: each seed thin, their median, and the band of their middle half.

    curves: by seed, in (thousand sequences, bits per sequence), as from `curve_of_rows`. A seed that
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
    with _style():
        figure, axes = _curve_axes(title, note, published)
        x, quartiles = quartiles_of_seeds(every)
        if len(x):
            # A band that ends at infinity is drawn to far above the axes.
            lower, _, upper = np.minimum(quartiles, 1e12)
            axes.fill_between(x, lower, upper, color=colour, alpha=0.2, linewidth=0, label="middle half of the seeds")
        for k, curve in enumerate(every):
            _draw_curve(axes, curve, color=colour, alpha=0.5, linewidth=0.7, label="" if k else "single seeds")
        if len(x):
            middle = list(zip(x, quartiles[1], strict=True))
            _draw_curve(axes, middle, color=colour, linewidth=2.2, label="median of the seeds")
        _finish_curves(figure, axes, every, published, optimum)
    return figure


def _look(model: str | None) -> tuple[str, str]:
    """Words and colour for a model; one that is not in MODELS keeps its name."""
    return MODELS.get(model or "", (model or "", INK))


def _curve_axes(title: str, note: str, published: Curves | None) -> tuple[Figure, Axes]:
    """Axes for learning curves with the published ones in the background and the note at the upper right."""
    figure = _new_figure(770, title, 116)
    axes = _add_axes(figure, 116, 96, 1044, 500)
    axes.set_title(note, loc="right", fontsize=8, color=GREY, pad=20)
    axes.set_xlabel("sequences seen in training, thousands")
    axes.set_ylabel("cross-entropy, bits per sequence")
    axes.grid(True)
    for model, curve in (published or {}).items():
        words, colour = _look(model)
        dashes = (0, (4, 1.6))
        axes.plot(*columns(curve), color=colour, linewidth=1.2, linestyle=dashes, alpha=0.65, label=f"paper: {words}")
    return figure, axes


def _draw_curve(axes: Axes, curve: Sequence[tuple[float, float]], **look: Any) -> None:
    """A line, or a dot where there is but one point."""
    axes.plot(*columns(curve), marker="o" if len(curve) == 1 else "", markersize=4, **look)


def _finish_curves(
    figure: Figure, axes: Axes, curves: Sequence[Curve], published: Curves | None, optimum: float | None
) -> None:
    """Scales that hold our curves and where the published ones begin, marks for values not finite, and the key."""
    ours = [columns(curve) for curve in curves if curve]
    theirs = [columns(curve) for curve in (published or {}).values() if len(curve)]
    if ours:
        end = max([x.max() for x, _ in ours] + [1.4 * x[0] for x, _ in theirs])
    else:
        end = max([x.max() for x, _ in theirs], default=1)
        if not theirs:
            axes.text(0.5, 0.5, "no values yet", transform=axes.transAxes, ha="center", color=GREY)
    end = 1.02 * end if end > 0 else 1
    axes.set_xlim(0, end)
    lost = np.concatenate([x[~np.isfinite(y)] for x, y in ours] or [np.empty(0)])
    if len(lost):
        label = f"not finite ({len(lost)} value{'' if len(lost) == 1 else 's'})"
        _mark_lost(axes, lost, label)
    if optimum is not None:
        axes.axhline(optimum, color=INK, linewidth=1, linestyle=":", label=f"best possible, {optimum:.4g} bits")
    # One point beyond the edge, since the line to it is seen.
    seen = [y[: np.searchsorted(x, end) + 1] for x, y in ours + theirs]
    _error_scale(axes, np.concatenate([*seen, [] if optimum is None else [optimum]]))
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="lower left", bbox_to_anchor=(106 / WIDTH, 0.005), ncols=3, columnspacing=1.6)


def _mark_lost(axes: Axes, x: Array, label: str = "") -> None:
    """Crosses at the upper edge, for values that are not finite."""
    where = axes.get_xaxis_transform()
    axes.plot(x, np.full(len(x), 0.98), "x", color=VERMILION, transform=where, label=label, markersize=5)


def _mark_solved(axes: Axes, when: float, reason: str) -> None:
    """A line at `when` thousand sequences and its number above the axes."""
    axes.axvline(when, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
    left, right = axes.get_xlim()
    place = (when - left) / (right - left)
    axes.annotate(
        f"solved at {when:.3g} thousand sequences: {reason}",
        (when, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 4),
        textcoords="offset points",
        ha="left" if place < 0.4 else "right" if place > 0.6 else "center",
        fontsize=8,
    )


def _error_scale(axes: Axes, values: Array, finest: int = -5) -> None:
    """A vertical scale on which all finite values, zero included, can be read.

    Logarithmic, with a piece down to 0 below the power of ten (10**finest at least) under the
    smallest value; linear when all values lie within a factor of ten.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not len(positive):
        axes.set_ylim(-0.05, 1)
        axes.set_yticks([0])
        return
    low, high = float(positive.min()), float(positive.max())
    if len(positive) == len(finite) and high < 10 * low:
        room = 0.08 * (high - low) or 0.5 * high
        axes.set_ylim(max(low - room, 0), high + room)
        return
    least = max(math.floor(math.log10(low) + 1e-9), finest)
    most = max(math.ceil(math.log10(high) - 1e-9), least + 1)
    start, end = 10.0**least, 10.0**most
    axes.set_yscale("symlog", linthresh=start, linscale=0.5)
    every = -(-(most - least) // 8)
    axes.yaxis.set_major_locator(FixedLocator([0, *(10.0**k for k in range(least, most + 1, every))]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _decade(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    below = len(positive) < len(finite) or low < start
    axes.set_ylim(-0.15 * start if below else start, 1.4 * end)


def _decade(value: float) -> str:
    """A power of ten or zero in digits, small ones as 10 to the power."""
    power = round(math.log10(value)) if value > 0 else 0
    if power < -3:
        return "10" + str(power).translate(str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:,.{max(0, -power)}f}"


# ---------------------------------------------------------------- error against length

ERRORS = {
    "exact_share": "Sequences exactly right, %",
    "bit_error_rate": "Wrong bits, share of scored bits",
    "wrong_bits_per_sequence": "Wrong bits per sequence",
}
# Not the colours of the models that are most often compared.
LINES = ((INK, "o"), (ORANGE, "s"), (PURPLE, "^"), (SKY, "D"), (GREY, "v"), (BLUE, "P"), (GREEN, "X"))


def length_figure(rows: Rows, trained_range: tuple[int, int], unit: str, title: str = "") -> Figure:
    """Three errors over the test length: sequences exactly right, bit error rate, wrong bits per sequence.

    rows:          one a test, with "length", "exact_share", "bit_error_rate", "wrong_bits_per_sequence",
                   "sequences", and "num_slots", absent or None for a model without memory. Each
                   number of slots is a line of its own.
    trained_range: shortest and longest length in training, shaded.
    unit:          what a length counts, such as "vectors".

    A test without an error is a hollow mark at 0, with the number of sequences in the key. A value
    that is missing or not finite is a cross at the upper edge. ValueError for lengths below 1.
    """
    lengths = sorted({float(row["length"]) for row in rows})
    if not 1 <= trained_range[0] <= trained_range[1] or any(length < 1 for length in lengths):
        raise ValueError(f"lengths must be at least 1, not {trained_range} in training and {lengths} in tests")
    slots: list[int | None] = sorted({row.get("num_slots") for row in rows}, key=lambda count: count or 0)
    lines = {count: LINES[k % len(LINES)] for k, count in enumerate(slots)}
    with _style():
        figure = _new_figure(530, title, 80)
        for k, (key, words) in enumerate(ERRORS.items()):
            axes = _add_axes(figure, 80 + 388 * k, 94, 310, 310)
            axes.set_title(words)
            axes.grid(True, axis="y")
            for count, (colour, marker) in lines.items():
                _draw_errors(axes, [row for row in rows if row.get("num_slots") == count], key, colour, marker)
            if key == "exact_share":
                axes.set_ylim(-4, 104)
            else:
                _error_scale(axes, np.array([_number(row, key) for row in rows]), finest=-9)
            axes.set_xlabel(f"test length, {unit}")
            _length_scale(axes, lengths, trained_range)
        if not rows:
            figure.text(0.5, 0.5, "no tests yet", ha="center", color=GREY)
        ends = " to ".join(dict.fromkeys(map(str, trained_range)))
        _length_key(figure, rows, lines, f"{ends} {unit}")
    return figure


def _number(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key)
    return math.nan if value is None else float(value)


def _draw_errors(axes: Axes, rows: Rows, key: str, colour: str, marker: str) -> None:
    """One error of the tests with one number of slots; zeros hollow, what is not finite at the upper edge."""
    ordered = sorted(rows, key=lambda row: float(row["length"]))
    length = np.array([float(row["length"]) for row in ordered])
    error = np.array([_number(row, key) for row in ordered])
    look: dict[str, Any] = {"color": colour, "marker": marker, "clip_on": False}
    if key == "exact_share":
        axes.plot(length, 100 * error, markersize=4.5, linewidth=1.4, **look)
    else:
        axes.plot(length, error, markersize=4.5, linewidth=1.4, **look)
        none = error == 0
        axes.plot(length[none], error[none], linestyle="", markersize=6, markerfacecolor="white", zorder=4, **look)
    _mark_lost(axes, length[~np.isfinite(error)])


def _length_scale(axes: Axes, lengths: Sequence[float], trained: tuple[int, int]) -> None:
    """A logarithmic axis numbered at the tested lengths as far as there is room, the trained range shaded."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min([*lengths, trained[0]]), max([*lengths, trained[1]])
    room = max((high / low) ** 0.05, 1.2)
    left, right = low / room, high * room
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    named: list[float] = []
    # From the longest down, since that one matters most.
    for length in reversed(lengths or [low, high]):
        if not named or math.log(named[-1] / length) > 0.12 * math.log(right / left):
            named.append(length)
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda length, _: f"{length:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    start, stop = trained if trained[0] < trained[1] else (trained[0] / 1.02, trained[1] * 1.02)
    axes.axvspan(start, stop, color=SHADE, alpha=0.5, linewidth=0, zorder=0.5)


def _length_key(figure: Figure, rows: Rows, lines: Mapping[int | None, tuple[str, str]], trained: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Line2D | Patch] = []
    for count, (colour, marker) in lines.items():
        words = "no memory" if count is None else f"{count:,} slots"
        marks.append(Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.4, label=words))
    marks.append(Patch(color=SHADE, alpha=0.5, linewidth=0, label=f"trained at {trained}"))
    perfect = [row for row in rows if 0 in (row.get("bit_error_rate"), row.get("wrong_bits_per_sequence"))]
    if perfect:
        counts = sorted(row["sequences"] for row in perfect if row.get("sequences"))
        words = " to ".join(dict.fromkeys(f"{count:,}" for count in counts[:1] + counts[-1:]))
        words = f"no error in {words} sequences" if words else "no error"
        look: dict[str, Any] = {"color": INK, "marker": "o", "markerfacecolor": "white", "markersize": 6}
        marks.append(Line2D([], [], linestyle="", label=words, **look))
    if any(not math.isfinite(_number(row, key)) for row in rows for key in ERRORS):
        marks.append(Line2D([], [], linestyle="", color=VERMILION, marker="x", markersize=5, label="not finite"))
    figure.legend(handles=marks, loc="lower center", bbox_to_anchor=(0.5, 0.0), ncols=5, columnspacing=1.6)
