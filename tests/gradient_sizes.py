"""How large the gradients are that going back through a graph makes."""

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor


def numbers_of_parts(tensors: Iterable[Tensor]) -> int:
    """Of all gradients of indices, slices and gathers, each of which is as large as what the part is of."""
    left, seen, found = [one.grad_fn for one in tensors if one.grad_fn], set[Any](), 0
    while left:
        if (node := left.pop()) not in seen:
            seen.add(node)
            left += [one for one, _ in node.next_functions if one]
            found += math.prod(getattr(node, "_saved_self_sym_sizes", [0]))
            if node.name().startswith("Gather"):
                found += node._saved_self.numel()
    return found
