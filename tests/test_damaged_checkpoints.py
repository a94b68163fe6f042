"""A checkpoint that is damaged, or of another training, is one line, and the training stays as it was."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.runs import checkpoint
from experiments.runs.checkpoint import load_weights, read_checkpoint, save_weights
from experiments.runs.folder import RunFolder
from experiments.runs.metrics import MetricsFile
from experiments.runs.tracking import Tracker
from experiments.training.running import make_trainer
from experiments.training.trainer import Trainer
from tests.configurations import configured

Tensors = dict[str, Tensor]
Header = dict[str, Any]
Edit = Callable[[Tensors, Header], object]

NAME = "readout.weight"
CONFIG = configured(
    task="copy",
    hidden_size=4,
    num_layers=1,
    num_slots=6,
    slot_size=3,
    max_length=3,
    batch_size=2,
    steps=3,
    log_every=5,
    valid_sequences=2,
    picture_every=None,
    curriculum="growing",
    growing_start=2,
    backend="eager",
)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer[Any]]:
    """A training that has ended, with its checkpoint."""
    path = tmp_path_factory.mktemp("runs") / "run"
    folder = RunFolder.create(CONFIG.changed(out=str(path)))
    trainer = make_trainer(CONFIG, folder, "one")
    with MetricsFile(folder.metrics) as file, Progress(0) as progress:
        trainer.train(file, Tracker("one"), progress)
    return trainer


def everything(trainer: Trainer[Any]) -> Any:
    parts = trainer.model.state_dict(), trainer.optimizer.state(), trainer.generator.get_state()
    return copy.deepcopy((parts, trainer.objective.state(), trainer.step, trainer.seconds, trainer.run_id))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def refused(trainer: Trainer[Any], content: bytes) -> str:
    """What is said of a checkpoint with this content; the trainer must be as it was."""
    path, before = trainer.folder.checkpoint, everything(trainer)
    kept = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            trainer.restore()
    finally:
        path.write_bytes(kept)
    assert same(before, everything(trainer))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def edited(content: bytes, edit: Edit, path: Path, *, sealed: bool = True) -> bytes:
    """A checkpoint that says something else, with a SHA-256 of its own, or with none."""
    header = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["memnet"])
    del header["sha256"]
    tensors = {name: tensor.clone() for name, tensor in load(content).items()}
    edit(tensors, header)
    if not sealed:
        return save(tensors, {"memnet": json.dumps(header)})
    checkpoint._write(path, tensors, header)
    return path.read_bytes()


def put(name: str, change: Callable[[Tensor], Tensor]) -> Edit:
    return lambda tensors, header: tensors.update({name: change(tensors[name])})


def drop(name: str) -> Edit:
    return lambda tensors, header: tensors.pop(name)


def progress(**changed: Any) -> Edit:
    return lambda tensors, header: header["progress"].update(changed)


def without(name: str) -> Edit:
    return lambda tensors, header: header["progress"].pop(name)


def state(**changed: Any) -> Edit:
    return lambda tensors, header: header["progress"]["objective"].update(changed)


def rename(name: str, other: str) -> Edit:
    return lambda tensors, header: tensors.update({other: tensors.pop(name)})


def spoiled(value: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.index_fill(0, torch.tensor([0]), value)


MOMENT = "optimizer.0.exp_avg"
EDITS: dict[str, Edit] = {
    "weight dropped": drop(f"model.{NAME}"),
    "weight renamed": rename(f"model.{NAME}", "model.other"),
    "weight of no kind": rename(f"model.{NAME}", "strange"),
    "weight more": put(f"model.{NAME}", lambda tensor: torch.zeros(3)),
    "weight flat": put(f"model.{NAME}", Tensor.flatten),
    "weight double": put(f"model.{NAME}", Tensor.double),
    "weight half": put(f"model.{NAME}", Tensor.half),
    "weight whole": put(f"model.{NAME}", Tensor.long),
    "weight NaN": put(f"model.{NAME}", spoiled(torch.nan)),
    "weight infinite": put(f"model.{NAME}", spoiled(-torch.inf)),
    "moment dropped": drop(MOMENT),
    "moment renamed": rename(MOMENT, "optimizer.0.exp"),
    "moment of nobody": rename(MOMENT, "optimizer.99.exp_avg"),
    "moment of no number": rename(MOMENT, "optimizer.x.exp_avg"),
    "moment without name": rename(MOMENT, "optimizer.0"),
    "moment larger": put(MOMENT, lambda tensor: torch.cat([tensor, tensor])),
    "moment double": put(MOMENT, Tensor.double),
    "moment NaN": put(MOMENT, spoiled(torch.nan)),
    "step of the optimizer whole": put("optimizer.0.step", Tensor.long),
    "no state": lambda tensors, header: [tensors.pop(one) for one in list(tensors) if one.startswith("optimizer")],
    "numbers": lambda tensors, header: header["optimizer"].update({"0": {"lr": 1}}),
    "numbers of nobody": lambda tensors, header: header["optimizer"].update({"99": {"lr": 1}}),
    "numbers of no kind": lambda tensors, header: header["optimizer"].update({"0": "x"}),
    "numbers a list": lambda tensors, header: header.update(optimizer=[]),
    "carried": lambda tensors, header: tensors.update({"carried.0": torch.zeros(1)}),
    "carried gap": lambda tensors, header: tensors.update({"carried.1": torch.zeros(1)}),
    "generator dropped": drop("generator"),
    "generator short": put("generator", lambda tensor: tensor[:10]),
    "generator zero": put("generator", torch.zeros_like),
    "generator whole": put("generator", Tensor.long),
    "format": lambda tensors, header: header.update(format="memnet training checkpoint 9"),
    "format a list": lambda tensors, header: header.update(format=[]),
    "format dropped": lambda tensors, header: header.pop("format"),
    "header more": lambda tensors, header: header.update(strange=1),
    "progress dropped": lambda tensors, header: header.pop("progress"),
    "progress a list": lambda tensors, header: header.update(progress=[]),
    **{f"no {name}": without(name) for name in
       ("step", "seconds", "run_id", "config", "solved_step", "seconds_to_solve", "begun", "digest", "objective")},
    "other data": progress(digest="0"),
    "best weights that are not there": progress(lowest_loss=0.5),
    "nothing kept": progress(objective={"curriculum": {"limit": 2, "recent": []}}),
    "no curriculum": progress(objective={"kept": []}),
    "step a text": progress(step="3"),
    "step true": progress(step=True),
    "step negative": progress(step=-1),
    "step huge": progress(step=10**30),
    "seconds NaN": progress(seconds=float("nan")),
    "run a number": progress(run_id=5),
    "config a text": progress(config="copy"),
    "config of another": progress(config={"task": "copy", "num_slots": 99}),
    "curriculum a list": state(curriculum=[]),
    "curriculum empty": state(curriculum={}),
    "curriculum beyond": state(curriculum={"limit": 4, "recent": []}),
    "kept a number": state(kept=3),
    "kept texts": state(kept=["x"]),
    "kept in part": state(kept=[{"loss": 1.0, "norm": 1.0}]),
    "solved a text": progress(solved_step="x"),
}  # fmt: skip


def test_what_is_not_of_this_training_is_refused(trainer: Trainer[Any], tmp_path: Path) -> None:
    content = trainer.folder.checkpoint.read_bytes()
    for name, edit in EDITS.items():
        told = refused(trainer, edited(content, edit, tmp_path / "other"))
        assert "SHA-256" not in told, name
        if name in ("weight NaN", "weight infinite"):
            assert f"its {NAME} holds {'nan' if name.endswith('NaN') else '-inf'}, expected finite" in told


def damaged(content: bytes) -> Iterator[bytes]:
    chance = random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    yield from (content[: len(content) * part // 8] for part in range(8))
    yield content[:-1]
    yield content + b"\0"
    yield content[:8] + b"{}" + content[10:]
    yield content[:8] + 20_000 * b"[" + content[20_008:]
    places = [*range(8), *chance.choices(range(8, header), k=60), *chance.choices(range(header, len(content)), k=20)]
    for place in places:
        yield content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def test_no_flipped_bit_and_no_lost_byte_loads(trainer: Trainer[Any], tmp_path: Path) -> None:
    for content in damaged(trainer.folder.checkpoint.read_bytes()):
        refused(trainer, content)
    path = tmp_path / "weights.safetensors"
    save_weights(path, trainer.model)
    before = everything(trainer)
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=str(path)):
            load_weights(path, trainer.model)
    assert same(before, everything(trainer))


@pytest.mark.parametrize("edit", [drop("optimizer.0.step"), put("optimizer.0.step", lambda one: one.repeat(2))])
def test_a_running_mean_is_one_of_so_many_updates(trainer: Trainer[Any], tmp_path: Path, edit: Edit) -> None:
    path = tmp_path / "checkpoint.safetensors"
    averaged = edited(trainer.folder.checkpoint.read_bytes(), rename(MOMENT, "optimizer.0.averaged"), path)
    before = everything(trainer)
    edited(averaged, edit, path)
    with pytest.raises(UserError, match=f"{path} is of another training: a running mean lacks its steps"):
        load_weights(path, trainer.model)
    assert same(before, everything(trainer))


def test_of_files_of_before_the_weights_load(trainer: Trainer[Any], tmp_path: Path) -> None:
    """They have no digest; a training does not go on from them, and says so."""

    def older(tensors: Tensors, header: Header) -> None:
        header["format"] = "memnet training checkpoint 1"
        header["progress"]["curriculum"] = header["progress"].pop("objective")["curriculum"]

    path, before = tmp_path / "checkpoint.safetensors", everything(trainer)
    content = trainer.folder.checkpoint.read_bytes()
    assert "lacks its SHA-256" in refused(trainer, edited(content, lambda *_: None, tmp_path, sealed=False))
    old = edited(content, older, tmp_path, sealed=False)
    assert "is of version 1" in refused(trainer, old)
    path.write_bytes(old)
    load_weights(path, trainer.model)
    path.write_bytes(save(trainer.model.state_dict()))
    load_weights(path, trainer.model)
    assert same(before, everything(trainer))


def test_of_restarts_one_must_be_finite(tmp_path: Path) -> None:
    model, path = nn.Linear(2, 2), tmp_path / "weights.safetensors"
    stacked = nn.Linear(2, 2)
    for own in stacked.parameters():
        own.data = torch.stack([torch.full_like(own, torch.nan), torch.ones_like(own)])
    save_weights(path, stacked)
    load_weights(path, stacked, restarts=2)
    assert checkpoint.finite_restarts(stacked, stacked.state_dict(), 2) == [1]
    stacked.bias.data[1, 0] = torch.inf
    save_weights(path, stacked)
    with pytest.raises(UserError, match="holds nan, expected finite numbers"):
        load_weights(path, stacked, restarts=2)
    with pytest.raises(UserError, match="another model"):
        load_weights(path, model)


def test_names_of_files_need_not_be_utf_8(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    path = tmp_path / "f\udcff" / "weights.safetensors"
    path.parent.mkdir()
    save_weights(path, model)
    load_weights(path, model)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="truncated"):
        read_checkpoint(path)
