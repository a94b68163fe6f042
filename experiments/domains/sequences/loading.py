"""Getting a trained model back from its run's folder."""

from pathlib import Path

from experiments.base.files import UserError
from experiments.config.parts import TrainConfig, from_yaml
from experiments.domains.sequences.models import make_model, make_task
from experiments.runs.checkpoint import load_weights
from experiments.runs.folder import RunFolder
from memnet import SequenceModule
from tasks import Task


def load_run(run: str | Path, device: str = "cpu") -> tuple[TrainConfig, Task, SequenceModule]:
    """The configuration, task and model of a run; the latest checkpoint's model where training has not ended.

    UserError if there is no run, or its files cannot be used.
    """
    folder = RunFolder(run)
    config = from_yaml(folder.config)
    if not isinstance(config, TrainConfig):
        raise UserError(f"{folder.path} is a run on {config.kind}; what loads it is in experiments.{config.kind}")
    task = make_task(config.task)
    model = make_model(config, task)
    load_weights(folder.latest_weights, model)
    return config, task, model.to(device).eval()
