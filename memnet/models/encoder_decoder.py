"""From one sequence of words to another: encoder and decoder, and a decoder that reads the source as a memory."""

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import Cell, RecurrentName, make_controller
from memnet.checks import check_choice, check_sizes, check_tensor, values_known
from memnet.functional.addressing import attention_weights
from memnet.functional.attention import dot_scores, recomputed_additive_scores, reverse_sequences
from memnet.functional.memory import read_memory
from memnet.pretrained import Pretrained
from memnet.state import State
from memnet.trace import Part
from memnet.unroll import unroll_fast

Context: TypeAlias = Literal["start", "every-step"]
Scores: TypeAlias = Literal["additive", "dot"]


class DecoderState(NamedTuple):
    """All that the next word depends on, batch first; rows may be chosen and repeated, as a beam search does.

    cell:    the decoder cell's state.
    output:  (batch, hidden), the cell's last output; at first the encoder's.
    memory:  (batch, slot, hidden), what the encoder left: with attention its output at every source word, in the
             source's order; else the last one, or nothing, as the context is.
    keys:    (batch, slot, width), what the slots are compared by; of width 0 without attention.
    present: (batch, slot) bool, true where a slot holds something.
    """

    cell: State
    output: Tensor
    memory: Tensor
    keys: Tensor
    present: Tensor


class TranslationTrace(NamedTuple):
    """A decoder watched word by word, for pictures.

    logits:    what forward returns.
    attention: (batch, target time + 1, source time), where each word was read from, in the source's order; None
               without attention.
    """

    logits: Tensor
    attention: Tensor | None

    @property
    def parts(self) -> list[Part]:
        """The attention, where there is one, see memnet.trace."""
        return [] if self.attention is None else [Part("read", "attention", self.attention, ("word", "source"))]


class EncoderDecoder(Pretrained):
    """A recurrent network reads the source, another one writes the target from its last state.

        s_0 = h_T
        s_i = f(y_{i-1}, s_{i-1})          p(y_i) = softmax(W s_i + b)           Sutskever et al. 2014, eq. 1
        s_i = f([y_{i-1}, c], s_{i-1})     p(y_i) = softmax(W [s_i, c] + b)      Cho et al. 2014, section 2.2; c = h_T

    The first line holds always, the second with context "start", the third with "every-step" (Cho et al. have a layer
    of tanh units between h_T, c and s_0). Words are ids. 0 is no word: it pads sentences, is what the decoder is fed
    before the first word, and what it writes after the last one.

    source_size, target_size: ids of each language, 0 included.
    embedding_size: width of word vectors, from N(0, 1/embedding_size). hidden_size: units of every layer.
    controller:     the cell of encoder and decoder. num_layers: their layers. forget_bias: see memnet.cells.LSTMCell.
    reverse:        read the source from its last word to the first (Sutskever et al. 2014, section 3.3).
    context:        when the decoder sees what the encoder found: at its start, or at every step, too.

    Attribute validate: look at all ids before use.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        *,
        embedding_size: int = 64,
        hidden_size: int = 128,
        controller: RecurrentName = "lstm",
        num_layers: int = 1,
        forget_bias: float = 1.0,
        reverse: bool = False,
        context: Context = "start",
    ) -> None:
        super().__init__()
        check_sizes(2, source_size=source_size, target_size=target_size)
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size)
        check_choice("controller", controller, RecurrentName)
        check_choice("context", context, Context)
        self.source_size, self.target_size = source_size, target_size
        self.embedding_size, self.hidden_size = embedding_size, hidden_size
        self.reverse, self.context = reverse, context
        self.validate = True
        width = hidden_size if context == "every-step" else 0

        def cell(size: int) -> Cell:
            return make_controller(controller, size, hidden_size, num_layers=num_layers, forget_bias=forget_bias)

        self.source_words = nn.Parameter(torch.randn(source_size, embedding_size) * embedding_size**-0.5)
        self.target_words = nn.Parameter(torch.randn(target_size, embedding_size) * embedding_size**-0.5)
        self.encoder, self.decoder = cell(embedding_size), cell(embedding_size + width)
        self.readout = nn.Linear(hidden_size + width, target_size)

    def encode(self, source: Tensor) -> DecoderState:
        """Read the source: the state before the first word of the target.

        source: (batch, time) int64 ids, 0 after each sentence's last word and nowhere before it.
        Raises  ValueError for another shape, dtype or device, an id that is none, a sentence without words, and a
                word behind padding.
        """
        self._check("source", source, self.source_size)
        lengths = torch.count_nonzero(source, 1)
        if self.validate and values_known() and bool((lengths == 0).any()):
            raise ValueError("every source sentence must have at least one word")
        words = reverse_sequences(source, lengths) if self.reverse else source
        embedded = functional.embedding(words, self.source_words)
        outputs, state = unroll_fast(self.encoder, embedded, self.encoder.initial_state(len(source)), lengths)
        last = outputs[torch.arange(len(source), device=source.device), lengths - 1]
        if self.reverse:
            outputs = reverse_sequences(outputs, lengths)
        return DecoderState(state, last, *self.remember(outputs, last, source > 0))

    def step(self, words: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One target word: from the words before (batch,) to logits (batch, target_size), and the next state."""
        projected = self.decoder.project(functional.embedding(words, self.target_words))[0]
        features, state, _ = self._advance(projected, state, self._weight_of_read())
        return self.readout(features), state

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of every target word and of the end, each after the right words before it.

        source:  see encode. target: (batch, time) as the source; a sentence may be empty.
        Returns  (batch, time + 1, target_size); those after a sentence's end mean nothing.
        Raises   ValueError as encode does.
        """
        return self.trace(source, target).logits

    def trace(self, source: Tensor, target: Tensor) -> TranslationTrace:
        """Run as forward does and keep where each word was read from."""
        state = self.encode(source)
        self._check("target", target, self.target_size)
        if len(target) != len(source):
            raise ValueError(f"source and target must be of one batch, not of {len(source)} and {len(target)} rows")
        words = functional.embedding(functional.pad(target, (1, 0)), self.target_words)
        features, attention, weight = [], [], self._weight_of_read()
        for projected in self.decoder.project(words)[0].transpose(0, 1).contiguous().unbind(0):
            seen, state, weights = self._advance(projected, state, weight)
            features.append(seen)
            if weights is not None:
                attention.append(weights)
        logits = self.readout(torch.stack(features, 1))
        return TranslationTrace(logits, torch.stack(attention, 1) if attention else None)

    def remember(self, outputs: Tensor, last: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The memory, keys and slots of a DecoderState.

        outputs: (batch, time, hidden) of the encoder, in the source's order; last: (batch, hidden), those after its
        last step; present: (batch, time), where there are words.
        """
        memory = last.unsqueeze(1)[:, : int(self.context == "every-step")]
        return memory, memory[..., :0], torch.ones_like(memory[..., 0], dtype=torch.bool)

    def read(self, state: DecoderState) -> tuple[Tensor | None, Tensor | None]:
        """What the decoder sees of the source at its next step, (batch, hidden), and the weights of the slots."""
        return (state.memory[:, 0] if self.context == "every-step" else None), None

    def _weight_of_read(self) -> Tensor:
        """The decoder's weights of what it sees of the source, beside the word before."""
        return self.decoder.input_weights()[0][:, self.embedding_size :]

    def _advance(
        self, projected: Tensor, state: DecoderState, weight: Tensor
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """One step of the decoder from its projected word: what the readout sees, the state, where it looked."""
        context, weights = self.read(state)
        if context is not None:
            projected = projected + functional.linear(context, weight)
        output, cell = self.decoder.step((projected,), state.cell)
        features = output if context is None else torch.cat([output, context], -1)
        return features, state._replace(cell=cell, output=output), weights

    def _check(self, name: str, ids: Tensor, size: int) -> None:
        device = self.source_words.device
        check_tensor(name, ids, "of int64 (batch, time)")
        if ids.dim() != 2 or ids.dtype != torch.int64 or len(ids) == 0:
            raise ValueError(
                f"{name} must be int64 (batch, time) with at least one row, not {ids.dtype} {tuple(ids.shape)}"
            )
        if ids.device != device:
            raise ValueError(f"{name} is on {ids.device}, the model on {device}")
        if not self.validate or not values_known() or ids.size(1) == 0:
            return
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= size:
            raise ValueError(f"{name} must hold ids 0..{size - 1}, not {low}..{high}")
        if bool(((ids[:, :-1] == 0) & (ids[:, 1:] > 0)).any()):
            raise ValueError(f"{name} must have 0 after its words alone, not between them")


class AttentionEncoderDecoder(EncoderDecoder):
    """An encoder-decoder whose memory is the source: the encoder's outputs are the slots, read before every word.

        e_ij = a(s_{i-1}, h_j)               Bahdanau et al. 2015, section 3.1
        alpha_ij = softmax over j of e_ij    eq. 6, over the words of the source
        c_i = sum_j alpha_ij h_j             eq. 5
        s_i = f([y_{i-1}, c_i], s_{i-1})     p(y_i) = softmax(W [s_i, c_i] + b)        eq. 4

    The encoder reads in one direction (theirs in both), the decoder starts from its last state, as an EncoderDecoder
    does, and the readout is one layer, which does not see y_{i-1}.

    scores: a(s, h) is "additive", v . tanh(W s + U h), or "dot", s . A h, as end-to-end memories have it
            (Sukhbaatar et al. 2015, eq. 1, with s as the query u and A h as the slot m); Luong et al. 2015, section
            3.1, call it "general" and take s_i, not s_{i-1}.
    Others: see EncoderDecoder.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        *,
        embedding_size: int = 64,
        hidden_size: int = 128,
        controller: RecurrentName = "lstm",
        num_layers: int = 1,
        forget_bias: float = 1.0,
        reverse: bool = False,
        scores: Scores = "additive",
    ) -> None:
        check_choice("scores", scores, Scores)
        super().__init__(
            source_size,
            target_size,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            controller=controller,
            num_layers=num_layers,
            forget_bias=forget_bias,
            reverse=reverse,
            context="every-step",
        )
        self.scores = scores
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.query: nn.Linear | None = None
        self.direction: nn.Parameter | None = None
        if scores == "additive":
            self.query = nn.Linear(hidden_size, hidden_size, bias=False)
            self.direction = nn.Parameter(torch.randn(hidden_size) * hidden_size**-0.5)

    def remember(self, outputs: Tensor, last: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A slot for every word, with the key U h_j or A h_j, which all steps share."""
        return outputs, self.key(outputs), present

    def read(self, state: DecoderState) -> tuple[Tensor, Tensor]:
        """c_i (batch, hidden) and alpha_i (batch, time)."""
        if self.query is not None and self.direction is not None:
            scores = recomputed_additive_scores(state.keys, self.query(state.output), self.direction)
        else:
            scores = dot_scores(state.keys, state.output)
        weights = attention_weights(scores, state.present, scores.new_zeros(len(scores)))
        return read_memory(state.memory, weights.unsqueeze(1)).squeeze(1), weights
