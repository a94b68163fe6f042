"""Trained models in small folders: a run's files without those of its training, and the two of save_pretrained.

Those of this program are beside it by their names; before one is used it is copied to where runs are, since whoever
tests it or looks into it writes there.
"""

import contextlib
import filecmp
import shutil
import tempfile
from collections.abc import Iterator
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
    named = path.parent in (Path(), Path("pretrained")) and not (path / "config.yaml").is_file()
    return place if (place / WEIGHTS).is_file() and (named or path.resolve() == place) else path


def opened(run: str | Path, copies: Path) -> Path:
    """Where a run is that may be written to: of a pretrained model a copy, which is made where there is none.

    UserError where none can be made, or another model is in its place.
    """
    kept = where(run)
    if kept.parent != PRETRAINED:
        return kept
    path = copies / kept.name
    try:
        if not path.exists():
            with made_whole(path) as part:
                for file in filter(Path.is_file, kept.iterdir()):
                    shutil.copy(file, part)
    except UserError:
        if not path.exists():  # else another process was faster
            raise
    weights = path / WEIGHTS
    if not weights.is_file() or not filecmp.cmp(kept / WEIGHTS, weights, shallow=False):
        raise UserError(f"{path} holds another model than the pretrained {kept.name}: move it away, or name its path")
    return path


@contextlib.contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """A folder to fill beside the path, which takes its place at the end; after an error there is none.

    UserError where it cannot be written, or something is in its place by then, but for an empty folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
            part = Path(beside) / path.name
            part.mkdir()
            yield part
            part.rename(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
