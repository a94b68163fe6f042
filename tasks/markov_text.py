"""Text from a known Markov source, of which no model can foresee more than its entropy rate leaves."""

from bisect import bisect
from string import ascii_lowercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .common import check_count

# The stationary distribution is solved for with a dense matrix of contexts x contexts.
MOST_CONTEXTS = 2048


class MarkovSource:
    """A random source of letters in which each depends on the `order` letters before it.

        P(x_t | x_(t-order) .. x_(t-1)) = table[context]        context: the letters as digits, the oldest first

    Every row of the table is drawn from a symmetric Dirichlet distribution. All its probabilities are above zero, so
    from every context every other can be reached, and there is one stationary distribution.

    order, symbols: letters that a letter depends on, and of the alphabet (a, b, c, ...).
    concentration:  of the Dirichlet distribution; below 1 most letters can be foreseen, far above 1 hardly any.
    generator:      draws the table.
    ValueError for sizes that cannot be, or more than MOST_CONTEXTS contexts.
    """

    def __init__(self, order: int, symbols: int, *, concentration: float = 0.5, generator: np.random.Generator) -> None:
        check_count("order", order)
        check_count("symbols", symbols, 2)
        if symbols > len(ascii_lowercase):
            raise ValueError(f"symbols must be at most {len(ascii_lowercase)}, the letters there are, got {symbols}")
        contexts = symbols**order
        if contexts > MOST_CONTEXTS:
            raise ValueError(f"{symbols} symbols of order {order} are {contexts} contexts, more than {MOST_CONTEXTS}")
        if not concentration > 0:
            raise ValueError(f"concentration must be above 0, got {concentration}")
        self.order, self.symbols = order, symbols
        self.alphabet = ascii_lowercase[:symbols]
        # Underflow must not make a letter impossible.
        drawn = np.maximum(generator.dirichlet(np.full(symbols, concentration), contexts), 1e-9)
        drawn /= drawn.sum(1, keepdims=True)
        self.table: NDArray[Any] = drawn

    def stationary(self) -> NDArray[Any]:
        """The share of each context in an endless text, (context,): p = p T and sum(p) = 1, solved exactly."""
        contexts = len(self.table)
        following = (np.arange(contexts)[:, None] * self.symbols + np.arange(self.symbols)) % contexts
        transition = np.zeros((contexts, contexts))
        np.add.at(transition, (np.arange(contexts)[:, None], following), self.table)
        # One of the equations follows from the others, and makes room for the sum.
        equations = transition.T - np.eye(contexts)
        equations[-1] = 1.0
        right = np.zeros(contexts)
        right[-1] = 1.0
        return np.linalg.solve(equations, right)

    def entropy_rate(self) -> float:
        """Bits that a letter of an endless text holds, given all letters before it.

        H = - sum_c p(c) sum_x P(x | c) log2 P(x | c)        p: see `stationary`
        """
        return float(-(self.stationary()[:, None] * self.table * np.log2(self.table)).sum())

    def draw(self, length: int, generator: np.random.Generator) -> str:
        """A text of so many letters, which begins as an endless one goes on."""
        check_count("length", length)
        contexts = len(self.table)
        rows = self.table.cumsum(1)[:, :-1].tolist()
        context = int(generator.choice(contexts, p=self.stationary()))
        letters = []
        for chance in generator.random(length).tolist():
            letter = bisect(rows[context], chance)
            context = (context * self.symbols + letter) % contexts
            letters.append(self.alphabet[letter])
        return "".join(letters)

    def bits(self, text: str) -> NDArray[Any]:
        """What each letter costs who knows the source, in bits; of the first `order` letters there is nothing.

        Returns (letter,) for the letters from number `order` on, counted from 0. ValueError for other letters.
        """
        if unknown := set(text) - set(self.alphabet):
            raise ValueError(f"the source has the letters {self.alphabet}, not {min(unknown)!r}")
        letters = np.array([self.alphabet.index(one) for one in text], dtype=np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(letters, self.order + 1)
        context = windows[:, :-1] @ self.symbols ** np.arange(self.order - 1, -1, -1)
        chances: NDArray[Any] = self.table[context, windows[:, -1]]
        bits: NDArray[Any] = -np.log2(chances)
        return bits
