"""The inspector in a real browser: what it shows at every step, and at every choice, is what the models did."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from experiments.__main__ import main
from experiments.base.seeds import generator_for
from experiments.inspector.command import InspectorServer, open_runs
from experiments.training.loading import load_run
from tests.browser import PHONE, check_width, chromium, needs_chromium, opened, texts, until
from tests.inspected_runs import NTM, sequence_run, story_run
from tests.test_inspector import story_tensors

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium

DRAWN = "#panels article:last-child :is(.step .main-svg, .looks)"
# Half a unit of the third digit, in which arrays are kept.
NEAR = 0.00051


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    sequence_run(folder / "ntm")
    sequence_run(folder / "other", "--num-slots", "40", "--controller", "feedforward")
    sequence_run(folder / "lstm", "--model", "lstm", "--num-layers", "2")
    sequence_run(folder / "sort", *NTM, "--min-length", "2", task="priority-sort")
    for name in ("memn2n", "entnet", "gru"):
        story_run(folder / name, name)
    story_run(folder / "reader", "ntm")
    story_run(folder / "entities", "entnet", "--num-slots", "20")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


def page_of(runs: Path, *args: str) -> str:
    """Write a page and return its address."""
    names = [str(runs / arg) if (runs / arg).is_dir() else arg for arg in args]
    out = runs / f"{'-'.join(args)}.html"
    assert main(["inspect", *names, "--out", str(out)]) == 0
    return out.as_uri()


@pytest.fixture(scope="module")
def page(browser: Browser, runs: Path) -> Iterator[Page]:
    """An NTM with two read heads beside an LSTM of two layers, at several choices."""
    with opened(browser, page_of(runs, "ntm", "lstm", "--length", "3", "5", "--num-slots", "16", "24"), DRAWN) as one:
        yield one


def plotted(page: Page, place: str, what: str) -> Any:
    """Something of a chart, with arrays as lists."""
    plain = "JSON.parse(JSON.stringify(found, (key, one) => (ArrayBuffer.isView(one) ? [...one] : one)))"
    return page.evaluate(f"(() => {{ const found = document.querySelector('{place}').{what}; return {plain}; }})()")


def near(shown: Any, expected: Any, tolerance: float = NEAR) -> bool:
    return np.asarray(shown).shape == np.asarray(expected).shape and np.allclose(shown, expected, atol=tolerance)


def trace_of(runs: Path, name: str, length: int, seed: int = 0, slots: int | None = None) -> tuple[Any, Any]:
    _, task, model = load_run(runs / name)
    if slots is not None:
        model.num_slots = slots
    batch = task.sample(1, length=length, generator=generator_for("test", seed, length))
    with torch.no_grad():
        return batch, model.trace(batch.input)


def numbers(found: list[str]) -> list[float]:
    return [float(text.replace("\N{MINUS SIGN}", "-")) for text in found]


def check_step(page: Page, runs: Path, step: int, length: int, seed: int, slots: int) -> None:
    """Everything that the NTM's panel shows at a step, against the model's own trace."""
    batch, trace = trace_of(runs, "ntm", length, seed, slots)
    panel = "#panels article:first-child"
    assert texts(page, "#step") == [f"{step} of {2 * length}"]
    assert numbers(texts(page, f"{panel} .bits tr:nth-child(1) td")) == batch.input[0, step].tolist()
    outputs = numbers(texts(page, f"{panel} .bits tr:nth-child(3) td"))
    assert near(outputs, trace.output[0, step].sigmoid().tolist(), 0.0056)
    charts = plotted(page, f"{panel} .step .plot", "data")
    memory = next(chart for chart in charts if chart["type"] == "heatmap")
    assert near(memory["z"], trace.memory[0, step].tolist())
    bars = [chart["x"] for chart in charts if chart["type"] == "bar"]
    weights = [trace.write_weights[0, :, 0], trace.read_weights[0, :, 0], trace.read_weights[0, :, 1]]
    assert near(bars, [one[step].tolist() for one in weights])
    over = [chart["z"] for chart in plotted(page, f"{panel} .over .plot", "data") if chart.get("type") == "heatmap"]
    assert near(over[0], batch.input[0].T.tolist())
    for shown, weighting in zip(over[3:], weights, strict=True):
        assert near(shown, weighting.T.tolist())
    # Heads are numbered with those that read before those that write.
    for row, head in enumerate((2, 0, 1), start=1):
        cells = texts(page, f"{panel} .heads tbody tr:nth-child({row}) td")
        slot, weight = cells[0].split()
        # Of slots that weigh alike any may be told.
        assert near(float(weights[row - 1][step][int(slot)]), float(weights[row - 1][step].max()))
        assert near(float(weight), float(weights[row - 1][step].max()), 0.0056)
        for cell, name in zip(cells[1:4], ("gate", "strength", "sharpening"), strict=True):
            assert near(float(cell), float(getattr(trace.heads, name)[0, step, head]), 0.0056)
        shares = [float(text.split()[-1]) for text in texts(page, f"{panel} .heads tr:nth-child({row}) .shift > span")]
        assert near(shares, trace.heads.shift[0, step, head].tolist(), 0.0056)


def test_stepping_shows_what_the_model_did_at_that_step(page: Page, runs: Path) -> None:
    check_step(page, runs, 0, 3, 0, 16)
    page.click("#on")
    check_step(page, runs, 1, 3, 0, 16)
    assert "It reads a vector." in page.locator(".words").first.inner_text()
    page.locator("#slider").fill("5")
    check_step(page, runs, 5, 3, 0, 16)
    words = page.locator(".words").first.inner_text()
    assert "It answers." in words
    _, trace = trace_of(runs, "ntm", 3)
    assert f"slot {int(trace.write_weights[0, 5, 0].argmax())} " in words
    cursor = page.locator(".cursor").first.bounding_box()
    plot = page.locator(".over .plot").first.bounding_box()
    assert cursor is not None
    assert plot is not None
    assert page.evaluate("document.querySelector('.over .plot').layout.xaxis.dtick") == 1
    assert abs(cursor["x"] - (plot["x"] + 48 + (plot["width"] - 56) * 5 / 7)) < 1.5


def test_another_length_seed_or_number_of_slots_is_another_run_of_the_model(page: Page, runs: Path) -> None:
    page.select_option("#length", "5")
    page.select_option("#seed", "1")
    page.select_option("#slots", "24")
    until(page, "document.getElementById('step').textContent.endsWith('of 10')")
    page.locator("#slider").fill("10")
    check_step(page, runs, 10, 5, 1, 24)
    page.select_option("#length", "3")
    page.select_option("#seed", "0")
    page.select_option("#slots", "16")
    until(page, "document.getElementById('step').textContent === '6 of 6'")
    check_step(page, runs, 6, 3, 0, 16)


def test_two_models_read_the_same_and_share_the_step(page: Page, runs: Path) -> None:
    page.locator("#slider").fill("4")
    batch, trace = trace_of(runs, "lstm", 3)
    inputs = texts(page, "#panels .bits tr:nth-child(1)")
    assert len(inputs) == 2
    assert inputs[0] == inputs[1]
    panel = "#panels article:last-child"
    (states,) = plotted(page, f"{panel} .step .plot", "data")
    expected = [
        one[0, 4].tolist() for state, gates in zip(trace.states, trace.gates, strict=True) for one in (*state, *gates)
    ]
    assert near(states["z"], expected)
    assert plotted(page, f"{panel} .step .plot", "layout.yaxis.ticktext")[:2] == [
        "hidden state, layer 1",
        "cell state, layer 1",
    ]
    assert near(numbers(texts(page, f"{panel} .bits tr:nth-child(3) td")), trace.output[0, 4].sigmoid().tolist(), 0.006)
    _, task, _ = load_run(runs / "lstm")
    wrong = int(task.metrics(trace.output, batch)["wrong_bits"])
    assert texts(page, f"{panel} > .wrong") == [f"✗ {wrong} of 24 answered bits wrong"]
    crosses = [one for one in plotted(page, f"{panel} .over .plot", "data") if one.get("mode") == "markers"]
    assert len(crosses[0]["x"]) == wrong


def test_the_keyboard_steps_and_plays(page: Page) -> None:
    page.locator("#panels").focus()
    steps = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight"):
        page.keyboard.press(key)
        steps.append(texts(page, "#step")[0].split()[0])
    assert steps == ["0", "1", "2", "1", "6", "6"]
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    assert texts(page, "#play") == ["Pause"]
    until(page, "Number(document.getElementById('step').textContent.split(' ')[0]) >= 2")
    page.keyboard.press("Space")
    assert texts(page, "#play") == ["Play"]
    page.reload()
    page.wait_for_selector(DRAWN)
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached == ["skip", "theme", "length", "seed", "slots", "wrong", "back", "play", "on", "slider"]
    page.keyboard.press("ArrowRight")
    assert texts(page, "#step") == ["1 of 6"]


def test_a_click_in_a_chart_goes_to_its_step(page: Page) -> None:
    box = page.locator(".over .plot").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 48 + (box["width"] - 56) * 3.5 / 7, box["y"] + 60)
    until(page, "document.getElementById('step').textContent === '3 of 6'")


def test_light_and_dark(page: Page) -> None:
    def ink() -> str:
        return str(page.evaluate("document.querySelector('.over .plot').layout.font.color"))

    page.locator("#slider").fill("2")
    light = ink()
    page.click("#theme")
    until(page, f"document.querySelector('.over .plot').layout.font.color !== '{light}'")
    assert texts(page, "#step") == ["2 of 6"]
    page.click("#theme")
    until(page, f"document.querySelector('.over .plot').layout.font.color === '{light}'")


def test_a_question_shows_what_was_looked_at(browser: Browser, runs: Path) -> None:
    address = page_of(runs, "memn2n", "entnet")
    models = {name: load_run(runs / name) for name in ("memn2n", "entnet")}
    vocabulary = models["memn2n"][1]
    with opened(browser, address, DRAWN) as page:
        assert page.locator(".question").count() == 12
        for number, reach in ((0, None), (7, "click"), (8, "ArrowDown")):
            if reach == "click":
                page.locator(".question").nth(number).click()
            elif reach:
                page.keyboard.press(reach)
            chosen = page.locator(".question[aria-pressed=true]")
            assert chosen.evaluate("(one) => [...document.querySelectorAll('.question')].indexOf(one)") == number
            view = page.evaluate(f"shown.view.questions[{number}]")
            given = story_tensors(view["panels"][0], view["question"], vocabulary)
            attention = models["memn2n"][2].trace(*given).attention[0].detach().T.numpy()
            watched = models["entnet"][2].trace(*given)
            expected = {"hops": attention, "gates": watched.gates[0].detach().numpy()}
            for kind, values in expected.items():
                titles = page.locator(f".{kind} tbody td").evaluate_all("(cells) => cells.map((one) => one.title)")
                shown = np.array([float(title.split(": ")[1]) for title in titles]).reshape(values.shape)
                assert near(shown, values, 0.00101)
                rounded = [float(text or 0) for text in texts(page, f".{kind} tbody td")]
                assert near(np.reshape(rounded, values.shape), values, 0.0056)
            looks = page.locator(".gates tfoot td").evaluate_all("(cells) => cells.map((one) => one.title)")
            assert near([float(title.split(": ")[1]) for title in looks], watched.attention[0].tolist(), 0.00101)
            right = [panel["right"] for panel in view["panels"]]
            assert texts(page, ".answers li:first-child .word :is(.right, .wrong)") == [
                " ✓ right" if one else " ✗ wrong" for one in right
            ]
            assert len(texts(page, ".hops .support")) == len(view["panels"][0]["grid"]["marked"]) >= 1
        assert page.locator("#time").is_hidden()
        wrong = page.evaluate("shown.view.questions.map((one) => one.panels.some((panel) => !panel.right))")
        assert texts(page, "#filter") == [f"Wrong answers only ({sum(wrong)})"]
        page.check("#wrong")
        assert page.locator(".question").count() == sum(wrong) == page.locator(".question:has(.wrong)").count()
        page.locator(".question").first.click()
        for number in np.flatnonzero(wrong)[1:].tolist():
            page.keyboard.press("ArrowDown")
            assert page.evaluate("state.question") == number


def test_readers_are_stepped_through_word_by_word(browser: Browser, runs: Path) -> None:
    address = page_of(runs, "reader", "gru")
    _, vocabulary, ntm = load_run(runs / "reader")
    with opened(browser, address, DRAWN) as page:
        view = page.evaluate("shown.view.questions[0]")
        panel = view["panels"][0]
        last = len(panel["words"]) - 1
        assert texts(page, "#step") == [f"{last} of {last}"]
        assert "It hears the question mark and answers" in page.locator(".words").first.inner_text()
        page.locator(".tokens").first.locator("button").nth(2).click()
        assert texts(page, "[aria-current]") == [panel["words"][2]] * 2
        trace = ntm.trace(*story_tensors(panel, view["question"], vocabulary)).sequence
        charts = plotted(page, "#panels article:first-child .step .plot", "data")
        memory = next(chart for chart in charts if chart["type"] == "heatmap")
        assert near(memory["z"], trace.memory[0, 2].tolist())
        page.locator(".question").nth(3).click()
        assert page.evaluate("state.question") == 3


@pytest.mark.parametrize("name", ["sort", "entities"])
def test_on_a_phone_only_the_gates_of_many_slots_scroll_sideways(browser: Browser, runs: Path, name: str) -> None:
    with opened(browser, page_of(runs, name), DRAWN, **PHONE) as page:
        check_width(page, 390, {"sort": ".run, .scroll, .plot, .words, .heads td", "entities": ".run"}[name])
        if name == "entities":
            assert page.locator(".scroll").first.evaluate("(box) => box.scrollWidth > box.clientWidth")


def test_two_memories_share_slots_rows_and_scales(browser: Browser, runs: Path) -> None:
    with opened(browser, page_of(runs, "ntm", "other", "--length", "3", "--num-slots", "16"), DRAWN) as page:
        panels = [f"#panels article:nth-child({number})" for number in (1, 2)]
        rows = [dict(drawn_rows(page, f"{panel} .over .plot")) for panel in panels]
        alike = ("Input", "Target", "Output", "Write head: weights over the slots", "Shift: slots onward", "Sharpening")
        for title in alike:
            assert rows[0][title] == rows[1][title]
        first, second = "Read head 1: weights over the slots", "Read head: weights over the slots"
        assert rows[0][first] == rows[1][second]
        assert rows[0][first]["ends"] == [15.5, -0.5]
        # Beside what one model alone has there is nothing.
        assert set(rows[0]) - set(rows[1]) >= {"Read head 2: weights over the slots", "Key strength"}
        steps = [page.locator(f"{panel} .step").bounding_box() for panel in panels]
        assert steps[0]["y"] == steps[1]["y"]  # type: ignore[index]
        one, other = (plotted(page, f"{panel} .step .plot", "data").pop(1)["zmax"] for panel in panels)
        assert one == other
        check_width(page, 390, ".run, .plot, .words, .heads td, .annotation-text")


def drawn_rows(page: Page, chart: str) -> list[tuple[str, dict[str, Any]]]:
    """The title of every row of a chart over time, with its place on the page in pixels and its scales."""
    axes = page.evaluate(
        f"""(() => {{
            const chart = document.querySelector('{chart}');
            const top = chart.getBoundingClientRect().top;
            const heats = chart.data.filter((one) => one.type === "heatmap");
            return chart.layout.annotations.map(({{ text: title }}, k) => {{
                const name = "yaxis" + (k ? k + 1 : "");
                const axis = chart._fullLayout[name];
                const heat = heats.find((one) => (one.yaxis ?? "y").replace("y", "yaxis") === name);
                const place = [Math.round(top + axis._offset), Math.round(axis._length)];
                return [title, {{ place, ends: axis.range, colours: heat ? [heat.zmin, heat.zmax] : null }}];
            }});
        }})()"""
    )
    return [(title, told) for title, told in axes]


def test_the_end_of_the_ring_is_marked(page: Page) -> None:
    def turned(shown: list[int], moves: list[int]) -> str:
        """A view of the first model alone whose write head was at these slots, one after the other."""
        weights = [[float(slot == move) for slot in shown] for move in moves]
        return f"""(() => {{
            const view = structuredClone(shown.view);
            const [panel] = view.questions[0].panels;
            const slots = {{ shown: {shown}, total: 16, row: 0, rows: {len(shown)} }};
            const weights = {{ shape: [{len(moves)}, {len(shown)}], values: Float32Array.from({weights}.flat()) }};
            const head = {{ ...panel.heads.at(-1), weights }};
            const memory = {{ shape: [...weights.shape, 1], values: weights.values }};
            view.questions[0].panels = [{{ ...panel, slots, heads: [head], memory }}];
            layOut(view);
        }})()"""

    page.evaluate(turned(list(range(16)), [13, 14, 15, 0, 1, 0, 15]))
    lines = [one for one in plotted(page, ".over .plot", "layout.shapes") if one["type"] == "line"]
    assert lines == []
    marks = [one for one in plotted(page, ".over .plot", "data") if one.get("name") == "end of the ring"]
    assert [(one["x"], one["y"], one["marker"]["symbol"]) for one in marks] == [
        ([2, 3], [15, 0], "triangle-down"),
        ([5, 6], [0, 15], "triangle-up"),
    ]
    page.locator("#slider").fill("3")
    assert "at slot 0 (1.00), 1 slot on, over the end of the ring" in page.locator(".words").first.inner_text()
    page.evaluate(turned([13, 14, 15, 0, 1, 2], [13, 14, 15, 0, 1, 0, 15]))
    for chart in (".over .plot", ".step .plot"):
        lines = [one for one in plotted(page, chart, "layout.shapes") if one["type"] == "line"]
        assert [(one["y0"], one["y1"]) for one in lines] == [(2.5, 2.5)]
    assert not [one for one in plotted(page, ".over .plot", "data") if one.get("name") == "end of the ring"]
    page.reload()
    page.wait_for_selector(DRAWN)


def test_only_wrong_steps_can_be_chosen(page: Page, runs: Path) -> None:
    wrong: set[int] = set()
    for name in ("ntm", "lstm"):
        batch, trace = trace_of(runs, name, 3)
        wrong |= set(load_run(runs / name)[1].wrong(trace.output, batch)[0].any(-1).nonzero().flatten().tolist())
    assert texts(page, "#filter") == [f"Wrong steps only ({len(wrong)})"]
    assert texts(page, "#seed option")[0] == "0 ✗"
    page.check("#wrong")
    page.locator("#panels").focus()
    page.keyboard.press("Home")
    reached = []
    for _ in range(len(wrong) + 1):
        reached.append(int(texts(page, "#step")[0].split()[0]))
        page.keyboard.press("ArrowRight")
    assert reached == [*sorted(wrong), max(wrong)]
    page.locator("#slider").fill("0")
    assert texts(page, "#step") == [f"{min(wrong)} of 6"]
    page.uncheck("#wrong")
    page.click("#back")
    assert texts(page, "#step") == [f"{min(wrong) - 1} of 6"]


def test_a_served_page_shows_any_choice(browser: Browser, runs: Path) -> None:
    inspector = open_runs([str(runs / "ntm")])
    with InspectorServer(inspector, inspector.choices([3], [], []), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with opened(browser, f"http://127.0.0.1:{server.server_address[1]}/", DRAWN) as page:
                page.fill("#length", "4")
                page.fill("#seed", "9")
                page.fill("#slots", "11")
                page.press("#slots", "Enter")
                until(page, "document.getElementById('step').textContent === '0 of 8'")
                until(page, "document.getElementById('status').textContent === '' && keyOf() === '4/9/11'")
                page.locator("#slider").fill("7")
                check_step(page, runs, 7, 4, 9, 11)
                for length in ("3000", "5"):  # the second ends the first
                    page.fill("#length", length)
                    page.press("#length", "Enter")
                until(page, "document.getElementById('status').textContent === '' && keyOf() === '5/9/11'")
                assert page.evaluate("[...views.keys()].filter((key) => key.startsWith('3000'))") == []
                page.fill("#length", "")
                page.press("#length", "Enter")
                assert page.evaluate("state.length") == 5
        finally:
            server.shutdown()
            thread.join()
