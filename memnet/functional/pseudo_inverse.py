"""The pseudo-inverse of matrices, exactly and by steps that need products alone."""

import torch
from torch import Tensor


def pseudo_inverse(matrix: Tensor, num_steps: int | None = None, start: float | None = None) -> Tensor:
    """M^+ of (..., rows, columns): (..., columns, rows).

        A <- 2 A - A M A    from    A = start M^T    (Ben-Israel & Cohen 1966)

    num_steps: of these; None for the exact one.
    start:     at which they begin; None for 1 / (|M|_1 |M|_inf), from which they always converge. The code of Larimar
               takes 3 steps from at most 5e-4, which are far from the pseudo-inverse of most matrices.
    """
    if num_steps is None:
        exact: Tensor = torch.linalg.pinv(matrix)
        return exact
    scale: Tensor | float
    if start is None:
        size = matrix.abs()
        scale = 1 / (size.sum(-2).amax(-1) * size.sum(-1).amax(-1))[..., None, None]
    else:
        scale = start
    inverse = scale * matrix.transpose(-1, -2)
    for _ in range(num_steps):
        inverse = 2 * inverse - inverse @ matrix @ inverse
    return inverse
