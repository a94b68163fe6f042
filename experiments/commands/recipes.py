"""python -m experiments recipes: the named settings that --recipe takes, the papers' and others."""

from collections.abc import Sequence
from typing import Any

from experiments.base.terminal import columns
from experiments.config.recipes import recipe_names, recipes_of
from experiments.config.registry import DOMAINS


def recipes(args: Sequence[str]) -> int:
    """Print them: with the number of parameters of our model where the paper tells one, and what they are.

    The NTM paper does not say how its NTMs emit the parameters of their heads, nor all of their inputs and outputs, so
    ours differ a little. Its LSTMs have this form exactly, on the inputs and outputs that its counts imply.
    """
    lines = [("recipe", "parameters", "paper", "")]
    for domain in DOMAINS:
        for name in recipe_names(domain):
            lines.append((name, *_row(domain, name, recipes_of(domain)[name])))
    print(columns(lines, left=1))
    return 0


def _row(domain: str, name: str, recipe: dict[str, Any]) -> tuple[str, str, str]:
    if "parameters" not in recipe:
        return "-", "-", recipe.get("about", "")
    import torch

    from experiments.config.form import started
    from experiments.config.models import made

    config = started(recipe["task"]["name"], name)
    with torch.device("meta"):
        model = made(config, input_size=config.learned.input_size, output_size=config.learned.output_size)
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{count:,}", f"{recipe['parameters']:,}", recipe.get("about", "")
