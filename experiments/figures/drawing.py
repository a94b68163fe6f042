"""The options of commands that write figures for papers."""

import dataclasses
from contextlib import AbstractContextManager

from experiments.figures.style import Format, Size, drawn_as


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
