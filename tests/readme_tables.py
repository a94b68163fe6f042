"""The README's table of models and tasks, from the registry: `python -m tests.readme_tables` puts it there."""

import inspect
from pathlib import Path
from typing import Any

from experiments.base.files import write_whole
from experiments.config.registry import DOMAINS, TASKS, at

README = Path(__file__).parents[1] / "README.md"
HEAD = "| model, task | of | what it is |\n|---|---|---|\n"


def table() -> str:
    """A line for every model, with the domains that it is for, and for every task, with its domain."""
    models: dict[str, tuple[list[str], list[str]]] = {}
    for domain, own in DOMAINS.items():
        for name, model in own.models.items():
            names, domains = models.setdefault(model.place, ([], []))
            names.append(name)
            domains.append(domain)
    lines = [_line(names, domains, at(place)) for place, (names, domains) in models.items()]
    lines += [_line([name], [at(place).domain], at(place)) for name, place in TASKS.items()]
    return HEAD + "".join(lines)


def _line(names: list[str], domains: list[str], thing: Any) -> str:
    first = (inspect.getdoc(thing) or "").splitlines()[0].rstrip(".")
    shown = [", ".join(f"`{name}`" for name in dict.fromkeys(names)), ", ".join(dict.fromkeys(domains)), first]
    return f"| {' | '.join(shown)} |\n"


def renewed(text: str) -> str:
    """The README with the table as it is now."""
    start = text.index(HEAD)
    return text[:start] + table() + text[text.index("\n\n", start) + 1 :]


if __name__ == "__main__":
    write_whole(README, renewed(README.read_text()))
