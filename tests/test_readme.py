"""The READMEs are true: their Python blocks run, their commands work in their order, and those they name exist."""

import io
import re
import shlex
import shutil
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

import tasks.__main__
from experiments.__main__ import main
from experiments.base.processes import Job
from experiments.config.registry import TASKS
from experiments.suite import commands, cost
from experiments.suite.queue import SuiteQueue
from experiments.training import together
from tasks.babi import file_name, generate, write_stories
from tests import story_runs, test_caption_runs, text_runs
from tests.readme_tables import TABLES, anchor, renewed
from tests.running import NO_MEMORY, ROOT, TINY

READMES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob("README.md"), *ROOT.glob("[!.]*/README.md")])
}
BLOCKS = [
    (name, block) for name, text in READMES.items() for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]
# Not run: what serves, needs a cluster or W&B, or is a benchmark. These have tests of their own.
ELSEWHERE = ("--serve", "--on", "--shard", "sync", "push", "benchmark", "speed")
# What is added to a command, or takes the place of an option's value, so that it is small.
TRANSLATION = [
    *("--sentences", "300", "--valid-sentences", "20", "--test-sentences", "5", "--hidden-size", "6"),
    *("--embedding-size", "5", "--batch-size", "8", "--steps", "2", "--solved-at", "None", "--tracker", "none"),
]
SMALL = {
    "train --resume": [],
    "train babi --model my.py:MyModel": story_runs.TINY,
    "train babi --task 16": [*story_runs.TINY[4:], *story_runs.MEMN2N, "--restarts", "1"],
    "train babi --task 1 --model": story_runs.TINY,
    "train babi": [*story_runs.TINY, *story_runs.MEMN2N],
    "train text": [*text_runs.TINY, "--steps", "2"],
    "train translate": TRANSLATION,
    "train captions": test_caption_runs.TINY,
    "train moving-captions": test_caption_runs.TINY,
    "train caption-story": test_caption_runs.TINY,
    "train copy --model lstm": [*NO_MEMORY, "--steps", "2"],
    "train my.py:MyTask --model my.py:MyModel": [*NO_MEMORY[2:], "--steps", "2"],
    "train": [*TINY, "--steps", "2", "--backend", "eager"],
    "evaluate": ["--length", "5", "--num-slots", "20", "--sequences", "2"],
    "show runs": ["--length", "3"],
    "sample": ["--length", "5"],
    "write": ["--stories", "4"],
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the run that the README speaks of was made."""
    folder = tmp_path_factory.mktemp("checkout")
    assert (
        main(["train", "copy", *TINY, "--steps", "2", "--out", str(folder / "runs" / "copy-ntm-feedforward-s0")]) == 0
    )
    return folder


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[f"{name}, {place}" for place, (name, _) in enumerate(BLOCKS)])
def test_python_blocks_run(name: str, block: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    exec(compile(block, name, "exec"), {})


def test_every_command_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {line for text in READMES.values() for line in re.findall(r"python -m experiments ([^`\n#]*)", text)}
    assert len(commands) > 40
    helps: dict[tuple[str, ...], str] = {}
    for line in sorted(commands):
        name, *args = shlex.split(line)
        options = [one for one in args if one.startswith("--")]
        if any(one.partition(":")[0] in FILES for one in args):
            continue  # they are run, see below
        task = next((one for one in args if one in TASKS), "copy")
        command = (name, task) if name == "train" else (name,)
        if command not in helps:
            with pytest.raises(SystemExit) as end:
                main([*command, "--help"])
            assert end.value.code == 0
            helps[command] = capsys.readouterr().out
        for option in options:
            assert option in helps[command], f"{name} has no {option}"


# Files that a block is, by the name in its first line.
FILES = {found[1]: block for _, block in BLOCKS if (found := re.match(r"# (\w+\.py)\b", block))}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with what a reader brings, in which jobs are quick, and figures are not drawn to the end."""
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("the cat sat on the mat, and the dog did not.\n" * 80)
    for name in ("a", "b"):
        Path(f"{name}.txt").write_text("".join(f"{name} {name}{one % 13} {name}{one}\n" for one in range(60)))
    Image.new("RGB", (40, 30)).save("mine.png")
    for name, block in FILES.items():
        Path(name).write_text(block)
    with tarfile.open("tasks_1-20_v1-2.tar.gz", "w:gz") as archive:
        for split in ("train", "test"):
            text = "".join(write_stories(generate(16, 60, seed=0, split=split), 16)).encode()
            entry = tarfile.TarInfo(f"tasks_1-20_v1-2/en/{file_name(16, split)}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"quit\n")))
    monkeypatch.setattr(Figure, "savefig", lambda figure, place, **_: place.write(b"a picture"))
    monkeypatch.setattr(cost, "_seconds", lambda *_: 1.0)

    def run_jobs(jobs: Sequence[Job], at_once: int, tell: Callable[[Job, int], None], *_: Any) -> None:
        for job in jobs:
            tell(job, main(job.command[3:]))

    def run_queue(queue: SuiteQueue, *_: Any) -> None:
        while (job := queue.take()) is not None:
            shutil.copytree("runs/copy-lstm-s0", queue.folder.path / job.name)
            queue.ended(job, 0)

    monkeypatch.setattr(together, "run_jobs", run_jobs)
    monkeypatch.setattr(commands, "run_queue", run_queue)


def small(name: str, args: list[str]) -> list[str]:
    """The arguments of a command, patterns of files as a shell replaces them, with sizes for a test."""
    given = [path for one in args for path in (sorted(map(str, Path().glob(one))) if "*" in one else [one])]
    few = ["2" if before == "--seeds" else one for before, one in zip(["", *given], given, strict=False)]
    more = next((more for start, more in SMALL.items() if " ".join([name, *given]).startswith(start)), [])
    return [name, *few, *more]


def commands_of(text: str) -> list[list[str]]:
    """Every command of a README's shell blocks, in order, without those that have tests of their own."""
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in re.findall(r"python -m ((?:experiments|tasks) .*)", block)
    ]
    every = [shlex.split(line, comments=True) for line in lines]
    return [command for command in every if not set(command) & set(ELSEWHERE)]


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("name", [name for name, text in READMES.items() if commands_of(text)])
def test_the_commands_work_in_their_order(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for package, command, *args in commands_of(READMES[name]):
        program: Callable[[list[str]], int | None] = main if package == "experiments" else tasks.__main__.main
        code = program(small(command, args))
        assert not code, f"{shlex.join([package, command, *args])}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", TABLES)
def test_the_tables_of_models_and_tasks_are_those_of_the_registry(page: str) -> None:
    assert renewed(page) == READMES[page], "python -m tests.readme_tables puts the new ones there"


def test_the_first_page_is_short() -> None:
    assert READMES["README.md"].count("\n") <= 130


@pytest.mark.parametrize("page", READMES)
def test_links_lead_somewhere(page: str) -> None:
    """To a file or folder, and to a heading of it."""
    prose = re.sub(r"```.*?```", "", READMES[page], flags=re.DOTALL)
    for place, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", prose):
        path = (ROOT / page).parent / place if place else ROOT / page
        assert path.exists(), place
        if heading:
            found = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert [anchor(one) for one in found].count(heading) == 1, f"{place}#{heading}"
