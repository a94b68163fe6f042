"""Which slots are in use, and which are free to be written: the DNC's dynamic memory allocation.

Graves et al. 2016 (Nature 538:471), Methods, "Dynamic memory allocation"; the paper numbers no equation. Weightings are
(batch, head, slot), what is said of slots (batch, slot).
"""

import torch
from torch import Tensor

# Usage that every slot is taken to have, see somewhat_used.
LEAST_USED = 1e-6


def retention(read_weights: Tensor, free: Tensor) -> Tensor:
    """How much of every slot the free gates let stand.

        psi(i) = prod_r [1 - f_r w_r(i)]

    read_weights: (batch, read, slot), those of the step before.
    free:         (batch, read, 1), in [0, 1]; 1 frees what the head has read.
    Returns       (batch, slot), in [0, 1].
    """
    return (1 - free * read_weights).prod(1)


def next_usage(usage: Tensor, write_weights: Tensor, retained: Tensor) -> Tensor:
    """How much every slot is in use: written slots are, freed ones are not.

        u_t = (u_{t-1} + w - u_{t-1} w) psi        for several heads one after the other, before psi

    usage:         (batch, slot), u_{t-1} in [0, 1].
    write_weights: (batch, write, slot), those of the step before. Their order does not matter.
    retained:      (batch, slot), psi, see retention.
    Returns        (batch, slot), in [0, 1].
    """
    # Not as 1 - (1 - u) (1 - w), which loses the digits of slots that are nearly free.
    for weights in write_weights.unbind(1):
        usage = usage + weights - usage * weights
    return usage * retained


def in_steps(usage: Tensor) -> Tensor:
    """By what slots are ordered: usage in steps of 64 times the rounding of its dtype (7.6e-6 in float32).

    The paper orders by usage itself. But what is written to all slots alike leaves them the same usage but for
    rounding, which may be another in another batch, and would else decide which slot is written next. It still does
    where the usage is just between two steps.

    usage:  (batch, slot), in [0, 1].
    Returns (batch, slot), whole numbers without gradients.
    """
    return (usage.detach() / (64 * torch.finfo(usage.dtype).eps)).round()


def sorted_allocation(usage: Tensor) -> Tensor:
    """Where to write next, as the paper defines it but for equal usage: by slots in the order of their usage.

        a(phi_j) = [1 - u(phi_j)] prod_{i<j} u(phi_i)        phi: slots from the least used to the most

    Of slots whose usage is of the same step, see in_steps, the first comes first. The gradient goes through the values,
    not through the order.

    usage:  (batch, slot), in [0, 1].
    Returns (batch, slot), of sum 1 - prod_i u(i).
    """
    order = in_steps(usage).sort(stable=True, dim=-1).indices
    used = usage.gather(-1, order)
    before = torch.cat([torch.ones_like(used[:, :1]), used[:, :-1].cumprod(-1)], -1)
    return torch.zeros_like(usage).scatter(-1, order, (1 - used) * before)


def allocation(usage: Tensor) -> Tensor:
    """`sorted_allocation` without a sort, by pairs of slots.

        a(i) = [1 - u(i)] prod_{j before i} u(j)        j before i: s(j) < s(i), or equal and j < i; s of in_steps

    The products are sums of logarithms: usage must be above zero, see `somewhat_used`.

    usage:  (batch, slot), in (0, 1].
    Returns (batch, slot).
    """
    steps = in_steps(usage)
    mine, other = steps.unsqueeze(-1), steps.unsqueeze(-2)
    slots = torch.arange(usage.size(-1), device=usage.device)
    before = (other < mine) | ((other == mine) & (slots < slots.unsqueeze(-1)))
    product = (before.to(usage.dtype) @ usage.log().unsqueeze(-1)).squeeze(-1).exp()
    return (1 - usage) * product


def somewhat_used(usage: Tensor, least: float = LEAST_USED) -> Tensor:
    """Usage between `least` and 1, so that products of it have finite gradients everywhere.

        u -> least + (1 - least) u

    usage:  (batch, slot), in [0, 1].
    Returns (batch, slot).
    """
    return least + (1 - least) * usage


def allocations(usage: Tensor, taken: Tensor) -> Tensor:
    """Where each write head may write: one after the other, each passing on what it will have used.

        a_h = a(u_h)        u_1 = u, u_{h+1} = u_h + [1 - u_h] s_h a_h

    With several heads the paper leaves the order open; this is that of its authors' published code.

    usage:  (batch, slot), in [0, 1].
    taken:  (batch, write, 1), s_h in [0, 1]: how much of its allocation a head writes to, write gate times
            allocation gate.
    Returns (batch, write, slot).
    """
    found = []
    for share in taken.unbind(1):
        found.append(allocation(somewhat_used(usage)))
        usage = usage + (1 - usage) * share * found[-1]
    return torch.stack(found, 1)
