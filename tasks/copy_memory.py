"""The copy memory task (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016, section 5.1)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .common import Batch, draw_range
from .symbols import NATS, SymbolTask

NUM_SYMBOLS = 8
RECALLED = 10  # symbols of a sequence
BLANK, MARKER = NUM_SYMBOLS, NUM_SYMBOLS + 1


class CopyMemory(SymbolTask):
    """Remember ten symbols over a blank gap (Arjovsky et al. 2016, arXiv 1511.06464, 5.1).

        step      0 ... 9        10 ... n+8    n+9       n+10 ... n+19
        input     the symbols    blank         marker    blank
        target    blank          blank         blank     the symbols

    The symbols are uniform among eight. Input channels: the eight, blank, marker; output channels: the eight,
    blank; one is 1 at each step. A gap of length n makes n + 20 steps, all of which are scored: the symbols are to
    come out n + 10 steps after they went in.

    Who knows all but the symbols answers blank until the marker and then guesses, at 10 ln 8 / (n + 20) nats a step
    and 87.5 % wrong symbols (only the ten count as questions). The paper trains at 100, 200, 300 and 500.
    """

    name = "copy-memory"
    length_unit = "blanks"
    length_range = (500, 500)
    test_lengths = (500,)
    criterion = NATS

    def __init__(self) -> None:
        symbols = tuple(map(str, range(NUM_SYMBOLS)))
        self.input_channels, self.output_channels = (*symbols, ".", "|"), (*symbols, ".")

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        gaps = draw_range("length", length, batch_size, generator).unsqueeze(1)
        device = generator.device
        symbols = torch.randint(NUM_SYMBOLS, (batch_size, RECALLED), generator=generator, device=device)
        lengths = gaps + 2 * RECALLED
        step = torch.arange(int(lengths.max()), device=device).expand(batch_size, -1)
        real, place = step < lengths, step - gaps - RECALLED
        asked = (place >= 0) & real
        given = torch.full_like(step, BLANK).masked_fill(place == -1, MARKER)
        given[:, :RECALLED] = symbols
        target = torch.where(asked, symbols.gather(1, place.clamp(0, RECALLED - 1)), BLANK)
        return Batch(
            F.one_hot(given, NUM_SYMBOLS + 2) * real.unsqueeze(-1).float(),
            F.one_hot(target, NUM_SYMBOLS + 1) * real.unsqueeze(-1).float(),
            real,
            lengths.squeeze(1),
        )

    def questions(self, batch: Batch) -> Tensor:
        """(batch, time) bool: the ten steps of each row whose symbol is to be recalled."""
        return batch.target[..., :NUM_SYMBOLS].sum(dim=-1) > 0.5

    def baselines(self, length: int) -> dict[str, float]:
        """Blanks until the marker, then a guess: 10 ln 8 / (length + 20) nats a step."""
        nats = RECALLED * math.log(NUM_SYMBOLS) / (length + 2 * RECALLED)
        return {"baseline_error_percent": 100 * (1 - 1 / NUM_SYMBOLS), "baseline_nats_per_step": nats}
