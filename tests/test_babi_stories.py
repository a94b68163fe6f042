"""The published text format, read strictly, from text, folder and archive."""

import io
import re
import tarfile
from pathlib import Path

import pytest
import torch

from tasks.babi import (
    BabiData,
    BabiError,
    Example,
    Fact,
    MissingFile,
    Question,
    examples_of,
    file_name,
    generate,
    parse_stories,
    read_babi,
    split_validation,
    write_stories,
)

TEXT = (
    "1 Mary went to the garden.\n"
    "2 Where is Mary? \tgarden\t1\n"
    "3 John took the milk there.\n"
    "4 Mary took the apple there.\n"
    "5 What is Mary carrying? \tApple,milk\t4 3\n"
    "1 John went home.\n"
    "2 Where is John? \thome\t1\n"
)
STORIES = [
    (
        Fact("Mary went to the garden."),
        Question("Where is Mary?", "garden", (0,)),
        Fact("John took the milk there."),
        Fact("Mary took the apple there."),
        Question("What is Mary carrying?", "Apple,milk", (2, 1)),
    ),
    (Fact("John went home."), Question("Where is John?", "home", (0,))),
]


def test_parse_and_write() -> None:
    assert parse_stories(TEXT, "text") == STORIES
    assert "".join(write_stories(STORIES, 8)) == TEXT
    tight = TEXT.replace("? \t", "?\t")
    assert "".join(write_stories(STORIES, 19)) == tight
    assert parse_stories(tight, "text") == STORIES


def test_examples_see_only_the_facts_before_them() -> None:
    went, took, apple = ("mary", "went", "to", "the", "garden"), ("john", "took", "the", "milk", "there"), "mary took"
    apple = ("mary", "took", "the", "apple", "there")
    assert examples_of(STORIES) == [
        Example((went,), ("where", "is", "mary"), "garden", (0,)),
        Example((went, took, apple), ("what", "is", "mary", "carrying"), "apple,milk", (2, 1)),
        Example((("john", "went", "home"),), ("where", "is", "john"), "home", (0,)),
    ]


def test_no_example_is_lost() -> None:
    for task in (3, 18, 20):
        stories = generate(task, 237, seed=0)
        assert len(examples_of(stories)) == 237
        assert examples_of(stories)[-1].question == examples_of(stories[-1:])[-1].question


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text: there is no story"),
        ("1 Mary went home.", "line 1: the last line is cut off"),
        ("1 Mary went home.\n2 Where is Mary? \tho", "line 2: the last line is cut off"),
        ("\n", "line 1: neither a fact nor a question"),
        ("1 Mary went home.\n\n2 Where is Mary? \thome\t1\n", "line 2: neither"),
        ("Mary went home.\n", "line 1: neither .* 'Mary went home.'"),
        ("1 Mary went home.\n2 Where is Mary?\n", "line 2: neither"),
        ("1 Mary went home.\n2 Where is Mary? \thome\t1\t2\n", "line 2: neither"),
        ("1 Mary went home.\n2 Mary sleeps.\thome\t1\n", "line 2: neither"),
        ("1 Mary went home.\r\n2 Where is Mary? \thome\t1\r\n", "line 1: neither"),
        ("0 Mary went home.\n", "line 1: neither"),
        ("-1 Mary went home.\n", "line 1: neither"),
        ("² Mary went home.\n", "line 1: neither"),
        ("2 Mary went home.\n", "line 1: number 2 where 1 or 1 should stand"),
        ("1 Mary went home.\n3 Where is Mary? \thome\t1\n", "line 2: number 3 where 2 or 1 should stand"),
        ("1 Mary went home.\n", "line 1: the story ends without a question"),
        ("1 A b.\n2 C? \tb\t1\n3 D e.\n1 A b.\n2 C? \tb\t1\n", "line 3: the story ends without a question"),
        ("1 Where is Mary? \thome\t1\n", "line 1: a question before any fact"),
        ("1 ...\n", "line 1: no words: '1 ...'"),
        ("1 A b.\n2 C? \t \t1\n", "line 2: no answer: ' '"),
        ("1 A b.\n2 C? \tb,\t1\n", "line 2: no answer: 'b,'"),
        ("1 A b.\n2 C? \tb\t2\n", "line 2: supporting facts .* got '2'"),
        ("1 A b.\n2 C? \tb\t1\n3 C? \tb\t2\n", "line 3: supporting facts .* got '2'"),
        ("1 A b.\n2 C? \tb\t1 \n", "line 2: supporting facts .* got '1 '"),
        ("1 A b.\n2 C? \tb\tx\n", "line 2: supporting facts .* got 'x'"),
        ("1 A b.\n2 C? \tb\t1  1\n", "line 2: supporting facts .* got '1  1'"),
    ],
)
def test_malformed_lines(text: str, message: str) -> None:
    with pytest.raises(BabiError, match=message) as caught:
        parse_stories(text, "text")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("text")


# Folder and archive


def make_folder(path: Path, folders: tuple[str, ...] = ("en", "en-10k"), text: str = TEXT) -> Path:
    for folder in folders:
        (path / folder).mkdir(parents=True)
        for split in ("train", "test"):
            (path / folder / file_name(8, split)).write_text(text)
    return path


def make_archive(path: Path, members: dict[str, bytes] | None = None, mode: str = "w:gz") -> Path:
    if members is None:
        members = {f"tasks/{folder}/{file_name(8, 'train')}": TEXT.encode() for folder in ("en", "en-10k")}
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_a_folder_its_parent_and_the_files_alone(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "up" / "tasks")
    for path in (root, root.parent, root / "en"):
        assert read_babi(path, 8) == STORIES
        assert read_babi(str(path), 8, size="10k", split="test") == STORIES
    data = BabiData(root)
    assert data.missing([8]) == []
    assert data.missing([7, 8], size="10k") == [f"en-10k/{file_name(7, split)}" for split in ("train", "test")]
    with pytest.raises(MissingFile, match=r"tasks: en-10k/qa7_counting_test.txt is missing"):
        data.read(7, size="10k", split="test")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_an_archive(mode: str, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "tasks.tar", mode=mode)
    assert read_babi(path, 8) == STORIES
    assert read_babi(path, 8, size="10k") == STORIES
    assert BabiData(path).missing([8]) == [f"en/{file_name(8, 'test')}"]
    assert [file.name for file in tmp_path.iterdir()] == ["tasks.tar"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_an_archive_cut_short_anywhere(mode: str, tmp_path: Path) -> None:
    whole = make_archive(tmp_path / "whole.tar", mode=mode).read_bytes()
    content = 2 * (512 + 512) + 512  # two members and the first of the two empty blocks behind them
    end = content if mode == "w" else len(whole)
    cut = tmp_path / "cut.tar"
    for size in [*range(0, end, max(1, end // 40)), end - 1]:
        cut.write_bytes(whole[:size])
        with pytest.raises(BabiError, match=r"cut.tar: not a whole tar archive") as caught:
            BabiData(cut)
        assert "\n" not in str(caught.value)


def test_a_damaged_archive(tmp_path: Path) -> None:
    whole = bytearray(make_archive(tmp_path / "whole.tar").read_bytes())
    path = tmp_path / "damaged.tar"
    for position in range(40, len(whole), 7):  # behind the name in gzip's header, which nothing checks
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(BabiError, match=r"damaged.tar"):
            BabiData(path).read(8)


@pytest.mark.parametrize("name", ["../en/x.txt", "/en/x.txt", "tasks/../../en/x.txt", "..", "a\\..\\b"])
def test_names_that_climb_out_are_refused(name: str, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "bad.tar.gz", {f"en/{file_name(8, 'train')}": TEXT.encode(), name: b"x"})
    with pytest.raises(BabiError, match=rf"bad.tar.gz: refused, its member {re.escape(repr(name))}"):
        read_babi(path, 8)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo(f"en/{file_name(8, 'train')}")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(BabiError, match=r"refused, its member 'en/qa8_lists-sets_train.txt'"):
        read_babi(path, 8)


def test_paths_without_data(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis.tex").write_text("precious" * 1000)
    for name, message in (
        ("none", "none: no such file or folder"),
        ("empty", "empty: no bAbI files in it, such as en/qa1_single-supporting-fact_train.txt"),
        ("thesis.tex", "thesis.tex: not a whole tar archive"),
    ):
        with pytest.raises(BabiError, match=message) as caught:
            BabiData(tmp_path / name)
        assert "\n" not in str(caught.value)
    other = make_archive(tmp_path / "other.tar", {"readme": b"x"})
    with pytest.raises(BabiError, match="no bAbI files in it"):
        BabiData(other)


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    make_folder(tmp_path, text=TEXT + "1 John \n")
    with pytest.raises(BabiError, match=rf"{tmp_path}: en/qa8_lists-sets_train.txt, line 8: neither"):
        read_babi(tmp_path, 8)
    (tmp_path / "en" / file_name(8, "train")).write_bytes(b"\xff\n")
    with pytest.raises(BabiError, match=r"en/qa8_lists-sets_train.txt, line 1, byte 1: expected UTF-8 text, not 0xff"):
        read_babi(tmp_path, 8)
    (tmp_path / "en" / file_name(8, "train")).unlink()
    (tmp_path / "en" / file_name(8, "train")).mkdir()
    with pytest.raises(BabiError, match=r"en/qa8_lists-sets_train.txt: Is a directory"):
        read_babi(tmp_path, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": 0}, "a number from 1 to 20, got 0"),
        ({"size": "100k"}, "size must be one of 1k, 10k, got '100k'"),
        ({"split": "valid"}, "split must be one of train, test, got 'valid'"),
    ],
)
def test_unusable_arguments(arguments: dict, message: str, tmp_path: Path) -> None:
    make_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_babi(tmp_path, **{"task": 8, **arguments})


# Validation


def test_split_as_published() -> None:
    examples = examples_of(generate(1, 203, seed=0))
    train, validation = split_validation(examples)
    assert train + validation == examples
    assert len(validation) == 20

    def split(seed: int) -> tuple[list[Example], list[Example]]:
        return split_validation(examples, generator=torch.Generator().manual_seed(seed))

    train, validation = split(0)
    assert len(validation) == 20
    assert validation != examples[-20:]
    assert sorted(train + validation) == sorted(examples)
    assert split(0) == (train, validation)
    assert split(1) != (train, validation)
    assert split_validation(examples, share=0) == (examples, [])
    for share in (1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="share must be at least 0 and below 1"):
            split_validation(examples, share=share)
