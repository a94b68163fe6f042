"""Named settings for stories: those of the papers, and our own for every model, the defaults.

A paper's recipe gives its numbers on the released questions only (--babi-data, and --task for the tasks). It does not
say on which tasks: `paper/memn2n-1k` is for one task at a time, the joint ones take all twenty.
"""

from typing import Any

from experiments.base.files import UserError
from experiments.base.names import nearest
from experiments.base.terminal import columns
from experiments.domains.stories.config import StoryConfig

_MEMN2N: dict[str, Any] = {"model": "memn2n", "restarts": 10}
_MEMN2N_JOINT = _MEMN2N | {
    "numbers": "1-20",
    "embedding_size": 50,
    "linear_start_epochs": 30,
    "epochs": 60,
    "length_groups": 4,
}
_ENTNET: dict[str, Any] = {
    "model": "entnet",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "linear_start_epochs": 0,
    "epochs": 200,
    "clip": "model",
    "embedding_size": 100,
    "num_slots": 20,
    "max_sentences": 70,
    "select": "valid",
    "stop_when_solved": True,
    "valid_every": 281,
    "checkpoint_every": 281,
}
_READER: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 0.001,
    "linear_start_epochs": 0,
    "halve_every": None,
    "clip": "model",
    "embedding_size": 50,
    "max_sentences": None,
    "select": "valid",
}
_LSTM = _READER | {"model": "lstm", "hidden_size": 100, "epochs": 100}
_WORLD: dict[str, Any] = {
    "max_sentences": None,
    "epochs": 50,
    "halve_every": 10,
    "select": "valid",
    "stop_when_solved": False,
    "log_every": 500,
    "valid_every": 1000,
    "checkpoint_every": 1000,
}
_WORLD_ENTNET = (
    _ENTNET
    | _WORLD
    | {"task": "world-model", "embedding_size": 20, "num_slots": 5}
    | {"learning_rate": 0.003, "epochs": 100, "halve_every": 20}
)
# Five times the paper's width, and longer: what makes stories four times as long as the trained ones come out right.
_WORLD_WIDE = _WORLD_ENTNET | {"embedding_size": 100, "epochs": 160, "halve_every": 16}

# Settings, and what they are, by name; the task is part of the settings where it is not babi.
_PAPER: dict[str, tuple[dict[str, Any], str]] = {
    "memn2n-1k": (_MEMN2N, "Sukhbaatar et al. 2015, table 1, PE LS RN, one task at a time"),
    "memn2n-joint-1k": (_MEMN2N_JOINT | {"halve_every": 15}, "Sukhbaatar et al. 2015, table 1, PE LS RN joint"),
    "memn2n-10k": (_MEMN2N | {"size": "10k"}, "Sukhbaatar et al. 2015, table 3, PE LS RN, one task at a time"),
    "memn2n-10k-relu": (
        _MEMN2N | {"size": "10k", "embedding_size": 100, "nonlinearity": "relu"},
        "Sukhbaatar et al. 2015, table 3, d = 100 with ReLU, one task at a time",
    ),
    "memn2n-joint-10k": (
        _MEMN2N_JOINT | {"size": "10k", "epochs": 20, "halve_every": 5},
        "Sukhbaatar et al. 2015, table 3, PE LS RN joint",
    ),
    "entnet-10k": (
        _ENTNET | {"size": "10k"},
        "Henaff et al. 2017, table 2, one task at a time; several --seed; --max-sentences 130 for task 3",
    ),
    "entnet-world-model": (
        _WORLD_ENTNET,
        "Henaff et al. 2017, section 4.1, the schedule is ours; several --seed",
    ),
    "lstm-1k": (_LSTM, "Weston et al. 2015, an LSTM; its sizes are ours"),
    "lstm-10k": (_LSTM | {"size": "10k", "epochs": 50}, "Sukhbaatar et al. 2015, table 3, an LSTM; its sizes are ours"),
}

_DEFAULT: dict[str, dict[str, Any]] = {
    "memn2n": {"restarts": 3},
    "kv": {
        "restarts": 3,
        "optimizer": "adam",
        "learning_rate": 0.005,
        "linear_start_epochs": 0,
        "clip": "model",
        "embedding_size": 32,
        "num_hops": 2,
    },
    "entnet": _ENTNET | {"embedding_size": 50, "epochs": 60},
    "ntm": _READER | {"embedding": "learned", "num_slots": 32, "epochs": 100},
    "lstm": _LSTM,
    "gru": _LSTM | {"model": "gru"},
    "rnn-tanh": _LSTM | {"model": "rnn-tanh"},
}


def story_recipe_names() -> list[str]:
    """Every name that --recipe takes on stories."""
    return ["default", *(f"paper/{name}" for name in _PAPER)]


def story_recipe(name: str, task: str, model: str | None) -> StoryConfig:
    """The configuration that a recipe starts from; UserError for an unknown name or another task's recipe.

    model: what --model asks for; the default recipe is that model's own.
    """
    if name == "default":
        chosen = model or ("entnet" if task == "world-model" else "memn2n")
        if chosen not in _DEFAULT:
            raise UserError(f"no model of stories is called {chosen!r}{nearest(chosen, _DEFAULT)}")
        settings = {"task": task, "model": chosen} | _DEFAULT[chosen]
        if task == "world-model":
            settings |= _WORLD_WIDE if chosen == "entnet" else _WORLD
        return StoryConfig(**settings)
    if name not in story_recipe_names():
        raise UserError(f"no recipe is called {name!r}{nearest(name, story_recipe_names())}")
    settings = {"task": "babi", "recipe": name} | _PAPER[name.removeprefix("paper/")][0]
    if settings["task"] != task:
        raise UserError(f"recipe {name} is for {settings['task']}, not {task}")
    return StoryConfig(**settings)


def story_table() -> str:
    """Every paper's recipe with what it is."""
    return columns([(f"paper/{name}", about) for name, (_, about) in _PAPER.items()], left=2)
