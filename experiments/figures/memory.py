"""One episode in memory: what was written, what was read, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from experiments.figures import style
from experiments.figures.arrays import USED, colour_span, largest_magnitude, pool, used_slots
from experiments.figures.style import Array, Axes, Figure

if TYPE_CHECKING:
    from matplotlib.image import AxesImage
    from matplotlib.ticker import MaxNLocator

NOT_FINITE = "#ffc24d"
# Of an episode.
_NO_ARRAYS = ("answer", "groups", "kept")


@dataclass(eq=False)
class Episode:
    """One sequence and what a model did with it; numpy arrays, time first, without padding.

    inputs:        (time, input_size).
    targets:       (time, output_size), zeros and ones; of symbols a one in each group of channels of the same size; or
                   real numbers.
    outputs:       (time, output_size), probabilities of a one, or the numbers; may hold NaN.
    mask:          (time,) bool, true where a prediction is scored.
    add:           (time, head, width), the vectors added to memory, or None.
    reads:         (time, head, width), the vectors read, or None.
    write_weights: (time, head, slot), or None.
    read_weights:  (time, head, slot), or None.
    answer:        whether the targets are "bits", "symbols" or "numbers".
    groups:        of symbols: how many an answer has, each one of a group of channels.
    kept:          by name what memories hold at the end, (row, column), with what these count, as ("slot", "width").

    Of a trace see experiments.figures.trace.episode_arrays. ValueError for shapes that do not fit and probabilities
    outside 0 to 1.
    """

    inputs: Array
    targets: Array
    outputs: Array
    mask: Array
    add: Array | None = None
    reads: Array | None = None
    write_weights: Array | None = None
    read_weights: Array | None = None
    answer: Literal["bits", "symbols", "numbers"] = "bits"
    groups: int = 1
    kept: Mapping[str, tuple[Array, tuple[str, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        steps = len(self.inputs)
        for name in self.__dataclass_fields__:
            if name in _NO_ARRAYS or getattr(self, name) is None:
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
        if self.answer != "numbers" and np.any((self.outputs < 0) | (self.outputs > 1)):
            raise ValueError("outputs must be probabilities from 0 to 1; these look like logits")

    @property
    def has_memory(self) -> bool:
        """Whether anything but inputs and outputs is known."""
        return bool(self.kept) or self.write_weights is not None or self.read_weights is not None

    @property
    def wrong(self) -> Array:
        """(time, output_size) bool: scored, and of bits those that are not on the right side of 1/2, as exactly 1/2 and
        NaN are not; of symbols those that should be the likeliest and are not; of numbers none.
        """
        ones = self.targets > 0.5
        if self.answer == "numbers":
            return np.zeros_like(ones)
        if self.answer == "bits":
            right = np.where(ones, self.outputs > 0.5, self.outputs < 0.5)
        else:
            grouped = (len(ones), self.groups, -1)
            others = np.where(ones, -np.inf, self.outputs).reshape(grouped).max(axis=2, keepdims=True)
            right = ~ones | (self.outputs.reshape(grouped) > others).reshape(ones.shape)
        return ~right & self.mask[:, None]

    @property
    def note(self) -> str:
        """In a few words how much of what is scored is wrong."""
        steps = int(self.mask.sum())
        if not steps:
            return "no step is scored"
        if self.answer == "numbers":
            error = np.square(self.outputs - self.targets)[self.mask].mean()
            return f"mean squared error {error:.3g}"
        count = steps * self.targets.shape[1] if self.answer == "bits" else steps * self.groups
        return f"{self.wrong.sum():,} of {count:,} scored {self.answer} wrong"


def memory_figure(episode: Episode, title: str = "", beside: Sequence[Episode] = ()) -> Figure:
    """One episode over time, like figure 6 of Graves et al. 2014: what is written and what is read.

    On the left inputs, added vectors and write weightings, on the right targets, outputs, read
    vectors and read weightings, one panel a head; a model without memory has no such panels. Of a
    large memory only the stretch of slots with a weight of 0.01 or more at some step is shown; where
    the heads walk over the end of the memory, slot 0 follows the last. What memories without such heads hold at the end
    is below. Where cells are smaller than
    pixels, weightings show the largest of the cells that share a pixel, the other panels their mean.

    beside: episodes whose figures are to be compared with this one, such as others of the same run: a colour is the
            same value in all of them.
    """
    with style.styled():
        page = _MemoryPage(episode, title, [episode, *beside])
        page.draw_bits()
        page.draw_vectors()
        page.draw_weightings()
        page.draw_key()
        page.label_time()
        page.draw_kept()
    return page.figure


class _MemoryPage:
    """A memory figure in the making; places are in pixels from the upper left corner."""

    LEFT, GAP = 84, 106
    # The line over a panel, the space between blocks of panels, the key, and the time axis.
    HEADER, SPACE, KEY, FOOTER = 32, 12, 74, 58
    # The least height of a panel with room for the words beside it, and that of what is kept.
    LEAST, KEPT = 64, 170

    def __init__(self, episode: Episode, title: str, compared: Sequence[Episode]) -> None:
        self.episode, self.compared = episode, compared
        self.steps = len(episode.inputs)
        # Beside the panels their words and bars.
        self.column = (style.figure_width(style.LEAST) - 300) // 2
        self.slots_shown = ""
        self.wrong_mark = "x"
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
        self.kept_top = bottom + self.FOOTER
        if episode.kept:
            bottom = self.kept_top + -(-len(episode.kept) // 2) * (self.HEADER + self.KEPT + self.FOOTER) - self.FOOTER
        self.key_top = self.bits_top + key
        self.figure = style.new_figure(bottom + self.FOOTER, title, self.LEFT, style.LEAST)

    def draw_bits(self) -> None:
        """Inputs, targets and outputs, with what is wrong and what is not scored."""
        episode = self.episode
        low, high = colour_span([one.inputs for one in self.compared])
        axes = self.panel(0, self.bits_top, self.input_height, "Inputs", "channel")
        # Both maps are white at 0 and black at 1; below 0 is red.
        drawn = self.image(axes, episode.inputs, "RdGy" if low < 0 else "Greys", low, high)
        if (low, high) != (0, 1):
            self.bar(drawn, 0, self.bits_top, self.input_height)
        axes = self.panel(1, self.bits_top, self.output_height, "Targets", "channel")
        answers = [array for one in self.compared for array in (one.targets, one.outputs)]
        ends = (0.0, 1.0) if episode.answer != "numbers" else colour_span(answers)
        self.image(axes, episode.targets, "Greys", *ends)
        self.shade_unscored(axes)
        top = self.bits_top + self.HEADER + self.output_height
        axes = self.panel(1, top, self.output_height, "Outputs", "channel")
        drawn = self.image(axes, episode.outputs, "Greys", *ends)
        self.bar(drawn, 1, top, self.output_height, "value" if episode.answer == "numbers" else "probability")
        self.shade_unscored(axes)
        axes.set_title(episode.note, loc="right", pad=4, fontsize=7.5, color=style.GREY)
        self.mark_wrong(axes)

    def mark_wrong(self, axes: Axes) -> None:
        """Crosses on the wrong bits; bars along the foot of a single channel whose steps are narrower than a cross."""
        wrong = self.episode.wrong
        wide, tall = self.column / self.steps, self.output_height / wrong.shape[1]
        size = min(max(0.7 * min(wide, tall), 6), 11)
        if wrong.shape[1] == 1 and size > wide:
            # Crosses would run into one another and hide the only row that there is.
            self.wrong_mark = "s"
            spans = [(start, max(width, 1 / wide)) for start, width in _stretches(wrong[:, 0])]
            axes.broken_barh(spans, (0.2, 0.3), facecolor=style.VERMILION, linewidth=0)
        else:
            points = size * 72 / style.DPI
            look: dict[str, Any] = {"markersize": points, "markeredgewidth": max(points / 4.5, 0.8)}
            axes.plot(*np.nonzero(wrong), "x", color=style.VERMILION, **look)

    def draw_vectors(self) -> None:
        """Added and read vectors on one scale, so that what comes back can be compared with what was stored."""
        added, read = self.episode.add, self.episode.reads
        _, high = colour_span([array for one in self.compared for array in _present(one.add, one.reads)])
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
        first, count = used_slots(arrays)
        shown = np.arange(first, first + count) % slots
        if count < slots:
            stretch = f"{shown[0]} to {shown[-1]}" if first >= 0 else f"{shown[0]} to {slots - 1} and 0 to {shown[-1]}"
            self.slots_shown = f"Shown are slots {stretch} of {slots};\nthe others stay below a weight of {USED:g}."
        # Weights that are spread over many slots have a scale of their own.
        every = [array for one in self.compared for array in _present(one.write_weights, one.read_weights)]
        peak = max(largest_magnitude(array) for array in every)
        high = peak if 0 < peak < 0.5 else 1.0
        panels = self.heads(
            self.weights_top, self.weight_height, "slot", {"Write weighting": written, "Read weighting": read}
        )
        for axes, values in panels:
            drawn = self.image(axes, values[:, shown], "Purples", 0, high, first, largest=True)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda slot, _: f"{round(slot) % slots}"))
        self.bar(drawn, 1, self.weights_top + self.SPACE, self.weight_height, "weight")

    def draw_kept(self) -> None:
        """What memories hold at the end, each on a scale of its own that is the same in all figures compared."""
        import matplotlib

        colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad=NOT_FINITE)
        for number, (name, (values, (down, across))) in enumerate(self.episode.kept.items()):
            top, column = self.kept_top + number // 2 * (self.HEADER + self.KEPT + self.FOOTER), number % 2
            _, high = colour_span([one.kept[name][0] for one in self.compared if name in one.kept])
            axes = self.panel(column, top, self.KEPT, f"{name[0].upper()}{name[1:]} at the end", down)
            drawn = axes.imshow(values, cmap=colours, vmin=-high, vmax=high, aspect="auto", interpolation="nearest")
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(across)
            axes.xaxis.set_major_locator(_whole_ticks(7))
            axes.yaxis.set_major_locator(_whole_ticks(4))
            self.bar(drawn, column, top, self.KEPT, "value")

    def draw_key(self) -> None:
        """What the marks mean, as far as they occur, and which slots are shown."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        episode = self.episode
        marks: list[Line2D | Patch] = []
        if episode.wrong.any():
            look: dict[str, Any] = {"color": style.VERMILION, "marker": self.wrong_mark, "markersize": 5}
            marks.append(Line2D([], [], linestyle="none", label=f"wrong {episode.answer.removesuffix('s')}", **look))
        if not episode.mask.all():
            marks.append(Patch(color=style.SHADE, alpha=0.8, label="not scored"))
        fields = [name for name in episode.__dataclass_fields__ if name not in _NO_ARRAYS]
        arrays = [
            *_present(*(getattr(episode, name) for name in fields)),
            *(array for array, _ in episode.kept.values()),
        ]
        if not all(np.isfinite(array).all() for array in arrays):
            marks.append(Patch(color=NOT_FINITE, label="not finite"))
        axes = style.add_axes(self.figure, self.LEFT, self.key_top, self.column, self.KEY)
        axes.set_axis_off()
        axes.legend(handles=marks, loc="upper left", borderaxespad=0, borderpad=0, ncols=3, handlelength=1.4)
        axes.text(0, 0.6 if marks else 1, self.slots_shown, fontsize=7.5, color=style.GREY, va="top")

    def panel(self, column: int, top: float, height: float, title: str, rows: str) -> Axes:
        """Empty axes in column 0 or 1, with the line of their title at `top`."""
        left = self.LEFT + column * (self.column + self.GAP)
        axes = style.add_axes(self.figure, left, top + self.HEADER, self.column, height)
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

        pooled, wide = pool(values, 0, self.column, largest)
        pooled, tall = pool(pooled, 1, int(axes.bbox.height), largest)
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
        left = self.LEFT + column * (self.column + self.GAP) + self.column + 9
        axes = style.add_axes(self.figure, left, top + self.HEADER, 9, height)
        low, high = drawn.get_clim()
        bar = self.figure.colorbar(drawn, cax=axes, ticks=[low, (low + high) / 2, high], format="%.2g")
        bar.outline.set_linewidth(0.4)
        axes.tick_params(length=2, labelsize=7)
        axes.set_ylabel(label if height > 80 else "", fontsize=7.5)

    def shade_unscored(self, axes: Axes) -> None:
        """Shade the steps that are not scored."""
        spans = _stretches(~self.episode.mask)
        axes.broken_barh(
            spans, (0, 1), transform=axes.get_xaxis_transform(), facecolor=style.SHADE, alpha=0.8, linewidth=0
        )

    def label_time(self) -> None:
        """Number the time steps under the lowest panel of each column."""
        for axes in self.lowest.values():
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("time step")


def _present(*arrays: Array | None) -> list[Array]:
    return [array for array in arrays if array is not None]


def _stretches(steps: Array) -> list[tuple[float, float]]:
    """Where the stretches of true steps begin on the time axis, and how wide they are."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], steps, [False]])))
    return [(float(start) - 0.5, float(stop - start)) for start, stop in edges.reshape(-1, 2)]


def _whole_ticks(count: int) -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
