"""Folders like those of runs, written by hand: the dashboard reads files alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.config.form import started, to_yaml
from experiments.domains.sequences import about as sequences
from experiments.domains.stories import about as stories_about
from experiments.runs.about import About, write_about
from tasks import TASKS

Row = dict[str, Any]


def metrics(values: list[Any], name: str = "bits_per_sequence", every: int = 800) -> str:
    rows = [
        {"step": 50 * k, "sequences": every * k, f"train/{name}": value, f"valid/{name}": value}
        for k, value in enumerate(values, start=1)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def length_test(length: int, wrong: float, **more: Any) -> Row:
    scores = {"bits_per_sequence": 10 * wrong, "wrong_bits_per_sequence": wrong, "bit_error_rate": wrong / 100}
    return {
        "on": "copy",
        "at": {"num_slots": 128, "repeats": None, "length": length, "seed": 0},
        "as_trained": True,
        "count": 100,
        "scores": scores | {"exact_share": float(wrong == 0)},
        "baselines": {},
        "each": {},
    } | more


def restart_test(on: str, at: Row, errors: Sequence[float], count: int) -> Row:
    """A test of restarts, of which the first is the chosen one."""
    scores = {"scores": {"error_percent": errors[0]}, "baselines": {}, "each": {"error_percent": list(errors)}}
    return {"on": on, "at": at, "as_trained": True, "count": count} | scores


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
    config = started(task, recipe_name, {"model": changed.pop("model", "")} if "model" in changed else {}).changed(
        seed=seed, **changed
    )
    (folder / "figures").mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(folder / "figures" / "learning-curve.png")
    (folder / "config.yaml").write_text(to_yaml(config))
    write_about(folder, sequences.about(config, TASKS[task](), parameters=1, last_step=config.training.steps))
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
    start = started("babi", recipe_name)
    data = "generated" if stories.startswith("generated") else "/data/babi"
    config = start.changed(numbers=str(task), babi_data=data, restarts=len(errors), **changed)
    scores = [
        {"restart": k, "train_error": float(k), "train_loss": 0.1, "valid_error": float(k), "valid_loss": 0.1}
        for k in range(len(errors))
    ]
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    write_about(folder, stories_about.about(config, stories, parameters=1, last_step=300))
    (folder / "metrics.jsonl").write_text(metrics([80.0, 30.0, 5.0], "error_percent"))
    result = {"command": "train babi", "selection": {"by": config.training.select, "chosen": 0, "restarts": scores}}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "evaluation.json").write_text(json.dumps([restart_test(stories, {"task": task}, errors, 1000)]))
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


def world_run(
    folder: Path, seed: int = 0, errors: tuple[float, ...] = (1.0, 10.0, 40.0), model: str | None = None
) -> Path:
    """An ended run on the world model, tested at lengths 10, 20, ...."""
    config = started("world-model", None, {} if model is None else {"model": model}).changed(seed=seed)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    write_about(folder, stories_about.about(config, "world model", parameters=1, last_step=100))
    (folder / "metrics.jsonl").write_text(metrics([50.0, 10.0], "error_percent"))
    scores = {f"{config.training.select}_error": 1.0, f"{config.training.select}_loss": 0.1}
    selection = {"by": config.training.select, "chosen": 0, "restarts": [scores]}
    (folder / "result.json").write_text(json.dumps({"selection": selection}))
    rows = [restart_test("world model", {"length": 10 * k}, [error], 100) for k, error in enumerate(errors, start=1)]
    (folder / "evaluation.json").write_text(json.dumps(rows))
    return folder


def made_up_about(**changed: Any) -> About:
    told: Any = {
        "format": 1,
        "domain": "mazes",
        "task": "escape",
        "subject": "escape, 5 x 5",
        "label": "escape-walker",
        "model": "walker",
        "model_words": "Random walker",
        "by_word": None,
        "recipe": "default",
        "differences": "width 24",
        "setting": {"task": "escape", "model": "walker", "width": 24},
        "seed": 0,
        "examples": "mazes",
        "data": "mazes",
        "parameters": 7,
        "curve": {"metric": "steps", "words": "steps to the exit", "unit": "steps"},
        "solved": {"metric": "valid/lost", "under": 0.1, "unit": "mazes lost", "then_steps": 10},
        "last_step": 100,
        "may_end_early": True,
        "tests": {
            "by": "level",
            "unit": "level",
            "examples": "mazes",
            "names": {"easy": "without a loop", "hard": "with loops"},
            "trained": None,
            "failed_above": 5.0,
            "together": "mean",
            "scores": [
                {
                    "name": "lost",
                    "words": "mazes lost, %",
                    "heading": "lost %",
                    "unit": "% lost",
                    "format": ".1f",
                    "best": "low",
                }
            ],
        },
        "references": [],
        "published": "",
        "files": {},
    }
    made: About = told | changed
    return made


def made_up_run(folder: Path, seed: int = 0) -> Path:
    """An ended run of a model and on a task of which nobody here knows."""
    folder.mkdir(parents=True)
    setting = {"task": "escape", "model": "walker", "width": 24}
    (folder / "config.yaml").write_text(f"task: escape\nmodel: walker\nwidth: 24\nseed: {seed}\n")
    write_about(folder, made_up_about(seed=seed, setting=setting))
    rows = [
        {"step": 10 * k, "sequences": 320 * k, "valid/steps": 40.0 / 10 ** (k - 1), "valid/lost": 0.2 / k**2}
        for k in (1, 2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps({"command": "escape", "sequences_to_solve": 640}))
    tests = [
        {
            "on": "mazes",
            "at": {"level": level},
            "as_trained": True,
            "count": 50,
            "scores": {"lost": lost + seed},
            "baselines": {},
            "each": {},
        }
        for level, lost in (("easy", 2.0), ("hard", 10.0))
    ]
    (folder / "evaluation.json").write_text(json.dumps(tests))
    return folder
