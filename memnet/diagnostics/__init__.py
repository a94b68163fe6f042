"""What networks do with their memory, and what becomes of gradients on their way back through time."""

from memnet.diagnostics.activity import gradient_norms
from memnet.diagnostics.gates import gate_activity, time_scales
from memnet.diagnostics.gradients import (
    log_norms,
    propagation,
    slot_gradients,
    state_gradient_norms,
    state_gradients,
    state_jacobians,
    weight_contributions,
)
from memnet.diagnostics.spectra import recurrent_matrices, spectrum
from memnet.functional.weightings import slots_used, weighting_entropy

__all__ = [
    "gate_activity",
    "gradient_norms",
    "log_norms",
    "propagation",
    "recurrent_matrices",
    "slot_gradients",
    "slots_used",
    "spectrum",
    "state_gradient_norms",
    "state_gradients",
    "state_jacobians",
    "time_scales",
    "weight_contributions",
    "weighting_entropy",
]
