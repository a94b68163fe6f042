"""TTT: memories that are networks trained at test time (Sun et al. 2024, arXiv 2407.04620)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.blocks import Stack, stack_of
from memnet.checks import check_sizes
from memnet.functional.inner_learning import Course, Norm, averaged_course
from memnet.inner import InnerCell, InnerMemory, InnerNetwork, InnerSteered, Layers
from memnet.mixers import per_head_norm
from memnet.sequence import SequenceModule


class TTTCell(InnerCell):
    """One step of a memory that is trained at test time, TTT-Linear or TTT-MLP.

        f_W(x) = x + norm(net_W(x))        l(W; t) = |f_W(k_t) - v_t|^2 / 2
        W_t = W_0 - c_j sum_{s <= t} eta_s grad l(W_0; s)        o_t = f_{W_t}(q_t)

    where W_0 are the weights when the mini-batch began, t its j-th token, eta = learning_rate sigmoid(.) / head_size,
    and c_j = max(1 / j + learned_j, 0) (Sun et al. 2024, eqs. 4 to 6 and section 2.7; c_j and the division by
    head_size are of the authors' code). W of the first mini-batch is learned. The authors' rotary embedding of
    positions in a mini-batch is left out.

    Weights of TTTLinear and TTTMLP of the authors' ttt-lm-pytorch, by rows where one linear layer holds several:

        projection.weight        q_proj, k_proj, v_proj, learnable_ttt_lr_weight, g_proj
        rate_bias                learnable_ttt_lr_bias
        layers.0, layers.1       W1 and, as last row, b1; W2, b2
        token_factors            learnable_token_idx
        inner_weight, inner_bias ttt_norm_weight, ttt_norm_bias
        norm_weight, norm_bias   post_norm.weight, post_norm.bias
        output                   o_proj

    input_size:    features of the input. hidden_size: features of the output.
    num_heads:     memories side by side.
    head_size:     features of queries, keys and values, of one head; at least two, so that they can be normalised.
    memory:        the network: "linear", or "mlp", with a hidden layer of four times as many units.
    mini_batch:    tokens that learn from the same weights.
    learning_rate: what rates stay below, times head_size; the authors have 1 for "linear", 0.1 for "mlp".
    convolution:   steps that queries, keys and values see, before SiLU; 0 for neither,
                   as the authors' code by default.
    Raises ValueError for sizes that cannot be.
    """

    biased = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int = 2,
        head_size: int = 32,
        memory: InnerNetwork = "linear",
        mini_batch: int = 16,
        learning_rate: float = 1.0,
        convolution: int = 4,
    ) -> None:
        check_sizes(2, head_size=head_size)
        super().__init__(
            input_size,
            hidden_size,
            num_heads=num_heads,
            head_size=head_size,
            memory=memory,
            mini_batch=mini_batch,
            learning_rate=learning_rate,
            convolution=convolution,
            numbers=1,
        )
        self.rate_bias = nn.Parameter(torch.zeros(num_heads))
        self.token_factors = nn.Parameter(torch.zeros(mini_batch))
        self.inner_weight = nn.Parameter(torch.ones(num_heads, 1, head_size))
        self.inner_bias = nn.Parameter(torch.zeros(num_heads, 1, head_size))
        self.norm_weight = nn.Parameter(torch.ones(num_heads * head_size))
        self.norm_bias = nn.Parameter(torch.zeros(num_heads * head_size))

    @property
    def norm(self) -> Norm:
        dtype = torch.promote_types(self.inner_weight.dtype, torch.float32)
        return Norm(self.inner_weight.to(dtype), self.inner_bias.to(dtype))

    def factors(self, like: Tensor) -> Tensor:
        """c_j of all tokens of a mini-batch, (token,)."""
        places = torch.arange(1, self.mini_batch + 1, dtype=like.dtype, device=like.device)
        return (1 / places + self.token_factors.to(like)).clamp(min=0)

    def steer(self, convolved: Tensor, others: Tensor) -> InnerSteered:
        (query, key, value), (rate,), gate = self.split(convolved, others)
        rate = self.learning_rate / self.head_size * torch.sigmoid(rate + self.rate_bias.to(rate))
        return InnerSteered(query, key, value, rate, rate[..., :0], rate[..., :0], gate)

    def now(self, layers: Layers) -> Layers:
        return ()

    def changed(self, memory: InnerMemory, carried: Layers, steered: InnerSteered) -> Layers:
        factor = self.factors(steered.rate)[memory.position.long()].view(-1, 1, 1, 1)
        return tuple(one + factor * change for one, change in zip(memory.start, carried, strict=True))

    def course(self, steered: InnerSteered, real: Tensor) -> Course:
        return averaged_course(steered.rate, self.factors(steered.rate))

    def ended(self, memory: InnerMemory) -> InnerMemory:
        factor = self.factors(memory.position)[-1]
        start = tuple(one + factor * change for one, change in zip(memory.start, memory.carried, strict=True))
        nothing = tuple(torch.zeros_like(one) for one in start)
        return InnerMemory(start, (), nothing, torch.zeros_like(memory.position))

    def emit(self, reads: Tensor, steered: InnerSteered) -> Tensor:
        width = reads.flatten(-2)
        width = per_head_norm(width, self.norm_weight, 1e-6, centered=True) + self.norm_bias.to(width)
        return width * functional.gelu(steered.gate.flatten(-2), approximate="tanh")


class TTT(SequenceModule):
    """Layers whose memory is a network trained at test time, TTT-Linear or TTT-MLP.

    input_size, output_size: features. All options are those of memnet.blocks.stack_of and of TTTCell: num_layers,
    hidden_size and expansion of the layers, whether they are normed; heads, the network and how it learns. `forward` is
    SequenceModule's: state in, state out, lengths.
    """

    cell: Stack
    cell_type = stack_of(TTTCell)
