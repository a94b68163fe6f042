"""Finite groups: their elements by name, and the table of their products."""

from collections.abc import Sequence
from itertools import permutations, product
from typing import Literal, TypeAlias

GroupName: TypeAlias = Literal["Z2", "Z60", "S3", "S4", "A5", "S5", "A4xZ5"]
Element: TypeAlias = tuple[tuple[int, ...], int]
# Of each group the permutations that it has, of how many things, and the order of the cyclic group beside them.
_PARTS: dict[GroupName, tuple[Literal["all", "even"], int, int]] = {
    "Z2": ("all", 1, 2),
    "Z60": ("all", 1, 60),
    "S3": ("all", 3, 1),
    "S4": ("all", 4, 1),
    "A5": ("even", 5, 1),
    "S5": ("all", 5, 1),
    "A4xZ5": ("even", 4, 5),
}


def elements_of(name: GroupName) -> tuple[tuple[str, ...], list[list[int]]]:
    """The elements' names, the identity first, and table[a][b], the number of the product a b.

    A permutation p is written p(1) p(2) ..., as 213; the product p q takes i to p(q(i)). An element of a cyclic group
    is a number that is added; of A4xZ5 it stands behind the permutation, as 2143+3.
    """
    kind, things, order = _PARTS[name]
    chosen = [one for one in permutations(range(things)) if kind == "all" or _even(one)]
    elements: list[Element] = list(product(chosen, range(order)))
    numbers = {element: number for number, element in enumerate(elements)}
    table = [[numbers[_product(one, other, order)] for other in elements] for one in elements]
    return tuple(_name(element, order) for element in elements), table


def _product(one: Element, other: Element, order: int) -> Element:
    return tuple(one[0][place] for place in other[0]), (one[1] + other[1]) % order


def _even(permutation: Sequence[int]) -> bool:
    inversions = sum(one > other for place, one in enumerate(permutation) for other in permutation[place + 1 :])
    return inversions % 2 == 0


def _name(element: Element, order: int) -> str:
    permuted = "".join(str(place + 1) for place in element[0]) if len(element[0]) > 1 else ""
    return "+".join(filter(None, [permuted, str(element[1]) if order > 1 else ""]))
