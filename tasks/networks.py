"""Networks that are not random graphs, to be asked about: a map of lines and stations, and a family."""

import math
import random
from typing import TypeAlias

Edges: TypeAlias = list[tuple[int, int, int]]  # source, label and target, each by a number from 0

FATHER, MOTHER, FIRST_CHILD, SECOND_CHILD = range(4)


def transport_map(stations: int) -> Edges:
    """A network of lines, always the same: edges in both directions, labels a line and its direction.

    Stations lie on a shaken grid. A line goes from where there is none yet to a station that has one, the first to any:
    always nearer to its end, by stations that are near, and rather by those that have no line.
    """
    chance, side = random.Random(stations), math.ceil(math.sqrt(stations))
    cells = chance.sample([(row, column) for row in range(side) for column in range(side)], stations)
    points = [(row + 0.4 * chance.random(), column + 0.4 * chance.random()) for row, column in cells]

    def apart(one: int, other: int) -> float:
        return math.dist(points[one], points[other])

    missing, edges, line = set(range(1, stations)), Edges(), 0
    while missing:
        end = chance.choice([one for one in range(stations) if one not in missing])
        here = max(missing, key=lambda one: apart(one, end))
        missing.remove(here)
        while here != end:
            nearer = [one for one in range(stations) if apart(one, end) < apart(here, end)]
            there = min(nearer, key=lambda one: apart(one, here) * (1 if one in missing else 2))
            edges += [(here, 2 * line, there), (there, 2 * line + 1, here)]
            missing.discard(there)
            here = there
        line += 1
    return edges


def family_tree(people: int) -> Edges:
    """A family of some generations, always the same, of at most so many people (3 at least).

    Labels: father, mother, first and second child. Couples have one or two children, and most of these marry.
    ValueError for fewer people.
    """
    if people < 3:
        raise ValueError(f"a family has at least 3 people, got {people}")
    chance, edges, count = random.Random(people), Edges(), 2
    couples = [(0, 1)]
    while couples and count < people:
        father, mother = couples.pop(0)
        born = min(1 + (chance.random() < 0.8), people - count - len(couples))
        for child in range(count, count + born):
            nth = FIRST_CHILD if child == count else SECOND_CHILD
            edges += [(child, FATHER, father), (child, MOTHER, mother), (father, nth, child), (mother, nth, child)]
        children, count = range(count, count + born), count + born
        for child in children:
            # Who marries will have a child: there must be room for one of every couple.
            if count + len(couples) + 2 <= people and (not couples or chance.random() < 0.8):
                couples.append((child, count) if chance.random() < 0.5 else (count, child))
                count += 1
    return edges
