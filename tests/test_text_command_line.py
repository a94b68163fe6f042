"""Bad input about text gets one clear line and exit code 2; good input what was asked for."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.config.command_line import parse_train
from experiments.dashboard.collect import Collector
from experiments.inspector.command import open_runs
from experiments.runs.about import read_about
from experiments.runs.handover import outcome
from experiments.runs.metrics import read_metrics
from experiments.training.loading import load_run
from experiments.training.together import choose_way
from tests.test_command_line import refused
from tests.test_inspector import unpack
from tests.text_runs import TINY, train
from tests.unpainted import drawn

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run on the invented text."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with drawn():
        assert train(folder, "--num-layers", "2") == 0
    return folder


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with text files, most of them bad."""
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(b"abc\xff\xfe\x00")
    (tmp_path / "zeros.txt").write_bytes(b"abc\0def")
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "one.txt").write_text("d")
    (tmp_path / "other.txt").write_text("Den zufopa é\N{SNOWMAN} Den.")
    (tmp_path / "known.txt").write_text("Den duna (den) dun.\n" * 20)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("train text --text empty.txt", "empty.txt is empty"),
        ("train text --text binary.txt", "binary.txt, line 1, byte 4: expected UTF-8 text, not 0xff"),
        ("train text --text zeros.txt", "zeros.txt, line 1, byte 4: expected text, no binary file, not 0x00"),
        ("train text --text short.txt", "short.txt is too short: .* of its 9 characters.*--chunk-length 64"),
        ("train text --text no.txt", "no.txt: no such file"),
        ("train text --text folder", "cannot read .*folder"),
        ("train text --characters 2000", "too short: 1,800 of its 2,000.*--batch-size 32.*2,049"),
        ("train text --characters 5000 --test-share 0.0001", "too short: 250 and 0 of its characters"),
        ("train text --characters 0", "--characters.*at least 1"),
        ("train text --valid-share 0", "--valid-share.*above 0"),
        ("train text --valid-share 0.6 --test-share 0.5", "0.6 and --test-share 0.5 leave nothing"),
        ("train text --text markov --markov-order 9", "no such Markov text: .*contexts"),
        ("train text --text markov --markov-symbols 1", "--markov-symbols.*at least 2"),
        ("train text --model memn2n", "'memn2n'.*lstm"),
        ("train text --hidden-size 0", "hidden_size.*0"),
        ("train text --model slstm --backend native", "native.*no operator for SLSTM"),
        ("train text --chunk-length 0", "--chunk-length.*at least 1"),
        ("train text --learning-rate nan", "--learning-rate.*nan"),
        ("train text --recipe paper/copy-lstm", "no recipe is called .paper/copy-lstm"),
        ("train txt", "'txt'.*'text'"),
        (
            "sample RUN --prompt Qé",
            r"--prompt has characters that the model does not know: 'Q' \(U\+0051\), 'é' \(U\+00E9\)",
        ),
        ("sample RUN --temperature -1", "--temperature.*-1"),
        ("sample RUN --temperature nan", "--temperature.*nan"),
        ("sample RUN --length 0", "--length.*at least 1"),
        ("sample nowhere", "nowhere is no run folder"),
        ("evaluate RUN --text other.txt", r"other.txt has characters.*'é' \(U\+00E9\), '\N{SNOWMAN}' \(U\+2603\)$"),
        ("evaluate RUN --text empty.txt", "empty.txt is empty"),
        ("evaluate RUN --text one.txt", "one.txt holds one character"),
        ("evaluate RUN --length 10", "--length"),
        ("show RUN --text no.txt", "no.txt: no such file"),
        ("show RUN --cells 3.1", "--cells 3.1.*LAYER.UNIT: 1.1 to 1.8, 2.1 to 2.8"),
        ("show RUN --cells 1.9", "--cells 1.9: there is no such unit"),
        ("show RUN --cells 1", "--cells 1: there is no such unit"),
        ("train --resume RUN --hidden-size 9", "hidden-size.*8.*9"),
        ("train copy --config RUN/config.yaml", "configuration for text, not copy"),
        ("ask RUN", "run on text, not on stories"),
        ("inspect RUN --length 9000", "--length 9000: the test part has [0-9,]+ characters"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_everything_as_it_was(
    args: str, words: str, run: Path, texts: Path, capsys: Capture
) -> None:
    before = {path: path.read_bytes() for root in (run, texts) for path in root.rglob("*") if path.is_file()}
    told = refused(capsys, *args.replace("RUN", str(run)).split())
    assert re.search(words, told.strip()), told
    after = {path: path.read_bytes() for root in (run, texts) for path in root.rglob("*") if path.is_file()}
    assert after == before


def test_a_run_leaves_what_the_readme_says(run: Path) -> None:
    rows = read_metrics(run / "metrics.jsonl")
    assert rows[-1]["step"] == 20
    assert {"characters", "train/bits_per_character", "valid/bits_per_character", "valid/perplexity"} <= rows[-1].keys()
    tests = json.loads((run / "evaluation.json").read_text())
    assert [(row["at"]["part"], row["count"]) for row in tests] == [("test", 149), ("validation", 149)]
    result = json.loads((run / "result.json").read_text())
    assert result["characters_seen"] == rows[-1]["characters"]
    assert (
        outcome(read_about(run), tests, result)["test/bits_per_character/test"]
        == tests[0]["scores"]["bits_per_character"]
    )
    figures = {path.name for path in (run / "figures").glob("*.png")}
    assert figures == {"learning-curve.png", "units.png"}


def test_sampling_is_one_text_for_a_seed(run: Path, capsys: Capture) -> None:
    def sampled(*more: str) -> str:
        capsys.readouterr()
        assert main(["sample", str(run), "--length", "40", *more]) == 0
        return capsys.readouterr().out

    first = sampled("--prompt", "Den d", "--seed", "1")
    assert first.startswith("Den d")
    assert len(first) == 5 + 40 + 1
    assert first == sampled("--prompt", "Den d", "--seed", "1") != sampled("--prompt", "Den d", "--seed", "2")
    assert sampled("--temperature", "0", "--seed", "1") == sampled("--temperature", "0", "--seed", "2")
    assert len(sampled()) == 41


def test_evaluate_and_show(run: Path, texts: Path, capsys: Capture) -> None:
    own = (run / "evaluation.json").read_text()
    assert main(["evaluate", str(run)]) == 0
    assert json.loads((run / "evaluation.json").read_text()) == json.loads(own)
    assert main(["evaluate", str(run), "--characters", "100"]) == 0
    assert re.search(r"the first of .*\n.*validation +99 +149 ", capsys.readouterr().out)
    assert main(["evaluate", str(run), "--text", "known.txt"]) == 0
    assert re.search(r"all +known.txt +399 ", capsys.readouterr().out)
    assert "known.txt" in (run / "evaluation.json").read_text()
    (run / "evaluation.json").write_text(own)
    before = (run / "figures" / "units.png").read_bytes()
    assert main(["show", str(run), "--cells", "1.8", "2.1"]) == 0
    assert capsys.readouterr().out.split() == [
        str(run / "figures" / name) for name in ("learning-curve.png", "units.png")
    ]
    assert (run / "figures" / "units.png").read_bytes() != before
    assert main(["show", str(run)]) == 0
    assert (run / "figures" / "units.png").read_bytes() == before


@drawn()
def test_any_signs_can_be_drawn(tmp_path: Path) -> None:
    """Also those that the font does not have, and what matplotlib takes for mathematics."""
    text = tmp_path / "signs.txt"
    text.write_text("$x^2$ \\frac {語} 🙂\t_ \x07\r\n" * 200)
    assert train(tmp_path / "run", "--text", text) == 0
    assert (tmp_path / "run" / "figures" / "units.png").exists()
    assert "\r" not in json.loads((tmp_path / "run" / "vocabulary.json").read_text())["characters"]


def test_the_dashboard_has_runs_on_text(run: Path, tmp_path: Path) -> None:
    assert main(["dashboard", str(run.parent), "--out", str(tmp_path / "page.html")]) == 0
    data = Collector(run.parent, tmp_path).read()
    shown = data["runs"][0]
    assert (shown["family"], shown["unit"]) == ("text", "bits/char")
    assert shown["subject"] == "invented text, 3,000 characters, seed 0"
    assert shown["valid"] == pytest.approx(
        read_metrics(run / "metrics.jsonl")[-1]["valid/bits_per_character"], rel=1e-4
    )
    assert len(shown["curves"]["valid"][0]) == 4


def test_several_seeds_are_a_process_each() -> None:
    way, why = choose_way(parse_train(["text", *TINY, "--seeds", "2"]), 2)
    assert (way, why) == ("processes", "runs on text are not stacked")


def test_a_path_is_kept_whole(texts: Path) -> None:
    config = parse_train(["text", "--text", "known.txt"])
    assert config.learned.text == str(texts / "known.txt")
    assert config.learned.name == "known.txt"


def test_a_stretch_of_text_is_looked_into(run: Path) -> None:
    """Every character, the next one, and how likely that was."""
    inspector = open_runs([str(run)])
    (view,) = inspector.view(inspector.choices([20], [3], []).combined()[0])["questions"]
    (panel,) = view["panels"]
    _, known, model = load_run(run)
    text = "".join(known.alphabet.characters[place] for place in unpack(view["input"]).argmax(1))
    assert len(text) == 20
    symbols = known.alphabet.encode(text, "the stretch").long().unsqueeze(0)
    chances = model(symbols)[0][0].softmax(-1).detach().numpy()
    np.testing.assert_allclose(unpack(panel["output"]), chances, atol=1e-3)
    wrong = chances.argmax(1) != unpack(view["target"]).argmax(1)
    assert [step for step, _ in panel["wrong_at"]] == np.flatnonzero(wrong).tolist()
    assert [state["name"] for state in panel["states"]][:2] == ["hidden state, layer 1", "cell state, layer 1"]
