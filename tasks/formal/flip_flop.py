"""The flip-flop language (Liu et al. 2023, Exposing Attention Glitches with Flip-Flop Language Modeling)."""

import torch
from torch import Tensor

from ..common import Score
from ..tokens import RIGHT, DrawnTask

WRITE, READ, IGNORE, BIT = 0, 1, 2, 3  # the channels of the instructions, and of the bit 0
_WRONG = Score("wrong_reads", "wrong reads", "Wrong reads", "wrong reads", ".0f", summed=True)
_READS = Score("reads", "reads", "Reads", "reads", ".0f", summed=True)


class FlipFlop(DrawnTask):
    """What was written last? (Liu et al. 2023, arXiv 2306.00946)

        w 1 i 0 i 1 r 1 w 0 r 0        after an r the bit of the last w follows

    Pairs of an instruction, to write, to read or to ignore, and a bit; bits are fair coins but after an r. The first
    instruction writes, the last reads. Scored is the bit after each r, told at the step of the r. A length of n is n
    pairs, 2 n steps: the paper's are 256, 80 % of them ignored, the others shared by reads and writes alike.

    Other tests: sparse, with 98 % ignored, and dense, with 10 %. Guessing has half of the reads right.
    """

    name = "flip-flop"
    length_unit = "pairs"
    length_range = (256, 256)
    test_lengths = (256,)
    shortest = 2
    alike = True
    scores = (*DrawnTask.scores[:1], RIGHT, _WRONG, _READS, *DrawnTask.scores[2:])
    variants = {"sparse": {"ignored": 0.98}, "dense": {"ignored": 0.1}}  # noqa: RUF012

    def __init__(self) -> None:
        self.input_channels, self.output_channels = tuple("wri01"), tuple("01")

    def draw(self, rows: int, length: int, generator: torch.Generator, ignored: float = 0.8) -> tuple[Tensor, Tensor]:
        device, shape = generator.device, (rows, length)
        chance = torch.rand(shape, generator=generator, device=device)
        instruction = torch.where(chance < ignored, IGNORE, torch.where(chance < (1 + ignored) / 2, READ, WRITE))
        instruction[:, 0], instruction[:, -1] = WRITE, READ
        bits = torch.randint(2, shape, generator=generator, device=device)
        pair = torch.arange(length, device=device)
        written = torch.where(instruction == WRITE, pair, 0).cummax(1).values
        reads = instruction == READ
        bits = torch.where(reads, bits.gather(1, written), bits)
        target = torch.stack([torch.where(reads, bits, -1), torch.full_like(bits, -1)], 2)
        return torch.stack([instruction, BIT + bits], 2).flatten(1), target.flatten(1)

    def summarize(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        """As `DrawnTask.summarize`, and wrong_reads of how many reads."""
        counts = {"wrong_reads": float(metrics["wrong"].sum()), "reads": float(metrics["questions"].sum())}
        return super().summarize(metrics) | counts
