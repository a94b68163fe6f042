"""A step with explicit state, exported: equal to the model from its first state and from the middle of a sequence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor

import memnet
from memnet import export_step, state_tensors
from memnet.export import Step, state_names
from tests.test_pretrained import OTHERS
from tests.test_sequence_models import MODELS, OF_A_CLASS, drawn_anew, input_of

# Exporting and translating take about 50 ms an operation: fewer layers and rounds of loops, nothing twice.
FEWER: dict[str, dict[str, Any]] = {
    "delta-product": {"num_layers": 1},
    "mesa": {"num_steps": 2},
    "armt": {"num_memory": 1, "expansion": 0, "positions": "none"},
    "transformer": {"num_layers": 1},
}
OWN = {name: make for name, make in OTHERS.items() if isinstance(make(), memnet.SequenceModule)}


@pytest.fixture(scope="module", autouse=True)
def _of_one_time() -> Iterator[None]:
    """What torch keeps of an operation takes longer than the operation itself, since every program is exported once;
    and what it can translate to ONNX it would look through anew for each.
    """
    # Its own way to set a thing for a while: pytest's leaves it deleted.
    with torch._dynamo.config.patch(fake_tensor_cache_enabled=False), pytest.MonkeyPatch.context() as patch:
        if find_spec("onnxscript"):
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


def given(model: memnet.SequenceModule, rows: int) -> list[tuple[list[Tensor], list[Tensor]]]:
    """What a step takes, and what the model makes of it: from its first state, and after a sequence."""
    input, step = input_of(rows, 4).float(), input_of(rows, 1, seed=1).float()
    found = []
    with torch.no_grad():
        for state in (model.initial_state(rows), model(input)[1]):
            output, after = model(step, state)
            found.append(([step[:, 0], *state_tensors(state)], [output[:, 0], *state_tensors(after)]))
    return found


def assert_equal_to_the_model(step: Callable[..., Any], model: memnet.SequenceModule) -> None:
    for rows in (1, 3):
        for taken, expected in given(model, rows):
            torch.testing.assert_close(list(step(*taken)), expected)


@pytest.mark.parametrize("name", MODELS | OWN)
def test_a_step_equals_the_model(name: str) -> None:
    model: Any = drawn_anew(name).float() if name in MODELS else OWN[name]()
    assert_equal_to_the_model(Step(model), model)


@pytest.mark.parametrize("name", OWN)
def test_an_exported_step_equals_the_model(name: str) -> None:
    model: Any = OWN[name]()
    assert_equal_to_the_model(export_step(model).module(), model)


@pytest.mark.parametrize("name", OF_A_CLASS.values())
def test_an_exported_step_and_its_onnx_equal_the_model(name: str, tmp_path: Path) -> None:
    model: Any = drawn_anew(name, **FEWER.get(name, {})).float()
    if any(find_spec(module) is None for module in ("onnx", "onnxscript", "onnxruntime")):
        assert_equal_to_the_model(export_step(model).module(), model)
        pytest.skip("without the extra onnx")
    import onnxruntime

    assert_equal_to_the_model(export_step(model, onnx=tmp_path / "step.onnx").module(), model)
    assert [one.name for one in tmp_path.iterdir()] == ["step.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx")
    names = [one.name for one in session.get_inputs()]
    assert names == ["input", *state_names(model.initial_state(1))]
    assert [one.name for one in session.get_outputs()] == ["output", *(f"next_{one}" for one in names[1:])]
    for rows in (1, 3):
        for taken, expected in given(model, rows):
            fed = {one: tensor.detach().numpy() for one, tensor in zip(names, taken, strict=True)}
            found = [torch.from_numpy(one) for one in session.run(None, fed)]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_step_is_written_and_read_by_torch_alone(tmp_path: Path) -> None:
    model = drawn_anew("gru-stacked").float()
    torch.export.save(export_step(model), tmp_path / "step.pt2")
    step = torch.export.load(tmp_path / "step.pt2").module()
    ((taken, expected), _) = given(model, 2)
    torch.testing.assert_close(list(step(*taken)), expected)


def test_the_tensors_of_a_state_have_names() -> None:
    ntm = memnet.NTM(3, 2, controller="lstm", num_layers=2)
    layers = [f"controller_{layer}_{name}" for layer in (1, 2) for name in ("hidden", "cell")]
    assert state_names(ntm.initial_state(1)) == [*layers, "reads", "memory", "read_weights", "write_weights"]
    assert state_names(memnet.GRU(3, 2, num_layers=2).initial_state(1)) == ["state_1_hidden", "state_2_hidden"]


def test_what_cannot_be_exported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = memnet.LanguageModel(memnet.GRU(3, 3))
    with pytest.raises(TypeError, match="export_step takes a sequence model, not a LanguageModel"):
        export_step(model)
    gru = memnet.GRU(3, 3)
    with monkeypatch.context() as context:
        context.setattr("importlib.util.find_spec", lambda name: True)
        context.setattr("torch.export.export", lambda *_, **__: pytest.fail("it was exported first"))
        with pytest.raises(FileNotFoundError, match=r"none/step.onnx cannot be written: there is no folder .*none"):
            export_step(gru, onnx=tmp_path / "none" / "step.onnx")
        with pytest.raises(IsADirectoryError, match="cannot be written: it is a folder"):
            export_step(gru, onnx=tmp_path)
        context.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"ONNX needs onnx and onnxscript: pip install 'memnet-torch\[onnx\]'"):
            export_step(gru, onnx=tmp_path / "step.onnx")
    assert not list(tmp_path.iterdir())
