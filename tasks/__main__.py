"""Look at the tasks: `python -m tasks list`, `python -m tasks show NAME`."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import torch

from . import TASKS


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def task_name(text: str) -> str:
    if text not in TASKS:
        nearest = difflib.get_close_matches(text, TASKS, n=1, cutoff=0)[0]
        raise argparse.ArgumentTypeError(f"no task is called {text!r}; the nearest is {nearest!r}")
    return text


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def show(parser: Parser, name: str, length: int | None, seed: int) -> str:
    task = TASKS[name]()
    generator = torch.Generator().manual_seed(seed)
    try:
        batch = task.sample(1, length=length or task.length_range, generator=generator)
    except ValueError as error:
        parser.error(str(error))
    return task.render(batch)


def listing() -> str:
    lines = [f"{'NAME':20}{'INPUT':>6}{'OUTPUT':>8}  {'TRAINED AT':16}TESTED AT"]
    for name, kind in TASKS.items():
        task = kind()
        low, high = task.length_range
        trained = f"{low} {task.length_unit}" if low == high else f"{low}-{high} {task.length_unit}"
        tested = ", ".join(map(str, task.test_lengths))
        lines.append(f"{name:20}{task.input_size:6}{task.output_size:8}  {trained:16}{tested}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = Parser(prog="python -m tasks", description="Look at the tasks.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="name every task, its sizes and its lengths", allow_abbrev=False)
    shower = commands.add_parser("show", help="draw one random example as text", allow_abbrev=False)
    shower.add_argument("name", type=task_name, metavar="NAME", help=", ".join(TASKS))
    shower.add_argument(
        "--length",
        type=whole_number(1, 1000),
        metavar="N",
        help="difficulty of the example; without it, one drawn from the training range",
    )
    shower.add_argument(
        "--seed",
        type=whole_number(0, 2**63 - 1),
        metavar="N",
        default=0,
        help="another seed, another example",
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "show":
        print(show(shower, chosen.name, chosen.length, chosen.seed))
    elif chosen.command == "list":
        print(listing())
    else:
        parser.print_help()


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
