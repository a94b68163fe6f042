"""Names of commands, tasks, domains and models, and where what they stand for is: data, so that it imports nothing."""

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from experiments.base.files import UserError
from experiments.base.names import nearest

# Where a command is, MODULE:NAME.
COMMANDS = {
    "train": "experiments.commands.runs:train",
    "evaluate": "experiments.commands.runs:evaluate",
    "show": "experiments.commands.runs:show",
    "ask": "experiments.domains.stories.ask:ask",
    "sample": "experiments.domains.text.sampling:sample",
    "translate": "experiments.domains.translation.translate:translate",
    "describe": "experiments.domains.captions.describe:describe",
    "summarize": "experiments.report.summary:summarize",
    "report": "experiments.report.command:report",
    "benchmark": "experiments.benchmark.commands:benchmark",
    "suite": "experiments.suite.commands:suite",
    "sync": "experiments.commands.sync:sync",
    "gradients": "experiments.gradients.command:gradients",
    "dashboard": "experiments.dashboard.command:dashboard",
    "inspect": "experiments.inspector.command:inspect",
    "recipes": "experiments.commands.recipes:recipes",
}
# The module of a domain's commands, see experiments.training.domain.
DOMAINS = {
    "sequences": "experiments.domains.sequences.commands",
    "stories": "experiments.domains.stories.commands",
    "text": "experiments.domains.text.commands",
    "translation": "experiments.domains.translation.commands",
    "captions": "experiments.domains.captions.commands",
}
# What prints a domain's recipes of papers.
RECIPES = {
    "sequences": "experiments.domains.sequences.recipes:table",
    "stories": "experiments.domains.stories.recipes:story_table",
}
# The domain of a task.
TASKS = {
    "copy": "sequences",
    "repeat-copy": "sequences",
    "associative-recall": "sequences",
    "dynamic-ngrams": "sequences",
    "priority-sort": "sequences",
    "adding": "sequences",
    "copy-memory": "sequences",
    "temporal-order": "sequences",
    "agreement": "sequences",
    "babi": "stories",
    "world-model": "stories",
    "text": "text",
    "translate": "translation",
    "captions": "captions",
    "moving-captions": "captions",
    "caption-story": "captions",
}
# Options that the other tasks of the domain do not have.
TASK_OPTIONS = {
    "babi": ("numbers", "babi_data", "size", "most_words"),
    "world-model": ("min_length", "max_length", "epoch_updates"),
}


@dataclasses.dataclass(frozen=True)
class Model:
    """Where a model's constructor is, and what its name says of it.

    place: MODULE:NAME.
    fixed: options that the name decides.
    only:  options that count for one value of another option alone: {"forget_bias": ("controller", "lstm")}.
    sizes: what it calls otherwise than its domain does, of what the data tell: {"max_sentences": "longest_story"}.
    """

    place: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    only: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)


_GATES = {"forget_bias": ("controller", "lstm")}
_SEQUENCE_MODELS = {
    "ntm": Model("memnet:NTM", only=_GATES),
    "rnn-tanh": Model("memnet:RNN", fixed={"nonlinearity": "tanh"}),
    "rnn-relu": Model("memnet:RNN", fixed={"nonlinearity": "relu"}),
    "lstm": Model("memnet:LSTM"),
    "gru": Model("memnet:GRU"),
}
# The models of a domain.
MODELS = {
    "sequences": _SEQUENCE_MODELS,
    "text": _SEQUENCE_MODELS,
    "stories": {
        "memn2n": Model("memnet:MemN2N"),
        "kv": Model("memnet:KeyValueMemoryNetwork"),
        # No weight belongs to an age: a test story may be longer than every training story.
        "entnet": Model("memnet:EntNet", sizes={"max_sentences": "longest_story"}),
        **{name: model for name, model in _SEQUENCE_MODELS.items() if name != "rnn-relu"},
    },
    "translation": {
        "encoder-decoder": Model("memnet:EncoderDecoder", only=_GATES),
        "attention": Model("memnet:AttentionEncoderDecoder", only=_GATES),
    },
    "captions": {
        **{
            cell: Model("memnet:Captioner", fixed={"controller": cell, "attention": False}, only=_GATES)
            for cell in ("lstm", "gru", "rnn-tanh", "rnn-relu")
        },
        "attention": Model("memnet:Captioner", fixed={"attention": True}, only=_GATES),
    },
}
# Options of what makes vectors of words or characters, for the models of sequences.
READERS = {"stories": ("embedding", "embedding_size"), "text": ("embedding", "embedding_size")}
# What the data of a domain tell a constructor that asks for it by name.
SIZES = {
    "sequences": ("input_size", "output_size"),
    "text": ("input_size", "output_size"),
    "stories": ("vocab_size", "max_words", "max_sentences", "longest_story", "input_size", "output_size"),
    "translation": ("source_size", "target_size"),
    "captions": ("vocab_size", "image_size", "film"),
}


def entry(name: str, known: Mapping[str, str], what: str) -> str:
    """What is known by a name; UserError, with the nearest name, for none."""
    if name not in known:
        raise UserError(f"no {what} is called {name!r}{nearest(name, known)}")
    return known[name]


def at(place: str) -> Any:
    """What is at MODULE:NAME."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
