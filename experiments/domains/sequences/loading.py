"""Getting a trained model back from its run's folder."""

from pathlib import Path

from experiments.domains.sequences.models import make_model
from experiments.domains.sequences.options import SequenceConfig
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from experiments.training.opening import read_config
from memnet import SequenceModule
from tasks import Task


def load_run(run: str | Path, device: str = "cpu") -> tuple[SequenceConfig, Task, SequenceModule]:
    """The configuration, task and model of a run; the latest checkpoint's model where training has not ended.

    UserError if there is no run, or its files cannot be used.
    """
    folder = RunFolder(run)
    config = read_config(folder, "sequences")
    model = make_model(config)
    load_weights(folder.latest_weights, model)
    return config, config.learned, model.to(device).eval()
