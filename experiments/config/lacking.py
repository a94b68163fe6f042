"""Which options a model does not have, found by building it."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, get_args

import torch

from experiments.config.fields import option
from experiments.config.parts import Config, TrainConfig
from experiments.domains.captions import models as caption_models
from experiments.domains.captions.config import CaptionConfig
from experiments.domains.sequences import models as sequence_models
from experiments.domains.stories import models as story_models
from experiments.domains.stories.config import StoryConfig
from experiments.domains.stories.data import Sizes
from experiments.domains.text import models as text_models
from experiments.domains.text.config import TextConfig
from experiments.domains.translation import models as translation_models
from experiments.domains.translation.config import TranslateConfig
from experiments.domains.translation.data import Words
from tasks.babi import Vocabulary

_WORDS = Words(Vocabulary(("a",)), Vocabulary(("b",)), growth=1.0)
# A model of every kind, on data of any size.
_MAKERS: dict[type[Config], Callable[[Any], object]] = {
    TrainConfig: lambda config: sequence_models.make_model(config, sequence_models.make_task("copy")),
    StoryConfig: lambda config: story_models.make_model(config, Sizes(3, 2, 2)),
    TextConfig: lambda config: text_models.make_model(config, 2),
    TranslateConfig: lambda config: translation_models.make_model(config, _WORDS),
    CaptionConfig: caption_models.make_model,
}
# What data are read by, too.
_OF_DATA = {"max_sentences", "things"}


class _Noting:
    """A configuration that notes which of its fields are asked for."""

    def __init__(self, config: Config) -> None:
        self._config, self.asked = config, set[str]()

    def __getattr__(self, name: str) -> Any:
        if isinstance(derived := getattr(type(self._config), name, None), property) and derived.fget is not None:
            return derived.fget(self)
        self.asked.add(name)
        return getattr(self._config, name)


@cache
def _options(kind: Any, task: str, model: str, controller: str) -> frozenset[str]:
    """The fields of a configuration that a model is built from."""
    noting = _Noting(kind(task, model=model, controller=controller))
    with torch.random.fork_rng(devices=[]):
        _MAKERS[kind](noting)
    return frozenset(noting.asked)


def lacking(config: Config) -> set[str]:
    """The options of other models that the model of a configuration, with its controller, does not have."""
    kind: Any = type(config)
    models, controllers = (get_args(kind.__dataclass_fields__[name].type) for name in ("model", "controller"))
    others = [_options(kind, config.task, model, config.controller) for model in models]
    others += [_options(kind, config.task, config.model, controller) for controller in controllers]
    own = _options(kind, config.task, config.model, config.controller)
    return set(frozenset[str]().union(*others) - own - _OF_DATA)


def idle(config: Config, args: Sequence[str]) -> str:
    """A line on the options among `args` that change nothing, since the model does not have them; empty if none."""
    given = {arg.partition("=")[0] for arg in args}
    names = sorted(given & {option(name) for name in lacking(config)})
    if not names:
        return ""
    kind: Any = type(config)
    controlled = "controller" in _options(kind, config.task, config.model, config.controller)
    whose = f"{config.model} with the controller {config.controller}" if controlled else config.model
    return f"{whose} has no {', '.join(names)}: nothing changes by {'them' if len(names) > 1 else 'it'}"
