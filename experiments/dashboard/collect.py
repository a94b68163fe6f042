"""All runs below a folder as the plain data that the page shows."""

import datetime
import hashlib
import os
import statistics
from pathlib import Path
from typing import Any

from experiments.base.files import UserError
from experiments.base.names import model_label
from experiments.config.parts import JudgedConfig
from experiments.config.settings import differences
from experiments.dashboard.curves import pairs, short
from experiments.dashboard.groups import chosen_error, copies_of, family_of, group_runs, lengths_of
from experiments.dashboard.look import MODELS
from experiments.dashboard.runs import MARKS, Run, read_run, signature
from experiments.dashboard.stories import story_table
from experiments.domains.stories.config import READERS, StoryConfig

# Folders of the tracker hold files of these names, too.
_TRACKER = "wandb"


class Collector:
    """Reads all runs below a folder, and of those that it read before only what changed.

    folder: holds run folders at any depth, or is one.
    base:   where the page will lie; paths in the data are relative to it.
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self._known: dict[Path, tuple[tuple[object, ...], Run]] = {}

    def version(self) -> str:
        """Changes whenever `read` would give something else, apart from the time. UserError as for `read`."""
        states = [signature(path) for path in find_runs(self.folder)]
        return hashlib.sha256(repr(states).encode()).hexdigest()[:16]

    def read(self) -> dict[str, Any]:
        """Everything the page shows, JSON-ready but for numbers that are not finite.

        UserError where the folder is none, holds no run that can be read, or is itself a half-written one.
        """
        paths = find_runs(self.folder)
        known: dict[Path, tuple[tuple[object, ...], Run]] = {}
        for path in paths:
            state = signature(path)
            earlier = self._known.get(path)
            known[path] = earlier if earlier is not None and earlier[0] == state else (state, read_run(path))
        self._known = known
        runs = [run for _, run in known.values()]
        if paths == [self.folder] and runs[0].troubles:
            raise UserError(runs[0].troubles[0])
        if all(run.config is None for run in runs):
            raise UserError(f"no run in {self.folder} can be read: {runs[0].troubles[0]}")
        copies = copies_of(runs)
        groups, stories = group_runs(runs, copies), story_table(runs, copies)
        return {
            "folder": str(self.folder.resolve()),
            "read_at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "models": {key: look for key, look in MODELS.items() if any(group["model"] == key for group in groups)},
            "runs": [self._run(run) | {"copy_of": copies.get(place)} for place, run in enumerate(runs)],
            "groups": groups,
            "stories": stories,
        }

    def _run(self, run: Run) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "name": name_within(self.folder, run.path),
            "path": os.path.relpath(run.path.resolve(), self.base.resolve()),
            "status": run.status,
            "troubles": run.troubles,
            "files": run.files,
            "figures": run.figures,
            "changed": datetime.datetime.fromtimestamp(run.changed).astimezone().isoformat(timespec="minutes"),
        }
        config = run.config
        if config is None:
            return facts
        metric, unit, _ = config.measured
        return facts | {
            "family": family_of(config),
            "subject": config.subject,
            "model": model_label(config),
            "by_word": isinstance(config, StoryConfig) and config.model in READERS,
            "recipe": config.recipe,
            "setting": differences(config),
            "seed": config.seed,
            "unit": unit,
            "sequences": short(run.last.get("sequences")),
            "seconds": short(run.last.get("perf/seconds")),
            "judged": isinstance(config, JudgedConfig) and config.solved_at is not None,
            "to_solve": short(run.to_solve),
            "valid": short(run.valid.get(f"valid/{metric}")),
            **_exact(run),
            "test": _test(run),
            "command": run.result.get("command"),
            "versions": run.result.get("versions"),
            "curves": {part: pairs(curve) for part, (curve, _) in run.curves.items()},
        }


def find_runs(folder: Path) -> list[Path]:
    """The run folders below a folder, whole or half written, in order; the folder itself where it is one.

    UserError where there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one that holds run folders, as `train` leaves them")
    found: list[Path] = []
    for place, below, files in os.walk(folder):
        path = Path(place)
        if path != folder and set(MARKS) & set(files):
            found.append(path)
            below.clear()
        below[:] = [name for name in below if name != _TRACKER and not name.startswith(".")]
    if not found and any((folder / name).is_file() for name in MARKS):
        return [folder]
    if not found:
        raise UserError(f"{folder} holds no run: expected folders with a config.yaml, as `train` leaves them")
    return sorted(found, key=_natural)


def name_within(folder: Path, path: Path) -> str:
    """What a run below a folder, or the folder itself, is called."""
    return path.resolve().name if path == folder else os.path.relpath(path, folder)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that puts s2 before s10."""
    pieces: list[str] = []
    for character in str(path):
        if pieces and pieces[-1].isdecimal() == character.isdecimal():
            pieces[-1] += character
        else:
            pieces.append(character)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _exact(run: Run) -> dict[str, Any]:
    """The greatest length of which every test sequence was right, and how many those were."""
    exact = [(length, short(row.get("sequences"))) for length, row in lengths_of(run) if row.get("exact_share") == 1]
    length, sequences = max(exact, key=lambda test: (test[0], test[1] or 0), default=(None, None))
    return {"exact_to": length, "exact_of": sequences}


def _test(run: Run) -> dict[str, Any] | None:
    """The test of a run in one number: exact sequences at its longest length, or the mean error on stories."""
    if isinstance(run.config, JudgedConfig):
        shares = [(length, short(row.get("exact_share"))) for length, row in lengths_of(run)]
        length, share = max(((length, share) for length, share in shares if share is not None), default=(None, None))
        return None if share is None else {"value": share, "length": length}
    own = [row for row in run.tests if row.get("tested_on") == row.get("trained_on")]
    errors = [error for row in own or run.tests if (error := chosen_error(run, row)) is not None]
    return {"value": short(statistics.fmean(errors))} if errors else None
