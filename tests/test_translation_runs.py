"""Training on translation: the command line as a person uses it, and that stopping changes nothing."""

import io
import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.__main__ import main
from experiments.base.files import UserError
from experiments.config.command_line import parse_train
from experiments.config.form import Config, from_mapping, from_yaml
from experiments.dashboard.collect import Collector
from experiments.domains.translation import testing
from experiments.domains.translation.data import Ragged, Sentences
from experiments.domains.translation.testing import answer_rows, bleu, measure, translations
from experiments.domains.translation.training import TranslationObjective
from experiments.inspector.command import open_runs
from experiments.runs.about import read_about, write_about
from experiments.runs.folder import RunFolder
from experiments.runs.handover import outcome
from experiments.runs.metrics import read_metrics, read_rows
from experiments.training.loading import load_run
from experiments.training.running import NOT_SOLVED, make_trainer
from experiments.training.trainer import Trainer
from tasks.translation import Languages, Pair, Translator
from tests.running import assert_has_finished
from tests.test_inspector import unpack
from tests.test_training import assert_same_run, die_at, go_on
from tests.unpainted import drawn

TINY = [
    *("--sentences", "200", "--valid-sentences", "30", "--test-sentences", "6", "--max-length", "5"),
    *("--hidden-size", "12", "--embedding-size", "8", "--batch-size", "8", "--steps", "24", "--cooldown-steps", "8"),
    *("--log-every", "3", "--valid-every", "5", "--checkpoint-every", "4", "--tracker", "none"),
]
MODELS = {
    "attention": ["--picture-every", "8"],
    "dot": ["--scores", "dot", "--reverse", "True", "--controller", "gru"],
    "every-step": [
        *("--model", "encoder-decoder", "--context", "every-step", "--controller", "rnn-tanh", "--num-layers", "2")
    ],
}


def train(folder: Path, *more: object) -> int:
    return main(["train", "translate", *TINY, "--out", str(folder), *map(str, more)])


def config_of(folder: Path, *more: object) -> Config[Any]:
    return parse_train(["translate", *TINY, "--out", str(folder), *map(str, more)])


def trainer_of(folder: Path, *more: object) -> Trainer[TranslationObjective]:
    config = config_of(folder, *more)
    return make_trainer(config, RunFolder.create(config), "id")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a run with attention."""
    folder = tmp_path_factory.mktemp("runs") / "attention"
    with drawn():
        assert train(folder, *MODELS["attention"]) == NOT_SOLVED
    return folder


def test_a_run_leaves_everything(run: Path) -> None:
    left = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.png" for name in ("learning-curve", "attention-1", "attention-2", "attention-3")}
    training = {f"figures/training/step-{step:06d}.png" for step in (8, 16, 24)}
    files = {"config.yaml", "metrics.jsonl", "checkpoint.safetensors", "weights.safetensors", "vocabulary.json"}
    assert files | {"result.json", "evaluation.json", "answers.jsonl"} | figures | training <= left
    rows = read_metrics(run / "metrics.jsonl")
    assert {"train/loss", "train/error_percent", "valid/loss", "valid/error_percent"} <= rows[-1].keys()
    assert 0 < rows[-1]["entropy/attention"] < math.log2(5)
    assert rows[-1]["train/learning_rate"] < rows[0]["train/learning_rate"]
    tests = json.loads((run / "evaluation.json").read_text())
    assert [row["at"]["length"] for row in tests] == [3, 4, 5, "all"]
    assert [row["count"] for row in tests] == [6, 6, 6, 18]
    answers = read_rows(run / "answers.jsonl")
    translator = Translator(Languages(0).lexicon)
    assert len(answers) == 18
    assert all(translator.translate(row["source"]) == row["answer"] for row in answers)


@pytest.mark.parametrize("name", ["dot", "every-step"])
def test_a_killed_run_goes_on_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "dot":
        monkeypatch.setattr("experiments.domains.translation.data.MOST", 20)  # batches in groups of like length
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    go_on(trainer_of(whole, *MODELS[name]))
    die_at(trainer_of(killed, *MODELS[name]), 9)
    config = parse_train(["--resume", str(killed)])
    go_on(make_trainer(config, RunFolder(killed), "id"))
    assert_same_run(whole, killed)


def test_solving_starts_the_cooldown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "run", "--solved-at", "101", "--steps", "100") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["sequences_to_solve"], result["steps"]) == (5 * 8, 5 + 8)
    assert "solved after 40 sentences" in capsys.readouterr().out
    told = assert_has_finished(tmp_path / "run", "--steps", "200")
    assert "--steps" not in told, "a run that has solved its task does not train on"


def test_parts_are_disjoint_and_made_by_the_seed_alone(tmp_path: Path) -> None:
    config = config_of(tmp_path / "a")
    data = config.learned.data()
    parts = [{pair.source for pair in part.pairs} for part in (data.train, data.valid, data.test)]
    assert list(map(len, parts)) == [200, 30, 18]
    more = config.learned.more_tests(data, [4, 7], 5)
    parts.append({pair.source for pair in more.pairs})
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert Counter(len(pair.source.split()) for pair in more.pairs) == {4: 5, 7: 5}
    assert config_of(tmp_path / "b", "--seed", "1").learned.data().digest() == data.digest()
    assert config_of(tmp_path / "b", "--data-seed", "1").learned.data().digest() != data.digest()


def test_what_is_right_word_by_word_is_what_greedy_decoding_gets_right(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run")
    words = trainer.objective.data.words
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight *= 4  # or it would say the same to everything
        trainer.model.readout.bias[0] += 4  # or it would not end
    valid = trainer.objective.data.valid
    given = translations(trainer.model, valid.source, words)
    pairs = [pair._replace(target=own) for pair, own in zip(valid.pairs, given, strict=True)]
    # A sentence of the model's own is right, unless a word of it is another.
    limits = words.most_words(valid.source.lengths).tolist()
    ended = [pair for pair, limit in zip(pairs, limits, strict=True) if len(pair.target.split()) < limit]
    changed = [pair._replace(target=f"{pair.target} {words.target.words[5]}") for pair in ended[:3]]
    assert len({pair.target for pair in ended}) > 3
    score = measure(trainer.model, Sentences.of([*ended, *changed], words))
    assert score["error_percent"] == pytest.approx(100 * len(changed) / len([*ended, *changed]))


def test_words_that_training_never_saw_are_wrong(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run")
    with torch.no_grad():
        trainer.model.readout.weight.zero_()
        trainer.model.readout.bias[1] = 9
    seen = trainer.objective.data.valid.pairs[0]
    unseen = Sentences.of([seen._replace(target="neverseen")], trainer.objective.data.words)
    assert unseen.target.values.tolist() == [1]
    assert measure(trainer.model, unseen)["error_percent"] == 100


def test_evaluate_and_show(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--beam", "2", "--beam-normalization", "length"]) == 0
    shown = capsys.readouterr().out
    assert re.match(r"length +tested on +beam +normalization .*\n +3  invented languages +2 +length ", shown)
    assert main(["evaluate", str(run), "--length", "7", "--sentences", "4"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("     7  invented languages, more     4")
    tests = json.loads((run / "evaluation.json").read_text())
    kinds = Counter((row["on"], row["at"]["beam"]) for row in tests)
    assert kinds == {("invented languages", 2): 4, ("invented languages", 4): 4, ("invented languages, more", 4): 2}
    assert main(["show", str(run), "--sentences", "1"]) == 0
    files = capsys.readouterr().out.split()
    assert [Path(file).name for file in files] == ["learning-curve.png", "error-by-length.png", "attention-1.png"]


def test_translate_sentences_and_lines(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, words, model = load_run(run)
    pair = config.learned.data().test.pairs[0]
    numbers = Ragged.of([[words.source.number(word) for word in pair.source.split()]])
    expected = {beam: translations(model, numbers, words, beam=beam)[0] for beam in (1, 4)}
    assert main(["translate", str(run), pair.source, f"  {pair.source} "]) == 0
    assert capsys.readouterr().out == f"{expected[4]}\n" * 2
    typed = f"{pair.source}\nno {pair.source}\n\n".encode() + b"caf\xe9\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="ascii"))
    assert main(["translate", str(run), "--beam", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == f"{expected[1]}\n\n\n\n"
    assert captured.err.splitlines() == [
        f"line 2: not translated: the model never saw 'no' of 'no {pair.source}'",
        "line 3: not translated: there is no word in the sentence",
        "line 4, byte 4: expected UTF-8 text, not 0xe9",
    ]
    many = " ".join(f"{pair.source} x{k}" for k in range(300))
    assert main(["translate", str(run), many]) == 2
    assert len(error := capsys.readouterr().err) < 1000
    assert "and 290 more of" in error
    near = pair.source.split()[0]
    assert main(["translate", str(run), f"{near}q x"]) == 2
    assert f"the model never saw '{near}q' (did you mean {near!r}?), 'x' of" in capsys.readouterr().err


def parallel(folder: Path, count: int = 40) -> tuple[Path, Path, Path]:
    folder.mkdir(exist_ok=True)
    source, target, both = (folder / name for name in ("a.txt", "b.txt", "ab.tsv"))
    pairs = [(f"w{k % 7} x{k}", f"y{k % 5} z{k % 7}") for k in range(count)]
    source.write_text("".join(f"{one}\n" for one, _ in pairs))
    target.write_text("".join(f"{one}\n" for _, one in pairs))
    both.write_text("".join(f"{one}\t{other}\n" for one, other in pairs))
    return source, target, both


def test_long_pairs_of_own_files_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = parallel(tmp_path)[2]
    with both.open("a") as file:
        file.write(f"{'long ' * 101}\tshort\nshort\t{'long ' * 2000}\n")
    data = config_of(tmp_path / "run", "--parallel", both).learned.data()
    assert max(int(part.source.lengths.max()) for part in (data.train, data.valid, data.test)) == 2
    assert "2 of 42 pairs have a sentence of more than --most-words 100 and are left out" in capsys.readouterr().err
    assert data.words.most_words(torch.tensor([1, 2])).tolist() == [12, 14]
    with pytest.raises(UserError, match=r"42 of 42 pairs .* --most-words 1, none is left"):
        config_of(tmp_path / "run", "--parallel", both, "--most-words", "1").learned.data()


def test_a_long_sentence_costs_its_own_alone(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "run")
    pairs = [
        *trainer.objective.data.valid.pairs[:5],
        Pair(" ".join(["w"] * 9000), "x"),
        Pair("w", " ".join(["x"] * 3000)),
    ]
    sentences = Sentences.of(pairs, trainer.objective.data.words)
    every = torch.arange(len(sentences))
    whole = [(source.shape, target.shape) for source, target in sentences.groups(every[:5])]
    assert [source[0] for source, _ in whole] == [5]
    groups = list(sentences.groups(every))
    assert [len(source) for source, _ in groups] == [5, 1, 1]
    assert [(source.size(1), target.size(1)) for source, target in groups[1:]] == [(1, 3000), (9000, 1)]
    # In groups a batch has the losses of the whole, and translations keep their order.
    short = [pair._replace(source=" ".join([pair.source] * (1 + 9 * (place == 2)))) for place, pair in enumerate(pairs)]
    several = Sentences.of(short[:5], trainer.objective.data.words)
    with pytest.MonkeyPatch.context() as patch:
        together = (
            measure(trainer.model, several),
            translations(trainer.model, several.source, trainer.objective.data.words),
        )
        patch.setattr("experiments.domains.translation.data.MOST", 20)
        patch.setattr(testing, "MOST", 20)
        assert len(list(several.groups(torch.arange(5)))) > 1
        apart = (
            measure(trainer.model, several),
            translations(trainer.model, several.source, trainer.objective.data.words),
        )
    assert apart[1] == together[1]
    assert apart[0] == pytest.approx(together[0])


def test_own_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, both = parallel(tmp_path)
    assert train(tmp_path / "two", "--source", source, "--target", target) == NOT_SOLVED
    assert "a.txt and b.txt" in capsys.readouterr().out
    assert train(tmp_path / "one", "--parallel", both) == NOT_SOLVED
    rows = [json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("one", "two")]
    assert [row["count"] for row in rows[0]] == [4, 4]
    assert [{**row, "on": ""} for row in rows[0]] == [{**row, "on": ""} for row in rows[1]]
    config = from_yaml(RunFolder(tmp_path / "one").config)
    data = config.learned.data()
    assert len({pair.source for part in (data.train, data.valid, data.test) for pair in part.pairs}) == 40
    assert main(["evaluate", str(tmp_path / "one"), "--length", "3"]) == 2
    assert "--length 3 is for the invented languages" in capsys.readouterr().err
    words = (tmp_path / "one" / "vocabulary.json").read_text()
    parallel(tmp_path, 60)
    assert main(["train", "--resume", str(tmp_path / "one"), "--steps", "30"]) == 2
    assert "was trained on other sentences than ab.tsv now holds" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "one")]) == 2
    assert "was trained on other sentences than ab.tsv now holds" in capsys.readouterr().err
    assert (tmp_path / "one" / "vocabulary.json").read_text() == words


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--source", "{a}"], "--source {a} needs a --target beside it"),
        (["--target", "{a}"], "--target {a} needs a --source beside it"),
        (
            ["--source", "{a}", "--target", "{short}"],
            "{a} has 40 lines and {short} 1: expected",
        ),
        (["--source", "{a}", "--target", "{binary}"], "{binary}, line 1, byte 1: expected UTF-8 text, not 0x80"),
        (["--source", "{a}", "--target", "{empty}"], "{empty} is empty: expected a sentence a line"),
        (["--source", "{a}", "--target", "{missing}"], "No such file or directory ({missing})"),
        (["--parallel", "{a}"], "{a}, line 1: expected a sentence, a tab and its translation, not 0 tabs"),
        (["--parallel", "{few}"], "the parallel text has 1 different sentences, too few"),
        (["--parallel", "{nil}"], "the sentences hold the word '<nil>'"),
        (["--parallel", "{ab}", "--source", "{a}", "--target", "{b}"], "give one of them"),
        (["--min-length", "2"], "--min-length and --max-length must be at least 3 and in order, not 2 and 5"),
        (["--sentences", "99999", "--max-length", "3"], "99999 new sentences of 3 words were asked for"),
        (["--hidden-size", "0"], "hidden_size must be at least 1, not 0"),
        (["--beam", "0"], "--beam must be at least 1, not 0"),
        (["--context", "every-step"], "no option --context: it is one of --model encoder-decoder"),
        (["--model", "encoder-decoder", "--scores", "dot"], "no option --scores: it is one of --model attention"),
        (["--controller", "ntm"], "controller cannot be 'ntm'"),
        (["--recipe", "paper"], "no recipe is called 'paper'"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: Sequence[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target, both = parallel(tmp_path / "files")
    files = {"a": source, "b": target, "ab": both}
    made = {"short": b"x\n", "binary": b"\x80\n", "empty": b"", "few": b"a\tb\n", "nil": b""}
    made["nil"] = b"".join(b"<nil> %d\tb\n" % k for k in range(20))
    for name, content in made.items():
        files[name] = tmp_path / name
        files[name].write_bytes(content)
    files["missing"] = tmp_path / "missing"
    assert train(tmp_path / "run", *(one.format(**files) for one in options)) == 2
    error = capsys.readouterr().err
    assert complaint.format(**files) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_result_of_one_or_more_seeds(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    about = read_about(other)
    write_about(other, {**about, "seed": 7})
    tests = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(
        json.dumps([row | {"scores": row["scores"] | {"exact_share": 0.25}} for row in tests])
    )
    out = tmp_path / "result"
    assert main(["summarize", str(run), str(other), "--out", str(out)]) == 0
    assert capsys.readouterr().out == (tmp_path / "result.md").read_text()
    result = json.loads((tmp_path / "result.json").read_text())
    whole = next(row["scores"]["exact_share"] for row in tests if row["at"]["length"] == "all")
    told = next(test["scores"]["exact_share"] for test in result["tests"] if test["at"]["length"] == "all")
    seed = result["seeds"][0]["seed"]
    assert told["by_seed"] == {str(seed): whole, "7": 0.25}
    assert told["mean"] == pytest.approx((whole + 0.25) / 2)
    assert told["deviation"] == pytest.approx(abs(whole - 0.25) / 2**0.5)
    for changed, complaint in (
        ({}, "two of the runs have the same seed"),
        ({"setting": about["setting"] | {"hidden_size": 7}}, "has hidden_size 7"),
    ):
        write_about(other, {**about, **changed})  # type: ignore[typeddict-item]
        assert main(["summarize", str(run), str(other), "--out", str(out)]) == 2
        assert complaint in capsys.readouterr().err


def test_other_commands_name_what_they_cannot_do(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, complaint in (
        (["inspect", str(run), "--num-slots", "3"], "--num-slots 3: attention has no slots that may be set"),
        (["ask", str(run)], "is a run on translate, not on stories"),
    ):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert complaint in error
        assert error.count("\n") == 1
    with pytest.raises(UserError, match="is a run on translate, not on sequences"):
        load_run(run, domain="sequences")
    with pytest.raises(UserError, match="translation: task has no option 'wings'"):
        from_mapping({"task": {"name": "translate", "wings": 2}, "model": {"name": "attention"}}, "translation")


def test_the_dashboard_shows_the_run(run: Path, tmp_path: Path) -> None:
    assert main(["dashboard", str(run.parent), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert '"Attention"' in page
    facts = Collector(run.parent, tmp_path).read()["runs"][0]
    assert (facts["subject"], facts["unit"], facts["judged"]) == ("translate invented languages", "%", True)
    lengths = [row["at"].get("length") for row in json.loads((run / "evaluation.json").read_text())]
    longest = max(length for length in lengths if isinstance(length, int))
    assert facts["test"]["words"] == f"% exact at {longest}"
    assert not facts["troubles"]


def test_the_tracker_gets_the_tests(run: Path) -> None:
    folder = RunFolder(run)
    about, tests = read_about(run), folder.read_tests()
    values = outcome(about, tests, folder.read_result())
    first = next(row for row in tests if row["at"]["length"] == 3)
    assert values["test/exact_share/length-3"] == first["scores"]["exact_share"]
    assert {"test/beam_exact_share/length-all", "outcome/solved"} <= values.keys()
    assert about["data"] == "invented languages"
    assert about["parameters"] == sum(one.numel() for one in load_run(run)[2].parameters())


def test_a_suite_takes_translation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    values = {name.removeprefix("--"): value for name, value in zip(TINY[::2], TINY[1::2], strict=True)}
    options = {name.replace("-", "_"): value for name, value in values.items()}
    part = {"task": "translate", "model": ["attention", "encoder-decoder"], **options}
    suite = {"about": "small", "parts": [part]}
    (tmp_path / "small.yaml").write_text(json.dumps(suite))
    assert main(["suite", "small.yaml", "--list"]) == 0
    assert "translate-encoder-decoder-s0" in capsys.readouterr().out


def test_rows_count_exact_sentences_by_length() -> None:
    pairs = [Pair("a b c", "x"), Pair("a b", "y"), Pair("b b", "z")]
    rows = testing.test_rows(pairs, ["x", "y", "y"], ["x", "y", "z"], "pairs", {"beam": 4}, True)
    told = [(row["at"]["length"], row["count"], row["scores"]) for row in rows]
    assert [(length, count, one["exact_share"], one["beam_exact_share"]) for length, count, one in told] == [
        (2, 2, 0.5, 1.0),
        (3, 1, 1.0, 1.0),
        ("all", 3, pytest.approx(2 / 3), 1.0),
    ]
    assert rows[0]["scores"]["error_percent"] == 50


def test_answers_keep_the_first_and_the_first_failures() -> None:
    pairs = [Pair(f"w{k}", f"t{k}") for k in range(60)]
    given = [pair.target if k % 2 else "wrong" for k, pair in enumerate(pairs)]
    rows = answer_rows(pairs, given, [pair.target for pair in pairs])
    assert [row["source"] for row in rows[:20]] == [f"w{k}" for k in range(20)]
    assert [row["source"] for row in rows[20:]] == [f"w{k}" for k in range(20, 60, 2)]
    assert all(row["beam_right"] for row in rows)
    assert [row["right"] for row in rows[:2]] == [False, True]


def test_bleu_is_that_of_its_definition() -> None:
    pytest.importorskip("sacrebleu")
    given = ["a b c d e f", "a a b c d"]
    right = ["a b c d f e g", "a b c d e"]
    precisions = []
    for size in range(1, 5):
        hits = count = 0
        for one, other in zip(given, right, strict=True):
            grams = [
                Counter(tuple(text[k : k + size]) for k in range(len(text) - size + 1))
                for text in (one.split(), other.split())
            ]
            hits += (grams[0] & grams[1]).total()
            count += grams[0].total()
        precisions.append(hits / count)
    expected = 100 * math.prod(precisions) ** 0.25 * math.exp(1 - 12 / 11)
    assert bleu(given, right) == pytest.approx(expected)
    assert bleu(["a b"], ["a b"]) == pytest.approx(100)


def test_without_sacrebleu_there_is_no_bleu(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics.bleu", None)
    assert bleu(["a"], ["a"]) is None
    assert main(["evaluate", str(run), "--beam", "3"]) == 0
    captured = capsys.readouterr()
    assert "BLEU is left out: sacrebleu is not installed (pip install -e '.[translation]')" in captured.err
    assert "BLEU" not in captured.out


def test_a_sentence_is_looked_into(run: Path) -> None:
    """Which words each word of the model's own translation was read from."""
    inspector = open_runs([str(run)])
    (asked, *_) = inspector.view(inspector.choices([], [0], []).combined()[0])["questions"]
    (panel,) = asked["panels"]
    _, words, model = load_run(run)
    given = panel["grid"]["rows"][:-1]
    source = Ragged.of([[words.source.number(word) for word in asked["question"].split()]])
    assert translations(model, source, words) == [" ".join(given)]
    assert panel["grid"]["columns"] == asked["question"].split()
    target = torch.tensor([[words.target.number(word) for word in given]])
    attention = model.trace(source.padded(torch.tensor([0])), target).attention[0].detach()
    np.testing.assert_allclose(unpack(panel["grid"]["values"]), attention, atol=1e-3)
