"""Initial weights that torch.nn.init does not have."""

import torch
from torch import Tensor


def spectral_radius_(matrix: Tensor, radius: float) -> Tensor:
    """Fill a square matrix with normal numbers, scaled so that its largest eigenvalue has the given size.

        W = radius G / max |eigenvalue of G|        G_ij ~ N(0, 1), drawn from torch's global generator

    For recurrent weights: Pascanu et al. 2013; the identity of Le et al. 2015 is torch.nn.init.eye_.

    matrix:  (size, size), changed in place and returned.
    Raises   ValueError for a matrix that is not square, or a radius that is negative or not finite.
    """
    if matrix.dim() != 2 or matrix.size(0) != matrix.size(1):
        raise ValueError(f"matrix must be (size, size), not {tuple(matrix.shape)}")
    if not 0 <= radius < float("inf"):
        raise ValueError(f"radius must be a finite number of at least 0, not {radius}")
    with torch.no_grad():
        matrix.normal_()
        return matrix.mul_(radius / torch.linalg.eigvals(matrix).abs().max())
