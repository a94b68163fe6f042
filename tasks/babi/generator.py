"""Stories without end, for every one of the twenty tasks."""

from collections.abc import Iterable, Iterator

from ..common import check_count
from .movement import (
    BasicCoreference,
    CompoundCoreference,
    Conjunction,
    IndefiniteKnowledge,
    SimpleNegation,
    TimeReasoning,
)
from .possession import (
    Counting,
    ListsSets,
    SingleSupportingFact,
    ThreeArgRelations,
    ThreeSupportingFacts,
    TwoSupportingFacts,
    YesNoQuestions,
)
from .reader import SPLITS
from .reasoning import AgentsMotivations, BasicDeduction, BasicInduction
from .relations import PathFinding, PositionalReasoning, SizeReasoning, TwoArgRelations
from .stories import Fact, Question, Story, check_task
from .telling import NOISE, Dice, Difficulty, Tale

TALES: dict[int, type[Tale]] = {
    1: SingleSupportingFact,
    2: TwoSupportingFacts,
    3: ThreeSupportingFacts,
    4: TwoArgRelations,
    5: ThreeArgRelations,
    6: YesNoQuestions,
    7: Counting,
    8: ListsSets,
    9: SimpleNegation,
    10: IndefiniteKnowledge,
    11: BasicCoreference,
    12: Conjunction,
    13: CompoundCoreference,
    14: TimeReasoning,
    15: BasicDeduction,
    16: BasicInduction,
    17: PositionalReasoning,
    18: SizeReasoning,
    19: PathFinding,
    20: AgentsMotivations,
}
RELEASE = Difficulty()


def stream(task: int, *, seed: int, split: str = "train", difficulty: Difficulty = RELEASE) -> Iterator[Story]:
    """Stories of a task without end, with the default difficulty distributed as the released ones.

    The same seed gives the same stories. Each split, "train" or "test", and each task has a random stream of its
    own, whatever the seed. ValueError for arguments that cannot be used.
    """
    cast = TALES[check_task(task)].cast(task, difficulty)
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    check_count("seed", seed, minimum=0)
    import numpy as np

    own = np.random.SeedSequence(seed, spawn_key=(task, SPLITS.index(split)))
    dice = Dice(np.random.Generator(np.random.PCG64(own)))

    def stories() -> Iterator[Story]:
        while True:
            tale = TALES[task](dice, cast)
            tale.tell()
            yield add_noise(tale.lines, difficulty.noise, dice) if difficulty.noise else tuple(tale.lines)

    return stories()


def generate(
    task: int,
    questions: int,
    *,
    seed: int,
    split: str = "train",
    difficulty: Difficulty = RELEASE,
) -> list[Story]:
    """Stories with exactly so many questions: the last one is cut behind its question. Otherwise as `stream`."""
    check_count("questions", questions)
    return list(cut(stream(task, seed=seed, split=split, difficulty=difficulty), questions))


def cut(stories: Iterable[Story], questions: int) -> Iterator[Story]:
    """The first stories, until so many questions are asked; the last one ends there."""
    for story in stories:
        ends = [k for k, line in enumerate(story, start=1) if isinstance(line, Question)]
        if len(ends) >= questions:
            yield story[: ends[questions - 1]]
            return
        questions -= len(ends)
        yield story


def add_noise(story: Iterable[Fact | Question], noise: float, dice: Dice) -> Story:
    """Before each fact so many sentences about nothing, on average."""
    lines: list[Fact | Question] = []
    moved: list[int] = []  # where each fact has gone
    facts = 0
    for line in story:
        if isinstance(line, Question):
            lines.append(line._replace(supports=tuple(moved[fact] for fact in line.supports)))
            continue
        count = int(noise + dice.number())
        lines += [Fact(dice.choose(NOISE)) for _ in range(count)]
        moved.append(facts + count)
        facts += count + 1
        lines.append(line)
    return tuple(lines)
