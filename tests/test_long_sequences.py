"""Sequences longer than memory would hold: checkpointed steps, and truncated backpropagation that carries state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import memnet
from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.base.progress import Progress
from experiments.config.form import from_yaml
from experiments.domains.sequences.training import SequenceObjective
from experiments.runs.folder import RunFolder
from experiments.training.running import make_trainer
from experiments.training.trainer import Trainer
from memnet.state import detach_state
from tests.configurations import configured
from tests.running import TINY


class Peak(TorchDispatchMode):
    """The most bytes of tensors that lived at once, of those that were made within."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._calls = 0
        self._living: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._living[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self._calls += 1
        # Not at every call, which takes long where many live, but before a thirtieth of them can have come and gone.
        if 32 * self._calls > len(self._living):
            self._calls = 0
            self._living = {key: one for key, one in self._living.items() if not one[0].expired()}
            self.bytes = max(self.bytes, sum(size for _, size in self._living.values()))
        return result


def peak_of(run: Callable[[], object]) -> int:
    with Peak() as peak:
        run()
    return peak.bytes


def small_ntm() -> memnet.NTM:
    torch.manual_seed(0)
    model = memnet.NTM(3, 2, hidden_size=4, num_slots=64, slot_size=16)
    model.backend = "eager"
    return model


def full(model: memnet.NTM, time: int) -> None:
    model.checkpoint_steps = None
    model(torch.ones(1, time, 3))[0].square().sum().backward()


def checkpointed(model: memnet.NTM, time: int) -> None:
    model.checkpoint_steps = round(time**0.5)
    model(torch.ones(1, time, 3))[0].square().sum().backward()


def truncated(model: memnet.NTM, time: int) -> None:
    model.checkpoint_steps, state = None, None
    for chunk in torch.ones(1, time, 3).split(4, 1):
        output, state = model(chunk, state)
        output.square().sum().backward()
        state = detach_state(state)


@pytest.mark.parametrize(
    ("run", "least", "most"),
    [(full, 7.0, 9.5), (checkpointed, 1.0, 3.5), (truncated, 0.9, 1.1)],
    ids=["everything kept", "checkpointed", "truncated"],
)
def test_memory_at_nine_times_the_length(run: Callable[[memnet.NTM, int], None], least: float, most: float) -> None:
    """It grows as the length, as its root, or not at all."""
    short, long = (peak_of(lambda time=time: run(small_ntm(), time)) for time in (8, 72))
    assert least < long / short < most


def test_steps_are_computed_again_under_the_autocast_of_the_forward_pass() -> None:
    model = small_ntm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, _ = model(torch.ones(2, 7, 3))
        model.checkpoint_steps = 3
        output, _ = model(torch.ones(2, 7, 3))
    assert torch.equal(output, expected)
    both = [torch.autograd.grad(one.sum(), list(model.cell.parameters())) for one in (expected, output)]
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=1e-3)


def test_checkpointing_refuses_other_parameters_than_it_will_find_again() -> None:
    model, other = small_ntm(), small_ntm()
    model.checkpoint_steps = 3
    output, _ = torch.func.functional_call(model, dict(other.named_parameters()), (torch.ones(2, 7, 3),))
    with pytest.raises(RuntimeError, match="parameters are others"):
        output.sum().backward()


def test_checkpointing_notices_a_parameter_that_changed() -> None:
    model = small_ntm()
    model.checkpoint_steps = 3
    output, _ = model(torch.ones(2, 7, 3))
    torch.nn.init.zeros_(model.cell.heads.bias)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_checkpointing_refuses_second_derivatives() -> None:
    model = small_ntm()
    model.checkpoint_steps = 3
    output, _ = model(torch.ones(2, 7, 3))
    with pytest.raises(RuntimeError, match="first derivatives alone; set checkpoint_steps to None"):
        torch.autograd.grad(output.sum(), list(model.parameters()), create_graph=True)


def test_checkpoint_steps_are_at_least_one() -> None:
    with pytest.raises(ValueError, match=r"checkpoint_steps.*1.*0"):
        small_ntm().checkpoint_steps = 0


OPTIONS = {"hidden_size": 12, "num_slots": 16, "slot_size": 6, "batch_size": 4, "valid_sequences": 20}


def trainer_of(folder: Path, **options: Any) -> Trainer[SequenceObjective]:
    config = configured("copy", out=str(folder), weight_noise=0.02, clip_norm=None, **OPTIONS, **options)
    return make_trainer(config, RunFolder.create(config), "id")


def one_update(folder: Path, **options: Any) -> Trainer[SequenceObjective]:
    trainer = trainer_of(folder, **options)
    trainer.update(Progress(1))
    return trainer


@pytest.mark.parametrize("options", [{"truncate": 41}, {"checkpoint_steps": 4}], ids=["one chunk", "checkpointed"])
@pytest.mark.parametrize("model", ["ntm", "lstm"])
def test_an_update_equals_the_plain_one(model: str, options: dict[str, int], tmp_path: Path) -> None:
    plain = one_update(tmp_path / "plain", model=model, curriculum="fixed")
    other = one_update(tmp_path / "other", model=model, curriculum="fixed", **options)
    (one,), (two,) = plain.objective.kept, other.objective.kept
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-6)
    assert one["norm"] == pytest.approx(two["norm"], rel=1e-5)


def test_truncation_carries_the_state_and_cuts_the_gradient(tmp_path: Path) -> None:
    """The loss is that of the whole, the gradient the sum of those of chunks whose first state is a constant."""
    trainer = trainer_of(tmp_path / "run", truncate=6)
    task = trainer.objective.data
    batch = task.sample(4, length=7, generator=trainer.generator)
    logits, _ = trainer.model(batch.input)
    total = 0.0
    for piece in trainer.objective.pieces(trainer.model, batch):
        piece.backward()
        total += piece.counts["loss"].item()
    assert total == pytest.approx(task.loss(logits, batch).item(), rel=1e-6)
    expected, state = [torch.zeros_like(parameter) for parameter in trainer.model.parameters()], None
    for first in range(0, 15, 6):
        logits, state = trainer.model(batch.input[:, first : first + 6], state)
        scored = batch.mask[:, first : first + 6]
        target = batch.target[:, first : first + 6][scored]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[scored], target, reduction="sum") / 4
        state = detach_state(state)
        parts = torch.autograd.grad(loss, list(trainer.model.parameters()))
        expected = [one + part for one, part in zip(expected, parts, strict=True)]
    for parameter, gradient in zip(trainer.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_a_run_that_was_truncated_goes_on_as_it_began(tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = ["train", "copy", *TINY, "--steps", "4", "--truncate", "3", "--checkpoint-steps", "2", "--out", str(run)]
    assert main(args) == 0
    config = from_yaml(RunFolder(run).config)
    assert (config.training.truncate, config.training.checkpoint_steps) == (3, 2)
    assert main(["train", "--resume", str(run), "--steps", "8"]) == 0
    assert main(["train", "--resume", str(run), "--truncate", "4"]) == 2


@pytest.mark.parametrize("truncate", [None, 6])
def test_the_mean_loss_weighs_every_sequence_alike(truncate: int | None, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run", truncate=truncate, loss="mean")
    batch = trainer.objective.data.sample(4, length=(2, 7), generator=trainer.generator)
    logits, _ = trainer.model(batch.input)
    every = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.target, reduction="none")
    expected = torch.stack([one[mask].mean() for one, mask in zip(every, batch.mask, strict=True)]).mean()
    pieces = list(trainer.objective.pieces(trainer.model, batch))
    assert sum(piece.loss.item() for piece in pieces) == pytest.approx(expected.item(), rel=1e-6)
    told = sum(piece.counts["loss"].item() for piece in pieces)
    assert told == pytest.approx(trainer.objective.data.loss(logits, batch).item(), rel=1e-6)


def test_a_validation_may_be_longer_than_training_and_not_shorter(tmp_path: Path) -> None:
    longest = trainer_of(tmp_path / "run", valid_length=24).objective.validation[-1]
    assert longest.mask.sum(1).tolist() == [24]
    with pytest.raises(UserError, match="--valid-length 19 is below the longest training length, 20"):
        trainer_of(tmp_path / "short", valid_length=19)
