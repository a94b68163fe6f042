"""A process may die at any moment: what it leaves is begun again or gone on with, and nothing else is touched."""

import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from experiments.__main__ import main
from experiments.base.files import UserError, write_whole
from experiments.domains.stories.tasks import Babi
from experiments.runs.checkpoint import read_progress
from experiments.runs.folder import RunFolder, is_locked
from experiments.runs.metrics import read_metrics
from experiments.training.trainer import Trainer
from tests import story_runs, test_training
from tests.configurations import configured
from tests.forked import Forked
from tests.running import TINY, start_in_terminal

Capture = pytest.CaptureFixture[str]
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")


class Killed(BaseException):
    """The process is dead."""


class Begun(BaseException):
    """The training begins."""


class Death:
    """Comes after so many changes of files below a folder; from then on there can be no more."""

    def __init__(self) -> None:
        self.place, self.changes = "", 0
        sys.addaudithook(self._see)

    @contextmanager
    def after(self, changes: int, place: Path) -> Iterator[None]:
        self.place, self.changes = str(place), changes
        try:
            yield
        finally:
            self.place = ""

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        changes = event in _CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & _WRITING)
        if self.place and changes and str(args[0]).startswith(self.place):
            self.changes -= 1
            if self.changes < 0:
                raise Killed


DEATH = Death()


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(*args: object) -> None:
        raise Begun

    monkeypatch.setattr(Trainer, "train", begin)


@pytest.mark.usefixtures("no_training")
def test_killed_while_its_folder_is_made_a_run_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """One that keeps its words there, too."""
    train, data = story_runs.train, story_runs.config_of(tmp_path / "none").learned.data()
    monkeypatch.setattr(Babi, "data", lambda _: data)
    whole = tmp_path / "whole"
    with pytest.raises(Begun):
        train(whole)
    for changes in range(100):
        run = tmp_path / str(changes)
        try:
            with DEATH.after(changes, run):
                train(run)
        except Killed:
            pass
        except Begun:
            break
        made = (run / "checkpoint.safetensors").exists()
        if made:
            assert train(run) == 2
            assert "continue a run with --resume" in capsys.readouterr().err
        with pytest.raises(Begun):
            main(["train", "--resume", str(run)]) if made else train(run)
        assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}, changes
    assert changes > 8


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("left", [[], ["figures"], ["figures", "config.yaml"]], ids=str)
def test_only_a_half_made_run_is_made_anew(left: list[str], tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").touch()
    (run / ".config.yaml.0123abcd.part").write_text("task: co")
    for name in left:
        (run / name).mkdir() if name == "figures" else (run / name).write_text("task: copy\n")
    for foreign in ("notes", "figures/mine.png", ".hidden", "metrics.jsonl", ".book.part"):
        path = run / foreign
        if path.parent.exists():
            path.write_text("mine")
            assert test_training.train(run) == 2
            assert "choose another --out" in capsys.readouterr().err
            assert path.read_text() == "mine"
            path.unlink()
    if "config.yaml" not in left:
        assert main(["train", "--resume", str(run)]) == 2
        assert "killed while it was made: begin it again" in capsys.readouterr().err
    with pytest.raises(Begun):
        test_training.train(run)
    assert not list(run.glob(".*.part"))
    lone = tmp_path / "lone"
    lone.mkdir()
    (lone / "config.yaml").write_text("task: copy\n")
    assert main(["train", "--config", str(lone / "config.yaml"), *TINY, "--out", str(lone)]) == 2
    assert (lone / "config.yaml").read_text() == "task: copy\n"


def test_a_new_run_is_held_by_the_lock_under_which_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked, flock = [], fcntl.flock

    def noting(file: IO[Any], how: int) -> None:
        locked.append(Path(file.name).name)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", noting)
    config = configured("copy", out=str(tmp_path / "run"))
    with RunFolder.at_work(config) as folder:
        assert locked.count(".lock") == 1
        assert is_locked(folder.path)
        folder.config.unlink()
        with pytest.raises(UserError, match="in use by another process"):
            RunFolder.create(config)
    assert not is_locked(folder.path)


def test_halves_of_files_go_when_their_writer_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("task: copy\n")
    (tmp_path / "figures" / "training").mkdir(parents=True)
    dead = [tmp_path / ".a.01234567.part", tmp_path / "figures" / "training" / ".b.png.89abcdef.part"]
    for path in dead:
        path.write_text("half")
    replace = os.replace

    def meanwhile(source: Path, target: Path) -> None:
        with RunFolder(tmp_path).locked():
            assert source.exists()
        replace(source, target)

    monkeypatch.setattr(os, "replace", meanwhile)
    write_whole(tmp_path / "c", "whole")
    assert not any(path.exists() for path in dead)
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "figures", ".lock", "c"}
    monkeypatch.undo()
    (tmp_path / ".c.01234567.part").write_text("half")
    write_whole(tmp_path / "c", "whole")
    assert not list(tmp_path.glob(".*.part"))


LONG = [*TINY, "--steps", "100000", "--log-every", "1", "--checkpoint-every", "100000"]


def trained(run: Path) -> int:
    """Steps of which there are metrics."""
    path = run / "metrics.jsonl"
    return len(read_metrics(path)) if path.exists() else 0


def closed_when(ready: Callable[[], bool], process: Forked, terminal: int) -> int:
    """The exit code of a process whose terminal is closed in time."""
    shown = b""
    with ending(process):
        while not ready():
            assert process.poll() is None, shown.decode()
            if select.select([terminal], [], [], 0.05)[0]:
                shown += os.read(terminal, 65536)
        os.close(terminal)
        return process.wait(60)


@contextmanager
def ending(process: Forked) -> Iterator[None]:
    """Leave no process behind, whatever a test finds."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_closed_terminal_leaves_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process, terminal = start_in_terminal("experiments", "train", "copy", *LONG, "--out", run)
    assert closed_when(lambda: trained(run) >= 5, process, terminal) == 128 + signal.SIGHUP
    assert read_progress(run / "checkpoint.safetensors")["step"] == trained(run)


def test_a_closed_terminal_stops_a_suite_and_its_jobs(tmp_path: Path) -> None:
    suite = tmp_path / "tiny.yaml"
    suite.write_text("parts:\n  - {task: copy, model: gru}\n")
    out = tmp_path / "out"
    process, terminal = start_in_terminal("tests.light_suite", 100, suite, "--out", out)
    begun = out / "copy-gru-s0" / "starts"
    assert closed_when(begun.exists, process, terminal) == 128 + signal.SIGHUP
    assert not is_locked(out / "copy-gru-s0")


def test_a_pipe_whose_reader_has_gone_is_a_closed_terminal(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with (tmp_path / "errors").open("w") as errors:
        process = Forked("experiments", "train", "copy", *LONG, "--out", run, stdout=errors.fileno())
        short = Forked("experiments", "recipes", stderr=errors.fileno())
        assert short.stdout is not None
        short.stdout.close()
        assert process.stderr is not None
        with ending(process), ending(short):
            process.stderr.readline()
            process.stderr.close()
            assert process.wait(60) == 128 + signal.SIGHUP
            assert short.wait(60) == 128 + signal.SIGPIPE
    assert (tmp_path / "errors").read_text() == ""
    assert read_progress(run / "checkpoint.safetensors")["step"] == trained(run)
