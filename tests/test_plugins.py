"""Tasks and models are found by name or place, mean the same from every folder, and are told from what they were."""

import os
from pathlib import Path

import pytest

from experiments.base.files import UserError
from experiments.config.plugins import digest, find, settled

KNOWN = {"copy": "tasks:Copy"}


def test_names_and_places_are_found_and_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("class Task:\n    pass\n")
    place = f"{tmp_path}/mine.py:Task"
    assert find("copy", KNOWN, "task") is find("tasks:Copy", KNOWN, "task")
    monkeypatch.chdir(tmp_path)
    assert find("mine.py:Task", KNOWN, "task") is find(place, KNOWN, "task")
    assert settled("mine.py:Task") == settled(os.path.relpath(place)) == str(Path(place).resolve())
    assert [settled(name) for name in ("copy", "tasks:Copy")] == ["copy", "tasks:Copy"]
    before = digest(place)
    assert before == digest("mine.py:Task")
    assert digest("tasks:Copy") == digest("tasks:Adding") not in (None, before)  # the digest of their module
    (tmp_path / "mine.py").write_text("class Task:\n    steps = 3\n")
    assert digest(place) not in (None, before)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cpoy", "no task is called 'cpoy', did you mean 'copy'?"),
        ("nowhere.at_all:Task", "task nowhere.at_all:Task: no module is called nowhere"),
        ("tasks:Cpoy", "task tasks:Cpoy: tasks has nothing called 'Cpoy'"),
    ],
)
def test_what_is_not_there_is_one_line(name: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        find(name, KNOWN, "task")
    assert str(caught.value) == told
