"""Look at the tasks, and write stories: `python -m tasks list`, `show NAME`, `write babi OUT`."""

import argparse
import difflib
import inspect
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch

from . import TASKS
from .babi import TASK_NAMES, Difficulty
from .babi import command_line as babi
from .common import Task
from .places import found, told

BABI = "babi"


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def task_name(text: str) -> str:
    if ":" in text:
        return text
    if text not in (*TASKS, BABI):
        nearest = difflib.get_close_matches(text, (*TASKS, BABI), n=1, cutoff=0)[0]
        raise argparse.ArgumentTypeError(f"no task is called {text!r}; the nearest is {nearest!r}")
    return text


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text)


def show(parser: Parser, chosen: argparse.Namespace) -> str:
    try:
        if chosen.name == BABI:
            if chosen.length is not None:
                parser.error("--length is not for babi; --questions-per-story makes its stories longer")
            if chosen.task is None or len(chosen.task) > 1:
                parser.error("babi needs one --task from 1 to 20")
            return babi.show_story(chosen.task[0], chosen.seed, babi.difficulty_of(chosen))
        if chosen.task is not None or babi.difficulty_of(chosen) != Difficulty():
            parser.error(f"--task and the options of its stories are for babi, not for {chosen.name}")
        if ":" in chosen.name:
            return show_own(parser, chosen)
        return example(TASKS[chosen.name](), chosen)
    except ValueError as error:
        parser.error(str(error))


def show_own(parser: Parser, chosen: argparse.Namespace) -> str:
    """An example of a user's task; an error in it is told in one line."""
    kind = found(chosen.name)
    if not (inspect.isclass(kind) and issubclass(kind, Task)):
        raise ValueError(f"{chosen.name} is no task: expected a class of tasks.Task, not {kind!r}")
    try:
        task, generator = kind(), torch.Generator().manual_seed(chosen.seed)
        low, high = task.lengths_to_train
        # One length, as in training: a pair is asked of our own tasks alone.
        chosen.length = chosen.length or int(torch.randint(low, high + 1, (), generator=generator))
        return example(task, chosen)
    except (Exception, SystemExit) as error:
        parser.error(f"{chosen.name}: {told(error)}")


def example(task: Task, chosen: argparse.Namespace) -> str:
    generator = torch.Generator().manual_seed(chosen.seed)
    return task.render(task.sample(1, length=chosen.length or task.lengths_to_train, generator=generator))


def write(parser: Parser, chosen: argparse.Namespace) -> str:
    questions = None if chosen.stories else chosen.questions
    try:
        return babi.write_tasks(
            chosen.out,
            chosen.task,
            seed=chosen.seed,
            stories=chosen.stories,
            questions=questions,
            difficulty=babi.difficulty_of(chosen),
            overwrite=chosen.overwrite,
        )
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{error.filename or chosen.out}: {error.strerror or error}")


def listing() -> str:
    wide = max(map(len, TASKS)) + 1
    lines = [f"{'NAME':{wide}}{'INPUT':>6}{'OUTPUT':>8}  {'TRAINED AT':16}TESTED AT"]
    for name, kind in TASKS.items():
        task = kind()
        low, high = task.lengths_to_train
        trained = f"{low} {task.length_unit}" if low == high else f"{low}-{high} {task.length_unit}"
        tested = ", ".join(map(str, task.test_lengths))
        lines.append(f"{name:{wide}}{task.input_size:6}{task.output_size:8}  {trained:16}{tested}")
    low, high = min(TASK_NAMES), max(TASK_NAMES)
    lines.append(f"{BABI:{wide}}{'words':>6}{'words':>8}  --task {low} to {high}; `write {BABI}`: files")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no such letter, or a name of a file that is none: escaped, never an error.
            stream.reconfigure(errors="backslashreplace")
    parser = Parser(prog="python -m tasks", description="Look at the tasks.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="name every task, its sizes and its lengths", allow_abbrev=False)
    shower = commands.add_parser("show", help="draw one random example as text", allow_abbrev=False)
    shower.add_argument(
        "name",
        type=task_name,
        metavar="NAME",
        help=f"{', '.join((*TASKS, BABI))}, or a class of your own, FILE.py:NAME or MODULE:NAME",
    )
    shower.add_argument(
        "--length",
        type=whole_number(1, 1000),
        metavar="N",
        help="difficulty of the example; without it, one drawn from the training range",
    )
    writer = commands.add_parser("write", help="write generated bAbI stories as files", allow_abbrev=False)
    writer.add_argument("name", choices=[BABI], metavar=BABI, help="the only tasks that are files")
    writer.add_argument("out", type=folder, metavar="OUT", help="folder for the files, made if it is not there")
    for one, default in ((shower, None), (writer, [*TASK_NAMES])):
        one.add_argument("--task", type=babi.task_numbers, default=default, metavar="N", help="bAbI task, such as 7")
        one.add_argument(
            "--seed",
            type=whole_number(0, 2**63 - 1),
            metavar="N",
            default=0,
            help="another seed, another example",
        )
        babi.add_difficulty(one)
    size = writer.add_mutually_exclusive_group()
    size.add_argument("--questions", type=whole_number(1, 10**8), default=1000, metavar="N", help="in each file")
    size.add_argument("--stories", type=whole_number(1, 10**8), metavar="N", help="in each file, instead")
    writer.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "show":
            print(show(shower, chosen))
        elif chosen.command == "write":
            print(write(writer, chosen))
        elif chosen.command == "list":
            print(listing())
        else:
            parser.print_help()
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        parser.error("numpy is not installed; pip install -e '.[experiments]' brings it")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
