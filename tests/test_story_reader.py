"""Sequence models on stories: what they are fed word by word, where they answer, and what cannot be combined."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import memnet
from memnet import GRU, LSTM, NTM, RNN, MemN2N, StoryReader
from tests.stories import (
    QUESTIONS,
    STORIES,
    VOCAB,
    assert_close,
    drawn_anew,
    overfit,
    question_of,
    story_of,
    two_fact_stories,
)

QUESTION_MARK = 0
STREAMS = [
    [word for words in story for word in words] + question + [QUESTION_MARK]
    for story, question in zip(STORIES, QUESTIONS, strict=True)
]


def lstm(input_size: int = 3, **options: Any) -> StoryReader:
    torch.manual_seed(0)
    reader: StoryReader = drawn_anew(StoryReader(LSTM(input_size, VOCAB, hidden_size=4), VOCAB, **options))
    return reader


def test_the_stream_is_story_question_and_question_mark() -> None:
    words, lengths = lstm().stream(story_of(), question_of())
    assert lengths.tolist() == [len(stream) for stream in STREAMS]
    assert words.size(1) == max(lengths)
    for row, stream in enumerate(STREAMS):
        assert words[row].tolist() == stream + [0] * (words.size(1) - len(stream))


def test_nils_are_left_out_wherever_they_are() -> None:
    story = torch.tensor([[[0, 3, 0, 1], [0, 0, 0, 0], [2, 0, 0, 5]]])
    words, lengths = lstm().stream(story, torch.tensor([[0, 4, 0]]))
    assert words.tolist() == [[3, 1, 2, 5, 4, 0]]
    assert lengths.tolist() == [6]


@pytest.mark.parametrize(("embedding", "input_size"), [("learned", 3), ("one-hot", VOCAB), ("tied", 4)])
def test_the_answer_is_the_output_at_the_question_mark(embedding: str, input_size: int) -> None:
    reader = lstm(input_size, embedding=embedding)
    logits = reader(story_of(), question_of())
    vectors = reader.embed(torch.arange(VOCAB))
    for row, stream in enumerate(STREAMS):
        output, _ = reader.sequence(vectors[stream].unsqueeze(0))
        assert_close(logits[row], output[0, -1].detach().numpy())


def test_one_hot_words_have_no_weights() -> None:
    assert not [name for name, _ in lstm(VOCAB, embedding="one-hot").named_parameters() if "embedding" in name]
    assert lstm().embedding is not None
    assert lstm().embedding.shape == (VOCAB, 3)
    assert 0.9 < StoryReader(LSTM(100, 500), 500).embedding.std() < 1.1


def test_a_trace_holds_the_sequence_models_own() -> None:
    ntm = drawn_anew(StoryReader(NTM(3, VOCAB, hidden_size=4, num_slots=5, slot_size=3), VOCAB))
    trace = ntm.trace(story_of(), question_of())
    assert isinstance(trace.sequence, memnet.NTMTrace)
    assert trace.sequence.read_weights.shape == (4, max(trace.lengths), 1, 5)
    plain = lstm().trace(story_of(), question_of())
    assert isinstance(plain.sequence, memnet.RecurrentTrace)
    assert plain.sequence.output.shape == (4, max(plain.lengths), VOCAB)
    for row, length in enumerate(plain.lengths.tolist()):
        assert torch.equal(plain.sequence.output[row, length - 1], plain.logits[row])
    bare = StoryReader(memnet.SequenceModule(memnet.GRUCell(3, 4), VOCAB), VOCAB).trace(story_of(), question_of())
    assert bare.sequence.output.shape == (4, max(bare.lengths), VOCAB)


def test_the_backend_is_the_sequence_models() -> None:
    reader = lstm()
    reader.backend = "compile"
    assert reader.sequence.backend == reader.backend == "compile"
    with pytest.raises(ValueError, match="eager, compile"):
        reader.backend = "fast"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StoryReader(LSTM(3, 7), 8), "the sequence model's output_size must be vocab_size 8, not 7"),
        (
            lambda: StoryReader(LSTM(3, 8), 8, embedding="one-hot"),
            "an input_size of vocab_size 8, not 3",
        ),
        (
            lambda: StoryReader(MemN2N(8, max_words=4), 8),
            r"reads with a sequence model \(NTM, LSTM, GRU, RNN\), not with a MemN2N",
        ),
        (lambda: StoryReader(LSTM(3, 8), 8, embedding="sparse"), "embedding must be one of one-hot, learned, tied"),
        (lambda: StoryReader(LSTM(3, 1), 1), "vocab_size must be at least 2, not 1"),
    ],
)
def test_what_cannot_be_combined_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("sequence", [RNN, LSTM, GRU, NTM])
def test_it_learns_where_two_people_are(sequence: Any) -> None:
    torch.manual_seed(0)
    sizes = {"num_slots": 8, "slot_size": 8} if sequence is NTM else {}
    model = StoryReader(sequence(10, VOCAB, hidden_size=20, **sizes), VOCAB)
    story, question, answer = two_fact_stories(10)
    assert overfit(model, story, question, answer, rate=0.02, updates=100) == 1.0
