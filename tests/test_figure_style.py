"""What all figures share: whole files, late imports, one look."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from experiments.figures.curves import learning_curve_figure
from experiments.figures.memory import memory_figure
from experiments.figures.style import MODELS, Size, drawn_as, figure_name, save_figure
from tests.figure_parts import beyond, episode, rows_of

pytestmark = pytest.mark.pictures

ROOT = Path(__file__).parents[1]


def test_a_png_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curve.png"
    figure = learning_curve_figure(rows_of([10.0, 1.0, 0.1]))
    save_figure(figure, path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    assert width == 1200
    assert 600 < height < 800
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
    with pytest.raises(ValueError, match=r"as \.png, \.pdf or \.svg, not as 'curve\.jpg'"):
        save_figure(figure, tmp_path / "curve.jpg")


def test_pdf_and_svg_hold_letters_not_outlines(tmp_path: Path) -> None:
    figure = learning_curve_figure(rows_of([10.0, 1.0, 0.1]), title="a title of words")
    for name in ("one.pdf", "two.pdf", "one.svg", "two.svg"):
        save_figure(figure, tmp_path / name)
    first, second = (tmp_path / "one.pdf").read_bytes(), (tmp_path / "two.pdf").read_bytes()
    assert first == second
    assert first.startswith(b"%PDF-")
    assert first.endswith(b"%%EOF\n")
    # A font of type 42 is embedded whole; one of type 3 would be drawings of its letters.
    assert b"/FontFile2" in first
    assert b"/Type3" not in first
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert "a title of words" in " ".join(ElementTree.fromstring(text).itertext())


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_any_name_can_be_a_title(ending: str, tmp_path: Path) -> None:
    """Bytes that are no text, formulas, line ends and letters that no installed font has; warnings are errors here."""
    title = "f\udcff.txt, a$b$.txt, $\\frac$ $, x\ny\t\x1b[31m, मीना 猫 \U0001f600 ξύ"
    figure = learning_curve_figure(rows_of([10.0, 1.0, 0.1]), title=title)
    figure.text(0, 0, title)
    figure.axes[0].set_yticks([1], ["मीना 猫 $b$ $"])
    save_figure(figure, tmp_path / f"titled.{ending}")
    shown = [text.get_text() for text in figure.texts]
    line = title.replace("\n", "\\n").replace("\t", "\\t").replace("\x1b", "\\x1b").replace("\udcff", "\\udcff")
    assert shown[0] == line
    assert shown[1] == shown[0].replace("\\n", "\n")
    if ending == "svg":
        assert "a$b$.txt, $\\frac$ $" in (tmp_path / "titled.svg").read_text()


def test_letters_of_other_scripts_come_from_fonts_that_have_them(tmp_path: Path) -> None:
    # Among the fonts that matplotlib brings along, only some for formulas have this one.
    figure = learning_curve_figure(rows_of([10.0, 1.0]), title="a \u20d2 b")
    axes = figure.axes[0]
    axes.set_xticks([0.1], ["\u20d2"])
    save_figure(figure, tmp_path / "mixed.png")
    for text in (figure.texts[0], axes.get_xticklabels()[0]):
        family = text.get_fontfamily()
        assert family[0] == "DejaVu Sans"
        assert any(0x20D2 in get_font(findfont(name)).get_charmap() for name in family[1:])
    plain = learning_curve_figure(rows_of([10.0, 1.0]), title="a b")
    save_figure(plain, tmp_path / "plain.png")
    assert plain.texts[0].get_fontfamily() == ["DejaVu Sans"]


@pytest.mark.parametrize(("size", "inches"), [("column", 3.5), ("page", 7.0), (None, 8.0)])
def test_a_figure_has_the_width_that_is_asked_for(size: Size | None, inches: float, tmp_path: Path) -> None:
    with drawn_as("svg", size):
        figure = learning_curve_figure(rows_of([10.0, 1.0, 0.1, 0.01] * 4), title="a title of many words " * 8)
        memory = memory_figure(episode(), "copy")
        path = tmp_path / figure_name("a.curve")
    assert path.name == "a.curve.svg"
    assert figure.get_figwidth() == inches
    # What has no room in a column is as wide as a page.
    assert memory.get_figwidth() == max(inches, 7.0)
    save_figure(figure, path)
    assert f'width="{72 * inches:g}pt"' in path.read_text()
    assert beyond(figure) == []
    canvas = FigureCanvasAgg(figure)
    (key,) = figure.legends
    box = key.get_window_extent(canvas.get_renderer())
    assert box.x1 <= figure.bbox.width
    assert box.y0 >= 0
    assert box.y1 < figure.axes[0].bbox.y0
    assert figure_name("a") == "a.png"


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path: Path) -> None:
    run_python(f"""
import sys
from experiments.base.curves import curve_of_rows
from experiments.figures.curves import learning_curve_figure
from experiments.figures.style import save_figure
assert not [name for name in sys.modules if name.startswith(("matplotlib", "torch", "wandb"))]
curve_of_rows([])
assert "matplotlib" not in sys.modules
save_figure(learning_curve_figure([]), {str(tmp_path / "empty.png")!r})
assert "matplotlib.figure" in sys.modules and "matplotlib.pyplot" not in sys.modules
""")


def test_without_matplotlib_one_line_says_what_to_install() -> None:
    run_python("""
import sys
sys.modules["matplotlib"] = None
from experiments.base.files import UserError
from experiments.figures.curves import learning_curve_figure
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
