"""python -m experiments keep: the trained model of a run in a small folder, for others."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments.base.files import UserError
from experiments.base.provenance import without_places
from experiments.config.command_line import parse
from experiments.runs.folder import RunFolder
from experiments.runs.kept import TOLD, made_whole
from experiments.training.loading import load_run


@dataclasses.dataclass(frozen=True)
class KeepOptions:
    """Keep the trained model of a run, with its configuration and its tests, in a small folder of its own.

    The folder is a run that can be evaluated, looked into and shown, though not trained on, and the class of the model
    reads it: NTM.from_pretrained(FOLDER).
    """

    run: tyro.conf.Positional[str]
    """The folder of a run that has ended."""
    folder: tyro.conf.Positional[str]
    """The folder to make."""


def keep(args: Sequence[str]) -> int:
    """Write the folder and print where it is; UserError for a run that has not ended."""
    options = parse(KeepOptions, "keep", args)
    folder, place = RunFolder(options.run), Path(options.folder)
    if not folder.read_result():
        raise UserError(f"{folder.path} has not ended: there is no result.json in it")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"{place} is there already: expected the name of a new folder")
    model = load_run(folder.path).model
    with made_whole(place) as part:
        model.save_pretrained(part)
        (part / "config.yaml").write_bytes(folder.config.read_bytes())
        for path in (folder.path / name for name in TOLD):
            if path.exists():
                told = without_places(folder.read_json(path, None))
                (part / path.name).write_text(json.dumps(told, indent=1) + "\n")
    print(place)
    return 0
