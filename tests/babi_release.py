"""Where the released bAbI data lies, for the tests that need it; they say so and skip where it does not."""

import os
import tarfile
from functools import cache
from pathlib import Path

import pytest

from tasks.babi import BabiData, Story, file_name, parse_stories
from tests.running import ROOT

DATA = Path(os.environ.get("MEMNET_BABI") or ROOT.parent / "shared/data/tasks_1-20_v1-2.tar.gz")
needs_release = pytest.mark.skipif(not DATA.exists(), reason=f"the bAbI release is not at {DATA}; set MEMNET_BABI")


@cache
def release() -> BabiData:
    return BabiData(DATA)


@cache
def released(task: int, split: str) -> list[Story]:
    """The en-10k stories of a task; of task 3's training part, which our copy lacks, what is at hand."""
    if file_name(task, split) not in {Path(name).name for name in release().missing([task], size="10k")}:
        return release().read(task, size="10k", split=split)
    recovered = DATA.with_name("qa3_partial_en-10k_train_1925q.txt")
    if recovered.exists():
        return parse_stories(recovered.read_text(), recovered.name)
    return release().read(task, split=split)


@cache
def raw() -> dict[str, bytes]:
    """The bytes of every file by folder and name, read without the toolkit."""
    if DATA.is_dir():
        return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in DATA.rglob("qa*.txt")}
    with tarfile.open(DATA) as archive:
        files = [member for member in archive if member.isfile()]
        return {"/".join(file.name.split("/")[-2:]): archive.extractfile(file).read() for file in files}
