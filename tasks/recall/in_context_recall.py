"""In-context recall and noisy recall (Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures)."""

import torch
from torch import Tensor

from ..common import check_count
from ..tokens import TokenTask


class InContextRecall(TokenTask):
    """Which value has a key, each time that it comes again? (after Poli et al. 2024, arXiv 2403.17844, MAD)

        k3 v1 k0 v4 k3 v1 k0   ->   at the second k3: v1, at the second k0: v4

    Pairs of key and value; keys are uniform, and a key has one value throughout a sequence, uniform among all. The
    value of a key that came before is due at the key's step. The last pair has one of the keys before it, all alike,
    and its value is not told. A length of n is n pairs, 2 n - 1 steps. Some pairs may be noise, two tokens that are
    neither keys nor values; the last and some other, drawn uniformly, never are.

    The paper's baseline has 64 pairs of 8 keys and 8 values. There models are trained to foretell every token; here by
    what is due alone, in training as in tests. Guessing has one of as many right as there are values.

    keys, values: how many there are. noise: share of the pairs. noise_tokens: that noise has.
    """

    name = "in-context-recall"
    length_unit = "pairs"
    length_range = (64, 64)
    test_lengths = (64, 128, 256)
    shortest = 2
    alike = True

    def __init__(self, keys: int = 8, values: int = 8, noise: float = 0.0, noise_tokens: int = 16) -> None:
        """ValueError for no keys, values or noise tokens, and for a share that is none."""
        if not 0 <= noise < 1:
            raise ValueError(f"noise must be a share of at least 0 and below 1, got {noise!r}")
        self.keys, self.noise = check_count("keys", keys), noise
        self.noise_tokens = check_count("noise_tokens", noise_tokens)
        self.output_channels = tuple(f"v{one}" for one in range(check_count("values", values)))
        others = tuple(f"n{one}" for one in range(noise_tokens)) if noise else ()
        self.input_channels = (*(f"k{one}" for one in range(keys)), *self.output_channels, *others)

    def draw(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        device, shape = generator.device, (rows, length)
        key = torch.randint(self.keys, shape, generator=generator, device=device)
        real = torch.rand(shape, generator=generator, device=device) >= self.noise
        kept = torch.randint(length - 1, (rows, 1), generator=generator, device=device)
        real = real.scatter(1, kept, True)
        real[:, -1] = True
        # Which keys come before each pair.
        came = (key.unsqueeze(2) == torch.arange(self.keys, device=device)) & real.unsqueeze(2)
        before = came.cumsum(1) - came.long() > 0
        wishes = torch.rand(rows, self.keys, generator=generator, device=device)
        key[:, -1] = wishes.masked_fill(~before[:, -1], -1.0).argmax(1)
        known = real & before.gather(2, key.unsqueeze(2)).squeeze(2)
        of_key = torch.randint(self.output_size, (rows, self.keys), generator=generator, device=device)
        value = of_key.gather(1, key)
        pairs = torch.stack([key, self.keys + value], 2)
        if self.noise:
            first = self.keys + self.output_size
            noise = first + torch.randint(self.noise_tokens, pairs.shape, generator=generator, device=device)
            pairs = torch.where(real.unsqueeze(2), pairs, noise)
        target = torch.stack([torch.where(known, value, -1), torch.full_like(value, -1)], 2)
        return pairs.flatten(1)[:, :-1], target.flatten(1)[:, :-1]


class NoisyRecall(InContextRecall):
    """Which value has a key, each time that it comes again among noise? (after Poli et al. 2024, arXiv 2403.17844, MAD)

    `InContextRecall` with a fifth of the pairs noise, as the paper's baseline, which goes up to four fifths.
    """

    name = "noisy-recall"

    def __init__(self, keys: int = 8, values: int = 8, noise: float = 0.2, noise_tokens: int = 16) -> None:
        super().__init__(keys, values, noise, noise_tokens)
