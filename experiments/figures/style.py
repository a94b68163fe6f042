"""The look that all figures share, and the files they end as."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from experiments.figures.letters import FONT, in_one_line, make_legible
from experiments.files import UserError, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array: TypeAlias = NDArray[Any]
Curves: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]
Rows: TypeAlias = Sequence[Mapping[str, Any]]

Format: TypeAlias = Literal["png", "pdf", "svg"]
# Without the time and the version, which would make the same figure another file.
_UNDATED: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
WIDTH, DPI = 1200, 150  # pixels, pixels an inch


class Measure(NamedTuple):
    """What a figure shows.

    name: the key in a test, and in metrics after "train/" or "valid/".
    words: on an axis or over a panel. unit: after a value. percent: whether a share is shown in percent.
    chance: what guessing has, where that is one number.
    """

    name: str
    words: str
    unit: str
    percent: bool = False
    chance: float | None = None


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
    "rnn-tanh": ("tanh RNN", "#6b7280"),
    "rnn-relu": ("ReLU RNN", "#3c3c3c"),
}

STYLE = {
    # Names of files and words of texts are no formulas.
    "text.parse_math": False,
    "font.family": FONT,
    # Letters stay letters: fonts whole within a PDF, words as words in an SVG.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "memnet",
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
    """Write the figure as PNG, PDF or SVG, as its name ends, all of it or nothing; the folder must exist.

    The same figure gives the same file. ValueError for another ending, OSError where the file cannot be written.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in get_args(Format):
        raise ValueError(f"a figure is saved as .png, .pdf or .svg, not as {Path(path).name!r}")
    picture = io.BytesIO()
    with styled():
        make_legible(figure)
        figure.savefig(picture, format=ending, metadata=_UNDATED[ending])
    write_whole(path, picture.getvalue())


@contextmanager
def styled() -> Iterator[None]:
    """Our settings on top of matplotlib's own defaults, and the caller's back at the end."""
    try:
        from matplotlib import style
    except ImportError:
        raise UserError("figures need matplotlib: pip install matplotlib") from None
    with style.context(STYLE, after_reset=True), warnings.catch_warnings():
        # What no installed font has is a box.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def new_figure(height: float, title: str, left: float) -> Figure:
    """An empty figure `height` pixels high with a title that begins at pixel `left`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI)
    figure.text(left / WIDTH, 1 - 26 / height, in_one_line(title), fontsize=11, fontweight="bold", va="center")
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels, measured from the upper left corner of the figure."""
    down = figure.get_figheight() * DPI
    return figure.add_axes((left / WIDTH, 1 - (top + height) / down, width / WIDTH, height / down))


def mark_lost(axes: Axes, x: Array, label: str = "") -> None:
    """Crosses at the upper edge, for values that are not finite."""
    where = axes.get_xaxis_transform()
    axes.plot(x, np.full(len(x), 0.98), "x", color=VERMILION, transform=where, label=label, markersize=5)


def error_scale(axes: Axes, values: Array, finest: int = -5, from_zero: bool = False) -> None:
    """A vertical scale on which all finite values, zero included, can be read.

    Logarithmic, with a piece down to 0 below the power of ten (10**finest at least) under the
    smallest value; linear when all values lie within a factor of ten. from_zero: it begins at 0 whatever the values.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not len(positive):
        axes.set_ylim(-0.05, 1)
        axes.set_yticks([0])
        return
    low, high = float(positive.min()), float(positive.max())
    if high < 10 * low and (from_zero or len(positive) == len(finite)):
        room = 0.08 * (high - low) or 0.5 * high
        axes.set_ylim(0 if from_zero else max(low - room, 0), high + room)
        return
    least = max(math.floor(math.log10(low) + 1e-9), finest)
    most = max(math.ceil(math.log10(high) - 1e-9), least + 1)
    start, end = 10.0**least, 10.0**most
    axes.set_yscale("symlog", linthresh=start, linscale=0.5)
    every = -(-(most - least) // 8)
    axes.yaxis.set_major_locator(FixedLocator([0, *(10.0**k for k in range(least, most + 1, every))]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: decade(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    below = len(positive) < len(finite) or low < start
    axes.set_ylim(0 if from_zero else -0.15 * start if below else start, 1.4 * end)


def numbered_log_scale(axes: Axes, values: Sequence[float], ends: tuple[float, float]) -> None:
    """A logarithmic horizontal axis from end to end, numbered at the given values as far as there is room."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = ends
    room = max((high / low) ** 0.05, 1.2)
    left, right = low / room, high * room
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    named: list[float] = []
    # From the highest down, since that one matters most.
    for value in sorted(values, reverse=True):
        if not named or math.log(named[-1] / value) > 0.12 * math.log(right / left):
            named.append(value)
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def decade(value: float) -> str:
    """A power of ten or zero in digits, small and large ones as 10 to the power."""
    power = round(math.log10(value)) if value > 0 else 0
    if not -4 < power < 7:
        return "10" + str(power).translate(str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:,.{max(0, -power)}f}"
