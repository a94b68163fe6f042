"""Names of commands, domains, tasks and models, and where what they stand for is: data, so that it imports nothing."""

import dataclasses
from collections.abc import Mapping
from functools import partial
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
    "results": "experiments.report.results:results",
    "benchmark": "experiments.benchmark.commands:benchmark",
    "speed": "experiments.benchmark.goals:speed",
    "suite": "experiments.suite.commands:suite",
    "keep": "experiments.commands.keep:keep",
    "sync": "experiments.commands.sync:sync",
    "gradients": "experiments.gradients.command:gradients",
    "dashboard": "experiments.dashboard.command:dashboard",
    "inspect": "experiments.inspector.command:inspect",
    "recipes": "experiments.commands.recipes:recipes",
}
# Where a task is, by families. It says itself of which domain it is.
TASK_FAMILIES = {
    "Algorithms": {
        "copy": "tasks:Copy",
        "repeat-copy": "tasks:RepeatCopy",
        "associative-recall": "tasks:AssociativeRecall",
        "dynamic-ngrams": "tasks:DynamicNGrams",
        "priority-sort": "tasks:PrioritySort",
        "successive-copy": "tasks:SuccessiveCopy",
        "key-value-recall": "tasks:KeyValueRecall",
        "two-way-recall": "tasks:TwoWayRecall",
    },
    "Graphs, blocks, stories word by word": {
        "graph-traversal": "tasks:GraphTraversal",
        "shortest-path": "tasks:ShortestPath",
        "relation-inference": "tasks:RelationInference",
        "mini-shrdlu": "tasks:MiniShrdlu",
        "babi-stream": "tasks:BabiStream",
        "babi-noise": "tasks:BabiNoise",
    },
    "Long delays, and what was seen once": {
        "glyphs": "tasks:Glyphs",
        "adding": "tasks:Adding",
        "copy-memory": "tasks:CopyMemory",
        "temporal-order": "tasks:TemporalOrder",
        "agreement": "tasks:Agreement",
    },
    "Formal languages and states": {
        "even-pairs": "tasks:EvenPairs",
        "modular-arithmetic": "tasks:ModularArithmetic",
        "parity": "tasks:Parity",
        "cycle-navigation": "tasks:CycleNavigation",
        "stack-manipulation": "tasks:StackManipulation",
        "reverse-string": "tasks:ReverseString",
        "modular-arithmetic-brackets": "tasks:ModularArithmeticBrackets",
        "solve-equation": "tasks:SolveEquation",
        "duplicate-string": "tasks:DuplicateString",
        "missing-duplicate": "tasks:MissingDuplicate",
        "odds-first": "tasks:OddsFirst",
        "binary-addition": "tasks:BinaryAddition",
        "binary-multiplication": "tasks:BinaryMultiplication",
        "compute-sqrt": "tasks:ComputeSqrt",
        "bucket-sort": "tasks:BucketSort",
        "group-product": "tasks:GroupProduct",
        "flip-flop": "tasks:FlipFlop",
        "counter-language": "tasks:CounterLanguage",
        "dyck": "tasks:Dyck",
    },
    "Recall": {
        "induction-heads": "tasks:InductionHeads",
        "selective-copying": "tasks:SelectiveCopying",
        "associative-retrieval": "tasks:AssociativeRetrieval",
        "mqar": "tasks:MQAR",
        "in-context-recall": "tasks:InContextRecall",
        "noisy-recall": "tasks:NoisyRecall",
        "fuzzy-recall": "tasks:FuzzyRecall",
        "compression": "tasks:Compression",
        "memorization": "tasks:Memorization",
        "needles": "tasks:Needles",
        "in-context-regression": "tasks:InContextRegression",
    },
    "Relations, programs, games of cards": {
        "nth-farthest": "tasks:NthFarthest",
        "code-execution": "tasks:CodeExecution",
        "listops": "tasks:ListOps",
        "repeat-previous": "tasks:RepeatPrevious",
        "repeat-first": "tasks:RepeatFirst",
        "autoencode": "tasks:Autoencode",
        "count-recall": "tasks:CountRecall",
    },
    "Stories": {
        "babi": "experiments.domains.stories.tasks:Babi",
        "world-model": "experiments.domains.stories.tasks:World",
    },
    "Text and translation": {
        "text": "experiments.domains.text.tasks:Text",
        "translate": "experiments.domains.translation.tasks:Translate",
    },
    "Pictures and films": {
        "captions": "tasks.captions:Captions",
        "moving-captions": "tasks.captions:MovingCaptions",
        "caption-story": "tasks.captions:CaptionStory",
    },
}
TASKS = {name: place for family in TASK_FAMILIES.values() for name, place in family.items()}


@dataclasses.dataclass(frozen=True)
class Model:
    """Where a model's constructor is, and what its name says of it.

    place:    MODULE:NAME.
    fixed:    options that the name decides.
    only:     options that count for one value of another option alone: {"forget_bias": ("controller", "lstm")}.
    sizes:    what it calls otherwise than its domain does, of what the data tell: {"max_sentences": "longest_story"}.
    named_by: options that are part of its short name: ntm-lstm.
    peer:     where torch's own module of the same equations is, MODULE:NAME, to be timed beside it.
    """

    place: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    only: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    named_by: tuple[str, ...] = ()
    peer: str = ""


_GATES = {"forget_bias": ("controller", "lstm")}
_controlled = partial(Model, only=_GATES, named_by=("controller",))
_DELTA = {"rule": "delta", "features": "unit"}
# By families, as the tasks.
_SEQUENCE_FAMILIES = {
    "Slots under a controller": {
        "ntm": _controlled("memnet:NTM"),
        "dnc": _controlled("memnet:DNC"),
        "lrua": _controlled("memnet:LRUA"),
        "sam": _controlled("memnet:SAM"),
        "sdnc": _controlled("memnet:SDNC"),
    },
    "Stacks, queues, tapes": {
        "stack-rnn": _controlled("memnet:StackRNN"),
        **{
            f"neural-{one}": _controlled("memnet:NeuralStack", fixed={"structure": one})
            for one in ("stack", "queue", "deque")
        },
        "tape-rnn": _controlled("memnet:Tape", fixed={"rule": "write-and-move"}),
        "baby-ntm": _controlled(
            "memnet:Tape",
            fixed={"rule": "rotate-and-add", "write_units": 0},
            only={**_GATES, "jump": ("rule", "write-and-move")},
        ),
    },
    "Recurrent networks": {
        "rnn-tanh": Model("memnet:RNN", fixed={"nonlinearity": "tanh"}, peer="torch.nn:RNN"),
        "rnn-relu": Model("memnet:RNN", fixed={"nonlinearity": "relu"}, peer="torch.nn:RNN"),
        "lstm": Model("memnet:LSTM", peer="torch.nn:LSTM"),
        "gru": Model("memnet:GRU", peer="torch.nn:GRU"),
        "slstm": Model("memnet:SLSTM"),
        "fast-weights": Model("memnet:FastWeights"),
        "relational-memory": Model("memnet:RelationalMemory"),
    },
    "Attention": {
        "transformer": Model("memnet:Transformer"),
        "rmt": Model("memnet:RecurrentMemoryTransformer"),
    },
    "Linear attention, delta rules, state spaces": {
        "linear-attention": Model(
            "memnet:DeltaNet",
            fixed={"rule": "sum", "features": "elu", "decay": "none", "num_factors": 1, "strength": "sigmoid"},
        ),
        "deltanet": Model("memnet:DeltaNet", fixed={**_DELTA, "decay": "none"}),
        "gated-deltanet": Model("memnet:DeltaNet", fixed={**_DELTA, "decay": "head"}),
        "kda": Model("memnet:DeltaNet", fixed={**_DELTA, "decay": "channel"}),
        "delta-product": Model("memnet:DeltaNet", fixed={**_DELTA, "decay": "head", "num_factors": 2}),
        "mamba": Model("memnet:Mamba"),
        "mlstm": Model("memnet:MLSTM"),
        "rwkv-7": Model("memnet:RWKV7"),
    },
    "Memory trained or solved for at test time": {
        "ttt": Model("memnet:TTT"),
        "titans": Model("memnet:Titans"),
        "mesa": Model("memnet:Mesa"),
    },
}
_SEQUENCE_MODELS = {name: model for family in _SEQUENCE_FAMILIES.values() for name, model in family.items()}
_STORY_MODELS = {
    "memn2n": Model("memnet:MemN2N"),
    "kv": Model("memnet:KeyValueMemoryNetwork"),
    # No weight belongs to an age: a test story may be longer than every training story.
    "entnet": Model("memnet:EntNet", sizes={"max_sentences": "longest_story"}),
}
_TRANSLATORS = {
    "encoder-decoder": Model("memnet:EncoderDecoder", only=_GATES),
    "attention": Model("memnet:AttentionEncoderDecoder", only=_GATES),
}
_CAPTIONERS = {
    **{
        cell: Model("memnet:Captioner", fixed={"controller": cell, "attention": False}, only=_GATES)
        for cell in ("lstm", "gru", "rnn-tanh", "rnn-relu")
    },
    "attention": Model("memnet:Captioner", fixed={"attention": True}, only=_GATES),
}
MODEL_FAMILIES: Mapping[str, Mapping[str, Model]] = {
    **_SEQUENCE_FAMILIES,
    "Memory of a story": _STORY_MODELS,
    "Translators": _TRANSLATORS,
    "Captioners": _CAPTIONERS,
}


@dataclasses.dataclass(frozen=True)
class Domain:
    """A form of examples.

    commands: the module of what is done with its runs, see experiments.training.domain.
    shown:    a run of it that is to be looked into, see experiments.training.showing.
    training: the dataclass of how its models are trained.
    models:   by name.
    sizes:    what its data tell a constructor that asks for it by name.
    reader:   what makes its model of one of sequences; "" where models of sequences are none of its.
    """

    commands: str
    shown: str
    training: str
    models: Mapping[str, Model]
    sizes: tuple[str, ...]
    reader: str = ""


SEQUENCE_SIZES = ("input_size", "output_size")
DOMAINS = {
    "sequences": Domain(
        "experiments.domains.sequences.commands",
        "experiments.domains.sequences.showing:ShownSequences",
        "experiments.domains.sequences.options:SequenceTraining",
        _SEQUENCE_MODELS,
        SEQUENCE_SIZES,
    ),
    "tokens": Domain(
        "experiments.domains.sequences.commands",
        "experiments.domains.sequences.showing:ShownSequences",
        "experiments.domains.sequences.options:SequenceTraining",
        _SEQUENCE_MODELS,
        ("vocab_size", "num_classes"),
        "experiments.domains.sequences.models:read_tokens",
    ),
    "stories": Domain(
        "experiments.domains.stories.commands",
        "experiments.domains.stories.showing:ShownStories",
        "experiments.domains.stories.options:StoryTraining",
        {**_STORY_MODELS, **_SEQUENCE_MODELS},
        ("vocab_size", "max_words", "max_sentences", "longest_story"),
        "experiments.domains.stories.models:read_words",
    ),
    "text": Domain(
        "experiments.domains.text.commands",
        "experiments.domains.text.showing:ShownText",
        "experiments.domains.text.options:TextTraining",
        _SEQUENCE_MODELS,
        ("num_symbols",),
        "experiments.domains.text.models:read_characters",
    ),
    "translation": Domain(
        "experiments.domains.translation.commands",
        "experiments.domains.translation.showing:ShownTranslation",
        "experiments.domains.translation.options:TranslationTraining",
        _TRANSLATORS,
        ("source_size", "target_size"),
    ),
    "captions": Domain(
        "experiments.domains.captions.commands",
        "experiments.domains.captions.showing:ShownCaptions",
        "experiments.domains.captions.options:CaptionTraining",
        _CAPTIONERS,
        ("vocab_size", "image_size", "film"),
    ),
}


def entry(name: str, known: Mapping[str, Any], what: str) -> Any:
    """What is known by a name; UserError, with the nearest name, for none."""
    if name not in known:
        raise UserError(f"no {what} is called {name!r}{nearest(name, known)}")
    return known[name]


def at(place: str) -> Any:
    """What is at MODULE:NAME."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
