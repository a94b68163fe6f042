"""Figures that are built but not painted: painting takes most of the time of a tiny training, and few tests look."""

import io
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def leave_unpainted(patch: pytest.MonkeyPatch) -> None:
    """Have figures saved as white sheets of their size, until the patch is undone."""
    from PIL import Image

    def save(figure: "Figure", file: io.BytesIO, **_: Any) -> None:
        width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
        Image.new("1", (width, height), 1).save(file, format="PNG")

    patch.setattr("matplotlib.figure.Figure.savefig", save)
    patch.setattr("experiments.figures.style.make_legible", lambda figure: None)
