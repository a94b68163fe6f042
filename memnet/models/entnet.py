"""Recurrent entity networks (Henaff et al. 2017, arXiv 1612.03969)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from memnet.cells import Cell
from memnet.checks import check_choice, check_sizes
from memnet.encoding import WordTable, keep_newest, spread_sentences
from memnet.native import bag, entnet
from memnet.sequence import Backend, RecurrentModule
from memnet.state import State, count_numbers
from memnet.story import StoryModel
from memnet.trace import Part

Normalization: TypeAlias = Literal["unit", "none"]
MaskInit: TypeAlias = Literal["facebook", "ones"]


class EntNetState(NamedTuple):
    """memories: (batch, slot, width), h of every slot."""

    memories: Tensor


class EntNetCell(Cell):
    """What one sentence does to the memories (Henaff et al. 2017, section 2.2).

        g_j = sigmoid(s . h_j + s . w_j + b_j)          eq. 2, without b_j in the paper
        h~_j = f(U h_j + V w_j + W s)                   eq. 3, U with a bias as in the original code
        h_j = h_j + g_j h~_j                            eq. 4
        h_j = h_j / |h_j|                               eq. 5, |h_j| taken as 1 where it is 0

    Input: the encoded sentence s (batch, width); a zero vector is no sentence and leaves its row's memories as they
    are (the original shuts the gates and normalises once more, which is the same but for an empty story).
    Output: the gates (batch, slot), zero where there was no sentence. Memories start at the keys w.

    width, num_slots: of the memory.
    gate_bias:     b_j, one number a slot (the original code, and so the published numbers).
    normalization: "unit" for eq. 5, or "none".
    The activation f is max(0, x) + slope min(0, x), a slope for every feature, all 1 at first. All other weights,
    biases and keys included, start from N(0, 0.1^2).
    """

    has_native = True

    def __init__(
        self, width: int, num_slots: int, *, gate_bias: bool = True, normalization: Normalization = "unit"
    ) -> None:
        super().__init__()
        check_sizes(width=width, num_slots=num_slots)
        check_choice("normalization", normalization, Normalization)
        self.input_size, self.output_size = width, num_slots
        self.width, self.num_slots = width, num_slots
        self.normalization = normalization
        self.keys = nn.Parameter(torch.empty(num_slots, width))
        self.from_memory = nn.Linear(width, width)
        self.from_key = nn.Linear(width, width, bias=False)
        self.from_sentence = nn.Linear(width, width, bias=False)
        self.gate_bias = nn.Parameter(torch.empty(num_slots)) if gate_bias else None
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)
        self.activation = nn.PReLU(width, init=1.0)

    def initial_state(self, batch_size: int) -> EntNetState:
        return EntNetState(self.keys.expand(batch_size, -1, -1))

    def project(self, input: Tensor) -> tuple[Tensor, ...]:
        """The sentences, what keys and bias add to the gates, W s, and where there is a sentence."""
        present = input.detach().abs().amax(-1, keepdim=True).ne(0)  # faster than any()
        return input, functional.linear(input, self.keys, self.gate_bias), self.from_sentence(input), present

    def recurrent_matrices(self) -> dict[str, Tensor]:
        return {"memories": self.from_memory.weight.detach()}

    def native_refusal(self, input: Tensor, state: State) -> str | None:
        return entnet.refusal(self, input, state, own=type(self) is EntNetCell)

    def unroll_native(self, input: Tensor, state: EntNetState, lengths: Tensor | None) -> tuple[Tensor, State]:
        return entnet.unroll_entnet(self, input, state, lengths)

    def step(self, projected: tuple[Tensor, ...], state: EntNetState) -> tuple[Tensor, EntNetState]:
        sentence, by_key, by_sentence, present = projected
        memories = state.memories
        similarity = (memories @ sentence.unsqueeze(-1)).squeeze(-1)
        gates = torch.sigmoid(similarity + by_key) * present
        candidate = self.from_memory(memories) + self.from_key(self.keys) + by_sentence.unsqueeze(1)
        candidate = self.activate(candidate)
        memories = torch.addcmul(memories, gates.unsqueeze(-1).to(memories.dtype), candidate.to(memories.dtype))
        if self.normalization == "unit":
            norm = torch.linalg.vector_norm(memories, dim=-1, keepdim=True)
            memories = memories / torch.where(present.unsqueeze(-1) & (norm > 0), norm, 1.0)
        return gates, EntNetState(memories)

    def activate(self, features: Tensor) -> Tensor:
        """f for any leading axes."""
        return functional.prelu(features.flatten(0, -2), self.activation.weight).view_as(features)


class EntNetTrace(NamedTuple):
    """An EntNet watched over a story, for pictures.

    logits:    what forward returns.
    gates:     (batch, sentence, slot) for the sentences of the story as it was given, g of eq. 2: zero after the end
               and for sentences beyond max_sentences.
    memories:  (batch, slot, width) after the last sentence.
    attention: (batch, slot), where the question looked.
    keys:      (slot,) the words to which keys are tied, or None.
    """

    logits: Tensor
    gates: Tensor
    memories: Tensor
    attention: Tensor
    keys: Tensor | None = None

    @property
    def parts(self) -> list[Part]:
        """Gates, memories and attention, see memnet.trace."""
        return [
            Part("gate", "", self.gates, ("sentence", "slot")),
            Part("memory", "memory", self.memories, ("slot", "width")),
            Part("read", "attention", self.attention, ("slot",)),
        ]

    @property
    def names(self) -> dict[str, Tensor]:
        """The words to which slots are tied, see memnet.trace.AnyTrace."""
        return {} if self.keys is None else {"slot": self.keys.expand(len(self.gates), -1)}


class EntNet(StoryModel):
    """Entities that listen to a story and are asked about it afterwards.

        s = sum_i f_i e_i                               eq. 1, e_i the word's vector, f_i a trained mask by position
        p_j = softmax(q . h_j), u = sum_j p_j h_j       section 2.3, q the question by masks of its own
        answer = R f(q + H u)                           the activation f is the cell's own

    vocab_size, max_words: see StoryModel; there is a mask for every position up to max_words.
    embedding_size: width of words and memories.
    num_slots:      entities; None for 20, or for as many as there are tied keys.
    keys:           word ids whose vectors are the keys (tied keys), or None for free keys.
    gate_bias, normalization: see EntNetCell.
    mask_init:      "facebook": sentence masks start from N(0, 0.1^2) and question masks at 1, as the original code
                    does, whose comment means 1 for both; "ones": 1 for both.
    max_sentences:  of a longer story the last sentences are read (published: 70, and 130 or 150 for task 3).
    All other weights but the activation's start from N(0, 0.1^2). Nil is worth nothing, as a word and as an answer.
    """

    word_rows: Tensor | None

    def __init__(
        self,
        vocab_size: int,
        *,
        max_words: int,
        embedding_size: int = 100,
        num_slots: int | None = None,
        keys: Sequence[int] | None = None,
        gate_bias: bool = True,
        normalization: Normalization = "unit",
        mask_init: MaskInit = "facebook",
        max_sentences: int = 70,
    ) -> None:
        super().__init__(vocab_size, max_words)
        check_sizes(embedding_size=embedding_size, max_sentences=max_sentences)
        check_choice("mask_init", mask_init, MaskInit)
        tied = _checked_keys(keys, num_slots, vocab_size)
        slots = len(tied) or (20 if num_slots is None else num_slots)
        self.max_sentences = max_sentences
        self.memory = RecurrentModule(
            EntNetCell(embedding_size, slots, gate_bias=gate_bias, normalization=normalization)
        )
        self.words = WordTable(vocab_size - len(tied), embedding_size)
        self.answers = WordTable(vocab_size, embedding_size)
        self.sentence_mask = nn.Parameter(torch.ones(max_words, embedding_size))
        self.question_mask = nn.Parameter(torch.ones(max_words, embedding_size))
        self.from_read = nn.Linear(embedding_size, embedding_size, bias=False)
        nn.init.normal_(self.from_read.weight, std=0.1)
        if mask_init == "facebook":
            nn.init.normal_(self.sentence_mask, std=0.1)
        others = [word for word in range(vocab_size) if word not in tied]
        rows = torch.tensor([*others, *tied]).argsort() if tied else None
        self.register_buffer("word_rows", rows, persistent=False)

    @property
    def cell(self) -> EntNetCell:
        """The step from sentence to sentence."""
        cell = self.memory.cell
        assert isinstance(cell, EntNetCell)
        return cell

    @property
    def backend(self) -> Backend:
        """How steps run, see RecurrentModule; "auto" and "native" are also for the bags of eq. 1 where they can be."""
        return self.memory.backend

    @backend.setter
    def backend(self, value: Backend) -> None:
        self.memory.backend = value

    def word_table(self) -> Tensor:
        """The vectors of all words (vocab_size, embedding_size); those of tied keys are the cell's keys themselves."""
        table: Tensor = self.words()
        return table if self.word_rows is None else torch.cat([table, self.cell.keys])[self.word_rows]

    @property
    def state_floats(self) -> int:
        """Numbers that the entities of one story hold."""
        return count_numbers(self.cell.initial_state(1))

    def forward(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> Tensor:
        """Logits (batch, vocab_size) for the answer; arguments as for StoryModel."""
        return self._answer(story, question, story_lengths)[0].logits

    def trace(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> EntNetTrace:
        """Run as forward does and keep the gates."""
        trace, index = self._answer(story, question, story_lengths)
        # The last rows of the table are those of tied words, slot by slot.
        keys = None if self.word_rows is None else self.word_rows.argsort()[-self.cell.output_size :]
        return trace._replace(gates=spread_sentences(trace.gates, index, story.size(1)), keys=keys)

    def _answer(self, story: Tensor, question: Tensor, story_lengths: Tensor | None) -> tuple[EntNetTrace, Tensor]:
        """The trace of the sentences that are read, and their indices in the story."""
        story, question, lengths = self.read(story, question, story_lengths)
        story, lengths, index = keep_newest(story, lengths, self.max_sentences)
        table = self.word_table()
        sentences = self._masked_bag(table, story, self.sentence_mask)
        asked = self._masked_bag(table, question, self.question_mask)
        gates, state = self.memory.unroll(sentences, self.cell.initial_state(story.size(0)))
        attention = torch.softmax((state.memories * asked.unsqueeze(-2)).sum(-1), -1)
        read = (attention.unsqueeze(-1) * state.memories).sum(-2)
        features = self.cell.activate(asked + self.from_read(read))
        return EntNetTrace(functional.linear(features, self.answers()), gates, state.memories, attention), index

    def _masked_bag(self, table: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Eq. 1: words (..., word) to (..., width)."""
        mask = mask[: words.size(-1)]
        if self.backend in ("auto", "native") and bag.refusal(words, table, mask) is None:
            return bag.word_bags(words, [table], mask)[0]
        return (functional.embedding(words, table) * mask).sum(-2)


def _checked_keys(keys: Sequence[int] | None, num_slots: int | None, vocab_size: int) -> list[int]:
    if keys is None:
        return []
    tied = list(keys)
    if not tied or len(set(tied)) < len(tied) or not all(0 < word < vocab_size for word in tied):
        raise ValueError(f"keys must be different word ids 1..{vocab_size - 1}, at least one, not {tied}")
    if num_slots not in (None, len(tied)):
        raise ValueError(f"num_slots must be {len(tied)} as there are tied keys, or None, not {num_slots}")
    return tied
