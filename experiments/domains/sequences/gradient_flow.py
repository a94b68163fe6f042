"""How far gradients reach back in a network that is being trained: rows of metrics under gradients/."""

import copy

import torch
from torch import Tensor

from experiments.base.seeds import generator_for
from experiments.domains.sequences.models import SequenceModel, core
from memnet.diagnostics.gates import gate_activity, time_scales
from memnet.diagnostics.gradients import slot_gradients, state_gradient_norms, state_gradients
from memnet.diagnostics.spectra import recurrent_matrices, spectrum
from tasks import Task

_SEQUENCES = 4
# The number of the stream, among those of validation.
_STREAM = 1


def gradient_row(model: SequenceModel, task: Task, length: int, seed: int) -> dict[str, float]:
    """One row of metrics, on the same few sequences at every call. The model and its gradients stay as they are.

    length: of the sequences. seed: of the run.
    Returns gradients/norm/lag-K:      norm of dL/ds_(T-K), L the loss of one sequence, s_(T-K) the state K steps before
                                       its end: the mean over the sequences, in float64; the largest K is the whole
                                       of the shortest one.
            gradients/radius/NAME:     spectral radius of a recurrent matrix, see memnet.diagnostics.spectra.
            gradients/gate/NAME:       mean of an LSTM's or GRU's gate over sequences, steps and units.
            gradients/time_scale/NAME: of forget and update gates, the units' median, in steps.
            gradients/slots_never_touched: of an NTM, slots that no gradient reaches, mean over the sequences.
    """
    generator = generator_for("valid", seed, _STREAM)
    batch = task.sample(_SEQUENCES, length=length, generator=generator).to(core(model).readout.weight.device)
    whole = copy.deepcopy(model).double()
    network, fed = core(whole), list[Tensor]()
    # What the steps are given, whatever stands before them.
    watch = network.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0].detach()))
    with torch.no_grad():
        whole(batch.input.double() if batch.input.is_floating_point() else batch.input)
    watch.remove()
    input = fed[0]

    def loss(features: Tensor) -> Tensor:
        return task.loss(network.readout(features), batch) * _SEQUENCES

    states = state_gradients(network.cell, input, loss)
    norms, steps = state_gradient_norms(states), batch.lengths
    places = torch.arange(len(steps), device=steps.device)
    lags = _lags(int(steps.min()))
    row = {f"gradients/norm/lag-{lag}": float(norms[places, steps - lag].mean()) for lag in lags}
    for name, matrix in recurrent_matrices(network.cell).items():
        row[f"gradients/radius/{name}"] = float(spectrum(matrix).radius)
    for layer, gates in gate_activity(network.cell, input).items():
        for gate, values in gates._asdict().items():
            name = f"{layer}.{gate}" if layer else gate
            row[f"gradients/gate/{name}"] = float(values.mean())
            if gate in ("forget", "update"):
                row[f"gradients/time_scale/{name}"] = float(time_scales(values).median())
    if hasattr(states, "memory"):
        slots = slot_gradients(states.memory)
        row["gradients/slots_never_touched"] = float(slots.never_touched.sum(1, dtype=torch.float64).mean())
    return row


def _lags(steps: int) -> list[int]:
    """1, 2, 5, 10, 20, ... and the whole."""
    series = (first * 10**power for power in range(len(str(steps))) for first in (1, 2, 5))
    return sorted({lag for lag in series if lag < steps} | {steps})
