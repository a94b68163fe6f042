"""The READMEs' tables of models and tasks, from the registry: `python -m tests.readme_tables` puts them there.

The first page has a line for every family, the pages of the library and of the data a line for every model and task.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from os.path import relpath
from pathlib import Path
from typing import Any

from experiments.base.files import write_whole
from experiments.config.registry import DOMAINS, MODEL_FAMILIES, TASK_FAMILIES, Model, at

ROOT = Path(__file__).parents[1]
HEADS = {
    "README.md": "| models | for | names |\n|---|---|---|\n",
    "memnet/README.md": "## All models by name\n\n",
    "tasks/README.md": "## All tasks by name\n\n",
}


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _domains(models: Mapping[str, Model]) -> str:
    """The domains that have these models."""
    having = (name for name, domain in DOMAINS.items() if models.items() <= domain.models.items())
    return ", ".join(having)


def _domains_of(tasks: Mapping[str, str]) -> str:
    return ", ".join(dict.fromkeys(at(place).domain for place in tasks.values()))


def anchor(heading: str) -> str:
    """How a link names a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _linked(family: str, page: str) -> str:
    return f"[{family}]({page}#{anchor(family)})"


def families() -> str:
    """A line for every family: whom it is for, and the names in it."""
    models = [
        f"| {_linked(family, 'memnet/README.md')} | {_domains(some)} | {_names(some)} |\n"
        for family, some in MODEL_FAMILIES.items()
    ]
    tasks = [
        f"| {_linked(family, 'tasks/README.md')} | {_domains_of(some)} | {_names(some)} |\n"
        for family, some in TASK_FAMILIES.items()
    ]
    return "".join([HEADS["README.md"], *models, "\n| tasks | of | names |\n|---|---|---|\n", *tasks])


def _row(names: Iterable[str], thing: Any, folder: Path, *more: str) -> str:
    """Names, linked to the file, what else is told, and the first line of the docstring."""
    path = relpath(inspect.getsourcefile(thing) or "", folder)
    first = (inspect.getdoc(thing) or "").splitlines()[0].rstrip(".")
    return f"| {' | '.join([f'[{_names(names)}]({path})', *more, first])} |\n"


def models() -> str:
    """A table for every family of models, with a line for every class."""
    parts = []
    for family, some in MODEL_FAMILIES.items():
        named: dict[str, list[str]] = {}
        for name, model in some.items():
            named.setdefault(model.place, []).append(name)
        rows = "".join(_row(names, at(place), ROOT / "memnet") for place, names in named.items())
        parts.append(f"### {family}\n\n| for {_domains(some)} | what it is |\n|---|---|\n{rows}")
    return HEADS["memnet/README.md"] + "\n".join(parts)


def tasks() -> str:
    """A table for every family of tasks, with a line for each."""
    parts = []
    for family, some in TASK_FAMILIES.items():
        rows = "".join(_row([name], at(place), ROOT / "tasks", at(place).domain) for name, place in some.items())
        parts.append(f"### {family}\n\n| task | of | what it is |\n|---|---|---|\n{rows}")
    return HEADS["tasks/README.md"] + "\n".join(parts)


TABLES: dict[str, Callable[[], str]] = {"README.md": families, "memnet/README.md": models, "tasks/README.md": tasks}


def renewed(page: str) -> str:
    """A README with its tables as they are now: all between their head and the next part of the page, or its end."""
    text, head = (ROOT / page).read_text(), HEADS[page]
    start = text.index(head)
    end = text.find("\n## ", start + len(head))
    return text[:start] + TABLES[page]() + (text[end:] if end >= 0 else "")


if __name__ == "__main__":
    for page in TABLES:
        write_whole(ROOT / page, renewed(page))
