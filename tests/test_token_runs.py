"""Runs on tokens: what they read, and how long sequences are tested, in chunks and over ranges of lengths."""

import json
import re

import pytest
import torch

from experiments.__main__ import main
from experiments.domains.sequences import evaluation
from experiments.domains.sequences.evaluation import evaluate
from experiments.domains.sequences.evaluation import test_at as at
from experiments.domains.sequences.evaluation import test_over as over
from memnet import GRU, LSTM, LanguageModel, StackRNN, TokenReader
from tasks import FlipFlop, GroupProduct, RepeatCopy, ReverseString, SelectiveCopying
from tests.batches import seeded


def test_a_reader_answers_at_the_steps_that_are_asked():
    torch.manual_seed(0)
    reader, tokens = TokenReader(GRU(5, 3, hidden_size=4), 7), torch.randint(7, (4, 9))
    whole, _ = reader(tokens)
    scored = torch.rand(4, 9) < 0.3
    some, _ = reader(tokens, scored=scored)
    torch.testing.assert_close(some, whole[scored])
    lengths = torch.tensor([9, 3, 1, 5])
    some, _ = reader(tokens, lengths=lengths, scored=scored)
    torch.testing.assert_close(some, reader(tokens, lengths=lengths)[0][scored])
    assert reader.trace(tokens).output.shape == (4, 9, 3)
    torch.testing.assert_close(reader(tokens[:, 5:], reader(tokens[:, :5])[1])[0], whole[:, 5:])
    one_hot = TokenReader(LSTM(7, 3, hidden_size=4), 7, embedding="one-hot")
    assert one_hot.embedding is None
    assert one_hot(tokens)[0].shape == (4, 9, 3)
    with pytest.raises(ValueError, match="an input_size of vocab_size 8, not 7"):
        TokenReader(LSTM(7, 3, hidden_size=4), 8, embedding="one-hot")
    with pytest.raises(ValueError, match="an output_size of vocab_size 8, not 3"):
        TokenReader(LSTM(7, 3, hidden_size=4), 8, embedding="tied")
    for wrong in (scored.float(), scored[:2]):
        with pytest.raises(ValueError, match=r"scored must be bool \(4, 9\)"):
            reader(tokens, scored=wrong)


def test_tied_vectors_are_those_by_which_the_next_symbol_is_foretold():
    """One parameter, that gets the gradient of both; the logit of a symbol is its vector times what is seen."""
    torch.manual_seed(0)
    model, tokens = LanguageModel(GRU(4, 7, hidden_size=4), embedding="tied"), torch.randint(7, (2, 5))
    weight = model.sequence.readout.weight
    assert sorted(name for name, _ in model.named_parameters() if "embedding" in name) == []
    assert torch.equal(model.embed(tokens), weight[tokens])
    logits, _ = model(tokens)
    expected, _ = model.sequence(weight[tokens])
    assert torch.equal(logits, expected)
    (both,) = torch.autograd.grad(logits.square().sum(), weight)
    read, _ = model.sequence(weight.detach()[tokens])
    (one,) = torch.autograd.grad(read.square().sum(), weight)
    assert (both - one).abs().max() > 1e-3
    with pytest.raises(ValueError, match="an input_size of the readout's width 4, not 3"):
        LanguageModel(GRU(3, 7, hidden_size=4), embedding="tied")


def test_losses_and_metrics_are_the_same_of_all_logits_and_of_the_scored_ones():
    task = SelectiveCopying(tokens=3)
    batch = task.sample(6, length=(5, 12), generator=seeded())
    logits = torch.randn(*batch.target.shape, task.output_size, generator=seeded(), requires_grad=True)
    for whole, some in zip(
        task.metrics(logits, batch).values(), task.metrics(logits[batch.mask], batch).values(), strict=True
    ):
        torch.testing.assert_close(whole, some)
    losses = task.losses(logits, batch), task.losses(logits[batch.mask], batch)
    torch.testing.assert_close(*losses)
    gradients = [torch.autograd.grad(one.sum(), logits, retain_graph=True)[0] for one in losses]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][~batch.mask].any()
    one_hot = task.channels(batch)
    expected = -(logits.log_softmax(-1) * one_hot.target).sum((1, 2))
    torch.testing.assert_close(losses[0], expected)
    for wrong in (logits[:, :-1], logits[..., :-1], logits[batch.mask][1:]):
        with pytest.raises(ValueError, match="logits must have shape"):
            task.losses(wrong, batch)
    for changed, message in (
        ({"input": batch.input + 99 - batch.input.max()}, "input must be from 0 to 15, got 99"),
        (
            {"input": batch.input.masked_fill(batch.input == batch.input.max(), -1)},
            "input must be from 0 to 15, got -1",
        ),
        ({"target": batch.target - 1}, "target must be from -1 to 13, got -2"),
        ({"input": batch.input.float()}, r"input must be int64, got torch\.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            task.channels(batch._replace(**changed))


@pytest.mark.parametrize(
    ("task", "make"),
    [
        (ReverseString(), lambda: StackRNN(3, 2, hidden_size=5)),
        (SelectiveCopying(tokens=3), lambda: TokenReader(LSTM(4, 14, hidden_size=5), 16)),
        (GroupProduct("Z2"), lambda: TokenReader(GRU(2, 2, hidden_size=5), 2)),
    ],
)
def test_chunks_with_the_state_carried_on_are_the_whole(task, make, monkeypatch):
    torch.manual_seed(0)
    model, batch = make(), task.sample(5, length=(3, 20), generator=seeded())
    seen = []
    for chunk in (1 << 12, 1, 7):
        monkeypatch.setattr(evaluation, "_CHUNK", chunk)
        scores = evaluate(model, task, [batch], lambda batch, logits: seen.append(logits))
        assert scores["sequences"] == 5
    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0])


def test_a_range_is_the_mean_of_the_tests_at_its_lengths():
    task, model = ReverseString(), LSTM(3, 2, hidden_size=4)
    row = over(model, task, (3, 6), sequences=12, seed=0)
    each = [at(model, task, length, sequences=3, seed=0) for length in (3, 4, 5, 6)]
    assert (row["at"]["length"], row["count"]) == ("3-6", 12)
    for name, value in row["scores"].items():
        assert value == pytest.approx(sum(one["scores"][name] for one in each) / 4)
    assert row["baselines"]["right_share"] == 0.5
    assert over(model, task, (1, 300), sequences=2, seed=0)["count"] == 2
    task, model = FlipFlop(), GRU(5, 2, hidden_size=3)
    row = over(model, task, (8, 9), sequences=6, seed=0)
    each = [at(model, task, length, sequences=3, seed=0) for length in (8, 9)]
    assert row["scores"]["reads"] == sum(one["scores"]["reads"] for one in each)


def test_other_tests_of_a_task():
    task, model = FlipFlop(), GRU(5, 2, hidden_size=3)
    sparse, dense = (at(model, task, 60, sequences=30, seed=0, variant=name) for name in ("sparse", "dense"))
    assert sparse["at"]["variant"] == "sparse"
    assert not sparse["as_trained"]
    assert sparse["scores"]["reads"] < dense["scores"]["reads"] / 10
    assert "variant" not in at(model, task, 60, sequences=3, seed=0)["at"]
    with pytest.raises(evaluation.UserError, match="--variant x: flip-flop has sparse, dense"):
        at(model, task, 60, sequences=3, seed=0, variant="x")
    with pytest.raises(evaluation.UserError, match="--variant x: repeat-copy has no variants"):
        at(GRU(10, 9, hidden_size=3), RepeatCopy(), 3, sequences=3, seed=0, variant="x")


def test_a_run_on_tokens(tmp_path, capsys):
    run = str(tmp_path / "run")
    tiny = "--hidden-size 4 --batch-size 4 --steps 4 --cooldown-steps 2 --max-length 6 --valid-length 6"
    more = "--solved-at None --valid-every 2 --valid-sequences 6 --test-sequences 3 --tracker none"
    looks = "--gradient-flow-every 2 --picture-every 4"
    args = [*tiny.split(), *more.split(), *looks.split(), "--group", "Z2", "--embedding-size", "3", "--out", run]
    assert main(["train", "group-product", "--model", "gru", *args]) == 0
    assert main(["evaluate", run, "--length", "5-8", "9", "--sequences", "8"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2].split()[0] == "5-8"
    rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert {"5-8", 9} <= {row["at"]["length"] for row in rows}
    assert main(["show", run, "--length", "4"]) == 0
    # The size of its state stands wherever models are compared.
    result = str(tmp_path / "results" / "gru")
    (tmp_path / "results").mkdir()
    assert main(["summarize", run, "--out", result]) == 0
    assert main(["report", run, "--out", str(tmp_path / "report")]) == 0
    tables = [{"title": "groups", "about": "", "score": "exact_share", "rows": [{"what": "Z2", "result": "gru"}]}]
    tables[0]["rows"][0]["at"] = {"length": 9}
    (tmp_path / "results" / "tables.yaml").write_text(json.dumps({"about": [], "tables": tables}))
    assert main(["results", str(tmp_path / "results")]) == 0
    assert "holds 4 numbers" in (tmp_path / "results" / "gru.md").read_text()
    assert "| model | state, numbers |" in (tmp_path / "report.md").read_text()
    assert re.search(
        r"measured \| state, numbers \|.*\n.*\n.*\| 4 \|", (tmp_path / "results" / "README.md").read_text()
    )
    capsys.readouterr()
    for length, told in (("5-", "a whole number or a range, as 41-500, not '5-'"), ("8-5", "go up, not 8-5")):
        assert main(["evaluate", run, "--length", length]) == 2
        assert told in capsys.readouterr().err
