"""Suite files and sweeps of W&B: which jobs they are, how these are called, and one line for every mistake."""

import dataclasses
import itertools
import math
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.__main__ import main
from experiments.config.command_line import parse_train, spelled_out
from experiments.config.form import started, to_yaml
from experiments.domains.stories.tasks import Babi
from experiments.suite.commands import read_plan
from experiments.suite.jobs import SuiteJob, make_jobs
from experiments.suite.reading import Plan, find_suite, suite_names
from tasks import BabiStream
from tasks.babi import Example, examples_of
from tests.test_command_line import few_stories, refused

Capture = pytest.CaptureFixture[str]
SWEEP = {"method": "random", "run_cap": 40}


@cache
def few_questions() -> list[Example]:
    return examples_of(few_stories())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few stories of any task, where all that is asked of them is the size of a model."""
    monkeypatch.setattr(Babi, "_examples", lambda *_: few_questions())
    monkeypatch.setattr(BabiStream, "told", lambda *place: few_stories(place[-1]))


def plan_of(tmp_path: Path, content: object, run_cap: int | None = None) -> Plan:
    path = tmp_path / "a.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return read_plan(path, run_cap)


def jobs_of(tmp_path: Path, content: object, seeds: int | None = None) -> list[SuiteJob]:
    return make_jobs(plan_of(tmp_path, content), seeds)


def names_of(tmp_path: Path, content: object, seeds: int | None = None) -> list[str]:
    return [job.name for job in jobs_of(tmp_path, content, seeds)]


def test_lists_multiply_and_names_tell_what_varies(tmp_path: Path) -> None:
    text = """
    about: a few
    seeds: 2
    seed: 3
    parts:
      - task: [copy, repeat-copy]
        controller: [lstm, gru]
        clip-norm: null
      - {task: copy, model: lstm, hidden_size: [8, 16], learning_rate: 1e-3, skip: true}
    """
    jobs = jobs_of(tmp_path, text)
    assert [job.name for job in jobs] == [
        *("copy-ntm-lstm-s3", "copy-ntm-lstm-s4", "copy-ntm-gru-s3", "copy-ntm-gru-s4"),
        *("repeat-copy-ntm-lstm-s3", "repeat-copy-ntm-lstm-s4", "repeat-copy-ntm-gru-s3", "repeat-copy-ntm-gru-s4"),
        *("copy-lstm-hidden-size-8-s3", "copy-lstm-hidden-size-8-s4"),
        *("copy-lstm-hidden-size-16-s3", "copy-lstm-hidden-size-16-s4"),
    ]
    assert jobs[0].args == ("copy", "--controller=lstm", "--clip-norm=None", "--seed", "3")
    assert (jobs[0].config.training.clip_norm, jobs[-1].config.training.learning_rate, jobs[-1].config.run.seed) == (
        None,
        1e-3,
        4,
    )
    assert (jobs[4].config.task.name, jobs[4].group) == ("repeat-copy", "repeat-copy-ntm-lstm")
    assert len(jobs_of(tmp_path, text, seeds=5)) == 30


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ([1, 6], ["babi-q1-memn2n-s0", "babi-q6-memn2n-s0"]),
        ("1-3", ["babi-q1-3-memn2n-s0"]),
        ("3,5-6 each", ["babi-q3-memn2n-s0", "babi-q5-memn2n-s0", "babi-q6-memn2n-s0"]),
        (["1-2", 3], ["babi-q1-2-memn2n-s0", "babi-q3-memn2n-s0"]),
    ],
)
def test_babi_numbers_are_jobs_of_their_own_or_one_together(numbers: object, names: list[str], tmp_path: Path) -> None:
    part = {"task": "babi", "numbers": numbers, "babi_data": "generated"}
    assert names_of(tmp_path, {"parts": [part]}) == names


@pytest.mark.usefixtures("few")
def test_the_stories_of_a_suite_are_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a suite that goes on without MEMNET_BABI does not go on with other stories."""
    monkeypatch.delenv("MEMNET_BABI", raising=False)
    (job,) = jobs_of(tmp_path, {"parts": [{"task": "babi"}]})
    assert "--babi-data=generated" in job.args


def test_names_that_would_be_the_same_are_numbered(tmp_path: Path) -> None:
    parts = [{"task": "copy", "model": "gru", "learning_rate": [0.00100001, 0.00100002]}]
    assert names_of(tmp_path, {"parts": parts}) == [
        "copy-gru-learning-rate-0.001-s0",
        "copy-gru-learning-rate-0.001-2-s0",
    ]


def test_a_grid_sweep_is_as_its_agent_would_run_it(tmp_path: Path) -> None:
    text = """
    program: experiments
    name: mine
    metric: {name: valid/loss, goal: minimize}
    method: grid
    command: ["${env}", python, -m, experiments, train, copy, --steps=40, --batch-size, 2, "${args}"]
    parameters:
      model: {value: gru}
      num_layers: {min: 1, max: 2}
      learning_rate: {distribution: q_uniform, min: 0.25, max: 0.75, q: 0.25}
      skip: {values: [true, false]}
      seed: {values: [4, 5]}
    """
    jobs = jobs_of(tmp_path, text)
    wanted = list(itertools.product((1, 2), (0.25, 0.5, 0.75), (True, False), (4, 5)))
    configs = [job.config for job in jobs]
    assert [
        (one.model.options["num_layers"], one.training.learning_rate, one.model.options["skip"], one.run.seed)
        for one in configs
    ] == wanted
    assert {(one.training.steps, one.training.batch_size, one.model.name) for one in configs} == {(40, 2, "gru")}
    group = "copy-gru-num-layers-1-learning-rate-0.25-skip-True"
    assert [(job.name, job.group) for job in jobs[:2]] == [(f"{group}-s4", group), (f"{group}-s5", group)]
    assert len(make_jobs(plan_of(tmp_path, text, run_cap=5), None)) == 5


@pytest.mark.usefixtures("few")
def test_after_a_task_of_stories_task_means_its_numbers(tmp_path: Path) -> None:
    sweep = {
        "method": "grid",
        "command": ["python", "-m", "experiments", "train", "babi", "${args}"],
        "parameters": {"task": {"values": ["1", "2-3"]}, "babi-data": {"value": "generated"}},
    }
    configs = [job.config for job in jobs_of(tmp_path, sweep)]
    assert [one.learned.numbers for one in configs] == ["1", "2-3"]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("macro", ["args", "args_no_boolean_flags", "args_no_hyphens", "args_no_equals"])
@pytest.mark.parametrize(
    "values",
    [
        {"task": "copy", "model": "lstm", "skip": True, "hidden_size": 12, "clip_norm": None, "learning_rate": 1e-5},
        {"model": "entnet", "stop_when_solved": True, "task": "babi", "numbers": "1-3", "babi-data": "generated"},
    ],
)
def test_a_sweep_comes_to_the_same_here_and_with_an_agent(macro: str, values: dict[str, Any], tmp_path: Path) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    parameters = {name: {"value": value} for name, value in values.items()}
    words = create_sweep_command_args({"args": parameters})[macro]
    command = ["${env}", "${interpreter}", "-m", "experiments", "train", "--batch-size", "2", f"${{{macro}}}"]
    (job,) = jobs_of(tmp_path, {"method": "grid", "command": command, "parameters": parameters})
    assert parse_train(spelled_out(["--batch-size", "2", *words])) == job.config
    assert (job.config.training.batch_size, job.config.task.name) == (2, values["task"])


@pytest.mark.parametrize(
    ("task", "flag", "field"),
    [
        *(("babi", f"--{name}", name) for name in ("stop-when-solved", "mask_empty")),
        ("copy", "--learned-initial-state", "learned_initial_state"),
        ("translate", "--reverse", "reverse"),
    ],
)
def test_a_flag_is_one_of_the_configuration_that_is_read(task: str, flag: str, field: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(to_yaml(started(task)))
    for words in (["--config", f"{tmp_path}/config.yaml", flag], [flag, f"--config={tmp_path}/config.yaml"]):
        assert parse_train(spelled_out(words)).flat[field.replace("-", "_")] is True
    assert spelled_out([flag, "--resume", str(tmp_path)])[0] == f"{flag}=True"
    assert spelled_out([flag, "--config", f"{tmp_path}/none.yaml"])[-1].endswith("none.yaml")


@pytest.mark.usefixtures("few")
def test_a_command_may_give_the_task_and_flags_in_any_spelling(tmp_path: Path) -> None:
    command = ["${program}", "--task=babi", "--mask-empty", "--task", "1,2", "${args_no_hyphens}"]
    parameters = {"babi_data": {"value": "generated"}, "seed": {"values": [1, 2]}}
    jobs = jobs_of(tmp_path, {"method": "grid", "command": command, "parameters": parameters})
    told = [(job.config.learned.numbers, job.config.flat["mask_empty"]) for job in jobs]
    assert told == [("1-2", True)] * 2


def drawn(tmp_path: Path, **parameters: object) -> list[dict[str, str]]:
    plan = plan_of(tmp_path, SWEEP | {"parameters": {"task": {"value": "copy"}, **parameters}})
    return [dict(one.options) for one in plan.settings]


def test_a_random_sweep_draws_from_its_distributions(tmp_path: Path) -> None:
    rows = drawn(
        tmp_path,
        hidden_size={"min": 10, "max": 12},
        learning_rate={"distribution": "log_uniform_values", "min": "1e-5", "max": 0.1},
        weight_noise={"min": 0.0, "max": 1},
        batch_size={"distribution": "q_uniform", "min": 8, "max": 64, "q": 8},
        clip_norm={"distribution": "normal", "mu": 100, "sigma": 2},
        num_slots={"distribution": "q_log_uniform_values", "min": 10, "max": 1000, "q": 10},
        momentum={"distribution": "log_uniform", "min": -9, "max": -2},
        norm_floor={"distribution": "log_normal", "mu": -9, "sigma": 1},
        controller={"values": ["lstm", "gru"], "probabilities": [1, 0]},
        optimizer={"value": "adam"},
    )
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert set(columns["hidden_size"]) == {"10", "11", "12"}
    rates = sorted(map(float, columns["learning_rate"]))
    assert 1e-5 <= rates[0] < 1e-4 < 1e-3 < rates[20] + 1e-3 < rates[-1] <= 0.1
    assert all(0 <= float(noise) <= 1 for noise in columns["weight_noise"])
    assert set(columns["batch_size"]) <= {str(size) for size in range(8, 65, 8)}
    assert len(set(columns["batch_size"])) > 4
    assert all(90 < float(norm) < 110 for norm in columns["clip_norm"])
    assert all(float(slots) % 10 == 0 and 10 <= float(slots) <= 1000 for slots in columns["num_slots"])
    assert sum(float(slots) < 100 for slots in columns["num_slots"]) > 10
    assert all(-9 <= math.log(float(momentum)) <= -2 for momentum in columns["momentum"])
    assert abs(statistics.fmean(math.log(float(floor)) for floor in columns["norm_floor"]) + 9) < 0.5
    assert (set(columns["controller"]), set(columns["optimizer"])) == ({"lstm"}, {"adam"})


def test_a_random_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    sweep = SWEEP | {"parameters": {"task": {"value": "copy"}, "hidden_size": {"min": 1, "max": 10**6}}}
    short, long = plan_of(tmp_path, sweep, run_cap=3), plan_of(tmp_path, sweep)
    assert [one.options for one in long.settings][:3] == [one.options for one in short.settings]
    assert len({one.options["hidden_size"] for one in long.settings}) == 40
    few = SWEEP | {"parameters": {"task": {"values": ["copy", "repeat-copy"]}}}
    assert sorted(names_of(tmp_path, few)) == ["copy-ntm-feedforward-s0", "repeat-copy-ntm-lstm-s0"]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", suite_names())
def test_the_suites_that_come_along(name: str) -> None:
    """Every value makes a model, as each setting is checked before any runs; of stories here for a few questions."""
    plan = read_plan(find_suite(name), None)
    seen, telling = set[tuple[str, str, str]](), []
    for one in plan.settings:  # of all combinations those that have a value that none before them had
        values = {(one.where, option, value) for option, value in {"task": one.task, **one.options}.items()}
        telling += [one] if values - seen else []
        seen |= values
    plan = dataclasses.replace(plan, settings=telling)
    jobs = make_jobs(plan, 2)
    assert (plan.name, plan.about[-1:]) == (name, ".")
    assert len(jobs) == 2 * len(plan.settings) == len({job.name for job in jobs})


def test_suites_are_listed(capsys: Capture) -> None:
    for args in (["suite"], ["suite", "--list"]):
        assert main(args) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == suite_names()
        assert "published/ntm " in "".join(lines)
    assert "`suite --list` tells" in refused(capsys, "suite", "--seeds", 1)


def part(**options: object) -> dict[str, object]:
    return {"parts": [{"task": "copy", **options}]}


def sweep(spec: object = None, **more: object) -> dict[str, object]:
    parameters = {"task": {"value": "copy"}, "steps": {"value": 5} if spec is None else spec}
    return {"method": "grid", "parameters": parameters} | more


# Lists of lists of lists ...: 2^60 when they are written out.
MULTIPLIED = "parts:\n- task: copy\n  steps:\n  - &a0 [1]\n" + "".join(
    f"  - &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)
)
MISTAKES: list[tuple[object, str, str]] = [
    ("a: [", "", "cannot read a suite from .*a.yaml"),
    ("- 1", "", "is no suite.*parts.*method"),
    ({"abuot": "x", "parts": []}, "", "'abuot', did you mean 'about'"),
    ({"parts": []}, "", "expected parts"),
    ({"parts": [{"model": "lstm"}]}, "", "part 1: expected options.*task"),
    ({"parts": [{"task": "cpoy"}]}, "", "part 1.*'cpoy', did you mean 'copy'"),
    (part(stepz=5), "", "part 1: no option of train is called 'stepz', did you mean 'steps'"),
    (part(out="x"), "", "no option of train is called 'out'"),
    (part(steps=[]), "", "steps has no values"),
    (part(steps={"a": 1}), "", "steps cannot be"),
    (part(steps="x"), "", "part 1: train.*--steps.*'x'"),
    (part(num_slots=2), "", "part 1: no such model.*3.*2"),
    (part(batch_size=[4, 0]), "", "part 1: --batch-size must be at least 1, not 0"),
    (part(recipe="paper/copy-lsmt"), "", "'paper/copy-lsmt'"),
    ({"parts": [{"task": "babi", "numbers": "1-99 each"}]}, "", "numbers must be tasks"),
    ({"parts": [{"task": "babi", "babi_data": "no/such"}]}, "", "part 1: .*no/such"),
    (
        {"parts": [{"task": "copy"}, {"task": "copy", "steps": 6000}]},
        "",
        "part 1 and .*part 2 both have the job: train copy",
    ),
    (part() | {"seeds": 0}, "", "seeds must be a whole number of at least 1, not 0"),
    (part(seed=[1, 2]) | {"seeds": 3}, "", "part 1: a seed among the options"),
    (part(), "--seeds 0", "--seeds must be at least 1, not 0"),
    (part(), "--shard 2/2", "--shard 2/2: expected I/N"),
    (part(), "--shard 1", "--shard 1: expected I/N"),
    (part(), "--shard 0/2 --on ray", "--shard 0/2 and --on ray"),
    (part(), "--on slurm", "--on.*'slurm'"),
    (part(), "--run-cap 3", "--run-cap 3 is for sweeps"),
    (part(), "--lits", "--lits.*--list"),
    (part(), "--retries -1", "--retries"),
    (sweep(method="bayes"), "", "method: bayes needs the server"),
    (sweep(method="gird"), "", "'gird', did you mean 'grid'"),
    (sweep(early_terminate={"type": "hyperband"}), "", "early_terminate needs the server"),
    (sweep(parametres=1), "", "'parametres', did you mean 'parameters'"),
    ({"method": "grid"}, "", "expected parameters"),
    (sweep({"min": 1, "max": 3}, method="random"), "", "needs a run_cap, or --run-cap"),
    (sweep(run_cap=0), "", "run_cap must be.*not 0"),
    (sweep({"min": 0.1, "max": 1.0}), "", "parameter steps: a grid needs its values.*uniform"),
    (sweep({"values": [[1], [2]]}, method="random", run_cap=2), "", r"run 1: steps cannot be \[[12]\]"),
    (sweep({"values": [1, 2], "probabilities": [0.5, 0.5]}), "", "probabilities have no meaning in a grid"),
    (sweep({"values": [1, 2], "probabilities": [0.5, 0.4]}, method="random", run_cap=2), "", "2 numbers that sum to 1"),
    (sweep({"parameters": {"a": {"value": 1}}}), "", "parameter steps: it has parameters within it"),
    (sweep({"vlaue": 1}), "", "'vlaue', did you mean 'value'"),
    (
        sweep({"distribution": "log_uniform", "min": 1000, "max": 2000}, method="random", run_cap=1),
        "",
        "parameter steps: log_uniform takes exponents",
    ),
    (sweep({"distribution": "beta"}), "", "no distribution is called 'beta'"),
    (
        sweep({"distribution": "log_uniform_values", "min": 0, "max": 1}, method="random", run_cap=1),
        "",
        "above 0, not 0",
    ),
    (sweep({"min": 3, "max": 1}), "", "min 3 is above max 1"),
    (sweep({"min": "x", "max": 1, "distribution": "q_uniform"}), "", "min must be a number of less than .*, not 'x'"),
    (sweep({"min": 1, "max": 10**12}), "", "1,000,000,000,000 trainings are more than the 10,000"),
    (
        sweep({"min": 0, "max": 1, "q": 1e-12, "distribution": "q_uniform"}),
        "",
        "1,000,000,000,001 trainings.*--run-cap",
    ),
    (sweep({"min": 0, "max": 1, "q": 5e-324, "distribution": "q_uniform"}), "", "too many steps of q"),
    (sweep({"min": 1, "max": 10**400}), "", "line 7.*is no whole number of at most 64 bits"),
    (sweep({"min": 0, "max": 10**9}, method="random", run_cap=10**9), "", "10,001 trainings.*run_cap is 1,000,000,000"),
    (
        part(**{name: list(range(100)) for name in ("steps", "seed", "num_slots", "slot_size", "log_every")}),
        "",
        "10,000,000,000 tr",
    ),
    (part(), "--seeds 1000000000", "a with 1,000,000,000 seeds: 1,000,000,000 trainings are more"),
    (MULTIPLIED, "", "line 17.*what an alias stands for counts each time"),
    (sweep(5), "", "parameter steps: expected value, values or min and max, not 5"),
    (sweep(command=["python", "other.py"]), "", "expected a command like"),
    (sweep(command=["${program}", "${args_json}", "${args}"]), "", "expected a command like"),
    (sweep(command=["${program}", "fast", "steps", "${args}"]), "", "options with a value each.*steps"),
    ({"method": "grid", "parameters": {"steps": {"value": 3}}}, "", "expected a parameter `task`"),
    (
        {"method": "grid", "parameters": {"task": {"value": "copy"}, "stepz": {"value": 3}}},
        "",
        "run 1.*'stepz'.*'steps'",
    ),
]


@pytest.mark.parametrize(("content", "options", "words"), MISTAKES, ids=[words for *_, words in MISTAKES])
def test_a_mistake_gets_one_line_and_nothing_runs(
    content: object, options: str, words: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    line = refused(capsys, "suite", str(path), *options.split())
    assert re.search(words, line), line
    assert list(tmp_path.iterdir()) == [path]


def test_only_what_a_cap_takes_of_an_endless_grid_is_made(tmp_path: Path) -> None:
    parameters = {"task": {"value": "copy"}, "steps": {"min": 7, "max": 10**12}, "skip": {"values": [True, False]}}
    plan = plan_of(tmp_path, SWEEP | {"method": "grid", "parameters": parameters}, run_cap=3)
    assert [(one.options["steps"], one.options["skip"]) for one in plan.settings] == [
        ("7", "True"),
        ("7", "False"),
        ("8", "True"),
    ]


def test_a_sign_is_told_in_a_jobs_name(tmp_path: Path) -> None:
    names = names_of(tmp_path, part(model="lstm", forget_bias=[-1, 1]))
    assert names == ["copy-lstm-forget-bias-minus-1-s0", "copy-lstm-forget-bias-1-s0"]


def test_options_that_a_model_does_not_have_make_no_jobs(tmp_path: Path) -> None:
    assert names_of(tmp_path, part(model=["lstm", "ntm"], num_slots=[8, 16])) == [
        "copy-lstm-s0",
        "copy-ntm-feedforward-num-slots-8-s0",
        "copy-ntm-feedforward-num-slots-16-s0",
    ]


def test_a_random_sweep_of_few_settings_has_them_all(tmp_path: Path) -> None:
    parameters = {"task": {"value": "copy"}, "model": {"values": ["lstm", "gru"]}, "skip": {"values": [1, True]}}
    plan = plan_of(tmp_path, SWEEP | {"parameters": parameters}, run_cap=10**9)
    assert len({tuple(one.options.values()) for one in plan.settings}) == len(plan.settings) == 4


def test_an_unknown_suite_gets_the_nearest_name(capsys: Capture) -> None:
    assert "'quik', and there is no such file, did you mean 'quick'" in refused(capsys, "suite", "quik")


def test_a_ray_cluster_that_does_not_answer(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    for address, words in (
        ("127.0.0.1:9", "no Ray cluster answers at RAY_ADDRESS 127.0.0.1:9"),
        ("ray://head:10001", "expected HOST:PORT"),
    ):
        monkeypatch.setenv("RAY_ADDRESS", address)
        line = refused(capsys, "suite", "quick", "--on", "ray", "--out", str(tmp_path / "out"))
        assert words in line
    assert list(tmp_path.iterdir()) == []


def test_the_list_shows_jobs_states_and_cost(capsys: Capture, tmp_path: Path) -> None:
    assert main(["suite", "quick", "--seeds", "2", "--list", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("measuring ") == 4
    assert re.search(r"^copy-gru-s1 +new +at most \S+ +train copy --model=gru .*--seed 1$", printed.out, re.MULTILINE)
    assert re.search(r"^babi-q6-memn2n-s0 +new +\d\S* +train babi", printed.out, re.MULTILINE)
    assert re.search(r"8 jobs, 0 done; left: at most \S+ of one core, at most .* at once", printed.out)
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_what_its_arguments_say(tmp_path: Path) -> None:
    for job in jobs_of(tmp_path, part(controller=["lstm", "gru"]), seeds=2):
        assert parse_train(job.args) == job.config
