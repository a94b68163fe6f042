"""The dashboard in a real browser: it opens without a complaint or a request, and its controls change what is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from experiments.__main__ import main
from experiments.dashboard.command import PageServer
from tests.browser import PHONE, check_width, chromium, needs_chromium, opened, texts, until
from tests.made_up_runs import copy_run, metrics, story_run, suite, world_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium

ODD = "odd \"name'</script><b>&amp; über"
ROWS = "#runs tbody tr[id]"
CELLS = ".rows td, .rows dd, .thumbnails a"
DRAWN = "#lengths .panel:last-child .main-svg"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with its page."""
    folder = suite(tmp_path_factory.mktemp("suite"))
    copy_run(folder / ODD, 9, task="repeat-copy", solved=None, num_slots=64)
    (copy_run(folder / "torn") / "result.json").write_text("{")
    assert main(["dashboard", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def from_disk(browser: Browser, runs: Path) -> Iterator[Page]:
    with opened(browser, (runs / "dashboard.html").as_uri(), DRAWN) as page:
        yield page


@pytest.fixture
def page(from_disk: Page) -> Page:
    """The page from disk, with nothing filtered."""
    from_disk.click("#clear")
    return from_disk


def names(page: Page) -> list[str]:
    return texts(page, f"{ROWS} .disclose")


def test_the_first_screen_answers_what_was_run_solved_and_best(page: Page) -> None:
    cards = dict(reversed(text.split("\n")) for text in texts(page, ".card"))  # type: ignore[misc]
    assert cards["runs"] == "11"
    assert cards["finished"] == "9"
    assert cards["stopped"] == "1"
    assert cards["diverged or half-written"] == "1"
    assert cards["copy, left out"] == "1"
    assert cards["solved their task"] == "3 of 6"
    best = page.locator(".best", has_text="no error up to length").first
    assert "copy-s0" in best.inner_text()
    assert best.bounding_box()["y"] < 900  # type: ignore[index]
    assert page.locator("#settings tbody tr").count() == 6
    assert texts(page, "#curves h3")[:3] == ["copy", "repeat-copy", "world-model"]
    assert texts(page, "#lengths h3") == ["copy", "repeat-copy", "world-model"]
    assert page.locator("#curves .plot .main-svg").count() > 0
    assert ODD in names(page)
    assert "half-written" in page.locator(ROWS, has_text="torn").inner_text()


def test_filters_change_rows_charts_and_tables(page: Page) -> None:
    assert len(names(page)) == 11
    page.fill("#text", "copy-lstm LSTM")
    assert names(page) == ["copy-lstm-s0"]
    assert texts(page, "#curves h3") == ["copy"]
    assert texts(page, "#count") == ["(1 of 11)"]
    page.fill("#text", "no such run")
    assert names(page) == []
    page.click("#clear")
    page.select_option("#family", "babi")
    assert sorted(names(page)) == ["stories/q1", "stories/q16", "stories/q2"]
    page.select_option("#family", "")
    page.select_option("#status", "damaged")
    assert names(page) == ["torn"]
    page.click("#clear")
    assert len(names(page)) == 11


def test_the_legend_hides_a_model_everywhere(page: Page) -> None:
    def lines() -> list[str]:
        return page.evaluate("document.querySelector('#curves .plot').data.map((trace) => trace.name).filter(Boolean)")  # type: ignore[no-any-return]

    assert any(line.startswith("LSTM") for line in lines())
    button = page.locator("#legend [data-model=lstm]")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert "copy-lstm-s0" not in names(page)
    until(page, "!document.querySelector('#curves .plot').data.some((trace) => trace.name?.startsWith('LSTM'))")
    page.keyboard.press("Enter")
    assert "copy-lstm-s0" in names(page)


def test_the_table_is_sorted_by_keyboard(page: Page) -> None:
    head = page.locator("#runs th", has_text="Validation")
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    rising = names(page)
    # Bits first, percent after them, and in each the lowest first.
    assert rising.index("copy-s0") < rising.index("copy-s2") < rising.index("copy-lstm-s0") < rising.index("stories/q1")
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    falling = names(page)
    assert falling.index("copy-lstm-s0") < falling.index("copy-s2") < falling.index("copy-s0")
    assert page.locator("#runs th[aria-sort=none]").count() == 9


def test_the_first_key_leads_past_everything_to_the_runs(page: Page) -> None:
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('runs').getBoundingClientRect().top < innerHeight")


def test_a_row_leads_to_its_files(page: Page, runs: Path) -> None:
    row = page.locator(ROWS, has_text="odd")
    row.locator(".disclose").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    links = page.locator(".details a")
    assert links.all_inner_texts() == ["config", "metrics", "result", "evaluation", "learning-curve"]
    until(page, "document.querySelector('.thumbnails img').naturalWidth === 3")
    told = dict(zip(texts(page, ".details dt"), texts(page, ".details dd"), strict=True))
    assert told["not as in the recipe"] == "num slots 64"
    for address in links.evaluate_all("(links) => links.map((link) => link.href)"):
        assert Path(unquote(urlsplit(address).path)).is_file(), address
    page.keyboard.press("Enter")
    assert page.locator(".details").count() == 0


def test_controls_of_the_charts(page: Page) -> None:
    def plot(what: str, section: str = "curves") -> str:
        return f"document.querySelector('#{section} .plot').{what}"

    assert page.evaluate(plot("layout.yaxis.type")) == "log"
    page.uncheck("#log")
    until(page, plot("layout.yaxis.type") + " === 'linear'")
    count = page.evaluate(plot("data.length"))
    page.check("#singles")
    until(page, plot("data.length") + f" > {count}")
    assert page.evaluate(plot("layout.xaxis.type", "lengths")) == "log"
    # Zero has a place on the logarithmic axis.
    assert "0" in page.evaluate(plot("layout.yaxis.ticktext", "lengths"))
    page.select_option("#score", "bits_per_sequence")
    until(page, plot("layout.yaxis.title.text", "lengths") + " === 'bits per sequence'")
    assert "8.3" in page.locator(".heat tbody tr").nth(1).inner_text()
    cell = page.locator(".heat td.error").first
    assert cell.inner_text() == "4.0"
    page.select_option("#cell", "mean")
    assert cell.inner_text().split() == ["8.0", "failed"]


def test_light_and_dark(page: Page) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    def ink() -> str:
        return str(page.evaluate("document.querySelector('#curves .plot').layout.font.color"))

    light = ground(), ink()
    page.click("#theme")
    until(page, f"document.querySelector('#curves .plot').layout.font.color !== '{light[1]}'")
    assert ground() != light[0]
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("#theme")
    assert ground() == light[0]


def test_no_column_is_cut_at_1280(page: Page) -> None:
    page.locator(f"{ROWS} .disclose").first.click()
    check_width(page, 1280, f".scroll, {CELLS}")
    page.set_viewport_size({"width": 1300, "height": 900})
    page.locator(f"{ROWS} .disclose").first.click()


def test_on_a_phone_rows_are_cards(browser: Browser, runs: Path) -> None:
    with opened(browser, (runs / "dashboard.html").as_uri(), DRAWN, **PHONE) as page:
        page.locator(f"{ROWS} .disclose").first.tap()
        check_width(page, 390, f"#settings .scroll, #runs .scroll, {CELLS}, .plot, .card, .best")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(245, 246, 248)"
        status = page.locator(ROWS, has_text="torn").locator("[data-head=Status]")
        assert status.evaluate("(cell) => getComputedStyle(cell, '::before').content") == '"Status"'
        head = page.locator("#runs th", has_text="Seed")
        head.locator("button").tap()
        assert head.get_attribute("aria-sort") == "ascending"
        assert names(page)[:2] == ["copy-lstm-s0", "copy-s0"]


def test_a_served_page_shows_what_is_new(browser: Browser, tmp_path: Path) -> None:
    suite(tmp_path)
    with PageServer(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with opened(browser, f"http://127.0.0.1:{server.server_address[1]}/", DRAWN) as page:
                page.fill("#text", "stopped")
                (tmp_path / "copy-stopped" / "metrics.jsonl").write_text(metrics([80.0, 3.25]))
                page.wait_for_selector(f"{ROWS} >> text=3.25")
                assert names(page) == ["copy-stopped"]
                assert page.locator("#fresh").inner_text() == "live"
        finally:
            server.shutdown()
            thread.join()


def test_the_best_on_stories_is_told_for_each_way_of_reading(browser: Browser, tmp_path: Path) -> None:
    story_run(tmp_path / "lstm", 1, (1.0,), recipe_name="paper/lstm-1k")
    story_run(tmp_path / "memn2n", 1)
    world_run(tmp_path / "world" / "s0")
    world_run(tmp_path / "reader" / "s0", model="lstm")
    assert main(["dashboard", str(tmp_path)]) == 0
    with opened(browser, (tmp_path / "dashboard.html").as_uri(), "#named table td") as page:
        stories = ["bAbI 1k", "bAbI 1k, word by word"]
        assert texts(page, ".best h3") == ["world-model", "world-model, word by word", *stories]
        assert texts(page, ".best a") == ["world/s0", "reader/s0"]
        # A chart of less than two decades has every label in full; the paper has no error at all.
        until(page, "document.querySelector('#lengths .plot').layout?.yaxis.ticktext?.join() === '0,1,2,5,10,20'")
