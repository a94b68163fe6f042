"""What an action does to a stack: a mixture of what would be there after each action alone (Joulin & Mikolov 2015).

arXiv 1503.01007, "Pushdown network".
"""

import torch
from torch import Tensor


def push_or_pop(stack: Tensor, actions: Tensor, value: Tensor, empty: float) -> Tensor:
    """A stack after a push, a pop and no action, each as far as it is taken (eqs. 4 and 5, and the no-op).

        s'[0] = a_push v + a_pop s[1] + a_no s[0]        s'[i] = a_push s[i-1] + a_pop s[i+1] + a_no s[i]

    What is pushed off the end of the slots is lost; what is popped in there is `empty`.

    stack:   (..., slot, width), the top first.
    actions: (..., 3), shares of push, pop and no-op.
    value:   (..., width), what is pushed.
    Returns  (..., slot, width).
    """
    around = torch.cat([value.unsqueeze(-2), stack, torch.full_like(value, empty).unsqueeze(-2)], -2)
    push, pop, stay = actions.unsqueeze(-1).unsqueeze(-1).unbind(-3)
    return push * around[..., :-2, :] + pop * around[..., 2:, :] + stay * stack
