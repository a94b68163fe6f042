"""Memories that bind keys to values as slow loops over single numbers, written from the papers.

They share nothing with memnet. One sequence; a memory S is as in the papers, (value, key), and of one head. Layers run
from an empty memory over inputs (time, feature), with weights as arrays by the names of a state_dict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.slow_equations import Array

Weights = Mapping[str, Array]


def parts(vector: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """A vector's numbers, one shape after the other."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    assert ends[-1] == len(vector)
    return [one.reshape(shape) for one, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True)]


def sigmoid(x: Array) -> Array:
    return np.array(1 / (1 + np.exp(-x)))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def softplus(x: Array) -> Array:
    return np.array(np.log(1 + np.exp(x)))


def of_length_one(x: Array) -> Array:
    return np.array(x / np.sqrt(sum(x**2) + 1e-6))


def normed(x: Array, eps: float = 1e-5, *, centered: bool = False) -> Array:
    x = x - np.mean(x) * centered
    return np.array(x / np.sqrt(np.mean(x**2) + eps))


def delta(
    memory: Array, query: Array, keys: Array, values: Array, strengths: Array, decay: Array, *, erases: bool = True
) -> tuple[Array, Array]:
    """A token of the (gated) delta rule, or of a sum: keys (factor, key), values (factor, value), decay (key,)."""
    memory = np.array(memory)
    rows, columns = memory.shape
    for i in range(rows):
        for j in range(columns):
            memory[i, j] *= decay[j]
    for key, value, strength in zip(keys, values, strengths, strict=True):
        for i in range(rows):
            found = sum(memory[i, j] * key[j] for j in range(columns)) if erases else 0.0
            for j in range(columns):
                memory[i, j] += strength * (value[i] - found) * key[j]
    return np.array([sum(memory[i, j] * query[j] for j in range(columns)) for i in range(rows)]), memory


def buckets(time: int) -> list[tuple[int, range]]:
    """The past of token `time` as a Fenwick tree has it, as (level, tokens): itself, then ever larger powers of two."""
    found, end = [(0, range(time, time + 1))], time
    while end:
        size = 1
        while end % (2 * size) == 0:
            size *= 2
        found.append((size.bit_length(), range(end - size, end)))
        end -= size
    return found


def by_levels(read_of: Callable[[range], Array], time: int, scales: Array) -> Array:
    """What token `time` reads from the bucket of every level by itself, the last level's from all that is older.

    read_of: what is read of a memory to which these tokens alone wrote, and which all of them decayed and corrected.
    """
    return np.array(sum(scales[min(level, len(scales) - 1)] * read_of(tokens) for level, tokens in buckets(time)))


def convolved(inputs: Array, weights: Array, bias: Array | None = None, *, straight: int = 0) -> Array:
    """silu of a causal convolution, without silu of the last: inputs (time, channel), weights (channel, size)."""
    size = weights.shape[1]
    found = np.zeros_like(inputs)
    for t in range(len(inputs)):
        for c in range(inputs.shape[1]):
            total = sum(weights[c, j] * inputs[t - size + 1 + j, c] for j in range(size) if t - size + 1 + j >= 0)
            total += 0.0 if bias is None else bias[c]
            found[t, c] = total if c >= inputs.shape[1] - straight else total / (1 + math.exp(-total))
    return found


def gelu(x: Array) -> Array:
    return np.array(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def network(layers: list[Array], norm: tuple[Array, Array] | None, vector: Array) -> Array:
    """What a network that learns makes of one vector; layers have a last row where they have biases."""
    hidden = vector
    for place, layer in enumerate(layers):
        hidden = gelu(hidden) if place else hidden
        hidden = (hidden if len(layer) == len(hidden) else np.append(hidden, 1.0)) @ layer
    return hidden if norm is None else vector + norm[0] * normed(hidden, 1e-6, centered=True) + norm[1]


def finite_difference(function: Callable[[Array], float], at: Array, step: float = 1e-6) -> Array:
    """The gradient of a function of an array."""
    found = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        above, below = np.array(at), np.array(at)
        above[index] += step
        below[index] -= step
        found[index] = (function(above) - function(below)) / (2 * step)
    return found


def mlstm(
    cell: Array, normalizer: Array, query: Array, key: Array, value: Array, gates: tuple[float, float]
) -> tuple[Array, Array, Array]:
    """A step of mLSTM (Beck et al. 2024, eqs. 19 to 21) as it stands: C (value, key), n (key,), gates i and f."""
    rows, columns = cell.shape
    i_gate, f_gate = gates
    after = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            after[i, j] = f_gate * cell[i, j] + i_gate * value[i] * key[j]
    sums = np.array([f_gate * normalizer[j] + i_gate * key[j] for j in range(columns)])
    divisor = max(abs(sum(sums[j] * query[j] for j in range(columns))), 1.0)
    read = [sum(after[i, j] * query[j] for j in range(columns)) / divisor for i in range(rows)]
    return np.array(read), after, sums


def state_space(
    state: Array, value: Array, write: Array, read: Array, interval: float, rate: float
) -> tuple[Array, Array]:
    """A step of a head of Mamba-2 without D: S (value, state)."""
    rows, columns = state.shape
    kept = math.exp(-rate * interval)
    after = np.array(
        [[kept * state[i, j] + interval * value[i] * write[j] for j in range(columns)] for i in range(rows)]
    )
    return np.array([sum(after[i, j] * read[j] for j in range(columns)) for i in range(rows)]), after


def rwkv7(
    memory: Array, receptance: Array, decay: Array, removal: Array, rate: Array, key: Array, value: Array
) -> tuple[Array, Array]:
    """A step of RWKV-7's memory, S (value, key): S (Diag(w) - kappa^T (a kappa)) + v^T k."""
    rows, columns = memory.shape
    after = np.zeros((rows, columns))
    for i in range(rows):
        found = sum(memory[i, j] * removal[j] for j in range(columns))
        for j in range(columns):
            after[i, j] = memory[i, j] * decay[j] - found * rate[j] * removal[j] + value[i] * key[j]
    return np.array([sum(after[i, j] * receptance[j] for j in range(columns)) for i in range(rows)]), after


# ------------------------------------------------------------------------------------------------- whole layers


def delta_layer(
    w: Weights,
    inputs: Array,
    *,
    num_heads: int,
    key_size: int,
    value_size: int,
    num_factors: int,
    rule: str,
    decay: str,
    strength: str,
    features: str,
    output_gate: bool,
    num_levels: int,
    convolved_strength: bool,
) -> Array:
    """Linear attention, DeltaNet, Gated DeltaNet, Kimi Delta Attention, DeltaProduct."""
    emitted = inputs @ w["projection.weight"].T
    vectors_end = num_heads * (key_size + num_factors * (key_size + value_size))
    straight = num_heads * num_factors * convolved_strength
    rates = {"none": 0, "head": 1, "channel": key_size}[decay]
    erases, elu = rule == "delta", features == "elu"
    empty = np.zeros((value_size + elu, key_size))
    memories, tokens = [empty] * num_heads, [[] for _ in range(num_heads)]
    outputs: list[Array] = []
    channels = vectors_end + straight
    seen = convolved(emitted[:, :channels], w["convolution.weight"][:, 0], straight=straight)
    # Strengths, convolved or not, stand before decays and gates.
    numbers_of = np.concatenate([seen[:, vectors_end:], emitted[:, channels:]], 1)
    for vectors, numbers in zip(seen[:, :vectors_end], numbers_of, strict=True):
        queries, keys, values = parts(
            vectors, (num_heads, key_size), (num_factors, num_heads, key_size), (num_factors, num_heads, value_size)
        )
        betas, steps, gates, scales = parts(
            numbers,
            (num_factors * erases, num_heads),
            (num_heads, rates),
            (num_heads * output_gate, value_size),
            (num_heads, num_levels),
        )
        found = []
        for h in range(num_heads):
            query, key, value, kept = queries[h], keys[:, h], values[:, h], np.ones(key_size)
            if elu:
                query, key = (np.where(one > 0, 1 + one, np.exp(one)) for one in (query, key))
                value = np.concatenate([value, np.ones((num_factors, 1))], 1)
            else:
                query = of_length_one(query) / math.sqrt(key_size)
                key = np.array([of_length_one(one) for one in key])
            beta = sigmoid(betas[:, h]) if erases else np.ones(num_factors)
            if strength == "twice":
                beta = 2 * beta
            elif strength in ("hard", "closed"):
                beta = (1 + (strength == "closed")) * np.minimum(np.maximum(1.1 * beta - 0.05, 0), 1)
            if rates:
                kept = kept * np.exp(-np.exp(w["log_rate"][h]) * softplus(steps[h] + w["decay_bias"][h]))
            if num_levels:
                tokens[h].append((query, key, value, beta, kept))

                def read_of(written: range, seen: list[Any] = tokens[h]) -> Array:
                    memory = empty
                    for place, (query, key, value, beta, kept) in enumerate(seen):
                        told = value if place in written else 0 * value
                        read, memory = delta(memory, query, key, told, beta, kept, erases=erases)
                    return read

                read = by_levels(read_of, len(outputs), softplus(w["level_rate"][h] * scales[h]))
            else:
                read, memories[h] = delta(memories[h], query, key, value, beta, kept, erases=erases)
            read = normed(read[:-1] / (read[-1] + 1e-6) if elu else read) * w["norm_weight"]
            if output_gate:
                read = read * (sigmoid(gates[h]) if decay == "channel" else silu(gates[h]))
            found.append(read)
        outputs.append(w["output.weight"] @ np.concatenate(found))
    return np.array(outputs)


def mamba_layer(
    w: Weights,
    inputs: Array,
    *,
    num_heads: int,
    head_size: int,
    state_size: int,
    num_groups: int,
    rotation: bool,
    num_levels: int,
) -> Array:
    """Mamba-2: heads that follow one another are of one group. With rotation keys are complex numbers, turned."""
    emitted = inputs @ w["projection.weight"].T
    channels = num_heads * head_size + 2 * num_groups * state_size
    empty = np.zeros((head_size, state_size))
    states, tokens = [empty] * num_heads, [[] for _ in range(num_heads)]
    half = state_size // 2 * rotation
    angles = np.zeros((num_heads, half))
    outputs: list[Array] = []
    seen = convolved(emitted[:, :channels], w["convolution.weight"][:, 0], w["convolution.bias"])
    for vectors, numbers in zip(seen, emitted[:, channels:], strict=True):
        values, writes, reads = parts(
            vectors, (num_heads, head_size), (num_groups, state_size), (num_groups, state_size)
        )
        gates, steps, turns, scales = parts(
            numbers, (num_heads, head_size), (num_heads,), (half,), (num_heads, num_levels)
        )
        found = []
        for h in range(num_heads):
            group, rate = h * num_groups // num_heads, math.exp(w["log_rate"][h, 0])
            interval = float(softplus(steps[h] + w["decay_bias"][h, 0]))
            angles[h] += math.pi * np.tanh(turns) * interval
            keys = [writes[group], reads[group]]
            if rotation:
                complexes = [(key[:half] + 1j * key[half:]) * np.exp(1j * angles[h]) for key in keys]
                keys = [np.concatenate([key.real, key.imag]) for key in complexes]
            if num_levels:
                tokens[h].append((values[h], keys[0], keys[1], interval, rate))

                def read_of(written: range, seen: list[Any] = tokens[h]) -> Array:
                    state = empty
                    for place, (value, *others) in enumerate(seen):
                        read, state = state_space(state, value if place in written else 0 * value, *others)
                    return read

                read = by_levels(read_of, len(outputs), softplus(w["level_rate"][h] * scales[h]))
            else:
                read, states[h] = state_space(states[h], values[h], keys[0], keys[1], interval, rate)
            found.append((read + w["skip"][h, 0] * values[h]) * silu(gates[h]))
        groups = np.concatenate(found).reshape(num_groups, -1)
        outputs.append(w["output.weight"] @ np.concatenate([normed(one) for one in groups] * w["norm_weight"]))
    return np.array(outputs)


def mlstm_layer(w: Weights, inputs: Array, *, num_heads: int, key_size: int, value_size: int, gate_cap: float) -> Array:
    """The mLSTM of xLSTM 7B, without its stabiliser; with a convolution where there are weights of one."""
    emitted = inputs @ w["projection.weight"].T
    channels = num_heads * (2 * key_size + value_size)
    seen = emitted[:, :channels]
    if "convolution.weight" in w:
        seen = convolved(seen, w["convolution.weight"][:, 0])
    cells = [np.zeros((value_size, key_size)) for _ in range(num_heads)]
    normalizers = [np.zeros(key_size) for _ in range(num_heads)]
    outputs = []
    for vectors, numbers in zip(seen, emitted[:, channels:], strict=True):
        queries, keys, values = parts(vectors, (num_heads, key_size), (num_heads, key_size), (num_heads, value_size))
        gates, shown = parts(numbers, (2, num_heads), (num_heads, value_size))
        gates = gates + w["gate_bias"]
        if gate_cap:
            gates = gate_cap * np.tanh(gates / gate_cap)
        found = []
        for h in range(num_heads):
            both = (math.exp(gates[0, h]), float(sigmoid(gates[1, h])))
            key = keys[h] / math.sqrt(key_size)
            read, cells[h], normalizers[h] = mlstm(cells[h], normalizers[h], queries[h], key, values[h], both)
            found.append(sigmoid(shown[h]) * normed(read, 1e-6, centered=True) * w["norm_weight"][h])
        outputs.append(w["output.weight"] @ np.concatenate(found))
    return np.array(outputs)


def rwkv7_layer(w: Weights, inputs: Array, *, num_heads: int, head_size: int) -> Array:
    """The first layer's time mixing of RWKV-7."""

    def low_rank(name: str, x: Array, function: Callable[[Array], Array]) -> Array:
        through = w[f"{name}.up.weight"] @ function(w[f"{name}.down.weight"] @ x) + w.get(f"{name}.up.bias", 0)
        return through.reshape(num_heads, head_size)

    def linear(name: str, x: Array) -> Array:
        return (w[f"{name}.weight"] @ x).reshape(num_heads, head_size)

    memories, last, outputs = [np.zeros((head_size, head_size))] * num_heads, np.zeros_like(inputs[0]), []
    for x in inputs:
        r, d, k, v, a, g = (x + mu * (last - x) for mu in w["shift"])
        last = x
        receptances, keys, values = linear("receptance", r), linear("key", k), linear("value", v)
        decays = np.exp(-math.exp(-0.5) * sigmoid(low_rank("decay", d, np.tanh)))
        rates, gates = sigmoid(low_rank("rate", a, np.array)), low_rank("gate", g, sigmoid)
        found = []
        for h in range(num_heads):
            removal = of_length_one(keys[h] * w["removal_scale"][h])
            key = keys[h] * (1 + (rates[h] - 1) * w["key_scale"][h])
            read, memories[h] = rwkv7(memories[h], receptances[h], decays[h], removal, rates[h], key, values[h])
            read = normed(read, head_size * 1e-5, centered=True) * w["norm_weight"][h] + w["norm_bias"][h]
            read = read + sum(receptances[h] * w["bonus"][h] * key) * values[h]
            found.append(read * gates[h])
        outputs.append(w["output.weight"] @ np.concatenate(found))
    return np.array(outputs)


def inner_layer(
    w: Weights, inputs: Array, *, num_heads: int, head_size: int, mini_batch: int, learning_rate: float
) -> Array:
    """TTT, or Titans, which has three numbers a head; along gradients that are found by differences."""
    titans, width = "number_bias" in w, num_heads * head_size
    emitted = inputs @ w["projection.weight"].T
    seen = emitted[:, : 3 * width]
    if "convolution.weight" in w:
        seen = convolved(seen, w["convolution.weight"][:, 0])
    names = sorted(name for name in w if name.startswith("layers."))
    starts = [[w[name][h] for name in names] for h in range(num_heads)]
    currents, carrieds, outputs = list(starts), [[0 * one for one in start] for start in starts], []
    for time, (vectors, numbers) in enumerate(zip(seen, emitted[:, 3 * width :], strict=True)):
        queries, keys, values = parts(vectors, *[(num_heads, head_size)] * 3)
        told, gates = parts(numbers, (3 if titans else 1, num_heads), (num_heads, head_size))
        told = sigmoid(told + w["number_bias" if titans else "rate_bias"])
        place, found = time % mini_batch, []
        for h in range(num_heads):
            query, key, value, start, norm = queries[h], keys[h], values[h], starts[h], None
            rate, momentum = learning_rate * told[0, h], 1.0
            if titans:
                query, key, momentum = of_length_one(query), of_length_one(key), told[1, h]
            else:
                rate, norm = rate / head_size, (w["inner_weight"][h, 0], w["inner_bias"][h, 0])
            for at, layer in enumerate(start):

                def loss(one: Array, at: int = at, start: list[Array] = start, told: Any = (key, value, norm)) -> float:
                    made = network([*start[:at], one, *start[at + 1 :]], told[2], told[0])
                    return float(sum((made - told[1]) ** 2) / 2)

                carrieds[h][at] = momentum * carrieds[h][at] - rate * finite_difference(loss, layer)
            if titans:
                currents[h] = [(1 - told[2, h]) * one + two for one, two in zip(currents[h], carrieds[h], strict=True)]
            else:
                factor = max(1 / (place + 1) + w["token_factors"][place], 0)
                currents[h] = [one + factor * two for one, two in zip(start, carrieds[h], strict=True)]
            read = network(currents[h], norm, query)
            found.append(normed(read) * w["norm_weight"] * silu(gates[h]) if titans else read)
            if place == mini_batch - 1:
                starts[h] = currents[h]
                carrieds[h] = carrieds[h] if titans else [0 * one for one in start]
        shown = np.concatenate(found)
        if not titans:
            shown = normed(shown, 1e-6, centered=True) * w["norm_weight"] + w["norm_bias"]
            shown = shown * gelu(gates.flatten())
        outputs.append(w["output.weight"] @ shown)
    return np.array(outputs)


def mesa_layer(
    w: Weights,
    inputs: Array,
    *,
    num_heads: int,
    key_size: int,
    value_size: int,
    least_ridge: float,
    output_gate: bool,
    linear_keys: bool,
) -> Array:
    """MesaNet, each step's system solved by elimination."""
    emitted, channels = inputs @ w["projection.weight"].T, 2 * num_heads * key_size
    covariances = [np.zeros((key_size, key_size)) for _ in range(num_heads)]
    products = [np.zeros((value_size, key_size)) for _ in range(num_heads)]
    outputs = []
    seen = convolved(emitted[:, :channels], w["convolution.weight"][:, 0], straight=channels * linear_keys)
    for vectors, others in zip(seen, emitted[:, channels:], strict=True):
        queries, keys = parts(vectors, (num_heads, key_size), (num_heads, key_size))
        values, numbers, gates = parts(
            others, (num_heads, value_size), (2, num_heads), (num_heads * output_gate, value_size)
        )
        kept, strengths = sigmoid(numbers + w["gate_bias"])
        found = []
        for h in range(num_heads):
            query, key = (one[h] if linear_keys else of_length_one(one[h]) for one in (queries, keys))
            covariances[h] = kept[h] * covariances[h] + strengths[h] * np.outer(key, key)
            products[h] = kept[h] * products[h] + strengths[h] * np.outer(values[h], key)
            ridge = np.diag(softplus(w["ridge"][h]) + least_ridge)
            read = products[h] @ np.linalg.solve(covariances[h] + ridge, query)
            if "norm_weight" in w:
                read = normed(read) * w["norm_weight"]
            found.append(read * silu(gates[h]) if output_gate else read)
        outputs.append(w["output.weight"] @ np.concatenate(found))
    return np.array(outputs)
