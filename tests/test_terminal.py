"""What a person sees in a real terminal of 80 or 120 columns, and in one that has few letters."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.base import terminal
from experiments.base.files import write_whole
from tasks.__main__ import main as tasks
from tests.forked import Forked
from tests.made_up_runs import copy_run, story_run
from tests.running import in_terminal

PROGRAM = """
import time
from experiments.__main__ import main
from experiments.base import progress as shown
from experiments.base.progress import Progress
for args in (["train", "copy", "--sede", "1"], ["train", "copy", "--model", "lst"], ["train", "copy", "--seed", "x"]):
    assert main(args) == 2
print("---")
with Progress(1600, title="a-long-name-of-a-run-" * 6 + "s7") as progress:
    for step in range(1, 21):
        progress.update({"step": step, "train/loss": 1 / step}, 16 * step)
        time.sleep(0.03)
shown.PATIENCE = 0.5
with shown.working("drawing"):
    time.sleep(1.2)
"""


def test_errors_are_plain_lines_and_the_time_left_is_never_cut_off() -> None:
    shown, _, code = in_terminal(PROGRAM, columns=80)
    assert code == 0, shown
    errors, _, progress = shown.partition("---")
    lines = errors.strip().splitlines()
    assert lines[:2] == [
        "error: train: no option is called --sede, did you mean '--seed'?",
        "error: no model is called 'lst', did you mean 'lstm'?",
    ]
    assert len(lines) == 3
    assert "'x'" in lines[2] or " x" in lines[2]
    assert not re.search("[\x1b│╭╮╰╯]", errors)
    drawn = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", progress))
    assert max(map(len, drawn)) <= 80
    assert "drawing ... 1s" in drawn
    assert any(re.search(r"a-long.*….*s7 .* seq/s  \d+s left", line) for line in drawn), drawn


COMMANDS = """
import contextlib, sys
from experiments.__main__ import main
from tasks.__main__ import main as tasks
helps = ["train copy", "train babi", "train text", "train translate", "train captions", "evaluate", "ask", "sample"]
helps += ["translate", "describe", "show", "summarize", "report", "benchmark", "suite", "sync", "gradients"]
helps += ["dashboard", "dashboard push", "inspect"]
runs = sys.argv[1]
tables = ["recipes", f"report {runs}", f"summarize {runs}/s0 --out {runs}/one"]
tables += [f"suite quick --shard 19/20 --list --out {runs}/quick"]
tables += ["benchmark lstm --length 2 --seconds 0.01 --backend eager"]
for command in ["", *(f"{help} --help" for help in helps), *tables]:
    with contextlib.suppress(SystemExit):
        assert main(command.split()) != 2 or not command, command
for command in ("--help", "list --help", "show --help", "write --help", "list", "show babi --task 5"):
    with contextlib.suppress(SystemExit):
        tasks(command.split())
"""


def plain(shown: str) -> list[str]:
    """The lines of what a terminal shows, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n").splitlines()


def test_helps_tables_and_sentences_fit_80_columns(tmp_path: Path) -> None:
    for seed in range(2):
        copy_run(tmp_path / f"s{seed}", seed)
    story_run(tmp_path / "q1", 1)
    shown, _, code = in_terminal(COMMANDS, str(tmp_path), columns=80)
    lines = plain(shown)
    assert code == 0, lines[-30:]
    paths = [line for line in lines if str(tmp_path) in line]
    assert [line for line in lines if len(line) > 80 and line not in paths] == []
    for words in (
        "usage: python -m experiments inspect",
        "sequences to solve",
        "quartiles",
        "memn2n-joint-10k",
        "NAME",
    ):
        assert any(words in line for line in lines), words
    assert any(line.endswith("/report.md") for line in paths)


TABLE = [
    ["network", "sequences exactly right", "mean ± sd of all restarts", "baseline"],
    ["a-long-name-of-a-run", "100 %", "12.5 ± 0.25", "1"],
    ["lstm", "-", "0.1", "1234567"],
]


@pytest.mark.parametrize("width", [None, 200, 60, 45, 30, 12])
def test_tables_fit_by_breaking_words_first(width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "room", lambda: width)
    text = terminal.columns(TABLE)
    lines = text.splitlines()
    if width is None or width >= 80:
        assert lines[1] == "a-long-name-of-a-run                    100 %                12.5 ± 0.25         1"
        assert len(lines) == 3
        return
    assert max(map(len, lines)) <= width
    assert ("(no room for" in text) == (width < 45)
    kept = [cell for row in TABLE for cell in row[: {12: 1, 30: 2}.get(width, 4)]]
    assert all(word in text for cell in kept for word in re.split(r"(?<=-)| (?![%±])(?<!± )", cell))


def test_markdown_is_shown_as_columns_in_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "### One\n\n| a | b\\|c |\n|---|---|\n| x &lt; y | - |\n\nSome words.\n"
    assert terminal.page(text) == text
    monkeypatch.setattr(terminal, "room", lambda: 8)
    assert terminal.page(text) == "### One\n\na    b|c\nx <    -\ny\n\nSome\nwords.\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "9" * 20),
        ("--steps", "9" * 20),
        ("--forget-bias", "nan"),
        ("--clip-norm", "inf"),
        ("--weight-noise", "-inf"),
        ("--num-slots", "9" * 5000),
        ("--num-layers", "1" + 12 * "0"),
        ("--resume", ""),
        ("--config", ""),
    ],
)
def test_a_number_that_cannot_be_is_one_line(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "copy", option, value]) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert option in printed.err


def test_a_model_that_no_memory_holds_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "copy", "--hidden-size", "1" + 12 * "0"]) == 2
    told = capsys.readouterr().err
    assert re.fullmatch(r"error: no such model: not enough memory(: .* were asked for at once)?; .* need less\n", told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("training: {clip_norm: .nan}", "--clip-norm must be a finite number, not nan"),
        ("training: {learning_rate: .inf}", "--learning-rate must be a finite number, not inf"),
        ("model: {name: ntm, num_layers: 1000000000000}", "--num-layers must be at most 1,000"),
        ("run: {device: ''}", "--device must not be empty"),
    ],
)
def test_numbers_in_files_are_checked_as_options_are(
    line: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"task: {{name: copy}}\n{'' if 'model' in line else 'model: {name: ntm}'}\n{line}\n")
    assert main(["train", "--config", str(path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {path}: {told}")
    assert printed.count("\n") == 1


def test_tasks_escape_letters_that_a_terminal_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    tasks(["write", "babi", "--task", "1", "--questions", "1", str(tmp_path / "ü")])
    assert shown.getvalue().endswith(b"\\xfc\n")


def test_names_and_terminals_without_letters_are_escaped(tmp_path: Path) -> None:
    write_whole(tmp_path / "text", "f\udcff.txt ü")
    assert (tmp_path / "text").read_text() == "f\\udcff.txt ü"
    name, environment = os.fsdecode(b"runs/\xff-\xc3\xbc"), os.environ | {"PYTHONIOENCODING": "ascii"}
    process = Forked("experiments", "evaluate", name, environment=environment)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert r"\udcff-\xfc" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "command"), [("tyro", "train copy"), ("numpy", "train copy"), ("yaml", "--help"), ("yaml", "")]
)
def test_without_the_extra_there_is_one_line_also_where_the_tasks_need_it(name: str, command: str) -> None:
    lacking = f"import sys; sys.modules[{name!r}] = None; from experiments.__main__ import run; sys.exit(run())"
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", lacking, *command.split()], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert process.stderr == f"error: {name} is not installed; pip install -e '.[experiments]' brings it\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [("list", True), ("show babi --task 1", True), ("show compute-sqrt", True), ("show copy", False), ("", False)],
)
def test_tasks_go_without_numpy_or_name_what_brings_it(command: str, told: bool) -> None:
    lacking = "import sys; sys.modules['numpy'] = None; import runpy; runpy.run_module('tasks', run_name='__main__')"
    line = [sys.executable, "-W", "ignore", "-c", lacking, *command.split()]
    process = subprocess.run(line, capture_output=True, text=True)
    wanted = "python -m tasks: numpy is not installed; pip install -e '.[experiments]' brings it\n" if told else ""
    assert (process.returncode, process.stderr) == (2 if told else 0, wanted)
    assert bool(process.stdout) != told


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def lacks(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="tyro")

    monkeypatch.setattr("experiments.__main__._command", lacks)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "error: tyro is not installed; pip install -e '.[experiments]' brings it\n"
