"""Figures about stories show what they were given, whatever the size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.domains.stories.pictures import slot_names, story_view
from experiments.figures.grids import MOST_ROWS, grid_figure
from experiments.figures.memory import memory_figure
from experiments.figures.style import save_figure
from experiments.figures.tasks import task_error_figure
from experiments.figures.view import View, grid_of
from experiments.training.pictures import draw_views
from memnet import LSTM, NTM, EntNet, KeyValueMemoryNetwork, MemN2N, Part, StoryReader
from tasks.babi import TASK_NAMES, Vocabulary, encode, examples_of, generate
from tests.figure_parts import line, panels, shown, words

pytestmark = pytest.mark.pictures

SENTENCES = ["mary moved to the garden", "john went to the hallway", "mary went to the office"]
ASKED = View("where is mary?", "office: right", True, names={"sentence": SENTENCES}, marked=[2])


def many(count: int, marked: list[int] | None = None) -> View:
    names = {"sentence": [f"sentence {k}" for k in range(count)]}
    return View("where is mary?", "garden: wrong, it is office", False, names=names, marked=marked or [0])


def drawn(view: View, title: str = "") -> Figure:
    grid = grid_of(view)
    assert grid is not None
    return grid_figure(view, grid, title)


def attention_figure(view: View, attention: np.ndarray, title: str = "") -> Figure:
    """attention: (hop, sentence)."""
    return drawn(replace(view, parts=[Part("read", "", torch.tensor(attention)[None], ("hop", "sentence"))]), title)


def gates_figure(view: View, gates: np.ndarray, attention: np.ndarray, title: str = "") -> Figure:
    """gates: (sentence, slot). attention: (slot,)."""
    parts = [
        Part("gate", "", torch.tensor(gates)[None], ("sentence", "slot")),
        Part("read", "attention", torch.tensor(attention)[None], ("slot",)),
    ]
    return drawn(replace(view, parts=parts), title)


def ticks(axes: Axes) -> list[str]:
    return [label.get_text().replace("\N{FIGURE SPACE}", " ") for label in axes.get_yticklabels()]


def grids(figure: Figure) -> list[Axes]:
    """The axes with sentences and those below them."""
    return [axes for axes in figure.axes if axes.get_yticklabels() and axes.images and not axes.get_ylabel()]


def numbers(axes: Axes) -> dict[tuple[int, int], str]:
    """What is written in the cells, by row and column."""
    return {(int(y), int(x)): text.get_text() for text in axes.texts for x, y in [text.get_position()]}


def test_attention_is_shown_by_hop_beside_the_sentences() -> None:
    attention = np.array([[0.7, 0.2, 0.1], [0.002, 0.0, 0.998]])
    figure = attention_figure(ASKED, attention, "task 1")
    (axes,) = grids(figure)
    np.testing.assert_array_equal(shown(axes), attention)
    assert ticks(axes) == [f" {k + 1}  {sentence}" for k, sentence in enumerate(SENTENCES)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["hop 1", "hop 2"]
    assert axes.images[0].get_clim() == (0, 1)
    assert numbers(axes) == {(0, 0): "0.70", (1, 0): "0.20", (2, 0): "0.10", (2, 1): "1.00"}
    assert line(axes, "supporting fact")[:, 1].tolist() == [2]
    assert line(axes, "supporting fact")[0, 0] < -0.5
    assert {"where is mary?", "office: right", "task 1", "supporting fact"} <= set(words(figure).splitlines())


def test_a_wrong_answer_is_said_beside_the_right_one() -> None:
    figure = attention_figure(many(3), np.full((1, 3), 1 / 3))
    assert "garden: wrong, it is office" in words(figure)


def test_what_went_to_empty_slots_is_shown() -> None:
    (_, below) = grids(attention_figure(ASKED, np.array([[0.3, 0.2, 0.1], [0.4, 0.5, 0.1]])))
    np.testing.assert_allclose(shown(below).T, [[0.4, 0]], atol=1e-12)
    assert ticks(below) == ["empty slots"]
    assert len(grids(attention_figure(ASKED, np.array([[0.6, 0.3, 0.1]])))) == 1


def test_of_a_long_story_the_sentences_that_matter_are_shown() -> None:
    attention = np.full((2, 200), 0.001)
    attention[1, 150] = 0.8
    figure = attention_figure(many(200, [199, 3]), attention)
    axes = grids(figure)[0]
    numbered = [int(text.split()[0]) - 1 for text in ticks(axes)]
    assert len(numbered) == MOST_ROWS
    assert {3, 150, 199} < set(numbered)
    assert numbered == sorted(numbered)
    np.testing.assert_array_equal(shown(axes), attention[:, numbered])
    assert [numbered[int(y)] for y in line(axes, "supporting fact")[:, 1]] == [3, 199]
    assert "140 sentences with less weight not shown" in words(figure)


def test_gates_are_shown_by_slot_over_where_the_question_looked() -> None:
    gates, attention = np.random.default_rng(0).random((3, 20)), np.full(20, 0.05)
    figure = gates_figure(ASKED, gates, attention)
    above, below = grids(figure)
    np.testing.assert_array_equal(shown(above).T, gates)
    np.testing.assert_array_equal(shown(below).T, attention[None])
    assert [label.get_text() for label in above.get_xticklabels()] == [str(k) for k in range(20)]
    assert "slot" in words(figure).splitlines()
    assert above.get_position().x1 == pytest.approx(below.get_position().x1)
    names = [f"entity {k}" for k in range(20)]
    named = replace(ASKED, names={**ASKED.names, "slot": names})
    above, _ = grids(gates_figure(named, gates, attention))
    assert [label.get_text() for label in above.get_xticklabels()] == names


@pytest.mark.parametrize(("sentences", "columns"), [(1, 1), (1, 70), (50, 6)])
def test_figures_of_odd_sizes_stay_within_their_borders(sentences: int, columns: int) -> None:
    names = {"sentence": ["a very long sentence " * 9] * sentences}
    long = View("why " * 60 + "?", f"this{' or this' * 90}: wrong\nit is that", False, names=names, marked=[0])
    for figure in (
        attention_figure(long, np.full((columns, sentences), 0.5 / sentences), "t"),
        gates_figure(long, np.full((sentences, columns), np.nan), np.full(columns, 1 / columns), "t"),
    ):
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > 0
        assert box.y0 > 0
        assert box.x1 < width
        assert box.y1 < height


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 names of rows and 2 of columns do not fit values \(4, 2\)"):
        attention_figure(ASKED, np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"3 names of rows and 0 of columns do not fit values \(3, 0\)"):
        attention_figure(ASKED, np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"a look at 5 slots does not fit 4 columns"):
        gates_figure(ASKED, np.zeros((3, 4)), np.zeros(5))
    with pytest.raises(ValueError, match=r"marked places \[3\] do not fit 3 rows"):
        attention_figure(replace(ASKED, marked=[3]), np.zeros((2, 3)))


def test_words_are_read_from_the_words_of_another_sentence() -> None:
    weights = torch.tensor([[[0.9, 0.1], [0.2, 0.8]]])
    names = {"word": ["x", "(end)"], "source": ["a", "b"]}
    view = View("a b", "x: wrong\nit is y", False, [Part("read", "attention", weights, ("word", "source"))], names)
    figure = drawn(view, "title")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == names["source"]
    assert [label.get_text() for label in axes.get_yticklabels()] == names["word"]
    assert {"a b", "x: wrong", "it is y", "title"} <= {text.get_text() for text in figure.texts}
    np.testing.assert_array_equal(axes.images[0].get_array(), weights[0])


NAMES = {str(task): name for task, name in TASK_NAMES.items()}


def test_errors_by_task_stand_beside_published_ones_and_shortcuts() -> None:
    rows = [
        {"task": 18, "error": 12.0, "mean": 13.0, "deviation": 0.5, "published": 11.1, "question_only": 8.6},
        {"task": 1, "error": 0.0, "mean": 1.0, "deviation": 0.25, "published": 0.0, "question_only": 82.8},
        {"task": 2, "published": 8.3, "last_fact": None},
    ]
    figure = task_error_figure(rows, NAMES, "bAbI", "Sukhbaatar et al.")
    axes = figure.axes[0]
    assert ticks(axes) == [" 1  single supporting fact", " 2  two supporting facts", "18  size reasoning"]
    np.testing.assert_array_equal(line(axes, "ours"), [(0, 0), (np.nan, 1), (12, 2)])
    np.testing.assert_array_equal(line(axes, "Sukhbaatar et al."), [(0, 0), (8.3, 1), (11.1, 2)])
    np.testing.assert_array_equal(line(axes, "question only")[:, 0], [82.8, np.nan, 8.6])
    bars = [path.vertices[:, 0].tolist() for path in axes.collections[0].get_paths()]
    assert [bars[0], bars[2]] == [[0.75, 1.25], [12.5, 13.5]]
    said = words(figure).splitlines()
    assert {"12.0", "13.0 ± 0.5", "8.6", "mean of 2 tasks", "6.0", "7.0"} <= set(said)
    assert "last fact" not in said


@pytest.mark.parametrize("tasks", [[], [7], list(TASK_NAMES)])
def test_errors_of_any_number_of_tasks(tasks: list[int], tmp_path: Path) -> None:
    figure = task_error_figure([{"task": task, "mean": 5.0 * task} for task in tasks], NAMES, "t")
    save_figure(figure, tmp_path / "errors.png")
    assert len(ticks(figure.axes[0])) == len(tasks)
    assert ("mean of 20 tasks" in words(figure)) == (len(tasks) == 20)


EXAMPLES = examples_of(generate(2, 8, seed=0))
VOCABULARY = Vocabulary.of(EXAMPLES)
SIZE = len(VOCABULARY)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("attention", lambda: MemN2N(SIZE, max_words=7, num_hops=2, score_times=True)),
        ("attention", lambda: KeyValueMemoryNetwork(SIZE, max_words=7, memories="window")),
        ("gates", lambda: EntNet(SIZE, max_words=7, embedding_size=8, num_slots=5)),
        ("memory", lambda: StoryReader(NTM(SIZE, SIZE, hidden_size=8, num_slots=6, slot_size=4), SIZE)),
        (None, lambda: StoryReader(LSTM(SIZE, SIZE, hidden_size=8), SIZE)),
    ],
)
def test_a_model_is_drawn_as_what_it_is(name: str | None, model, tmp_path: Path) -> None:
    torch.manual_seed(0)
    own, batch = model().eval(), encode(EXAMPLES[3:5], VOCABULARY)
    views = {str(k): story_view(own, VOCABULARY, batch.rows(torch.tensor([k - 1]))) for k in (1, 2)}
    files = draw_views(tmp_path / "figures", views, "one")
    assert files == ([tmp_path / "figures" / f"{name}-{k}.png" for k in (1, 2)] if name else [])
    assert all(file.stat().st_size > 10_000 for file in files)


def test_a_drawn_story_is_that_of_the_batch() -> None:
    torch.manual_seed(0)
    model = MemN2N(SIZE, max_words=7, num_hops=2).eval()
    batch = encode(EXAMPLES[:5], VOCABULARY)
    for row in (0, 4):
        example = EXAMPLES[row]
        one = batch.rows(torch.tensor([row]))
        figure = drawn(story_view(model, VOCABULARY, one), "run")
        axes = grids(figure)[0]
        assert [text.split(maxsplit=1)[1] for text in ticks(axes)] == [" ".join(fact) for fact in example.facts]
        assert line(axes, "supporting fact")[:, 1].tolist() == sorted(example.supports)
        trace = model.trace(one.story, one.question)
        np.testing.assert_allclose(shown(axes), trace.attention[0, :, : len(example.facts)].detach(), atol=1e-6)
        predicted = VOCABULARY.words[int(trace.logits.argmax())]
        verdict = "right" if predicted == example.answer else f"wrong, it is {example.answer}"
        assert f"{predicted}: {verdict}" in words(figure)


def test_an_ntm_is_scored_at_the_question_mark() -> None:
    model = StoryReader(NTM(SIZE, SIZE, hidden_size=8, num_slots=6, slot_size=4), SIZE).eval()
    view = story_view(model, VOCABULARY, encode(EXAMPLES[:1], VOCABULARY))
    assert view.episode is not None
    figure = memory_figure(view.episode)
    named = panels(figure)
    steps = sum(map(len, EXAMPLES[0].facts)) + len(EXAMPLES[0].question) + 1
    assert shown(named["Read weighting"]).shape == (steps, 6)
    assert shown(named["Targets"]).argmax() == (steps - 1) * SIZE + VOCABULARY.number(EXAMPLES[0].answer)


def test_slots_are_named_by_the_words_of_tied_keys() -> None:
    keys = [VOCABULARY.number(word) for word in ("sandra", "john", "milk")]
    model = EntNet(SIZE, max_words=7, embedding_size=8, keys=keys).eval()
    one = encode(EXAMPLES[:1], VOCABULARY)
    assert slot_names(model.trace(one.story, one.question), VOCABULARY) == ["sandra", "john", "milk"]
    assert slot_names(EntNet(SIZE, max_words=7).trace(one.story, one.question), VOCABULARY) is None
    figure = drawn(story_view(model, VOCABULARY, encode(EXAMPLES[:1], VOCABULARY)), "run")
    assert [label.get_text() for label in grids(figure)[0].get_xticklabels()] == ["sandra", "john", "milk"]
