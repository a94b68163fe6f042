"""Tasks 4, 17, 18 and 19: where places and things lie, and what fits into what."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import ClassVar, TypeAlias

from .telling import ATTEMPTS, STANDARD_PLACES, Cast, Dice, Pool, Tale, places

Point: TypeAlias = tuple[int, int]

COMPASS: dict[str, Point] = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
SIDES: dict[str, Point] = {"above": (0, 1), "below": (0, -1), "to the right of": (1, 0), "to the left of": (-1, 0)}
CHOCOLATES = ("chocolate", "box of chocolates")  # in this order the smallest


def opposite(point: Point) -> Point:
    return -point[0], -point[1]


class Map(Tale):
    """Things on a grid, linked to neighbours."""

    def __init__(self, dice: Dice, cast: Cast) -> None:
        super().__init__(dice, cast)
        self.at: dict[str, Point] = {}
        self.neighbours: dict[str, list[str]] = {}

    def put(self, thing: str, beside: str, step: Point) -> None:
        """Link a thing to one that lies already, a step away from it; the first one put has none."""
        x, y = self.at.setdefault(beside, (0, 0))
        self.at[thing] = (x + step[0], y + step[1])
        self.neighbours.setdefault(beside, []).append(thing)
        self.neighbours.setdefault(thing, []).append(beside)

    def links(self) -> Iterator[tuple[str, str]]:
        """Every link once: a random thing with a random neighbour, drawn again if it has come before."""
        things = list(self.at)
        seen: set[frozenset[str]] = set()
        while len(seen) < len(things) - 1:
            thing = self.dice.choose(things)
            neighbour = self.dice.choose(self.neighbours[thing])
            link = frozenset((thing, neighbour))
            if link not in seen:
                seen.add(link)
                yield thing, neighbour

    def offset(self, thing: str, seen_from: str) -> Point:
        (x, y), (from_x, from_y) = self.at[thing], self.at[seen_from]
        return x - from_x, y - from_y

    def say_direction(self, thing: str, seen_from: str) -> tuple[int, str]:
        """Tell where one place is from its neighbour; returns the fact and the direction."""
        direction = name_of(COMPASS, self.offset(thing, seen_from))
        return self.say(f"The {thing} is {direction} of the {seen_from}."), direction


def name_of(directions: dict[str, Point], step: Point) -> str:
    return next(name for name, one in directions.items() if one == step)


class TwoArgRelations(Map):
    """Task 4. Three places in a row: which one lies north of that one? The answer is a fact's subject."""

    pools: ClassVar[Mapping[str, Pool]] = {"places": places(*STANDARD_PLACES, fewest=3)}
    questions = None

    def tell(self) -> None:
        first, hub, last = self.dice.sample(self.places, 3)
        step = self.dice.choose(list(COMPASS.values()))
        self.put(hub, first, step)
        self.put(last, hub, step)
        told = [(*link, *self.say_direction(*link)) for link in self.links()]
        subject, other, fact, direction = self.dice.choose(told)
        if self.dice.chance():
            self.ask(f"What is {direction} of the {other}?", subject, fact)
        else:
            direction = name_of(COMPASS, opposite(COMPASS[direction]))
            self.ask(f"What is the {other} {direction} of?", subject, fact)


class PositionalReasoning(Map):
    """Task 17. Two things lie beside a third: how do they lie to each other?"""

    pools: ClassVar[Mapping[str, Pool]] = {
        "objects": Pool(
            ("red square", "blue square", "yellow square", "triangle", "pink rectangle", "red sphere"),
            ("green circle", "blue sphere", "orange star", "green cube", "white cross", "purple heart"),
            3,
        )
    }
    questions = 8

    def tell(self) -> None:
        hub, *outer = self.dice.sample(self.objects, 3)
        for thing, step in zip(outer, self.dice.sample(list(SIDES.values()), 2), strict=True):
            self.put(thing, hub, step)
        facts = {}
        for drawn, neighbour in self.links():
            side = name_of(SIDES, self.offset(neighbour, drawn))
            fact = self.say(f"The {neighbour} is {side} the {drawn}.")
            facts[drawn if neighbour == hub else neighbour] = fact
        for _ in range(self.wanted):
            first, second = self.dice.shuffled(outer)
            x, y = self.offset(first, second)
            right = self.dice.chance()
            fitting = [side for side, (dx, dy) in SIDES.items() if (x * dx + y * dy > 0) == right]
            side = self.dice.choose(fitting)
            self.ask(f"Is the {first} {side} the {second}?", "yes" if right else "no", facts[first], facts[second])


class SizeReasoning(Tale):
    """Task 18. What fits into what, by way of a third thing: groups of five facts, then the questions."""

    pools: ClassVar[Mapping[str, Pool]] = {
        "objects": Pool(
            ("box", "chest", "suitcase", "container"), ("crate", "trunk", "basket", "drawer", "barrel", "cupboard"), 1
        )
    }

    def __init__(self, dice: Dice, cast: Cast) -> None:
        super().__init__(dice, cast)
        self.order = [*CHOCOLATES, *dice.shuffled(self.objects)]  # smallest first
        self.pairs: list[tuple[str, str]] = []  # (small, large) of each fact
        self.sentences: list[str] = []

    def tell(self) -> None:
        asked = 0
        while asked < self.wanted:
            if self.pairs and self.try_question():
                asked += 1
            else:
                self.tell_group()
                asked = 0

    def tell_group(self) -> None:
        for _ in range(5):
            small, large = sorted(self.dice.sample(self.order, 2), key=self.order.index)
            sentence = f"The {small} fits inside the {large}."
            if self.dice.chance():
                sentence = f"The {large} is bigger than the {small}."
            self.pairs.append((small, large))
            self.sentences.append(sentence)
            self.say(sentence)

    def try_question(self) -> bool:
        """Ask about the ends of two linked facts: a random one, and the first other one with one of its things."""
        for _ in range(ATTEMPTS):
            sentence = self.dice.choose(self.sentences)
            fact = max(k for k, one in enumerate(self.sentences) if one == sentence)
            small, large = self.pairs[fact]
            shared = small if self.dice.chance() else large
            other = next((k for k, pair in enumerate(self.pairs) if k != fact and shared in pair), fact)
            smaller, larger = self.pairs[other]
            if shared == small == larger:
                self.ask_size(smaller, large, "yes", fact, other)
                return True
            if shared == large == smaller:
                self.ask_size(larger, small, "no", fact, other)
                return True
        return False

    def ask_size(self, inner: str, outer: str, answer: str, *supports: int) -> None:
        if self.dice.chance():
            self.ask(f"Does the {inner} fit in the {outer}?", answer, *supports)
        else:
            self.ask(f"Is the {outer} bigger than the {inner}?", answer, *supports)


class PathFinding(Map):
    """Task 19. The way from one place to another by way of a third, with further places beside them."""

    pools: ClassVar[Mapping[str, Pool]] = {"places": places(*STANDARD_PLACES, fewest=3, most=11)}
    questions = None

    def tell(self) -> None:
        start, middle, end, *further = self.dice.shuffled(self.places)
        steps = list(COMPASS.values())
        taken: dict[str, set[Point]] = {start: set(), middle: set(), end: set()}

        def attach(thing: str, beside: str, step: Point) -> None:
            self.put(thing, beside, step)
            taken[beside].add(step)
            taken.setdefault(thing, set()).add(opposite(step))

        attach(middle, start, self.dice.choose(steps))
        attach(end, middle, self.dice.choose([step for step in steps if step not in taken[middle]]))
        for place in further:
            free = [(beside, step) for beside in (start, middle, end) for step in steps if step not in taken[beside]]
            attach(place, *self.dice.choose(free))
        facts = {frozenset(link): self.say_direction(*link)[0] for link in self.links()}
        path = list(pairwise((start, middle, end)))
        names = [name_of(COMPASS, self.offset(there, here))[0] for here, there in path]
        supports = [facts[frozenset(link)] for link in path]
        self.ask(f"How do you go from the {start} to the {end}?", ",".join(names), *supports)
