"""The story commands of `python -m tasks`: write the twenty tasks as files, show one story."""

import argparse
import secrets
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from .generator import TALES, cut, stream
from .reader import SPLITS
from .stories import TASK_NAMES, Story, file_name, write_stories
from .telling import Difficulty


def task_numbers(text: str) -> list[int]:
    """The tasks of "1-20", "7" or "1,3,15-17"."""
    tasks: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        if not all(end.isascii() and end.isdigit() and len(end) < 3 for end in (low, high or low)):
            raise argparse.ArgumentTypeError(f"must be tasks such as 7, 1-20 or 1,3,15-17, got {text!r}")
        tasks += range(int(low), int(high or low) + 1)
    if not tasks or not set(tasks) <= set(TASK_NAMES):
        raise argparse.ArgumentTypeError(f"must be tasks from 1 to {len(TASK_NAMES)}, got {text!r}")
    return sorted(set(tasks))


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def amount(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def add_difficulty(parser: argparse.ArgumentParser) -> None:
    """The options of `Difficulty`; without them stories are distributed as the released ones."""
    group = parser.add_argument_group("difficulty of bAbI stories, the release's by default")
    for kind in ("people", "places", "objects"):
        group.add_argument(f"--{kind}", type=count, metavar="N", help=f"how many {kind} there are")
    group.add_argument("--questions-per-story", type=count, metavar="N", help="more of them make longer stories")
    group.add_argument(
        "--noise", type=amount, metavar="X", default=0.0, help="sentences about nothing before each fact, on average"
    )


def difficulty_of(chosen: argparse.Namespace) -> Difficulty:
    return Difficulty(chosen.people, chosen.places, chosen.objects, chosen.questions_per_story, chosen.noise)


def show_story(task: int, seed: int, difficulty: Difficulty) -> str:
    """One story in the published format."""
    (text,) = write_stories(islice(stream(task, seed=seed, difficulty=difficulty), 1), task)
    return text.rstrip("\n")


def write_tasks(
    folder: Path,
    tasks: Sequence[int],
    *,
    seed: int,
    stories: int | None,
    questions: int | None,
    difficulty: Difficulty,
    overwrite: bool,
) -> str:
    """Write a training and a test file of each task, named as in the release: all of them or none.

    stories, questions: how many each file gets; one of the two is None. Returns a line about what was done.
    ValueError for a difficulty that a task does not have and, without `overwrite`, for files that exist; OSError
    when they cannot be written.
    """
    targets = [(task, split, folder / file_name(task, split)) for task in tasks for split in SPLITS]
    there = [path.name for _, _, path in targets if path.exists()]
    if there and not overwrite:
        raise ValueError(f"{folder} already holds {there[0]}; --overwrite replaces it")
    for task in tasks:
        TALES[task].cast(task, difficulty)
    parts: list[tuple[Path, Path]] = []
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for task, split, path in targets:
            endless = stream(task, seed=seed, split=split, difficulty=difficulty)
            told = islice(endless, stories) if questions is None else cut(endless, questions)
            part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            parts.append((part, path))
            write_part(part, told, task)
        for part, path in parts:
            part.replace(path)
    except BaseException:
        for part, _ in parts:
            part.unlink(missing_ok=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    size = f"{stories} stories" if questions is None else f"{questions} questions"
    return f"{len(targets)} files with {size} each in {folder}"


def write_part(path: Path, stories: Iterable[Story], task: int) -> None:
    with path.open("x", encoding="ascii", newline="\n") as file:
        file.writelines(write_stories(stories, task))
