"""Singular values and spectral radii: of recurrent matrices, and of products of Jacobians."""

from typing import NamedTuple

import torch
from torch import Tensor

from memnet.cells import Cell


class Spectrum(NamedTuple):
    """singular_values: (..., size), descending; the first is the spectral norm. radius: (...), see spectrum."""

    singular_values: Tensor
    radius: Tensor


def spectrum(matrix: Tensor) -> Spectrum:
    """Singular values and spectral radius of square matrices.

        singular values: the roots of the eigenvalues of M' M        radius: max |eigenvalue of M|

    A linear network forgets where the radius of its recurrent matrix is below one and may explode where it is above; a
    tanh network must forget where the largest singular value is below one (Pascanu et al. 2013, section 2.1).

    matrix:  (..., size, size), Propagation.matrices among them: values of the product are exp(log_scale) times these,
             right to the working precision times the largest of them.
    Raises   ValueError for matrices that are not square or not finite.
    """
    if matrix.dim() < 2 or matrix.size(-1) != matrix.size(-2):
        raise ValueError(f"matrix must be (..., size, size), not {tuple(matrix.shape)}")
    if not bool(matrix.isfinite().all()):
        raise ValueError("matrix must be finite, but holds infinity or NaN")
    matrix = matrix.detach()
    return Spectrum(torch.linalg.svdvals(matrix), torch.linalg.eigvals(matrix).abs().amax(-1))


def recurrent_matrices(cell: Cell) -> dict[str, Tensor]:
    """The square matrices by which a cell's hidden states reach the next step, each (hidden, hidden), by name.

    RNN: "hidden"; LSTM: "input", "forget", "candidate", "output"; GRU: "reset", "update", "candidate"; EntNet:
    "memories"; in stacks and controllers after the module's name, as in "layers.0.forget". Empty for a cell that
    has none. Views of the weights: who changes one changes the cell.
    """
    return {
        f"{name}.{part}".removeprefix("."): matrix
        for name, module in cell.named_modules()
        if isinstance(module, Cell)
        for part, matrix in module.recurrent_matrices().items()
    }
