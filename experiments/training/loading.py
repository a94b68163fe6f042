"""Getting a run back from its folder, whatever it learned."""

from pathlib import Path
from typing import Any, NamedTuple

from experiments.config.form import Config
from experiments.runs.folder import RunFolder
from experiments.training.domain import domain_of
from experiments.training.opening import read_config


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
