"""What every task, recipe and model come to, as the flat configurations of memnet 0.1 had it.

golden_models.json has, by arguments of `train`, all options that counted and a digest of the untrained model of seed 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from experiments.config.command_line import parse_train
from experiments.config.form import Config
from experiments.domains.captions import models as captions
from experiments.domains.sequences import models as sequences
from experiments.domains.stories import models as stories
from experiments.domains.stories.data import Sizes
from experiments.domains.text import models as text
from experiments.domains.translation import models as translation
from experiments.domains.translation.data import Words
from tasks.babi import Vocabulary

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden_models.json").read_text())
WORDS = Words(Vocabulary(("a", "c")), Vocabulary(("b",)), growth=1.0)
MAKERS: dict[str, Callable[[Any], nn.Module]] = {
    "sequences": sequences.make_model,
    "stories": lambda config: stories.make_model(config, Sizes(13, 4, 60)),
    "text": lambda config: text.make_model(config, 5),
    "translation": lambda config: translation.make_model(config, WORDS),
    "captions": captions.make_model,
}
# Options that only changed something for another task or model than the one that had them.
GONE = {
    "world-model": {"numbers", "babi_data", "size", "questions", "most_words"},
    "babi": {"min_length", "max_length", "epoch_updates"},
}


def digest(config: Config[Any]) -> str:
    torch.manual_seed(0)
    made = hashlib.sha256()
    for name, weight in MAKERS[config.domain](config).state_dict().items():
        made.update(name.encode())
        made.update(weight.contiguous().numpy().tobytes())
    return made.hexdigest()[:16]


@pytest.mark.parametrize("task", sorted({case.split()[0] for case in GOLDEN}))
def test_options_and_models_are_what_they_were(task: str) -> None:
    for case, golden in GOLDEN.items():
        if case.split()[0] != task:
            continue
        config = parse_train(case.split())
        options = golden["options"]
        if config.training.examples == "questions" and "linear_start_epochs" not in config.flat:
            assert options.pop("linear_start_epochs") == 0, case
        left = {name: value for name, value in options.items() if name not in GONE.get(task, ())}
        assert {name: config.flat.get(name, "none") for name in left} == left, case
        assert digest(config) == golden["model"], case
