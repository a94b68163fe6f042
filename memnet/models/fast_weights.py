"""A recurrent network with fast weights (Ba et al. 2016, arXiv 1610.06258)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import RNNCell
from memnet.checks import check_sizes
from memnet.controlled import full_precision, zeros_like_state
from memnet.functional.fast_weights import bind
from memnet.sequence import SequenceModule
from memnet.trace import Part


class FastWeightsState(NamedTuple):
    """What it carries from step to step.

    hidden:       (batch, hidden), h.
    fast_weights: (batch, hidden, hidden), A; in float32 at least.
    """

    hidden: Tensor
    fast_weights: Tensor


class FastWeightsCell(RNNCell):
    """One step of a recurrent network that attends to its recent past by fast weights.

        h_0 = f(LN[W h + C x])        h_{s+1} = f(LN[W h + C x + A h_s]), s < S        A' = lambda A + eta h_S h_S^T

    where f is ReLU. LN is layer normalisation with a gain and a bias, by which lambda and eta matter less; here that of
    h_0 is the same as the others'. W begins as 0.05 I.

    input_size, hidden_size: features of input and output.
    decay:       lambda, in [0, 1]. rate: eta, at least 0; with 0 it is a recurrent network with layer normalisation.
    inner_steps: S, how often A is asked.
    normalized:  whether there is layer normalisation, for which hidden_size must be at least two.
    learned_initial_state: train the hidden state before the first step (else zeros).
    Raises ValueError for values that cannot be.
    """

    has_native = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 100,
        *,
        decay: float = 0.95,
        rate: float = 0.5,
        inner_steps: int = 1,
        normalized: bool = True,
        learned_initial_state: bool = False,
    ) -> None:
        check_sizes(inner_steps=inner_steps)
        check_sizes(1 + normalized, hidden_size=hidden_size)
        if not 0 <= decay <= 1 or not rate >= 0:
            raise ValueError(f"decay must be in [0, 1] and rate at least 0, not {decay} and {rate}")
        super().__init__(
            input_size,
            hidden_size,
            nonlinearity="relu",
            recurrent_init="uniform",
            recurrent_bias=False,
            learned_initial_state=learned_initial_state,
        )
        self.decay, self.rate, self.inner_steps = decay, rate, inner_steps
        self.norm = nn.LayerNorm(hidden_size) if normalized else None
        with torch.no_grad():
            assert self.weight_hh is not None
            nn.init.eye_(self.weight_hh).mul_(0.05)

    def initial_state(self, batch_size: int) -> FastWeightsState:  # type: ignore[override]
        (hidden,) = self.initial_tensors(batch_size)
        return FastWeightsState(hidden, zeros_like_state(self.weight_ih, batch_size, *[self.hidden_size] * 2))

    def step(  # type: ignore[override]
        self, projected: tuple[Any, ...], state: FastWeightsState
    ) -> tuple[Tensor, FastWeightsState]:
        slow = projected[0] + self.recurrent(state.hidden)
        with full_precision(slow):
            slow = slow.to(state.fast_weights.dtype)
            hidden = torch.relu(self._normalized(slow))
            for _ in range(self.inner_steps):
                hidden = torch.relu(self._normalized(slow + (state.fast_weights @ hidden.unsqueeze(-1)).squeeze(-1)))
            fast_weights = bind(state.fast_weights, hidden, self.decay, self.rate)
        hidden = hidden.to(state.hidden.dtype)
        return hidden, FastWeightsState(hidden, fast_weights)

    def _normalized(self, total: Tensor) -> Tensor:
        if self.norm is None:
            return total
        weight, bias = self.norm.weight.to(total.dtype), self.norm.bias.to(total.dtype)
        return functional.layer_norm(total, (self.hidden_size,), weight, bias, self.norm.eps)

    def parts(self, states: FastWeightsState, watched: Any) -> list[Part]:
        """Its hidden state, and the matrix of its fast weights."""
        return [
            Part("signal", "hidden state", states.hidden, ("time", "unit")),
            Part("matrix", "fast weights", states.fast_weights, ("time", "value", "key")),
        ]


class FastWeights(SequenceModule):
    """A recurrent network whose fast weights attend to its recent past, with a linear readout.

    input_size, output_size: features. All options are those of FastWeightsCell: units, how fast the fast weights learn
    and forget, and how often they are asked. `forward` is SequenceModule's: state in, state out, lengths.
    """

    cell: FastWeightsCell
    cell_type = FastWeightsCell
