"""A model's step for use elsewhere: state in, state out, as a program of torch.export and as ONNX."""

import importlib.util
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from memnet.files import write_whole
from memnet.sequence import SequenceModule
from memnet.state import State, map_state, state_tensors, with_leaves


class Step(nn.Module):
    """A step of a sequence model whose state is tensors."""

    def __init__(self, model: SequenceModule) -> None:
        super().__init__()
        self.cell, self.readout = model.cell, model.readout
        # Whatever its tensors: how a state is laid out.
        self._like = map_state(lambda _: torch.empty(0, device="meta"), model.initial_state(1))

    def forward(self, input: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        output, after = self.cell(input, with_leaves(self._like, state))
        return self.readout(output), *state_tensors(after)


def export_step(model: SequenceModule, *, onnx: str | Path | None = None) -> ExportedProgram:
    """One step of a sequence model as a program that knows no memnet, for any number of rows.

        output, *state = program.module()(input, *state)

    input:  (batch, input_size). output: (batch, output_size).
    state:  the tensors of the model's state in order, named as `state_names` tells; `state_tensors` takes them from
            what `initial_state` or a call gave.
    onnx:   a file that the same step is written to as ONNX (needs the extra "onnx"), with these names.
    Returns the program, which torch.export.save writes. What may be set at any time, such as slots, is as it is now.
    Raises  TypeError for what is no sequence model; before anything is exported ImportError where ONNX is asked for
            without its extra, FileNotFoundError where the file's folder is none, IsADirectoryError where the file is.
    """
    if not isinstance(model, SequenceModule):
        raise TypeError(f"export_step takes a sequence model, not a {type(model).__name__}")
    if onnx is not None:
        _check_onnx(Path(onnx))
    first = model.initial_state(2)
    example = (
        model.readout.weight.new_zeros(2, model.input_size),
        *(one.detach().clone() for one in state_tensors(first)),
    )
    rows = Dim("batch")
    shapes = ({0: rows}, tuple({0: rows} for _ in example[1:]))
    program = torch.export.export(Step(model), example, dynamic_shapes=shapes)
    if onnx is not None:
        write_whole(Path(onnx), _as_onnx(program, state_names(first)))
    return program


def _check_onnx(path: Path) -> None:
    if missing := [one for one in ("onnx", "onnxscript") if importlib.util.find_spec(one) is None]:
        raise ImportError(f"ONNX needs {' and '.join(missing)}: pip install 'memnet-torch[onnx]'")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} cannot be written: it is a folder")


def _as_onnx(program: ExportedProgram, names: list[str]) -> bytes:
    with warnings.catch_warnings():
        # What torch says of its own use of its own parts.
        warnings.simplefilter("ignore", FutureWarning)
        written = torch.onnx.export(
            program,
            input_names=["input", *names],
            output_names=["output", *(f"next_{name}" for name in names)],
            dynamo=True,
            verbose=False,
        )
    assert written is not None
    content: bytes = written.model_proto.SerializeToString()
    return content


def state_names(state: State, within: str = "") -> list[str]:
    """The names of a state's tensors in order: "memory", "controller_hidden"; members of a tuple by their numbers."""
    if isinstance(state, Tensor):
        return [within or "state"]
    if hasattr(state, "_fields"):
        names = [f"{within}_{field}".strip("_") for field in state._fields]
    else:
        names = [f"{within or 'state'}_{number}" for number in range(1, len(state) + 1)]
    return [name for within, part in zip(names, state, strict=True) for name in state_names(part, within)]
