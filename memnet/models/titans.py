"""Titans' long-term memory, a network trained at test time (Behrouz et al. 2025, arXiv 2501.00663)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.functional.inner_learning import Course, momentum_course
from memnet.inner import InnerCell, InnerMemory, InnerNetwork, InnerSteered, Layers
from memnet.mixers import per_head_norm, unit
from memnet.sequence import SequenceModule


class TitansCell(InnerCell):
    """One step of the long-term memory of Titans, which learns with momentum and forgets.

        S_t = eta_t S_{t-1} - theta_t grad l(M; t)        M_t = (1 - alpha_t) M_{t-1} + S_t        o_t = M_t(q_t)
        l(M; t) = |M(k_t) - v_t|^2 / 2

    (Behrouz et al. 2025, eqs. 12 to 15; their loss lacks the half), with grad l for the weights when the mini-batch
    began, as they train it; a mini-batch of one token is the equation as it stands. eta, alpha = sigmoid(.), theta =
    learning_rate sigmoid(.), of each head; keys and queries are of length one. The first M is learned. This is the
    memory as a layer of its own (LMM); what is read is normalised head by head and gated. There are no weights of the
    authors.

    input_size:    features of the input. hidden_size: features of the output.
    num_heads:     memories side by side.
    head_size:     features of queries, keys and values, of one head.
    memory:        the network M: "linear", or "mlp", with a hidden layer of four times as many units.
    mini_batch:    tokens that learn from the same weights.
    learning_rate: what theta stays below; at first it is half of it, and eta one half. What the tokens of a mini-batch
                   change adds up: where keys are alike, it grows without end from about 2 / mini_batch on at first,
                   and from less on once training has brought theta or eta nearer to their bounds.
    convolution:   steps that queries, keys and values see, before SiLU; 0 for neither.
    Raises ValueError for sizes that cannot be.
    """

    biased = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        head_size: int = 32,
        memory: InnerNetwork = "mlp",
        mini_batch: int = 16,
        learning_rate: float = 0.1,
        convolution: int = 4,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_heads=num_heads,
            head_size=head_size,
            memory=memory,
            mini_batch=mini_batch,
            learning_rate=learning_rate,
            convolution=convolution,
            numbers=3,
        )
        # At first little is forgotten.
        biases = torch.tensor([0.0, 0.0, -4.0]).unsqueeze(-1)
        self.number_bias = nn.Parameter(biases.repeat(1, num_heads))
        self.norm_weight = nn.Parameter(torch.ones(head_size))

    def steer(self, convolved: Tensor, others: Tensor) -> InnerSteered:
        (query, key, value), numbers, gate = self.split(convolved, others)
        rate, momentum, decay = (one + bias for one, bias in zip(numbers, self.number_bias.to(others), strict=True))
        return InnerSteered(
            query=unit(query),
            key=unit(key),
            value=value,
            rate=self.learning_rate * torch.sigmoid(rate),
            log_momentum=functional.logsigmoid(momentum),
            log_kept=functional.logsigmoid(-decay),
            gate=gate,
        )

    def changed(self, memory: InnerMemory, carried: Layers, steered: InnerSteered) -> Layers:
        kept = torch.exp(steered.log_kept)[..., None, None]
        return tuple(kept * one + change for one, change in zip(memory.current, carried, strict=True))

    def course(self, steered: InnerSteered, real: Tensor) -> Course:
        return momentum_course(steered.rate, steered.log_momentum * real, steered.log_kept * real, real)

    def ended(self, memory: InnerMemory) -> InnerMemory:
        return InnerMemory(memory.current, memory.current, memory.carried, torch.zeros_like(memory.position))

    def emit(self, reads: Tensor, steered: InnerSteered) -> Tensor:
        return (per_head_norm(reads, self.norm_weight) * functional.silu(steered.gate)).flatten(-2)


class Titans(SequenceModule):
    """Layers of the long-term memory of Titans, a network trained at test time with momentum and decay.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of TitansCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads, the network and how it learns. `forward` is
    SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(TitansCell)
