"""Checks of constructor arguments, each a ValueError that names the value and what was expected."""

from typing import Any, get_args


def check_sizes(at_least: int = 1, /, **sizes: int) -> None:
    """Every size must be a whole number of at least `at_least`."""
    for name, size in sizes.items():
        if not isinstance(size, int):
            raise ValueError(f"{name} must be a whole number, not {size!r}")
        if size < at_least:
            raise ValueError(f"{name} must be at least {at_least}, not {size}")


def check_choice(name: str, value: object, choices: Any) -> None:
    """The value must be one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(str, get_args(choices)))}, not {value!r}")
