"""Getting a run back from its folder, whatever it learned: its configuration, with whatever it needs as it was."""

from pathlib import Path
from typing import Any, NamedTuple

from experiments.base.files import UserError
from experiments.config.form import Config, from_yaml
from experiments.runs.about import ABOUT, read_about
from experiments.runs.folder import RunFolder
from experiments.training.domain import domain_of


def read_config(folder: RunFolder, domain: str = "") -> Config[Any]:
    """The saved configuration of a run; UserError for one of another domain, and where a user's file has changed."""
    config = from_yaml(folder.config)
    if domain and config.domain != domain:
        raise UserError(f"{folder.path} is a run on {config.task.short}, not on {domain}")
    check_files(config, folder)
    return config


def check_files(config: Config[Any], folder: RunFolder) -> None:
    """UserError for a file of a user's that is not what it was when the run began."""
    now = config.files
    then = read_about(folder.path)["files"] if now and (folder.path / ABOUT).exists() else now
    for place, digest in now.items():
        if then.get(place, digest) != digest:
            path = place.rpartition(":")[0]
            raise UserError(f"{path} has changed since {folder.path} began: expected the file as it was, or a new run")


class Loaded(NamedTuple):
    """A run as it can be used.

    config: as saved.
    known:  what a run knows beside its weights: its task; of stories the vocabulary, of text the alphabet and where it
            is from, of translation the words of both languages.
    model:  as it is tested.
    """

    config: Config[Any]
    known: Any
    model: Any


def load_run(run: str | Path, device: str = "cpu", domain: str = "") -> Loaded:
    """The configuration, what is known of the data, and the model of a run, on a device.

    Where training has not ended, the model is that of the latest checkpoint, with the best weights where it keeps them;
    of several restarts the chosen one, or the first that is finite. UserError if there is no run, or none of this
    domain, where one is named, or its files cannot be used.
    """
    folder = RunFolder(run)
    config = read_config(folder, domain)
    known, model = domain_of(config).load(config, folder)
    return Loaded(config, known, model.to(device).eval())
