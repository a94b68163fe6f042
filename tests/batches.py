"""What tests of tasks draw, and how they read it."""

import torch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_logits(batch, seed=1, dtype=torch.float32):
    return torch.randn(batch.target.shape, generator=seeded(seed), dtype=dtype)


def rows_of(batch):
    """(input, target, mask) of each row up to its length; whatever lies behind must be empty."""
    given, target, mask = (tensor.numpy() for tensor in (batch.input, batch.target, batch.mask))
    for row, length in enumerate(batch.lengths.tolist()):
        assert not given[row, length:].any()
        assert not target[row, length:].any()
        assert not mask[row, length:].any()
        yield given[row, :length], target[row, :length], mask[row, :length]
