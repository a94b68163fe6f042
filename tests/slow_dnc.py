"""The DNC and its improvements as slow loops over single numbers, written from the papers, sharing nothing with memnet.

No batch axis: one sequence, one step at a time.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tests.slow_equations import Array, similarity


@dataclasses.dataclass
class SlowMemory:
    """What a memory carries: M, u, p (write head, slot), L (write head, slot, slot), last weightings of both heads."""

    memory: Array
    usage: Array
    precedence: Array
    links: Array
    reads: Array
    writes: Array


def masked_similarity(key: Array, row: Array, mask: Array) -> float:
    """The cosine of what the mask leaves of both."""
    return similarity(
        np.array([k * m for k, m in zip(key, mask, strict=True)]),
        np.array([r * m for r, m in zip(row, mask, strict=True)]),
    )


def by_content(memory: Array, key: Array, mask: Array, strength: float) -> Array:
    scores = [math.exp(strength * masked_similarity(key, row, mask)) for row in memory]
    return np.array([score / sum(scores) for score in scores])


def retained(free: Array, reads: Array) -> Array:
    """psi: for every slot the product over read heads."""
    psi = np.ones(reads.shape[1])
    for gate, weights in zip(free, reads, strict=True):
        for i, weight in enumerate(weights):
            psi[i] *= 1 - gate * weight
    return psi


def used(usage: Array, writes: Array, psi: Array) -> Array:
    """u_t; every write head uses of a slot what the others left of it."""
    result = np.array(usage)
    for weights in writes:
        for i, weight in enumerate(weights):
            result[i] = result[i] + weight - result[i] * weight
    return result * psi


def free_list(usage: Array) -> Array:
    """a: slots in the order of their usage, each taking what all before it left."""
    allocation, left = np.zeros(len(usage)), 1.0
    for i in sorted(range(len(usage)), key=lambda i: usage[i]):
        allocation[i] = (1 - usage[i]) * left
        left *= usage[i]
    return allocation


def sharpened(weights: Array, beta: float, epsilon: float = 1e-6) -> Array:
    powers = [(weight / (max(weights) + epsilon)) ** beta for weight in weights]
    return np.array([power / (sum(powers) + epsilon) for power in powers])


def step(state: SlowMemory, told: dict[str, Array], *, deallocate: bool, sharp: bool, linked: bool) -> SlowMemory:
    """One step from what the controller told: arrays by the names of Interface, without the batch."""
    slots, width = state.memory.shape
    psi = retained(told["free"][:, 0], state.reads)
    usage = used(state.usage, state.writes, psi)
    still = np.array(usage)
    writes = []
    for h, key in enumerate(told["write_key"]):
        gate, share = told["write_gate"][h, 0], told["allocation_gate"][h, 0]
        allocation = free_list(1e-6 + (1 - 1e-6) * still)
        content = by_content(state.memory, key, told["write_mask"][h], told["write_strength"][h, 0])
        writes.append(np.array([gate * (share * allocation[i] + (1 - share) * content[i]) for i in range(slots)]))
        still = np.array([still[i] + (1 - still[i]) * gate * share * allocation[i] for i in range(slots)])
    memory = np.array(state.memory)
    for i in range(slots):
        for k in range(width):
            if deallocate:
                memory[i, k] *= psi[i]
            for h, weights in enumerate(writes):
                memory[i, k] *= 1 - weights[i] * told["erase"][h, k]
            for h, weights in enumerate(writes):
                memory[i, k] += weights[i] * told["add"][h, k]
    links, precedence = np.array(state.links), np.array(state.precedence)
    if linked:
        for h, weights in enumerate(writes):
            for i in range(slots):
                for j in range(slots):
                    kept = (1 - weights[i] - weights[j]) * state.links[h, i, j]
                    links[h, i, j] = 0 if i == j else kept + weights[i] * state.precedence[h, j]
            precedence[h] = [(1 - sum(weights)) * state.precedence[h, i] + weights[i] for i in range(slots)]
    reads = []
    for r, key in enumerate(told["read_key"]):
        where = by_content(memory, key, told["read_mask"][r], told["read_strength"][r, 0])
        if linked:
            last, heads = state.reads[r], len(writes)
            modes = told["modes"][r]
            where = modes[heads] * where
            for h in range(heads):
                backward = np.array([sum(links[h, j, i] * last[j] for j in range(slots)) for i in range(slots)])
                forward = np.array([sum(links[h, i, j] * last[j] for j in range(slots)) for i in range(slots)])
                if sharp:
                    backward = sharpened(backward, told["backward_sharpness"][r, h])
                    forward = sharpened(forward, told["forward_sharpness"][r, h])
                where = where + modes[h] * backward + modes[heads + 1 + h] * forward
        reads.append(where)
    return SlowMemory(memory, usage, precedence, links, np.array(reads), np.array(writes))
