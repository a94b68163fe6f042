"""Bad input about stories gets one clear line and exit code 2; good input what was asked for."""

import json
import os
import re
import tarfile
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.config.command_line import parse_train
from experiments.config.form import from_yaml, started, to_yaml
from experiments.config.recipes import recipe_names, recipes_of
from experiments.domains.stories.data import Sizes
from experiments.domains.stories.models import make_model
from experiments.runs.folder import RunFolder
from experiments.training.loading import load_run
from tasks.babi import file_name
from tests.babi_release import DATA, needs_release
from tests.running import command
from tests.story_runs import MEMN2N, MODELS, TINY, WORLD, train
from tests.test_command_line import refused

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMNET_BABI", raising=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, *MODELS["memn2n-restarts"]) == 0
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run on the world model."""
    folder = tmp_path_factory.mktemp("runs") / "world"
    assert main(["train", "world-model", *WORLD, "--num-slots", "3", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("train bbi", "'bbi'.*'babi'"),
        ("train wrld-model", "'wrld-model'.*'world-model'"),
        ("train", "needs a task.*babi.*world-model"),
        ("train babi --task 21", "--task.*1 to 20.*'21'"),
        ("train babi --task 0", "--task.*1 to 20.*'0'"),
        ("train babi --task one", "--task.*'one'"),
        ("train babi --task 5-3", "--task.*'5-3'"),
        ("train babi --task", "--task"),
        ("train babi --tsak 1", "--tsak.*--task"),
        ("train babi --model memn3n", "'memn3n'.*'memn2n'"),
        ("train babi --model copy", "'copy'.*memn2n"),
        ("train babi --recipe paper/memn2n-2k", "'paper/memn2n-2k'.*'paper/memn2n-1"),
        ("train babi --recipe paper/copy-ntm-lstm", "'paper/copy-ntm-lstm'"),
        ("train babi --recipe paper/entnet-world-model", "for world-model, not babi"),
        ("train copy --recipe paper/memn2n-1k", "'paper/memn2n-1k'"),
        ("train babi --babi-data no/such/place", "no/such/place.*no such file or folder"),
        ("train babi --babi-data=", "--babi-data must not be empty"),
        ("train babi --restarts 0", "--restarts.*at least 1.*0"),
        ("train babi --restarts -2", "--restarts.*at least 1.*-2"),
        ("train babi --model lstm --restarts 3", "--restarts 3.*--model lstm.*--seed"),
        ("train babi --model ntm --restarts 2", "--restarts 2.*--model ntm"),
        ("train babi --model entnet --restarts 2 --backend compile", "--backend compile.*one restart"),
        ("train babi --model slstm --backend native", "native.*no operator for SLSTM"),
        ("train babi --model kv --restarts 1 --backend compile", "compile.*steps.*KeyValueMemoryNetwork"),
        ("train babi --model kv --linear-start-epochs 3", "--linear-start-epochs: it is one of --model memn2n"),
        ("train babi --epochs 0", "--epochs.*at least 1"),
        ("train babi --linear-start-epochs -1", "--linear-start-epochs.*at least 0"),
        ("train babi --halve-every 0", "--halve-every.*at least 1"),
        ("train babi --batch-size 0", "--batch-size.*at least 1"),
        ("train babi --batch-size 901", "--batch-size 901.*900"),
        ("train babi --length-groups 33", "--length-groups 33.*32"),
        ("train babi --questions 9", "task 1 has 9 training questions"),
        ("train babi --questions 0", "--questions.*at least 1"),
        ("train babi --max-sentences 0", "--max-sentences.*at least 1"),
        ("train babi --embedding-size 0", "embedding_size.*0"),
        ("train babi --num-hops 0", "num_hops.*0"),
        ("train babi --time-noise 2", "time_noise.*2"),
        ("train babi --model kv --window 4", "window.*odd.*4"),
        ("train babi --model ntm --num-slots 0", "num_slots.*0"),
        ("train babi --clip spectral", "--clip.*'spectral'"),
        ("train babi --clip-norm 0", "--clip-norm.*0"),
        ("train babi --learning-rate nan", "--learning-rate.*nan"),
        ("train babi --size 5k", "--size.*'5k'"),
        ("train babi --steps 5", "--steps"),
        ("train babi --seed -1", "--seed.*-1"),
        ("train babi --device cdua", "--device cdua"),
        ("train world-model --task 3", "no option --task: it is one of babi"),
        ("train world-model --babi-data x", "no option --babi-data: it is one of babi"),
        ("train world-model --select train", "--select train"),
        ("train world-model --min-length 3", "--min-length.*3"),
        ("train world-model --min-length 9 --max-length 8", "9 and 8"),
        ("train babi --config no/such.yaml", "no/such.yaml"),
    ],
)
def test_a_mistake_gets_one_line_that_names_it(
    args: str, words: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    told = refused(capsys, *args.split())
    assert re.search(words, told), told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("evaluate RUN --length 20", "--length 20.*world model"),
        ("evaluate RUN --questions 0", "--questions.*0"),
        ("evaluate RUN --babi-data no/such/place", "no/such/place"),
        ("evaluate RUN --num-slots 4", "--num-slots"),
        ("evaluate RUN --backend compile", "--backend compile.*one restart"),
        ("evaluate WORLD --babi-data x", "world-model has no option --babi-data"),
        ("evaluate WORLD --length 3", "length.*4.*3"),
        ("show RUN --questions 0", "--questions.*0"),
        ("train --resume RUN --embedding-size 7", "embedding-size.*6.*7"),
        ("train --resume RUN --task 2", "task.*1.*2"),
        ("train babi --out RUN", "holds a run already.*--resume"),
        ("train copy --config RUN/config.yaml", "configuration for babi, not copy"),
        ("train world-model --config RUN/config.yaml", "configuration for babi, not world-model"),
        ("summarize RUN RUN", "same seed"),
        ("summarize RUN WORLD", "has task 'world-model'"),
    ],
)
def test_a_mistake_about_a_run_leaves_it_as_it_was(
    args: str, words: str, run: Path, world: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    told = refused(capsys, *args.replace("RUN", str(run)).replace("WORLD", str(world)).split())
    assert re.search(words, told), told
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert list(tmp_path.iterdir()) == []


@needs_release
def test_a_missing_file_of_the_release_is_named(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for task, rest in (("3", None), ("1-20", "--task 1-2,4-20")):
        told = refused(capsys, "train", "babi", "--task", task, "--size", "10k", "--babi-data", DATA)
        assert file_name(3, "train") in told
        assert "missing" in told
        assert rest is None or rest in told
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_release_is_one_line(capsys: Capture, tmp_path: Path) -> None:
    texts = tmp_path / "en"
    texts.mkdir()
    (texts / file_name(1, "train")).write_text("1 Mary went home.\n2 Where is Mary\thome\n")
    (texts / file_name(1, "test")).write_text("1 Mary went home.\n")
    archive = tmp_path / "whole.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(texts, "en")
    (tmp_path / "cut.tar.gz").write_bytes(archive.read_bytes()[:-30])
    (tmp_path / "other.txt").write_text("no archive")
    with tarfile.open(tmp_path / "climbs.tar", "w") as file:
        file.add(texts / file_name(1, "train"), "../en/" + file_name(1, "train"))
    out = tmp_path / "run"
    for name, words in (
        ("en", "line 2"),
        ("whole.tar.gz", "line 2"),
        ("cut.tar.gz", "not a whole tar archive"),
        ("other.txt", "not a whole tar archive"),
        ("climbs.tar", "lead out of the archive"),
    ):
        told = refused(capsys, "train", "babi", "--babi-data", tmp_path / name, "--out", out)
        assert words in told
        assert name in told
    assert not out.exists()


def test_what_the_model_never_saw_is_counted_and_counts_as_wrong(capsys: Capture, run: Path, tmp_path: Path) -> None:
    story = [
        *("1 Mary went back to the huge kitchen.", "2 Where is Mary?\tkitchen\t1", "3 Where is Bilbo?\tshire\t1"),
        *(f"4 John went to the {'garden ' * 150}.", "5 Where is Mary?\tkitchen\t1", "6 Quo vadis?\tkitchen\t1"),
    ]
    (tmp_path / file_name(1, "test")).write_text("\n".join(story) + "\n")
    before = (run / "evaluation.json").read_text()
    assert main(["evaluate", str(run), "--babi-data", str(tmp_path)]) == 2
    assert "at most 6 words" in capsys.readouterr().err
    (tmp_path / file_name(1, "test")).write_text("\n".join(story).replace("garden " * 150, "garden") + "\n")
    assert main(["evaluate", str(run), "--babi-data", str(tmp_path)]) == 0
    assert (
        "5 words that training never saw ('huge', 'bilbo', 'shire', 'quo', 'vadis') are left out of 4 of 4 questions "
        "with their stories; 2 that cannot be asked or answered without them count as wrong\n"
    ) in capsys.readouterr().err
    row = next(row for row in json.loads((run / "evaluation.json").read_text()) if row["on"] == "files 1k")
    assert row["count"] == 4
    assert all(error in (50, 75, 100) for error in row["each"]["error_percent"])
    (run / "evaluation.json").write_text(before)
    (tmp_path / file_name(1, "test")).write_text("1 Bilbo sings.\n2 Quo vadis?\tshire\t1\n")
    assert "the model knows too few words for any question" in refused(capsys, "evaluate", run, "--babi-data", tmp_path)


def test_long_sentences_of_files_are_cut_and_cost_their_own(capsys: Capture, tmp_path: Path) -> None:
    story = "1 Mary went home.\n2 Where is Mary?\thome\t1\n" * 20 + f"1 {'so ' * 300}it was.\n2 What?\tso\t1\n"
    for split in ("train", "test"):
        (tmp_path / file_name(1, split)).write_text(story)
    config = parse_train(["babi", "--babi-data", str(tmp_path), "--out", str(tmp_path / "run")])
    data = config.learned.data()
    assert "task 1, test: 1 sentences of more than --most-words 100 are cut" in capsys.readouterr().err
    assert data.tests[1].rows(slice(20, 21)).story.shape == (1, 1, 100)
    assert data.tests[1].rows(slice(20)).story.shape == (20, 1, 3)


@pytest.mark.parametrize("name", ["vocabulary.json", "config.yaml", "checkpoint.safetensors"])
def test_a_damaged_run_is_one_line(name: str, run: Path, capsys: Capture, tmp_path: Path) -> None:
    for path in run.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for content in ('{"words": [1]}', "[", ""):
        (tmp_path / name).write_text(content)
        assert name in refused(capsys, "evaluate", tmp_path)
    (tmp_path / name).unlink()
    refused(capsys, "evaluate", tmp_path)


def test_runs_on_stories_and_on_sequences_are_told_apart(run: Path, tmp_path: Path, capsys: Capture) -> None:
    from experiments.base.files import UserError
    from tests.running import TINY as SEQUENCES

    copied = tmp_path / "copy"
    assert main(["train", "copy", *SEQUENCES, "--steps", "2", "--out", str(copied)]) == 0
    assert load_run(copied).config.task.name == "copy"
    for other, domain in ((run, "sequences"), (copied, "stories")):
        with pytest.raises(UserError, match=f"not on {domain}"):
            load_run(other, domain=domain)
    assert "cannot be one result" in refused(capsys, "summarize", run, copied)


@pytest.mark.parametrize("name", recipe_names("stories"))
def test_every_paper_recipe_builds_and_reads_back(name: str, tmp_path: Path) -> None:
    config = started(recipes_of("stories")[name]["task"]["name"], name)
    make_model(config, Sizes(30, 7, 60))
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert from_yaml(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("model", ["memn2n", "kv", "entnet", "ntm", "lstm", "gru", "rnn-tanh"])
@pytest.mark.parametrize("task", ["babi", "world-model"])
def test_every_model_has_a_default_for_every_task(model: str, task: str) -> None:
    config = parse_train([task, "--model", model])
    assert (config.task.name, config.model.name) == (task, model)


def test_where_the_stories_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def settled(*args: str) -> object:
        config = parse_train(["babi", *args])
        return config.learned.babi_data

    monkeypatch.chdir(tmp_path)
    assert settled() == "generated"
    assert settled("--babi-data", "here") == os.path.join(os.getcwd(), "here")
    monkeypatch.setenv("MEMNET_BABI", "/there")
    assert settled() == "/there"
    assert settled("--babi-data", "generated") == "generated"


def test_options_win_over_the_configuration_file(run: Path, tmp_path: Path) -> None:
    args = ["train", "--config", run / "config.yaml", "--seed", "5", "--epochs", "1", "--out", tmp_path / "other"]
    assert main([str(arg) for arg in args]) == 0
    config = from_yaml(RunFolder(tmp_path / "other").config)
    assert (config.run.seed, config.training.epochs, config.training.restarts, config.learned.questions) == (
        5,
        1,
        3,
        60,
    )


def test_evaluate_and_show_print_what_they_did(run: Path, world: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(run), "--questions", "30"]) == 0
    assert re.search(r"1 single-supporting-fact +30 ", capsys.readouterr().out)
    assert main(["evaluate", str(world), "--length", "25", "--questions", "5"]) == 0
    assert re.search(r"25 +5 ", capsys.readouterr().out)
    for path in (run / "figures").glob("*.png"):
        path.unlink()
    assert main(["show", str(run), "--questions", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in lines] == ["learning-curve.png", *(f"attention-{k}.png" for k in (1, 2, 3))]
    for line in lines:
        assert Path(line).read_bytes().startswith(b"\x89PNG")


def test_runs_get_folders_and_groups_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for task in ("1", "1", "16,1,1-1"):
        assert main(["train", "babi", "--task", task, *TINY, *MEMN2N, "--epochs", "1"]) == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == ["babi-q1-memn2n-s0", "babi-q1-memn2n-s0-2", "babi-q1_16-memn2n-s0"]


def test_help_and_recipes(capsys: Capture) -> None:
    assert main(["recipes"]) == 0
    assert "paper/memn2n-joint-1k" in capsys.readouterr().out
    shown = command("train", "babi", "--help").stdout
    for option in ("--task", "--babi-data", "--restarts", "--linear-start-epochs", "--max-sentences", "--select"):
        assert option in shown
    assert "train babi --help" in command("train", "--help").stdout
