"""The folder that one training run leaves.

config.yaml              the full configuration; --config reads it back
about.json               what is to be told of the run, for whoever knows neither its task nor its model
commands.json            the command that began the run, then those that resumed it
metrics.jsonl            one line a logged step, the record of truth
checkpoint.safetensors   everything that --resume needs, always the latest
weights.safetensors      the model's weights alone, after training
config.json, model.safetensors    in place of them where the model alone was kept, by `keep`: see save_pretrained
result.json              how the run ended, with versions and commit
evaluation.json          the test table
vocabulary.json          runs on stories or translation: the words, in the order of their numbers, and the sizes that
                         follow from them; runs on text: the characters
failures.jsonl           sequences of the tests with wrong bits; runs on stories or translation have answers.jsonl
figures/                 pictures
figures/training/        pictures by step, always of the same sequence or questions
"""

import contextlib
import fcntl
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml

from experiments.base.files import UserError, is_part, remove_parts, write_whole
from experiments.base.provenance import command, without_places
from experiments.base.reading import expect, read_json, read_yaml
from experiments.runs.kept import opened, pretrained_names
from experiments.runs.outcomes import check_result
from experiments.runs.tests import TestRow, check_tests, merged
from memnet.pretrained import WEIGHTS

RUNS = Path("runs")
COMMIT = "MEMNET_COMMIT"
# Who only looks whether a run is locked holds it for a moment.
_LOCK_TRIES = 6
# Beside figures/ what is there before the first checkpoint.
_MADE_FIRST = ("config.yaml", "commands.json", "vocabulary.json", "about.json")


class Saved(Protocol):
    """A configuration as its folder needs it."""

    @property
    def label(self) -> str:
        """Task and model in short."""

    @property
    def run(self) -> Any:
        """With the seed."""

    @property
    def where(self) -> Any:
        """With out, where the run goes, None for a free name; and resume, the run that it goes on with, if any."""

    def mapping(self) -> dict[str, Any]:
        """Plain data."""


class RunFolder:
    """Paths of a run. `create` makes a new one, the constructor opens one that exists."""

    def __init__(self, path: str | Path) -> None:
        """UserError if there is no run at `path`; the name of a pretrained model, too, is one of a run."""
        self.path = opened(path, RUNS / "pretrained")
        self.config, self.metrics = self.path / "config.yaml", self.path / "metrics.jsonl"
        self.checkpoint, self.result = self.path / "checkpoint.safetensors", self.path / "result.json"
        self.evaluation, self.vocabulary = self.path / "evaluation.json", self.path / "vocabulary.json"
        self.failures, self.answers = self.path / "failures.jsonl", self.path / "answers.jsonl"
        self.figures = self.path / "figures"
        if not self.config.is_file():
            killed = self.path.is_dir() and any(self.path.iterdir()) and half_made(self.path)
            again = "; it was killed while it was made: begin it again" if killed else ""
            known = f"; pretrained models: {', '.join(pretrained_names())}" if self.path.parent == Path() else ""
            raise UserError(f"{self.path} is no run folder: there is no config.yaml in it{again or known}")

    @classmethod
    def create(cls, config: Saved) -> "RunFolder":
        """Make the folder of a new run: config.out, or the first free name under runs/.

        What a process that was killed while it made a run has left there is made anew. UserError if the folder cannot
        be written, holds anything else, or is being made by another process.
        """
        with contextlib.ExitStack() as holding:
            return cls._made(config, holding)

    @classmethod
    @contextlib.contextmanager
    def at_work(cls, config: Saved) -> Iterator["RunFolder"]:
        """The folder of a training, made as by `create`, or that which it resumes, held as by `locked` from then on."""
        with contextlib.ExitStack() as holding:
            folder = cls(config.where.resume) if config.where.resume else cls._made(config, holding)
            if config.where.resume:
                holding.enter_context(folder.locked())
            yield folder

    @classmethod
    def _made(cls, config: Saved, holding: contextlib.ExitStack) -> "RunFolder":
        """A new folder, held as long as the stack is open."""
        base = f"{config.label}-s{config.run.seed}"
        path = Path(config.where.out) if config.where.out is not None else claim(RUNS / base)
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_free(path)
            holding.enter_context(_held(path))
            _check_free(path)  # by now another process may have made a run here
            for name in _MADE_FIRST:
                (path / name).unlink(missing_ok=True)
            (path / "figures").mkdir(exist_ok=True)
            write_whole(path / "commands.json", _listed([command()]))
            write_whole(path / "config.yaml", yaml.safe_dump(config.mapping(), sort_keys=False))
        except FileExistsError:
            raise UserError(f"{path} is a file: choose another --out") from None
        except OSError as error:
            raise UserError(f"cannot write the run folder {path}: {error.strerror}") from None
        return cls(path)

    @property
    def name(self) -> str:
        """What the run is called: as its folder; a seed's, s0 say, is named after the folder around it, too."""
        path = self.path.resolve()
        return f"{path.parent.name}-{path.name}" if re.fullmatch(r"s\d+", path.name) else path.name

    @property
    def kept(self) -> bool:
        """Whether it is of a trained model alone, as `keep` leaves it."""
        return (self.path / WEIGHTS).exists() and not self.checkpoint.exists()

    @property
    def weights(self) -> Path:
        """The weights alone, of a run that has ended."""
        return self.path / (WEIGHTS if self.kept else "weights.safetensors")

    @property
    def latest_weights(self) -> Path:
        """What holds the model: where training has not ended, the checkpoint."""
        return self.weights if self.weights.exists() else self.checkpoint

    def training_picture(self, step: int) -> Path:
        """The picture drawn after a step."""
        return self.figures / "training" / f"step-{step:06d}.png"

    def training_pictures(self) -> dict[int, Path]:
        """The pictures drawn in training by their step, in order."""
        found = {re.fullmatch(r"step-(\d+)", path.stem): path for path in (self.figures / "training").glob("*.png")}
        return dict(sorted((int(match[1]), path) for match, path in found.items() if match is not None))

    def read_saved(self) -> dict[str, Any]:
        """The saved configuration as plain data; UserError where it was damaged."""
        content: dict[str, Any] = read_yaml(self.config, "a configuration")
        expect(content, dict[str, Any], self.config)
        return content

    def read_json(self, path: Path, default: Any) -> Any:
        """A JSON file of the folder, or the default where it is absent; UserError where it was damaged."""
        try:
            return read_json(path)
        except FileNotFoundError:
            return default

    def read_result(self, *needed: str) -> dict[str, Any]:
        """result.json, empty where it is absent; UserError where it was damaged, or is there and lacks what is needed.

        needed: keys.
        """
        result: dict[str, Any] = self.read_json(self.result, {})
        check_result(result, self.result)
        if lacking := [name for name in needed if result and name not in result]:
            raise UserError(f"{self.result} lacks {lacking[0]!r}: expected what `train` leaves at its end")
        return result

    def read_tests(self) -> list[TestRow]:
        """The rows of evaluation.json, none where it is absent; UserError where it was damaged."""
        return check_tests(self.read_json(self.evaluation, []), self.evaluation)

    def read_vocabulary(self, kind: Any) -> dict[str, Any]:
        """vocabulary.json of a form, see `expect`; UserError where it is missing or damaged."""
        content: dict[str, Any] | None = self.read_json(self.vocabulary, None)
        if content is None:
            raise UserError(f"{self.vocabulary} is missing")
        expect(content, kind, self.vocabulary)
        return content

    def commands(self) -> list[str]:
        """The command that began the run, then those that resumed it; UserError where the file was damaged."""
        # Runs of earlier versions tell one command, and that at their end.
        path = self.path / "commands.json"
        known: list[str] = self.read_json(path, [self.read_result().get("command", "unknown")])
        expect(known, list[str], path)
        if not known:
            raise UserError(f"{path} is an empty list, expected the command that began the run")
        return known

    def note_resumed(self) -> None:
        """Add the command at work to those that resumed the run."""
        write_whole(self.path / "commands.json", _listed([*self.commands(), command()]))

    def keep_result(self, config: Saved, facts: Mapping[str, Any]) -> None:
        """Write how the run ended: the commands that made it, its configuration, versions, and facts of its kind.

        Of absolute paths the last names, see `without_places`; config.yaml and commands.json have them whole.
        """
        first, *resumes = self.commands()
        told = {"command": first, "resumed_by": resumes, "config": config.mapping(), "versions": versions()}
        write_whole(self.result, json.dumps(without_places({**told, **facts}), indent=1) + "\n")

    def keep_tests(self, rows: Sequence[TestRow]) -> None:
        """Merge rows into the tests that there are; see `merged`."""
        with self.config.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # several tests at once wait for one another
            write_whole(self.evaluation, json.dumps(merged(self.read_tests(), rows), indent=1) + "\n")

    @contextlib.contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the folder for one process; UserError where another holds it. The system frees it on any death.

        Files of which processes that were killed have written a part are removed.
        shared: hold it beside others that share it, and leave everything to `keep_tests`.
        """
        with _held(self.path, shared=shared):
            yield


@contextlib.contextmanager
def _held(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a run's folder, see `RunFolder.locked`."""
    with (path / ".lock").open("w") as file:
        tries = 0
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tries += 1
                if tries > _LOCK_TRIES:
                    raise UserError(f"{path} is in use by another process") from None
                time.sleep(0.05)
        for place in () if shared else (path, path / "figures", path / "figures" / "training"):
            remove_parts(place)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process is at work in the run. Nothing is made or written; a shared lock is tried for a moment."""
    try:
        with (path / ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def half_made(path: Path) -> bool:
    """Whether a folder holds only what a process leaves that is killed while it makes a run: no step of a training."""
    names = {one.name for one in path.iterdir() if not is_part(one)} - {".lock"}
    if "figures" not in names:
        return not names
    figures = path / "figures"
    return names <= {"figures", *_MADE_FIRST} and figures.is_dir() and not any(figures.iterdir())


def _check_free(path: Path) -> None:
    """UserError for a folder in which no run can be made."""
    if not half_made(path):
        holds = "holds a run already" if (path / "config.yaml").exists() else "is not empty"
        raise UserError(f"{path} {holds}: choose another --out, or continue a run with --resume")


def versions() -> dict[str, str]:
    """What a result depends on: versions, processor, and the commit of this checkout where there is one."""
    found = {"python": platform.python_version(), "torch": str(torch.__version__), "machine": platform.machine()}
    root = Path(__file__).resolve().parents[2]
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout
        found["commit"] = commit + (" with changes" if changed.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        # Where only the files were copied to, by a suite.
        found["commit"] = os.environ.get(COMMIT, "unknown")
    return found


def _listed(commands: list[str]) -> str:
    return json.dumps(commands, indent=1) + "\n"


def claim(base: Path) -> Path:
    """Make the first free folder of base, base-2, base-3, ...; two runs at once get two."""
    number = 1
    while True:
        path = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            os.makedirs(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UserError(f"cannot write the run folder {path}: {error.strerror}") from None
        else:
            return path
