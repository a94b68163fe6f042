"""The look that all figures share, and the files they end as."""

from __future__ import annotations

import dataclasses
import io
import math
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from experiments.base.files import UserError, write_whole
from experiments.base.names import known_models
from experiments.figures.letters import FONT, make_legible, with_escapes

if TYPE_CHECKING:
    import matplotlib.artist
    import matplotlib.axes
    import matplotlib.figure

# By their names, so that nothing is imported before a figure is made.
Artist: TypeAlias = "matplotlib.artist.Artist"
Axes: TypeAlias = "matplotlib.axes.Axes"
Figure: TypeAlias = "matplotlib.figure.Figure"
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
Size: TypeAlias = Literal["column", "page"]
DPI = 150  # pixels an inch
# In inches, of a column and a page of a paper, and of a figure for the screen.
_INCHES: dict[Size | None, float] = {"column": 3.5, "page": 7.0, None: 8.0}
# Narrower than so many pixels sentences, or panels beside each other, have no room.
LEAST = 1000
# In points, and in pixels what is left free at the edges.
_SMALLEST, _EDGE = 6.5, 16
# Pixels, about: of a line of the key, of what stands before a label there, and from the axes to the key.
_KEY_LINE, _KEY_MARK, _KEY_TOP = 26, 76, 66


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

    @classmethod
    def of(cls, score: Mapping[str, Any]) -> Measure:
        """A score of tests, as about.json tells it."""
        words = score["words"]
        share = score["format"].endswith("%")
        return cls(score["name"], words[0].upper() + words[1:], score["unit"], share, score.get("chance"))

    @classmethod
    def of_learning(cls, about: Mapping[str, Any]) -> Measure:
        """What a run's learning is measured in, of its about.json; a score of its tests as these have it in words."""
        curve = about["curve"]
        words = {one["name"]: one["words"] for one in about["tests"]["scores"]}.get(curve["metric"], curve["words"])
        return cls(curve["metric"], words, curve["unit"])


# Colours that readers with any colour vision tell apart (Okabe and Ito).
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE, ORANGE, SKY = "#cc79a7", "#e69f00", "#56b4e9"
INK, GREY, SHADE = "#3c3c3c", "#707070", "#c7d8e5"

# Lines of one figure: not first the colours of the models that are most often compared.
LINES = ((INK, "o"), (ORANGE, "s"), (PURPLE, "^"), (SKY, "D"), (GREY, "v"), (BLUE, "P"), (GREEN, "X"))

# The words and the colour of a model, the same in all figures.
MODELS = {name: (one.get("in_curves", one["words"]), one["colours"][0]) for name, one in known_models().items()}
_STYLE = Path(__file__).with_name("memnet.mplstyle")


def is_figure(path: str | Path) -> bool:
    """Whether a file has the ending of a figure that can be written."""
    return Path(path).suffix.lower().removeprefix(".") in get_args(Format)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG, PDF or SVG, as its name ends, all of it or nothing; the folder must exist.

    The same figure gives the same file. ValueError for another ending, OSError where the file cannot be written.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if not is_figure(path):
        raise ValueError(f"a figure is saved as .png, .pdf or .svg, not as {Path(path).name!r}")
    picture = io.BytesIO()
    with styled():
        make_legible(figure)
        figure.savefig(picture, format=ending, metadata=_UNDATED[ending])
    write_whole(path, picture.getvalue())


_DRAWN: ContextVar[tuple[Format, Size | None]] = ContextVar("drawn", default=("png", None))


@contextmanager
def drawn_as(format: Format, size: Size | None) -> Iterator[None]:
    """Have all figures within drawn for a column or a page of a paper, and files named by `figure_name` so.

    Letters have the same size in points in every figure, so that a figure is to be put into a paper as it is.
    """
    token = _DRAWN.set((format, size))
    try:
        yield
    finally:
        _DRAWN.reset(token)


def figure_name(name: str) -> str:
    """The file name of a figure, with the ending of the format that is asked for."""
    return f"{name}.{_DRAWN.get()[0]}"


def figure_width(least: float = 0) -> int:
    """Pixels across the figure that is to be drawn now; one that needs more than a column has the width of a page."""
    asked = round(_INCHES[_DRAWN.get()[1]] * DPI)
    return asked if asked >= least else round(_INCHES["page"] * DPI)


@contextmanager
def styled() -> Iterator[None]:
    """Our settings on top of matplotlib's own defaults, and the caller's back at the end."""
    settings = _settings()
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        dict.update(cast(dict[str, Any], matplotlib.rcParams), settings)
        # What no installed font has is a box.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


@cache
def _settings() -> dict[str, Any]:
    """Of matplotlib within `styled`, checked by it once: that takes long, and is called for every figure."""
    try:
        import matplotlib
        from matplotlib import artist, style
    except ImportError:
        raise UserError("figures need matplotlib: pip install matplotlib") from None
    composed = vars(artist)["kwdoc"]
    vars(artist)["kwdoc"] = lambda kind: ""  # documentation, which takes a third of the import
    try:
        import matplotlib.figure
    finally:
        vars(artist)["kwdoc"] = composed
    with style.context(_STYLE, after_reset=True):
        # To ask for the backend would choose one.
        return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def new_figure(height: float, title: str, left: float, least: float = 0) -> Figure:
    """An empty figure `height` pixels high and `figure_width(least)` wide, with a title that begins at pixel `left`.

    In a column it begins at the edge. One that would be too long is written smaller, or cut off.
    """
    from matplotlib import figure as made

    wide = figure_width(least)
    figure = made.Figure(figsize=(wide / DPI, height / DPI), dpi=DPI)
    start = left if wide > figure_width() or wide >= round(_INCHES["page"] * DPI) else _EDGE
    shown, size = written_to_fit(title, 11, wide - start - _EDGE, bold=True)
    figure.text(start / wide, 1 - 26 / height, shown, fontsize=size, fontweight="bold", va="center")
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels, measured from the upper left corner of the figure."""
    wide, down = (inches * DPI for inches in figure.get_size_inches())
    return figure.add_axes((left / wide, 1 - (top + height) / down, width / wide, height / down))


def key_below(figure: Figure, handles: Sequence[Artist], left: float) -> None:
    """Write a key under the lowest axes, from pixel `left`, in as many columns as fit, and end the figure there."""
    wide, down = (inches * DPI for inches in figure.get_size_inches())
    longest = max([0, *(text_width(str(handle.get_label()), 8) for handle in handles)])
    columns = max(1, min(len(handles), int((wide - left) / (longest + _KEY_MARK))))
    lowest = max([0, *((1 - axes.get_position().y0) * down for axes in figure.axes)])
    height = lowest + _KEY_TOP + _KEY_LINE * -(-len(handles) // columns) + 10
    _set_height(figure, height)
    if handles:
        place = ((left - 10) / wide, 4 / height)
        figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, ncols=columns, columnspacing=1.6)


def _set_height(figure: Figure, height: float) -> None:
    """Cut the figure, or lengthen it, at its lower edge."""
    share = figure.get_figheight() * DPI / height
    figure.set_figheight(height / DPI)
    for axes in figure.axes:
        left, low, wide, tall = axes.get_position().bounds
        axes.set_position((left, 1 - (1 - low) * share, wide, tall * share))
    for text in figure.texts:
        text.set_y(1 - (1 - text.get_position()[1]) * share)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Pixels of a text in that many points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * DPI / 72


def numbered(number: int | str, text: str) -> str:
    """A number and a text, aligned under one another."""
    return f"{number}".rjust(2, "\N{FIGURE SPACE}") + f"  {text}"


def written_to_fit(text: str, size: float, room: float, bold: bool = False) -> tuple[str, float]:
    """A text in one line and the size in points, of at most that many, in which it has room; its end may be cut off."""
    shown = with_escapes(text)
    # As pixels letters are a little wider than as outlines.
    room *= 0.94
    while text_width(shown, size, bold) > room and size > _SMALLEST:
        size -= 0.5
    return fitting(shown, size, room, bold), size


@lru_cache
def fitting(text: str, size: float, room: float, bold: bool = False) -> str:
    """The text, its end cut off where it takes more pixels than there is room."""
    if text_width(text, size, bold) <= room:
        return text
    beyond = bisect_right(range(len(text)), room, key=lambda length: text_width(f"{text[:length]}…", size, bold))
    return f"{text[: beyond - 1].rstrip()}…"


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
    pixels = axes.bbox.width / math.log(right / left)
    # From the highest down, since that one matters most.
    for value in sorted(values, reverse=True):
        if not named or math.log(named[-1] / value) * pixels > _between(named[-1], value):
            named.append(value)
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _between(one: float, other: float) -> float:
    """The least distance in pixels of two numbers below an axis."""
    return sum(text_width(f"{value:,.0f}", 7.5) for value in (one, other)) / 2 + _EDGE


def decade(value: float) -> str:
    """A power of ten or zero in digits, small and large ones as 10 to the power."""
    power = round(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, -power)}f}" if -4 < power < 7 else power_of_ten(power)


def power_of_ten(power: int) -> str:
    """Ten to the power, with a raised number."""
    return "10" + str(power).translate(str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawingOptions:
    """What files figures are, and for what place."""

    format: Format = "png"
    """What file a figure is; in pdf and svg letters stay letters."""
    size: Size | None = None
    """How wide: column is 3.5 in (7 in for what has no room there), page 7 in, None 8 in. Letters have 6 to 11 pt."""

    def drawn(self) -> AbstractContextManager[None]:
        """Have the figures within drawn so."""
        return drawn_as(self.format, self.size)
