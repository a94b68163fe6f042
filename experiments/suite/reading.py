"""Suite files: what to train, as a table of options.

    about: Copy by NTMs with two controllers and by an LSTM    one line for people
    seeds: 10                                                  of every setting, --seeds wins; 1 if left out
    seed: 0                                                    the first seed; 0 if left out
    parts:
      - task: [copy, repeat-copy]                              options of `train` by their names; a list multiplies:
        controller: [feedforward, lstm]                        four settings
      - task: copy
        model: lstm

The options are those of `train TASK --help`. Which bAbI tasks is the option `numbers`: a list gives each its own job,
as all lists do; text is one joint training, as on the command line; and "1-20 each" is short for the list of twenty.

    task: babi                 task: babi                 task: babi
    numbers: [1, 6, 16]        numbers: 1-20              numbers: 1-20 each
    three settings             one, trained jointly       twenty settings

A file with a `method` is a sweep of Weights & Biases, see sweep.py. Its parameters, and the options of a part, may
hold a `seed`, which then takes the place of `seeds`.
"""

import argparse
import dataclasses
import itertools
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.base import reading
from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.processes import MOST_TRAININGS
from experiments.config.form import known_options
from tasks.babi.command_line import task_numbers

SUITES = Path(__file__).resolve().parents[1] / "suites"
_EACH = " each"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A training but for its seed.

    task:    what is learned.
    options: of `train`, by field name, as texts of the command line; a seed may be among them.
    where:   where it is from, for error lines.
    """

    task: str
    options: Mapping[str, str]
    where: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """A suite as its file has it.

    name:        see `suite_name`.
    settings:    all trainings but for their seeds.
    varying:     fields that the file gives several values, which therefore tell its jobs apart.
    seeds, seed: how many, None where the file does not say, and the first.
    """

    name: str
    about: str
    settings: Sequence[Setting]
    varying: frozenset[str] = frozenset()
    seeds: int | None = None
    seed: int = 0


def suite_names() -> list[str]:
    """The suites that come with this program: quick, published/ntm."""
    return sorted(map(suite_name, SUITES.rglob("*.yaml")))


def suite_name(path: Path) -> str:
    """What the suite of a file is called: as its file, with the folder that it is in within ours."""
    own = path.resolve()
    return own.relative_to(SUITES).with_suffix("").as_posix() if own.is_relative_to(SUITES) else path.stem


def find_suite(suite: str) -> Path:
    """The file of a suite, which is a name or the path of a file; UserError where there is none."""
    if suite in suite_names():
        return SUITES / f"{suite}.yaml"
    if Path(suite).is_file():
        return Path(suite)
    raise UserError(f"no suite is called {suite!r}, and there is no such file{nearest(suite, suite_names())}")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file; UserError where there is none."""
    content = reading.read_yaml(path, "a suite")
    if not isinstance(content, dict):
        raise UserError(f"{path} is no suite: expected `parts`, or the `method` and `parameters` of a W&B sweep")
    return content


def read_parts(path: Path, content: Mapping[str, Any]) -> Plan:
    """The plan of a suite file in our own form; UserError, with the nearest name, for what it cannot hold."""
    check_names(str(path), content, ("about", "seeds", "seed", "parts"))
    parts = content.get("parts")
    if not isinstance(parts, list) or not parts:
        raise UserError(f"{path}: expected parts, a list of mappings of options, not {shown(parts)}")
    tables: list[tuple[str, dict[str, list[str]]]] = []
    varying: set[str] = set()
    for number, part in enumerate(parts, start=1):
        where = f"{path}, part {number}"
        if not isinstance(part, dict) or "task" not in part:
            raise UserError(f"{where}: expected options with their values, task among them")
        values = {str(name).replace("-", "_"): texts(where, name, value) for name, value in part.items()}
        varying |= {name for name, several in values.items() if len(several) > 1}
        tables.append((where, values))
    check_count(path, sum(math.prod(map(len, values.values())) for _, values in tables))
    settings = [
        setting(where, dict(zip(values, chosen, strict=True)))
        for where, values in tables
        for chosen in itertools.product(*values.values())
    ]
    return Plan(
        suite_name(path),
        str(content.get("about", "")),
        settings,
        frozenset(varying),
        _count(path, content, "seeds", 1) if "seeds" in content else None,
        _count(path, content, "seed", 0) if "seed" in content else 0,
    )


def check_count(where: object, count: int, instead: str = "") -> None:
    """UserError for more trainings than a suite may have."""
    if count > MOST_TRAININGS:
        told = f"{count:,}" if count < 10**15 else f"10^{math.log10(count):.0f}"
        most = f"the {MOST_TRAININGS:,} that a suite may have"
        raise UserError(f"{where}: {told} trainings are more than {most}{instead}")


def shown(value: Any) -> str:
    """A value for an error line, shortened: what YAML's aliases multiply may be endless."""
    return reprlib.repr(value)


def setting(where: str, options: Mapping[str, str]) -> Setting:
    """A setting from options with a task among them; UserError for an unknown task or option."""
    task = options["task"]
    try:
        known = known_options(task, options.get("model"))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    check_names(where, options, [*known, "task", "model", "recipe", "config"], "option of train")
    return Setting(task, {name: value for name, value in options.items() if name != "task"}, where)


def check_names(where: str, content: Iterable[str], known: Sequence[str], what: str = "field") -> None:
    """UserError, with the nearest name, for one that is not known."""
    for name in content:
        if name not in known:
            raise UserError(f"{where}: no {what} is called {name!r}{nearest(name, known)}")


def texts(where: str, name: str, value: Any) -> list[str]:
    """The values of an option, one or a list of them, as texts of the command line."""
    if name == "numbers" and isinstance(value, str) and value.endswith(_EACH):
        try:
            return [str(number) for number in task_numbers(value.removesuffix(_EACH))]
        except argparse.ArgumentTypeError as error:
            raise UserError(f"{where}: numbers {error}") from None
    values = value if isinstance(value, list) else [value]
    if not values:
        raise UserError(f"{where}: {name} has no values")
    return [text(where, name, one) for one in values]


def text(where: str, name: str, value: Any) -> str:
    """A value as the command line takes it; UserError for a list or a mapping."""
    if isinstance(value, dict | list):
        raise UserError(f"{where}: {name} cannot be {shown(value)}, expected a number, a text, true, false or null")
    return str(value)


def _count(path: Path, content: Mapping[str, Any], name: str, minimum: int) -> int:
    value = content[name]
    if type(value) is not int or value < minimum:
        raise UserError(f"{path}: {name} must be a whole number of at least {minimum}, not {shown(value)}")
    return value
