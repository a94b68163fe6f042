"""Trained models in small folders: a run's files without those of its training, and the two of save_pretrained.

Those of this program are beside it by their names; before one is used it is copied to where runs are, since whoever
tests it or looks into it writes there.
"""

import filecmp
import os
import secrets
import shutil
from pathlib import Path

from experiments.base.files import UserError
from memnet.pretrained import WEIGHTS

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
# A run's files that tell what it is and what it reached; the others are of its training.
TOLD = ("about.json", "commands.json", "result.json", "evaluation.json", "vocabulary.json")


def pretrained_names() -> list[str]:
    """The trained models that come with this program."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{WEIGHTS}"))


def where(run: str | Path) -> Path:
    """The folder that a run's name means: its own, or that of a pretrained model: copy, or pretrained/copy."""
    path = Path(run)
    place = PRETRAINED / path.name
    known = path.parent in (Path(), Path("pretrained")) and path.name in pretrained_names()
    return place if known and not (path / "config.yaml").is_file() else path


def copied(kept: Path, path: Path) -> Path:
    """A kept model in a folder of its own, made whole or not at all; UserError where another is in its place."""
    if not path.exists():
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            shutil.copytree(kept, part)
            os.rename(part, path)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if not path.exists():  # else another process was faster
                raise UserError(f"cannot copy the pretrained {kept.name} to {path}: {error.strerror}") from None
    weights = path / WEIGHTS
    if not weights.is_file() or not filecmp.cmp(kept / WEIGHTS, weights, shallow=False):
        raise UserError(f"{path} holds another model than the pretrained {kept.name}: move it away, or name its path")
    return path
