"""From a configuration to its model."""

from typing import Any

from experiments.base.files import UserError
from experiments.base.memory import no_model
from experiments.config import plugins
from experiments.config.form import Config
from memnet.abilities import HasBackend


def made(config: Config[Any], **told: Any) -> Any:
    """The untrained model of a configuration, drawn from torch's global generator, in the backend that is asked for.

    told: what the data tell, by the names of the domain's sizes; a constructor takes what it asks for.
    UserError for a model that cannot be.
    """
    try:
        model = config.form.network.made(config.model.options, told)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError | RuntimeError):
            raise UserError(no_model(error)) from None
        if not config.places:
            raise
        raise UserError(f"{config.model.name}: {plugins.told(error)}") from None
    try:
        if isinstance(model, HasBackend):
            model.backend = config.run.backend
    except ValueError as error:
        raise UserError(str(error)) from None
    return model
