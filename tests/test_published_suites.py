"""What the tables of the results say of the runs of their suites is so."""

import dataclasses
import json
from typing import Any

import pytest
import torch
import yaml
from torch.utils._pytree import tree_leaves

from experiments.config.options import options_of
from experiments.config.registry import DOMAINS, at
from experiments.domains.sequences.models import core, make_model
from experiments.report.results import RESULTS, TABLES
from experiments.suite.commands import read_plan
from experiments.suite.jobs import SuiteJob, make_jobs
from experiments.suite.reading import find_suite
from tasks import TASKS
from tests.batches import seeded


def jobs_of(suite: str, **wanted: set[str]) -> dict[str, SuiteJob]:
    """The jobs of a suite by the names of their results; wanted: values of options."""
    plan = read_plan(find_suite(f"published/{suite}"), None)
    chosen = [one for one in plan.settings if all(one.options[name] in some for name, some in wanted.items())]
    jobs = make_jobs(dataclasses.replace(plan, settings=chosen), 1)
    found = {}
    for one, job in zip(chosen, jobs, strict=True):
        harder = next((one.options[name].lower() for name in ("level", "group", "pairs") if name in one.options), "")
        found["-".join(filter(None, (one.task, harder, one.options["model"])))] = job
    return found


def tables_of(suite: str) -> list[dict[str, Any]]:
    tables = yaml.safe_load((RESULTS / TABLES).read_text())["tables"]
    return [one for one in tables if one.get("suite") == f"published/{suite}"]


@pytest.mark.parametrize("suite", ["formal", "mqar", "mad", "noise"])
def test_attention_holds_what_it_is_tested_on_or_its_table_says_how_much(suite: str) -> None:
    jobs, seen = jobs_of(suite, model={"transformer"}), set()
    for table in tables_of(suite):
        about = " ".join(table["about"].split())
        for row in table["rows"]:
            if job := jobs.get(name := row["result"].removeprefix("mad-")):
                window, task = job.config.flat["num_slots"], job.config.learned
                length = min(int(str(row["at"]["length"]).rpartition("-")[2]), window + 1)
                steps = task.sample(1, length=length, generator=seeded()).input.size(1)
                assert steps <= window or f"the last {window} steps" in about, row
                seen.add(name)
    assert seen == {*jobs}


@pytest.mark.parametrize("suite", ["mqar", "mad", "noise"])
def test_rows_were_made_by_what_their_suite_runs(suite: str) -> None:
    """Task, model and training; of an option that a result is older than, what it is where nothing is chosen."""
    jobs, seen = jobs_of(suite), set[str]()
    for row in [row for table in tables_of(suite) for row in table["rows"]]:
        job = jobs[name := row["result"].removeprefix("mad-")].config
        if (saved := RESULTS / f"{row['result']}.json").exists():
            made = json.loads(saved.read_text())["config"]
            task, model = ({"name": one.name, **one.options} for one in (job.task, job.model))
            kind = at(DOMAINS["sequences"].models[job.model.name].place)
            for part, runs, its in (
                ("task", task, options_of(type(job.learned))),
                ("model", model, options_of(kind)),
                ("training", vars(job.training), options_of(type(job.training))),
            ):
                unchosen = {k: its[k].default for k in runs if k not in made[part]}
                assert json.loads(json.dumps(unchosen)) | made[part] == json.loads(json.dumps(runs)), (name, part)
        seen.add(name)
    assert seen == {*jobs}


def test_the_models_of_mad_are_of_one_size_and_trained_alike() -> None:
    """On all tasks, but for lengths and steps, which are those of the task."""
    sizes, tasks = dict[str, list[dict[str, Any]]](), dict[str, list[dict[str, Any]]]()
    for job in jobs_of("mad", model={"lstm", "mamba", "deltanet", "transformer"}).values():
        config = job.config
        training = {k: v for k, v in vars(config.training).items() if not k.startswith("growing")}
        tasks.setdefault(config.task.name, []).append(training)
        assert config.flat.get("embedding_size", 32) == config.flat["hidden_size"] == 32
        sized = {k: v for k, v in config.model.options.items() if not k.startswith("embedding")}
        sizes.setdefault(config.model.name, []).append(sized)
    assert [len(some) for some in tasks.values()] == 6 * [4]
    assert [len(some) for some in sizes.values()] == 4 * [6]
    for alike in (*tasks.values(), *sizes.values()):
        assert all(one == alike[0] for one in alike)
    of_task = ("steps", "min_length", "max_length")
    rest = [{k: v for k, v in some[0].items() if k not in of_task} for some in tasks.values()]
    assert all(one == rest[0] for one in rest)
    assert (rest[0]["curriculum"], rest[0]["batch_size"], rest[0]["solved_at"]) == ("uniform", 32, None)


def test_memories_of_mqar_hold_no_more_numbers_than_their_table_says() -> None:
    (table,) = tables_of("mqar")
    assert "none has more than 4,096 numbers of state" in " ".join(table["about"].split())
    for name, job in jobs_of("mqar", pairs={"16"}).items():
        if job.config.model.name == "transformer":
            continue
        state = core(make_model(job.config)).initial_state(1)
        numbers = sum(one.numel() for one in tree_leaves(state) if isinstance(one, torch.Tensor))
        assert 0 < numbers <= 4096, name


def test_every_length_of_a_row_is_tested_by_training_or_as_its_suite_says() -> None:
    text, (table,) = find_suite("published/noise").read_text(), tables_of("noise")
    for row in table["rows"]:
        (kind,) = (kind for name, kind in TASKS.items() if row["result"].startswith(f"{name}-"))
        assert (length := row["at"]["length"]) in kind().test_lengths or f"--length {length} " in text, row
