"""The story models' equations as slow loops over single numbers, written from the papers; nothing shared with memnet.

One story and one question at a time: lists of word ids without padding, oldest sentence first. Weights are state_dicts
as arrays, in which word w has row w - 1 and nil has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Words = Sequence[int]


def paper_weight(k: int, j: int, d: int, J: int) -> float:
    """l_kj as printed by Sukhbaatar et al. 2015, section 4.1."""
    return (1 - j / J) - (k / d) * (1 - 2 * j / J)


def facebook_weight(k: int, j: int, d: int, J: int) -> float:
    """l_kj of the original Matlab code."""
    return 1 + 4 * (k - (d + 1) / 2) * (j - (J + 1) / 2) / (d * J)


def softmax(scores: Sequence[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def dot(one: Sequence[float] | Array, other: Sequence[float] | Array) -> float:
    return sum(float(a) * float(b) for a, b in zip(one, other, strict=True))


def times(matrix: Array, vector: Sequence[float] | Array) -> Array:
    return np.array([dot(row, vector) for row in matrix])


def row_of(table: Array, word: int) -> Array:
    return np.zeros(table.shape[1]) if word == 0 else table[word - 1]


def encoded(table: Array, words: Words, encoding: str, max_words: int, time_word: int | None = None) -> Array:
    """sum_j l_j A x_j, with the time word in the last of max_words + 1 places (facebook) or added as it is (paper)."""
    width = table.shape[1]
    result = np.zeros(width)
    for k in range(1, width + 1):
        for j, word in enumerate(words, 1):
            weight = {
                "bag-of-words": 1.0,
                "position-paper": paper_weight(k, j, width, len(words)),
                "position-facebook": facebook_weight(k, j, width, max_words + 1),
            }[encoding]
            result[k - 1] += weight * row_of(table, word)[k - 1]
        if time_word is not None:
            last = facebook_weight(k, max_words + 1, width, max_words + 1)
            result[k - 1] += (last if encoding == "position-facebook" else 1.0) * row_of(table, time_word)[k - 1]
    return result


def memn2n(
    weights: Mapping[str, Array],
    story: Sequence[Words],
    question: Words,
    *,
    vocab_size: int,
    max_words: int,
    num_hops: int,
    tying: str,
    encoding: str,
    max_sentences: int,
    nonlinearity: str | None,
    mask_empty: bool,
    linear_start: bool,
    ages: Sequence[int] | None = None,
) -> tuple[Array, list[list[float]]]:
    """Logits, and of every hop the attention over the sentences in memory (Sukhbaatar et al. 2015, eqs. 1-4)."""
    story = list(story)[-max_sentences:]
    if ages is None:
        ages = [len(story) - index for index in range(len(story))]
    if tying == "adjacent":
        tables = [weights[f"embeddings.{index}.weight"] for index in range(num_hops + 1)]
        As, Cs, B, W, H = tables[:-1], tables[1:], tables[0], tables[-1], np.eye(tables[0].shape[1])
    else:
        As, Cs = ([weights[f"embeddings.{index}.weight"]] * num_hops for index in (0, 1))
        B, W, H = weights["question.weight"], weights["answer.weight"], weights["update"]

    u = encoded(B, question, encoding, max_words)
    attention = []
    for A, C in zip(As, Cs, strict=True):
        time_words = [vocab_size + age - 1 for age in ages]
        m = [encoded(A, words, encoding, max_words, time) for words, time in zip(story, time_words, strict=True)]
        c = [encoded(C, words, encoding, max_words, time) for words, time in zip(story, time_words, strict=True)]
        if not mask_empty:
            m += [np.zeros(len(u))] * (max_sentences - len(story))
            c += [np.zeros(len(u))] * (max_sentences - len(story))
        scores = [dot(u, vector) for vector in m]
        p = scores if linear_start else softmax(scores)
        o = [sum(p[i] * c[i][k] for i in range(len(c))) for k in range(len(u))]
        u = times(H, u) + np.array(o)
        if nonlinearity == "relu":
            u = np.array([max(0.0, float(x)) for x in u])
        attention.append(list(p[: len(story)]))
    return np.array([dot(row_of(W, word), u) for word in range(vocab_size)]), attention


def key_value_reads(
    query: Array, keys: Sequence[Array], values: Sequence[Array], rotations: Sequence[Array]
) -> tuple[Array, list[list[float]], list[Array]]:
    """The last query, and attention and read of every hop (Miller et al. 2016, section 3.1)."""
    attention, reads = [], []
    for rotation in rotations:
        p = softmax([dot(query, key) for key in keys]) if len(keys) else []
        o = np.zeros(len(query))
        for share, value in zip(p, values, strict=True):
            o = o + share * value
        query = times(rotation, query + o)
        attention.append(p)
        reads.append(o)
    return query, attention, reads


def key_value_network(
    weights: Mapping[str, Array],
    story: Sequence[Words],
    question: Words,
    *,
    vocab_size: int,
    max_words: int,
    num_hops: int,
    memories: str,
    window: int,
    encoding: str,
    tables: str,
    max_sentences: int,
    with_times: bool,
) -> tuple[Array, list[list[float]]]:
    """Logits, and of every hop the attention over the slots of the sentences in memory."""
    story = list(story)[-max_sentences:]
    which = {"shared": (0, 0, 0), "separate": (0, 1, 2)}[tables]
    key_table, value_table, answers = (weights[f"words.{index}.weight"] for index in which)
    keys, values = [], []
    for index, words in enumerate(story):
        age = len(story) - index
        if memories == "sentence":
            slots = [(encoded(t, words, encoding, max_words) for t in (key_table, value_table))]
        else:
            reach = range(-(window // 2), window // 2 + 1)
            slots = []
            for center in range(len(words)):
                around = [words[center + step] for step in reach if 0 <= center + step < len(words)]
                slots.append((sum(row_of(key_table, word) for word in around), row_of(value_table, words[center])))
        for key, value in slots:
            key_age = weights["ages.0.weight"][age - 1] if with_times else 0
            value_age = weights[f"ages.{min(which[1], 1)}.weight"][age - 1] if with_times else 0
            keys.append(key + key_age)
            values.append(value + value_age)
    query = encoded(key_table, question, encoding, max_words)
    rotations = [weights[f"memory.rotations.{hop}"] for hop in range(num_hops)]
    query, attention, _ = key_value_reads(query, keys, values, rotations)
    return np.array([dot(row_of(answers, word), query) for word in range(vocab_size)]), attention


def prelu(x: Array, slopes: Array) -> Array:
    return np.array([value if value > 0 else slope * value for value, slope in zip(x, slopes, strict=True)])


def entity_step(
    weights: Mapping[str, Array], memories: Array, sentence: Array, unit: bool
) -> tuple[Array, list[float]]:
    """Memories (slot, width) and gates after one sentence (Henaff et al. 2017, eqs. 2-5)."""
    gates, after = [], []
    for slot, h in enumerate(memories):
        w = weights["keys"][slot]
        bias = float(weights["gate_bias"][slot]) if "gate_bias" in weights else 0.0
        gate = 1 / (1 + math.exp(-(dot(sentence, h) + dot(sentence, w) + bias)))
        candidate = times(weights["from_memory.weight"], h) + weights["from_memory.bias"]
        candidate = candidate + times(weights["from_key.weight"], w) + times(weights["from_sentence.weight"], sentence)
        new = h + gate * prelu(candidate, weights["activation.weight"])
        norm = math.sqrt(dot(new, new))
        gates.append(gate)
        after.append(new / (norm if unit and norm > 0 else 1.0))
    return np.array(after), gates


def entnet(
    weights: Mapping[str, Array],
    story: Sequence[Words],
    question: Words,
    *,
    vocab_size: int,
    tied: Sequence[int],
    unit: bool,
    max_sentences: int,
) -> tuple[Array, list[list[float]], Array]:
    """Logits, the gates of every sentence read, and the last memories (Henaff et al. 2017, sections 2.1-2.3)."""
    cell = {name.removeprefix("memory.cell."): array for name, array in weights.items() if "cell" in name}
    untied = [word for word in range(1, vocab_size) if word not in tied]

    def vector(word: int) -> Array:
        return cell["keys"][list(tied).index(word)] if word in tied else weights["words.weight"][untied.index(word)]

    def bag(words: Words, mask: Array) -> Array:
        return sum((mask[place] * vector(word) for place, word in enumerate(words)), np.zeros(mask.shape[1]))

    memories, gates = cell["keys"], []
    for words in list(story)[-max_sentences:]:
        memories, opened = entity_step(cell, memories, bag(words, weights["sentence_mask"]), unit)
        gates.append(opened)
    q = bag(question, weights["question_mask"])
    p = softmax([dot(q, h) for h in memories])
    u = sum(share * h for share, h in zip(p, memories, strict=True))
    y = prelu(q + times(weights["from_read.weight"], u), cell["activation.weight"])
    return np.array([dot(row_of(weights["answers.weight"], word), y) for word in range(vocab_size)]), gates, memories
