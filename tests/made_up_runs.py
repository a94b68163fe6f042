"""Folders like those of runs, written by hand: the dashboard reads files alone."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.config.parts import to_yaml
from experiments.domains.sequences.recipes import recipe
from experiments.domains.stories.recipes import story_recipe

Row = dict[str, Any]


def metrics(values: list[Any], name: str = "bits_per_sequence", every: int = 800) -> str:
    rows = [
        {"step": 50 * k, "sequences": every * k, f"train/{name}": value, f"valid/{name}": value}
        for k, value in enumerate(values, start=1)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def length_test(length: int, wrong: float, **more: Any) -> Row:
    test = {"length": length, "num_slots": 128, "repeats": None, "seed": 0, "sequences": 100}
    scores = {"bits_per_sequence": 10 * wrong, "wrong_bits_per_sequence": wrong, "bit_error_rate": wrong / 100}
    return test | scores | {"exact_share": float(wrong == 0)} | more


def copy_run(
    folder: Path,
    seed: int = 0,
    values: tuple[Any, ...] = (80.0, 20.0, 1.0, 0.1),
    *,
    task: str = "copy",
    recipe_name: str = "default",
    ended: bool = True,
    solved: int | None = 2400,
    tests: tuple[Row, ...] = (length_test(20, 0), length_test(40, 1), length_test(80, 20)),
    **changed: Any,
) -> Path:
    """A run on an algorithmic task."""
    config = dataclasses.replace(recipe(recipe_name, task), seed=seed, **changed)
    (folder / "figures").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(folder / "figures" / "learning-curve.png")
    (folder / "config.yaml").write_text(to_yaml(config))
    (folder / "metrics.jsonl").write_text(metrics(list(values)))
    if ended:
        result = {"command": f"train {task}", "sequences_to_solve": solved, "versions": {"torch": "2"}}
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "evaluation.json").write_text(json.dumps(list(tests)))
    return folder


def story_run(
    folder: Path,
    task: int,
    errors: tuple[float, ...] = (4.0, 12.0),
    *,
    recipe_name: str = "paper/memn2n-1k",
    stories: str = "bAbI 1k",
    **changed: Any,
) -> Path:
    """An ended run on one bAbI task; the restart with the first error is the chosen one."""
    start = story_recipe(recipe_name, "babi", None)
    data = "generated" if stories.startswith("generated") else "/data/babi"
    config = dataclasses.replace(start, numbers=str(task), babi_data=data, restarts=len(errors), **changed)
    scores = [
        {"restart": k, "train_error": float(k), "train_loss": 0.1, "valid_error": float(k), "valid_loss": 0.1}
        for k in range(len(errors))
    ]
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    (folder / "metrics.jsonl").write_text(metrics([80.0, 30.0, 5.0], "error_percent"))
    result = {"command": "train babi", "selection": {"by": config.select, "chosen": 0, "restarts": scores}}
    (folder / "result.json").write_text(json.dumps(result))
    row = {"trained_on": stories, "tested_on": stories, "task": task, "questions": 1000, "errors": list(errors)}
    (folder / "evaluation.json").write_text(json.dumps([row]))
    return folder


def suite(folder: Path) -> Path:
    """A little of everything."""
    for seed in range(3):
        copy_run(folder / f"copy-s{seed}", seed, (80.0, 20.0 + seed, 1.0, 0.1 + seed / 10))
    copy_run(folder / "copy-lstm-s0", 0, (90.0, 60.0, 40.0), model="lstm", solved=None, tests=(length_test(20, 5),))
    copy_run(folder / "copy-stopped", 7, (80.0, 70.0), ended=False, learning_rate=0.5)
    world_run(folder / "world")
    for task in (1, 2, 16):
        story_run(folder / "stories" / f"q{task}", task)
    return folder


def world_run(folder: Path, seed: int = 0, errors: tuple[float, ...] = (1.0, 10.0, 40.0)) -> Path:
    """An ended run on the world model, tested at lengths 10, 20, ...."""
    config = dataclasses.replace(story_recipe("default", "world-model", None), seed=seed)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    (folder / "metrics.jsonl").write_text(metrics([50.0, 10.0], "error_percent"))
    scores = {f"{config.select}_error": 1.0, f"{config.select}_loss": 0.1}
    (folder / "result.json").write_text(json.dumps({"selection": {"chosen": 0, "restarts": [scores]}}))
    told = {"trained_on": "world model", "tested_on": "world model", "questions": 100}
    rows = [told | {"length": 10 * k, "errors": [error]} for k, error in enumerate(errors, start=1)]
    (folder / "evaluation.json").write_text(json.dumps(rows))
    return folder
