"""Suites run with real processes: killed, stopped, continued, split; every job is done once, whatever happens."""

import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from experiments.__main__ import main
from experiments.base.processes import Job
from experiments.config.form import to_yaml
from experiments.domains.sequences.about import about
from experiments.runs.about import About, write_about
from experiments.runs.board import Board, Follower
from experiments.runs.folder import is_locked
from experiments.runs.metrics import MetricsFile, read_metrics
from experiments.suite import cost
from experiments.suite.commands import read_plan
from experiments.suite.folder import SuiteFolder
from experiments.suite.jobs import SuiteJob, make_jobs
from experiments.suite.queue import SuiteQueue
from tasks import TASKS
from tests.forked import Forked
from tests.running import NO_MEMORY, TINY
from tests.test_command_line import refused
from tests.test_training import assert_same_run

Capture = pytest.CaptureFixture[str]
HOLD = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, 2); print(flush=True); input()"
COPY = {"parts": [{"task": "copy", "model": "gru"}]}


def suite_file(tmp_path: Path, content: object = COPY) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def light(seconds: float, *args: object) -> Forked:
    """Start a suite whose jobs learn nothing."""
    return Forked("tests.light_suite", seconds, *args, stderr=subprocess.STDOUT)


def children(process: Forked) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it has ended
            continue
        if int(text.rpartition(")")[2].split()[1]) == process.pid:
            found.append(int(stat.parent.name))
    return found


def results(folder: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["run"] for path in folder.glob("*/result.json"))


def wait_for(path: Path, rows: int, process: Forked) -> None:
    """Until a run has so many rows of metrics."""
    while not path.exists() or len(read_metrics(path)) < rows:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


@pytest.mark.slow
def test_forty_jobs_survive_kills_of_workers_and_of_the_driver(tmp_path: Path) -> None:
    generator = random.Random(0)
    out = tmp_path / "out"
    args = (0.2, suite_file(tmp_path), "--seeds", 40, "--out", out, "--jobs", 6, "--retries", 100)
    killed = drivers = 0
    process = light(*args)
    while process.poll() is None:
        time.sleep(generator.uniform(0.02, 0.15))
        if children(process) and drivers < 3 and len(results(out)) > 10 * (drivers + 1):
            process.kill()
            process.communicate()
            drivers += 1
            process = light(*args)
        elif killed < 40 and (workers := children(process)):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(generator.choice(workers), signal.SIGKILL)
                killed += 1
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert (drivers, killed > 10) == (3, True)
    assert results(out) == sorted(f"copy-gru-s{seed}" for seed in range(40))
    assert list(out.glob("*/trouble")) == []
    assert "40 of 40" in said
    starts = [list(map(int, path.read_text().split())) for path in out.glob("*/starts")]
    assert any(len(one) > 1 and one[-1] > 0 for one in starts)  # from a checkpoint


def real_suite(tmp_path: Path) -> tuple[Path, list[str]]:
    names = [name.removeprefix("--").replace("-", "_") for name in NO_MEMORY[::2]]
    options = dict(zip(names, NO_MEMORY[1::2], strict=True))
    options |= {"steps": "300", "log_every": "1", "checkpoint_every": "10", "valid_every": "30"}
    return suite_file(tmp_path, {"parts": [{"task": "copy", "model": "gru", **options}]}), [
        f"--{name.replace('_', '-')}={value}" for name, value in options.items()
    ]


@pytest.mark.slow
def test_trainings_that_are_killed_and_stopped_go_on_bit_for_bit(tmp_path: Path) -> None:
    suite, options = real_suite(tmp_path)
    out = tmp_path / "out"
    args = ("suite", suite, "--seeds", 1, "--out", out)
    rows = out / "copy-gru-s0" / "metrics.jsonl"

    def begin(more: int) -> Forked:
        seen = len(read_metrics(rows)) if rows.exists() else 0
        process = Forked("tests.forked_jobs", *args)
        wait_for(rows, seen + more, process)
        return process

    process = begin(20)
    (worker,) = children(process)
    os.kill(worker, signal.SIGKILL)  # it goes on by itself
    while "again from its checkpoint, try 1 of 2" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()  # the driver: its worker saves and ends
    process.communicate()
    process = begin(10)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    assert not is_locked(rows.parent)
    process = Forked("tests.forked_jobs", *args)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "1 of 1" in output
    assert main(["train", "copy", "--model", "gru", *options, "--out", str(tmp_path / "alone")]) == 0
    assert_same_run(tmp_path / "alone", out / "copy-gru-s0")


def test_two_drivers_and_shards(tmp_path: Path, capsys: Capture) -> None:
    suite, out = suite_file(tmp_path), tmp_path / "out"
    shards = [light(0.5, suite, "--seeds", 7, "--out", out, "--shard", f"{index}/3") for index in range(3)]
    said = [shard.communicate()[0] for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0, 0], said
    done = [re.findall(r"^copy-gru-s(\d): done", one, re.MULTILINE) for one in said]
    assert [sorted(map(int, one)) for one in done] == [[0, 3, 6], [1, 4], [2, 5]]
    assert len(results(out)) == 7
    assert list(out.glob("*/trouble")) == []
    with SuiteFolder(out).locked((0, 3)):
        line = refused(capsys, "suite", suite, "--seeds", 7, "--out", out)
        assert "a suite is running in" in line
        line = refused(capsys, "suite", suite, "--seeds", 7, "--out", out, "--shard", "0/3")
        assert "with --shard 0/3" in line


def jobs_of(tmp_path: Path, seeds: int = 1, content: object = COPY) -> list[SuiteJob]:
    return make_jobs(read_plan(suite_file(tmp_path, content), None), seeds)


def queue_of(tmp_path: Path, seeds: int, said: list[str]) -> SuiteQueue:
    out = tmp_path / "out"
    (out / "logs").mkdir(parents=True, exist_ok=True)
    return SuiteQueue(SuiteFolder(out), jobs_of(tmp_path, seeds), retries=2, tell=said.append)


def hold(run: Path) -> subprocess.Popen[bytes]:
    """Another process that has a new run's lock, until its stdin ends."""
    run.mkdir()
    command = [sys.executable, "-c", HOLD, str(run / ".lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def told_by(folder: SuiteFolder, job: SuiteJob) -> None:
    """What a job's run leaves at its beginning."""
    (folder.run(job) / "config.yaml").write_text(to_yaml(job.config))
    write_about(folder.run(job), about_of(job))


def ends(queue: SuiteQueue, codes: Sequence[int]) -> list[str]:
    """Take jobs while there are any; each ends with the next of the codes. Returns their names."""
    taken = []
    for code in codes:
        job = queue.take()
        assert isinstance(job, Job)
        job.log.write_text("step 1\nerror: no luck\n")
        if code == 0:
            queue.folder.run(queue.jobs[job.name]).mkdir()
            told_by(queue.folder, queue.jobs[job.name])
            (queue.folder.run(queue.jobs[job.name]) / "result.json").write_text("{}")
        queue.ended(job, code)
        taken.append(job.name)
    return taken


def test_killed_jobs_are_tried_again_and_wrong_ones_are_not(tmp_path: Path) -> None:
    said: list[str] = []
    queue = queue_of(tmp_path, 4, said)
    assert ends(queue, [-9, 143, 0, 1, 2, 137, -9, -15]) == [f"copy-gru-s{seed}" for seed in (0, 0, 0, 1, 2, 3, 3, 3)]
    assert not queue.left
    assert queue.failed == {
        "copy-gru-s1": "exit code 1: no luck",
        "copy-gru-s2": "exit code 2: no luck",
        "copy-gru-s3": "killed by SIGTERM",
    }
    assert said[:3] == [
        "copy-gru-s0: killed by SIGKILL; again from its checkpoint, try 1 of 2",
        "copy-gru-s0: killed by SIGTERM; again from its checkpoint, try 2 of 2",
        "copy-gru-s0: done, not solved",
    ]
    assert ends(queue_of(tmp_path, 4, said), [0, 0, 0])[0] == "copy-gru-s1"  # the same command again


def test_a_stopped_suite_starts_nothing_more(tmp_path: Path) -> None:
    said: list[str] = []
    queue = queue_of(tmp_path, 3, said)
    job = queue.take()
    assert job is not None
    queue.stop()
    queue.ended(job, 130)
    assert (queue.left, queue.failed, said) == (False, {}, ["copy-gru-s0: stopped"])


def test_a_failing_job_stops_no_other_and_is_told(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate at which the loss is soon no number."""
    monkeypatch.setattr(cost, "_seconds", lambda *_: 1.0)
    options = dict(zip([name.removeprefix("--") for name in TINY[::2]], TINY[1::2], strict=True)) | {
        "steps": 6,
        "solved-at": 0.01,
    }
    wild = {"optimizer": "rmsprop", "learning-rate": 1000, "clip-norm": None, "model": "rnn-relu", "steps": 300}
    content = {"parts": [{"task": "copy", **options, **wild}, {"task": "copy", "model": "gru", **options}]}
    suite, out = suite_file(tmp_path, content), tmp_path / "out"
    process = Forked("tests.forked_jobs", "suite", suite, "--out", out)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert re.search(r"failed +copy-rnn-relu-s0: exit code 1: step \d+: the loss is", told), told
    assert re.search(r"copy-gru +1 of 1 +0 of 1", told)
    assert "copy-gru-s0: done, not solved" in errors
    assert main(["suite", str(suite), "--list", "--out", str(out)]) == 0
    assert re.search(r"copy-gru-s0 +done +train", capsys.readouterr().out)


def test_what_is_left_of_a_run_that_was_being_made_is_no_obstacle(tmp_path: Path) -> None:
    queue = queue_of(tmp_path, 1, [])
    run = tmp_path / "out" / "copy-gru-s0"
    (run / "figures").mkdir(parents=True)
    (run / ".config.yaml.0123abcd.part").write_text("task: co")
    (tmp_path / "out" / "suite.json").write_text('{"jobs": []}')
    queue.folder.check("tiny", list(queue.jobs.values()))
    job = queue.take()
    assert job is not None
    assert job.command[3:] == ["train", "copy", "--model=gru", "--seed", "0", "--out", str(run)]
    (run / "config.yaml").write_text("")
    assert queue.folder.train_args(queue.jobs["copy-gru-s0"], Path()) == ["--resume", "copy-gru-s0"]


def test_a_run_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    queue = queue_of(tmp_path, 2, said)
    run = tmp_path / "out" / "copy-gru-s0"
    holder = hold(run)
    job = queue.take()
    assert job is not None
    assert job.name == "copy-gru-s1"
    assert (queue.take(), queue.take(), queue.left) == (None, None, True)
    assert said == ["copy-gru-s0: another process is at work on it; waiting for its end"]
    told_by(queue.folder, queue.jobs["copy-gru-s0"])
    (run / "result.json").write_text("{}")
    holder.communicate()
    assert (queue.take(), queue.left) == (None, False)
    assert said[1:] == ["copy-gru-s0: done, not solved, by another process"]


def test_a_job_that_another_process_was_faster_to_begin_has_not_failed(tmp_path: Path) -> None:
    said: list[str] = []
    queue = queue_of(tmp_path, 1, said)
    job = queue.take()
    assert job is not None
    run = tmp_path / "out" / "copy-gru-s0"
    holder = hold(run)
    queue.ended(job, 2)
    assert (queue.failed, queue.left, queue.take()) == ({}, True, None)
    holder.communicate()
    assert queue.take() == job


def test_a_driver_killed_at_its_first_file_leaves_a_folder_that_is_used_again(tmp_path: Path) -> None:
    (tmp_path / ".suite.json.0123abcd.part").write_text('{"su')
    (tmp_path / ".lock").touch()
    SuiteFolder(tmp_path).check("tiny", jobs_of(tmp_path.parent))


@pytest.mark.parametrize("result", ["{", "[]", '{"selection": {}}'])
def test_a_damaged_result_is_told_before_anything_runs(result: str, tmp_path: Path, capsys: Capture) -> None:
    suite, out = suite_file(tmp_path), tmp_path / "out"
    job = jobs_of(tmp_path)[0]
    SuiteFolder(out).run(job).mkdir(parents=True)
    SuiteFolder(out).record("tiny", "", [job])
    (out / "copy-gru-s0" / "config.yaml").write_text(to_yaml(job.config))
    (out / "copy-gru-s0" / "result.json").write_text(result)
    assert str(out / "copy-gru-s0") in refused(capsys, "suite", suite, "--seeds", 3, "--out", out)
    assert (out / "copy-gru-s0" / "result.json").read_text() == result


def test_a_shard_may_have_no_jobs(tmp_path: Path, capsys: Capture) -> None:
    args = ["suite", str(suite_file(tmp_path)), "--shard", "1/2", "--out", str(tmp_path / "out")]
    assert main([*args, "--list"]) == 0
    assert "0 jobs, 0 done" in capsys.readouterr().out
    assert main(args) == 0


def test_foreign_folders_are_refused_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    suite, out = suite_file(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "is not empty and no folder of a suite" in refused(capsys, "suite", suite, "--out", out)
    folder, jobs = SuiteFolder(out), jobs_of(tmp_path, 2)
    folder.record("tiny", "", jobs)
    run = out / "copy-gru-s0"
    run.write_text("")
    assert "is a file where a run folder belongs" in refused(capsys, "suite", suite, "--out", out)
    run.unlink()
    run.mkdir()
    (run / "notes").write_text("mine")
    assert "is no run folder, there is notes in it" in refused(capsys, "suite", suite, "--out", out)
    (run / "config.yaml").write_text(to_yaml(jobs[0].config.changed(steps=5)))
    assert "is another run: its --steps is 5, not 6000" in refused(capsys, "suite", suite, "--out", out)
    other = suite_file(tmp_path, {"parts": [{"task": "copy", "model": "gru", "steps": 7}]})
    assert "is of another suite: its copy-gru-s0 is" in refused(capsys, "suite", other, "--out", out)
    other = suite_file(tmp_path, {"parts": [{"task": "copy", "model": "lstm"}]})
    assert "only one of them has copy-" in refused(capsys, "suite", other, "--out", out)
    (out / "suite.json").write_text("{")
    assert "cannot read" in refused(capsys, "suite", suite, "--out", out)
    assert (out / "thesis.txt").read_text() == "mine"


def test_more_seeds_extend_a_suite_and_fewer_keep_it(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    for seeds, recorded in ((2, 2), (4, 4), (1, 4)):
        jobs = jobs_of(tmp_path, seeds)
        if seeds > 2 or (tmp_path / "suite.json").exists():
            folder.check("tiny", jobs)
        folder.record("tiny", "few words", jobs)
        content = json.loads((tmp_path / "suite.json").read_text())
        assert len(content["jobs"]) == recorded
    own = {"name": "copy-gru-s3", "args": ["copy", "--model=gru", "--seed", "3"], "group": "copy-gru", "values": {}}
    assert content["jobs"][3] == own


def test_a_run_is_followed_by_its_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follower = Follower(tmp_path)
    follower.look()
    write_about(tmp_path, about_of(jobs_of(tmp_path)[0]))
    follower.look()
    assert (follower.share, follower.left) == (0, None)
    path.write_text('{"step": 1500, "perf/seconds": 10.0}\n{"step": 20')
    follower.look()
    assert (follower.share, follower.left) == (0.25, 30.0)
    with path.open("a") as file:
        file.write('00, "perf/seconds": 14.0, "valid/wrong_bits_per_sequence": 0.001}\n')
    follower.look()
    assert follower.share == 2000 / 3500  # solved: only the cooldown is left
    path.write_text('{"step": 1500, "perf/seconds": 10.0}\n')
    follower.look()
    assert follower.values["step"] == 1500
    with path.open("a") as file:
        file.write('.5, "perf/seconds": 7}\n[1]\n{}\n{"step": 3000}\n')
    follower.look()
    assert follower.values["step"] == 3000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def about_of(job: SuiteJob) -> About:
    return about(job.config, TASKS["copy"](), parameters=1, last_step=job.config.training.steps)


def runs_of(folder: SuiteFolder, jobs: list[SuiteJob]) -> dict[str, Path]:
    """Folders, that of the first job begun."""
    folder.run(jobs[0]).mkdir(parents=True)
    write_about(folder.run(jobs[0]), about_of(jobs[0]))
    return {job.name: folder.run(job) for job in jobs}


def test_the_board_in_a_terminal(tmp_path: Path) -> None:
    shown, jobs = Terminal(), jobs_of(tmp_path, 2)
    folder = SuiteFolder(tmp_path / "out")
    runs = runs_of(folder, jobs)
    row = {"step": 3000, "perf/seconds": 60.0, "perf/sequences_per_second": 800.0, "train/loss": 0.5}
    (folder.run(jobs[0]) / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    with Board(runs, 1, console=Console(file=shown, force_terminal=True, width=120)) as board:
        board.tell("hello")
        time.sleep(0.6)
        board.show([jobs[0].name])
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    assert "hello" in plain
    assert re.search(r"copy-gru-s0 \S+ +50% 800 seq/s  1m00s left  loss 0.5", plain), plain
    assert "0 of 2 jobs done  1 running  about 3m00s left" in plain


def test_the_board_shows_a_run_whose_first_loss_is_no_number(tmp_path: Path) -> None:
    shown, jobs = Terminal(), jobs_of(tmp_path)
    folder = SuiteFolder(tmp_path / "out")
    runs = runs_of(folder, jobs)
    with MetricsFile(folder.run(jobs[0]) / "metrics.jsonl") as metrics:
        metrics.append({"step": 1, "sequences": 16, "train/loss": float("nan")})
    with Board(runs, 1, console=Console(file=shown, force_terminal=True, width=120)) as board:
        time.sleep(0.6)
        board.show([jobs[0].name])
    assert "loss nan" in shown.getvalue()
