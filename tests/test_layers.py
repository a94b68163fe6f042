"""Imports run one way: experiments to tasks and memnet, never back, and within each from its roof to its ground."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The floors of each package from the ground up, each a list of rooms, each room its files and folders. Who is in a room
# imports from the floors below and from that room, never from another one of the same floor.
Floors = list[list[str]]
FLOORS: dict[str, Floors] = {
    "memnet": [
        ["checks", "files", "settings", "torch_private", "state", "recompute", "functional"],
        ["trace", "pretrained"],
        ["cells", "decoding"],
        ["unroll"],
        ["native"],
        ["snapshot", "first_state"],
        ["straight", "answers"],
        ["sequence", "encoding", "diagnostics"],
        ["story", "controlled"],
        ["blocks", "mixers", "structures", "leveled"],
        ["inner"],
        ["models", "readers", "abilities", "export"],
        ["__init__"],
    ],
    "experiments": [
        ["__init__"],
        ["base"],
        ["config", "runs", "figures", "web"],
        ["training", "dashboard", "report"],
        [
            *("domains", "domains/sequences", "domains/stories", "domains/text", "domains/translation"),
            *("domains/captions", "inspector", "benchmark", "gradients", "suite", "commands"),
        ],
        ["__main__"],
    ],
}


# ------------------------------------------------------------------------------------------------- rooms and floors


def modules_of(root: Path, package: str) -> dict[str, Path]:
    """The files of a package by their dotted names."""
    return {
        ".".join((package, *path.relative_to(root / package).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted((root / package).rglob("*.py"))
    }


@cache
def arrows_of(root: Path, package: str) -> dict[str, set[str]]:
    """Which modules of a package each of them imports, also within functions and for types alone."""
    modules = modules_of(root, package)
    return {name: {one for one in imported(name, path, modules) if one in modules} for name, path in modules.items()}


def imported(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules that a module names in its imports; `from package import module` names the module."""
    within = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = within[: len(within) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                module = f"{source}.{alias.name}"
                yield module if module in modules else source


def place_of(name: str, floors: Floors) -> tuple[int, int]:
    """Floor and room of a module, by the longest path in the list that leads to it."""
    _, *parts = name.split(".")
    found = [
        (len(path), floor, room)
        for floor, rooms in enumerate(floors)
        for room, paths in enumerate(rooms)
        for path in (one.split("/") for one in paths.split())
        if (parts or ["__init__"])[: len(path)] == path
    ]
    assert found, f"{name} is in no room of FLOORS"
    return max(found)[1:]


def climbing(arrows: dict[str, set[str]], floors: Floors) -> set[tuple[str, str]]:
    """The arrows that end on their own floor in another room, or higher."""
    places = {name: place_of(name, floors) for name in arrows}
    return {
        (name, other)
        for name, others in arrows.items()
        for other in others
        if places[name] != places[other] and places[name][0] <= places[other][0]
    }


def circle_in(arrows: dict[str, set[str]]) -> Sequence[str]:
    """Modules that import one another in a circle, if there are any."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_downwards(package: str) -> None:
    assert not climbing(arrows_of(ROOT, package), FLOORS[package])


@pytest.mark.parametrize("package", FLOORS)
def test_no_modules_import_one_another_in_a_circle(package: str) -> None:
    assert not circle_in(arrows_of(ROOT, package))


@pytest.mark.parametrize("package", FLOORS)
def test_the_rooms_are_there(package: str) -> None:
    """Every path in the list leads to a file or folder, and none stands twice."""
    paths = [path for rooms in FLOORS[package] for room in rooms for path in room.split()]
    assert len(set(paths)) == len(paths)
    for path in paths:
        place = ROOT / package / path
        assert place.is_dir() or place.with_name(f"{place.name}.py").is_file(), path


def test_every_way_to_import_is_seen(tmp_path: Path) -> None:
    """Each line below climbs from floor 0 to floor 1, but for the last, which stays in its room."""
    lines = {
        "one": "from house import high",
        "two": "import house.high.top",
        "three": "def late():\n    from house.high.top import name",
        "four": "from house.high import top as roof",
        "five": "from .high import top",
        "six": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.high.top import Kind",
        "seven": "from house import six",
    }
    (tmp_path / "house" / "high").mkdir(parents=True)
    for name, text in {"__init__": "", "high/__init__": "", "high/top": "name, Kind = 1, int", **lines}.items():
        (tmp_path / "house" / f"{name}.py").write_text(text)
    arrows = arrows_of(tmp_path, "house")
    found = climbing(arrows, [["__init__", " ".join(lines)], ["high"]])
    assert {name for name, _ in found} == {f"house.{name}" for name in lines if name != "seven"}
    assert arrows["house.seven"] == {"house.six"}
    assert not circle_in(arrows)
    arrows["house.six"].add("house.seven")
    assert set(circle_in(arrows)) == {"house.six", "house.seven"}


# ------------------------------------------------------------------------------------------------- between packages


def files_of(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no files in {package}/"
    return files


def imported_by(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere, also within functions; relative imports stay within one."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names.add(node.module.partition(".")[0])
    return names


def test_memnet_needs_little() -> None:
    """Torch, einops and safetensors; of extras what is imported where it is asked for."""
    allowed = {"memnet", "torch", "einops", "numpy", "safetensors", "huggingface_hub"} | sys.stdlib_module_names
    for path in files_of("memnet"):
        assert imported_by(path) <= allowed, path
    assert "torch" in imported_by(ROOT / "memnet" / "models" / "ntm.py")


def test_tasks_know_neither_memnet_nor_experiments() -> None:
    for path in files_of("tasks"):
        assert not imported_by(path) & {"memnet", "experiments"}, path


@pytest.mark.parametrize("package", ["memnet", "tasks"])
def test_nothing_imports_the_rooms_above_it(package: str) -> None:
    for path in files_of(package):
        assert not imported_by(path) & {"experiments", "tests"}, path


def test_tasks_bear_no_names_of_the_standard_library() -> None:
    """A tasks/copy.py would hide the standard library's from every python started in that folder."""
    for path in files_of("tasks"):
        assert path.stem not in sys.stdlib_module_names, path
    folders = {path.parent.name for path in files_of("tasks")}
    assert not folders & sys.stdlib_module_names


@pytest.mark.parametrize(("package", "one", "others"), [("memnet", "NTM", "models.dnc"), ("tasks", "Copy", "glyphs")])
def test_what_a_package_exports_is_imported_when_it_is_asked_for(package: str, one: str, others: str) -> None:
    code = f"""
import sys, {package}
{package}.{one}
assert "{package}.{others}" not in sys.modules
assert set({package}.__all__) <= {{*vars({package}), *{package}._modules(), "TASKS"}}
from {package} import *
assert "{package}.{others}" in sys.modules
assert {{*{package}.__all__}} <= {{*dir({package})}}
assert not hasattr({package}, "nothing") and not hasattr({package}, "__main__")
print(all(name in globals() for name in {package}.__all__))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_a_recurrent_cell_that_is_imported_alone_has_its_operator(name: str) -> None:
    code = f"""
import torch
from memnet.cells import {name}
from memnet.unroll import unroll_fast
cell = {name}(3, 4)
print(unroll_fast(cell, torch.rand(2, 5, 3), cell.initial_state(2), None)[0].shape[1])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "5\n"


def test_importing_memnet_brings_no_tracker_and_no_plotting_and_builds_nothing(tmp_path: Path) -> None:
    code = """
import sys, memnet
memnet.NTM(3, 2).backend = "native"
print(*{name.partition(".")[0] for name in sys.modules})
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MEMNET_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"memnet", "torch"} <= loaded
    assert not loaded & {"wandb", "matplotlib", "tasks", "experiments"}
    assert list(tmp_path.iterdir()) == []
