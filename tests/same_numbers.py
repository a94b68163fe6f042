"""The same numbers from two checkouts of this project, bit for bit: python -m tests.same_numbers OLD NEW [WORD ...]

Small trainings of every kind are run in both, as a person runs them: sequences, stories with restarts, text,
translation, pictures; also resumed in the middle, on two ranks, with stacked seeds; and one update of every task,
recipe and model. Every number of metrics and tests that both write is compared, and every weight. What only one of them
writes counts as a difference, too, but for names that begin as --ignore says. Words choose cases whose names hold one.

Not a test that pytest runs: it takes minutes, and wants a second checkout. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file

from experiments.training.running import NOT_SOLVED

ALWAYS = "--tracker none --log-every 10 --valid-every 20"
SHORT = f"{ALWAYS} --steps 60 --valid-sequences 40 --test-sequences 8 --picture-every 20"
SMALL = "--controller lstm --hidden-size 32 --num-layers 1 --num-slots 16 --batch-size 16"
GROWING = "--curriculum growing --growing-start 20 --growing-threshold 0.01 --min-length 10 --max-length 40"
STORIES = f"{ALWAYS} --task 1 --questions 400 --test-questions 40 --epochs 3 --babi-data generated"
TEXT = f"text --text markov --characters 30000 {ALWAYS}"
TRANSLATE = f"translate {ALWAYS}"
CAPTIONS = f"{ALWAYS} --batch-size 16 --test-scenes 20"
SOLVED = "--questions 60 --test-questions 20 --batch-size 8 --num-slots 4 --embedding-size 16 --epochs 40"
ONE = "--tracker none --steps 1 --valid-sequences 1 --test-sequences 1 --batch-size 1 --picture-every None"
ONE_STORY = "--tracker none --questions 20 --test-questions 4 --epochs 1 --restarts 1"
BITS = ("copy", "repeat-copy", "associative-recall", "dynamic-ngrams", "priority-sort")
LONG = ("adding", "copy-memory", "temporal-order", "agreement")
NETWORKS = ("ntm", "lstm", "gru", "rnn-tanh", "rnn-relu")
READERS = ("memn2n", "kv", "entnet", "ntm", "lstm", "gru", "rnn-tanh")

# Every case is one or more commands; {} is its folder, and a command that begins with "2 ranks:" runs on two processes.
CASES: dict[str, list[str]] = {
    "copy, default": [f"train copy {SHORT} --out {{}}"],
    "copy, resumed in the middle": [f"train copy {SHORT} --steps 30 --out {{}}", "train --resume {} --steps 60"],
    "copy, LSTM, truncated": [f"train copy --model lstm --truncate 7 {SHORT} --out {{}}"],
    "copy, clipped by value": [f"train copy {SHORT} --optimizer rmsprop --clip-norm None --clip-value 10 --out {{}}"],
    "copy, two ranks": [f"2 ranks:train copy {SHORT} --out {{}}"],
    "copy, stacked seeds": [f"train copy --model lstm --seeds 2 --together stacked {SHORT} --out {{}}"],
    "copy, begins again and keeps the best": [
        f"train copy --model lstm {SHORT} --restart-after 20 --keep-best True --solved-at 1e-9 --out {{}}"
    ],
    "adding, growing, solved, cooling": [
        f"train adding {SHORT} {SMALL} {GROWING} --solved-at 1 --cooldown-steps 15 --learning-rate 0.003 --out {{}}"
    ],
    "stories, MemN2N, restarts": [
        f"train babi {STORIES} --restarts 3 --linear-start-epochs 1 --length-groups 2 --out {{}}"
    ],
    "stories, MemN2N, joint": [f"train babi {STORIES} --task 1,6 --restarts 1 --linear-start-epochs 1 --out {{}}"],
    "stories, EntNet until solved": [f"train babi --model entnet {STORIES} --restarts 2 --epochs 6 --out {{}}"],
    "stories, EntNet stops when solved": [
        f"train babi --model entnet {STORIES} {SOLVED} --task 20 --restarts 1 --stop-when-solved True --out {{}}"
    ],
    "stories, two ranks": [f"2 ranks:train babi {STORIES} --restarts 2 --batch-size 8 --out {{}}"],
    "stories, resumed": [f"train babi {STORIES} --restarts 2 --out {{}}", "train --resume {} --epochs 4"],
    "stories, key-value": [f"train babi --model kv {STORIES} --restarts 1 --out {{}}"],
    "stories, LSTM reads": [f"train babi --model lstm {STORIES} --restarts 1 --out {{}}"],
    "world model, EntNet": [f"train world-model {ALWAYS} --test-questions 20 --epochs 2 --out {{}}"],
    "text, LSTM": [f"train {TEXT} --steps 40 --out {{}}"],
    "text, resumed": [f"train {TEXT} --steps 25 --cooldown-steps 5 --out {{}}", "train --resume {} --steps 40"],
    "text, NTM": [f"train {TEXT} --steps 40 --model ntm --num-slots 16 --hidden-size 32 --out {{}}"],
    "translation, attention": [f"train {TRANSLATE} --steps 40 --out {{}}"],
    "translation, resumed": [f"train {TRANSLATE} --steps 25 --out {{}}", "train --resume {} --steps 40"],
    "translation, two ranks": [f"2 ranks:train {TRANSLATE} --steps 20 --out {{}}"],
    "translation, without": [f"train {TRANSLATE} --steps 40 --model encoder-decoder --out {{}}"],
    "captions": [f"train captions {CAPTIONS} --steps 20 --out {{}}"],
    "captions, resumed": [f"train captions {CAPTIONS} --steps 8 --out {{}}", "train --resume {} --steps 20"],
    "captions of films": [f"train moving-captions {CAPTIONS} --steps 6 --out {{}}"],
    **{
        f"model: {task}, {model}": [f"train {task} --model {model} {ONE} --out {{}}"]
        for task in (*BITS, *LONG)
        for model in NETWORKS
    },
    **{
        f"model: copy, {controller}, {addressing}": [
            f"train copy --controller {controller} --addressing {addressing} {ONE} --out {{}}"
        ]
        for controller in ("feedforward", "rnn-tanh", "rnn-relu", "lstm", "gru")
        for addressing in ("location", "content-and-location", "content")
    },
    **{
        f"model: recipe {task}-{model}": [f"train {task} --recipe paper/{task}-{model} {ONE} --out {{}}"]
        for task in BITS
        for model in ("ntm-feedforward", "ntm-lstm", "lstm")
    },
    **{
        f"model: babi, {model}": [
            f"train babi --model {model} {ONE_STORY} {'--linear-start-epochs 0' * (model == 'memn2n')} --out {{}}"
        ]
        for model in READERS
    },
}


# What tests of memnet 0.1 had beside their scores.
OLD_CONDITIONS = (
    *("length", "num_slots", "repeats", "seed", "sequences", "batch_size", "trained_on", "tested_on", "task"),
    *("questions", "text", "part", "characters", "first_of", "beam", "normalization", "scenes"),
)


class Seen(NamedTuple):
    """What a case left: numbers by file, place and name; digests of weights."""

    numbers: dict[tuple[str, int, str], str]
    weights: dict[tuple[str, str], str]


def main(args: Sequence[str]) -> int:
    """Run the chosen cases in both checkouts; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=checkout)
    parser.add_argument("new", type=checkout)
    parser.add_argument("words", nargs="*", help="of the names of cases; none for all")
    parser.add_argument("--ignore", nargs="*", default=[], help="beginnings of names that only one may write")
    options = parser.parse_args(args)
    chosen = [name for name in CASES if not options.words or any(word in name for word in options.words)]
    if not chosen:
        parser.error(f"no case has a name with {' or '.join(options.words)}; there are {', '.join(CASES)}")
    return max([compare(name, options.old, options.new, tuple(options.ignore)) for name in chosen])


def checkout(given: str) -> Path:
    """The folder as every working directory finds it; ValueError, which argparse tells, where it is no checkout."""
    folder = Path(given).resolve()
    if not (folder / "experiments" / "__main__.py").is_file():
        raise ValueError
    return folder


def compare(name: str, old: Path, new: Path, ignored: tuple[str, ...]) -> int:
    """Run one case in both and say what differs."""
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / side for side in ("old", "new")]
        try:
            one, other = (run(CASES[name], checkout, to) for checkout, to in zip((old, new), folders, strict=True))
        except RuntimeError as error:
            print(f"{name}: {error}", flush=True)
            return 1
    shared = one.numbers.keys() & other.numbers.keys()
    differ = sorted(key for key in shared if one.numbers[key] != other.numbers[key])
    lone = sorted(key for key in one.numbers.keys() ^ other.numbers.keys() if not key[2].startswith(ignored or "\0"))
    moved = sorted(key for key in one.weights.keys() | other.weights if one.weights.get(key) != other.weights.get(key))
    print(f"{name}: {len(shared)} numbers, {len(differ)} differ, {len(lone)} only in one; ", end="")
    print(f"{len(one.weights)} weights, {len(moved)} differ", *(differ + lone + moved)[:3], flush=True)
    return int(bool(differ or lone or moved) or not shared or not one.weights)


def run(commands: Sequence[str], checkout: Path, out: Path) -> Seen:
    """Run a case's commands in a checkout; RuntimeError where one fails."""
    for line in commands:
        alone = line.removeprefix("2 ranks:")
        ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if alone != line else []
        words = [word.format(out) for word in alone.split()]
        done = subprocess.run(
            [sys.executable, *ranks, "-m", "experiments", *words],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, NOT_SOLVED):
            raise RuntimeError(f"{checkout}: {' '.join(words)}\n{done.stderr[-1500:]}")
    return Seen(dict(numbers_of(out)), dict(weights_of(out)))


def numbers_of(out: Path) -> Iterator[tuple[tuple[str, int, str], str]]:
    """Every number of every run within a folder, but times."""
    for path in sorted([*out.rglob("metrics.jsonl"), *out.rglob("evaluation.json")]):
        text = path.read_text()
        rows = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
        for place, row in enumerate(rows):
            for name, value in (scores_of(row) if path.suffix == ".json" else row).items():
                if not name.startswith("perf/"):
                    # As text, in which what is not a number equals itself.
                    yield (str(path.relative_to(out)), place, name), json.dumps(value)


def scores_of(test: dict[str, Any]) -> dict[str, Any]:
    """The scores of a test, in the form of today or of memnet 0.1."""
    if "at" not in test:
        return {name: value for name, value in test.items() if name not in OLD_CONDITIONS and value is not None}
    if each := test["each"]:
        return {"errors": each["error_percent"]}
    baselines = {f"baseline_{name}": score for name, score in test["baselines"].items()}
    return {name: score for name, score in test["scores"].items() if name != "bits_above_source"} | baselines


def weights_of(out: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """A digest of every tensor of every run's weights."""
    for path in sorted(out.rglob("weights.safetensors")):
        for name, tensor in load_file(path).items():
            form = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
            digest = hashlib.sha256(form + tensor.contiguous().numpy().tobytes())
            yield (str(path.relative_to(out)), name), digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
