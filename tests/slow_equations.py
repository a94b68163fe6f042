"""The papers' equations as slow loops over single numbers, written from the papers and sharing nothing with memnet.

Arrays have no batch axis: one sequence, and in the first part one head, at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def similarity(u: Array, v: Array) -> float:
    """Graves et al. 2014, eq. 6; 0 where a vector is zero."""
    dot = sum(float(u[k]) * float(v[k]) for k in range(len(u)))
    norms = math.sqrt(sum(float(x) ** 2 for x in u)) * math.sqrt(sum(float(x) ** 2 for x in v))
    return dot / norms if norms > 0 else 0.0


def by_content(memory: Array, key: Array, strength: float) -> Array:
    """Eq. 5 over the slots of memory (slot, width)."""
    scores = [math.exp(strength * similarity(key, memory[i])) for i in range(len(memory))]
    return np.array([score / sum(scores) for score in scores])


def interpolated(content: Array, previous: Array, gate: float) -> Array:
    """Eq. 7."""
    return np.array([gate * content[i] + (1 - gate) * previous[i] for i in range(len(content))])


def shifted(weights: Array, shares: Mapping[int, float]) -> Array:
    """Eq. 8: w~(i) = sum_j w(j) s(i - j), where s is given as {offset: share} and indices wrap around."""
    slots = len(weights)
    result = np.zeros(slots)
    for i in range(slots):
        for j in range(slots):
            for offset, share in shares.items():
                if (i - j - offset) % slots == 0:
                    result[i] += weights[j] * share
    return result


def sharpened(weights: Array, gamma: float) -> Array:
    """Eq. 9, for gammas small enough that no power underflows."""
    powers = [float(weight) ** gamma for weight in weights]
    return np.array([power / sum(powers) for power in powers])


def sharpened_exactly(weights: Array, gamma: int) -> Array:
    """Eq. 9 for whole gammas in fractions of integers: nothing underflows and nothing is rounded before the end."""
    powers = [Fraction(float(weight)) ** gamma for weight in weights]
    total = sum(powers)
    return np.array([float(power / total) for power in powers])


def read(memory: Array, weights: Array) -> Array:
    """Eq. 2."""
    slots, width = memory.shape
    return np.array([sum(weights[i] * memory[i, k] for i in range(slots)) for k in range(width)])


def written(memory: Array, weights: Array, erase: Array, add: Array) -> Array:
    """Eqs. 3 and 4 for weights (head, slot), erase and add (head, width): every head erases, then every head adds."""
    return added(erased(memory, weights, erase), weights, add)


def erased(memory: Array, weights: Array, erase: Array) -> Array:
    """Eq. 3."""
    result = memory.copy()
    for i in range(memory.shape[0]):
        for k in range(memory.shape[1]):
            for head in range(len(weights)):
                result[i, k] *= 1 - weights[head, i] * erase[head, k]
    return result


def added(memory: Array, weights: Array, add: Array) -> Array:
    """Eq. 4."""
    result = memory.copy()
    for i in range(memory.shape[0]):
        for k in range(memory.shape[1]):
            for head in range(len(weights)):
                result[i, k] += weights[head, i] * add[head, k]
    return result


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def softmax(x: Array) -> Array:
    powers = [math.exp(value) for value in x]
    return np.array([power / sum(powers) for power in powers])


class Layer:
    """One recurrent layer, one unit at a time; the gates' order within the weights is that of torch.nn."""

    def __init__(self, kind: str, weights: Mapping[str, Array]) -> None:
        self.kind, self.weights = kind, weights
        gates = {"feedforward": 1, "rnn-tanh": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}[kind]
        self.units = len(weights["weight_ih"]) // gates
        self.hidden = np.zeros(self.units)
        self.cell = np.zeros(self.units)

    def step(self, x: Array) -> Array:
        new = [self._unit(x, unit) for unit in range(self.units)]
        self.hidden = np.array([hidden for hidden, _ in new])
        self.cell = np.array([cell for _, cell in new])
        return self.hidden

    def _unit(self, x: Array, unit: int) -> tuple[float, float]:
        before = float(self.hidden[unit])
        if self.kind == "feedforward":
            return math.tanh(self._from_input(x, unit)), 0.0
        if self.kind == "rnn-tanh":
            return math.tanh(self._from_input(x, unit) + self._from_hidden(unit)), 0.0
        if self.kind == "rnn-relu":
            return max(0.0, self._from_input(x, unit) + self._from_hidden(unit)), 0.0
        rows = [unit + gate * self.units for gate in range(4)]
        if self.kind == "gru":
            reset = sigmoid(self._from_input(x, rows[0]) + self._from_hidden(rows[0]))
            update = sigmoid(self._from_input(x, rows[1]) + self._from_hidden(rows[1]))
            new = math.tanh(self._from_input(x, rows[2]) + reset * self._from_hidden(rows[2]))
            return (1 - update) * new + update * before, 0.0
        enter, keep, candidate, leave = (self._from_input(x, row) + self._from_hidden(row) for row in rows)
        cell = sigmoid(keep) * float(self.cell[unit]) + sigmoid(enter) * math.tanh(candidate)
        return sigmoid(leave) * math.tanh(cell), cell

    def _from_input(self, x: Array, row: int) -> float:
        return float(np.dot(self.weights["weight_ih"][row], x) + self.weights["bias_ih"][row])

    def _from_hidden(self, row: int) -> float:
        bias = self.weights["bias_hh"][row] if "bias_hh" in self.weights else 0.0
        return float(np.dot(self.weights["weight_hh"][row], self.hidden) + bias)


class SlowNTM:
    """A Neural Turing Machine on one sequence; starts on slot 0 with every slot of the memory the same.

    weights: the state_dict of memnet.NTM as arrays. The state is in memory, read_weights, write_weights and reads.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        *,
        controller: str,
        num_layers: int,
        num_slots: int,
        slot_size: int,
        num_reads: int,
        num_writes: int,
        shift_range: int,
        addressing: str,
        read_order: str,
    ) -> None:
        self.weights = weights
        prefixes = [f"cell.controller.layers.{n}." for n in range(num_layers)]
        if num_layers == 1:
            prefixes = ["cell.controller."]
        self.layers = [Layer(controller, below(weights, prefix)) for prefix in prefixes]
        self.slot_size, self.num_reads, self.num_writes = slot_size, num_reads, num_writes
        self.offsets = range(-shift_range, shift_range + 1)
        self.addressing, self.read_order = addressing, read_order
        self.memory = np.stack([weights["cell.initial_memory"][0]] * num_slots)
        start = np.array([1.0] + [0.0] * (num_slots - 1))
        self.read_weights = np.stack([start] * num_reads)
        self.write_weights = np.stack([start] * num_writes)
        self.reads = np.zeros((num_reads, slot_size))

    def step(self, x: Array) -> Array:
        hidden = np.concatenate([x, *self.reads])
        for layer in self.layers:
            hidden = layer.step(hidden)
        self._operate_heads(hidden)
        seen = np.concatenate([hidden, *self.reads])
        matrix, bias = self.weights["readout.weight"], self.weights["readout.bias"]
        return np.array([np.dot(matrix[k], seen) + bias[k] for k in range(len(bias))])

    def _operate_heads(self, hidden: Array) -> None:
        """The parameters of one kind lie together for all heads, read heads first, in the paper's order."""
        matrix, bias = self.weights["cell.heads.weight"], self.weights["cell.heads.bias"]
        emitted = [float(np.dot(matrix[k], hidden) + bias[k]) for k in range(len(bias))]

        def take(count: int) -> Array:
            taken = np.array(emitted[:count])
            del emitted[:count]
            return taken

        heads = range(self.num_reads + self.num_writes)
        content, location = self.addressing != "location", self.addressing != "content"
        keys = [np.tanh(take(self.slot_size)) for _ in heads if content]
        strengths = [softplus(take(1)[0]) for _ in heads if content]
        gates = [sigmoid(take(1)[0]) for _ in heads if content and location]
        shifts = [softmax(take(len(self.offsets))) for _ in heads if location]
        gammas = [1 + softplus(take(1)[0]) for _ in heads if location]
        erase = np.array([[sigmoid(x) for x in take(self.slot_size)] for _ in range(self.num_writes)])
        add = np.array([np.tanh(take(self.slot_size)) for _ in range(self.num_writes)])
        assert not emitted

        previous = [*self.read_weights, *self.write_weights]
        weights = []
        for head in heads:
            weighting = previous[head]
            if content:
                found = by_content(self.memory, keys[head], strengths[head])
                weighting = interpolated(found, weighting, gates[head]) if location else found
            if location:
                weighting = shifted(weighting, dict(zip(self.offsets, shifts[head], strict=True)))
                weighting = sharpened(weighting, gammas[head])
            weights.append(weighting)
        self.read_weights, self.write_weights = np.array(weights[: self.num_reads]), np.array(weights[self.num_reads :])

        before = self.memory
        self.memory = written(before, self.write_weights, erase, add)
        readable = {"after-write": self.memory, "before-write": before}[self.read_order]
        self.reads = np.array([read(readable, weighting) for weighting in self.read_weights])


def below(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The entries whose names begin with prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
