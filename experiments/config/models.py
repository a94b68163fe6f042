"""From a configuration to its model; which options that model has, and what is told who gives it another one."""

from collections.abc import Sequence
from typing import Any

from experiments.base.files import UserError
from experiments.config.fields import fields_of, option
from experiments.config.options import options_of, sizes_of
from experiments.config.parts import Config
from experiments.config.registry import MODELS, READERS, SIZES, TASK_OPTIONS, TASKS, Model, at


def made(config: Config, **told: Any) -> Any:
    """The untrained model of a configuration, drawn from torch's global generator.

    told: what the data tell, by the names of SIZES; a constructor takes what it asks for.
    Raises what the constructor raises for sizes that cannot be.
    """
    model = MODELS[config.kind][config.model]
    make = at(model.place)
    asked = {name: model.sizes.get(name, name) for name in (*sizes_of(make), *options_of(make))}
    sizes = {name: told[size] for name, size in asked.items() if size in told}
    chosen = _own_options(config.kind, model) & _fields(config) - _idle(config, model)
    return make(**sizes, **model.fixed, **{name: getattr(config, name) for name in chosen})


def lacking(config: Config) -> set[str]:
    """The options of other models that the model of a configuration, with its controller, does not have."""
    models = MODELS[config.kind]
    own = _options(config.kind, models[config.model]) - _idle(config, models[config.model])
    every = set[str]().union(*(_options(config.kind, one) for one in models.values()))
    return (every - own) & _fields(config)


def refuse_lacking(config: Config, args: Sequence[str]) -> None:
    """UserError for an option among `args` that changes nothing, since neither model nor task has it."""
    given = {arg.partition("=")[0].replace("_", "-") for arg in args}
    for name, whose in options_of_others(config).items():
        if option(name) in given:
            raise UserError(f"{config.model} on {config.task} has no option {option(name)}{whose}")


def options_of_others(config: Config) -> dict[str, str]:
    """The options of a configuration that neither its model nor its task has, each with whose it is, in words."""
    others = {name: _owners(config, name) for name in sorted(lacking(config))}
    for task, names in TASK_OPTIONS.items():
        if task != config.task and TASKS[task] == config.kind:
            others |= dict.fromkeys(names, f": it is one of {task}")
    return others


def _owners(config: Config, name: str) -> str:
    """The end of an error line: whose option it is."""
    models = MODELS[config.kind]
    if name in _options(config.kind, own := models[config.model]):
        other, value = own.only[name]
        return f" with {option(other)} {getattr(config, other)}: it is one of {option(other)} {value}"
    having = [f"--model {key}" for key, one in models.items() if name in _options(config.kind, one)]
    return f": it is one of {', '.join(having)}"


def _options(domain: str, model: Model) -> set[str]:
    """What may be chosen of a model, and of what makes vectors of words for one of sequences."""
    read = sizes_of(at(model.place)) <= {"input_size", "output_size"}
    return _own_options(domain, model) | set(READERS.get(domain, ()) if read else ())


def _own_options(domain: str, model: Model) -> set[str]:
    """What may be chosen of a model: what its constructor has that neither its name nor the data decide."""
    other = {name for name, (one, value) in model.only.items() if model.fixed.get(one, value) != value}
    return set(options_of(at(model.place))) - set(model.fixed) - other - set(SIZES[domain])


def _idle(config: Config, model: Model) -> set[str]:
    """The options that change nothing with the others as they are."""
    return {
        name for name, (other, value) in model.only.items() if model.fixed.get(other, getattr(config, other)) != value
    }


def _fields(config: Config) -> set[str]:
    return {field.name for field in fields_of(type(config))}
