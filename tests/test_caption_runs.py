"""Runs on captions as a person starts them: what they leave, what is told, and what cannot be."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch.nn import functional

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.config.command_line import parse_train
from experiments.config.form import Config
from experiments.dashboard.collect import Collector
from experiments.domains.captions.models import make_model
from experiments.domains.captions.picture_files import MOST_PIXELS, read_picture
from experiments.domains.captions.testing import caption_losses, judge_tests, measure
from experiments.domains.captions.training import CaptionObjective
from experiments.figures.captions import Card, captions_figure
from experiments.inspector.command import open_runs
from experiments.runs.about import read_about
from experiments.runs.folder import RunFolder
from experiments.runs.handover import outcome
from experiments.runs.metrics import read_metrics, read_rows
from experiments.training.loading import load_run
from experiments.training.running import make_trainer
from experiments.training.together import choose_way
from tasks.captions import WORLDS, CaptionBatch, Captions
from tests.figure_parts import beyond
from tests.test_command_line import refused
from tests.test_inspector import unpack
from tests.test_training import assert_same_run, die_at, go_on
from tests.unpainted import drawn

Capture = pytest.CaptureFixture[str]

TINY = [
    *("--steps", "12", "--batch-size", "4", "--hidden-size", "8", "--feature-size", "8", "--embedding-size", "5"),
    *("--filters", "2", "--valid-scenes", "6", "--test-scenes", "20", "--log-every", "3", "--valid-every", "6"),
    *(
        "--checkpoint-every",
        "4",
        "--cooldown-steps",
        "6",
        "--curriculum-steps",
        "6",
        "--warmup-steps",
        "3",
        "--picture-every",
        "6",
        "--tracker",
        "none",
    ),
]
MODELS: dict[str, list[str]] = {
    "captions": ["--model", "lstm", "--num-layers", "2"],
    "moving-captions": ["--model", "attention", "--controller", "gru"],
    "caption-story": ["--model", "attention"],
}


def train(folder: Path, task: str, *more: object) -> int:
    return main(["train", task, *TINY, *MODELS[task], "--out", str(folder), *map(str, more)])


def config_of(task: str, *more: object) -> Config[Any]:
    return parse_train([task, *TINY, *MODELS[task], *map(str, more)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small finished run on each world."""
    folder = tmp_path_factory.mktemp("runs")
    with drawn():
        for task in WORLDS:
            assert train(folder / task, task) == 0
    return {task: folder / task for task in WORLDS}


@pytest.mark.parametrize("task", WORLDS)
def test_a_run_leaves_everything(task: str, runs: dict[str, Path]) -> None:
    run = runs[task]
    rows = read_metrics(run / "metrics.jsonl")
    assert rows[-1]["step"] == 12
    assert rows[-1]["sequences"] == 48
    assert {"train/loss", "valid/loss", "valid/error_percent", "gradient/encoder"} <= rows[-1].keys()
    assert ("entropy/attention" in rows[-1]) == ((run / "figures" / "training").exists()) == (task != "captions")
    tests = json.loads((run / "evaluation.json").read_text())
    scenes = {row["at"]["part"]: row["count"] for row in tests}
    assert scenes.pop("greedy") == scenes.pop("sampled") == 20
    if task == "moving-captions":
        assert not scenes
    else:
        assert set(scenes) == {"greedy-1-thing", "greedy-2-things"}
        assert sum(scenes.values()) == 20
    for row in tests:
        scores, count = row["scores"], row["count"]
        assert sum(scores[name] for name in ("right", "grammar", "name", "false", "untold")) == count
        assert scores["error_percent"] == 100 * (1 - scores["right"] / count)
    result = json.loads((run / "result.json").read_text())
    found = outcome(read_about(run), tests, result)
    assert found == {f"test/error_percent/{row['at']['part']}": row["scores"]["error_percent"] for row in tests}
    answers = read_rows(run / "answers.jsonl")
    assert len(answers) == 20
    assert {"scene", "caption", "right", "fault", "reason"} == answers[0].keys()
    assert {path.stem for path in (run / "figures").glob("*.png")} == {"captions", "learning-curve", "wrong"}


def test_a_killed_run_goes_on_bit_for_bit(runs: dict[str, Path], tmp_path: Path) -> None:
    config = config_of("moving-captions", "--out", tmp_path / "killed")
    die_at(make_trainer(config, RunFolder.create(config), "id"), 9)
    go_on(make_trainer(parse_train(["--resume", str(tmp_path / "killed")]), RunFolder(tmp_path / "killed"), "id"))
    assert_same_run(runs["moving-captions"], tmp_path / "killed")


def test_scenes_get_more_things(tmp_path: Path) -> None:
    config = config_of("captions", "--out", tmp_path / "run", "--things", "3", "--curriculum-steps", "10")
    objective = CaptionObjective(config, config.learned)
    assert [objective.most_things(step) for step in range(12)] == [1] * 5 + [2] * 5 + [3] * 2
    config = config_of("moving-captions", "--out", tmp_path / "none", "--things", "2", "--curriculum-steps", "0")
    assert CaptionObjective(config, config.learned).most_things(0) == 2


def test_losses_are_those_of_the_right_words() -> None:
    """By a loop over words, after a caption alone."""
    config = config_of("captions")
    model, world = make_model(config).eval(), config.learned
    _, batch = world.sample(5, part="valid", seed=3)
    losses, words = caption_losses(model, batch)
    for row in range(5):
        caption = [int(word) for word in batch.captions[row] if word]
        assert words[row] == len(caption) + 1
        image, numbers = torch.from_numpy(batch.images[row : row + 1]), torch.tensor([caption])
        chances = functional.softmax(model(image, numbers)[0].detach(), -1)
        expected = -sum(float(chances[place, word].log()) for place, word in enumerate([*caption, 0]))
        assert losses[row].item() == pytest.approx(expected, rel=1e-5)


def test_what_the_judge_says_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With captions put in the place of the model's: right ones, and every fourth cut short."""
    world = config_of("captions").learned
    model = make_model(config_of("captions"))
    drawn: list[list[str]] = []
    sample = Captions.sample

    def noted(self: Captions, count: int, **options: Any) -> tuple[list[Any], CaptionBatch]:
        scenes, batch = sample(self, count, **options)
        drawn[:] = [self.decode(caption) for caption in batch.captions]
        for caption in drawn[::4]:
            caption.pop()
        return scenes, batch

    monkeypatch.setattr(Captions, "sample", noted)
    monkeypatch.setattr("experiments.domains.captions.testing.captions_of", lambda *_: drawn)
    told: list[int] = []
    rows, described = judge_tests(model, world, 120, 0, told.append)
    assert told == [100, 120]
    told = [row["scores"] for row in rows]
    assert [(one["right"], one["grammar"], one["error_percent"]) for one in told[:2]] == [(90, 30, 25.0)] * 2
    assert [sum(one[name] for one in told[2:]) for name in ("right", "grammar")] == [90, 30]
    assert sum(row["count"] for row in rows[2:]) == 120
    assert [one.verdict.right for one in described[:5]] == [False, True, True, True, False]
    assert measure(model, world, 40)["error_percent"] == 25


def test_evaluate_show_and_describe(runs: dict[str, Path], tmp_path: Path, capsys: Capture) -> None:
    run = runs["captions"]
    own = (run / "evaluation.json").read_text()
    assert main(["evaluate", str(run)]) == 0
    assert json.loads((run / "evaluation.json").read_text()) == json.loads(own)
    assert main(["evaluate", str(run), "--seed", "1", "--scenes", "10"]) == 0
    assert {row["at"]["seed"] for row in json.loads((run / "evaluation.json").read_text())} == {0, 1}
    (run / "evaluation.json").write_text(own)
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    assert capsys.readouterr().out.split() == [
        str(run / "figures" / f"{name}.png") for name in ("learning-curve", "captions", "wrong")
    ]
    for task, folder in runs.items():
        out = tmp_path / f"{task}.png"
        assert main(["describe", str(folder), "--scenes", "3", "--out", str(out)]) == 0
        told = capsys.readouterr().out
        assert len(re.findall(r"^scene \d: (right|wrong, .+)$", told, re.M)) == 3
        assert told.endswith(f"figure {out}\n")
        with Image.open(out) as picture:
            assert picture.width == 1200
    drawn = []
    for seed in ("1", "1", "2"):
        assert main(["describe", str(run), "--scenes", "2", "--temperature", "1", "--seed", seed]) == 0
        drawn.append(capsys.readouterr().out)
    assert drawn[0] == drawn[1] != drawn[2]
    (run / "figures" / "described.png").unlink()


def test_pictures_of_ones_own(runs: dict[str, Path], tmp_path: Path, capsys: Capture) -> None:
    wide = np.zeros((64, 128, 4), dtype=np.uint8)
    wide[:, 32:96] = (255, 0, 0, 255)
    wide[:32, 32:96, 3] = 0
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.new("L", (10, 30), 128).save(tmp_path / "grey.jpg")
    read = read_picture(str(tmp_path / "wide.png"))
    assert read.shape == (3, 32, 32)
    # Above one sees through to the paper, and the sides are cut off.
    np.testing.assert_allclose(read[:, :16], 1)
    np.testing.assert_allclose(read[:, 16:], np.array([1, 0, 0])[:, None, None] * np.ones((1, 16, 32)))
    out = tmp_path / "own.png"
    pictures = [str(tmp_path / name) for name in ("wide.png", "grey.jpg")]
    assert main(["describe", str(runs["captions"]), *pictures, "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [told[0], told[2], told[-1]] == [*pictures, f"figure {out}"]
    (tmp_path / "text.png").write_text("no picture")
    for wrong, words in (("text.png", "is no picture"), ("no.png", "no such file"), (".", "is no file")):
        assert re.search(words, refused(capsys, "describe", runs["captions"], tmp_path / wrong))
    assert "describes films" in refused(capsys, "describe", runs["moving-captions"], pictures[0])


def test_a_picture_reads_alike_in_every_depth_and_way_up(tmp_path: Path) -> None:
    shades = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(shades).save(tmp_path / "8.png")
    expected = read_picture(str(tmp_path / "8.png"))
    deep = shades.astype(np.uint16) * 257
    copies = {"16.png": deep, "16.tif": deep, "1.tif": shades / np.float32(255), "255.tif": shades.astype(np.float32)}
    for name, numbers in copies.items():
        Image.fromarray(numbers).save(tmp_path / name)
    inverted = Image.fromarray(65535 - deep)
    inverted.save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    turned = Image.Exif()
    turned[274] = 3
    Image.fromarray(shades[::-1, ::-1].copy()).save(tmp_path / "turned.png", exif=turned)
    for name in (*copies, "inverted.tif", "turned.png"):
        np.testing.assert_allclose(read_picture(str(tmp_path / name)), expected, atol=1 / 255, err_msg=name)


def write_tiff(path: Path, numbers: Any, bits: int, kind: int) -> None:
    """Grey numbers as they are, which Pillow does not write: kind is TIFF's SampleFormat."""
    height, width = numbers.shape
    data = numbers.tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data), 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)


def test_signed_and_wide_numbers_read_alike(tmp_path: Path) -> None:
    shades = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(shades).save(tmp_path / "8.png")
    kinds = {"<u2": (2**16 - 1, 1), "<u4": (2**32 - 1, 1), "<i2": (2**15 - 1, 2), "<i4": (2**31 - 1, 2), "<f4": (1, 3)}
    for kind, (white, sample_format) in kinds.items():
        numbers = shades / 255 * white
        numbers = numbers if sample_format == 3 else np.round(numbers)
        path = tmp_path / f"{kind[1:]}.tif"
        write_tiff(path, numbers.astype(kind), 8 * int(kind[2:]), sample_format)
        expected = read_picture(str(tmp_path / "8.png"))
        np.testing.assert_allclose(read_picture(str(path)), expected, atol=1 / 255, err_msg=kind)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_those_of_the_profile(tmp_path: Path, mode: str) -> None:
    """In a profile whose first light is green and whose second is red, the first channel is green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"-XYZ").replace(b"gXYZ", b"rXYZ").replace(b"-XYZ", b"gXYZ")
    picture = Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode)
    for name, own in {"red.png": profile, "green.png": swapped}.items():
        picture.save(tmp_path / name, icc_profile=own)
    red, green = (read_picture(str(tmp_path / name))[:, 0, 0] for name in ("red.png", "green.png"))
    np.testing.assert_allclose(red, [1, 0, 0], atol=2 / 255)
    np.testing.assert_allclose(green, [0, 1, 0], atol=2 / 255)
    picture.save(tmp_path / "junk.png", icc_profile=b"no profile")
    with pytest.raises(UserError, match=r"cannot read .*junk\.png"):
        read_picture(str(tmp_path / "junk.png"))


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    for name, side in (("large.ppm", 8000), ("bomb.ppm", 40_000)):
        (tmp_path / name).write_bytes(f"P6 {side} {side} 255\n".encode())
    Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)).save(tmp_path / "nan.tif")
    Image.new("RGB", (99, 99)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    words = {"page.png": "is no picture: expected PNG", "large.ppm": f"expected at most {MOST_PIXELS:,}"}
    words |= {"bomb.ppm": "pixels: expected at most", "nan.tif": "the numbers nan to nan", "cut.png": "cannot read"}
    for name, complaint in words.items():
        with pytest.raises(UserError, match=complaint) as caught:
            read_picture(str(tmp_path / name))
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("train caption", "'caption'.*'captions'"),
        ("train captions --model transformer", "'transformer'"),
        ("train captions --hidden-size 0", "no such model: hidden_size.*0"),
        ("train captions --filters 0", "filters must be at least 1"),
        ("train captions --learning-rate nan", "--learning-rate.*nan"),
        ("train captions --learning-rate 1e9", "--learning-rate must be at most 1000"),
        ("train captions --test-scenes 0", "--test-scenes.*at least 1"),
        ("train captions --recipe paper/copy-lstm", "no recipe is called"),
        ("train captions --device tpu", "--device tpu"),
        ("train captions --config RUN/moving-captions/config.yaml --hidden-size 0", "no such model"),
        ("train --resume RUN/captions --hidden-size 9", "hidden-size.*8.*9"),
        ("train copy --config RUN/captions/config.yaml", "configuration for captions, not copy"),
        ("describe nowhere", "nowhere is no run folder"),
        ("describe RUN/captions --scenes 0", "--scenes.*at least 1"),
        ("describe RUN/captions --temperature -1", "--temperature.*-1"),
        ("describe RUN/captions --out picture.jpg", "--out picture.jpg: expected .*png"),
        (
            "describe RUN/captions --out nowhere/picture.png",
            "--out nowhere/picture.png: expected .* folder that exists",
        ),
        ("describe RUN/captions some.png --scenes 3", "--scenes .* take one of them"),
        ("evaluate RUN/captions --scenes 0", "--scenes.*at least 1"),
        ("evaluate RUN/captions --length 10", "--length"),
        ("sample RUN/captions", "run on captions, not on text"),
        ("ask RUN/captions", "run on captions, not on stories"),
        ("inspect RUN/captions --length 3", "--length 3: the examples of captions have the lengths they have"),
        ("summarize RUN/captions RUN/caption-story", "has task 'caption-story', the first run 'captions'"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_everything_as_it_was(
    args: str, words: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    root = runs["captions"].parent
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    told = refused(capsys, *args.replace("RUN", str(root)).split())
    assert re.search(words, told.strip()), told
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.iterdir())


def test_a_run_on_something_else_is_not_described(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "config.yaml").write_text("task: {name: copy}\nmodel: {name: lstm}\n")
    assert "is a run on copy, not on captions" in refused(capsys, "describe", tmp_path)


def test_the_dashboard_shows_the_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    root = runs["captions"].parent
    assert main(["dashboard", str(root), "--out", str(tmp_path / "page.html")]) == 0
    data = Collector(root, tmp_path).read()
    assert {(run["subject"], run["unit"]) for run in data["runs"]} == {(task, "%") for task in WORLDS}
    assert {run["model"] for run in data["runs"]} == {"lstm", "attention"}
    assert {group["examples"] for group in data["groups"]} == {"scenes"}
    assert all(len(run["curves"]["valid"][0]) == 2 for run in data["runs"])


def test_a_suite_takes_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    values = {name.removeprefix("--"): value for name, value in zip(TINY[::2], TINY[1::2], strict=True)}
    part = {"task": ["captions", "moving-captions"], "model": ["lstm", "attention"]}
    part |= {name.replace("-", "_"): value for name, value in values.items()}  # type: ignore[misc]
    (tmp_path / "small.yaml").write_text(json.dumps({"about": "small", "parts": [part]}))
    monkeypatch.chdir(tmp_path)
    assert main(["suite", "small.yaml", "--list"]) == 0
    assert "moving-captions-attention-s0" in capsys.readouterr().out


def test_summarize_takes_a_run(runs: dict[str, Path], tmp_path: Path) -> None:
    assert main(["summarize", str(runs["captions"]), "--out", str(tmp_path / "result")]) == 0
    tests = json.loads((tmp_path / "result.json").read_text())["tests"]
    parts = ("greedy", "greedy-1-thing", "greedy-2-things", "sampled")
    assert [test["at"]["part"] for test in tests] == list(parts)


def test_several_seeds_are_a_process_each() -> None:
    way, why = choose_way(config_of("captions", "--seeds", "2"), 2)
    assert (way, why) == ("processes", "runs on captions are not stacked")


def test_weights_come_from_the_seed_and_the_latest_checkpoint(tmp_path: Path) -> None:
    config = config_of("captions", "--out", tmp_path / "run")
    before = torch.get_rng_state()
    one, same, other = make_model(config), make_model(config), make_model(config_of("captions", "--seed", "1"))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.readout.weight, same.readout.weight)
    assert not torch.equal(one.readout.weight, other.readout.weight)
    trainer = make_trainer(config, RunFolder.create(config), "id")
    die_at(trainer, 5)
    _, _, model = load_run(tmp_path / "run")
    assert not torch.equal(model.readout.weight, one.readout.weight)


def test_figures_tell_right_from_wrong() -> None:
    image = np.zeros((3, 32, 32), dtype=np.float32)
    cards = [Card(image, "a circle", True), Card(image, "a b", False, "it is so"), Card(image, "", None)]
    figure = captions_figure(cards, "title")
    told = {text.get_text(): text.get_color() for text in figure.texts}
    assert {"title", "a circle", "a b", "wrong: it is so", "(no words)"} == set(told)
    assert len({told["a circle"], told["wrong: it is so"], told["(no words)"]}) == 3
    assert len(figure.axes) == 3
    film = captions_figure([Card(np.stack([image] * 5), "a film", True)], "title")
    assert len(film.axes) == 5
    long = captions_figure([Card(np.stack([image] * 5), "moves bounces while " * 16, False, "why")], "title")
    assert not beyond(long)
    story = captions_figure([Card(image, "one thing . another thing .", True)], "title")
    assert {"one thing.", "another thing."} <= {text.get_text() for text in story.texts}


@pytest.mark.parametrize("task", WORLDS)
def test_scenes_are_looked_into(task: str, runs: dict[str, Path]) -> None:
    """Which places every word of the model's own caption was read from."""
    inspector = open_runs([str(runs[task])])
    questions = inspector.view(inspector.choices([], [0], []).combined()[0])["questions"]
    assert len(questions) == 12
    if not load_run(runs[task]).model.attention:
        assert "grid" not in questions[0]["panels"][0]
        return
    grid = questions[0]["panels"][0]["grid"]
    assert grid["rows"] == [*questions[0]["panels"][0]["verdict"].partition(":")[0].split(), "(end)"]
    weights = unpack(grid["values"])
    assert weights.shape[0] == len(grid["rows"])
    np.testing.assert_allclose(weights.sum(1), 1, atol=0.05)
