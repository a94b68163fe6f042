"""Scenes, their pictures and captions, and the judge of captions."""

import random
from typing import Any

import numpy as np
import pytest

from tasks.captions import WORLDS, CaptionStory, CaptionWorld, MovingCaptions
from tasks.captions.images import Captions, Scene
from tasks.captions.moving import Mover, MovingScene
from tasks.captions.rendering import Drawn, draw_paper, render
from tasks.captions.things import COLOURS, SHAPES, SIDE, SIZES, Kind, part_of

RED, BLUE, OTHER = Kind("small", "red", "circle"), Kind("large", "blue", "square"), Kind("small", "blue", "circle")
# In the upper left corner, on the right edge, at the bottom.
SCENE = Scene((Drawn(RED, 5.0, 5.5), Drawn(BLUE, 27.0, 16.0), Drawn(OTHER, 16.5, 27.0)))


def fault(world: CaptionWorld[Any], caption: str, scene: Any) -> str:
    return world.judge(caption.split(), scene).fault


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a small red circle is in the upper left corner", "none"),
        ("in the upper left corner is a red circle", "none"),
        ("a square is at the right edge", "none"),
        ("a small red circle is left of a large blue square", "none"),
        ("left of a large square is a red circle", "none"),
        ("a red circle is above a square", "none"),
        ("above a square is a red circle", "none"),
        ("a blue circle is below a red circle", "none"),
        ("a blue circle is right of a red circle", "none"),
        ("a square is above a blue circle", "none"),
        ("a red circle is at the top", "false"),
        ("a square is left of a red circle", "false"),
        ("left of a red circle is a square", "false"),
        ("a square is below a red circle is", "grammar"),
        ("a circle is above a square", "name"),
        ("a small circle is above a square", "name"),
        ("a large red circle is above a square", "name"),
        ("a red square is above a blue circle", "name"),
        ("a green cross is above a square", "name"),
        ("a red circle is above a small red circle", "name"),
        ("the red circle is above a square", "grammar"),
        ("a red small circle is above a square", "grammar"),
        ("a red circle is a square", "grammar"),
        ("a red circle above a square", "grammar"),
        ("red circle is above a square", "grammar"),
        ("a red circle is above a square above a blue circle", "grammar"),
        ("a red circle is above", "grammar"),
        ("a red is above a square", "grammar"),
        ("is", "grammar"),
        ("", "grammar"),
    ],
)
def test_sentences_judged_by_hand(caption: str, expected: str) -> None:
    assert fault(Captions(), caption, SCENE) == expected


def test_things_in_one_column_are_neither_left_nor_right() -> None:
    scene = Scene((Drawn(RED, 5.0, 5.0), Drawn(BLUE, 6.5, 16.0)))
    captions = {word: f"a circle is {word} a square" for word in ("left of", "right of", "above", "below")}
    assert {word: fault(Captions(), caption, scene) for word, caption in captions.items()} == {
        "left of": "false",
        "right of": "false",
        "above": "none",
        "below": "false",
    }


STORY = (
    "there are three shapes . a small red circle is in the upper left corner . "
    "the red circle is left of a large blue square . a small blue circle is below the square . "
    "the small red circle is above the blue circle ."
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", "none"),
        ("left of", "above", "none"),
        ("the red circle is left of a large blue square", "left of a large blue square is the red circle", "none"),
        ("the small red circle is above", "the red circle is left of", "none"),
        ("are three shapes", "are two shapes", "false"),
        ("are three shapes", "is one shape", "false"),
        ("are three shapes", "is three shapes", "grammar"),
        ("upper left", "lower left", "false"),
        ("left of", "right of", "false"),
        ("a large blue square", "a blue square", "untold"),
        ("a large blue square", "the large blue square", "name"),
        ("the square", "a square", "name"),
        ("the blue circle .", "the circle .", "name"),
        ("the small red circle is above the blue circle", "the red circle is above the square", "untold"),
        (" the small red circle is above the blue circle .", "", "untold"),
        ("the small red circle is above the blue circle", "the square is at the right edge", "untold"),
        ("is in the upper left corner", "is left of a small blue circle", "untold"),
        ("the blue circle .", "the blue circle", "grammar"),
        ("there are three shapes . ", "", "grammar"),
        (STORY, "", "grammar"),
    ],
)
def test_stories_judged_by_hand(before: str, after: str, expected: str) -> None:
    assert before in STORY
    assert fault(CaptionStory(), STORY.replace(before, after, 1), SCENE) == expected


def test_a_story_of_one_thing_tells_where_it_is() -> None:
    alone = Scene(SCENE.things[:1])
    assert fault(CaptionStory(), "there is one shape .", alone) == "untold"
    told = "there is one shape . a small red circle is in the upper left corner ."
    assert fault(CaptionStory(), told, alone) == "none"


# The square goes left, the circle comes down onto its way.
MEETING = MovingScene(
    (
        Mover(Drawn(BLUE, 27.0, 16.0), 5, "left", "quickly", 2.5),
        Mover(Drawn(RED, 16.0, 5.0), 1, "down", "quickly", 2.5),
    ),
    frames=7,
)
# The circle reaches the left edge and comes back, the other one stands.
BOUNCING = MovingScene(
    (Mover(Drawn(RED, 5.0, 5.0), 0, "left", "slowly", 1.2), Mover(Drawn(OTHER, 16.0, 27.0), 7)), frames=8
)


@pytest.mark.parametrize(
    ("scene", "caption", "expected"),
    [
        (MEETING, "a square moves left quickly while a circle moves quickly down and they meet", "none"),
        (MEETING, "a red circle moves down quickly while a blue square moves left quickly and they meet", "none"),
        (MEETING, "a square moves left quickly while a circle moves quickly down", "untold"),
        (MEETING, "a square moves left quickly and they meet", "untold"),
        (MEETING, "a square moves left quickly while a square moves left quickly and they meet", "untold"),
        (MEETING, "a square moves left slowly while a circle moves quickly down and they meet", "false"),
        (MEETING, "a square moves up quickly while a circle moves quickly down and they meet", "false"),
        (MEETING, "a square stands still while a circle moves quickly down and they meet", "false"),
        (MEETING, "a square moves left quickly and bounces while a circle moves quickly down and they meet", "false"),
        (MEETING, "a cross moves left quickly while a circle moves quickly down and they meet", "name"),
        (MEETING, "a square moves left while a circle moves quickly down and they meet", "grammar"),
        (MEETING, "a square moves left quickly and they meet while a circle moves quickly down", "grammar"),
        (BOUNCING, "a red circle moves left slowly and bounces while a blue circle stands still", "none"),
        (BOUNCING, "a blue circle stands still while a red circle moves slowly left and bounces", "none"),
        (BOUNCING, "a red circle moves left slowly while a blue circle stands still", "untold"),
        (BOUNCING, "a red circle moves right slowly and bounces while a blue circle stands still", "false"),
        (
            BOUNCING,
            "a red circle moves left slowly and bounces while a blue circle stands still and they meet",
            "false",
        ),
        (BOUNCING, "a circle moves left slowly and bounces while a blue circle stands still", "name"),
        (BOUNCING, "a red circle moves left slowly and bounces while a blue circle stands", "grammar"),
    ],
)
def test_films_judged_by_hand(scene: MovingScene, caption: str, expected: str) -> None:
    assert fault(MovingCaptions(), caption, scene) == expected


def test_ways_of_a_bouncing_thing_by_hand() -> None:
    low = SIZES["small"]
    xs = [BOUNCING.movers[0].at(frame)[0] for frame in range(4)]
    # 5, 3.8, then over the edge at 2.7 by 0.1 and back.
    np.testing.assert_allclose(xs, [5.0, 3.8, low + 0.1, low + 1.3])
    assert BOUNCING.movers[1].at(7) == (16.0, 27.0)


@pytest.mark.parametrize("name", WORLDS)
def test_every_caption_of_every_scene_is_right(name: str) -> None:
    world = WORLDS[name]()
    dice = random.Random(name)
    for _ in range(1000):
        scene = world.draw("train", dice, world.max_things)
        words = world.write(scene, dice)
        assert world.judge(words, scene).right, (" ".join(words), world.judge(words, scene))
        assert len(words) <= world.max_words
        assert set(words) <= set(world.words)


def _all_sentences(scene: Scene) -> set[str]:
    """Every right sentence on a picture, from its numbers alone."""
    places = ["in the upper left corner", "at the top", "in the upper right corner", "at the left edge"]
    places += ["in the middle", "at the right edge", "in the lower left corner", "at the bottom"]
    places += ["in the lower right corner"]
    names: list[list[str]] = []
    for thing in scene.things:
        size, colour, shape = thing.kind.size, thing.kind.colour, thing.kind.shape
        own = []
        for told in ((), ("size",), ("colour",), ("size", "colour")):
            alike = [
                other
                for other in scene.things
                if other.kind.shape == shape
                and all(getattr(other.kind, one) == getattr(thing.kind, one) for one in told)
            ]
            words = ["a", *([size] if "size" in told else []), *([colour] if "colour" in told else []), shape]
            own += [" ".join(words)] if len(alike) == 1 else []
        names.append(own)
    sentences = set()
    for own, thing in zip(names, scene.things, strict=True):
        place = places[3 * int(thing.y // (SIDE / 3)) + int(thing.x // (SIDE / 3))]
        sentences |= {f"{name} is {place}" for name in own} | {f"{place} is {name}" for name in own}
        for others, other in zip(names, scene.things, strict=True):
            relations = [("left of", other.x - thing.x), ("right of", thing.x - other.x)]
            relations += [("above", other.y - thing.y), ("below", thing.y - other.y)]
            for relation in (words for words, by in relations if by >= 5):
                for name in own:
                    sentences |= {f"{name} is {relation} {one}" for one in others}
                    sentences |= {f"{relation} {one} is {name}" for one in others}
    return sentences


def test_judge_agrees_with_all_that_can_be_said_when_one_word_is_changed() -> None:
    world, dice, right, wrong = Captions(), random.Random(3), 0, 0
    for _ in range(300):
        scene = world.draw("train", dice, world.max_things)
        every = _all_sentences(scene)
        for _ in range(10):
            words = world.write(scene, dice)
            if dice.random() < 0.9:
                words[dice.randrange(len(words))] = dice.choice(world.words)
            truth = " ".join(words) in every
            assert world.judge(words, scene).right == truth, (scene, words)
            right, wrong = right + truth, wrong + (not truth)
    # Both happen.
    assert right > 100
    assert wrong > 1000


@pytest.mark.parametrize("name", ["moving-captions", "caption-story"])
def test_a_changed_word_is_noticed(name: str) -> None:
    """Directions, manners, numbers, shapes and relations cannot be changed for another; a name may stay unique."""
    world, dice = WORLDS[name](), random.Random(4)
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up", "slowly": "quickly", "quickly": "slowly"}
    opposite |= {
        "two": "three",
        "three": "two",
        "one": "two",
        "above": "below",
        "below": "above",
        "upper": "lower",
        "lower": "upper",
    }
    opposite |= {"red": "green", "circle": "cross", "large": "small", "is": "are", "meet": "still", "while": "and"}
    changed = 0
    for _ in range(300):
        scene = world.draw("train", dice, world.max_things)
        words = world.write(scene, dice)
        for place, word in enumerate(words):
            if word in opposite:
                other = [*words[:place], opposite[word], *words[place + 1 :]]
                verdict = world.judge(other, scene)
                # "a large cross" may name what "a red cross" did.
                assert not verdict.right, (words, other)
                changed += 1
        assert not world.judge(words[:-1], scene).right
        assert not world.judge([*words, words[-1]], scene).right
    assert changed > 1000


@pytest.mark.parametrize("name", WORLDS)
def test_parts_share_no_scene(name: str) -> None:
    world, dice = WORLDS[name](), random.Random(5)
    seen = {part: [world.draw(part, dice, world.max_things) for _ in range(200)] for part in ("train", "valid", "test")}
    described = {part: {str(sorted(map(str, world.describe(one)))) for one in scenes} for part, scenes in seen.items()}
    for part, scenes in seen.items():
        for scene in scenes:
            description = world.describe(scene)
            assert part_of(description) == part
            assert part_of(description[::-1]) == part  # whatever the order
    assert not described["train"] & described["test"]
    assert not described["train"] & described["valid"]
    assert not described["valid"] & described["test"]


def test_about_a_tenth_of_all_scenes_are_test_scenes() -> None:
    parts = [part_of([("small", "red", "circle", number)]) for number in range(5000)]
    shares = [parts.count(part) / len(parts) for part in ("train", "valid", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def _inside(shape: str, x: float, y: float) -> bool:
    """Whether a point lies in a shape of radius one around the origin, y down; written from the shapes' corners."""
    if shape == "circle":
        return x * x + y * y < 1
    if shape == "square":
        return -0.88 < x < 0.88 and -0.88 < y < 0.88
    if shape == "cross":
        return (-1 < x < 1 and -0.36 < y < 0.36) or (-1 < y < 1 and -0.36 < x < 0.36)
    corners = [(0.0, -0.9), (0.9, 0.9), (-0.9, 0.9)]
    turns = []
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        turns.append((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1))
    return min(turns) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_cover_what_the_shape_covers(shape: str) -> None:
    for number, size in enumerate(SIZES):
        thing = Drawn(Kind(size, "blue", shape), 10.3 + 5 * number, 14.8)
        image = render([[thing]], np.full(1, 0.9, dtype=np.float32), np.random.default_rng(0))[0]
        points = np.arange(8) / 8 + 1 / 16
        red = np.array(COLOURS["blue"])[0]
        covered = (0.9 - image[0]) / (0.9 - red)
        for row in range(SIDE):
            for column in range(SIDE):
                if max(abs(row - 14), abs(column - 10 - 5 * number)) > 7:
                    assert covered[row, column] < 0.05
                    continue
                expected = np.mean(
                    [
                        _inside(shape, (column + dx - thing.x) / SIZES[size], (row + dy - thing.y) / SIZES[size])
                        for dx in points
                        for dy in points
                    ]
                )
                # Corners are a little rounder or sharper than they should be, and there is the noise.
                assert abs(covered[row, column] - expected) < 0.3
                if expected in (0, 1):
                    assert abs(covered[row, column] - expected) < 0.15
        area = covered.sum()
        exact = np.mean([[_inside(shape, x, y) for x in np.linspace(-1, 1, 201)] for y in np.linspace(-1, 1, 201)])
        assert area == pytest.approx(4 * exact * SIZES[size] ** 2, rel=0.1)


def test_later_things_are_in_front_and_colours_are_right() -> None:
    things = [Drawn(BLUE, 16.0, 16.0), Drawn(RED, 16.0, 16.0)]
    image = render([things], np.ones(1, dtype=np.float32), np.random.default_rng(0))[0]
    np.testing.assert_allclose(image[:, 16, 16], COLOURS["red"], atol=0.031)
    np.testing.assert_allclose(image[:, 13, 13], COLOURS["blue"], atol=0.031)
    np.testing.assert_allclose(image[:, 2, 2], 1, atol=0.031)
    paper = draw_paper(1000, np.random.default_rng(0))
    assert 0.88 <= paper.min() < 0.9 < 0.98 < paper.max() <= 1


@pytest.mark.parametrize("name", WORLDS)
def test_batches(name: str) -> None:
    world = WORLDS[name]()
    scenes, batch = world.sample(20, part="test", seed=(1, 2))
    again = world.sample(20, part="test", seed=(1, 2))
    other = world.sample(20, part="test", seed=(1, 3))
    assert scenes == again[0] != other[0]
    for one, two in zip(batch, again[1], strict=True):
        np.testing.assert_array_equal(one, two)
    assert batch.images.dtype == np.float32
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1
    film = world.max_frames > 1
    assert batch.images.shape == (20, *((int(batch.lengths.max()),) if film else ()), 3, SIDE, SIDE)
    for scene, caption, length in zip(scenes, batch.captions, batch.lengths, strict=True):
        assert world.judge(world.decode(caption), scene).right
        assert length == world.frames(scene) <= world.max_frames
    decoded = [world.decode(caption) for caption in batch.captions]
    np.testing.assert_array_equal(world.encode(decoded), batch.captions)


@pytest.mark.parametrize("name", WORLDS)
def test_scenes_have_no_more_things_than_asked_for(name: str) -> None:
    world = WORLDS[name]()
    for most in range(1, world.max_things + 1):
        scenes, _ = world.sample(60, part="train", seed=0, most=most)
        assert {len(world.describe(scene)) for scene in scenes} == set(range(1, most + 1))
    assert world.sample(5, part="train", seed=0, most=99)[0] == world.sample(5, part="train", seed=0)[0]


def test_films_are_empty_after_their_end_and_show_what_moves() -> None:
    world = MovingCaptions()
    films = world.render([MEETING, BOUNCING], np.random.default_rng(0))
    assert films.shape == (2, 8, 3, SIDE, SIDE)
    assert not films[0, 7:].any()
    assert films[1].min(axis=(1, 2, 3)).max() < 0.5
    # The blue square is where it belongs.
    for frame in range(3):
        x, y = MEETING.movers[0].at(frame)
        np.testing.assert_allclose(films[0, frame, :, int(y), int(x) + 2], COLOURS["blue"], atol=0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Captions().sample(0, part="train", seed=1), "count"),
        (lambda: Captions().sample(1, part="tests", seed=1), "part must be one of train, valid, test, not 'tests'"),  # type: ignore[arg-type]
        (lambda: Captions().sample(1, part="train", seed=1, most=0), "most"),
        (lambda: Captions().encode([["a", "cow"]]), "'cow' is no word of captions"),
    ],
)
def test_what_cannot_be(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
