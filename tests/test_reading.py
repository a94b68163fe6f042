"""Text of any origin is read by one rule, and words of any script are whole."""

import io
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.base.files import UserError
from experiments.domains.text.data import read_text as read_book
from tasks.babi import BabiData, BabiError, examples_of, file_name, parse_stories
from tasks.reading import TextError, checked, lines_of, read_text, size_limit
from tasks.translation import ParallelError, read_parallel, read_tabbed
from tasks.words import answer_of, words_of
from tests.test_babi_stories import make_archive

NAMES = ["\u092e\u0940\u0928\u093e", "\u092e\u094b\u0928\u093e", "\u092e\u0941\u0928\u093e", "\u092e\u0947\u0928\u093e"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mary went_2 home.", ("mary", "went_2", "home")),
        (f"{NAMES[0]}, {NAMES[1]}!", (NAMES[0], NAMES[1])),
        ("L'\u00c9cole, l\u2019\u00e9cole 'quoted'", ("l'\u00e9cole", "l'\u00e9cole", "quoted")),
        ("\u0130stanbul Stra\u00dfe STRASSE", ("i\u0307stanbul", "strasse", "strasse")),
        ("\u0645\u06cc\u200c\u0631\u0648\u0645\u061f", ("\u0645\u06cc\u200c\u0631\u0648\u0645",)),
        ("\u2764\ufe0f ... - +", ()),
        ("c++, C# and c; a- (A+)", ("c++", "c#", "and", "c", "a-", "a+")),
        ("-5\u00b0, \u22125, 5% of $3.50.", ("-5\u00b0", "-5", "5%", "of", "$3.50")),
        ("covid-19 end.Then he said-- - 2+2", ("covid-19", "end", "then", "he", "said", "2", "2")),
        ("*bold* kitchen- -kitchen @home #one --5 +5", ("bold", "kitchen", "kitchen", "home", "one", "5", "+5")),
        ("semi\u2010final co\u00adop rock'n'roll R&B", ("semi-final", "coop", "rock'n'roll", "r", "b")),
        ("\u7b2c\u4e09.\u4e94 -\u4e09 \u00bd -\u00bd", ("\u7b2c\u4e09", "\u4e94", "\u4e09", "\u00bd", "-\u00bd")),
    ],
)
def test_words_keep_their_marks(text: str, words: tuple[str, ...]) -> None:
    for form in ("NFC", "NFD"):
        assert words_of(unicodedata.normalize(form, text)) == words


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("milk, apple", "milk,apple"),
        ("milk\u060capple", "milk,apple"),
        (f"'{NAMES[0]}'", NAMES[0]),
        ("l'E\u0301cole", "l'\u00e9cole"),
        ("New  York", "new york"),
        ("+", "+"),
        ("milk,", "milk,"),
        ("'-5'.", "-5"),
        ("C++", "c++"),
        ("semi-final", "semi-final"),
        ("*Salt* & pepper-", "salt & pepper"),
    ],
)
def test_answers_go_by_the_rule_of_words(text: str, answer: str) -> None:
    assert answer_of(text) == answer


def test_stories_of_other_scripts_and_without_supporting_facts() -> None:
    lines = [f"{k} {name} a.\n" for k, name in enumerate(NAMES, start=1)]
    text = "".join(lines) + "5 b\uff1f\tmilk, apple\n6 b\u061f\t'c'\t\n7 b?\td\t2\n"
    examples = examples_of(parse_stories(text, "text"))
    assert [fact[0] for fact in examples[0].facts] == NAMES
    assert [(one.answer, one.supports) for one in examples] == [("milk,apple", ()), ("c", ()), ("d", (1,))]


@pytest.mark.parametrize(("one", "other"), [("-5", "5"), ("c++", "c"), ("5%", "5"), ("3.5", "35"), ("A-", "A")])
def test_different_answers_stay_apart_and_equal_their_words(one: str, other: str) -> None:
    text = f"1 It is {one}.\n2 It was {other}.\n3 What is it?\t{one}\t1\n4 What was it?\t{other}\t2\n"
    first, second = examples_of(parse_stories(text, "text"))
    assert first.answer != second.answer
    assert (first.facts[0][-1], first.facts[1][-1]) == (first.answer, second.answer)


# Every reader: what it makes of a text in which each line is "Mine\tYours".


def book(path: Path) -> list[str]:
    return read_book(str(path)).splitlines()


def tabbed(path: Path) -> list[str]:
    return ["\t".join(pair) for pair in read_tabbed(path)]


def beside(path: Path) -> list[str]:
    return [pair.source.replace(" ", "\t") for pair in read_parallel(path, path)]


def typed(path: Path) -> list[str]:
    lines = lines_of(io.TextIOWrapper(io.BytesIO(path.read_bytes()), encoding="ascii"))
    return [checked(line, number) for number, line in enumerate(lines, start=1)]


READERS: list[Callable[[Path], list[str]]] = [book, tabbed, beside, typed]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks(
    reader: Callable[[Path], list[str]], end: str, mark: str, tmp_path: Path
) -> None:
    path = tmp_path / "text"
    path.write_bytes(f"{mark}a\te\u0301{end}c\td{end}".encode())
    assert reader(path) == ["a\t\u00e9", "c\td"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_marks_of_stories(end: str, tmp_path: Path) -> None:
    lines = ["1 Mary went home.", "2 Where is Mary? \thome\t1", ""]
    (tmp_path / file_name(1, "train")).write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
    assert BabiData(tmp_path).read(1) == parse_stories("\n".join(lines), "text")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a\tb\r\n\0\r\n", "line 2, byte 1: expected text, no binary file, not 0x00"),
        (b"a\tb\rc\xff\r", "line 2, byte 2: expected UTF-8 text, not 0xff"),
        (b"\xef\xbb\xbfe\xcc\x81\xff\tb\n", "line 1, byte 7: expected UTF-8 text, not 0xff"),
    ],
)
def test_what_is_refused_is_named_by_line_and_byte(
    reader: Callable[[Path], list[str]], content: bytes, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises((UserError, TextError, ParallelError), match=complaint):
        reader(tmp_path / "text")


def test_a_line_that_is_no_text_is_named_and_the_others_are_read() -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa\r\nb\xc3\xa9\xffc\rd\0\ne"), encoding="ascii")
    lines = list(lines_of(stream))
    assert [checked(lines[place], place + 1) for place in (0, 3)] == ["a", "e"]
    for number, complaint in ((2, "line 2, byte 4: .* not 0xff"), (3, "line 3, byte 2: .* not 0x00")):
        with pytest.raises(TextError, match=f"^{complaint}$"):
            checked(lines[number - 1], number)


# The limit


def test_more_than_the_limit_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMNET_MAX_MB", "1")
    name = f"en/{file_name(8, 'train')}"
    large = make_archive(tmp_path / "large.tar.gz", {name: bytes(1 << 21)})
    other = make_archive(tmp_path / "other.tar.gz", {"readme": bytes(1 << 21)})
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(1 << 21))
    for path in (large, other, tmp_path / "large.zip"):
        with pytest.raises(BabiError, match=rf"{path.name} holds more than 1 MB.*MEMNET_MAX_MB"):
            BabiData(path)
    for path in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(TextError, match=f"{path} holds more than 1 MB"):
            read_text(path)
    with pytest.raises(TextError, match="a line of the input holds more"):
        list(lines_of(io.StringIO("x" * (1 << 20) + "x")))
    monkeypatch.setenv("MEMNET_MAX_MB", "-1")
    with pytest.raises(TextError, match="MEMNET_MAX_MB must be a whole number of MB"):
        size_limit()


def test_a_zip_archive(tmp_path: Path) -> None:
    text = "1 Mary went home.\n2 Where is Mary? \thome\t1\n"
    path = tmp_path / "tasks.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"tasks/en/{file_name(1, 'train')}", text)
    assert BabiData(path).read(1) == parse_stories(text, "text")
    content = bytearray(path.read_bytes())
    content[content.index(b"Mary")] ^= 1
    path.write_bytes(content)
    with pytest.raises(BabiError, match="not a whole zip archive"):
        BabiData(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../en/x.txt", text)
    with pytest.raises(BabiError, match="may lead out of the archive"):
        BabiData(path)
