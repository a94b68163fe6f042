"""Imports run one way: experiments to tasks and memnet, never back, and memnet brings little with it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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


def test_memnet_needs_torch_einops_and_numpy_alone() -> None:
    allowed = {"memnet", "torch", "einops", "numpy"} | sys.stdlib_module_names
    for path in files_of("memnet"):
        assert imported_by(path) <= allowed, path
    assert "torch" in imported_by(ROOT / "memnet" / "ntm.py")


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


def test_importing_memnet_brings_no_tracker_and_no_plotting() -> None:
    code = "import sys, memnet; print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"memnet", "torch"} <= loaded
    assert not loaded & {"wandb", "matplotlib", "tasks", "experiments"}
