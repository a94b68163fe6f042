"""The conversation with a model of stories: what it takes, what it answers, and what it says it looked at."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

import experiments.domains.stories.ask
from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.domains.stories.ask import Conversation, greeting
from memnet import LSTM, NTM, EntNet, KeyValueMemoryNetwork, MemN2N, MemN2NTrace, StoryModel, StoryReader
from tasks.babi import Vocabulary, WorldModel, examples_of, generate

VOCABULARY = Vocabulary.of(examples_of(generate(1, 200, seed=0)))
SIZE = len(VOCABULARY)
MODELS = {
    "memn2n": lambda: MemN2N(SIZE, max_words=6, max_sentences=4),
    "kv": lambda: KeyValueMemoryNetwork(SIZE, max_words=6, memories="window", window=3),
    "entnet": lambda: EntNet(SIZE, max_words=6, embedding_size=8, num_slots=5),
    "ntm": lambda: StoryReader(NTM(SIZE, SIZE, hidden_size=8, num_slots=6, slot_size=4), SIZE),
    "lstm": lambda: StoryReader(LSTM(SIZE, SIZE, hidden_size=8), SIZE),
}


class Newest(StoryModel):
    """Answers with the last word of the newest sentence, at 0.93, and says that its two hops looked there."""

    def __init__(self) -> None:
        super().__init__(SIZE, 6)
        self.max_sentences = 3
        self.asked: list[tuple[Tensor, Tensor]] = []

    def trace(self, story: Tensor, question: Tensor, *, story_lengths: Tensor | None = None) -> MemN2NTrace:
        self.asked.append((story, question))
        chances = torch.full((1, SIZE), 0.02 / (SIZE - 2))
        chances[0, VOCABULARY.number("office")] = 0.05
        chances[0, story[0, -1][story[0, -1] > 0][-1]] = 0.93
        attention = torch.zeros(1, 2, story.size(1))
        attention[0, :, -1] = torch.tensor([0.7, 1.0])
        return MemN2NTrace(chances.log(), attention, torch.zeros(1, 3, 4))


def talk(*lines: str, model: Any = None, explain: bool = False) -> tuple[list[str], list[str], int]:
    """What is said to these lines on output and in remarks, and how many were refused."""
    output, remarks = io.StringIO(), io.StringIO()
    refused = Conversation(model or Newest(), VOCABULARY, output, remarks, explain=explain).run(lines)
    return output.getvalue().splitlines(), remarks.getvalue().splitlines(), refused


def test_questions_are_answered_from_the_story_as_it_stands() -> None:
    model = Newest()
    lines = ["Mary moved to the garden.", "Where is Mary?", "John went to the hallway", "Where is JOHN ?\n"]
    assert talk(*lines, model=model) == (["garden", "hallway"], [], 0)
    story, question = model.asked[1]
    words = [[VOCABULARY.words[word] for word in sentence] for sentence in story[0].tolist()]
    assert words == [["mary", "moved", "to", "the", "garden"], ["john", "went", "to", "the", "hallway"]]
    assert [VOCABULARY.words[word] for word in question[0].tolist()] == ["where", "is", "john"]


def test_a_line_may_hold_several_sentences_and_questions() -> None:
    line = "Mary moved to the garden. Where is Mary? John went to the hallway. Where is John?"
    assert talk(line) == (["garden", "hallway"], [], 0)


def test_an_answer_comes_with_its_probability_and_where_every_hop_looked() -> None:
    said, _, _ = talk("Mary moved to the garden.", "John went to the hallway.", "Where is John?", explain=True)
    assert said == [
        "hallway  0.93  (then office 0.05)",
        "  hop 1  0.70 ##############         2 John went to the hallway.",
        "         0.30 ######                (empty slots)",
        "  hop 2  1.00 ####################   2 John went to the hallway.",
    ]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_it_looked_at(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    lines = ["Mary moved to the garden.", "John went to the hallway.", "Where is John?"]
    said, remarks, refused = talk(*lines, model=model, explain=True)
    assert (remarks, refused) == ([], 0)
    answer, *looks = said
    assert answer.split()[0] in VOCABULARY
    blocks = {
        "memn2n": ["hop 1", "hop 2", "hop 3", "(empty slots)", "2 John went to the hallway."],
        "kv": ["hop 1", "hop 2", "1 Mary moved to the garden.", "2 John went to the hallway."],
        "entnet": ["question", "slot 3", "gate of slot 3", "1 Mary moved to the garden."],
        "ntm": ["read head 1", ", written most at word "],
        "lstm": ["keeps the story in its state"],
    }[name]
    assert all(any(block in look for look in looks) for block in blocks)
    assert len(talk(*lines, "Where is Mary?", model=model)[0]) == 2


def test_slots_with_tied_keys_go_by_their_words() -> None:
    people = ["sandra", "mary", "john"]
    model = EntNet(SIZE, max_words=6, embedding_size=8, keys=[VOCABULARY.number(one) for one in people]).eval()
    with torch.no_grad():
        # The question looks at the slot whose key is Sandra's, since that alone fits.
        model.cell.keys.copy_(torch.eye(3, 8))
        model.cell.from_memory.weight.zero_(), model.cell.from_memory.bias.zero_()
        model.cell.from_key.weight.zero_(), model.cell.from_sentence.weight.zero_()
        model.words.weight.zero_()
        model.question_mask.fill_(30)
    said, _, _ = talk("Mary moved to the garden.", "Where is Sandra?", model=model, explain=True)
    assert said[1] == "  question  1.00 ####################  slot sandra"
    assert said[2].startswith("  gate of slot sandra  0.")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "Mary mvoed to the zebra.",
            "not added: the model never saw 'mvoed' (did you mean 'moved'?), 'zebra' of 'Mary mvoed to the zebra.'",
        ),
        ("Where is Jon?", "not asked: the model never saw 'jon' (did you mean 'john'?) of 'Where is Jon?'"),
        ("Mary moved. John flew.", "not added: the model never saw 'flew' of 'John flew.'"),
        ("the " * 7, f"not added: 7 words, the model reads at most 6, in {('the ' * 7).strip()!r}"),
        ("where is the the the the the?", "not asked: 7 words, the model reads at most 6, in"),
        ("...", "not added: there is no word in '...'"),
        ("?", "not asked: there is no word in '?'"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_lost(line: str, reason: str) -> None:
    said, remarks, refused = talk("Mary moved to the garden.", line, "Where is Mary?", "story")
    assert said == ["garden", "  1  Mary moved to the garden."]
    assert remarks[0].startswith(reason)
    assert (len(remarks), refused) == (1, 1)


def test_a_question_needs_a_story() -> None:
    said, remarks, refused = talk("Where is Mary?", "Mary moved to the garden.", "new", "Where is Mary?")
    assert (said, refused) == ([], 2)
    assert remarks == ["not asked: the story is empty, tell it something before 'Where is Mary?'"] * 2


def test_a_model_of_the_world_is_told_of_cells_as_whole_words() -> None:
    task = WorldModel(grid_size=4)
    model = MemN2N(len(task.vocabulary), max_words=4).eval()
    output, remarks = io.StringIO(), io.StringIO()
    lines = ["agent1 is at (2,3).", "agent1 faces north. agent1 moves 1", "Where is agent1?", "agent1 is at <nil>"]
    conversation = Conversation(model, task.vocabulary, output, remarks, explain=False)
    assert conversation.run(lines) == 1
    assert output.getvalue().strip() in task.vocabulary
    assert remarks.getvalue() == "not added: the model never saw 'nil' of 'agent1 is at <nil>'\n"


def test_commands() -> None:
    lines = ["Mary moved to the garden.", "John went to the hallway.", "Undo", "story", "where is mary?", ""]
    said, remarks, refused = talk(*lines, "story", "undo", " quit ", "Mary moved to the garden.", "where is mary?")
    assert said == ["  1  Mary moved to the garden.", "garden"]
    assert remarks == ["there is no sentence to take back"]
    assert refused == 1


def test_it_is_said_when_the_oldest_sentences_are_forgotten() -> None:
    told = [f"Mary moved to the {place}." for place in ("garden", "office", "kitchen", "hallway", "bedroom")]
    said, remarks, refused = talk(*told[:3])
    assert remarks == []
    said, remarks, refused = talk(*told, "story")
    assert remarks == ["the memory holds 3 sentences: from now on the oldest are forgotten"]
    assert ["(forgotten)" in line for line in said] == [True, True, False, False, False]
    assert refused == 0


def test_the_greeting_names_words_and_gives_an_example_that_works() -> None:
    words, example = greeting(VOCABULARY).splitlines()
    assert "19 words: back, bathroom" in words
    said, remarks, _ = talk(example.removeprefix("For example: "))
    assert (len(said), remarks) == (1, [])
    strange = Vocabulary(["apple,milk", *(f"word{k}" for k in range(40))])
    assert greeting(strange).endswith(" and 10 more.")
    assert "apple" not in greeting(strange)


class Typed(io.StringIO):
    """A terminal, as far as the command looks."""

    def isatty(self) -> bool:
        return True


class Interrupted(Typed):
    def readline(self, *size: int) -> str:
        raise KeyboardInterrupt


def run_ask(monkeypatch: pytest.MonkeyPatch, stdin: Any, *options: str) -> int:
    monkeypatch.setattr(experiments.domains.stories.ask, "load_run", lambda run, domain: (None, VOCABULARY, Newest()))
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("experiments.__main__._command", lambda name: experiments.domains.stories.ask.ask)
    return main(["ask", "run", *options])


def test_a_pipe_gets_the_answers_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Mary moved to the garden.\nWhere is Mary?\n\nJohn went to the hallway.\nWhere is John?"
    assert run_ask(monkeypatch, io.TextIOWrapper(io.BytesIO(text.encode()))) == 0
    assert capsys.readouterr() == ("garden\nhallway\n", "")
    assert run_ask(monkeypatch, io.StringIO(text), "--explain", "True") == 0
    assert "hop 2  1.00 ####" in capsys.readouterr().out
    assert run_ask(monkeypatch, io.StringIO("")) == 0
    assert capsys.readouterr() == ("", "")


def test_a_line_of_a_pipe_that_cannot_be_used_gives_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = b"Mary moved to the garden.\nMary moved to the caf\xe9.\nWhere is Mary?\n"
    assert run_ask(monkeypatch, io.TextIOWrapper(io.BytesIO(text), encoding="utf-8")) == 2
    out, err = capsys.readouterr()
    assert out == "garden\n"
    assert err == "line 2, byte 22: expected UTF-8 text, not 0xe9\n"


def test_in_a_terminal_there_are_prompts_with_the_sentence_number(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Typed()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "dumb")
    lines = "Mary moved to the garden.\nMary flew.\nWhere is Mary?\nundo\n"
    assert run_ask(monkeypatch, Typed(lines)) == 0
    said = screen.getvalue()
    assert said.startswith("The model knows 19 words")
    assert "\n1> 2> not added: the model never saw 'flew' of 'Mary flew.'\n2> garden  0.9" in said
    assert said.endswith("1.00 ####################   1 Mary moved to the garden.\n2> 1> \n")


def test_control_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Typed()
    monkeypatch.setattr("sys.stdout", screen)
    assert run_ask(monkeypatch, Interrupted()) == 130
    assert screen.getvalue().endswith("1> \n")
    assert capsys.readouterr().err == "stopped\n"


def test_a_run_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="is no run folder"):
        experiments.domains.stories.ask.ask(["/nowhere"])
