"""Figures that are built but not painted, or not even built: they take most of the time of a tiny training, and few
tests look.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
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


def leave_unforced(patch: pytest.MonkeyPatch) -> None:
    """Have files written without waiting for the disk, as only a machine without power would tell; until undone."""
    patch.setattr("os.fsync", lambda file: None)


def leave_undrawn(patch: pytest.MonkeyPatch) -> None:
    """Have trainings end without their figures, until the patch is undone."""
    from experiments.training import ending, running

    def keep_all(trainer: Any, step: int, folder: Any, notice: str, found: Any, more: Any) -> str:
        return ending.keep_all(trainer, step, folder, notice, found._replace(draw=lambda about: None), more)

    patch.setattr(running, "keep_all", keep_all)


@contextmanager
def drawn() -> Iterator[None]:
    """Have trainings end with their figures nevertheless; for a test or a part of one."""
    from experiments.training import ending, running

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "keep_all", ending.keep_all)
        yield
