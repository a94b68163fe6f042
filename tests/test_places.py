"""What users name by a place is found, and what is wrong with it is told in one line."""

import pickle
from pathlib import Path

import pytest

from tasks.__main__ import main
from tasks.places import found

OWN = """
import torch
from tasks import Copy, Batch

class Slow(Copy):
    \"\"\"Copy, and say so.\"\"\"

    def sample(self, batch_size, *, length, generator):
        if length == 13:
            raise KeyError("no luck")
        return super().sample(batch_size, length=length, generator=generator)

class Sized(Copy):
    def __init__(self, size):
        super().__init__()

class Leaving(Copy):
    def __init__(self):
        raise SystemExit(3)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_a_file_is_loaded_once_and_its_classes_travel(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = found(f"{own}:Slow")
    monkeypatch.chdir(own.parent)
    assert found("own.py:Slow") is slow
    assert isinstance(pickle.loads(pickle.dumps(slow())), slow)
    assert found("tasks:RepeatCopy").name == "repeat-copy"


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        (None, "nowhere.at_all:Task", "nowhere.at_all:Task: no module is called nowhere"),
        (None, "{file}:Task", "{file}:Task: there is no file {file}"),
        ("x = 1\n", "{file}:Task", "{file}:Task: {file} has nothing called 'Task'"),
        ("x = 1\nclass Task(:\n", "{file}:Task", "{file}:Task: {file}, line 2: invalid syntax"),
        ("def f():\n    1 / 0\nf()\n", "{file}:f", "{file}:f: {file}, line 2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "{file}:Task", "{file}:Task: {file}, line 2: SystemExit: 3"),
        ("import absent_one\n", "{file}:Task", "{file}:Task: no module is called absent_one"),
    ],
)
def test_what_is_wrong_with_a_place_is_one_line(text: str | None, name: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        found(name.format(file=file))
    assert str(caught.value) == told.format(file=file)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Slow", None),
        ("Batch", "is no task: expected a class of tasks.Task, not <class"),
        ("Sized", "TypeError: Sized.__init__() missing 1 required positional argument: 'size'"),
        ("Leaving", "SystemExit: 3"),
        ("Absent", "has nothing called 'Absent'"),
    ],
)
def test_a_task_of_ones_own_is_shown(
    name: str, told: str | None, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if told is None:
        main(["show", f"{own}:{name}", "--length", "3"])
        shown = capsys.readouterr().out
        main(["show", "copy", "--length", "3"])
        assert shown == capsys.readouterr().out
        told, more = f"{own}, line 10: KeyError: 'no luck'", ["--length", "13"]
    else:
        more = []
    with pytest.raises(SystemExit) as stop:
        main(["show", f"{own}:{name}", *more])
    assert stop.value.code == 2
    assert told in (line := capsys.readouterr().err)
    assert line.count("\n") == 1
