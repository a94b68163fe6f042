"""Recipes: parts of a configuration by name, from files of YAML, in the form that config.yaml has.

    paper/copy-lstm:                     a name, for --recipe; of a file of one's own --recipe FILE.yaml:NAME
      about: Graves et al. 2014          a line for people
      from: paper                        another recipe that this one begins with
      task: {name: copy}                 whose it is
      model: {name: lstm, skip: true}    the parts, each as far as it is another than before
      training: {steps: 100}
      when:                              more, where what is chosen fits
        - if: {controller: gru}
          training: {steps: 200}

`default/TASK` is what a task begins with where no recipe is asked for, and all begin with `defaults` of their domain.
Options of a model count for any model of the registry that has them, those of a user's for that one alone.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.reading import expect, misfit, read_own_yaml, read_yaml, shown
from experiments.config.plugins import is_place

PLACE = Path(__file__).parent / "recipes"
DEFAULT = "default"
PARTS = ("task", "model", "training", "run")


class _Named(TypedDict):
    """A task or a model with its options."""

    name: NotRequired[str]


# The form of a recipe, and of what is under its `when`.
_LAYER: dict[str, Any] = {"task": _Named, "model": _Named, "training": dict[str, Any], "run": dict[str, Any]}
_WHEN = _LAYER | {"if": dict[str, Any]}
_RECIPE = _LAYER | {"about": str, "from": str, "when": list[dict[str, Any]], "parameters": int}

Parts = dict[str, dict[str, Any]]


def settings_of(domain: str, task: str, recipe: str, chosen: Mapping[str, str]) -> Parts:
    """What a recipe says for a task: the parts of a configuration, the model's name among them.

    chosen: options that are asked for, as texts, by which recipes may differ.
    UserError for a recipe that there is not, of another task, or in a form that it cannot have.
    """
    parts: Parts = {part: {} for part in PARTS}
    layers = list(_layers(domain, task, recipe))
    names = [layer["model"]["name"] for layer in layers if "name" in layer.get("model", {})]
    model = chosen.get("model") or names[-1]
    for layer in layers:
        known = {**parts["model"], **chosen, "model": model}
        if any(str(known.get(name)) != str(value) for name, value in layer.get("if", {}).items()):
            continue
        for part in ("task", "training", "run"):
            parts[part] |= layer.get(part, {})
        own = layer.get("model", {})
        if own.get("name") == model or not (is_place(model) or is_place(own.get("name", ""))):
            parts["model"] |= own
    parts["model"]["name"] = model
    parts["task"].pop("name", None)
    return parts


def recipe_names(domain: str) -> list[str]:
    """The recipes of a domain that have a task."""
    return [name for name, recipe in recipes_of(domain).items() if "task" in recipe and "name" in recipe["task"]]


@cache
def recipes_of(domain: str) -> dict[str, dict[str, Any]]:
    """All that a domain's file has, by name."""
    known: dict[str, dict[str, Any]] = read_own_yaml(PLACE / f"{domain}.yaml", "recipes")
    return known


def _layers(domain: str, task: str, recipe: str) -> Iterator[Mapping[str, Any]]:
    """What is laid over one another, each with what it is for under `if`, if anything."""
    ours = recipes_of(domain)
    yield from _unfolded("defaults", ours, ())
    if is_place(recipe):
        path, _, name = recipe.rpartition(":")
        known = _read(Path(path))
        if name not in known:
            raise UserError(f"{path} has no recipe called {name!r}{nearest(name, known)}")
        yield from _of_task(recipe, name, ours | known, task)
    elif recipe != DEFAULT:
        names = recipe_names(domain)
        if recipe not in names:
            raise UserError(f"no recipe is called {recipe!r}{nearest(recipe, [DEFAULT, *names])}")
        yield from _of_task(recipe, recipe, ours, task)
    elif f"{DEFAULT}/{task}" in ours:
        yield from _unfolded(f"{DEFAULT}/{task}", ours, ())


def _of_task(asked: str, name: str, known: Mapping[str, Any], task: str) -> list[Mapping[str, Any]]:
    layers = [*_unfolded(name, known, ())]
    whose = known[name].get("task", {}).get("name", task)
    if whose != task:
        raise UserError(f"recipe {asked} is for {whose}, not {task}")
    return layers


def _unfolded(
    name: str, known: Mapping[str, Mapping[str, Any]], before: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    recipe: Mapping[str, Any] = known[name]
    _check(name, recipe, _RECIPE)
    for more in recipe.get("when", []):
        _check(name, more, _WHEN)
    if (base := recipe.get("from")) is not None:
        if base not in known or base in (*before, name):
            raise UserError(f"recipe {name} is from {base!r}, expected the name of another recipe")
        yield from _unfolded(base, known, (*before, name))
    yield recipe
    yield from recipe.get("when", [])


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The recipes in a user's file, each to be checked where it is used; UserError for a file of none."""
    content = read_yaml(path, "recipes")
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no recipes: expected a mapping of names, not {shown(content)}")
    return content


def _check(name: str, layer: Any, form: Mapping[str, Any]) -> None:
    """UserError for what is not of a form. Options are checked where they are used."""
    expect(layer, dict[str, Any], f"recipe {name}")
    for key, value in layer.items():
        if key not in form:
            raise UserError(f"recipe {name}: no part is called {key!r}{nearest(key, form)}")
        if trouble := misfit(value, form[key], key):
            raise UserError(f"recipe {name}: {trouble}")
