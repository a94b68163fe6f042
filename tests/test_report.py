"""Reports say of many runs what their files say, every cell with the runs behind it."""

import json
import math
import os
import random
import re
import statistics
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from matplotlib.text import Text

from experiments.__main__ import main
from experiments.base.statistics import bootstrap, medians, quantile, success_interval
from experiments.base.tables import Cell, Table, coded, escaped, marked
from experiments.report.pictures import report_figures
from experiments.runs.reading import find_runs, read_run
from tests.made_up_runs import copy_run, length_test, made_up_run, story_run, suite, world_run

Capture = pytest.CaptureFixture[str]
INFINITE = math.inf


def reported(folder: Path) -> dict[str, Any]:
    assert main(["report", str(folder)]) == 0
    content: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return content


def table(report: dict[str, Any], title: str) -> list[dict[str, Any]]:
    """The rows of a table, cells by their heads."""
    found = next(one for one in report["tables"] if one["title"] == title)
    return [dict(zip(found["head"], row, strict=True)) for row in found["rows"]]


@pytest.mark.parametrize("seed", range(10))
def test_quantiles_and_medians_are_numpys_where_all_is_finite(seed: int) -> None:
    draw = random.Random(seed)
    values = [draw.random() for _ in range(draw.randint(1, 12))]
    for share in (0, 0.25, 0.5, 0.75, 1):
        assert quantile(values, share) == pytest.approx(np.percentile(values, 100 * share))
    assert float(medians(np.array(values))) == pytest.approx(statistics.median(values))


def test_what_is_never_reached_is_infinite() -> None:
    assert quantile([1, INFINITE, 2], 0.5) == 2
    assert quantile([1, 2, INFINITE, INFINITE], 0.5) == INFINITE
    assert quantile([1, 2, INFINITE], 0.25) == 1.5
    assert medians(np.array([[1, INFINITE], [1, 3]])).tolist() == [INFINITE, 2]
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_the_bootstrap_is_that_of_all_samples() -> None:
    """Of three values all 27 samples can be counted: 2.5 % of them lie at or below the interval's lower end."""
    values = [1.0, 2.0, 4.0]
    means = sorted(statistics.fmean(sample) for sample in product(values, repeat=3))
    found = bootstrap(values, lambda drawn: drawn.mean(-1))
    assert found is not None
    assert found.low == pytest.approx(means[0])  # drawn in 1 of 27 samples, 3.7 %
    assert found.high == pytest.approx(means[-1])
    assert bootstrap(values, lambda drawn: drawn.mean(-1)) == found
    assert bootstrap([1.0], medians) is None
    assert bootstrap([1.0, INFINITE], medians) == (1, INFINITE)


@pytest.mark.parametrize(("successes", "tries"), [(0, 1), (1, 1), (7, 10), (10, 10), (50, 100)])
def test_success_intervals_hold_the_shares_that_the_score_test_keeps(successes: int, tries: int) -> None:
    low, high = success_interval(successes, tries)
    for end in (one for one in (low, high) if 1e-9 < one < 1 - 1e-9):
        distance = abs(successes / tries - end) / math.sqrt(end * (1 - end) / tries)
        assert distance == pytest.approx(1.959964, rel=1e-5)
    assert 0 <= low <= successes / tries <= high <= 1


def test_seeds_that_solved(tmp_path: Path) -> None:
    for seed, solved in enumerate([2400, None, 1600, 800]):
        copy_run(tmp_path / f"s{seed}", seed, solved=solved)
    copy_run(tmp_path / "lstm", model="lstm", solved=None)
    lstm, ntm = sorted(table(reported(tmp_path), "copy: seeds that solved it"), key=lambda row: row["model"]["text"])
    assert (lstm["model"]["text"], ntm["model"]["text"]) == ("LSTM", "NTM, feed-forward")
    assert (ntm["seeds"]["text"], ntm["solved"]["text"], ntm["best seed"]["text"]) == ("4", "3 of 4", "800")
    reached = ntm["sequences to solve, median [quartiles]"]
    assert reached["text"] == "2,000 [1,400 to not reached]"
    assert reached["value"] == {"0": 2400, "1": None, "2": 1600, "3": 800}
    assert reached["runs"] == ["s0", "s1", "s2", "s3"]
    assert ntm["mean ± sd of those that solved"]["text"] == "1,600 ± 800"
    assert (lstm["solved"]["text"], lstm["best seed"]["text"]) == ("0 of 1", "not reached")


def test_scores_by_length(tmp_path: Path) -> None:
    for seed, wrong in enumerate([0, 3, 1]):
        copy_run(tmp_path / f"s{seed}", seed, tests=(length_test(20, 0), length_test(40, wrong)))
    rows = table(reported(tmp_path), "copy: bits per sequence, by length")
    assert [row[""]["text"] for row in rows] == ["median [quartiles]", "mean ± sd", "best seed", "worst seed"]
    middle, mean, best, worst = (row["40"] for row in rows)
    assert (middle["text"], mean["text"], best["text"]) == ("10 [5 to 20]", "13.3 ± 15.3", "0")
    assert worst["text"] == "30"
    assert all(cell["value"] == [0, 30, 10] and cell["runs"] == ["s0", "s1", "s2"] for cell in (middle, mean, best))
    shares = table(reported(tmp_path), "copy: sequences exactly right, %, by length")
    assert [row["40"]["text"] for row in shares] == ["0 [0 to 50]", "33.3 ± 57.7", "100", "0"]


def test_published_numbers_stand_beside_the_papers_setting_alone(tmp_path: Path) -> None:
    options: dict[str, Any] = {"task": "associative-recall", "tests": (length_test(6, 1), length_test(7, 1))}
    copy_run(tmp_path / "own", **options)
    assert not [
        row
        for row in table(reported(tmp_path), "associative-recall: bits per sequence, by length")
        if "published" in row[""]["text"]
    ]
    copy_run(tmp_path / "papers", recipe_name="paper/associative-recall-ntm-lstm", **options)
    rows = table(reported(tmp_path), "associative-recall: bits per sequence, by length")
    (published,) = [row for row in rows if "published" in row[""]["text"]]
    assert (published["6"]["text"], published["7"]["text"]) == ("0.075", "-")


def test_stories_by_task(tmp_path: Path) -> None:
    for task, errors in ((1, (4.0, 12.0)), (2, (9.0, 8.0))):
        for seed in range(2):
            story_run(tmp_path / f"q{task}-s{seed}", task, errors, seed=seed)
    report = reported(tmp_path)
    first, second = table(report, "MemN2N (paper/memn2n-1k, restarts 2), bAbI 1k")
    assert first["task"]["text"] == "1 single-supporting-fact"
    assert first["restarts and seeds"]["text"] == "4"
    assert first["mean ± sd"] == {"text": "8.0 ± 4.6", "value": [4, 12, 4, 12], "runs": ["q1-s0", "q1-s1"]}
    assert (first["error %, chosen"]["text"], first["best"]["text"]) == ("4.0", "4.0")
    assert (second["error %, chosen"]["text"], second["best"]["text"]) == ("9.0", "8.0")
    assert second["published: MemN2N PE LS RN"]["text"] == "8.3"
    (overview,) = table(report, "bAbI 1k, read sentence by sentence")
    assert (overview["mean error %, chosen"]["text"], overview["failed"]["text"]) == ("6.5", "1 of 2")
    assert overview["published: mean"]["text"] == f"{(0.0 + 8.3) / 2:.1f}"


def test_words_and_sentences_are_never_in_one_table(tmp_path: Path) -> None:
    story_run(tmp_path / "memn2n", 1)
    story_run(tmp_path / "lstm", 1, (50.0,), recipe_name="paper/lstm-1k")
    report = reported(tmp_path)
    for way, model in (("word by word", "LSTM"), ("sentence by sentence", "MemN2N")):
        (row,) = table(report, f"bAbI 1k, read {way}")
        assert row["model (recipe)"]["text"].startswith(model)


def test_the_world_model_by_length(tmp_path: Path) -> None:
    world_run(tmp_path / "s0", 0, (1.0, 10.0))
    (one,) = reported(tmp_path)["tables"]
    assert one["head"][0] == "sentences"
    assert [[cell["text"] for cell in row[:3]] for row in one["rows"]] == [["10", "1", "1.0"], ["20", "1", "10.0"]]


def test_a_run_of_which_nobody_here_knows_model_or_task_has_its_tables(tmp_path: Path) -> None:
    for seed in range(2):
        made_up_run(tmp_path / f"s{seed}", seed)
    report = reported(tmp_path)
    (overview,) = table(report, "mazes")
    assert (overview["model (recipe)"]["text"], overview["failed"]["text"]) == (
        "Random walker (default, width 24)",
        "1 of 2",
    )
    easy, hard = table(report, "Random walker (default, width 24), mazes")
    assert (easy["level"]["text"], easy["mean ± sd"]["text"]) == ("easy without a loop", "2.5 ± 0.7")
    assert (hard["level"]["text"], hard["best"]["text"]) == ("hard with loops", "10.0")
    assert not (tmp_path / "report.md").read_text().endswith("Not in the tables")


def test_runs_that_do_not_count_are_named(tmp_path: Path) -> None:
    suite(tmp_path)
    copy_run(tmp_path / "again", 0)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.yaml").write_text("model: [")
    report = reported(tmp_path)
    assert {one["status"] for one in report["runs"]} == {"done", "stopped", "damaged"}
    text = (tmp_path / "report.md").read_text()
    left = text.splitlines()[-1]
    for reason in ("copy-s0 (has the setting and seed of again)", "copy-stopped (stopped)", "half (damaged: "):
        assert reason in left
    named = {name for one in report["tables"] for row in one["rows"] for cell in row for name in cell["runs"]}
    assert named.isdisjoint({"copy-s0", "copy-stopped", "half"})
    assert named == set(re.findall(r"^\| (\S+) \| \d+ \| `", text, re.MULTILINE))


def test_jobs_of_a_suite_that_have_not_begun_are_named(tmp_path: Path) -> None:
    copy_run(tmp_path / "copy-s0")
    jobs = [{"name": f"copy-s{seed}", "args": ["copy", "--seed", str(seed)]} for seed in range(2)]
    (tmp_path / "suite.json").write_text(json.dumps({"suite": "mine", "about": "", "jobs": jobs}))
    reported(tmp_path)
    assert (tmp_path / "report.md").read_text().endswith("Not in the tables: copy-s1 (not begun).\n")


def test_markdown_latex_and_json_say_the_same(tmp_path: Path, capsys: Capture) -> None:
    suite(tmp_path)
    report = reported(tmp_path)
    printed = capsys.readouterr()
    text, latex = (tmp_path / "report.md").read_text(), (tmp_path / "report.tex").read_text()
    assert all(one in text for one in printed.out.split("\n\n"))
    assert "### Runs" in text.replace(printed.out.strip(), "")
    assert "### Runs" not in printed.out
    files = [line.rpartition("/")[2] for line in printed.err.split()]
    assert files[:3] == ["report.md", "report.tex", "report.json"]
    assert all(f"]({figure})" in text for figure in files[3:])
    for one in report["tables"]:
        for row in one["rows"]:
            assert "| " + " | ".join(cell["text"] for cell in row) + " |" in text
            assert " & ".join(escaped(cell["text"]) for cell in row) + r" \\" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == len(report["tables"])
    body = re.sub(r"(?m)^%.*$|\\[%&_#$]|\\\\$", "", latex)
    assert not re.search(r"[#_±%]", body)


HOSTILE = r"""a|b a_b _c_ **d** ~~e~~ `f` ``g`` [h](i) [j][k] <b>l</b> &amp; \m \| \` 'n' # o"""


@pytest.mark.parametrize("text", [HOSTILE, "`", "``a`b", "x*" * 3])
def test_nothing_in_a_text_is_markup(text: str) -> None:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    table = Table(text, [text, text], [[Cell(text), Cell(coded(text))]], [f"Note {text}"]).markdown()
    table = table.replace(marked(coded(text)), coded(text))
    found = [token for token in reader.parse(table) if token.type == "inline"]
    assert [one.content for one in reader.parse(table) if one.type == "heading_open"] == [""]
    read = [[(part.type, part.content) for part in one.children or []] for one in found]
    plain = [("text", text)]
    assert read == [plain, plain, plain, plain, [("code_inline", text)], [("text", f"Note {text}")]]


def test_latex_escapes_what_it_would_read_as_commands() -> None:
    assert escaped(r"5 % & a_b {x} \y ± ~^$#") == (
        r"5 \% \& a\_b \{x\} \textbackslash{}y $\pm$ \textasciitilde{}\textasciicircum{}\$\#"
    )


def test_a_suites_name_is_its_folder_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    copy_run(tmp_path / "runs" / "mine" / "s0")
    assert main(["report", "mine", "--out", "here"]) == 0
    assert {path.name for path in tmp_path.glob("here.*")} == {"here.md", "here.tex", "here.json"}


def test_every_subject_has_its_figures(tmp_path: Path) -> None:
    """Learning by setting, scores by length, and errors by task where a setting has several."""
    for seed, model in product(range(2), ("lstm", "gru")):
        copy_run(tmp_path / f"{model}-s{seed}", seed, model=model)
    copy_run(tmp_path / "no-tests", task="repeat-copy", tests=())
    paper = {"task": "associative-recall", "recipe_name": "paper/associative-recall-ntm-lstm"}
    copy_run(tmp_path / "paper", tests=(length_test(6, 1), length_test(7, 1)), **paper)
    for task in (1, 2):
        story_run(tmp_path / f"q{task}", task)
    story_run(tmp_path / "alone", 16, recipe_name="default")
    runs = [read_run(path) for path in find_runs(tmp_path)]
    drawn = report_figures(runs, range(len(runs)))
    told = {name: " ".join(part.get_text() for part in figure.findobj(Text)) for name, figure in drawn}
    errors = "babi: errors by task, MemN2N, paper/memn2n-1k, restarts 2, tested on bAbI 1k"
    assert told.keys() == {
        *(f"{task}: learning" for task in ("copy", "repeat-copy", "associative-recall", "babi")),
        *(f"{task}: scores by length" for task in ("copy", "associative-recall")),
        errors,
    }
    assert all(words in told["copy: learning"] for words in ("LSTM, 2 runs", "GRU, 2 runs", "bits per sequence"))
    assert "paper: NTM, LSTM controller" in told["associative-recall: learning"]
    assert "published, NTM, LSTM" in told["associative-recall: scores by length"]
    assert "MemN2N PE LS RN" in told[errors]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["report"], "folder"),
        (["report", "absent"], "absent: no such folder"),
        (["report", "empty"], "empty holds no run"),
        (["report", "open"], "none of its 1 runs has ended: s0 (stopped)"),
        (["report", "whole", "--out", "absent/report"], "--out absent/report"),
        (["report", "whole", "--ot", "x"], "did you mean '--out'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    copy_run(tmp_path / "open" / "s0", ended=False)
    copy_run(tmp_path / "whole" / "s0")
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert complaint in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.rglob("report*"))


def test_scores_that_are_not_finite_are_as_bad_as_can_be(tmp_path: Path) -> None:
    for seed, wrong in enumerate([1.0, 3.0, math.nan, math.inf]):
        copy_run(tmp_path / f"s{seed}", seed, tests=(length_test(20, wrong),))
    rows = table(reported(tmp_path), "copy: bits per sequence, by length")
    assert [row["20"]["text"] for row in rows] == ["inf [25 to inf]", "inf", "10", "inf"]
    assert rows[0]["20"]["value"] == [10, 30, None, None]


def test_odd_names_break_no_table(tmp_path: Path) -> None:
    for seed, name in enumerate(["a|b <i>", "two\nlines", os.fsdecode(b"\xff")]):
        run = copy_run(tmp_path / name, seed)
        (run / "result.json").write_text(json.dumps({"command": f"train {name}", "versions": {}}))
    reported(tmp_path)
    text = (tmp_path / "report.md").read_text()
    rows = text.partition("### Runs")[2].strip().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| a\\|b &lt;i&gt;", "| two\ufffdlines", "| \ufffd"]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert "\nlines" not in (tmp_path / "report.tex").read_text()
