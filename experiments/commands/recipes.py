"""python -m experiments recipes: the papers' settings that --recipe takes."""

from collections.abc import Sequence

from experiments.config.registry import RECIPES, at


def recipes(args: Sequence[str]) -> int:
    """Print them."""
    print(*(at(place)() for place in RECIPES.values()), sep="\n\n")
    return 0
