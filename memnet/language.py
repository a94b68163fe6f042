"""A sequence model that foretells the next symbol of a text."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import State
from memnet.checks import Described, check_choice
from memnet.sequence import Backend, SequenceModule
from memnet.story_reader import Embedding


class LanguageModel(Described):
    """Any sequence model as a model of text: it reads symbols (characters, say) and foretells each next one.

        P(x_(t+1) = k | x_1 .. x_t) = softmax(output_t)_k

    sequence:  the model; its output_size is the number of symbols.
    embedding: "one-hot": the model's input_size must be the number of symbols, too;
               "learned": a vector for every symbol, as wide as the model's input_size, from N(0, 1).
    Raises     ValueError where they cannot be combined.
    """

    def __init__(self, sequence: SequenceModule, *, embedding: Embedding = "one-hot") -> None:
        super().__init__()
        check_choice("embedding", embedding, Embedding)
        self.num_symbols = sequence.output_size
        if embedding == "one-hot" and sequence.input_size != self.num_symbols:
            raise ValueError(
                f"one-hot symbols need a model whose input_size is its output_size {self.num_symbols}, "
                f"not {sequence.input_size}"
            )
        self.sequence = sequence
        self.embedding: nn.Parameter | None = None
        if embedding == "learned":
            self.embedding = nn.Parameter(torch.randn(self.num_symbols, sequence.input_size))

    @property
    def backend(self) -> Backend:
        """How the sequence model's steps run, see RecurrentModule."""
        return self.sequence.backend

    @backend.setter
    def backend(self, value: Backend) -> None:
        self.sequence.backend = value

    def forward(
        self, symbols: Tensor, state: State | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read symbols, or the next chunk of them.

        symbols: (batch, time) int64, 0..num_symbols - 1.
        state, lengths: see SequenceModule.forward.
        Returns  logits (batch, time, num_symbols) of the symbol after each, and the state.
        """
        logits, state = self.sequence(self.embed(symbols), state, lengths=lengths)
        return logits, state

    def embed(self, symbols: Tensor) -> Tensor:
        """What the sequence model gets for symbols: (..., input_size)."""
        if self.embedding is None:
            return functional.one_hot(symbols, self.num_symbols).to(self.sequence.readout.weight.dtype)
        return functional.embedding(symbols, self.embedding)
