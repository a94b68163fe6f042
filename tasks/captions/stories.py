"""Several sentences about one picture, which together tell all that is in it, and nothing twice."""

import itertools
import random
from collections.abc import Sequence

import numpy as np

from .images import (
    MOST,
    PLACES,
    RELATIONS,
    Placed,
    Scene,
    draw_placed,
    draw_related,
    draw_scene,
    read_statement,
    render_scenes,
)
from .language import Name, Reader, Verdict, Wrong, draw_name, verdict_of
from .rendering import Floats
from .things import Part
from .world import CaptionWorld, word_list

_COUNTS = {1: ("is", "one", "shape"), 2: ("are", "two", "shapes"), 3: ("are", "three", "shapes")}
_STOP = "."


class CaptionStory(CaptionWorld[Scene]):
    """A story about a picture of one to three things.

        there are three shapes .
        a small red circle is in the upper left corner .
        the circle is left of a large blue square .
        a small green cross is below the square .
        above the cross is the circle .

    First how many there are; then where one thing is; then how each pair of things lies, each pair once. A thing is
    called "a" with size, colour and shape where it comes first, and afterwards "the" with any name that only it has.
    """

    name = "caption-story"
    max_words, max_things = 60, MOST
    words = word_list(PLACES, RELATIONS, _COUNTS.values(), ("is", "there", _STOP))

    def draw(self, part: Part, dice: random.Random, most: int) -> Scene:
        return draw_scene(part, dice, most)

    def write(self, scene: Scene, dice: random.Random) -> list[str]:
        things = dice.sample(range(len(scene.things)), len(scene.things))
        told = set[int]()

        def name(thing: int) -> Name:
            known = thing in told
            told.add(thing)
            return draw_name(scene.kinds, thing, dice, full=not known, known=known)

        words = ["there", *_COUNTS[len(things)], _STOP]
        words += [*draw_placed(scene, name(things[0]), things[0], dice).words(), _STOP]
        for later, thing in enumerate(things[1:], start=1):
            for other in dice.sample(things[:later], later):
                pair = dice.sample((thing, other), 2)
                names = {one: name(one) for one in pair}
                words += [*draw_related(scene, [names[one] for one in pair], pair, dice).words(), _STOP]
        return words

    def judge(self, words: Sequence[str], scene: Scene) -> Verdict:
        return verdict_of(lambda: _check(words, scene))

    def describe(self, scene: Scene) -> list[tuple[object, ...]]:
        return scene.description()

    def render(self, scenes: Sequence[Scene], generator: np.random.Generator) -> Floats:
        return render_scenes(scenes, generator)


def _check(words: Sequence[str], scene: Scene) -> None:
    """Wrong where a story is not right."""
    first, *sentences = _sentences(words)
    reader = Reader(first)
    reader.take("there")
    count = reader.choose({phrase: number for number, phrase in _COUNTS.items()}, "a number of shapes")
    reader.end()
    if count != len(scene.things):
        raise Wrong("false", f"{count} shapes instead of {len(scene.things)}")
    if not sentences:
        raise Wrong("untold", "the place of one thing is missing")
    told, pairs = set[int](), set[frozenset[int]]()
    for number, sentence in enumerate(sentences):
        reader = Reader(sentence)
        statement = read_statement(reader)
        reader.end()
        if isinstance(statement, Placed) != (number == 0):
            raise Wrong("untold", "the place of one thing belongs after the number of things, and nowhere else")
        things = statement.check(scene)
        for name, thing in zip(statement.names, _as_said(statement.turned, things), strict=True):
            _check_article(name, thing in told)
            told.add(thing)
        if len(things) == 2:
            if (pair := frozenset(things)) in pairs:
                raise Wrong("untold", "two things are related twice")
            pairs.add(pair)
    every = itertools.combinations(range(len(scene.things)), 2)
    if missing := [pair for pair in every if frozenset(pair) not in pairs]:
        raise Wrong("untold", f"{len(missing)} pairs of things are not related")


def _check_article(name: Name, known: bool) -> None:
    if name.known != known:
        raise Wrong("name", f"{' '.join(name.words())!r} for what was {'told of' if known else 'not told of'} before")
    if not known and not name.full:
        raise Wrong("untold", f"{' '.join(name.words())!r} lacks size or colour where it comes first")


def _as_said(turned: bool, things: Sequence[int]) -> Sequence[int]:
    """Things in the order of their names."""
    return things[::-1] if turned else things


def _sentences(words: Sequence[str]) -> list[list[str]]:
    sentences: list[list[str]] = [[]]
    for word in words:
        if word == _STOP:
            sentences.append([])
        else:
            sentences[-1].append(word)
    if sentences.pop():
        raise Wrong("grammar", f"it does not end with {_STOP!r}")
    if not sentences:
        raise Wrong("grammar", "it has no sentence")
    return sentences
