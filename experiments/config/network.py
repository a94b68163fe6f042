"""A model of a domain: what makes it, what it must be told, what may be chosen of it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from experiments.base.files import UserError
from experiments.config.options import Option, options_of, sizes_of
from experiments.config.plugins import find_model, is_of_module, is_place, settled
from experiments.config.registry import DOMAINS, SEQUENCE_SIZES, Model, at, entry
from tasks.places import found


class Network:
    """A model of a domain, by name or place.

    entry: what its name says. make: its constructor.
    reads: whether it is a model of sequences that the domain's reader makes one of its own of.
    """

    def __init__(self, domain: str, name: str) -> None:
        """UserError where there is no such model, or it wants what the domain's data do not tell."""
        self.known = DOMAINS[domain]
        self.entry: Model = Model(name) if is_place(name) else entry(name, self.known.models, "model")
        self.name = settled(name)
        self.make: Any = find_model(name) if is_place(name) else at(self.entry.place)
        told = sizes_of(self.make)
        self.reads = not told <= {*self.known.sizes} and bool(self.known.reader) and told == {*SEQUENCE_SIZES}
        if not told or not (self.reads or told <= {*self.known.sizes}):
            wanted = ", ".join(sorted(told)) or "nothing"
            sizes = " or ".join(
                [", ".join(self.known.sizes), *([", ".join(SEQUENCE_SIZES)] if self.known.reader else [])]
            )
            raise UserError(
                f"{name} takes {wanted}: expected a model of {domain}, told {sizes}; options have a default"
            )

    @cached_property
    def options(self) -> dict[str, Option]:
        """What may be chosen: what neither its name nor the data decide, and of its reader."""
        fixed, sizes = self.entry.fixed, {*self.known.sizes, *SEQUENCE_SIZES}
        other = {name for name, (one, value) in self.entry.only.items() if fixed.get(one, value) != value}
        own = {name: one for name, one in options_of(self.make).items() if name not in {*fixed, *other, *sizes}}
        return own | (dict(options_of(at(self.known.reader))) if self.reads else {})

    @property
    def deciding(self) -> set[str]:
        """The options that others hang on."""
        return {other for other, _ in self.entry.only.values()} & self.options.keys()

    def idle(self, chosen: Mapping[str, Any]) -> set[str]:
        """The options that change nothing with the others as they are."""
        return {name for name, (other, value) in self.entry.only.items() if self._value(other, chosen) != value}

    def idle_words(self, name: str, chosen: Mapping[str, Any]) -> str:
        """What is told who gives such an option."""
        other, value = self.entry.only[name]
        return f"no option {name} with {other} {self._value(other, chosen)}: it is one of {other} {value}"

    def _value(self, name: str, chosen: Mapping[str, Any]) -> Any:
        default = self.options[name].default if name in self.options else None
        return self.entry.fixed.get(name, chosen.get(name, default))

    def made(self, chosen: Mapping[str, Any], told: Mapping[str, Any]) -> Any:
        """The untrained model, drawn from torch's global generator.

        chosen: its options. told: what the data tell, by the names of the domain's sizes.
        Raises what the constructor raises for sizes that cannot be.
        """
        values = {name: _found(self.options[name], value) for name, value in chosen.items()}
        if not self.reads:
            return self._own(values, told)
        reader = at(self.known.reader)
        of_reader = {name: values.pop(name) for name in options_of(reader)}
        asked = {name: told[name] for name in sizes_of(reader) - {"make"}}

        def make(input_size: int, output_size: int) -> Any:
            return self._own(values, {"input_size": input_size, "output_size": output_size})

        return reader(make, **asked, **of_reader)

    def _own(self, values: Mapping[str, Any], told: Mapping[str, Any]) -> Any:
        names = (*sizes_of(self.make), *options_of(self.make))
        asked = {name: self.entry.sizes.get(name, name) for name in names if name not in values}
        sizes = {name: told[size] for name, size in asked.items() if size in told}
        return self.make(**sizes, **self.entry.fixed, **values)


def _found(option: Option, value: Any) -> Any:
    """What an option's value stands for, where it is the place of a module."""
    if not (option.takes_place and isinstance(value, str) and is_place(value)):
        return value
    try:
        what = found(value)
    except ValueError as error:
        raise UserError(f"--{option.name} {error}") from None
    if not is_of_module(what):
        raise UserError(f"--{option.name} cannot be {value}, {what!r}: expected a torch.nn.Module, or a class of some")
    return what
