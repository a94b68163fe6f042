"""Texts made here: the Markov source against counting, and the grammar of the invented language."""

import itertools
import math
import re

import numpy as np
import pytest

from tasks.invented_text import InventedLanguage
from tasks.markov_text import MarkovSource


def block_entropy(source: MarkovSource, shares: dict[str, float], length: int) -> float:
    """Bits of so many letters together, over every string there is, from shares of the contexts."""
    bits = 0.0
    for letters in itertools.product(source.alphabet, repeat=length):
        text = "".join(letters)
        chance = shares[text[: source.order]]
        for place in range(source.order, length):
            context = 0
            for letter in text[place - source.order : place]:
                context = context * source.symbols + source.alphabet.index(letter)
            chance *= source.table[context, source.alphabet.index(text[place])]
        bits -= chance * math.log2(chance)
    return bits


@pytest.mark.parametrize(("order", "symbols"), [(1, 2), (1, 5), (2, 3), (3, 2)])
def test_the_entropy_rate_is_what_one_more_letter_adds(order: int, symbols: int) -> None:
    source = MarkovSource(order, symbols, generator=np.random.default_rng(order))
    contexts = ["".join(letters) for letters in itertools.product(source.alphabet, repeat=order)]
    # The shares by walking on until nothing changes.
    shares = {context: 1 / len(contexts) for context in contexts}
    for _ in range(3000):
        after = dict.fromkeys(contexts, 0.0)
        for number, context in enumerate(contexts):
            for letter, chance in zip(source.alphabet, source.table[number], strict=True):
                after[(context + letter)[1:]] += shares[context] * chance
        shares = after
    np.testing.assert_allclose(source.stationary(), [shares[context] for context in contexts], atol=1e-9)
    for length in (order + 1, order + 2):
        added = block_entropy(source, shares, length) - block_entropy(source, shares, length - 1)
        assert source.entropy_rate() == pytest.approx(added, abs=1e-8)


def test_a_drawn_text_has_the_source_s_chances_and_bits() -> None:
    source = MarkovSource(2, 3, concentration=2.0, generator=np.random.default_rng(0))
    text = source.draw(100_000, np.random.default_rng(1))
    assert text == source.draw(100_000, np.random.default_rng(1))
    for number, (first, second) in enumerate(itertools.product("abc", repeat=2)):
        pairs = [text[k + 2] for k in range(len(text) - 2) if text[k : k + 2] == first + second]
        found = np.array([pairs.count(letter) for letter in "abc"]) / len(pairs)
        np.testing.assert_allclose(found, source.table[number], atol=5 * 0.5 / math.sqrt(len(pairs)))
    bits = source.bits(text)
    assert len(bits) == len(text) - 2
    assert bits[7] == pytest.approx(
        -math.log2(source.table["abc".index(text[7]) * 3 + "abc".index(text[8])]["abc".index(text[9])])
    )
    assert bits.mean() == pytest.approx(source.entropy_rate(), abs=5 * bits.std() / math.sqrt(len(bits)))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((0, 3), "order"), ((1, 1), "symbols"), ((1, 27), "at most 26"), ((8, 3), "6561 contexts")],
)
def test_a_source_that_cannot_be_is_refused(sizes: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MarkovSource(*sizes, generator=np.random.default_rng(0))


def test_the_invented_language_keeps_its_own_rules() -> None:
    generator = np.random.default_rng(3)
    text = InventedLanguage(generator).write(50_000, generator)
    assert len(text) == 50_000
    again = np.random.default_rng(3)
    assert text == InventedLanguage(again).write(50_000, again)
    assert max(map(len, text.splitlines())) <= 72
    whole = " ".join(text[: text.rindex(".")].split())
    # Brackets nest, and those of a sentence are closed in it.
    depths = set()
    for sentence in re.split(r"\.", whole):
        open_ones: list[str] = []
        for character in sentence:
            if character in "([":
                open_ones.append({"(": ")", "[": "]"}[character])
            elif character in ")]":
                assert open_ones.pop() == character
            depths.add(len(open_ones))
        assert open_ones == []
    assert max(depths) == 2
    # With its asides and relative clauses left out, each subject agrees with its verb.
    for left_out in (r" ?[(\[][^()\[\]]*[)\]]", r" ke d[eu]n( \w+e)? \w+ \w+i[nt](?= )"):
        while (shorter := re.sub(left_out, "", whole)) != whole:
            whole = shorter
    clauses = re.findall(r"(?:^|[.\"] \"?)(d[eu]n)(?: \w+e)? (\w+) (\w+)", whole, re.IGNORECASE)
    assert len(clauses) > 200
    wrong = [one for one in clauses if (one[0].lower() == "dun") != one[2].endswith("in")]
    assert wrong == []
