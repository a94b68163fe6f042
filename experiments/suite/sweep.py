"""Sweep files of Weights & Biases, without its server: grid and random search.

    method: random                              or grid
    run_cap: 20                                 trainings; random search needs it here or as --run-cap
    parameters:
      task: {value: copy}
      controller: {values: [feedforward, lstm]}
      learning_rate: {distribution: log_uniform_values, min: 0.0001, max: 0.01}

Parameters are options of `train`, written as an agent of W&B would give them to it. A `command` may say what else it
would give, as in [${env}, python, -m, experiments, train, copy, ${args}], with ${args_no_hyphens} and its like, too; a
false that ${args_no_boolean_flags} would leave out is told all the same. Everything that cannot change what is trained
is passed over. A random search draws the same for the same file, so that it goes on where it stopped, and a larger
run_cap continues it; what it has drawn before it draws again. Bayesian search and early_terminate need W&B's server.
"""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.processes import MOST_TRAININGS
from experiments.config.command_line import spelled_out
from experiments.config.form import aliases_of
from experiments.config.plugins import find_task
from experiments.config.registry import TASKS
from experiments.suite.reading import Plan, Setting, check_count, check_names, setting, shown, text

# What names the sweep, or decides where W&B shows it.
_NO_MATTER = ("program", "metric", "name", "description", "project", "entity")
_KNOWN = ("method", "parameters", "run_cap", "command", "early_terminate", *_NO_MATTER)
_KEYS = ("value", "values", "probabilities", "distribution", "min", "max", "q", "mu", "sigma")
# The draws without a new setting after which a random search has found all.
_TRIES = 1000
# How a command may take the parameters; all come to the same options.
_ARGS = ("args", "args_no_boolean_flags", "args_no_hyphens", "args_no_equals")
_LARGEST = 10.0**300

Draw = Callable[[random.Random], Any]


def read_sweep(path: Path, content: Mapping[str, Any], run_cap: int | None) -> Plan:
    """The plan of a sweep file; UserError, naming the place, for what it cannot hold or has no meaning here.

    run_cap: trainings at the most, in place of the file's.
    """
    check_names(str(path), content, _KNOWN)
    method, parameters = content["method"], content.get("parameters")
    if method == "bayes" or "early_terminate" in content:
        what = "method: bayes" if method == "bayes" else "early_terminate"
        raise UserError(f"{path}: {what} needs the server of W&B; without it there are the methods grid and random")
    if method not in ("grid", "random"):
        raise UserError(f"{path}: no method is called {method!r}{nearest(str(method), ['grid', 'random'])}")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(f"{path}: expected parameters, a mapping of options, not {shown(parameters)}")
    cap = content.get("run_cap") if run_cap is None else run_cap
    if cap is not None and (type(cap) is not int or cap < 1):
        raise UserError(f"{path}: run_cap must be a whole number of at least 1, not {shown(cap)}")
    given = _given(path, content.get("command"))
    names = [_name(name, given) for name in parameters]
    wheres = [f"{path}, parameter {name}" for name in parameters]
    if method == "grid":
        lists = [_grid(where, spec) for where, spec in zip(wheres, parameters.values(), strict=True)]
        count = math.prod(values.size for values in lists)
        check_count(path, min(count, cap or count), "; --run-cap takes the first of them")
        rows: Sequence[tuple[Any, ...]] = [_combination(lists, number) for number in range(min(count, cap or count))]
        varying = {name for name, values in zip(names, lists, strict=True) if values.size > 1}
    else:
        if cap is None:
            raise UserError(f"{path}: a random search needs a run_cap, or --run-cap")
        draws = [_draw(where, spec) for where, spec in zip(wheres, parameters.values(), strict=True)]
        rows = _distinct(draws, min(cap, MOST_TRAININGS + 1))
        check_count(path, len(rows), f"; run_cap is {cap:,}")
        varying = {name for name, spec in zip(names, parameters.values(), strict=True) if "value" not in spec}
    settings = [_setting(path, number, given, names, row) for number, row in enumerate(rows, start=1)]
    return Plan(path.stem, str(content.get("description", "")), settings, frozenset(varying))


def _setting(path: Path, number: int, given: Mapping[str, str], names: Sequence[str], row: Sequence[Any]) -> Setting:
    where = f"{path}, run {number}"
    options = {**given, **{name: text(where, name, value) for name, value in zip(names, row, strict=True)}}
    if "task" not in options:
        raise UserError(f"{path}: expected a parameter `task`, or a command with `train` and a task")
    return setting(where, options)


def _name(name: str, given: Mapping[str, str]) -> str:
    """The option of a parameter: --task after a task that has one called so means that."""
    aliases = {} if "task" not in given else aliases_of(find_task(given["task"], TASKS))
    own = {called: one for one, called in aliases.items()}
    return str(own.get(name, str(name).replace("-", "_")))


def _given(path: Path, command: Any) -> dict[str, str]:
    """The options, and the task, that a sweep's command gives besides ${args}."""
    if command is None:
        return {}
    words = [str(word) for word in command] if isinstance(command, list) else []
    start = next((at for at, word in enumerate(words) if word in ("train", "${program}")), None)
    macros = [word[2:-1] for word in words if word.startswith("${")]
    if start is None or not set(macros) & {*_ARGS} or set(macros) - {*_ARGS, "env", "interpreter", "program"}:
        raise UserError(
            f"{path}: expected a command like [python, -m, experiments, train, copy, ${{args}}], not {shown(command)}"
        )
    rest = spelled_out([word for word in words[start + 1 :] if not word.startswith("${")])
    given = {"task": rest.pop(0)} if rest and not rest[0].startswith("-") else {}
    line = " ".join(rest)
    if not re.fullmatch(r"(--[\w-]+[= ](?!--)\S+ ?)*", line):
        raise UserError(f"{path}: expected options with a value each in the command, not {line}")
    for name, value in re.findall(r"--([\w-]+)[= ](\S+)", line):
        given[_name(name, given)] = value
    return given


class Values(NamedTuple):
    """The values of a parameter in a grid, computed one by one: there may be more than fit in memory."""

    size: int
    at: Callable[[int], Any]


def _combination(lists: Sequence[Values], number: int) -> tuple[Any, ...]:
    """The choice with this number of one value from each list, the last list fastest."""
    chosen = []
    for values in reversed(lists):
        number, index = divmod(number, values.size)
        chosen.append(values.at(index))
    return tuple(reversed(chosen))


def _grid(where: str, spec: Any) -> Values:
    """All values of a parameter; UserError where there is no end of them."""
    kind = _distribution(where, spec)
    if kind == "constant":
        return Values(1, lambda number: spec["value"])
    if kind == "categorical":
        if "probabilities" in spec:
            raise UserError(f"{where}: probabilities have no meaning in a grid")
        values = _values(where, spec)
        return Values(len(values), values.__getitem__)
    if kind not in ("int_uniform", "q_uniform"):
        raise UserError(f"{where}: a grid needs its values, not the distribution {kind}")
    low, high = _range(where, spec)
    step = 1 if kind == "int_uniform" else _quantum(where, spec)
    return Values(_whole(where, (high - low) / step + 1e-9, math.floor) + 1, lambda number: low + number * step)


def _whole(where: str, number: float, rounding: Callable[[float], int]) -> int:
    """A number without its fraction; UserError for an infinite one."""
    if math.isinf(number):
        raise UserError(f"{where}: its range holds too many steps of q")
    return rounding(number)


def _draw(where: str, spec: Any) -> Draw:
    """How a random search draws a parameter."""
    kind = _distribution(where, spec)
    if kind == "constant":
        return lambda generator: spec["value"]
    if kind == "categorical":
        values = _values(where, spec)
        weights = _weights(where, spec.get("probabilities"), len(values))
        return lambda generator: generator.choices(values, weights)[0]
    if kind == "int_uniform":
        low, high = _range(where, spec)
        return lambda generator: generator.randint(int(low), int(high))
    draw = _draw_real(where, spec, kind.removeprefix("q_"))
    if not kind.startswith("q_"):
        return draw
    step = _quantum(where, spec)
    return lambda generator: _whole(where, draw(generator) / step, round) * step


def _draw_real(where: str, spec: Mapping[str, Any], kind: str) -> Draw:
    """How a random search draws a real number: as it is, or by its logarithm."""
    if kind in ("normal", "log_normal"):
        mu, sigma = _number(where, spec, "mu", 0), _number(where, spec, "sigma", 1)

        def draw(generator: random.Random) -> float:
            return generator.gauss(mu, sigma)
    else:
        low, high = _range(where, spec)
        if kind == "log_uniform_values":
            if low <= 0:
                raise UserError(f"{where}: the min of {kind} must be above 0, not {low}")
            low, high = math.log(low), math.log(high)

        def draw(generator: random.Random) -> float:
            return generator.uniform(low, high)

    def grow(generator: random.Random) -> float:
        try:
            return math.exp(draw(generator))
        except OverflowError:
            raise UserError(f"{where}: {kind} takes exponents, and these are too large") from None

    return grow if kind.startswith("log_") else draw


_DISTRIBUTIONS = (
    *("constant", "categorical", "int_uniform", "uniform", "q_uniform", "normal", "q_normal", "log_normal"),
    *("q_log_normal", "log_uniform", "q_log_uniform", "log_uniform_values", "q_log_uniform_values"),
)


def _distribution(where: str, spec: Any) -> str:
    """The distribution of a parameter, given or, as W&B does it, from what else is given."""
    if not isinstance(spec, dict):
        raise UserError(f"{where}: expected value, values or min and max, not {shown(spec)}")
    if "parameters" in spec:
        raise UserError(f"{where}: it has parameters within it, but the options of train have no parts")
    check_names(where, spec, _KEYS)
    kind = spec.get("distribution")
    if kind is None:
        kind = "constant" if "value" in spec else "categorical" if "values" in spec else "uniform"
        if kind == "uniform" and all(type(spec.get(end)) is int for end in ("min", "max")):
            kind = "int_uniform"
    if kind not in _DISTRIBUTIONS:
        raise UserError(f"{where}: no distribution is called {kind!r}{nearest(str(kind), _DISTRIBUTIONS)}")
    if kind == "constant" and "value" not in spec:
        raise UserError(f"{where}: constant needs a value")
    return str(kind)


def _values(where: str, spec: Mapping[str, Any]) -> list[Any]:
    values = spec.get("values")
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}: values must be a list, not {shown(values)}")
    return values


def _weights(where: str, weights: Any, count: int) -> list[float] | None:
    if weights is None:
        return None
    numbers = isinstance(weights, list) and all(isinstance(one, int | float) and one >= 0 for one in weights)
    if not numbers or len(weights) != count or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise UserError(f"{where}: probabilities must be {count} numbers that sum to 1, not {shown(weights)}")
    return list(weights)


def _range(where: str, spec: Mapping[str, Any]) -> tuple[Any, Any]:
    low, high = _number(where, spec, "min"), _number(where, spec, "max")
    if low > high:
        raise UserError(f"{where}: min {low} is above max {high}")
    return low, high


def _quantum(where: str, spec: Mapping[str, Any]) -> float:
    step = _number(where, spec, "q", 1)
    if step <= 0:
        raise UserError(f"{where}: q must be above 0, not {step}")
    return step


def _number(where: str, spec: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """A number; YAML takes 1e-4 for a text."""
    value = spec.get(name, default)
    try:
        number = value if type(value) is int and abs(value) < _LARGEST else float(value)
        number = math.nan if abs(number) >= _LARGEST else number
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where}: {name} must be a number of less than 10^300, not {shown(value)}")
    return number


def _distinct(draws: Sequence[Draw], count: int) -> list[tuple[Any, ...]]:
    """So many different draws, or all that there seem to be."""
    generator = random.Random(0)
    rows: dict[str, tuple[Any, ...]] = {}
    tries = 0
    while len(rows) < count and tries < _TRIES:
        row = tuple(draw(generator) for draw in draws)
        tries = tries + 1 if repr(row) in rows else 0
        rows[repr(row)] = row
    return list(rows.values())
