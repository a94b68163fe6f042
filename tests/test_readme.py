"""The README is true: its Python blocks run, and the commands it names exist."""

import re
import shlex
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.config import ALL_TASKS
from tests.running import ROOT, TINY

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the run that the README speaks of was made."""
    folder = tmp_path_factory.mktemp("checkout")
    assert main(["train", "copy", *TINY, "--steps", "2", "--out", str(folder / "runs" / "copy-ntm-s0")]) == 0
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    exec(compile(block, "README.md", "exec"), {})


def test_every_command_of_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"python -m experiments ([^`\n#]*)", README)
    assert len(commands) > 5
    for line in commands:
        name, *args = shlex.split(line)
        options = [one for one in args if one.startswith("--")]
        task = next((one for one in args if one in ALL_TASKS), "copy")
        with pytest.raises(SystemExit) as end:
            main([name, *([task] if name == "train" else []), "--help"])
        assert end.value.code == 0
        shown = capsys.readouterr().out
        for option in options:
            assert option in shown, f"{name} has no {option}"
