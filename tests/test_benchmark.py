"""The benchmark, run as a person runs it on small sizes: what it counts, compares, refuses and draws."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from experiments.__main__ import main
from experiments.benchmark import commands, memory, over_slots, timing
from experiments.benchmark.cases import (
    STEPS,
    Case,
    Stacked,
    known_models,
    make_example,
    make_model,
    make_peer,
    sizes_of_model,
    train_step,
)
from experiments.benchmark.flops import count_flop, count_operations
from experiments.benchmark.goals import GOALS as GOALS_FILE
from experiments.benchmark.goals import cases_of, read_goals
from experiments.config.registry import DOMAINS
from experiments.figures.growth import GrowthPanel, growth_figure
from tests.figure_parts import panels, words
from tests.forked import Forked
from tests.running import start

Capture = pytest.CaptureFixture[str]
SMALL = ["--batch-size", "2", "--length", "4", "--seconds", "0.01"]


def small_case(model: Any, **changes: Any) -> Case:
    memory = sizes_of_model(model).num_slots is not None
    sizes = {"batch_size": 3, "length": 5, "num_slots": 8 if memory else None, "seeds": 1}
    fixed = {
        "mode": "train",
        "num_reads": None,
        "slot_size": None,
        "controller": "gru",
        "dtype": "float64",
        "device": "cpu",
    }
    return Case(**{"model": model, **sizes, **fixed, **changes})


def measured(capsys: Capture, *args: object) -> list[dict[str, Any]]:
    """The cases in the JSON that a command prints."""
    capsys.readouterr()
    assert main(["benchmark", *map(str, args), "--json"]) == 0
    cases: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["cases"]
    return cases


# A warning of torch's compiler about torch's own code.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_ratios_are_quotients_and_eager_is_always_there(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    cases = measured(capsys, "lstm", "--train", "--infer", "--whole-step", *SMALL) + measured(
        capsys, "memn2n", "--infer", *SMALL
    )
    assert [case["case"] for case in cases] == [
        "lstm train, batch 2, 4 steps",
        "lstm infer, batch 2, 4 steps",
        "lstm whole-step, batch 2, 4 steps",
        "memn2n infer, batch 2, 4 sentences, 50 slots",
    ]
    for case in cases:
        flop, floor = case["flop"], case["floor_ms"]
        assert flop["total"] == flop["products"] + flop["others"] > 0
        assert floor == pytest.approx(flop["total"] / case["peak_gflop_per_second"] / 1e6)
        eager = case["variants"][0]
        assert [found["name"] for found in case["variants"]] == ["eager", "compile"], case["left_out"]
        for found in case["variants"]:
            assert found["used"] == found["name"]
            assert found["over_floor"] == pytest.approx(found["median_ms"] / floor)
            assert found["eager_over_this"] == pytest.approx(eager["median_ms"] / found["median_ms"])
            low, high = found["quartiles_ms"]
            assert 0 < low <= found["median_ms"] <= high
            assert found["samples"] >= 5
        assert "MEMNET_NATIVE is 0" in case["left_out"]["native"]


def test_a_backend_that_would_run_eagerly_is_refused(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMNET_NATIVE", "0")
    assert main(["benchmark", "ntm", *SMALL, "--backend", "native"]) == 2
    assert capsys.readouterr().err.startswith("error: --backend native cannot run ntm-lstm train, batch 2")
    assert main(["benchmark", "ntm", *SMALL, "--backend", "auto"]) == 0
    assert "auto (eager)" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_table_names_what_ran(capsys: Capture) -> None:
    assert main(["benchmark", "ntm", "slstm", "--backend", "auto", *SMALL]) == 0
    table = capsys.readouterr().out
    assert f"torch {torch.__version__}, threads: 1" in table
    for line in (
        "ntm-lstm train, batch 2, 4 steps, 128 slots, float32",
        "slstm train, batch 2, 4 steps, float32",
        r"eager +[\d.,]+ +[\d.,]+ to [\d.,]+ +[\d.,]+ +1 +\d+",
        r"auto \(native\) +[\d.]+",
        r"auto \(eager\) +[\d.]+",
        r"[\d.]+ MFLOP \([\d.]+ in matrix products\) at [\d.]+ GFLOP/s, the machine's best product: floor [\d.]+ ms",
    ):
        assert re.search(line, table), table


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_bags_of_words_can_be_native(capsys: Capture) -> None:
    (case,) = measured(capsys, "memn2n", "--infer", *SMALL, "--backend", "native")
    assert [(found["name"], found["used"]) for found in case["variants"]] == [("eager", "eager"), ("native", "native")]


def test_operations_of_an_lstm_are_those_of_its_matrices() -> None:
    rows, steps, hidden, inputs, outputs = 3, 5, 100, 9, 8
    every = 2 * rows * steps
    projected, recurrent, readout = every * inputs * 4 * hidden, every * hidden * 4 * hidden, every * hidden * outputs
    case = small_case("lstm", batch_size=rows, length=steps)
    assert count_flop(small_case("lstm", mode="infer")).products == projected + recurrent + readout
    # Every matrix has a gradient, and so has what it is multiplied with: not the input, nor the state that is zero.
    backward = projected + 2 * recurrent - recurrent // steps + 2 * readout
    assert count_flop(case).products == projected + recurrent + readout + backward
    assert count_flop(small_case("lstm", seeds=4)).total == 4 * count_flop(case).total


def test_other_operations_are_counted_by_the_number() -> None:
    one, other = torch.rand(4, 5), torch.rand(5)
    assert count_operations(lambda: torch.softmax(one * other, -1).sum()) == (0, 60)
    assert count_operations(lambda: (one.clone() > other).nonzero()) == (0, 0)
    assert count_operations(lambda: torch.arange(6) * 2) == (0, 0)


def test_an_update_goes_through_every_number_nine_times() -> None:
    """Once for the norm, once to scale it, and seven times in Adam's own lines."""
    whole, gradient = (count_flop(small_case("lstm", mode=mode)) for mode in ("whole-step", "train"))
    assert whole.products == gradient.products
    numbers = sum(weight.numel() for weight in make_model(small_case("lstm"), 0).parameters())
    assert whole.others - gradient.others == 9 * numbers


def test_a_whole_step_moves_the_weights() -> None:
    case = small_case("lstm", mode="whole-step")
    model = make_model(case, 0)
    before = [weight.detach().clone() for weight in model.parameters()]
    STEPS[case.mode](model)(make_example(case))
    for weight, old in zip(model.parameters(), before, strict=True):
        moved = (weight - old).abs()
        # The first update of Adam is of the learning rate's size.
        assert moved[moved > 0].median().item() == pytest.approx(1e-4, rel=0.01)


def test_models_are_those_of_the_registry_with_the_sizes_of_their_constructors() -> None:
    """A copy, and the published sizes for stories; a benchmark without a memory has no slots."""
    assert set(known_models()) == {*DOMAINS["sequences"].models, *DOMAINS["stories"].models}
    told = {name: sizes_of_model(name)[:2] for name in known_models()}
    expected = {
        **dict.fromkeys(("rnn-tanh", "rnn-relu", "lstm", "gru"), (41, None)),
        "ntm": (41, 128),
        "memn2n": (50, 50),
        "kv": (50, 50),
        "entnet": (70, 20),
    }
    assert told.items() >= expected.items()


@pytest.mark.parametrize("model", known_models())
def test_stacked_models_have_the_gradients_of_single_ones(model: str) -> None:
    case = small_case(model, seeds=3)
    example, models = make_example(case), [make_model(case, seed).eval() for seed in range(3)]
    stacked = Stacked(models)
    train_step(stacked, example)
    for one, own in zip(models, example.split(3), strict=True):
        train_step(one, own)
    for name, together in zip(stacked.names, stacked.parts, strict=True):
        alone = [one.get_parameter(name).grad for one in models]
        expected = torch.stack([torch.zeros_like(together[0]) if grad is None else grad for grad in alone])
        torch.testing.assert_close(together.grad, expected, rtol=1e-9, atol=1e-9)


def test_seeds_are_models_of_their_own(capsys: Capture) -> None:
    alone, together = measured(capsys, "gru", *SMALL, "--seeds", "1", "2", "--backend", "stacked")
    assert together["flop"]["total"] == 2 * alone["flop"]["total"]
    assert [found["name"] for found in together["variants"]] == ["eager", "stacked"]
    for found, base in zip(together["variants"], alone["variants"], strict=True):
        assert (base["over_base"], found["over_base"]) == (1, pytest.approx(found["median_ms"] / base["median_ms"]))


def test_every_round_times_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []

    def taking(seconds: float, name: str) -> timing.Work:
        def work() -> None:
            now[0] += seconds
            calls.append(name)

        return work

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing, "_products", lambda *_: {64: taking(0.02, "small"), 128: taking(0.04, "large")})
    works = {"slow": taking(0.05, "slow"), "fast": taking(0.004, "fast")}
    found, peak = timing.time_side_by_side(works, 1.0, "float32", "cpu")
    assert found["slow"].median == pytest.approx(0.05)
    assert found["fast"].low == pytest.approx(found["fast"].high) == pytest.approx(0.004)
    assert peak == pytest.approx(2 * 128**3 / 0.04)
    assert found["slow"].samples == found["fast"].samples >= 5
    # After the calls that set the repeats: five of the fast one make a sample.
    rounds = np.reshape(calls[4:], (-1, 8)).tolist()
    assert all(sorted(one) == [*["fast"] * 5, "large", "slow", "small"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


def test_sizes_grow_one_at_a_time_and_are_drawn(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "growth.png"
    sizes = ["--batch-size", 2, "--length", 3, 6, "--num-slots", 8, 12, 8, "--seconds", 0.01]
    cases = measured(capsys, "ntm", "lstm", *sizes, "--backend", "eager", "--plot", path)
    assert [(case["model"], case["length"], case["num_slots"]) for case in cases] == [
        *(("ntm", 3, 8), ("ntm", 6, 8), ("ntm", 3, 12), ("lstm", 3, None), ("lstm", 6, None)),
    ]
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_read_heads_can_be_chosen(capsys: Capture) -> None:
    one, two = (measured(capsys, "dnc", "lstm", *SMALL, "--num-reads", heads, "--backend", "eager") for heads in (1, 2))
    assert [case["case"] for case in two] == [
        "dnc-lstm train, batch 2, 4 steps, 64 slots, 2 read heads",
        "lstm train, batch 2, 4 steps",
    ]
    assert [after["flop"]["total"] > before["flop"]["total"] for before, after in zip(one, two, strict=True)] == [
        True,
        False,
    ]


def test_models_are_measured_beside_each_other_over_their_slots(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def taken(case: Case, way: str, gradient: str, threads: int) -> memory.Taken:
        return memory.Taken(
            0, 1024.0 * ((case.num_slots or 0) ** 2 if case.model == "ntm" else 3) * (1 + (way == "eager"))
        )

    monkeypatch.setattr(over_slots, "taken_memory", taken)
    monkeypatch.setattr(over_slots, "_MOST_BYTES", 4 * 1024 * 200)
    path, sizes = tmp_path / "slots.png", ["--num-slots", 16, 8, 32, *SMALL, "--num-reads", 1, "--slot-size", 5]
    args = ["benchmark", "sam", "ntm", *map(str, sizes), "--backend", "eager", "--slots-plot", str(path)]
    assert main(args) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    rows = {(row[0], row[2]): row[3:] for row in table if row[1:2] == ["eager"]}
    assert list(rows) == [("sam", "8"), ("sam", "16"), ("sam", "32"), ("ntm", "8")]
    assert [float(row[3]) for row in rows.values()] == [6, 6, 6, 128]
    assert [float(row[5]) for row in rows.values()] == [1, 1, 1, 21.3]
    for (_, slots), row in rows.items():
        time, to_first, to_base = map(float, row[:3])
        assert to_base == pytest.approx(time / float(rows["sam", slots][0]), rel=0.02)
        assert to_first > 0
    assert any("would keep some 0.00195 GiB" in " ".join(line) and line[0] == "ntm" for line in table)


def test_a_picture_over_slots_of_short_sequences_is_of_time_and_has_a_colour_for_every_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(commands, "save_figure", lambda figure, _: drawn.append(figure))
    sizes = ["--num-slots", "8", "16", *SMALL, "--num-reads", "1", "--slot-size", "5", "--backend", "eager"]
    assert main(["benchmark", "sam", "lrua", *sizes, "--slots-plot", str(tmp_path / "slots.png")]) == 0
    ((title, axes),) = panels(drawn[0]).items()
    assert title == "time of a training step"
    assert len({line.get_color() for line in axes.lines if len(line.get_xdata()) == 2}) == 2


def test_a_growth_figure_draws_the_given_values() -> None:
    lines = {"native": [(40, 3.0, 2.0, 5.0), (10, 1.0, 0.9, 1.2)], "floor": [(10, 0.1, 0.1, 0.1), (40, 0.4, 0.4, 0.4)]}
    figure = growth_figure([GrowthPanel("ntm train", "steps", lines)] * 4, "median time, ms", "Growth")
    axes = panels(figure)["ntm train"]
    assert [list(map(tuple, one.get_xydata())) for one in axes.lines] == [[(10, 1), (40, 3)], [(10, 0.1), (40, 0.4)]]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert list(axes.get_xticks()) == [40, 10]
    for text in ("native", "floor", "Growth"):
        assert text in words(figure)


def test_peak_memory_grows_with_the_length_and_what_a_step_keeps_stays(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], *, cwd: Path, input: str, **_: Any) -> subprocess.CompletedProcess[str]:
        process = Forked(command[2], *command[3:], stdin=subprocess.PIPE, folder=cwd)
        assert process.stdin is not None
        process.stdin.write(input)
        told, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.wait(), told, errors)

    monkeypatch.setattr(memory, "subprocess", SimpleNamespace(run=run))
    args = ["--memory", "--batch-size", "32", "--length", "20", "500", "--backend", "eager"]
    short, long = measured(capsys, "lstm", *args)
    assert short["variants"][0]["peak_mib"] >= 0
    plain, checkpointed, truncated = long["variants"]
    assert [plain["gradient"], checkpointed["gradient"]] == ["plain", "checkpointed"]
    assert plain["peak_mib"] > 4 * short["variants"][0]["peak_mib"]
    assert plain["peak_mib"] > 2 * max(checkpointed["peak_mib"], truncated["peak_mib"])
    kept = [one["variants"][0]["kept_mib_a_step"] for one in (short, long)]
    # Of every one of 32 rows at least the hidden state, the cell and four gates of a hundred units each.
    assert 32 * 600 * 4 < kept[0] * 2**20 < 10 * 32 * 600 * 4
    assert kept[1] == pytest.approx(kept[0], rel=0.1)
    assert checkpointed["kept_mib_a_step"] is None


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("ntmm", "'ntmm'.*'ntm'"),
        ("ntm --batch 3", "--batch.*'--batch-size'"),
        ("ntm --batch-size 0", "--batch-size.*at least 1.*0"),
        ("ntm --batch-size", "--batch-size.*at least one value"),
        ("ntm --length 10 -4", "--length.*at least 1.*-4"),
        ("ntm --length ten", "--length.*'ten'"),
        ("ntm --num-slots 10000000000000", "10,000,000,000,000 slots: not enough memory.*need less"),
        ("ntm --num-reads 10000000000000", "no such model: not enough memory.*need less"),
        ("ntm --num-slots 8 16 --num-reads 10000000000000 --slots-plot growth.png", "not enough memory.*need less"),
        ("ntm --num-slots 10000000000000000000000", "--num-slots"),
        ("ntm --num-slots 8 2", "no such model.*shift_range 1.*3.*2"),
        ("lstm gru --num-slots 8", "--num-slots 8.*lstm and gru.*no memory"),
        ("ntm --seeds 0", "--seeds.*at least 1.*0"),
        ("ntm --num-reads 0", "--num-reads.*at least 1.*0"),
        ("ntm --seconds nan", "--seconds.*nan"),
        ("ntm --seconds 1e30", "--seconds must be at most 3600, not 1e\\+30"),
        ("ntm --threads 0", "--threads.*at least 1.*0"),
        ("ntm --dtype float16", "--dtype.*'float16'"),
        ("ntm --device cdua", "--device.*'cdua'.*'cuda'"),
        ("ntm --backend nativ", "--backend.*'nativ'.*'native'"),
        ("slstm --backend native", "--backend native.*slstm.*no operator for it"),
        ("ntm --backend graph", "--backend graph.*ntm.*--device cuda, not cpu"),
        ("ntm --memory --infer", "--memory.*--infer"),
        ("memn2n --memory", "--memory.*not for memn2n"),
        ("ntm --memory --backend eager stacked", "--memory.*--backend stacked"),
        ("ntm --num-slots 8 16 --slots-plot no/growth.png", "--slots-plot.*no folder no"),
        ("ntm --slots-plot growth.png", "--slots-plot needs several --num-slots"),
        ("ntm --num-slots 8 16 --infer --slots-plot growth.png", "--slots-plot is of training"),
        ("lstm ntm --num-slots 8 16 --slots-plot growth.png", "--slots-plot is for models with a memory.*lstm"),
        ("ntm --slot-size 0", "--slot-size.*at least 1.*0"),
        ("ntm --plot growth.png", "--plot.*--length 10 20"),
        ("ntm --length 10 10 --plot growth.png", "--plot.*--length 10 20"),
        ("ntm --length 10 20 --plot growth.jpg", "--plot.*'growth.jpg'"),
        ("ntm --length 10 20 --plot no/growth.png", "--plot.*no folder no"),
    ],
)
def test_a_mistake_gets_one_line_that_names_it(
    args: str, told: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *args.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"error: .*{told}.*\n", printed.err), printed.err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_it_cleanly() -> None:
    process = start("benchmark", "lstm", "--length", "3", "--backend", "eager", "--seconds", "100")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("timing lstm train")
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    # Before it, how long the timing takes, on a machine that is busy.
    assert [line for line in told.splitlines() if not line.startswith("timing")] == ["stopped"]


# ------------------------------------------------------------------------------------------ options, peers, goals


def test_options_are_those_of_the_constructor(capsys: Capture) -> None:
    (case,) = measured(
        capsys, "lstm", "--set", "hidden_size=7", "skip=true", "num_layers=2", "--backend", "auto", *SMALL
    )
    assert case["options"] == [["hidden_size", 7], ["skip", True], ["num_layers", 2]]
    model: Any = make_model(small_case("lstm", options=(("hidden_size", 7), ("num_layers", 2))), 0)
    assert model.cell.output_size == 7
    (case,) = measured(capsys, "lstm", "--set", "input_size=2", "output_size=3", "--backend", "auto", *SMALL)
    assert case["options"] == [["input_size", 2], ["output_size", 3]]
    story: Any = make_model(small_case("memn2n", options=(("vocab_size", 9),)), 0)
    assert int(make_example(small_case("memn2n", options=(("vocab_size", 9),))).inputs[0].max()) < 9 == story.vocab_size


@pytest.mark.parametrize(("name", "options"), [("lstm", ()), ("gru", (("num_layers", 2),)), ("rnn-relu", ())])
def test_a_peer_is_torchs_own_of_the_same_equations(name: str, options: Any) -> None:
    """With the same weights it gives the same; it is refused where torch has no such options."""
    case = small_case(name, options=(("hidden_size", 6), *options))
    ours, peer = make_model(case, 0), make_peer(case)
    assert peer is not None
    theirs = dict(peer.named_parameters())
    assert sorted(one.shape for one in ours.parameters()) == sorted(one.shape for one in theirs.values())
    with torch.no_grad():
        own: Any = ours
        cells = list(own.cell.layers) if options else [own.cell]
        for layer, cell in enumerate(cells):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                theirs[f"network.{kind}_l{layer}"].copy_(getattr(cell, kind))
        for kind in ("weight", "bias"):
            theirs[f"readout.{kind}"].copy_(getattr(own.readout, kind))
    input = make_example(case).inputs[0]
    torch.testing.assert_close(peer(input)[0], ours(input)[0])
    assert make_peer(small_case(name, options=(("skip", True),))) is None
    assert make_peer(small_case("slstm")) is None


GOALS = """
- title: Some
  about: of little
  rows:
    - {work: never slower than itself, run: "RUN", ratio: [native, native], at_least: 1, aim: 2}
    - {work: above its floor, run: "RUN", ratio: [native, floor], at_most: 0}
    - work: longer
      run: "RUN"
      ratio: [{way: eager, length: 40}, {way: eager, length: 4}]
      at_least: 0.1
"""


def test_goals_are_measured_and_judged_by_their_numbers(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = "lstm --set hidden_size=3 --batch-size 1 --length 4 40 --backend native"
    Path("goals.yaml").write_text(GOALS.replace("RUN", run))
    assert main(["speed", "goals.yaml", "--out", "fast", "--seconds", "0.01"]) == 0
    text, told = Path("fast.md").read_text(), json.loads(Path("fast.json").read_text())
    same, floor, longer = told["goals"]["Some"]
    assert (same["measured"], same["reached"], floor["reached"]) == (1, True, False)
    cases = told["benchmarks"][run]
    first, last = (next(one for one in case["variants"] if one["name"] == "eager") for case in cases)
    assert longer["measured"] == last["median_ms"] / first["median_ms"]
    assert text.count(f"$ python -m experiments benchmark {run}") == 1
    assert "| never slower than itself | native / native | at least 1 | 2 | 1 | yes |" in text
    assert "python -m experiments speed goals.yaml" in text
    assert told["versions"]["torch"] == str(torch.__version__)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("at_most: 0", "aim: 0"), "goals.yaml: above its floor: expected one of at_least and at_most"),
        ((GOALS, "[]"), "goals.yaml: nothing was asked"),
        (("[native, floor]", "[native]"), "above its floor: expected a ratio of two numbers, not of 1"),
        (("[native, floor]", "[nativ, floor]"), "above its floor: way 'nativ', expected floor or one of eager"),
        (("length: 40}", "length: 41}"), "longer: its benchmark has no case of {'length': 41}"),
        (("length: 40}", "lenght: 40}"), "longer: lenght is no part of a number"),
        (("way: eager, length: 40", "way: eager, model: ltsm"), "longer: there is no model 'ltsm'"),
        (("[native, floor]", "[chunked, floor]"), "above its floor: its benchmark does not run chunked"),
        (("[native, floor]", "[{way: native, memory: middle}, floor]"), "above its floor: memory is 'middle'"),
        (("[native, floor]", "[{way: native, memory: peak}, floor]"), "memory is of a run with --memory"),
        (
            ("at_least: 0.1", "at_least: 0.1\n- title: Some\n  about: more\n  rows: []"),
            "two sections are called 'Some'",
        ),
        (("RUN", "lstm 'x"), "cannot read its run: No closing quotation"),
        (("RUN", "ntm --set num_reads=3"), "--set num_reads: that is --num-reads here"),
        (("RUN", "lstm --set forget_bias=1e999"), "--set forget_bias=1e999: expected a finite number"),
        (("RUN", "lstm --set size=3"), "--set size: lstm has no such option"),
        (("RUN", "lstm --set hidden_size=3 hidden_size=4"), "hidden_size is set twice"),
        (("RUN", "lstm --set hidden_size=x"), "--set hidden_size=x: expected int for lstm"),
        (("RUN", "lstm --set hidden_size"), "--set hidden_size: expected NAME=VALUE"),
    ],
)
def test_goals_that_cannot_be_are_refused_before_anything_is_timed(
    change: tuple[str, str], message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = "lstm --set hidden_size=3 --batch-size 1 --length 4 40 --backend native"
    Path("goals.yaml").write_text(GOALS.replace(*change).replace("RUN", run))
    assert main(["speed", "goals.yaml"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("speed.md").exists()


def test_our_own_goals_name_what_there_is() -> None:
    for section in read_goals(GOALS_FILE):
        for row in section["rows"]:
            cases_of(row, None)
