"""Opening a run: its configuration, with whatever it needs as it was."""

from typing import Any

from experiments.base.files import UserError
from experiments.config.form import Config, from_yaml
from experiments.runs.about import ABOUT, read_about
from experiments.runs.folder import RunFolder


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
