"""A sparse access memory over whole sequences as one operator of torch: changed in place, and rolled back.

Of every step the backward pass keeps what stood in the slots that were written, and what the step began with beside the
memory. From the last memory it goes back step by step: it puts the old rows back, computes the step again from its rows
alone, and passes gradients to the rows that were read and written. No slot is looked for again. A step that is computed
again must be the same, so a controller of one's own, which may draw or count, is refused.

Only the slots are touched that a sequence may reach: those from the first to the last that holds something or was used,
and of the others, which are all alike, the first few more at every step. So no step and no copy grows with the memory.
"""

import mmap
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Linear, Module

from memnet.cells import Cell, NormalizedLSTMCell, together
from memnet.functional.sparse import (
    Entries,
    Read,
    Slots,
    add_rows_,
    is_used,
    largest_entries,
    nearest_slots,
    put_rows_,
    slot_scales,
    take_rows,
    top_slots,
)
from memnet.native import build, near_slots
from memnet.state import State, map_state, select_rows, state_tensors, with_leaves

# Numbers of a batch's memory that are copied in about the time in which the backward pass computes a step again.
_WORTH = 1 << 17
# Bytes from which zeros are asked of the system itself.
_MANY_BYTES = 1 << 22


class _Changed(Slots):
    """A memory that is changed in place, but for rows of the batch that have ended, and notes what that would undo.

    rows, age: as of a state; copied as far as `reach` of them, what a sequence may touch.
    end:       slots, from the first on, outside of which nothing was there or was used; grows from step to step.

    What is known of slots is kept up to date, not computed anew: since, minus the step in which each was last used,
    which orders them as their age does, and the scales by which cosines are found.
    """

    active: Tensor | None = None
    emptied: Tensor
    slots: Tensor
    old: Tensor
    found: Tensor

    def __init__(self, rows: Tensor, age: Tensor, end: int, reach: int, epsilon: float, approximate: bool) -> None:
        super().__init__(rows[:, :reach].clone(memory_format=torch.contiguous_format), age)
        self.end, self.reach, self.epsilon = end, reach, epsilon
        self.since, self.time = age[:, :reach].clone(), 0
        self.scales = slot_scales(self.rows, epsilon)
        many = approximate and reach > near_slots.EXACT_SLOTS
        self.near = near_slots.NearSlots(self.rows) if many else None

    def unused(self, count: int) -> Tensor:
        self.end = min(self.end + count, self.reach)
        self.emptied = top_slots(self.since[:, : self.end], count)
        return self.emptied

    def put(self, slots: Tensor, rows: Tensor) -> None:
        self.slots, self.old = slots, self.take(slots)
        rows = _where(self.active, rows, self.old)
        put_rows_(self.rows, slots, rows)
        self.scales.scatter_(1, slots, slot_scales(rows, self.epsilon))
        if self.near is not None:
            self.near.change(slots, rows)

    def nearest(self, key: Tensor, count: int, epsilon: float) -> Tensor:
        # Of slots that hold nothing the first `count` are as near as any.
        self.end = end = min(self.end + count, self.reach)
        if self.near is None:
            self.found = nearest_slots(self.rows[:, :end], key, count, epsilon, self.scales[:, :end])
        else:
            self.found = self.near.nearest(self.rows, key, count, self.scales)
        return self.found

    def touch(self, slots: Tensor, weights: Tensor, threshold: float) -> None:
        self.time += 1
        before = self.since.gather(1, slots)
        used = is_used(slots, weights, threshold)
        after = torch.where(used if self.active is None else used & self.active.unsqueeze(1), -self.time, before)
        self.since.scatter_(1, slots, after)


def last_state(
    weights: Tensor, memory: Tensor, age: Tensor, rows: Tensor, since: Tensor, read: Entries, went: Tensor | int
) -> list[Tensor]:
    """Memory, read weights and age of the last state.

    weights, memory, age: of the first.
    rows, since:          of _Changed after the last step, as many as could be reached.
    read:                 slots and weights that were read last.
    went:                 how many steps each row of the batch went, (batch, 1), or all of them.
    """
    after, reach = age + went, rows.size(1)
    after[:, :reach] = since + went
    if reach < memory.size(1):
        memory = _zeros(memory)
        memory[:, :reach] = rows
    else:
        memory = rows
    spread = _zeros(weights).scatter_(-1, read.slots, read.weights)
    # A row without a step keeps all its weights, however many slots they are spread over.
    if isinstance(went, Tensor):
        spread = torch.where(went.unsqueeze(1) > 0, spread, weights)
    return [memory, spread, after]


def first_gradients(
    needed: Sequence[bool],
    d_last: Sequence[Tensor | None],
    memory: Tensor,
    d_rows: Tensor,
    read: Entries | None,
    went: Tensor | int,
) -> list[Tensor | None]:
    """Gradients of memory and read weights of the first state, as far as they are needed.

    d_last: those of the last state. memory: as the last.
    d_rows: of the rows that could be reached.
    read:   slots that were read before the first step, and the gradients of their weights; None where there are none.
    went:   see last_state.
    """
    d_memory = d_weights = None
    if needed[0]:
        d_memory = _zeros(memory) if d_last[0] is None else d_last[0].clone()
        d_memory[:, : d_rows.size(1)] = d_rows
    if needed[1] and read is not None:
        d_weights = read.weights.new_zeros(*read.weights.shape[:2], memory.size(1))
        if isinstance(went, Tensor) and d_last[1] is not None:
            d_weights = torch.where(went.unsqueeze(1) > 0, d_weights, d_last[1])
        d_weights = d_weights.scatter(-1, read.slots, read.weights)
    return [d_memory, d_weights]


def age_gradient(d_last: Tensor | None, went: Tensor | int) -> Tensor | None:
    """That of the first state's age: in rows without a step alone, which keep it. d_last: of the last state's."""
    return None if isinstance(went, int) or d_last is None else d_last.masked_fill(went > 0, 0)


def steps_gone(lengths: Tensor | None, steps: int) -> Tensor | int:
    """How many steps each row of the batch goes, (batch, 1), or all of them."""
    return steps if lengths is None else lengths.clamp_max(steps).unsqueeze(1)


def first_read(weights: Tensor, count: int) -> Entries:
    """What a first state has read last: `largest_entries`, without a look at weights that are one for all slots."""
    if weights.stride(-1) == 0:
        weights = weights[..., :count]
    return largest_entries(weights, count)


def first_untouched(state: Any, slots: Tensor) -> int:
    """From which slot on all hold nothing, have been used by nobody, and are none of those that were read last."""
    memory, age = state.memory, state.age
    if memory.stride(1) == 0:
        memory = memory[:, :1]  # of a first state, one row for all
    if age.stride(1) == 0:
        age = age[:, :1]
    touched = ((memory.abs().sum(-1) != 0) | (age < age.amax(-1, keepdim=True))).any(0)
    alike = len(touched) == 1
    ends = state.memory.size(1) if alike else torch.arange(1, len(touched) + 1, device=touched.device)
    return int(torch.maximum((touched * ends).amax(), slots.amax() + 1))


def reach_of(cell: Any, state: Any, slots: Tensor, steps: int) -> tuple[int, int]:
    """`first_untouched`, and how many slots a sequence may reach: a step empties one for each head, and reads more."""
    end = first_untouched(state, slots)
    return end, min(end + steps * (cell.num_reads + cell.slots_per_read), int(state.memory.size(1)))


def _zeros(like: Tensor) -> Tensor:
    """A tensor of zeros; on the CPU many of them take no memory, and no time, until they are written."""
    size = like.numel() * like.element_size()
    if not like.is_cpu or size < _MANY_BYTES or not hasattr(mmap, "MAP_ANONYMOUS"):
        return torch.zeros(like.shape, dtype=like.dtype, device=like.device)
    own = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(own, dtype=like.dtype).view(like.shape)


class _Step(NamedTuple):
    """What is kept of a step: what it began with beside the memory, which slots it chose, and what stood there."""

    controller: State
    last: Read
    emptied: Tensor
    slots: Tensor
    old: Tensor
    found: Tensor


class _Replayed(Slots):
    """The memory of a step that was: its choices, and of its rows those that it wrote and read."""

    new: Tensor

    def __init__(self, step: _Step, active: Tensor | None, old: Tensor, seen: Tensor) -> None:
        self.step, self.active, self.old, self.seen, self.is_written = step, active, old, seen, False

    def unused(self, count: int) -> Tensor:
        return self.step.emptied

    def take(self, slots: Tensor) -> Tensor:
        if not self.is_written:
            return self.old
        same = slots.unsqueeze(-1) == self.step.slots.unsqueeze(-2)
        return torch.where(same.any(-1, keepdim=True), take_rows(self.new, same.int().argmax(-1)), self.seen)

    def put(self, slots: Tensor, rows: Tensor) -> None:
        self.new, self.is_written = _where(self.active, rows, self.old.detach()), True

    def nearest(self, key: Tensor, count: int, epsilon: float) -> Tensor:
        return self.step.found

    def touch(self, slots: Tensor, weights: Tensor, threshold: float) -> None:
        """Nothing: what will be emptied is known."""


class Steps(Protocol):
    """What is asked of the cell, an SAMCell."""

    controller: Cell
    interface: Linear
    slots_per_read: int

    def controlled(self, projected: tuple[Any, ...], controller: State, reads: Tensor) -> tuple[Tensor, State]: ...
    def access(self, hidden: Tensor, last: Read, memory: Slots) -> tuple[Tensor, Read, Any]: ...


def refusal(cell: Cell, input: Tensor, state: State, *, own: bool) -> str | None:
    """Why the operator cannot run a cell on this input and state, None where it can.

    own: whether the cell is an SAMCell, not of a class that takes after it.
    """
    return build.refusal(None, cell, input, state, own=own, as_built=_as_built)


def loss(memory: Tensor) -> str | None:
    """Why the steps one by one are faster than this operator, None where they are not."""
    few = torch.is_grad_enabled() and memory.numel() < _WORTH
    return "so small a memory is trained faster step by step" if few else None


def _as_built(cell: Steps) -> bool:
    """Whether the cell's parts are memnet's own, which compute the same whenever they are asked."""
    known = build.LAYERS | {NormalizedLSTMCell}
    return type(cell.interface) is Linear and {*map(type, build.layers_of(cell.controller))} <= known


def unroll_sam(cell: Cell, input: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
    """What memnet.unroll.unroll returns, for a call that `refusal` has nothing against."""
    names, parameters = zip(*cell.named_parameters(), strict=True)
    # Whoever gave the lengths may change them before the backward pass.
    lengths = None if lengths is None else lengths.clone()
    tensors = [input, *state_tensors(state), *parameters]
    keep = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)
    output, *last = _Sequence.apply(cell, state, lengths, names, keep, *tensors)  # type: ignore[no-untyped-call]
    return output, with_leaves(state, last)


def run(
    cell: Any, input: Tensor, state: State, lengths: Tensor | None, kept: list[_Step] | None
) -> tuple[list[Tensor], Tensor, int]:
    """The cell over time, without gradients: outputs and the tensors of the last state, the slots it read last, and
    how many slots it could reach.

    kept: to which every step is added, for `rolled_back`; None to keep nothing.
    """
    steps, last = input.size(1), Read(*first_read(state.read_weights, cell.slots_per_read), state.reads)
    controller = state.controller
    shared, outputs, going = cell.shared(), [], _active(lengths, steps)
    end, reach = reach_of(cell, state, last.slots, steps)
    memory = _Changed(state.memory, state.age, end, reach, cell.norm_floor, cell.approximate)
    for projected, active in zip(_by_step(cell.project(input)), going, strict=True):
        memory.active = active
        hidden, after = cell.controlled(together(projected, shared), controller, last.vectors)
        output, read, _ = cell.access(hidden, last, memory)
        if kept is not None:
            kept.append(_Step(controller, last, memory.emptied, memory.slots, memory.old, memory.found))
        controller, last = _where(active, (after, read), (controller, last))
        outputs.append(output)
    read, first = Entries(last.slots, last.weights), (state.read_weights, state.memory, state.age)
    rows, weights, age = last_state(*first, memory.rows, memory.since, read, steps_gone(lengths, steps))
    leaves = [*state_tensors(controller), last.vectors, rows, weights, age]
    return [torch.stack(outputs, 1), *leaves], last.slots, reach


def rolled_back(memory: Tensor, kept: Sequence[_Step]) -> Iterator[tuple[_Step, Tensor]]:
    """Every step from the last to the first, and the rows that it read; on the way the memory is put back, in place."""
    for step in reversed(kept):
        seen = take_rows(memory, step.found.flatten(1))
        put_rows_(memory, step.slots, step.old)
        yield step, seen


class _Sequence(torch.autograd.Function):
    """(cell, a state, lengths, names of parameters, whether to keep, input, state's tensors, parameters) to `run`'s."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, layout: State, lengths: Tensor | None, names: Sequence[str], keep: bool, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        input, *rest = tensors
        leaves = rest[: len(rest) - len(names)]
        kept: list[_Step] = []
        results, slots, ctx.reach = run(cell, input, with_leaves(layout, leaves), lengths, kept if keep else None)
        ctx.set_materialize_grads(False)
        if not ctx.needs_input_grad[5 + len(leaves)]:
            ctx.mark_non_differentiable(results[-1])
        ctx.cell, ctx.names = cell, names
        # All that is large is saved with the graph, and so goes with it.
        ctx.steps = [map_state(lambda one: one.new_empty(0), step) for step in kept[:1]] * len(kept)
        ctx.save_for_backward(*tensors, results[-3], slots, lengths, *state_tensors(tuple(kept)))
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        needed, saved = ctx.needs_input_grad[5:], iter(ctx.saved_tensors)
        *tensors, memory, slots, lengths = islice(saved, len(needed) + 3)
        found: Sequence[Tensor | None]
        if build.wants_plain_gradients(gradients):
            plain = partial(build.unroll_plainly, ctx.cell, lengths, ctx.names)
            found = build.plain_gradients(plain, tensors, gradients, needed)
        else:
            kept = with_leaves(ctx.steps, saved)
            apart = [one.detach().requires_grad_(need) for one, need in zip(tensors, needed, strict=True)]
            count = len(apart) - len(ctx.names)
            named = {f"cell.{name}": one for name, one in zip(ctx.names, apart[count:], strict=True)}
            d_output, *d_controller, d_reads, d_last, d_every, d_age = gradients
            reached = memory[:, : ctx.reach].clone(memory_format=torch.contiguous_format)
            d_memory = torch.zeros_like(reached) if d_last is None else d_last[:, : ctx.reach].clone()
            d_weights = None if d_every is None else d_every.gather(-1, slots)
            active = _active(lengths, len(kept))
            given = (kept, active, reached, apart[0], apart[count:])
            with torch.enable_grad():
                d_last_state = [*d_controller, d_reads, d_memory, d_weights]
                found = functional_call(_Back(ctx.cell), named, (*given, d_output, d_last_state))
            first = count - 3  # of memory, weights and age
            d_first = found[first + 1]
            read = None if d_first is None else Entries(kept[0].last.slots, d_first)
            went = steps_gone(lengths, len(kept))
            whole = first_gradients(needed[first : first + 2], (d_last, d_every), memory, d_memory, read, went)
            found = [*found[:first], *whole, age_gradient(d_age, went), *found[first + 3 :]]
        return None, None, None, None, None, *found


class _Back(Module):
    """The backward pass of a cell over time, for functional_call with the parameters that it ran with."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self,
        kept: Sequence[_Step],
        active: Sequence[Tensor | None],
        memory: Tensor,
        input: Tensor,
        parameters: Sequence[Tensor],
        d_output: Tensor | None,
        d_last: Sequence[Tensor | None],
    ) -> list[Any]:
        """Gradients of the input, the first state's tensors, and the parameters.

        active: of every step which rows of the batch went on, None for all.
        memory: the last one, as far as it was reached, which is rolled back.
        d_last: of the last state's tensors but the age, those of the memory as far as it was reached, in which those of
                the first will stand, and those of the read weights at the slots that were read last alone.
        """
        cell: Any = self.cell
        *d_controller, d_reads, d_memory, d_weights = d_last
        assert d_memory is not None
        # What comes of input and parameters alone is differentiated once, at the end.
        parts, shared = cell.project(input), cell.shared()
        once = [*parts, *_flat(shared)]
        steps, shared = list(_by_step([part.detach() for part in parts])), _nested(_leaf, shared)
        d_steps: list[Sequence[Tensor | None]] = []
        d_many: list[Tensor | None] = [None] * (len(_flat(shared)) + len(parameters))
        for (step, seen), going in zip(rolled_back(memory, kept), reversed(active), strict=True):
            now = tuple(_leaf(one) for one in steps[-1 - len(d_steps)])
            controller = map_state(_leaf, step.controller)
            last = Read(step.last.slots, _leaf(step.last.weights), _leaf(step.last.vectors))
            rows = _Replayed(step, going, _leaf(step.old), _leaf(seen))
            hidden, after = cell.controlled(together(now, shared), controller, last.vectors)
            output, read, _ = cell.access(hidden, last, rows)
            after, read = _where(going, (after, read), (controller, last))
            d_now = None if d_output is None else d_output[:, len(steps) - 1 - len(d_steps)]
            d_new = take_rows(d_memory, step.slots)
            carried = [*state_tensors(controller), last.vectors, last.weights, rows.old, rows.seen]
            found = _gradients(
                [output, *state_tensors(after), read.vectors, read.weights, rows.new],
                [d_now, *d_controller, d_reads, d_weights, d_new],
                [*now, *carried, *_flat(shared), *parameters],
            )
            d_step, d_carried = found[: len(now)], found[len(now) : len(now) + len(carried)]
            *d_controller, d_reads, d_weights, d_old, d_seen = d_carried
            d_steps.append(d_step)
            d_many = [_sum(*one) for one in zip(d_many, found[len(now) + len(carried) :], strict=True)]
            # Rows that were not written, because their sequence had ended, keep their gradient.
            put_rows_(d_memory, step.slots, _where(going, torch.zeros_like(d_new), d_new))
            for slots, more in ((step.slots, d_old), (step.found.flatten(1), d_seen)):
                if more is not None:
                    add_rows_(d_memory, slots, more)
        d_parts = [_stacked(one[::-1]) for one in zip(*d_steps, strict=True)]
        of_steps = len(once) - len(parts)
        d_input, *d_once = _gradients(once, [*d_parts, *d_many[:of_steps]], [input, *parameters])
        d_parameters = [_sum(*one) for one in zip(d_many[of_steps:], d_once, strict=True)]
        return [d_input, *d_controller, d_reads, d_memory, d_weights, None, *d_parameters]


def _gradients(
    outputs: Sequence[Tensor], given: Sequence[Tensor | None], leaves: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients of leaves from those of outputs, None where there is none."""
    pairs = zip(outputs, given, strict=True)
    reached = [(one, gradient) for one, gradient in pairs if one.requires_grad and gradient is not None]
    if not reached:
        return [None] * len(leaves)
    wanted = [one for one in leaves if one.requires_grad]
    ends, gradients = zip(*reached, strict=True)
    found = iter(torch.autograd.grad(ends, wanted, gradients, allow_unused=True))
    return [next(found) if one.requires_grad else None for one in leaves]


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _stacked(steps: Sequence[Tensor | None]) -> Tensor | None:
    """The gradients of all steps, (batch, time, units); the same steps have one for every row."""
    some = next((one for one in steps if one is not None), None)
    return None if some is None else torch.stack([torch.zeros_like(some) if one is None else one for one in steps], 1)


def _nested(function: Any, shared: Any) -> Any:
    """What steps share, see Cell.shared, through a function of tensors."""
    if shared is None or isinstance(shared, Tensor):
        return None if shared is None else function(shared)
    return tuple(_nested(function, one) for one in shared)


def _flat(shared: Any) -> list[Tensor]:
    """The tensors that steps share."""
    found: list[Tensor] = []
    _nested(found.append, shared)
    return found


def _by_step(parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(part.unbind(1) for part in parts), strict=True)


def _active(lengths: Tensor | None, steps: int) -> list[Tensor | None]:
    """Which rows of the batch go on at each step, None for all."""
    if lengths is None:
        return [None] * steps
    shortest = int(lengths.min())
    return [None if time < shortest else lengths > time for time in range(steps)]


def _where(active: Tensor | None, yes: State, no: State) -> State:
    """Per row of the batch, `yes` where it goes on, else `no`."""
    return yes if active is None else select_rows(active, yes, no)
