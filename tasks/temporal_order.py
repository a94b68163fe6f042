"""The temporal order task (Hochreiter and Schmidhuber 1997, Long Short-Term Memory, section 5.6, task 6a)."""

import torch
from torch.nn import functional as F

from .common import Batch, draw_below, draw_range
from .symbols import ERROR, NATS, SymbolTask

START, NOISE, SIGNAL, END = 0, 1, 5, 7  # the first channel of each kind
NUM_NOISE, NUM_SIGNALS = 4, 2


class TemporalOrder(SymbolTask):
    """In which order came X and Y? (Hochreiter and Schmidhuber 1997, Long Short-Term Memory, 5.6, task 6a)

        step      0    1 ... n-2                                n-1
        input     E    a, b, c or d; at two steps X or Y        B
        target    -    -                                        Q, R, S or U

    Q stands for X X, R for X Y, S for Y X, U for Y Y. Noise and signals are uniform. The first signal is uniform on
    the steps n/10 to n/5, the second on n/2 to 3n/5, all rounded down and the first at least 1: 10 to 20 and 50 to
    60 for a length of 100, as in the paper. Input channels: E, a, b, c, d, X, Y, B; output channels: Q, R, S, U; one
    is 1 at each step. A sequence of length n has n steps, of which the last is scored.

    Who guesses is wrong at 3 of 4 sequences, 75 %. The paper trains at 100 to 110.
    """

    name = "temporal-order"
    length_unit = "steps"
    length_range = (100, 110)
    test_lengths = (100, 110, 200)
    scores = (ERROR, NATS)
    panels = (ERROR, NATS)

    def __init__(self) -> None:
        self.input_channels, self.output_channels = tuple("EabcdXYB"), tuple("QRSU")

    def sample(self, batch_size: int, *, length: int | tuple[int, int], generator: torch.Generator) -> Batch:
        """As `Task.sample`; a length is at least 4, for the start, two signals and the end."""
        lengths = draw_range("length", length, batch_size, generator, minimum=4).unsqueeze(1)
        longest, device = int(lengths.max()), generator.device
        signals = torch.randint(NUM_SIGNALS, (batch_size, 2), generator=generator, device=device)
        low = torch.cat([(lengths // 10).clamp(min=1), lengths // 2], dim=1)
        high = torch.cat([(lengths // 5).clamp(min=1), 3 * lengths // 5], dim=1)
        places = low + draw_below(high - low + 1, generator)
        given = NOISE + torch.randint(NUM_NOISE, (batch_size, longest), generator=generator, device=device)
        given = given.scatter(1, places, SIGNAL + signals)
        given[:, 0] = START
        given = given.scatter(1, lengths - 1, END)
        step = torch.arange(longest, device=device)
        mask = step == lengths - 1
        order = 2 * signals[:, :1] + signals[:, 1:]
        return Batch(
            F.one_hot(given, len(self.input_channels)) * (step < lengths).unsqueeze(-1).float(),
            F.one_hot(order, len(self.output_channels)) * mask.unsqueeze(-1).float(),
            mask,
            lengths.squeeze(1),
        )
