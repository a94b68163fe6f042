"""The dashboard reads whatever lies in a folder, tells it truly, and writes one page that needs nothing else."""

import fcntl
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.base.curves import Curve, band, smoothed, thinned
from experiments.config.form import from_yaml
from experiments.dashboard.collect import Collector
from experiments.dashboard.command import page
from experiments.dashboard.look import LOOKS, SPARE, looks
from experiments.domains.sequences.models import make_model
from experiments.domains.sequences.pictures import draw_run
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder, is_locked
from experiments.runs.reading import find_runs, read_run
from experiments.training import pictures
from experiments.web.document import to_json
from tasks import TASKS
from tests.dashboard_page import Reader, data_of
from tests.figure_parts import words
from tests.made_up_runs import copy_run, length_test, made_up_run, metrics, story_run, suite, world_run

Capture = pytest.CaptureFixture[str]


def collected(folder: Path) -> dict[str, Any]:
    """What the page would read."""
    content: dict[str, Any] = json.loads(to_json(Collector(folder, folder).read()), parse_constant=refuse)
    return content


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file's time and size."""
    found = (path.stat() for path in sorted(folder.rglob("*")))
    return {f"{number}": (state.st_mtime_ns, state.st_size) for number, state in enumerate(found)}


def by_name(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {run["name"]: run for run in data["runs"]}


def test_a_suite_in_numbers(tmp_path: Path) -> None:
    data = collected(suite(tmp_path))
    assert [run["status"] for run in data["runs"]].count("done") == 8
    assert by_name(data)["copy-stopped"]["status"] == "stopped"
    group = next(one for one in data["groups"] if one["subject"] == "copy" and len(one["runs"]) == 3)
    assert (group["model"], group["solved"], group["to_solve"]) == ("ntm-feedforward", 3, 2400)
    assert data["runs"][group["best"]["run"]]["name"] == "copy-s0"
    assert group["curves"]["valid"]["middle"] == [80, 21, 1, 0.2]
    assert group["curves"]["valid"]["low"] == [80, 20.5, 1, 0.15]
    assert group["tests"][0]["x"] == [20, 40, 80]
    assert group["tests"][0]["scores"]["bit_error_rate"]["middle"] == [0, 0.01, 0.2]
    run = by_name(data)["copy-s1"]
    assert (run["exact_to"], run["exact_of"], run["valid"], run["unit"]) == (20, 100, 0.2, "bits")
    assert run["test"] == {"value": 0, "words": "% exactly right at 80"}
    assert run["figures"] == ["figures/learning-curve.png"]
    assert set(data["models"]) == {"ntm-feedforward", "lstm", "memn2n", "entnet"}


def test_a_setting_is_told_by_what_differs_from_its_recipe(tmp_path: Path) -> None:
    for seed, slots in ((0, 128), (1, 128), (0, 64)):
        copy_run(tmp_path / f"s{seed}-{slots}", seed, num_slots=slots, threads=1 + seed)
    groups = collected(tmp_path)["groups"]
    assert {one["setting"]: len(one["runs"]) for one in groups} == {"": 2, "num slots 64": 1}
    assert {one["dash"] for one in groups} == {0, 1}


def test_half_written_runs_are_shown_as_such_beside_the_others(tmp_path: Path) -> None:
    copy_run(tmp_path / "good")
    torn = {
        "config.yaml": "task: copy\nseed: [",
        "result.json": '{"command": "tra',
        "evaluation.json": "{}",
        "metrics.jsonl": 'not json\n{"step": 1}\n',
    }
    for name, content in torn.items():
        (copy_run(tmp_path / f"torn-{name}") / name).write_text(content)
    (copy_run(tmp_path / "lost") / "config.yaml").unlink()
    (copy_run(tmp_path / "foreign") / "about.json").unlink()
    (copy_run(tmp_path / "other") / "about.json").write_text('{"format": 7}')
    (copy_run(tmp_path / "bytes") / "result.json").write_bytes(b"\xff\xfe{}")
    before = states(tmp_path)
    runs = by_name(collected(tmp_path))
    assert states(tmp_path) == before
    assert runs.pop("good")["status"] == "done"
    assert len(runs) == 8
    for name, run in runs.items():
        assert run["status"] == "damaged", name
        assert len(run["troubles"]) == 1, (name, run["troubles"])
    for name in torn:
        assert name in runs[f"torn-{name}"]["troubles"][0]
    # What can be read of them is still there.
    assert runs["torn-evaluation.json"]["to_solve"] == 2400


def test_a_run_that_goes_on_is_running_and_nobody_is_disturbed(tmp_path: Path) -> None:
    run = copy_run(tmp_path / "run", ended=False)
    (run / "metrics.jsonl").write_text(metrics([3.0, 2.0]) + '{"step": 150, "seq')
    assert read_run(run).status == "stopped"
    assert not (run / ".lock").exists()
    with (run / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(run)
        found = read_run(run)
        assert (found.status, found.valid["step"], found.troubles) == ("running", 100, ())
    assert read_run(run).status == "stopped"


def test_a_run_before_its_first_row(tmp_path: Path) -> None:
    run = copy_run(tmp_path / "run", ended=False)
    (run / "metrics.jsonl").write_text("")
    copied = by_name(collected(tmp_path))["run"]
    assert (copied["status"], copied["valid"], copied["sequences"]) == ("stopped", None, None)
    (run / "metrics.jsonl").unlink()
    assert collected(tmp_path)["groups"][0]["curves"] == {"valid": None, "train": None}


def test_values_that_are_not_finite_are_null(tmp_path: Path) -> None:
    copy_run(tmp_path / "s0", 0, (80.0, "Infinity", "NaN"), ended=False)
    copy_run(tmp_path / "s1", 1, (80.0, 40.0, 20.0), tests=(length_test(20, math.nan),))
    data = collected(tmp_path)
    assert by_name(data)["s0"]["status"] == "diverged"
    assert by_name(data)["s0"]["valid"] is None
    assert by_name(data)["s0"]["curves"]["valid"][1] == [80, None, None]
    # Half of the seeds are worse than any number.
    assert data["groups"][0]["curves"]["valid"]["middle"] == [80, None, None]
    assert data["groups"][0]["curves"]["valid"]["low"][2] is None
    assert data["groups"][0]["best"]["value"] == 20


def test_a_solved_run_counts_before_it_ends(tmp_path: Path) -> None:
    run = copy_run(tmp_path / "run", ended=False)
    rows = [{"step": k, "sequences": 16 * k, "valid/wrong_bits_per_sequence": 1 / 10**k} for k in range(1, 5)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert by_name(collected(tmp_path))["run"]["to_solve"] == 48


def test_published_numbers_stand_only_beside_their_own_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the dashboard, in results and in pictures of runs."""
    paper = {"task": "associative-recall", "recipe_name": "paper/associative-recall-ntm-lstm"}
    copy_run(tmp_path / "paper", **paper)
    copy_run(tmp_path / "longer", steps=10, **paper)
    copy_run(tmp_path / "wider", hidden_size=200, **paper)
    copy_run(tmp_path / "own", task="associative-recall")
    data = collected(tmp_path)
    beside = {data["runs"][one["runs"][0]]["name"]: one for one in data["groups"]}
    for name, shown in (("paper", True), ("longer", True), ("wider", False), ("own", False)):
        assert bool(beside[name]["published"]) is shown, name
        papers = {"score": "bits_per_sequence", "x": [6, 10, 15, 20], "y": [0.075, 1.8, 4.74, 6.99]}
        assert (beside[name]["published_tests"] == papers) is shown
        out = tmp_path / "result"
        assert main(["summarize", str(tmp_path / name), "--out", str(out)]) == 0
        text, result = out.with_suffix(".md").read_text(), json.loads(out.with_suffix(".json").read_text())
        assert ("bits per sequence at 6: 0.075" in text) is bool(result["published"]["tests"]) is shown
        assert ("with other settings than these" in text) is not shown
        assert [value for _, value in result["curves"]["seed 0"]] == [80.0, 20.0, 1.0, 0.1]
        drawn: list[str] = []
        monkeypatch.setattr(pictures, "save_figure", lambda figure, _, drawn=drawn: drawn.append(words(figure)))
        config = from_yaml(RunFolder(tmp_path / name).config)
        task = TASKS[config.task.name]()
        draw_run(RunFolder(tmp_path / name), read_about(tmp_path / name), make_model(config), task, config, [2])
        assert any("paper: " in text for text in drawn) is shown


def test_stories_by_task_with_the_papers_errors(tmp_path: Path) -> None:
    for task in (1, 2):
        story_run(tmp_path / f"q{task}", task)
        story_run(tmp_path / f"q{task}-again", task, (2.0, 1.0), seed=1)
    story_run(tmp_path / "generated", 1, stories="generated 1k")
    story_run(tmp_path / "wide", 1, embedding_size=50)
    data = collected(tmp_path)
    (named,) = data["tables"]
    columns = {data["runs"][one["runs"][0]]["name"]: one for one in named["columns"]}
    column = columns["q1"]
    # Among all restarts of both seeds the one with the lowest training error, the first among equals.
    assert column["cells"]["1"]["chosen"] == 4
    assert (column["cells"]["1"]["mean"], column["cells"]["1"]["best"], column["cells"]["1"]["restarts"]) == (
        4.75,
        1,
        4,
    )
    assert column["published"]["name"] == "MemN2N PE LS RN"
    assert column["published"]["errors"] == {"1": 0, "2": 8.3}
    assert columns["generated"]["published"] is None
    assert columns["wide"]["published"] is None
    assert by_name(data)["q1"]["test"] == {"value": 4, "words": "% wrong"}


@pytest.mark.parametrize(
    "damage",
    [
        {"each": {"error_percent": [1.0]}},
        {"each": {"error_percent": "x"}},
        {"at": {"task": 21}},
        {"at": {}},
        {"on": 3},
        {"each": {"error_percent": [1, math.nan]}},
    ],
)
def test_a_test_that_no_run_leaves_is_no_column(tmp_path: Path, damage: dict[str, Any]) -> None:
    run = story_run(tmp_path / "q1", 1)
    row = json.loads((run / "evaluation.json").read_text())[0] | damage
    (run / "evaluation.json").write_text(json.dumps([row]))
    assert collected(tmp_path)["tables"] == []


def test_those_that_read_word_by_word_stand_apart(tmp_path: Path) -> None:
    story_run(tmp_path / "a-lstm", 1, (1.0,), recipe_name="paper/lstm-1k")
    story_run(tmp_path / "b-memn2n", 1)
    ((columns,),) = ([table["columns"]] for table in collected(tmp_path)["tables"])
    assert [(column["model"], column["by_word"]) for column in columns] == [("memn2n", False), ("lstm", True)]


def test_errors_of_the_world_model_by_length(tmp_path: Path) -> None:
    for seed in range(3):
        world_run(tmp_path / f"s{seed}", seed, (1.0 + seed, 10.0, 40.0))
    [group] = collected(tmp_path)["groups"]
    assert (group["subject"], group["unit"], group["solved"]) == ("world-model", "%", None)
    assert group["tests"][0]["x"] == [10, 20, 30]
    assert group["tests"][0]["scores"] == {
        "error_percent": {"low": [1.5, 10, 40], "middle": [2, 10, 40], "high": [2.5, 10, 40]}
    }


def test_names_are_data_and_never_markup(tmp_path: Path) -> None:
    name = "a\"b'</script><!--<b>&amp;\u2028 über 记忆"
    copy_run(tmp_path / name)
    document = page(Collector(tmp_path, tmp_path).read())
    assert name not in document
    assert by_name(data_of(document))[name]["path"] == name


def test_the_file_is_whole_and_needs_nothing_else(tmp_path: Path, capsys: Capture) -> None:
    suite(tmp_path / "runs")
    assert main(["dashboard", str(tmp_path / "runs")]) == 0
    out = tmp_path / "runs" / "dashboard.html"
    assert capsys.readouterr().out == f"{out}\n"
    document = out.read_text()
    reader = Reader()
    reader.feed(document)
    reader.close()
    assert reader.open == []
    assert all(re.fullmatch(r"#\w+|data:,", address) for address in reader.addresses), reader.addresses
    own = [text for known, text in reader.scripts if known.get("id") != "library"]
    assert not any(re.search(r"https?://(?!www\.w3\.org/2000/svg)", text) for text in own)
    assert "%%" not in document.split('id="library"')[0]
    # Elsewhere, and again over the old one; links lead from there to the runs.
    other = tmp_path / "page.html"
    for _ in range(2):
        assert main(["dashboard", str(tmp_path / "runs"), "--out", str(other)]) == 0
    assert by_name(data_of(other.read_text()))["stories/q1"]["path"] == "runs/stories/q1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "runs"]


def test_one_run_alone_is_a_page_too(tmp_path: Path) -> None:
    run = copy_run(tmp_path / "run")
    assert main(["dashboard", str(run)]) == 0
    assert by_name(data_of((run / "dashboard.html").read_text()))["run"]["path"] == "."


def test_the_trackers_and_hidden_folders_hold_no_runs(tmp_path: Path) -> None:
    for name in ("s10", "s2", "wandb/files", ".old/run", "s2/deeper"):
        copy_run(tmp_path / name)
    assert find_runs(tmp_path) == [tmp_path / "s2", tmp_path / "s10"]


def refused(capsys: Capture, *args: object) -> str:
    """The one line that a mistake gets."""
    assert main(["dashboard", *map(str, args)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch("error: [^\n]+\n", printed.err), printed.err
    return printed.err


def test_bad_input_gets_one_line_and_keeps_the_old_page(tmp_path: Path, capsys: Capture) -> None:
    runs = suite(tmp_path / "runs")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "dashboard.html").write_text("old")
    (tmp_path / "file").write_text("")
    assert "no/such" in refused(capsys, "no/such")
    assert "file" in refused(capsys, tmp_path / "file")
    assert "config.yaml" in refused(capsys, tmp_path / "foreign")
    (tmp_path / "foreign" / "config.yaml").write_text("task: copy\nseed: x\n")
    assert "has no about.json: it is no run, or one of memnet 0.1" in refused(capsys, tmp_path / "foreign")
    assert (tmp_path / "foreign" / "dashboard.html").read_text() == "old"
    (copy_run(tmp_path / "torn") / "result.json").write_text("{")
    assert "result.json" in refused(capsys, tmp_path / "torn")
    assert "--out" in refused(capsys, runs, "--out", tmp_path / "no" / "page.html")
    assert "--out" in refused(capsys, runs, "--out", tmp_path)
    assert "--sevre" in refused(capsys, runs, "--sevre")
    assert "--port" in refused(capsys, runs, "--serve", "--port", 70000)
    assert "--serve" in refused(capsys, runs, "--serve", "--out", tmp_path / "page.html")
    assert not (runs / "dashboard.html").exists()


def test_a_half_written_run_is_told_and_the_page_written(tmp_path: Path, capsys: Capture) -> None:
    suite(tmp_path)
    (tmp_path / "copy-s0" / "result.json").write_text("{")
    assert main(["dashboard", str(tmp_path)]) == 0
    assert "result.json" in capsys.readouterr().err
    assert (tmp_path / "dashboard.html").is_file()


def test_thin_curves_keep_their_extremes() -> None:
    curve: Curve = [(float(k), math.sin(k / 50) + (100 if k == 777 else 0)) for k in range(5000)]
    thin = thinned(curve)
    assert len(thin) <= 122
    assert set(thin) <= set(curve)
    assert (777.0, curve[777][1]) in thin
    assert min(y for _, y in thin) == min(y for _, y in curve)
    assert thin[0] == curve[0]
    assert thin[-1] == curve[-1]
    assert thinned(curve[:100]) == curve[:100]
    curve[2500] = (2500.0, math.nan)
    assert any(math.isnan(y) for _, y in thinned(curve))


def test_a_band_of_many_long_curves_is_small_and_true() -> None:
    generator = np.random.default_rng(0)
    curves = [[(float(k), seed + generator.normal()) for k in range(1000 + seed)] for seed in range(101)]
    found = band([smoothed(curve) for curve in curves])
    assert found is not None
    assert len(found["x"]) <= 150
    for name, middle in (("low", 25), ("middle", 50), ("high", 75)):
        assert np.abs(np.array(found[name], dtype=float) - middle).max() < 2, name
    diverged = [[(0.0, 1.0), *((float(k), 2.0) for k in range(1, 400)), (400.0, math.nan)]]
    assert band([smoothed(one) for one in diverged])["middle"][-1] is None  # type: ignore[index]
    assert band([[], []]) is None


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite(tmp_path)
    collector = Collector(tmp_path, tmp_path)
    collector.read()
    before = collector.version()
    assert collector.version() == before
    (tmp_path / "copy-stopped" / "metrics.jsonl").write_text(metrics([1.0, 2.0, 3.0]))
    assert collector.version() != before
    read: list[str] = []
    monkeypatch.setattr("experiments.dashboard.collect.read_run", lambda path: read.append(path.name) or read_run(path))
    assert by_name(collector.read())["copy-stopped"]["valid"] == 3
    assert read == ["copy-stopped"]


def test_models_look_different() -> None:
    for place in range(3):
        known = [look[place] for look in LOOKS.values()]
        assert len(set(known)) == len(known)
    others = {f"model-{number}": f"Model {number}" for number in range(3 * len(SPARE))}
    given = looks({"lstm": "LSTM", **others})
    assert given["lstm"] == ("LSTM", *LOOKS["lstm"])
    assert len({look[1:] for look in given.values()}) == len(given)


def test_a_score_that_is_not_finite_counts_as_the_worst(tmp_path: Path) -> None:
    for seed, wrong in enumerate([0.0, 4.0, math.nan, math.inf]):
        copy_run(tmp_path / f"s{seed}", seed, tests=(length_test(20, wrong),))
    (group,) = collected(tmp_path)["groups"]
    scores = group["tests"][0]["scores"]["wrong_bits_per_sequence"]
    assert scores == {"low": [3], "middle": [None], "high": [None]}


def test_numbers_that_no_run_leaves_are_left_out(tmp_path: Path) -> None:
    copy_run(tmp_path / "s0", tests=(length_test(20, 1), length_test(20, 5, at={"length": "all"})))
    run = copy_run(tmp_path / "s1", 1, tests=(length_test(20, 3, scores={"loss": 2.0}),))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1, "sequences": 10**18, "valid/bits_per_sequence": "x"}) + "\n")
    (group,) = collected(tmp_path)["groups"]
    assert [test["x"] for test in group["tests"]] == [[20]]
    assert group["curves"]["valid"]["x"][-1] == 3.2


def test_a_run_of_which_nobody_here_knows_model_or_task_is_shown_whole(tmp_path: Path) -> None:
    for seed in range(2):
        made_up_run(tmp_path / "runs" / f"s{seed}", seed)
    copy_run(tmp_path / "runs" / "copy")
    data = collected(tmp_path / "runs")
    run = by_name(data)["s0"]
    assert (run["family"], run["subject"], run["seed"], run["unit"]) == ("escape", "escape, 5 x 5", 0, "steps")
    assert (run["status"], run["to_solve"], run["valid"], run["setting"]) == ("done", 640, 4, "width 24")
    assert run["test"] == {"value": 6, "words": "% lost"}
    (group,) = (one for one in data["groups"] if one["family"] == "escape")
    assert (group["solved"], group["curves"]["valid"]["middle"]) == (2, [40, 4])
    (named,) = data["tables"]
    assert named["tasks"] == [["easy", "without a loop"], ["hard", "with loops"]]
    (column,) = named["columns"]
    assert {task: (cell["mean"], cell["restarts"]) for task, cell in column["cells"].items()} == {
        "easy": (2.5, 2),
        "hard": (10.5, 2),
    }
    words, *look = data["models"]["walker"]
    assert words == "Random walker"
    assert look not in [list(known) for known in LOOKS.values()]


def test_the_page_is_the_same_in_a_locale_of_few_letters() -> None:
    shown = "from experiments.dashboard.command import page; from hashlib import sha256 as of; "
    shown += "print(of(page({}).encode()).hexdigest())"
    few = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line = [sys.executable, "-W", "ignore", "-c", shown]
    process = subprocess.run(line, env=few, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == hashlib.sha256(page({}).encode()).hexdigest()
