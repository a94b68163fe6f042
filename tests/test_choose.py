"""The page by which to choose a memory: what it says of results, and that it is up to date."""

from typing import Any

from experiments.config.registry import DOMAINS
from experiments.report.choose import CHOICE, choice
from experiments.report.results import RESULTS, read


def test_the_page_is_what_the_command_writes() -> None:
    """`python -m experiments results` after whatever changed models, results or their costs."""
    assert (RESULTS / CHOICE).read_text() == choice(RESULTS, read(RESULTS).found)


def cells_of(page: str, model: str) -> list[str]:
    (line,) = (one for one in page.splitlines() if one.startswith(f"| `{model}` |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def told(model: Any, task: Any, *tests: dict[str, Any]) -> dict[str, Any]:
    return {"config": {"model": model, "task": task}, "tests": list(tests)}


def test_of_results_the_longest_length_and_the_worst_seed_are_told() -> None:
    def shares(*each: float | None) -> dict[str, Any]:
        return {"exact_share": {"by_seed": dict(enumerate(each))}}

    new: Any = ({"name": "gru"}, {"name": "copy"})
    results = {
        "near": told(*new, {"at": {"length": 20}, "scores": shares(1, 1)}),
        "one": told(
            *new, {"at": {"length": 20}, "scores": shares(1, 1)}, {"at": {"length": "41-500"}, "scores": shares(0.5, 1)}
        ),
        "two": told("gru", "mqar", {"length": 9, **shares(0.25, None)}),
        "other": told("lstm", "parity", {"length": 10_000, **shares(1)}),
        "stories": {"config": {"model": "memn2n", "task": "babi"}, "tests": {"error": {}}},
    }
    page = choice(RESULTS, results)
    assert cells_of(page, "gru")[4:6] == ["-", "[copy](near.md) 100 at 20, [mqar](two.md) 0 at 9"]
    assert cells_of(page, "lstm")[4:6] == ["[parity](other.md) 100 at 10,000", "-"]
    del results["near"]
    assert "[copy](one.md) 50 at 500" in cells_of(choice(RESULTS, results), "gru")[5]


def test_models_say_what_they_are() -> None:
    page = choice(RESULTS, {})
    assert all(cells_of(page, name) for name in DOMAINS["sequences"].models)
    assert cells_of(page, "lstm")[1:4] == ["512", "-", "-"]  # 256 units and cells, one layer
    assert cells_of(page, "lstm")[6] == "1"
    assert cells_of(page, "deltanet")[2:4] == ["yes", "-"]
    assert cells_of(page, "ntm")[2:4] == ["-", "yes"]
