"""Reading by least squares: the map from keys to values that fits all so far best, applied to a query."""

from collections.abc import Callable

import torch
from torch import Tensor


def solved(covariance: Tensor, ridge: Tensor, query: Tensor) -> Tensor:
    """(H + Lambda)^-1 q: (..., key) of covariance (..., key, key), the diagonal ridge (..., key), query (..., key)."""
    found: Tensor = torch.linalg.solve(covariance + torch.diag_embed(ridge), query.unsqueeze(-1))
    return found.squeeze(-1)


def conjugate_gradients(product: Callable[[Tensor], Tensor], target: Tensor, start: Tensor, num_steps: int) -> Tensor:
    """x with product(x) = target after so many steps of conjugate gradients (Hestenes & Stiefel 1952).

    product: of a symmetric positive definite matrix with each vector along the last axis.
    target, start: (..., key); as many steps as there are keys are exact but for rounding.
    """
    tiny = torch.finfo(target.dtype).tiny
    found, residual = start, target - product(start)
    direction, size = residual, residual.square().sum(-1, keepdim=True)
    for _ in range(num_steps):
        along = product(direction)
        step = size / ((direction * along).sum(-1, keepdim=True) + tiny)
        found, residual = found + step * direction, residual - step * along
        last, size = size, residual.square().sum(-1, keepdim=True)
        direction = residual + size / (last + tiny) * direction
    return found
