"""The README is true: its Python blocks run, and the commands it names exist."""

import re
import shlex

import pytest

from experiments.__main__ import main
from tests.running import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {})


def test_every_command_of_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"python -m experiments ([^`\n#]*)", README)
    assert len(commands) > 5
    for line in commands:
        name, *args = shlex.split(line)
        options = [one for one in args if one.startswith("--")]
        with pytest.raises(SystemExit) as end:
            main([name, *(["copy"] if name == "train" else []), "--help"])
        assert end.value.code == 0
        shown = capsys.readouterr().out
        for option in options:
            assert option in shown, f"{name} has no {option}"
